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
    let respListenerFD: Int32
    let log: Log
    let keyspace: Keyspace.Settings
    let registry: TableRegistry
    let owners: OwnerNumbers
    let accounts: AccountSettings
    let rates: RequestRates?
    let durability: Durability
    /// Names the node and this run of it in the ids of events.
    let eventOrigin: UInt64

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
                if listenerFD >= 0 { shard.startAccepting(listenerFD, listener: 0) }
                if respListenerFD >= 0 {
                    shard.startAccepting(respListenerFD, listener: Shard.respListener)
                }
                shard.run()
            }
        } catch {
            report.failed(error)
        }
        report.hasEnded()
    }
}

/// What the shards' threads and the main thread tell each other at start and at the end.
final class ShardReport: @unchecked Sendable {
    private enum Verdict: UInt8, AtomicRepresentable { case open, serve, giveUp }

    private let expected: Int
    private let ready = Atomic(0)
    private let ended = Atomic(0)
    private let verdict = Atomic(Verdict.open)
    private let failures = Atomic(0)
    private let hasFailure = Atomic(false)
    /// Written by the first shard that fails, before `hasFailure`; read after it.
    private var failure: SystemError? = nil
    private let pause: UInt32 = 200

    init(expecting expected: Int) { self.expected = expected }

    func isReady() { ready.add(1, ordering: .releasing) }

    func failed(_ error: SystemError) {
        guard failures.add(1, ordering: .relaxed).oldValue == 0 else { return }
        failure = error
        hasFailure.store(true, ordering: .releasing)
    }

    func hasEnded() { ended.add(1, ordering: .releasing) }

    var allEnded: Bool { ended.load(ordering: .acquiring) == expected }

    /// A shard's side: sleeps until the main thread has seen every shard ready, or one fail.
    func waitForAll() -> Bool {
        while true {
            switch verdict.load(ordering: .acquiring) {
            case .serve: return true
            case .giveUp: return false
            case .open: usleep(pause)
            }
        }
    }

    /// The main thread's side: lets all of them serve once all are ready, or none.
    func waitUntilReady() -> SystemError? {
        while true {
            if hasFailure.load(ordering: .acquiring) {
                verdict.store(.giveUp, ordering: .releasing)
                return failure
            }
            if ready.load(ordering: .acquiring) == expected {
                verdict.store(.serve, ordering: .releasing)
                return nil
            }
            usleep(pause)
        }
    }
}
