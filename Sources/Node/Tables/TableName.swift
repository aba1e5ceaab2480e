import Keyspace
import Wire

/// Which names a table may have: 1 to 128 of `A-Za-z0-9._-`, not beginning with `.` or `_`, and
/// none of the first path segments that lead somewhere else.
///
/// The set goes unescaped through URLs, JSON, log lines and file names.
enum TableName {
    static let bytesMax = Tables.nameBytesMax

    /// The table that the older surface, `/key/{k}`, and RESP's database 0 work on.
    static let defaultName: StaticString = "default"

    enum Verdict: Equatable, Sendable, BitwiseCopyable {
        case good, malformed, reserved
    }

    static func judge(_ name: UnsafeRawBufferPointer) -> Verdict {
        guard name.count >= 1, name.count <= bytesMax, unsafe isFirst(name[0]) else {
            return .malformed
        }
        var tail: UInt64 = 0
        for index in 0..<name.count {
            let byte = unsafe name[index]
            guard allows(byte) else { return .malformed }
            tail = tail &<< 8 | UInt64(byte)
        }
        return unsafe isReserved(name, tail: tail) ? .reserved : .good
    }

    @inline(__always)
    static func isFirst(_ byte: UInt8) -> Bool { byte != 0x2E && byte != 0x5F }

    /// The set as 128 bits, so that asking costs a shift and not a table's cache line.
    @inline(__always)
    static func allows(_ byte: UInt8) -> Bool {
        let bits: UInt64 = byte < 64 ? 0x03FF_6000_0000_0000 : 0x07FF_FFFE_87FF_FFFE
        return byte < 128 && bits &>> UInt64(byte & 63) & 1 != 0
    }

    /// `tail` holds the name's last eight bytes, the last one lowest: whoever has looked at
    /// each byte anyway asks with a few comparisons of integers.
    @inline(__always)
    static func isReserved(_ name: UnsafeRawBufferPointer, tail: UInt64) -> Bool {
        if name.count <= 8 { return isReservedWord(tail) }
        if name.count > 12 { return false }
        return unsafe isReservedAndLong(name)
    }

    @inline(__always)
    private static func isReservedWord(_ word: UInt64) -> Bool {
        word == packed("key") || word == packed("auth") || word == packed("signup")
            || word == packed("login") || word == packed("logout") || word == packed("token")
            || word == packed("apikeys") || word == packed("usage") || word == packed("v1")
            || word == packed("ws") || word == packed("client") || word == packed("health")
            || word == packed("ready") || word == packed("metrics") || word == packed("stats")
            || word == packed("admin") || word == packed("cluster") || word == packed("store")
            || word == packed("assets")
    }

    @inline(never)
    private static func isReservedAndLong(_ name: UnsafeRawBufferPointer) -> Bool {
        unsafe name.bytes.equals("subscribe") || name.bytes.equals("dashboard")
            || name.bytes.equals("membership") || name.bytes.equals("openapi.json")
    }

    /// Up to eight bytes as one integer, the last one lowest; a constant at -O.
    @inline(__always)
    private static func packed(_ text: StaticString) -> UInt64 {
        var word: UInt64 = 0
        for index in 0..<text.utf8CodeUnitCount {
            word = unsafe word &<< 8 | UInt64(text.utf8Start[index])
        }
        return word
    }
}
