import Keyspace
import Machine
import Synchronization

/// The node's tables, numbered once for all shards.
///
/// Each shard works on a copy of its own and comes here only for a name it does not know, or when
/// the generation tells that something changed: so the lock is never on the way of an ordinary
/// request.
@safe final class TableRegistry: @unchecked Sendable {
    private struct Known: ~Copyable {
        var tables: Tables
        var awaitedCount = 0
    }

    private let known: Guarded<Known>
    private let changes = Atomic<UInt64>(0)

    init(seed: UInt64) {
        var tables = Tables(seed: seed)
        ReservedTable.open(in: &tables)
        known = Guarded(Known(tables: tables))
    }

    /// Grows with every change of a table's settings.
    var generation: UInt64 { changes.load(ordering: .acquiring) }

    /// The number of a table, known here or, with `adding`, made now; `copy` is brought up to date.
    func number(
        of name: UnsafeRawBufferPointer, in space: Space = .shared, adding: Bool,
        updating copy: inout Tables
    ) -> TableNumber? {
        known.withLock { known in
            let number =
                unsafe adding
                ? known.tables.number(adding: name, in: space)
                : known.tables.number(of: name, in: space)
            Self.bring(known.tables, to: &copy)
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
        known.withLock { known in
            var number = unsafe known.tables.number(of: name, in: .shared)
            if number == nil, known.awaitedCount < Self.awaitedMax {
                number = unsafe known.tables.number(adding: name, in: .shared)
                known.awaitedCount += 1
            }
            Self.bring(known.tables, to: &copy)
            return number
        }
    }

    func update(_ copy: inout Tables) {
        known.withLock { known in Self.bring(known.tables, to: &copy) }
    }

    /// Changes a table's settings for every shard, from each one's next turn on.
    func change(_ number: TableNumber, _ change: (inout TableInfo) -> Void) {
        known.withLock { known in
            var info = known.tables[number]
            change(&info)
            known.tables[number] = info
        }
        changes.add(1, ordering: .releasing)
    }

    private static func bring(_ tables: borrowing Tables, to copy: inout Tables) {
        for number in 0..<TableNumber(tables.count) {
            let info = tables[number]
            if number >= copy.count, let name = unsafe tables.name(number) {
                _ = unsafe copy.number(adding: name, in: info.space)
            }
            copy[number] = info
        }
    }
}
