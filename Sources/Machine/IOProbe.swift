import Glibc

/// Finds out at start which driver this kernel, sandbox and configuration really carry.
///
/// Being able to create a ring says little: some sandboxes refuse single operations. So the probe
/// does what the shard will do, with the same code: it sets up a whole driver, receives a byte
/// through a provided buffer, and sends one back.
public enum IOProbe {
    public enum Choice: Sendable {
        case uring(IOFeatures)
        case epoll(why: String)
    }

    /// The ladder: with everything that is not masked; then without what came with 6.0 and 6.1;
    /// then no ring at all.
    public static func choose(allowed: IOFeatures) -> Choice {
        let newest: IOFeatures = [.deferTaskrun, .singleIssuer]
        var lastError: SystemError? = nil
        for features in [allowed, allowed.subtracting(newest)] {
            do throws(SystemError) {
                try attempt(features)
                return .uring(features)
            } catch {
                lastError = error
                // Only a flag that the kernel does not know is worth another rung.
                if error.code != EINVAL { break }
            }
        }
        return .epoll(why: lastError.map { "\($0)" } ?? "io_uring is masked")
    }

    /// Runs a driver through one exchange on a socket pair of its own.
    public static func attempt(_ features: IOFeatures) throws(SystemError) {
        let limits = DriverLimits(
            socketsMax: 1, receiveBufferCount: 4, receiveBufferBytes: 4096, batchMax: 8)
        let waker = try Waker.make()
        defer { waker.close() }
        let driver = try Driver.uring(limits: limits, features: features, waker: waker)
        defer { driver.destroy() }
        var pair: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
            throw SystemError("socketpair", errno, hint: "raise ulimit -n")
        }
        defer { close(pair[1]) }
        var byte: UInt8 = 0x2a
        _ = unsafe write(pair[1], &byte, 1)
        driver.open(0, fd: pair[0])
        driver.receive(0)
        try expect(.received, from: driver)
        var received = false
        let sent = unsafe withUnsafePointer(to: byte) { unsafe driver.send(0, $0, count: 1) }
        if !sent { try expect(.sent, from: driver) }
        received = unsafe read(pair[1], &byte, 1) == 1
        guard received else {
            throw SystemError("io_uring send", EIO, hint: "start with --io epoll")
        }
    }

    private static func expect(
        _ kind: Completion.Kind, from driver: Driver
    ) throws(SystemError) {
        /// A sandbox that swallows operations must not hang the start.
        let waitMs: UInt64 = 500
        let batch = unsafe driver.wait(timeoutMs: waitMs)
        for place in 0..<batch.count {
            let completion = unsafe batch[place]
            if completion.kind == kind { return }
            if completion.result < 0 {
                throw SystemError(
                    "io_uring \(kind)", -completion.result, hint: "start with --io epoll")
            }
        }
        throw SystemError("io_uring \(kind)", ETIMEDOUT, hint: "start with --io epoll")
    }
}
