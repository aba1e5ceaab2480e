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
        var audience = [UInt32](repeating: 0, count: settings.keys)
        for listener in 0..<settings.listeners { audience[listener % settings.keys] += 1 }
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
        add("missed", heard.missed, "events that a listener never heard")
        add("duplicates", heard.duplicates, "events that a listener heard again")
        add("out_of_order", heard.outOfOrder, "events heard after a later one of their key")
        add("stale", heard.stale, "events heard more than --stale after their stamp")
        addStreams(heard, asked: settings.listeners)
    }

    mutating func addStreams(_ heard: borrowing ListenerFigures, asked: Int) {
        add("streams", heard.connected, "answered 200, of \(asked)")
        add(
            "connect_seconds", Double(heard.connectNs) / 1e9, .seconds,
            "to open all of them, heads included")
        let rest: [(String, UInt64, String)] = [
            ("initial", heard.initial, "first events that were the present state"),
            ("foreign", heard.foreign, "events without a stamp of this run"),
            ("lagged", heard.lagged, "events named lagged"),
            ("resets", heard.resets, "events named reset"),
            ("byes", heard.byes, "events named bye"),
            ("comments", heard.comments, "heartbeats"),
            ("refused", heard.refused, "streams answered with another status"),
            ("stream_connect_failures", heard.connectFailures, "streams that did not connect"),
            ("stream_disconnects", heard.disconnects, "streams that the server ended"),
            ("stream_violations", heard.violations, "replies that are not in the protocol"),
        ]
        for (name, count, says) in rest where count > 0 { add(name, count, says) }
        if heard.connected < UInt64(asked) {
            cautions.append("only \(heard.connected) of \(asked) streams were answered with 200")
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
            ("server.rss_a_stream", held.rss, before.rss, "of the process"),
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
            guard let after, let first else { continue }
            add(name, (Double(after) - Double(first)) / Double(listeners), .bytes, says)
        }
    }
}
