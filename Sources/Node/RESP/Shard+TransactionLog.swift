import Journal
import Keyspace
import Machine
import Wire

/// Which transaction the records belong to that are logged now, and where they stand.
struct LogMark: BitwiseCopyable {
    /// 0: none.
    var transaction: UInt64 = 0
    var first: CommitPosition = 0
    var last: CommitPosition = 0
    /// Room for its end is kept in the log.
    var keepsRoom = false
}

/// What makes a transaction whole or absent after a kill: its records carry its id, and count only
/// if its end is in the log, too. See docs/transactions.md.
extension Shard {
    static var busy: StaticString { "ERR the server has too much to do" }

    /// The id of a new transaction: no other of this run of the node has it.
    mutating func nextTransaction() -> UInt64 {
        let state = unsafe resp
        defer { unsafe state.pointee.nextTransaction += 1 }
        return unsafe state.pointee.nextTransaction << 8 | UInt64(number)
    }

    // MARK: On this shard alone

    /// Whether a command may write more than one record, and is not part of a transaction already.
    @inline(never)
    mutating func mayWriteSeveral(_ facts: CommandFacts, _ words: RESPWords) -> Bool {
        guard logged.transaction == 0, facts.flags.contains(.write) else { return false }
        switch facts.command {
        case .flushdb, .flushall: return true
        case .copy: return false
        default: return words.count > Int(facts.firstKey + max(1, facts.keyStep))
        }
    }

    /// What is written from here to `endTogether`, in this turn, is one transaction.
    mutating func beginTogether() {
        logged = LogMark(transaction: nextTransaction())
        logged.keepsRoom = reserveLog(TransactionEnd.fixedBytes)
    }

    mutating func endTogether() {
        let mark = logged
        logged = LogMark()
        if mark.keepsRoom { reserveLogNoMore(TransactionEnd.fixedBytes) }
        guard mark.last > 0 else { return }
        let resp = unsafe resp
        unsafe resp.pointee.told = logEnd(TransactionEnd(id: mark.transaction))
    }

    // MARK: Over shards

    /// A part of a transaction has written here: nobody hears of that before it is decided.
    mutating func noteUndecided(_ mark: LogMark) {
        guard mark.transaction != 0, mark.last > 0 else { return }
        let state = unsafe resp
        guard unsafe !state.pointee.undecided.contains(where: { $0.id == mark.transaction })
        else { return }
        unsafe state.pointee.undecided.append((mark.transaction, mark.first))
    }

    /// Up to where listeners may be told of changes: what is safe, and before what a transaction
    /// has written here that has not come to its end.
    var tellable: CommitPosition {
        mutating get {
            guard let first = unsafe resp.pointee.undecided.first else { return commitPoint.safe }
            return min(commitPoint.safe, first.position - 1)
        }
    }

    mutating func reserveLog(_ bytes: Int) -> Bool {
        guard let keeper = unsafe keeper else { return false }
        return unsafe keeper.pointee.reserve(bytes)
    }

    mutating func reserveLogNoMore(_ bytes: Int) {
        guard bytes > 0, let keeper = unsafe keeper else { return }
        unsafe keeper.pointee.reserveNoMore(bytes)
    }

    /// The log has no room for a transaction's end, so it is not begun.
    mutating func refuseUnlogged(_ kind: RESPTransaction.Kind, into out: inout RESPWriter) {
        guard kind == .exec else { return writeFailure(.unwritable, into: &out) }
        out.error(
            "EXECABORT Transaction discarded because of: MISCONF The node cannot write to its disk, so it takes no writes; see /ready"
        )
    }

    private mutating func logEnd(_ end: TransactionEnd) -> CommitPosition {
        let position = keyspace.passPosition()
        guard let keeper = unsafe keeper else { return position }
        let logged = unsafe keeper.pointee.append(end)
        invariant(logged == position, "the log counts other positions than the keyspace")
        return position
    }

    /// All of it is carried out: its end goes into the log, and it is told when that is safe.
    mutating func decide(
        _ transaction: UnsafeMutablePointer<RESPTransaction>, _ reply: [UInt8]
    ) {
        let others = unsafe transaction.pointee.lasts.filter { $0.shard != number }
        unsafe transaction.pointee.reply = reply
        unsafe transaction.pointee.decided = logEnd(
            TransactionEnd(id: transaction.pointee.id, others: others))
        let resp = unsafe resp
        unsafe resp.pointee.decided.append(transaction)
    }

    /// Whether a transaction can be told of that is done.
    mutating func hasDecided() -> Bool {
        guard let first = unsafe resp.pointee.decided.first else { return false }
        return unsafe first.pointee.decided <= commitPoint.safe || hasLogFailed
    }

    private var hasLogFailed: Bool {
        mutating get {
            guard let keeper = unsafe keeper else { return false }
            return unsafe keeper.pointee.logFailure != nil
        }
    }

    /// Ends those whose end in the log is safe: what waits for their keys goes on, so it is done
    /// before the turn's commit point.
    mutating func endDecided() {
        let resp = unsafe resp
        while hasDecided(), let first = unsafe resp.pointee.decided.first {
            _ = unsafe resp.pointee.decided.removeFirst()
            if unsafe first.pointee.decided <= commitPoint.safe {
                unsafe end(first, first.pointee.reply)
            } else {
                let refusal =
                    "-MISCONF The disk failed at this write: it may or may not have been made\r\n"
                unsafe end(first, Array(refusal.utf8))
            }
        }
    }
}
