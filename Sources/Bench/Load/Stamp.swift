import Glibc

/// What a published value carries, so that whoever receives it knows which event it is, how old
/// it is, and whether it belongs to this run at all.
///
/// It is plain text of fixed width without anything JSON would escape, so it is found by search
/// whatever envelope a server puts around a value, and written into a prepared request in place.
struct Stamp: Equatable {
    /// `ntb1`, five numbers of eight hexadecimal digits, one of sixteen.
    static let byteCount = 4 + 5 * 8 + 16

    /// Tells this run's events from what an earlier run left in the server.
    var run: UInt32
    /// Counts all events of a run.
    var event: UInt32
    var key: UInt32
    /// Counts the events of one key, from 1.
    var sequence: UInt32
    /// All events of the key up to this number had been answered when this one was sent, so it has
    /// to come after them. Writes that are under way together have no order among them.
    var settled: UInt32
    /// When it was meant to be sent, of this machine's monotonic clock.
    var sentNs: UInt64

    func write(to place: UnsafeMutablePointer<UInt8>) {
        unsafe memcpy(place, "ntb1", 4)
        unsafe Self.writeHex(UInt64(run), digits: 8, to: place + 4)
        unsafe Self.writeHex(UInt64(event), digits: 8, to: place + 12)
        unsafe Self.writeHex(UInt64(key), digits: 8, to: place + 20)
        unsafe Self.writeHex(UInt64(sequence), digits: 8, to: place + 28)
        unsafe Self.writeHex(UInt64(settled), digits: 8, to: place + 36)
        unsafe Self.writeHex(sentNs, digits: 16, to: place + 44)
    }

    /// The first stamp in the text, or nil when there is none.
    static func find(in text: UnsafePointer<UInt8>, _ count: Int) -> Stamp? {
        var start = 0
        while start + byteCount <= count {
            guard
                let found = unsafe memchr(
                    text + start, Int32(UInt8(ascii: "n")), count - byteCount - start + 1)
            else { return nil }
            let place = unsafe found - UnsafeMutableRawPointer(mutating: text)
            let stamp = unsafe text + place
            if unsafe memcmp(stamp, "ntb1", 4) == 0,
                let run = unsafe hex(stamp + 4, 8), let event = unsafe hex(stamp + 12, 8),
                let key = unsafe hex(stamp + 20, 8), let sequence = unsafe hex(stamp + 28, 8),
                let settled = unsafe hex(stamp + 36, 8),
                let sentNs = unsafe hex(stamp + 44, 16)
            {
                return Stamp(
                    run: UInt32(run), event: UInt32(event), key: UInt32(key),
                    sequence: UInt32(sequence),
                    settled: UInt32(settled), sentNs: sentNs)
            }
            start = place + 1
        }
        return nil
    }

    private static func writeHex(
        _ value: UInt64, digits: Int, to place: UnsafeMutablePointer<UInt8>
    ) {
        var rest = value
        for index in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(rest & 15)
            unsafe place[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            rest >>= 4
        }
    }

    private static func hex(_ text: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
        var value: UInt64 = 0
        for place in 0..<count {
            let byte = unsafe text[place]
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(byte - 0x57)
            default: return nil
            }
        }
        return value
    }
}
