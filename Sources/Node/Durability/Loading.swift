import Glibc
import Identity
import Journal
import Keyspace
import Machine
import Options

/// What a shard gets when the files of earlier runs have been read: its records and its log.
@safe struct LoadedShard: ~Copyable {
    var keyspace: Keyspace
    var writer: LogWriter
    /// On the first shard: everybody's.
    var accounts: [Account]

    typealias Place = UnsafeMutablePointer<LoadedShard>
}

/// Why a node can't go on from what its directory holds.
struct LoadFailure: Error, CustomStringConvertible {
    let description: String

    init(_ text: String) { description = text }

    init(_ failure: JournalFailure, in directory: String) {
        switch failure {
        case .damage(let damage): self.init("\(directory)/\(damage)")
        case .disk(let failure): self.init(failure, in: directory)
        }
    }

    init(_ failure: DiskFailure, in directory: String) {
        let path = failure.path.isEmpty ? directory : "\(directory)/\(failure.path)"
        self.init(
            "cannot \(failure.call.rawValue) \(path): \(SystemError.text(of: failure.errno)); "
                + "look at the disk and at who may use the directory")
    }
}

/// From the files of earlier runs to a keyspace and a log for each shard.
///
/// While this goes on the shards already answer, that the node is loading. One thread a shard
/// builds the shard's keyspace; all are handed over at once.
struct Loading {
    let disk: FileDisk
    let directory: String
    let policy: FsyncPolicy
    let shardCount: Int
    let keyspace: Keyspace.Settings
    let registry: TableRegistry
    let owners: OwnerNumbers
    let signals: Signals
    let log: Log

    /// Progress is told when loading takes longer than this.
    private static let progressEveryMs: UInt64 = 1_000
    /// How soon a signal is heeded.
    private static let signalsEveryMs = 20

    /// Reads everything and begins a new run. Nothing is acknowledged before this returns.
    func load() throws(LoadFailure) -> Loaded {
        let began = Clock.monotonicMs()
        let recovery = try journal { () throws(JournalFailure) in try Recovery.open(disk) }
        let verdicts = try examine(recovery)
        try journal { () throws(JournalFailure) in try recovery.settle(disk, verdicts) }
        for cut in verdicts.joined().flatMap(\.cuts) {
            log.warn(
                "torn end cut", ("file", cut.file), ("offset", "\(cut.offset)"),
                ("bytes", "\(cut.bytes)"))
        }
        let loaders = unsafe try read(recovery, verdicts)
        let stamp = verdicts.joined().map(\.stampMax).max() ?? Stamp(rawValue: 0)
        var accounts: [Account] = []
        var records: UInt64 = 0
        for number in unsafe loaders.indices {
            let loader = unsafe loaders[number]
            unsafe loader.pointee.keyspace.restore(stamp)
            unsafe accounts += loader.pointee.accounts
            unsafe records += UInt64(loader.pointee.keyspace.count)
        }
        let (writers, manifest, epoch) = unsafe try beginRun(recovery, verdicts)
        var loaded: [LoadedShard.Place] = unsafe []
        for number in unsafe loaders.indices {
            let loader = unsafe loaders[number]
            let place = LoadedShard.Place.allocate(capacity: 1)
            let parts = unsafe loader.move()
            unsafe loader.deallocate()
            unsafe place.initialize(
                to: LoadedShard(
                    keyspace: parts.keyspace, writer: writers[number].move(),
                    accounts: number == 0 ? accounts : []))
            unsafe writers[number].deallocate()
            unsafe loaded.append(place)
        }
        let logBytes = verdicts.joined().reduce(0) { $0 + $1.bytesRead }
        if !recovery.isEmpty {
            log.info(
                "loaded", ("records", "\(records)"), ("log_bytes", "\(logBytes)"),
                ("ms", "\(Clock.monotonicMs() - began)"))
        }
        return unsafe Loaded(
            shards: loaded, manifest: manifest, epoch: epoch, logBytes: UInt64(logBytes),
            snapshotBytes: UInt64(recovery.snapshot?.bytes ?? 0))
    }

    /// What the node goes on from.
    @safe struct Loaded {
        let shards: [LoadedShard.Place]
        let manifest: Manifest
        let epoch: Epoch
        /// Of logs that no snapshot covers.
        let logBytes: UInt64
        let snapshotBytes: UInt64
    }

    /// Reads everything and changes nothing: what is torn is passed over, and stays.
    func readOnly() throws(LoadFailure) -> [ShardLoader.Place] {
        let recovery = try journal { () throws(JournalFailure) in try Recovery.open(disk) }
        return unsafe try read(recovery, try examine(recovery))
    }

    private func journal<Answer>(
        _ body: () throws(JournalFailure) -> Answer
    ) throws(LoadFailure) -> Answer {
        do throws(JournalFailure) {
            return try body()
        } catch {
            throw LoadFailure(error, in: directory)
        }
    }

    // MARK: Reading

    /// Follows each log to its end, all at once: the last ones may be long.
    private func examine(_ recovery: Recovery) throws(LoadFailure) -> [[LogSource.Verdict]] {
        let logs = recovery.epochs.flatMap(\.self)
        let results = Results<LogSource.Verdict>(count: logs.count)
        try onThreads(logs.count, "examine") { number in
            do throws(JournalFailure) {
                results.set(number, try logs[number].examine(disk))
            } catch {
                results.fail(LoadFailure(error, in: directory))
            }
        }
        var found = try results.all()[...]
        return recovery.epochs.map { logs in
            let part = Array(found.prefix(logs.count))
            found = found.dropFirst(logs.count)
            return part
        }
    }

    private func read(
        _ recovery: Recovery, _ verdicts: [[LogSource.Verdict]]
    ) throws(LoadFailure) -> [ShardLoader.Place] {
        var loaders: [ShardLoader.Place] = unsafe []
        for number in 0..<shardCount {
            do throws(ReservationRefused) {
                let place = ShardLoader.Place.allocate(capacity: 1)
                unsafe place.initialize(
                    to: ShardLoader(
                        number: number, keyspace: try Keyspace.make(keyspace), registry: registry,
                        owners: owners))
                unsafe loaders.append(place)
            } catch {
                throw LoadFailure("\(error)")
            }
        }
        let undone = recovery.undone(verdicts)
        let unfinished = undone.reduce(0) { $0 + $1.count }
        if unfinished > 0 {
            log.info("transactions without an end passed over", ("count", "\(unfinished)"))
        }
        let results = Results<Void>(count: shardCount)
        let nowMs = Int64(Clock.wallMs())
        let places = unsafe loaders.map { UInt(bitPattern: $0) }
        try onThreads(shardCount, "load") { number in
            let loader = unsafe ShardLoader.Place(bitPattern: places[number]).unsafelyUnwrapped
            let expected = recovery.recordsExpected(for: number, of: shardCount)
            unsafe loader.pointee.keyspace.beginLoading(expecting: expected)
            do throws(JournalFailure) {
                try recovery.read(
                    disk, for: number, of: shardCount, verdicts: verdicts, undone: undone,
                    withSlots: false,
                    passedOver: { unsafe loader.pointee.passOver($0, at: nowMs) }
                ) { record in unsafe loader.pointee.take(record, at: nowMs) }
            } catch {
                return results.fail(LoadFailure(error, in: directory))
            }
            unsafe loader.pointee.finish(at: nowMs)
            if let failure = unsafe loader.pointee.failure { return results.fail(failure) }
            results.set(number, ())
        }
        _ = try results.all()
        return unsafe loaders
    }

    /// Runs one thread for each number, and waits for all, saying once a second what goes on. A
    /// signal ends the process at once: nothing was acknowledged that could be lost.
    private func onThreads(
        _ count: Int, _ name: String, _ body: @escaping @Sendable (Int) -> Void
    ) throws(LoadFailure) {
        let left = Countdown(count)
        for number in 0..<count {
            do throws(SystemError) {
                _ = try Thread.start(name: "\(name)-\(number)") {
                    body(number)
                    left.one()
                }
            } catch {
                throw LoadFailure("\(error)")
            }
        }
        let began = Clock.monotonicMs()
        var told = began
        while !left.isOver(within: Self.signalsEveryMs) {
            if signals.wait(timeoutMs: 0) != nil {
                log.info("stopped while loading")
                exit(0)
            }
            let now = Clock.monotonicMs()
            guard now - told >= Self.progressEveryMs else { continue }
            told = now
            log.info("loading", ("step", name), ("seconds", "\((now - began) / 1000)"))
        }
    }

    // MARK: The new run

    /// The first segment of each shard's log, and the manifest that names them.
    private func beginRun(
        _ recovery: Recovery, _ verdicts: [[LogSource.Verdict]]
    ) throws(LoadFailure) -> ([UnsafeMutablePointer<LogWriter>], Manifest, Epoch) {
        let node =
            recovery.node ?? NodeID(high: Randomness.word(), low: Randomness.word())
        let epoch = Epoch(
            node: node, number: recovery.nextEpoch, salt: Randomness.word(), shards: shardCount)
        do throws(DiskFailure) {
            try disk.makeDirectory(FileNames.logs)
            try disk.syncDirectory("")
            var writers: [UnsafeMutablePointer<LogWriter>] = unsafe []
            for number in 0..<shardCount {
                let wish = LogWriter.firstSegment(epoch, shard: number)
                let file = try wish.make(disk, zeroed: policy.zeroesSegments)
                let place = UnsafeMutablePointer<LogWriter>.allocate(capacity: 1)
                unsafe place.initialize(to: LogWriter(wish, file: file))
                unsafe writers.append(place)
            }
            let manifest = recovery.manifest(verdicts, beginning: epoch)
            try manifest.write(disk)
            return unsafe (writers, manifest, epoch)
        } catch {
            throw LoadFailure(error, in: directory)
        }
    }
}

/// One shard's keyspace in the making, on a thread of its own.
@safe struct ShardLoader: ~Copyable {
    typealias Place = UnsafeMutablePointer<ShardLoader>

    let number: Int
    var keyspace: Keyspace
    private var replay = Replay()
    private var tables: Tables
    private let registry: TableRegistry
    private let owners: OwnerNumbers
    private(set) var accounts: [Account] = []
    private(set) var failure: LoadFailure?

    /// The table and the owner seen last: records of one come in rows.
    private var lastTable = ReservedTable.accounts
    private var lastOwner = OwnerID.anonymous
    private var lastNumber = Principal.anonymous.rawValue

    init(
        number: Int, keyspace: consuming Keyspace, registry: TableRegistry, owners: OwnerNumbers
    ) {
        self.number = number
        tables = Tables(seed: 0)
        self.keyspace = keyspace
        self.registry = registry
        self.owners = owners
        registry.update(&tables)
    }

    mutating func take(_ record: borrowing LogRecord, at nowMs: Int64) {
        guard failure == nil, let key = key(of: record) else { return }
        let applied = replay.take(
            record, key, owner: RecordOwner(rawValue: lastNumber), at: nowMs,
            into: &keyspace)
        switch applied {
        case .taken, .stale: break
        case .outOfMemory:
            failure = LoadFailure(
                "the records don't fit into the memory a node may take; raise --max-memory, or "
                    + "start with --eviction lru and lose the oldest")
        case .changed:
            let name = unsafe String(decoding: record.key, as: UTF8.self)
            failure = LoadFailure(
                "the log changes the list '\(name)' in a way that does not fit it; needletail check "
                    + "the directory, and keep a copy of it")
        }
    }

    mutating func passOver(_ record: borrowing LogRecord, at nowMs: Int64) {
        guard failure == nil, let key = key(of: record) else { return }
        replay.passOver(record, key, owner: RecordOwner(rawValue: lastNumber), at: nowMs)
    }

    /// The record's key in this run's numbers, and its owner in `lastNumber`.
    private mutating func key(of record: borrowing LogRecord) -> Key? {
        if unsafe !isNamed(lastTable, record.space, record.table) {
            guard let table = unsafe table(record.space, record.table) else {
                failure = LoadFailure("the files name more tables than a node can have")
                return nil
            }
            lastTable = table
        }
        if record.owner != lastOwner { findOwner(record.owner) }
        return unsafe Key(lastTable, record.key, keyspace.hashing)
    }

    private func isNamed(
        _ table: TableNumber, _ space: Space, _ name: UnsafeRawBufferPointer
    ) -> Bool {
        guard tables[table].space == space, let known = unsafe tables.name(table),
            known.count == name.count, let one = known.baseAddress, let other = name.baseAddress
        else { return false }
        return unsafe memcmp(one, other, name.count) == 0
    }

    private mutating func table(_ space: Space, _ name: UnsafeRawBufferPointer) -> TableNumber? {
        if let known = unsafe tables.number(of: name, in: space) { return known }
        return unsafe registry.number(of: name, in: space, adding: true, updating: &tables)
    }

    private mutating func findOwner(_ owner: OwnerID) {
        let nameless = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        let id = Identifier(high: owner.high, low: owner.low)
        guard let number = unsafe owners.number(adding: id, name: nameless) else {
            failure = LoadFailure("the files name more users than a node can have")
            return
        }
        lastOwner = owner
        lastNumber = number
    }

    /// Everything has come: what the node's own tables say is put to use.
    mutating func finish(at nowMs: Int64) {
        keyspace.finishLoading()
        unsafe forEach(ReservedTable.accounts, at: nowMs) { loader, _, value in
            guard let account = unsafe Account(encoded: value.bytes) else {
                loader.failure = LoadFailure(
                    "an account was written by a newer version; start with that version")
                return
            }
            loader.accounts.append(account)
            var name: [UInt8] = []
            account.name.append(to: &name)
            _ = unsafe name.withUnsafeBytes {
                unsafe loader.owners.number(adding: account.id, name: $0)
            }
        }
        unsafe forEach(ReservedTable.owners, at: nowMs) { loader, key, value in
            guard let id = unsafe Identifier(key.bytes), value.count > 2 else { return }
            // The name is a JSON string of plain characters.
            let name = unsafe UnsafeRawBufferPointer(rebasing: value[1..<value.count - 1])
            _ = unsafe loader.owners.number(adding: id, name: name)
        }
        unsafe forEach(ReservedTable.settings, at: nowMs) { loader, key, value in
            guard case .settings(let settings) = unsafe TableSettingsBody.parse(value),
                let table = unsafe loader.registry.number(
                    of: key, in: .shared, adding: true, updating: &loader.tables)
            else { return }
            loader.registry.change(table) { settings.apply(to: &$0) }
        }
    }

    private mutating func forEach(
        _ table: TableNumber, at nowMs: Int64,
        _ body: (inout ShardLoader, UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        let all = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        var page = unsafe keyspace.list(table, prefix: all, after: all, steps: .max)
        while let record = keyspace.next(&page, at: nowMs) {
            unsafe body(&self, record.key, record.value)
        }
    }
}

/// What several threads found out, or the first of their failures.
private final class Results<Value: Sendable>: Sendable {
    private let state: Guarded<([Value?], LoadFailure?)>

    init(count: Int) { state = Guarded((Array(repeating: nil, count: count), nil)) }

    func set(_ number: Int, _ value: Value) { state.withLock { $0.0[number] = value } }

    func fail(_ failure: LoadFailure) {
        state.withLock { $0.1 = $0.1 ?? failure }
    }

    func all() throws(LoadFailure) -> [Value] {
        let (values, failure) = state.withLock { ($0.0, $0.1) }
        if let failure { throw failure }
        return values.compactMap(\.self)
    }
}

/// How many threads are still at it. Who waits sleeps: on a single processor every look would take
/// the time from them.
@safe
private final class Countdown: @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let isZero: UnsafeMutablePointer<pthread_cond_t>
    private var left: Int

    init(_ count: Int) {
        left = count
        unsafe lock = .allocate(capacity: 1)
        unsafe isZero = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
        var steady = pthread_condattr_t()
        unsafe pthread_condattr_init(&steady)
        unsafe pthread_condattr_setclock(&steady, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(isZero, &steady)
        unsafe pthread_condattr_destroy(&steady)
    }

    deinit {
        unsafe pthread_cond_destroy(isZero)
        unsafe pthread_mutex_destroy(lock)
        unsafe isZero.deallocate()
        unsafe lock.deallocate()
    }

    func one() {
        unsafe pthread_mutex_lock(lock)
        left -= 1
        if left == 0 { unsafe pthread_cond_signal(isZero) }
        unsafe pthread_mutex_unlock(lock)
    }

    /// Waits until all have come to their end, or for so many milliseconds.
    func isOver(within waitMs: Int) -> Bool {
        var until = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &until)
        until.tv_nsec += waitMs * 1_000_000
        until.tv_sec += until.tv_nsec / 1_000_000_000
        until.tv_nsec %= 1_000_000_000
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        while left > 0, unsafe pthread_cond_timedwait(isZero, lock, &until) == 0 {}
        return left == 0
    }
}
