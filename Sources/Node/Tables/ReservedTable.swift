import Keyspace
import Machine

/// The tables that the node keeps for itself, in the store like all others: so they are logged,
/// recovered and, one day, replicated by the same means. Their names begin with `_`, which no
/// table of a user's may, so no request can name them.
///
/// They are the first tables of every node, so their numbers are constants.
enum ReservedTable {
    /// `name` → the account.
    static let accounts: TableNumber = 0
    /// A table's name → what it was set to.
    static let settings: TableNumber = 1
    /// The identifier of an owner who has no account here (their token was signed elsewhere) → the
    /// name they are shown by.
    static let owners: TableNumber = 2
    static let count: TableNumber = 3

    private static let names: [StaticString] = ["_accounts", "_tables", "_owners"]

    /// Gives the reserved tables their numbers. Called before any other table gets one.
    static func open(in tables: inout Tables) {
        for (place, name) in names.enumerated() {
            let bytes = unsafe UnsafeRawBufferPointer(
                start: name.utf8Start, count: name.utf8CodeUnitCount)
            let number = unsafe tables.number(adding: bytes, in: .shared)
            invariant(number == TableNumber(place), "a reserved table has another's number")
        }
    }
}
