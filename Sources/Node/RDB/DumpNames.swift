/// Which table a Redis database is: 0 is `default`, any other number n is `db<n>`.
enum DumpNames {
    static func table(of database: UInt64) -> [UInt8] {
        Array((database == 0 ? "default" : "db\(database)").utf8)
    }

    /// nil for a table that no database is: Redis refuses a file with more databases than it has.
    static func database(of table: [UInt8]) -> UInt64? {
        let name = String(decoding: table, as: UTF8.self)
        if name == "default" { return 0 }
        guard name.hasPrefix("db"), let number = UInt64(name.dropFirst(2)),
            (1..<UInt64(RESPDatabases.count)).contains(number), Self.table(of: number) == table
        else { return nil }
        return number
    }

    /// Why records are missing from a dump.
    static let leftOut =
        "their tables are no databases of Redis: only default and db1 to db15 are"
}
