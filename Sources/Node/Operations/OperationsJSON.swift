/// What an operator or a program asks of a node, as JSON: `/metrics`, `/stats`, `/membership`.
struct OperationsJSON {
    let snapshot: NodeSnapshot
    private var facts: NodeFacts { snapshot.facts }

    init(_ snapshot: NodeSnapshot) { self.snapshot = snapshot }

    var metrics: String {
        let sum = snapshot.sum
        var text = "{\"node_id\":\(quoted(facts.nodeID)),\"key_count\":\(sum(\.keys))"
        text += ",\"wal_size\":\(snapshot.logBytes),\"timestamp\":\(snapshot.nowMs)"
        text += ",\"version\":\(quoted(facts.version)),\"io_driver\":\(quoted(facts.driver))"
        text += ",\"uptime_seconds\":\(max(0, snapshot.nowMs - facts.startedMs) / 1000)"
        text += ",\"tables\":\(snapshot.tables),\"keyspace_bytes\":\(sum(\.keyspaceBytes))"
        text += ",\"tombstones\":\(sum(\.tombstones))"
        text += ",\"requests\":{\"total\":\(sum(\.requests))"
        text += ",\"1xx\":\(sum(\.answers1xx)),\"2xx\":\(sum(\.answers2xx))"
        text += ",\"3xx\":\(sum(\.answers3xx)),\"4xx\":\(sum(\.answers4xx))"
        text += ",\"5xx\":\(sum(\.answers5xx))}"
        text += ",\"latency_ms\":\(latency(snapshot.requests, snapshot.averageServiceNs))"
        text += ",\"connections\":{\"open\":\(sum(\.connectionsOpen))"
        text += ",\"accepted\":\(sum(\.connectionsAccepted))"
        text += ",\"refused\":\(sum(\.connectionsRefused)),\"limit\":\(snapshot.connectionsMax)}"
        text += ",\"received_bytes\":\(sum(\.receivedBytes)),\"sent_bytes\":\(sum(\.sentBytes))"
        text += ",\"logins\":{\"accepted\":\(sum(\.loginsAccepted))"
        text += ",\"refused\":\(sum(\.loginsRefused)),\"throttled\":\(sum(\.loginsThrottled))"
        text += ",\"turned_away\":\(sum(\.loginsTurnedAway))}"
        text += ",\"streams\":{\"open\":\(sum(\.streamsOpen))"
        text += ",\"opened\":\(sum(\.streamsOpened)),\"closed\":\(sum(\.streamsClosed))"
        text += ",\"reset\":\(sum(\.streamsReset)),\"events\":\(sum(\.eventsPushed))"
        text += ",\"conflated\":\(sum(\.eventsConflated)),\"bytes\":\(sum(\.streamBytes))}"
        text += ",\"push_ms\":\(latency(snapshot.pushes, snapshot.averagePushNs))"
        text += ",\"body_budget\":{\"used_bytes\":\(snapshot.bodyBytes)"
        text += ",\"limit_bytes\":\(snapshot.bodyBytesMax)}"
        text += ",\"block_pool\":{"
        text += "\"used_bytes\":\(sum(\.blocksInUse) &* UInt64(snapshot.blockBytes))"
        text += ",\"limit_bytes\":\(snapshot.blockPoolBytes * snapshot.shards.count)}"
        text += ",\"log\":{\"written_bytes\":\(sum(\.logBytes)),\"syncs\":\(sum(\.syncs))"
        text += ",\"trouble\":\(snapshot.diskTrouble.map { quoted("\($0)") } ?? "null")}"
        text += ",\"snapshots\":{\"taken\":\(snapshot.snapshots.taken)"
        text += ",\"failed\":\(snapshot.snapshots.failed),\"bytes\":\(snapshot.snapshots.bytes)"
        text += ",\"records\":\(snapshot.snapshots.records)"
        text += ",\"duration_ms\":\(snapshot.snapshots.durationMs)}"
        text += ",\"turns\":\(snapshot.turns.reduce(0, &+))"
        text += ",\"shard_messages\":\(sum(\.messages)),\"shard_wakeups\":\(sum(\.wakeUps))"
        text += ",\"shards\":["
        text += snapshot.shards.map {
            "{\"key_count\":\($0.keys),\"requests\":\($0.requests)"
                + ",\"connections\":\($0.connectionsOpen),\"messages\":\($0.messages)}"
        }.joined(separator: ",")
        return text + "]}"
    }

    var stats: String {
        "{\"tables\":\(snapshot.tables),\"total_keys\":\(snapshot.sum(\.keys))"
            + ",\"total_requests\":\(snapshot.sum(\.requests)),\"average_latency_ms\":"
            + Decimals.milliseconds(ns: snapshot.averageServiceNs)
            + ",\"active_sse_connections\":\(snapshot.sum(\.streamsOpen)),\"cluster\":{\"nodes\":1,\"alive\":1"
            + ",\"node_id\":\(quoted(facts.nodeID)),\"address\":\(quoted(facts.address))"
            + ",\"leader\":\(quoted(facts.address)),\"shards\":\(snapshot.shards.count)}}"
    }

    /// A node by itself is all of its cluster, and leads it.
    var members: String { "[\(quoted(facts.address))]" }

    var membersInDetail: String {
        let status = snapshot.isDraining ? "draining" : "alive"
        return "{\(quoted(facts.address)):{\"status\":\"\(status)\""
            + ",\"last_heartbeat\":\(snapshot.nowMs),\"shards\":\(snapshot.shards.count)"
            + ",\"leader\":true,\"node_id\":\(quoted(facts.nodeID))"
            + ",\"version\":\(quoted(facts.version))}}"
    }

    private func latency(_ counts: [UInt64], _ averageNs: UInt64) -> String {
        func quantile(_ part: Double) -> String {
            Decimals.milliseconds(ns: DurationBuckets.quantileNs(part, of: counts))
        }
        return "{\"average\":\(Decimals.milliseconds(ns: averageNs))"
            + ",\"p50\":\(quantile(0.5)),\"p90\":\(quantile(0.9)),\"p99\":\(quantile(0.99))"
            + ",\"p999\":\(quantile(0.999))}"
    }

    private func quoted(_ value: String) -> String {
        var text = "\""
        for character in value.unicodeScalars {
            switch character.value {
            case 0x22, 0x5C:
                text += "\\"
                text.unicodeScalars.append(character)
            case ..<0x20: text += " "
            default: text.unicodeScalars.append(character)
            }
        }
        return text + "\""
    }
}
