import Glibc
import Keyspace
import Machine
import Synchronization

/// Everything a shard's thread is given before it starts.
@safe struct ShardStart: @unchecked Sendable {
    let number: Int
    let settings: ShardSettings
    let state: UnsafeMutablePointer<NodeState>
    let choice: IOProbe.Choice
    let slotCount: Int
    let healthBody: UnsafeRawBufferPointer
    /// The one shard that accepts has it; the others have -1.
    let listenerFD: Int32
    let log: Log
    let keyspace: Keyspace.Settings
    let registry: TableRegistry
    let owners: OwnerNumbers
    let accounts: AccountSettings

    /// A shard's whole life, on its own thread.
    func run(_ report: ShardReport) {
        do throws(SystemError) {
            let limits = DriverLimits(socketsMax: slotCount)
            let waker = unsafe state.pointee.wakers[number]
            let driver =
                switch choice {
                case .uring(let features):
                    try Driver.uring(limits: limits, features: features, waker: waker)
                case .epoll: try Driver.epoll(limits: limits, waker: waker)
                }
            defer { driver.destroy() }
            var shard = try Shard.make(self, driver: driver)
            report.isReady()
            if report.waitForAll() {
                if listenerFD >= 0 { shard.startAccepting(listenerFD) }
                shard.run()
            }
        } catch {
            report.failed(error)
        }
        report.hasEnded()
    }
}

/// What the shards' threads and the main thread tell each other at start and at the end.
final class ShardReport: Sendable {
    private struct Counts {
        var ready = 0
        var ended = 0
        var mayServe: Bool? = nil
        var failure: SystemError? = nil
    }

    private let expected: Int
    private let counts = Mutex(Counts())
    private let pause: UInt32 = 200

    init(expecting expected: Int) { self.expected = expected }

    func isReady() { counts.withLock { $0.ready += 1 } }

    func failed(_ error: SystemError) { counts.withLock { $0.failure = error } }

    func hasEnded() { counts.withLock { $0.ended += 1 } }

    var allEnded: Bool { counts.withLock { $0.ended == expected } }

    /// A shard's side: sleeps until the main thread has seen every shard ready, or one fail.
    func waitForAll() -> Bool {
        while true {
            if let mayServe = counts.withLock({ $0.mayServe }) { return mayServe }
            usleep(pause)
        }
    }

    /// The main thread's side: lets all of them serve once all are ready, or none.
    func waitUntilReady() -> SystemError? {
        while true {
            let verdict = counts.withLock { counts -> Bool? in
                if counts.failure != nil { counts.mayServe = false }
                if counts.ready == expected { counts.mayServe = true }
                return counts.mayServe
            }
            if let verdict {
                return verdict ? nil : counts.withLock { $0.failure }
            }
            usleep(pause)
        }
    }
}
