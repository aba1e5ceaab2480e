/// Which table a Redis database is: 0 is `default`, any other number n is `db<n>`.
enum DumpNames {
    static func table(of database: UInt64) -> [UInt8] {
        Array((database == 0 ? "default" : "db\(database)").utf8)
    }

    /// nil for a table that no database is.
    static func database(of table: [UInt8]) -> UInt64? {
        let name = String(decoding: table, as: UTF8.self)
        if name == "default" { return 0 }
        guard name.hasPrefix("db"), let number = UInt64(name.dropFirst(2)), number > 0,
            Self.table(of: number) == table
        else { return nil }
        return number
    }
}
