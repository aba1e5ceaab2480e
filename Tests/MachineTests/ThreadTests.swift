import Glibc
import Testing

@testable import Machine

@Suite("Threads") struct ThreadTests {
    @Test func `runs its closure once, under its name cut to what the kernel keeps`() throws {
        let names = Guarded<[String]>([])
        let long = try Thread.start(name: "a name that is too long") {
            names.withLock { $0.append(Thread.currentName) }
        }
        long.join()
        let short = try Thread.start(name: "shard 7") {
            names.withLock { $0.append(Thread.currentName) }
        }
        short.join()
        #expect(names.withLock { $0 } == ["a name that is ", "shard 7"])
    }

    @Test func `releases what the closure held when it has returned`() throws {
        final class Held: Sendable {}
        weak var seen: Held?
        func start() throws -> Machine.Thread {
            let held = Held()
            seen = held
            return try Thread.start(name: "holder") { withExtendedLifetime(held) {} }
        }
        try start().join()
        #expect(seen == nil)
    }

    @Test func `takes no signals but its own faults, and the creator keeps its mask`() throws {
        var before = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &before)
        let blocked = Guarded<[Int32]>([])
        let thread = try Thread.start(name: "masked") {
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            let found = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGSEGV, SIGABRT, SIGILL].filter {
                sigismember(&mask, $0) == 1
            }
            blocked.withLock { $0 = found }
        }
        thread.join()
        var after = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &after)
        #expect(blocked.withLock { $0 } == [SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        #expect(sigismember(&before, SIGTERM) == sigismember(&after, SIGTERM))
    }

    @Test func `has the stack it asked for`() throws {
        let size = Guarded(0)
        let thread = try Thread.start(name: "deep", stackBytes: 32 << 20) {
            func deep(_ level: Int) -> Int {
                withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { bytes in
                    bytes[0] = 1
                    return level == 0 ? Int(bytes[0]) : deep(level - 1) + Int(bytes[0])
                }
            }
            size.withLock { $0 = deep(4000) }
        }
        thread.join()
        #expect(size.withLock { $0 } == 4001)
    }

    @Test func `refuses a stack that is too small, saying so`() {
        #expect(throws: SystemError.self) {
            let thread = try Thread.start(name: "tiny", stackBytes: 16) {}
            thread.join()
        }
    }

    @Test func `pinned, it runs on that processor alone`() throws {
        let counts = Guarded<[Int]>([])
        let thread = try Thread.start(name: "pinned") {
            let first = (0..<1024).first { cpu in
                do throws(SystemError) {
                    try Thread.pin(cpu: cpu)
                    return true
                } catch { return false }
            }
            counts.withLock { $0 = [first ?? -1, CPU.available()] }
        }
        thread.join()
        let seen = counts.withLock { $0 }
        #expect(seen[0] >= 0)
        #expect(seen[1] == 1)
    }

    @Test(arguments: [-1, 8191, 8192, Int.max])
    func `refuses to pin to a processor that is not there`(cpu: Int) throws {
        #expect(throws: SystemError.self) { try Thread.pin(cpu: cpu) }
    }
}
