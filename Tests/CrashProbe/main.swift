import CMachine
import Glibc
import Machine

/// A program that dies in the way its argument says, for the tests of the crash report.

@inline(never) func crashByReading(_ address: Int) {
    let pointer = unsafe UnsafePointer<Int>(bitPattern: address)!
    exit(unsafe pointer.pointee == 42 ? 3 : 4)
}

@inline(never) func crashByOverflow(_ depth: Int) -> Int {
    unsafe withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { bytes in
        unsafe bytes[0] = UInt8(truncatingIfNeeded: depth)
        return crashByOverflow(depth + 1) + Int(unsafe bytes[0])
    }
}

@inline(never) func crashByInvariant(sent: Int, queued: Int) {
    invariant(sent <= queued, "sent \(sent) of \(queued) queued bytes")
}

@inline(never) func crashByTrap(_ index: Int) -> Int { [1, 2, 3][index] }

@inline(never) func crashByJump() {
    typealias Nowhere = @convention(c) () -> Void
    let target = unsafe unsafeBitCast(0x10, to: Nowhere.self)
    target()
    unsafe write(1, "back", 4)
}

/// Not a crash: shows what a core dump would be given.
func showCoreLimits() {
    var limit = rlimit(rlim_cur: 1, rlim_max: 1)
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    let filter = unsafe open("/proc/self/coredump_filter", O_RDONLY)
    var text = [UInt8](repeating: 0, count: 64)
    let count = unsafe read(filter, &text, text.count)
    let value = String(decoding: text[..<count], as: UTF8.self)
    let line = "core limit \(limit.rlim_cur), filter \(value)"
    unsafe write(STDERR_FILENO, line, line.utf8.count)
}

func crash(by kind: String) {
    switch kind {
    case "read": crashByReading(0x1230)
    case "overflow": exit(Int32(truncatingIfNeeded: crashByOverflow(0)))
    case "invariant": crashByInvariant(sent: 7, queued: 3)
    case "trap": exit(Int32(crashByTrap(Int(CommandLine.argc) + 5)))
    case "jump": crashByJump()
    case "abort": abort()
    case "raise": raise(SIGBUS)
    case "cores": showCoreLimits()
    case "fine": exit(0)
    default: exit(64)
    }
}

CrashReport.install(program: "crash-probe", version: "1.2.3-test")
let kind = CommandLine.arguments.dropFirst().first ?? ""
if CommandLine.arguments.count > 2 {
    let thread = try Thread.start(name: "shard 3") { crash(by: kind) }
    thread.join()
} else {
    crash(by: kind)
}
