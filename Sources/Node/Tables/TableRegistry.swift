import Keyspace
import Synchronization

/// The node's tables, numbered once for all shards.
///
/// Each shard works on a copy of its own and comes here only for a name it does not know, or when
/// the generation tells that something changed: so the lock is never on the way of an ordinary
/// request.
@safe final class TableRegistry: @unchecked Sendable {
    private let lock = Mutex(())
    /// Read and written under the lock only.
    private var tables: Tables
    private var awaitedCount = 0
    private let changes = Atomic<UInt64>(0)

    init(seed: UInt64) {
        tables = Tables(seed: seed)
        ReservedTable.open(in: &tables)
    }

    /// Grows with every change of a table's settings.
    var generation: UInt64 { changes.load(ordering: .acquiring) }

    /// The number of a table, known here or, with `adding`, made now; `copy` is brought up to date.
    func number(
        of name: UnsafeRawBufferPointer, in space: Space = .shared, adding: Bool,
        updating copy: inout Tables
    ) -> TableNumber? {
        lock.withLock { _ in
            let number =
                unsafe adding
                ? tables.number(adding: name, in: space) : tables.number(of: name, in: space)
            bring(&copy)
            return number
        }
    }

    /// Tables that only listeners named and nobody has written to are as many as this at most: they
    /// cost memory for ever, and whoever listens need not say who they are.
    static let awaitedMax = 4096

    /// The number of a table that somebody listens to, made now if it is new; nil when too many
    /// were made that way.
    func number(
        awaiting name: UnsafeRawBufferPointer, updating copy: inout Tables
    ) -> TableNumber? {
        lock.withLock { _ in
            var number = unsafe tables.number(of: name, in: .shared)
            if number == nil, awaitedCount < Self.awaitedMax {
                number = unsafe tables.number(adding: name, in: .shared)
                awaitedCount += 1
            }
            bring(&copy)
            return number
        }
    }

    func update(_ copy: inout Tables) {
        lock.withLock { _ in bring(&copy) }
    }

    /// Changes a table's settings for every shard, from each one's next turn on.
    func change(_ number: TableNumber, _ change: (inout TableInfo) -> Void) {
        lock.withLock { _ in
            var info = tables[number]
            change(&info)
            tables[number] = info
        }
        changes.add(1, ordering: .releasing)
    }

    private func bring(_ copy: inout Tables) {
        for number in 0..<TableNumber(tables.count) {
            let info = tables[number]
            if number >= copy.count, let name = unsafe tables.name(number) {
                _ = unsafe copy.number(adding: name, in: info.space)
            }
            copy[number] = info
        }
    }
}
