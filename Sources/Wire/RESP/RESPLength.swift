/// Lengths as nearly all commands have them: one to three digits.
enum RESPLength {
    /// The number whose digits begin at `start`, and where what follows its line begins. Nil where it
    /// is longer, no number, or not all here: then the general way decides.
    @inline(__always)
    static func short(
        _ bytes: UnsafeRawBufferPointer, at start: Int
    ) -> (value: Int, next: Int)? {
        guard start &+ 4 < bytes.count else { return nil }
        let first = unsafe bytes[start] &- 0x30
        guard first < 10 else { return nil }
        if unsafe bytes[start &+ 1] == 0x0D { return (Int(first), start &+ 3) }
        let second = unsafe bytes[start &+ 1] &- 0x30
        guard first > 0, second < 10 else { return nil }
        let two = Int(first) &* 10 &+ Int(second)
        if unsafe bytes[start &+ 2] == 0x0D { return (two, start &+ 4) }
        let third = unsafe bytes[start &+ 2] &- 0x30
        guard third < 10, unsafe bytes[start &+ 3] == 0x0D else { return nil }
        return (two &* 10 &+ Int(third), start &+ 5)
    }
}

/// A look at the commands of a pipeline before any of them is carried out.
public enum RESPLookahead {
    /// The first word after the name of the command that begins at `start`, and where the next one
    /// begins; nil where it has none, or is not whole and plain.
    @inline(__always)
    public static func key(
        _ bytes: UnsafeRawBufferPointer, at start: Int
    ) -> (key: Range<Int>, next: Int)? {
        guard start < bytes.count, unsafe bytes[start] == UInt8(ascii: "*"),
            let (count, first) = unsafe RESPLength.short(bytes, at: start &+ 1), count > 1
        else { return nil }
        var at = first
        var key = 0..<0
        for word in 0..<count {
            guard at < bytes.count, unsafe bytes[at] == UInt8(ascii: "$"),
                let (length, next) = unsafe RESPLength.short(bytes, at: at &+ 1),
                next &+ length &+ 2 <= bytes.count
            else { return nil }
            if word == 1 { key = next..<(next &+ length) }
            at = next &+ length &+ 2
        }
        return (key, at)
    }
}
