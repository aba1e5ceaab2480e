import Glibc
import Journal
import Keyspace
import Machine
public import Options

/// `needletail import` and `needletail export`: a dump of Redis into a directory, and out of one,
/// with no node running in it.
extension Node {
    public static func importDump(_ path: String, _ configuration: Configuration) -> Int32 {
        carryOut { () throws(LoadFailure) in
            let directory = try open(configuration)
            let log = Log(level: configuration.logLevel, format: configuration.logFormat)
            let isNew = try DumpImport(
                disk: FileDisk(directory: directory.fd), directory: directory.path,
                file: DumpFile(path: path, limits: dumpLimits(configuration)), log: log
            ).run()
            guard isNew else {
                throw LoadFailure(
                    "\(directory.path) holds records already, which an import would mix with its "
                        + "own; give a new --dir")
            }
        }
    }

    public static func exportDump(_ path: String, _ configuration: Configuration) -> Int32 {
        carryOut { () throws(LoadFailure) in
            guard unsafe access(configuration.dir, F_OK) == 0 else {
                throw LoadFailure("there is no directory \(configuration.dir); give --dir")
            }
            let directory = try open(configuration)
            let log = Log(level: configuration.logLevel, format: configuration.logFormat)
            var settings = Keyspace.Settings(seed: 0)
            if let memory = configuration.memoryBytesMax { settings.memoryBytesMax = memory }
            let registry = TableRegistry(seed: 0)
            let loading = Loading(
                disk: FileDisk(directory: directory.fd), directory: directory.path, policy: .no,
                shardCount: 1,
                keyspace: settings, registry: registry, owners: OwnerNumbers.make(),
                signals: Signals.block(), log: log)
            guard let loader = unsafe try loading.readOnly().first else { return }
            var tables = Tables(seed: 0)
            registry.update(&tables)
            let (written, leftOut) = unsafe try export(loader, tables, to: path)
            log.info("exported", ("file", path), ("records", "\(written)"))
            if leftOut > 0 {
                log.warn(
                    "not exported", ("records", "\(leftOut)"), ("why", DumpNames.leftOut))
            }
        }
    }

    /// What an RDB file may bring in at most.
    static func dumpLimits(_ configuration: Configuration) -> RDBLimits {
        RDBLimits(valueBytesMax: configuration.valueBytesMax, keyBytesMax: Key.bytesMax)
    }

    private static func carryOut(_ body: () throws(LoadFailure) -> Void) -> Int32 {
        do throws(LoadFailure) {
            try body()
            return 0
        } catch {
            complain("\(error)")
            return 1
        }
    }

    private static func open(
        _ configuration: Configuration
    ) throws(LoadFailure) -> DataDirectory {
        do throws(SystemError) {
            return try DataDirectory.open(configuration.dir, nodeID: configuration.nodeID)
        } catch {
            throw LoadFailure("\(error)")
        }
    }

    private static func export(
        _ loader: ShardLoader.Place, _ tables: borrowing Tables, to path: String
    ) throws(LoadFailure) -> (written: Int, leftOut: Int) {
        let nowMs = Int64(Clock.wallMs())
        do throws(SystemError) {
            let export = try DumpExport(path)
            var leftOut = 0
            for number in ReservedTable.count..<TableNumber(tables.count) {
                guard let name = unsafe tables.name(number) else { continue }
                let count = unsafe loader.pointee.keyspace.count(of: number)
                let isShared = tables[number].space == .shared
                guard count > 0 else { continue }
                guard isShared, let database = unsafe DumpNames.database(of: Array(name)) else {
                    leftOut += count
                    continue
                }
                export.select(database, records: count)
                let all = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
                var page = unsafe loader.pointee.keyspace.list(
                    number, prefix: all, after: all, steps: .max)
                while let record = unsafe loader.pointee.keyspace.next(&page, at: nowMs) {
                    try export.add(DumpRow(record))
                }
            }
            try export.end()
            return (export.written, leftOut)
        } catch {
            throw LoadFailure("\(error)")
        }
    }
}
