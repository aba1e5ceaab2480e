import CMachine
import Glibc
import Machine
import Synchronization

/// How this run's threads reach the kernel: chosen once, made by each thread for itself.
struct DriverMaker: Sendable {
    private let choice: IOProbe.Choice

    init(_ choice: Settings.DriverChoice) throws(SystemError) {
        switch choice {
        case .auto: self.choice = IOProbe.choose(allowed: .all)
        case .epoll: self.choice = .epoll(why: "--driver epoll")
        case .uring:
            let found = IOProbe.choose(allowed: .all)
            if case .epoll(let why) = found {
                throw SystemError("--driver uring", ENOSYS, hint: why)
            }
            self.choice = found
        }
    }

    var name: String {
        switch choice {
        case .uring: "io_uring"
        case .epoll: "epoll"
        }
    }

    func make(sockets: Int, waker: Waker) throws(SystemError) -> Driver {
        let limits = DriverLimits(socketsMax: sockets)
        switch choice {
        case .uring(let features):
            return try Driver.uring(limits: limits, features: features, waker: waker)
        case .epoll: return try Driver.epoll(limits: limits, waker: waker)
        }
    }
}

/// The requests of a run as they are written, for each thread to prepare its own.
struct RequestTexts: Sendable {
    let settings: Settings
    let headers: [String]
    /// Writes carry stamps, for listeners to know them by.
    var isStamped = false

    var read: RequestTemplate {
        guard settings.command == .resp else {
            return .http(
                method: "GET", path: settings.keyPath, host: settings.target, headers: headers)
        }
        switch settings.respCommand {
        case .ping: return .resp([Array("PING".utf8)])
        default: return .resp(["GET", Self.respKey].map { Array($0.utf8) })
        }
    }

    var write: RequestTemplate {
        let value = RequestTemplate.value(
            size: settings.size, isStamped: isStamped, isWords: settings.isWords)
        guard settings.command == .resp else {
            if let payload = settings.payload {
                return .http(
                    method: settings.publishMethod, path: settings.publishPath ?? settings.keyPath,
                    host: settings.target, headers: headers, contentType: "application/json",
                    body: Array(RequestTemplate.withKey(payload).utf8))
            }
            let isJSON = settings.body == .json
            return .http(
                method: settings.publishMethod,
                path: settings.publishPath ?? settings.keyPath, host: settings.target,
                headers: headers,
                contentType: isJSON ? "application/json" : "application/octet-stream",
                body: isJSON
                    ? Array("{\"value\":\"".utf8) + value + Array("\"}".utf8) : value,
                isStamped: isStamped)
        }
        let key = Array(Self.respKey.utf8)
        switch settings.respCommand {
        case .incr: return .resp([Array("INCR".utf8), Array("n:".utf8) + key])
        case .lpush: return .resp([Array("LPUSH".utf8), Self.respList, value])
        case .lpop: return .resp([Array("LPOP".utf8), Self.respList])
        default: return .resp([Array("SET".utf8), key, value])
        }
    }

    /// One list that every connection pushes to and pops from.
    private static let respList = Array("bench:list".utf8)
    private static let respKey = RequestTemplate.withKey("bench:\(RequestTemplate.keyPlaceholder)")
}

/// The threads that send, from their start to their figures.
@safe struct Senders: ~Copyable {
    let count: Int
    let figures: UnsafeMutablePointer<ThreadFigures>
    private var threads: [ThreadHandle] = []

    /// Starts a thread for each plan. They connect, report ready, and wait for the control's start.
    static func start(
        plans: [LoadPlan], texts: RequestTexts, peer: Peer, maker: DriverMaker, events: EventLog?,
        cpus: [Int], control: UnsafeMutablePointer<RunControl>
    ) throws(SystemError) -> Senders {
        var senders = Senders(count: plans.count)
        for (place, plan) in plans.enumerated() {
            let start = unsafe SenderStart(
                plan: plan, texts: texts, peer: peer, maker: maker, events: events,
                cpu: cpus.isEmpty ? nil : cpus[place % cpus.count],
                figures: senders.figures + place, control: control)
            senders.threads.append(
                ThreadHandle(try Thread.start(name: "sender \(place)") { start.run() }))
        }
        return senders
    }

    private init(count: Int) {
        self.count = count
        unsafe figures = .allocate(capacity: count)
        for place in 0..<count { unsafe (figures + place).initialize(to: ThreadFigures()) }
    }

    deinit {
        unsafe figures.deinitialize(count: count)
        unsafe figures.deallocate()
    }

    /// Replies counted so far.
    var progress: UInt64 {
        var sum: UInt64 = 0
        for place in 0..<count {
            sum += unsafe figures[place].progress.load(ordering: .relaxed)
        }
        return sum
    }

    /// Waits until all threads have ended.
    mutating func join() {
        for thread in threads { thread.join() }
        threads = []
    }

    var failure: String? {
        for place in 0..<count {
            if let failure = unsafe figures[place].failure { return failure }
        }
        return nil
    }

    /// After `join`: what all threads counted.
    func merged() -> ThreadFigures {
        var all = ThreadFigures()
        for place in 0..<count { unsafe all.merge(figures[place]) }
        return all
    }

    /// The processor share of the busiest thread.
    var busiest: Double {
        var most = 0.0
        for place in 0..<count {
            let spanNs = unsafe figures[place].endNs &- figures[place].startNs
            guard spanNs > 0 else { continue }
            most = unsafe max(most, Double(figures[place].cpuNs) / Double(spanNs))
        }
        return most
    }
}

/// A thread in a place where only copyable values can be.
final class ThreadHandle: Sendable {
    private let thread: Guarded<Thread?>

    init(_ thread: consuming sending Thread) { self.thread = Guarded(thread) }

    func join() {
        let thread = thread.withLock { $0.take() }
        thread?.join()
    }
}

/// Everything a sending thread is given.
@safe private struct SenderStart: @unchecked Sendable {
    let plan: LoadPlan
    let texts: RequestTexts
    let peer: Peer
    let maker: DriverMaker
    let events: EventLog?
    let cpu: Int?
    let figures: UnsafeMutablePointer<ThreadFigures>
    let control: UnsafeMutablePointer<RunControl>

    func run() {
        do throws(SystemError) {
            if let cpu { try Thread.pin(cpu: cpu) }
            ThreadClock.wakePrecisely()
            let waker = try Waker.make()
            defer { waker.close() }
            let driver = try maker.make(sockets: plan.connections, waker: waker)
            defer { driver.destroy() }
            var loop = unsafe try RequestLoop.make(
                plan: plan, peer: peer, driver: driver, read: texts.read, write: texts.write,
                events: events, figures: figures, control: control)
            try loop.connect()
            unsafe control.pointee.ready.add(1, ordering: .releasing)
            if let startNs = unsafe control.pointee.waitForStart() { loop.run(startNs: startNs) }
        } catch {
            unsafe figures.pointee.failure = "\(error)"
            unsafe control.pointee.ready.add(1, ordering: .releasing)
        }
        unsafe control.pointee.sendersDone.add(1, ordering: .releasing)
    }
}

extension RunControl {
    private static let pauseUs: UInt32 = 200

    /// A thread's side: the moment to start, or nil when the run is called off.
    func waitForStart() -> UInt64? {
        while true {
            let startNs = startNs.load(ordering: .acquiring)
            if startNs == .max { return nil }
            if startNs > 0 { return startNs }
            usleep(Self.pauseUs)
        }
    }

    /// The main thread's side.
    func waitUntilReady(_ count: Int) {
        while ready.load(ordering: .acquiring) < count { usleep(Self.pauseUs) }
    }
}

/// The calling thread's own clock.
enum ThreadClock {
    /// What it has used of its processor.
    static func cpuNs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Asks for timers that are not late on purpose: the kernel gathers wake-ups within 50 us by
    /// default. Where it refuses, the lateness that is reported says so.
    static func wakePrecisely() {
        var link = [CChar](repeating: 0, count: 64)
        // "PID/task/TID"
        guard unsafe readlink("/proc/thread-self", &link, link.count - 1) > 0 else { return }
        let text = String(
            decoding: link.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let id = text.split(separator: "/").last else { return }
        let fd = unsafe open("/proc/\(id)/timerslack_ns", O_WRONLY | O_CLOEXEC)
        guard fd >= 0 else { return }
        _ = unsafe write(fd, "1", 1)
        close(fd)
    }
}
