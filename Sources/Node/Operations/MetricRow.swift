/// One figure that every shard has, and what it is called: the one list that the Prometheus text
/// and the documentation follow.
struct MetricRow: Sendable {
    enum Kind: String {
        case counter, gauge
    }

    /// Without `_total`, which a counter's samples get.
    let name: StaticString
    let kind: Kind
    let help: StaticString
    /// A label besides the shard's, and what it stands at.
    let label: (name: StaticString, value: StaticString)?
    /// Told for each shard, not only as their sum.
    let isPerShard: Bool
    let value: @Sendable (ShardTally) -> UInt64

    private init(
        _ name: StaticString, _ kind: Kind, _ help: StaticString,
        _ label: (name: StaticString, value: StaticString)? = nil, isPerShard: Bool = true,
        _ value: @escaping @Sendable (ShardTally) -> UInt64
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.label = label
        self.isPerShard = isPerShard
        self.value = value
    }

    /// Rows of one name follow each other: the exposition format wants a family in one piece.
    static let all: [MetricRow] =
        requests("1xx") { $0.answers1xx } + requests("2xx") { $0.answers2xx }
        + requests("3xx") { $0.answers3xx } + requests("4xx") { $0.answers4xx }
        + requests("5xx") { $0.answers5xx }
        + [
            MetricRow("needletail_received_bytes", .counter, "Bytes received from clients.") {
                $0.receivedBytes
            },
            MetricRow("needletail_sent_bytes", .counter, "Bytes sent to clients.") {
                $0.sentBytes
            },
            MetricRow("needletail_connections_open", .gauge, "Connections open now.") {
                $0.connectionsOpen
            },
            MetricRow("needletail_connections_accepted", .counter, "Connections served.") {
                $0.connectionsAccepted
            },
            MetricRow(
                "needletail_connections_refused", .counter,
                "Connections refused over the bound or while draining."
            ) { $0.connectionsRefused },
            MetricRow("needletail_websockets_open", .gauge, "WebSocket connections open now.") {
                $0.webSocketsOpen
            },
            MetricRow(
                "needletail_websockets_opened", .counter, "WebSocket connections served."
            ) { $0.webSocketsOpened },
        ]
        + logins("accepted") { $0.loginsAccepted } + logins("refused") { $0.loginsRefused }
        + logins("throttled") { $0.loginsThrottled }
        + logins("turned_away") { $0.loginsTurnedAway }
        + [
            MetricRow(
                "needletail_shard_messages", .counter, "Messages taken from other shards."
            ) { $0.messages },
            MetricRow(
                "needletail_shard_wakeups", .counter, "Sleeping shards woken for a message."
            ) { $0.wakeUps },
            MetricRow("needletail_log_written_bytes", .counter, "Bytes written to the log.") {
                $0.logBytes
            },
            MetricRow("needletail_log_syncs", .counter, "Syncs of the log that ended.") {
                $0.syncs
            },
            MetricRow(
                "needletail_log_trouble", .gauge,
                "Why writes are refused: 0 not at all, 1 disk full, 2 log stuck, 3 disk failed."
            ) { $0.diskTrouble },
            MetricRow("needletail_keys", .gauge, "Live records.", isPerShard: false) { $0.keys },
            MetricRow("needletail_shard_keys", .gauge, "Live records of a shard.") { $0.keys },
            MetricRow(
                "needletail_keyspace_bytes", .gauge, "Memory that records and their index take."
            ) { $0.keyspaceBytes },
            MetricRow(
                "needletail_tombstones", .gauge, "Deletions whose versions are remembered.",
                isPerShard: false
            ) { $0.tombstones },
            MetricRow(
                "needletail_streams_open", .gauge, "Streams of live updates open now."
            ) { $0.streamsOpen },
            MetricRow("needletail_streams_opened", .counter, "Streams opened.") {
                $0.streamsOpened
            },
            MetricRow("needletail_streams_closed", .counter, "Streams ended.") {
                $0.streamsClosed
            },
            MetricRow(
                "needletail_streams_reset", .counter,
                "Streams told to begin again with the present state."
            ) { $0.streamsReset },
            MetricRow("needletail_events_pushed", .counter, "Events put on streams.") {
                $0.eventsPushed
            },
            MetricRow(
                "needletail_events_conflated", .counter,
                "Events that a later one of the same key stood for."
            ) { $0.eventsConflated },
            MetricRow("needletail_stream_bytes", .counter, "Bytes sent on streams.") {
                $0.streamBytes
            },
        ]

    private static func requests(
        _ digits: StaticString, _ value: @escaping @Sendable (ShardTally) -> UInt64
    ) -> [MetricRow] {
        [
            MetricRow(
                "needletail_requests", .counter, "Requests answered, by class of status.",
                ("class", digits), value)
        ]
    }

    private static func logins(
        _ outcome: StaticString, _ value: @escaping @Sendable (ShardTally) -> UInt64
    ) -> [MetricRow] {
        [
            MetricRow(
                "needletail_logins", .counter, "Logins, by outcome.", ("outcome", outcome),
                isPerShard: false, value)
        ]
    }
}
