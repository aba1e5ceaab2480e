/// What one listener of one key heard, held against what it should have heard.
///
/// A stream may leave events out, if it says so: with `lagged`, which tells how many, or by
/// beginning anew with the present state, on a first connection or after `reset`. Everything else
/// that was written and not heard was missed. A connection that asked to go on from an id and is
/// given the present state without `reset` has said nothing, so its gap counts as missed.
struct Account {
    enum Verdict: Equatable {
        case new
        /// Heard after a later one, and rightly so: the two were written at the same time.
        case overtaken
        case outOfOrder
        case duplicate
        /// The present state, of which the stream has told no more than it had to.
        case state
    }

    private var heard = Heard()
    /// Distinct events of the measured time.
    private(set) var heardCount: UInt32 = 0
    /// Events of the measured time that the stream has said it left out.
    private(set) var excused: UInt32 = 0
    /// The number of the newest event heard, counted from 1; 0 for none.
    private(set) var newestEvent: UInt32 = 0
    /// The next event may be the present state. Looking for the mark in each would cost time.
    private(set) var awaitsState = true
    private var mayLeap = true

    /// The highest number of the key that was heard, as an event or as the state.
    var highest: UInt32 { heard.highest }

    /// A connection begins: one that resumes promises that nothing is left out.
    mutating func connected(isResuming: Bool) {
        awaitsState = true
        mayLeap = !isResuming
    }

    /// The server can't go on from the id: the state follows.
    mutating func reset() {
        awaitsState = true
        mayLeap = true
    }

    /// The server has left out so many.
    mutating func lagged(skipped: UInt32) { excused += skipped }

    mutating func hear(_ stamp: Stamp, isState: Bool, isMeasured: Bool) -> Verdict {
        awaitsState = false
        let highest = heard.highest
        if isState, stamp.sequence <= highest {
            // The same state again is no news; an older one is a step back.
            return stamp.sequence < highest && stamp.sequence <= heard.settled
                ? .outOfOrder : .state
        }
        let verdict = heard.hear(stamp.sequence, settled: stamp.settled)
        if stamp.sequence > highest { newestEvent = stamp.event &+ 1 }
        if isState {
            // It stands for the events up to it, itself among them.
            if mayLeap, isMeasured { excused += stamp.sequence - highest }
            mayLeap = false
            return .state
        }
        if isMeasured, verdict != .duplicate { heardCount += 1 }
        switch verdict {
        case .new: return .new
        case .overtaken: return .overtaken
        case .outOfOrder: return .outOfOrder
        case .duplicate: return .duplicate
        }
    }

    /// Of so many events, those that were never heard: left out in silence, and left out and said.
    func unheard(of expected: UInt32) -> (missed: UInt32, conflated: UInt32) {
        let unheard = expected > heardCount ? expected - heardCount : 0
        let conflated = min(unheard, excused)
        return (unheard - conflated, conflated)
    }
}
