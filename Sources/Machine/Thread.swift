import CMachine
import Glibc

/// One kernel thread that runs one closure from start to end.
///
/// A shard is built *inside* the closure, so its state is never shared nor moved between threads.
/// Signals are left to the main thread: they are blocked here, except for the ones that a thread
/// raises by its own fault. Blocking those would make the kernel end the process at once, without
/// the crash report.
public struct Thread: ~Copyable {
    /// The kernel keeps 15 characters and a terminator of a thread's name; longer ones are cut.
    public static let nameBytesMax = 15

    /// Enough for deep but bounded parsing; the pages that are never reached cost nothing.
    public static let stackBytesDefault = 1 << 20

    private let handle: pthread_t

    /// Starts the thread. The closure is run once and released on the new thread.
    public static func start(
        name: String, stackBytes: Int = stackBytesDefault, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> Thread {
        let launch = unsafe Unmanaged.passRetained(Launch(name: name, body: body))
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        defer { unsafe pthread_attr_destroy(&attributes) }
        var code = unsafe pthread_attr_setstacksize(&attributes, stackBytes)
        var handle = pthread_t()
        if code == 0 {
            // A thread inherits the mask of its creator at that moment, so there is no instant in
            // which the new thread could take a signal.
            var inherited = sigset_t()
            var blocked = Thread.blockedSignals()
            unsafe pthread_sigmask(SIG_SETMASK, &blocked, &inherited)
            code = unsafe pthread_create(&handle, &attributes, threadMain, launch.toOpaque())
            unsafe pthread_sigmask(SIG_SETMASK, &inherited, nil)
        }
        guard code == 0 else {
            unsafe launch.release()
            throw SystemError(
                "pthread_create \(name)", code,
                hint: code == EAGAIN ? "raise the limit on processes (ulimit -u, pids.max)" : "")
        }
        return Thread(handle: handle)
    }

    private init(handle: pthread_t) { self.handle = handle }

    /// Waits for the closure to return. A thread that is dropped without it runs on by itself.
    public consuming func join() {
        let code = pthread_join(handle, nil)
        invariant(code == 0, "pthread_join: \(SystemError.text(of: code))")
        discard self
    }

    deinit { pthread_detach(handle) }

    /// How a thread takes its turns on a processor that others want, too.
    public enum Turns: Sendable {
        case fair
        /// A little work, at once: it runs as soon as it wakes.
        case promptly
        /// Much work, when nobody else wants to.
        case inBackground
    }

    /// Says how the calling thread takes its turns from now on. A kernel that refuses changes nothing
    /// but times.
    public static func take(_ turns: Turns) {
        switch turns {
        case .fair: break
        case .promptly: _ = machine_take_turns(Int32(MACHINE_PROMPTLY))
        case .inBackground: _ = machine_take_turns(Int32(MACHINE_IN_BACKGROUND))
        }
    }

    /// Binds the calling thread to one processor, given by the kernel's number.
    public static func pin(cpu: Int) throws(SystemError) {
        let code = machine_pin(Int32(clamping: cpu))
        if code != 0 {
            throw SystemError(
                "sched_setaffinity \(cpu)", code,
                hint: "the processor is offline or outside the allowed set (cpuset, taskset)")
        }
    }

    /// The calling thread's name, as tools like `top -H` show it.
    public static var currentName: String {
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: nameBytesMax + 1) { name in
            let code = unsafe machine_thread_name(name.baseAddress!)
            return code == 0 ? unsafe String(cString: name.baseAddress!) : ""
        }
    }

    private static func blockedSignals() -> sigset_t {
        var set = sigset_t()
        unsafe sigfillset(&set)
        for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS] {
            unsafe sigdelset(&set, signal)
        }
        return set
    }
}

/// What travels from the creator to the new thread.
private final class Launch {
    let name: String
    var body: (@Sendable () -> Void)?

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

private func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let launch = unsafe Unmanaged<Launch>.fromOpaque(argument!).takeRetainedValue()
    let name = String(decoding: launch.name.utf8.prefix(Thread.nameBytesMax), as: UTF8.self)
    unsafe machine_thread_set_name(name)
    crash_thread_enter()
    let body = launch.body.take()!
    body()
    crash_thread_leave()
    return nil
}
