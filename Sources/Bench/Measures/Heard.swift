/// Which events of one key a listener has heard, so that each further one is known for what it is.
///
/// It remembers the last 64 numbers, as an anti-replay window does: enough for any reordering that
/// is not plainly a fault, in 24 bytes a listener.
struct Heard {
    enum Verdict {
        case new
        /// Heard after a later one, and rightly so: the two were written at the same time.
        case overtaken
        case outOfOrder
        case duplicate
    }

    private static let span: UInt32 = 64

    private(set) var highest: UInt32 = 0
    private var window: UInt64 = 0
    /// Everything up to here had been answered before something was sent that has been heard.
    private(set) var settled: UInt32 = 0

    /// An event older than the window can't be told from a duplicate, and is taken for late.
    mutating func hear(_ sequence: UInt32, settled before: UInt32) -> Verdict {
        let isLate = sequence <= settled
        settled = max(settled, before)
        if sequence > highest {
            let ahead = sequence - highest
            window = ahead < Self.span ? window << UInt64(ahead) | 1 : 1
            highest = sequence
            return .new
        }
        let behind = highest - sequence
        if behind < Self.span {
            let bit = UInt64(1) << UInt64(behind)
            if window & bit != 0 { return .duplicate }
            window |= bit
        }
        return isLate ? .outOfOrder : .overtaken
    }
}
