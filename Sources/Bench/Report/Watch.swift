import CMachine
import Glibc
import Machine
import Synchronization

/// The main thread while others measure: it shows how far they are, and looks at the server when
/// the measured time begins and ends.
struct Watch {
    private(set) var first = ServerFigures()
    private(set) var last = ServerFigures()
    private(set) var seconds = 0.0
    /// Processor seconds of everything but this process and the server.
    private(set) var strangersSeconds: Double?

    private let settings: Settings
    private let fromNs: UInt64
    private let isShown: Bool

    private static let pollUs: UInt32 = 20_000
    private static let showEveryNs: UInt64 = 500_000_000

    init(settings: Settings, startNs: UInt64) {
        self.settings = settings
        fromNs = startNs + UInt64(settings.warmupMs) * 1_000_000
        isShown = !settings.isQuiet && isatty(2) == 1
    }

    /// Returns when all senders are done.
    mutating func follow(
        _ control: UnsafeMutablePointer<RunControl>, threads: Int, progress: () -> UInt64
    ) {
        let untilNs =
            settings.requests == nil ? fromNs + UInt64(settings.durationMs) * 1_000_000 : .max
        var beganNs: UInt64?
        var busyAtStart = 0.0
        var hasLast = false
        var shownNs: UInt64 = 0
        var shownCount: UInt64 = 0
        while true {
            let nowNs = Clock.monotonicNs()
            let isDone = unsafe control.pointee.sendersDone.load(ordering: .acquiring) >= threads
            if beganNs == nil, nowNs >= fromNs {
                first = ServerFigures.read(pid: settings.pid, cgroup: settings.cgroup)
                busyAtStart = strangers(first)
                beganNs = nowNs
            }
            if !hasLast, nowNs >= untilNs || isDone {
                last = ServerFigures.read(pid: settings.pid, cgroup: settings.cgroup)
                seconds = Double(nowNs - (beganNs ?? nowNs)) / 1e9
                if settings.pid != nil { strangersSeconds = strangers(last) - busyAtStart }
                hasLast = true
            }
            if isDone { break }
            if Interrupt.hasCome {
                unsafe control.pointee.interrupted.store(true, ordering: .relaxed)
            }
            if isShown, nowNs > shownNs + Self.showEveryNs {
                let count = progress()
                let rate = Double(count - shownCount) * 1e9 / Double(nowNs - shownNs)
                show(nowNs, shownNs == 0 ? 0 : rate)
                shownNs = nowNs
                shownCount = count
            }
            usleep(Self.pollUs)
        }
        if isShown { Output.error("\r" + String(repeating: " ", count: 60) + "\r") }
    }

    private func show(_ nowNs: UInt64, _ rate: Double) {
        let place =
            nowNs < fromNs
            ? "warming up"
            : "\((nowNs - fromNs) / 1_000_000_000) s"
                + (settings.requests == nil ? " of \((settings.durationMs + 999) / 1000) s" : "")
        let text =
            "\r\(settings.command.rawValue): \(place), "
            + Cells.value(rate.rounded(), .perSecond)
        Output.error(Cells.left(text, 60))
    }

    /// Processor seconds of the machine that were neither idle, nor ours, nor the server's.
    private func strangers(_ server: ServerFigures) -> Double {
        guard settings.pid != nil, let stat = SmallFile.text("/proc/stat"),
            let line = stat.split(separator: "\n").first
        else { return 0 }
        let ticks = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard ticks.count >= 8 else { return 0 }
        // user nice system (idle iowait) irq softirq steal
        let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]
        var own = timespec()
        unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own)
        let servers = Double((server.userNs ?? 0) + (server.systemNs ?? 0)) / 1e9
        return busy / Double(max(sysconf(Int32(_SC_CLK_TCK)), 1)) - servers
            - Double(own.tv_sec) - Double(own.tv_nsec) / 1e9
    }
}

/// Control-C ends the measuring, and what there is is reported. The second one ends the process.
enum Interrupt {
    private static let flag = Atomic<Bool>(false)

    static var hasCome: Bool { flag.load(ordering: .relaxed) }

    static func listen() {
        signal(SIGINT) { _ in
            Interrupt.flag.store(true, ordering: .relaxed)
            signal(SIGINT, SIG_DFL)
        }
    }
}

/// Text to the two standard streams.
enum Output {
    static func error(_ text: String) { put(text, to: 2) }

    static func print(_ text: String) { put(text, to: 1) }

    private static func put(_ text: String, to fd: Int32) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe write(fd, buffer.baseAddress! + sent, bytes.count - sent)
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            sent += count
        }
    }
}
