import Glibc
import Journal
import Machine
public import Options

/// `needletail check`: reads a directory as a start would, changes nothing in it, and says what it
/// is worth; with `--repair` it writes what can be read into another.
public enum DirectoryCheck {
    /// Prints what was found. The result is the process's exit status: 0 when a node can start
    /// there, or what could be read was written where it was to go.
    public static func run(_ request: CheckRequest) -> Int32 {
        do throws(CheckRefusal) {
            return try check(request)
        } catch {
            let line = Array("needletail: \(error.text)\n".utf8)
            _ = unsafe line.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
            return 1
        }
    }

    private struct CheckRefusal: Error {
        let text: String
        init(_ text: String) { self.text = text }
        init(_ failure: DiskFailure, in directory: String) {
            text = LoadFailure(failure, in: directory).description
        }
    }

    private static func check(_ request: CheckRequest) throws(CheckRefusal) -> Int32 {
        let fd = try open(request.directory)
        defer { close(fd) }
        let isRepair = request.repairInto != nil
        let state = lock(fd, isKept: isRepair)
        defer { if case .held(let fd) = state { close(fd) } }
        if case .taken = state {
            guard !isRepair else {
                throw CheckRefusal(
                    "check: a node runs in \(request.directory); stop it first: what it is writing "
                        + "can't be told from damage")
            }
            print("a node runs here: what it writes meanwhile may look torn or missing")
        }
        let disk = FileDisk(directory: fd)
        let found: Salvage
        do throws(DiskFailure) {
            found = try Salvage(disk)
        } catch {
            throw CheckRefusal(error, in: request.directory)
        }
        tell(found.report)
        guard found.report.node != nil else {
            print("there is nothing: no node has kept anything in \(request.directory)")
            return 1
        }
        let isSound = found.report.isSound
        print(
            "\(isSound ? "sound: a node starts" : "damaged: a node does not start") "
                + "in \(request.directory)")
        guard let target = request.repairInto else { return isSound ? 0 : 1 }
        try write(found, fd, into: target)
        print("written: what could be read is in \(target)")
        return 0
    }

    private static func tell(_ report: CheckReport) {
        for damage in report.damage { print("\(damage)") }
        let damaged = Set(report.damage.map(\.file))
        for cut in report.cuts where !damaged.contains(cut.file) { print("\(cut) by a start") }
        for file in report.leftovers { print("\(file): nothing refers to it; a start removes it") }
        guard report.node != nil else { return }
        print(
            "\(report.snapshotRecords) records in the snapshot, \(report.changes) changes in the logs "
                + "since")
    }

    // MARK: The directories

    private static func open(_ directory: String) throws(CheckRefusal) -> Int32 {
        let fd = unsafe Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { throw CheckRefusal("\(SystemError("open \(directory)", errno))") }
        return fd
    }

    private enum Lock {
        case free
        /// No node starts while its directory is copied.
        case held(Int32)
        case taken
    }

    private static func lock(_ directory: Int32, isKept: Bool) -> Lock {
        let fd = unsafe openat(directory, "lock", O_RDONLY | O_CLOEXEC)
        // A copy may come without the file, and nobody runs in it.
        guard fd >= 0 else { return .free }
        let isFree = flock(fd, LOCK_EX | LOCK_NB) == 0
        if isFree, isKept { return .held(fd) }
        close(fd)
        return isFree ? .free : .taken
    }

    private static func write(
        _ found: Salvage, _ source: Int32, into target: String
    ) throws(CheckRefusal) {
        guard unsafe mkdir(target, 0o700) == 0 else {
            throw CheckRefusal(
                "\(SystemError("make directory \(target)", errno, hint: "give --repair a new one"))"
            )
        }
        let fd = try open(target)
        defer { close(fd) }
        do throws(DiskFailure) {
            let disk = FileDisk(directory: source)
            let other = FileDisk(directory: fd)
            // Who the node is, and its secrets.
            for name in [DataDirectory.idName, SigningKey.file.name, KeyspaceSeed.file.name] {
                guard try disk.list("").contains(name) else { continue }
                try copy(name, disk, other)
            }
            try found.write(from: disk, into: other)
        } catch {
            throw CheckRefusal(error, in: target)
        }
    }

    private static func copy(
        _ name: String, _ disk: FileDisk, _ other: FileDisk
    ) throws(DiskFailure) {
        let source = try disk.open(name, forWriting: false)
        defer { disk.close(source) }
        let bytes = try disk.size(source)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 8)
        defer { unsafe room.deallocate() }
        let count = unsafe try disk.read(source, at: 0, into: room)
        let target = try other.create(name)
        defer { other.close(target) }
        unsafe try other.write(target, at: 0, UnsafeRawBufferPointer(rebasing: room[..<count]))
        try other.sync(target)
    }
}
