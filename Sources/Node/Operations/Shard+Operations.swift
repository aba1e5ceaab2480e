import Keyspace
import Machine
import Synchronization
import Wire

/// What operators ask: `/metrics`, `/stats`, `/membership`; and the counting that answers them.
///
/// None of it is waited for: whoever is asked reads what the shards last published.
extension Shard {
    /// False: the path is none of these. Their names are no table's, so they are looked for
    /// only after the tables, and cost a request for a key nothing.
    mutating func routeOperations(
        _ index: UInt32, _ path: RawSpan, _ request: borrowing Request, _ shape: ReplyShape
    ) -> Bool {
        if path.equals("/metrics") {
            guard isRead(index, request, shape) else { return true }
            replyMetrics(index, request, shape)
        } else if path.equals("/stats") {
            guard isRead(index, request, shape) else { return true }
            replyText(index, shape, "application/json", OperationsJSON(snapshot()).stats)
        } else if path.equals("/admin/snapshot") {
            routeSnapshot(index, request, shape)
        } else if path.equals("/membership") {
            guard isRead(index, request, shape) else { return true }
            let answer = OperationsJSON(snapshot())
            replyText(
                index, shape, "application/json",
                asksForDetail(request) ? answer.membersInDetail : answer.members)
        } else {
            return false
        }
        return true
    }

    private mutating func replyMetrics(
        _ index: UInt32, _ request: borrowing Request, _ shape: ReplyShape
    ) {
        let form = unsafe MetricsForm(accept: request.field(.accept).map { unsafe Array($0) })
        let snapshot = snapshot()
        let text =
            switch form {
            case .json: OperationsJSON(snapshot).metrics
            case .prometheus: MetricsText.render(snapshot, openMetrics: false)
            case .openMetrics: MetricsText.render(snapshot, openMetrics: true)
            }
        replyText(index, shape, form.contentType, text, varies: true)
    }

    /// A whole reply of any length that no cache may keep.
    private mutating func replyText(
        _ index: UInt32, _ shape: ReplyShape, _ contentType: StaticString, _ text: String,
        varies: Bool = false
    ) {
        var text = text
        var writer = beginReply(index, shape, .ok)
        HTTPReplyHead.field("Content-Type", contentType, into: &writer)
        HTTPReplyHead.field("Cache-Control", "no-store", into: &writer)
        if varies { HTTPReplyHead.field("Vary", "Accept", into: &writer) }
        HTTPReplyHead.framing(.length(UInt64(text.utf8.count)), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) { return }
        let isWhole = text.withUTF8 { unsafe append(index, UnsafeRawBufferPointer($0)) }
        if !isWhole { close(index) }
    }

    private mutating func asksForDetail(_ request: borrowing Request) -> Bool {
        let all = unsafe request.bytes.bytes
        var items = request.queryItems
        while let item = items.next(in: all) {
            if all.slice(item.name).equals("detail") { return all.slice(item.value).equals("1") }
        }
        return false
    }

    private mutating func snapshot() -> NodeSnapshot {
        // Tables that other shards have made since.
        registry.update(&tables)
        let count = unsafe state.pointee.shardCount
        var turns = [UInt64](repeating: 0, count: DurationBuckets.count)
        var requests = turns
        var slices = turns
        var pushes = turns
        var tallies: [ShardTally] = []
        for shard in 0..<count {
            let figures = unsafe state.pointee.figures[shard]
            tallies.append(figures.tally)
            figures.addTurns(to: &turns)
            figures.addRequests(to: &requests)
            figures.addSlices(to: &slices)
            figures.addPushes(to: &pushes)
        }
        return unsafe NodeSnapshot(
            facts: state.pointee.facts, nowMs: wallMs,
            isDraining: acceptsNoMoreRequests, shards: tallies,
            tables: tables.count - Int(ReservedTable.count),
            bodyBytes: state.pointee.bodyBytes.load(ordering: .relaxed),
            bodyBytesMax: settings.bodyBudgetBytes, blockBytes: BlockPool.blockBytes,
            blockPoolBytes: ShardSettings.blockPoolBytes, connectionsMax: settings.connectionsMax,
            logBytes: durability.signals.pointee.logBytes.load(ordering: .relaxed),
            snapshots: durability.snapshotter?.figures ?? Snapshotter.Figures(),
            turns: turns, requests: requests, slices: slices, pushes: pushes)
    }

    // MARK: Counting

    /// The end of a turn: shows everybody what was counted in it.
    ///
    /// A request's duration is that of the turn that answered it, from the batch's return to here:
    /// it costs one look at the clock a turn, however many requests there were.
    mutating func publishFigures() {
        let ns = Clock.monotonicNs() &- turnStartNs
        let all = tally.requests
        let requests = all &- timedRequests
        timedRequests = all
        tally.turnNs &+= ns
        tally.serviceNs &+= ns &* requests
        tally.connectionsOpen = UInt64(truncatingIfNeeded: openCount)
        tally.blocksInUse = UInt64(truncatingIfNeeded: pool.used)
        figures.publish(&tally)
        figures.countTurn(ns: ns, requests: requests)
    }

    /// Before the answers to what changed it leave, so that nobody finds less than they wrote. Not
    /// each turn: the compiler copies the keyspace's struct to look at it.
    mutating func measureKeyspace() {
        var own = 0
        for table in 0..<ReservedTable.count { own += keyspace.count(of: table) }
        tally.keys = UInt64(truncatingIfNeeded: keyspace.count - own)
        tally.keyspaceBytes = UInt64(truncatingIfNeeded: keyspace.memoryBytes)
        tally.changes = keyspace.position &- loadedPosition
        tally.tombstones = UInt64(truncatingIfNeeded: keyspace.tombstoneEntries)
        figures.publish(&tally)
    }
}
