/// Which events of one key a listener has heard, so that each further one is known for what it is.
///
/// It remembers the last 64 numbers, as an anti-replay window does: enough for any reordering that
/// is not plainly a fault, in 16 bytes a listener.
struct Heard {
    enum Verdict { case new, outOfOrder, duplicate }

    private static let span: UInt32 = 64

    private(set) var highest: UInt32 = 0
    private var window: UInt64 = 0

    /// One older than the window is taken to be out of order: it can't be told from a duplicate.
    mutating func hear(_ sequence: UInt32) -> Verdict {
        if sequence > highest {
            let ahead = sequence - highest
            window = ahead < Self.span ? window << UInt64(ahead) | 1 : 1
            highest = sequence
            return .new
        }
        let behind = highest - sequence
        guard behind < Self.span else { return .outOfOrder }
        let bit = UInt64(1) << UInt64(behind)
        if window & bit != 0 { return .duplicate }
        window |= bit
        return .outOfOrder
    }
}
