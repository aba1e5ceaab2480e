/// What listeners found, as a report.
extension Report {
    private static let readDelayNsMax: UInt64 = 1_000_000
    private static let readDelayShareMax = 0.2

    mutating func add(
        _ heard: borrowing ListenerFigures, log: EventLog?, listeners: borrowing Listeners,
        settings: Settings
    ) {
        add(Latency("delivery", heard.delivery))
        add(Latency("by the kernel", heard.kernelDelivery))
        add(Latency("behind", heard.behind))
        var audience = [UInt32](repeating: 0, count: settings.keys)
        for listener in 0..<(settings.listeners - settings.stopped) {
            audience[listener % settings.keys] += 1
        }
        var ours = Histogram()
        var kernel = Histogram()
        var counts: (measured: UInt64, complete: UInt64) = (0, 0)
        if let log {
            counts = listeners.lastListeners(
                log, listenersOfKey: audience, fromNs: heard.startNs,
                untilNs: heard.startNs + UInt64(settings.durationMs) * 1_000_000, ours: &ours,
                kernel: &kernel)
        }
        add(Latency("last listener", ours))
        add(Latency("by the kernel, last", kernel))
        add("events", counts.measured, "taken by the server in the measured time")
        add("events_heard_by_all", counts.complete, "of those")
        let seconds = Double(settings.durationMs) / 1000
        add("deliveries", heard.deliveries, "distinct events heard, all listeners together")
        add("delivery_rate", Double(heard.deliveries) / seconds, .perSecond, "of those")
        add(
            "bytes_in", Double(heard.bytesIn) / (seconds + Double(settings.warmupMs) / 1000),
            .bytes, "a second, warm-up included")
        add("missed", heard.missed, "events that a listener never heard, and was not told of")
        add("duplicates", heard.duplicates, "events that a listener heard again")
        add("out_of_order", heard.outOfOrder, "events heard after a later one of their key")
        add("stale", heard.stale, "events heard more than --stale after their stamp")
        add("behind_at_end", heard.behindAtEnd, "listeners not at the newest state in the end")
        addStopped(heard.stopped)
        addStreams(heard, asked: settings.listeners)
    }

    private mutating func addStopped(_ stopped: ListenerFigures.Stopped) {
        guard stopped.listeners > 0 else { return }
        add("stopped.listeners", stopped.listeners, "that read nothing while events were written")
        add("stopped.told", stopped.told, "of them were told lagged")
        add("stopped.behind_at_end", stopped.behindAtEnd, "of them did not end at the newest state")
        add("stopped.deliveries", stopped.deliveries, "distinct events that they heard")
        add("stopped.conflated", stopped.conflated, "events left out, and said so")
        add("stopped.missed", stopped.missed, "events left out in silence")
        add("stopped.duplicates", stopped.duplicates, "")
        add("stopped.out_of_order", stopped.outOfOrder, "")
    }

    mutating func addStreams(_ heard: borrowing ListenerFigures, asked: Int) {
        add("streams", heard.connected, "opened, of \(asked)")
        add(
            "connect_seconds", Double(heard.connectNs) / 1e9, .seconds,
            "to open all of them, heads included")
        let rest: [(String, UInt64, String)] = [
            ("initial", heard.initial, "first events that were the present state"),
            ("foreign", heard.foreign, "events without a stamp of this run"),
            ("conflated", heard.conflated, "events left out of which the stream said so"),
            ("lagged", heard.lagged, "events named lagged"),
            ("skipped_said", heard.skippedSaid, "events left out by their own count"),
            ("resets", heard.resets, "events named reset"),
            ("byes", heard.byes, "events named bye"),
            ("comments", heard.comments, "heartbeats, by comment or ping"),
            ("refused", heard.refused, "streams answered with another status"),
            ("stream_connect_failures", heard.connectFailures, "streams that did not connect"),
            ("stream_disconnects", heard.disconnects, "streams that the server ended"),
            ("reconnects", heard.reconnects, "streams opened anew"),
            ("resumed", heard.resumed, "of them from the id of their last event"),
            ("stream_violations", heard.violations, "replies that are not in the protocol"),
        ]
        for (name, count, says) in rest where count > 0 { add(name, count, says) }
        if heard.connected < UInt64(asked) {
            cautions.append("only \(heard.connected) of \(asked) streams were opened")
        }
    }

    mutating func addListening(_ heard: borrowing ListenerFigures, busiest: Double) {
        add(
            "listening.cpu", busiest * 100, .percent, "of the busiest listening thread's processor")
        add(Latency("own read delay", heard.readDelay))
        if busiest > Self.busyShareMax {
            cautions.append(
                "a listening thread used \(Cells.decimals(busiest * 100, 0)) % of a processor and "
                    + "may have been the limit; --threads gives it more")
        }
        let delay = heard.readDelay.percentile(0.99)
        let whole = heard.delivery.percentile(0.99)
        if delay > Self.readDelayNsMax, Double(delay) > Double(whole) * Self.readDelayShareMax {
            cautions.append(
                "1 % of events lay unread for \(Cells.time(Double(delay))) or more after the "
                    + "kernel had them: the rows by the kernel are the server's, the others "
                    + "include the generator")
        }
    }

    /// What the streams cost the server, from before the first to after the last.
    mutating func add(held: ServerFigures, before: ServerFigures, listeners: UInt64) {
        guard listeners > 0 else { return }
        let parts: [(String, UInt64?, UInt64?, String)] = [
            (
                "server.own_a_stream", held.ownMemory, before.ownMemory,
                "of the process's own memory"
            ),
            (
                "server.rss_a_stream", held.rss, before.rss,
                "of the process, with the code that was read in meanwhile"
            ),
            (
                "server.group_a_stream", held.groupCharge, before.groupCharge,
                "charged to its control group, sockets included"
            ),
            (
                "server.kernel_a_stream", held.groupKernelMemory, before.groupKernelMemory,
                "of the kernel's in its group"
            ),
            (
                "machine.kernel_a_stream", held.machineKernelMemory, before.machineKernelMemory,
                "of the kernel's on the machine, both ends"
            ),
        ]
        for (name, after, first, says) in parts {
            addShare(name, after, first, listeners, says)
        }
    }

    /// What opening them left for the moment: a crowd that comes at once takes memory that is not
    /// needed once they idle.
    mutating func add(opened: ServerFigures, before: ServerFigures, listeners: UInt64) {
        addShare(
            "server.opening_a_stream", opened.ownMemory, before.ownMemory, listeners,
            "of the process's own memory, when the last one was opened")
    }

    private mutating func addShare(
        _ name: String, _ after: UInt64?, _ before: UInt64?, _ listeners: UInt64, _ says: String
    ) {
        guard listeners > 0, let after, let before else { return }
        add(name, (Double(after) - Double(before)) / Double(listeners), .bytes, says)
    }
}
