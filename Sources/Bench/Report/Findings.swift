/// How counts become a report, and when they are not to be believed.
extension Report {
    /// A generator's thread that is this busy may have been what held the rate down.
    static let busyShareMax = 0.9
    /// Lateness of its own that a figure can bear: below it the scheduler of any machine is seen.
    private static let latenessNsMax: UInt64 = 1_000_000
    private static let latenessShareMax = 0.2
    private static let strangersShareMax = 0.1

    mutating func add(_ figures: borrowing ThreadFigures, settings: Settings) {
        let seconds = Double(figures.endNs &- figures.startNs) / 1e9
        if settings.command == .push {
            add(Latency("publish", figures.writes))
        } else {
            let isRead = figures.writes.count == 0
            add(Latency(isRead ? "latency" : "read", figures.reads))
            add(Latency(figures.reads.count == 0 ? "latency" : "write", figures.writes))
        }
        let isPush = settings.command == .push
        let prefix = isPush ? "publish_" : ""
        add("seconds", seconds, .seconds, "measured")
        add(
            "\(prefix)rate", seconds > 0 ? Double(figures.replied) / seconds : 0, .perSecond,
            "replies that came in that time")
        if let rate = settings.rate {
            add("\(prefix)rate_asked", rate, .perSecond, "meant to be sent")
        }
        add("\(prefix)requests", figures.intended, "meant for that time")
        let digits = ["", "1xx", "2xx", "3xx", "4xx", "5xx"]
        for digit in [2, 3, 4, 5] where digit == 2 || figures.statuses[digit] > 0 {
            let says =
                settings.command != .resp
                ? "" : digit == 2 ? "replies that are no error" : "replies that are an error"
            add("\(prefix)replies_\(digits[digit])", figures.statuses[digit], says)
        }
        let troubles: [(String, UInt64, String)] = [
            ("absent", figures.absent, "replies that the key is not there"),
            ("timed_out", figures.timedOut, "requests without a reply within --timeout"),
            ("lost", figures.lost, "requests whose connection ended first"),
            ("unfinished", figures.unfinished, "requests without a reply at the end"),
            ("disconnects", figures.disconnects, "connections that the server ended"),
            ("connect_failures", figures.connectFailures, "connections that could not be made"),
            ("violations", figures.violations, "replies that are not in the protocol"),
        ]
        for (name, count, says) in troubles where count > 0 {
            add(prefix + name, count, says)
        }
        if figures.statuses[2] == 0 {
            cautions.append("no reply was a success: these are the figures of failing")
        } else if figures.absent > figures.replied / 2 {
            cautions.append("most keys were absent; --fill writes them first")
        }
        if isPush { return }
        add("bytes_in", seconds > 0 ? Double(figures.bytesIn) / seconds : 0, .bytes, "a second")
    }

    mutating func add(
        server watch: Watch, before: ServerFigures, each: (count: UInt64, says: String)
    ) {
        let last = watch.last
        let first = watch.first
        if let user = last.userNs, let user0 = first.userNs, let system = last.systemNs,
            let system0 = first.systemNs, watch.seconds > 0
        {
            let userUs = Double(user &- user0) / 1000
            let systemUs = Double(system &- system0) / 1000
            let share = (userUs + systemUs) / 1e6 / watch.seconds * 100
            add("server.cpu", share, .percent, "of one processor")
            if each.count > 0 {
                add("server.cpu_user", userUs / Double(each.count), .us, each.says)
                add("server.cpu_system", systemUs / Double(each.count), .us, each.says)
            }
        }
        if let rss = last.rss { add("server.rss", Double(rss), .bytes, "at the end") }
        if let rss = last.rss, let rss0 = first.rss {
            add("server.rss_grown", Double(rss) - Double(rss0), .bytes, "in the measured time")
        }
        if let most = last.rssMax { add("server.rss_max", Double(most), .bytes, "ever") }
        if let group = last.groupMemory {
            add("server.group_memory", Double(group), .bytes, "charged to its control group")
        }
        if let kernel = last.groupKernelMemory {
            add("server.kernel_memory", Double(kernel), .bytes, "of the kernel's in that")
        } else if last.rss != nil, let after = last.machineKernelMemory,
            let machine = before.machineKernelMemory
        {
            add(
                "machine.kernel_memory", Double(after) - Double(machine), .bytes,
                "more than before connecting, both sides and strangers")
        }
    }

    mutating func addGenerator(
        _ senders: borrowing Senders, _ figures: borrowing ThreadFigures, settings: Settings,
        watch: Watch
    ) {
        let busiest = senders.busiest
        add("generator.cpu", busiest * 100, .percent, "of its busiest thread's processor")
        add(Latency("own lateness", figures.lateness))
        judge(busiest: busiest, figures: figures, isOpen: settings.rate != nil)
        addStrangers(watch)
    }

    /// Was it the generator that held the figures down?
    mutating func judge(busiest: Double, figures: borrowing ThreadFigures, isOpen: Bool) {
        if busiest > Self.busyShareMax {
            var text =
                "the generator used \(Cells.decimals(busiest * 100, 0)) % of a processor and may "
                + "have been the limit"
            if let server = figure("server.cpu") {
                text += " (the server used \(Cells.decimals(server, 0)) %)"
            }
            text += isOpen ? "" : ": the rate is a lower bound"
            cautions.append(text + "; --threads gives it more")
        }
        let late = figures.lateness.percentile(0.99)
        let served = max(figures.reads.percentile(0.99), figures.writes.percentile(0.99))
        if late > Self.latenessNsMax, Double(late) > Double(served) * Self.latenessShareMax {
            cautions.append(
                "the generator itself was late: 1 % of requests were sent "
                    + "\(Cells.time(Double(late))) or more after they were due although a "
                    + "connection was free, so that much of the latency is its own")
        }
    }

    mutating func addStrangers(_ watch: Watch) {
        guard let strangers = watch.strangersSeconds, watch.seconds > 0 else { return }
        let share = strangers / watch.seconds
        if share > Self.strangersShareMax {
            cautions.append(
                "other processes used \(Cells.decimals(share * 100, 0)) % of a processor: they "
                    + "disturbed the run")
        }
    }
}
