import Keyspace

/// A piece of a snapshot: records of one shard in columns, compressed.
///
/// ```
/// head     0  u32  "nblk"
///          4  u32  bytes, this head included
///          8  u32  bytes of what it was before compression
///         12  u32  records
///         16  u16  shard, u16 zero
///         20  u32  CRC-32C of bytes 0..<20 and of what follows, begun with the snapshot's key
/// then a zstd frame of
///         u16 tables, u16 content types, u16 owners, u16 coding of the values, u32 bytes of all keys,
///         u32 × 4 how many records have a content type, a creation stamp, an expiry, a term
///         of each table: u64 space, u8 length; of each type: u16 length; of each owner: u64 × 2
///         names of tables, texts of types
///         columns, n values each: flags u8, table u16, owner u16, key length u16,
///         value length u32, stamp u64, version u48
///         of those whose flag says so, in order: type u16; creation stamp u64, as what it is
///         less than the stamp; expiry i64; term u64 and index u64
///         keys, values: as they are, or see `WordCoding`
/// ```
///
/// A column of numbers of several bytes lies in planes: first the lowest byte of all of them,
/// then the next. What hardly varies then costs next to nothing. Columns of tables and owners
/// are left out where there is only one.
enum SnapshotBlock {
    static let magic: UInt32 = 0x6B6C_626E
    static let headBytes = 24
    static let recordsMax = 65_535
    /// The largest value, with all there can be around it.
    static let rawBytesMax = Keyspace.valueBytesMax + (1 << 20)

    /// How the values stand in a block.
    enum Coding {
        static let plain: UInt16 = 0
        static let words: UInt16 = 1
    }

    /// The counts a block begins with.
    static let prefixBytes = 28

    /// Bits of a record's flags; the lowest two are the kind of its value.
    enum Flag {
        static let kinds: UInt8 = 3
        static let tombstone: UInt8 = 4
        static let contentType: UInt8 = 8
        static let created: UInt8 = 16
        static let expires: UInt8 = 32
        static let replicated: UInt8 = 64
        static let all: UInt8 = 127
    }

    /// The level of compression. Measured on word-like JSON in docs/decisions/0007: higher ones
    /// cost more time than they save space.
    static let level: Int32 = 3
}
