/// Rows about channels, transactions, the connection and the server.
extension CommandTable {
    static let channels: [CommandRow] = [
        CommandRow(
            .subscribe, -2, [.pubsub, .noscript, .loading, .stale], .none, .pubsub, "2.0.0",
            "channel [channel ...]", "Listens to channels.", "O(N) for N channels"),
        CommandRow(
            .unsubscribe, -1, [.pubsub, .noscript, .loading, .stale], .none, .pubsub, "2.0.0",
            "[channel [channel ...]]", "Stops listening to channels, or to all.",
            "O(N) for N channels"),
        CommandRow(
            .psubscribe, -2, [.pubsub, .noscript, .loading, .stale], .none, .pubsub, "2.0.0",
            "pattern [pattern ...]", "Listens to all channels that match a pattern.",
            "O(N) for N patterns"),
        CommandRow(
            .punsubscribe, -1, [.pubsub, .noscript, .loading, .stale], .none, .pubsub, "2.0.0",
            "[pattern [pattern ...]]", "Stops listening to patterns, or to all.",
            "O(N) for N patterns"),
        CommandRow(
            .publish, 3, [.pubsub, .loading, .stale, .fast], .none, .pubsub, "2.0.0",
            "channel message", "Sends a message to whoever listens; how many do.",
            "O(N+M) for N listeners of the channel and M patterns"),
        CommandRow(
            .pubsub, -2, [], .none, .pubsub, "2.8.0", "", "Who listens to what.",
            "Depends on the subcommand",
            subcommands: [
                CommandRow(
                    sub: "channels", -2, [.pubsub, .loading, .stale], .pubsub, "2.8.0",
                    "[pattern]", "Channels that have a listener."),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .pubsub, "6.2.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "numpat", 2, [.pubsub, .loading, .stale], .pubsub, "2.8.0", "",
                    "How many patterns are listened to."),
                CommandRow(
                    sub: "numsub", -2, [.pubsub, .loading, .stale], .pubsub, "2.8.0",
                    "[channel [channel ...]]", "How many listen to each channel."),
            ]),
    ]

    static let transactions: [CommandRow] = [
        CommandRow(
            .multi, 1, [.noscript, .loading, .stale, .fast, .allowBusy], .none, .transactions,
            "1.2.0", "", "Begins a transaction: what follows is queued."),
        CommandRow(
            .exec, 1, [.noscript, .loading, .stale, .skipSlowlog], .none, .transactions, "1.2.0",
            "", "Carries out what was queued, at once.", "Depends on the commands"),
        CommandRow(
            .discard, 1, [.noscript, .loading, .stale, .fast, .allowBusy], .none, .transactions,
            "2.0.0", "", "Forgets what was queued.", "O(N) for N commands"),
        CommandRow(
            .watch, -2, [.noscript, .loading, .stale, .fast, .allowBusy], .all, .transactions,
            "2.2.0", "key [key ...]",
            "Lets the next transaction happen only if the keys have not changed.",
            "O(1) a key"),
        CommandRow(
            .unwatch, 1, [.noscript, .loading, .stale, .fast, .allowBusy], .none, .transactions,
            "2.2.0", "", "Forgets the watched keys."),
    ]

    private static let sessionFlags: CommandFlags = [
        .noscript, .loading, .stale, .fast, .noAuth, .allowBusy,
    ]
    private static let clientFlags: CommandFlags = [.noscript, .loading, .stale]
    private static let adminFlags: CommandFlags = [.admin, .noscript, .loading, .stale]

    static let connection: [CommandRow] = [
        CommandRow(
            .ping, -1, [.fast], .none, .connection, "1.0.0", "[message]",
            "PONG, or the message."),
        CommandRow(
            .echo, 2, [.loading, .stale, .fast], .none, .connection, "1.0.0", "message",
            "The message."),
        CommandRow(
            .hello, -1, sessionFlags, .none, .connection, "6.0.0",
            "[protover [AUTH username password] [SETNAME clientname]]",
            "Chooses RESP2 or RESP3, and tells about the server."),
        CommandRow(
            .auth, -2, sessionFlags, .none, .connection, "1.0.0", "[username] password",
            "Says who the client is."),
        CommandRow(
            .select, 2, [.loading, .stale, .fast], .none, .connection, "1.0.0", "index",
            "Goes to another database: 0 is the table default, n the table db<n>."),
        CommandRow(
            .quit, -1, sessionFlags, .none, .connection, "1.0.0", "", "Ends the connection."),
        CommandRow(
            .reset, 1, sessionFlags, .none, .connection, "6.2.0", "",
            "Makes the connection as good as new."),
        CommandRow(
            .client, -2, [], .none, .connection, "2.4.0", "", "About connections.",
            "Depends on the subcommand",
            subcommands: [
                CommandRow(
                    sub: "getname", 2, clientFlags, .connection, "2.6.9", "",
                    "The connection's name."),
                CommandRow(
                    sub: "getredir", 2, clientFlags, .connection, "6.0.0", "",
                    "Where invalidations go: nowhere, -1."),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .connection, "5.0.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "id", 2, clientFlags, .connection, "5.0.0", "",
                    "The connection's number."),
                CommandRow(
                    sub: "info", 2, clientFlags, .connection, "6.2.0", "",
                    "About this connection."),
                CommandRow(
                    sub: "kill", -3, adminFlags, .connection, "2.4.0",
                    "[ip:port] [ID client-id] [TYPE NORMAL|MASTER|REPLICA|PUBSUB] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME YES|NO]",
                    "Ends connections.", "O(N) for N connections"),
                CommandRow(
                    sub: "list", -2, adminFlags, .connection, "2.4.0",
                    "[TYPE NORMAL|MASTER|REPLICA|PUBSUB] [ID client-id [client-id ...]]",
                    "About all connections.", "O(N) for N connections"),
                CommandRow(
                    sub: "no-evict", 3, adminFlags, .connection, "7.0.0", "ON|OFF",
                    "Taken and without effect: nothing of a connection is evicted."),
                CommandRow(
                    sub: "no-touch", 3, clientFlags, .connection, "7.2.0", "ON|OFF",
                    "Taken and without effect."),
                CommandRow(
                    sub: "reply", 3, clientFlags, .connection, "3.2.0", "ON|OFF|SKIP",
                    "Whether the client wants replies."),
                CommandRow(
                    sub: "setinfo", 4, clientFlags, .connection, "7.2.0",
                    "LIB-NAME libname|LIB-VER libver", "What library the client uses."),
                CommandRow(
                    sub: "setname", 3, clientFlags, .connection, "2.6.9", "connection-name",
                    "Gives the connection a name."),
                CommandRow(
                    sub: "trackinginfo", 2, clientFlags, .connection, "6.2.0", "",
                    "About client-side caching, which is off."),
            ]),
    ]

    private static let clusterFlags: CommandFlags = [.admin, .stale, .noAsyncLoading]

    static let server: [CommandRow] = [
        CommandRow(
            .command, -1, [.loading, .stale], .none, .server, "2.8.13", "",
            "About the commands.", "O(N) for N commands",
            subcommands: [
                CommandRow(
                    sub: "count", 2, [.loading, .stale], .server, "2.8.13", "",
                    "How many there are."),
                CommandRow(
                    sub: "docs", -2, [.loading, .stale], .server, "7.0.0",
                    "[command-name [command-name ...]]", "What they are for.",
                    "O(N) for N commands"),
                CommandRow(
                    sub: "getkeys", -4, [.loading, .stale], .server, "2.8.13",
                    "command [arg [arg ...]]", "Which arguments of a command are keys."),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .server, "5.0.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "info", -2, [.loading, .stale], .server, "2.8.13",
                    "[command-name [command-name ...]]", "What they are like.",
                    "O(N) for N commands"),
                CommandRow(
                    sub: "list", -2, [.loading, .stale], .server, "7.0.0",
                    "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]",
                    "Their names.", "O(N) for N commands"),
            ]),
        CommandRow(
            .info, -1, [.loading, .stale, .dangerous], .none, .server, "1.0.0",
            "[section [section ...]]", "How the server is."),
        CommandRow(
            .config, -2, [], .none, .server, "2.0.0", "", "How the server is set up.",
            "Depends on the subcommand",
            subcommands: [
                CommandRow(
                    sub: "get", -3, adminFlags, .server, "2.0.0",
                    "parameter [parameter ...]", "What parameters are set to."),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .server, "5.0.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "resetstat", 2, adminFlags, .server, "2.0.0", "",
                    "Begins to count anew."),
                CommandRow(
                    sub: "rewrite", 2, adminFlags, .server, "2.8.0", "",
                    "Refused: there is no configuration file."),
                CommandRow(
                    sub: "set", -4, adminFlags, .server, "2.0.0",
                    "parameter value [parameter value ...]", "Changes parameters."),
            ]),
        CommandRow(
            .dbsize, 1, [.readonly, .fast], .none, .server, "1.0.0", "",
            "How many keys the database has."),
        CommandRow(
            .flushdb, -1, [.write, .dangerous], .none, .server, "1.0.0", "[ASYNC|SYNC]",
            "Deletes all keys of the database.", "O(N) for N keys"),
        CommandRow(
            .flushall, -1, [.write, .dangerous], .none, .server, "1.0.0", "[ASYNC|SYNC]",
            "Deletes all keys of all databases.", "O(N) for N keys"),
        CommandRow(
            .time, 1, [.loading, .stale, .fast], .none, .server, "2.6.0", "",
            "The time: seconds since 1970 and microseconds."),
        CommandRow(
            .save, 1, [.admin, .noscript, .noAsyncLoading, .noMulti], .none, .server, "1.0.0",
            "", "Writes an RDB file.", "O(N) for N keys"),
        CommandRow(
            .bgsave, -1, [.admin, .noscript, .noAsyncLoading], .none, .server, "1.0.0",
            "[SCHEDULE]", "Writes an RDB file in the background."),
        CommandRow(
            .lastsave, 1, [.loading, .stale, .fast, .dangerous], .none, .server, "1.0.0", "",
            "When the data was last written whole."),
        CommandRow(
            .bgrewriteaof, 1, [.admin, .noscript, .noAsyncLoading], .none, .server, "1.0.0", "",
            "Writes a snapshot, after which the log is cut."),
        CommandRow(
            .role, 1, [.noscript, .loading, .stale, .fast, .dangerous], .none, .server, "2.8.12",
            "", "What the server is to others."),
        CommandRow(
            .replicaof, 3, [.admin, .noscript, .stale, .noAsyncLoading], .none, .server, "5.0.0",
            "host port|NO ONE", "Joins another node's cluster; not yet. NO ONE leaves it."),
        CommandRow(
            .slaveof, 3, [.admin, .noscript, .stale, .noAsyncLoading], .none, .server, "1.0.0",
            "host port|NO ONE", "The old name of REPLICAOF."),
        CommandRow(
            .cluster, -2, [], .none, .cluster, "3.0.0", "", "About the cluster.",
            "Depends on the subcommand",
            subcommands: [
                CommandRow(
                    sub: "countkeysinslot", 3, [.stale], .cluster, "3.0.0", "slot",
                    "How many keys a slot has."),
                CommandRow(
                    sub: "forget", 3, clusterFlags, .cluster, "3.0.0", "node-id",
                    "Takes a node out of the cluster; there is none beside this one yet."),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .cluster, "5.0.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "info", 2, [.stale], .cluster, "3.0.0", "", "How the cluster is."),
                CommandRow(
                    sub: "keyslot", 3, [.stale], .cluster, "3.0.0", "key",
                    "The slot of a key."),
                CommandRow(
                    sub: "meet", -4, clusterFlags, .cluster, "3.0.0",
                    "ip port [cluster-bus-port]", "Makes another node known; not yet."),
                CommandRow(
                    sub: "myid", 2, [.stale], .cluster, "3.0.0", "", "This node's id."),
                CommandRow(
                    sub: "nodes", 2, [.stale], .cluster, "3.0.0", "", "The nodes, a line each."),
                CommandRow(
                    sub: "reshard", -2, clusterFlags, .cluster, "3.0.0", "",
                    "Moves slots between nodes; not yet."),
                CommandRow(
                    sub: "shards", 2, [.stale], .cluster, "7.0.0", "",
                    "Which nodes have which slots."),
                CommandRow(
                    sub: "slots", 2, [.stale], .cluster, "3.0.0", "",
                    "Which nodes have which slots, in the older form."),
            ]),
    ]
}
