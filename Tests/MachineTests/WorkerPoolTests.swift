import Glibc
import Testing

@testable import Machine

/// A job that adds, and may be held up at a gate: the kind of memory an owner keeps.
private struct Addition {
    var job: Job
    var left: Int
    var right: Int
    var sum = 0
    /// The write end says that it has begun; it goes on after a byte at the read end.
    var begun: Int32 = -1
    var gate: Int32 = -1

    static func allocate(_ inbox: CompletionInbox, _ left: Int, _ right: Int)
        -> UnsafeMutablePointer<Addition>
    {
        let memory = UnsafeMutablePointer<Addition>.allocate(capacity: 1)
        let job = Job(inbox: inbox) { address in
            let addition = address.assumingMemoryBound(to: Addition.self)
            var byte: UInt8 = 0
            if addition.pointee.begun >= 0 { write(addition.pointee.begun, &byte, 1) }
            if addition.pointee.gate >= 0 { read(addition.pointee.gate, &byte, 1) }
            addition.pointee.sum = addition.pointee.left + addition.pointee.right
        }
        memory.initialize(to: Addition(job: job, left: left, right: right))
        return memory
    }
}

extension UnsafeMutablePointer<Addition> {
    fileprivate var asJob: UnsafeMutablePointer<Job> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: Job.self)
    }
}

/// A pipe that a worker rings and the test waits at.
private struct Pipe: Sendable {
    let readEnd: Int32
    let writeEnd: Int32

    init() {
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    func ring() {
        var byte: UInt8 = 1
        write(writeEnd, &byte, 1)
    }

    func wait() {
        var byte: UInt8 = 0
        read(readEnd, &byte, 1)
    }

    /// How many rings nobody has waited for.
    var pending: Int {
        var count: Int32 = 0
        _ = ioctl(readEnd, UInt(FIONREAD), &count)
        return Int(count)
    }

    func destroy() {
        close(readEnd)
        close(writeEnd)
    }
}

private func ringing(_ bell: Pipe) -> CompletionInbox {
    CompletionInbox(argument: UInt(bell.writeEnd)) { end in
        var byte: UInt8 = 1
        write(Int32(end), &byte, 1)
    }
}

/// What came back: the result and how, in order. Frees the jobs.
private func collect(_ inbox: CompletionInbox) -> [(sum: Int, outcome: Job.Outcome)] {
    var results: [(Int, Job.Outcome)] = []
    var next = inbox.drain()
    while let job = next {
        next = job.pointee.next
        let addition = UnsafeMutableRawPointer(job).assumingMemoryBound(to: Addition.self)
        results.append((addition.pointee.sum, job.pointee.outcome))
        addition.deallocate()
    }
    return results
}

@Suite("Worker pool") struct WorkerPoolTests {
    @Test func `work comes back to the inbox with its result`() throws {
        let bell = Pipe()
        let inbox = ringing(bell)
        let pool = try WorkerPool.start(threads: 1)
        #expect(pool.submit(Addition.allocate(inbox, 40, 2).asJob))
        bell.wait()
        let results = collect(inbox)
        #expect(results.map(\.sum) == [42])
        #expect(results.map(\.outcome) == [.finished])
        #expect(inbox.isEmpty && inbox.drain() == nil)
        pool.shutdown(.finishQueued)
        inbox.destroy()
        bell.destroy()
    }

    /// One worker that is held up, so that the queue's state is known.
    private func withBusyWorker(
        queuedJobsMax: Int,
        _ body: (WorkerPool, CompletionInbox, _ bell: Pipe, _ gate: Pipe) throws -> Void
    ) throws {
        let (bell, begun, gate) = (Pipe(), Pipe(), Pipe())
        let inbox = ringing(bell)
        let pool = try WorkerPool.start(threads: 1, queuedJobsMax: queuedJobsMax)
        let held = Addition.allocate(inbox, 1, 0)
        held.pointee.begun = begun.writeEnd
        held.pointee.gate = gate.readEnd
        #expect(pool.submit(held.asJob))
        begun.wait()
        try body(pool, inbox, bell, gate)
        inbox.destroy()
        for pipe in [bell, begun, gate] { pipe.destroy() }
    }

    @Test func `a full queue refuses, and takes again once there is room`() throws {
        try withBusyWorker(queuedJobsMax: 2) { pool, inbox, bell, gate in
            #expect(pool.submit(Addition.allocate(inbox, 2, 0).asJob))
            #expect(pool.submit(Addition.allocate(inbox, 3, 0).asJob))
            let refused = Addition.allocate(inbox, 4, 0)
            #expect(!pool.submit(refused.asJob))
            #expect(pool.queuedCount == 2)
            gate.ring()
            bell.wait()
            while pool.queuedCount > 0 { sched_yield() }
            #expect(pool.submit(refused.asJob))
            pool.shutdown(.finishQueued)
            #expect(collect(inbox).map(\.sum) == [1, 2, 3, 4])
        }
    }

    @Test func `a burst of results rings once until the inbox is drained`() throws {
        try withBusyWorker(queuedJobsMax: 10) { pool, inbox, bell, gate in
            for i in 2...9 { #expect(pool.submit(Addition.allocate(inbox, i, 0).asJob)) }
            gate.ring()
            pool.shutdown(.finishQueued)
            #expect(bell.pending == 1)
            #expect(collect(inbox).map(\.sum) == Array(1...9))
        }
    }

    @Test func `a shutdown that cancels returns what waits unrun and finishes what runs`() throws {
        try withBusyWorker(queuedJobsMax: 10) { pool, inbox, bell, gate in
            for i in 2...5 { #expect(pool.submit(Addition.allocate(inbox, i, 0).asJob)) }
            let stopper = try Thread.start(name: "stopper") { pool.shutdown(.cancelQueued) }
            // The cancelled ones are back before the running one is let go.
            var results: [(sum: Int, outcome: Job.Outcome)] = []
            while results.count < 4 {
                bell.wait()
                results += collect(inbox)
            }
            gate.ring()
            stopper.join()
            results += collect(inbox)
            #expect(
                results.map(\.outcome) == [
                    .cancelled, .cancelled, .cancelled, .cancelled, .finished,
                ])
            #expect(results.map(\.sum) == [0, 0, 0, 0, 1])
        }
    }

    @Test func `after a shutdown nothing is accepted, and a second one is harmless`() throws {
        let bell = Pipe()
        let inbox = ringing(bell)
        let pool = try WorkerPool.start(threads: 2)
        pool.shutdown(.cancelQueued)
        pool.shutdown(.finishQueued)
        let addition = Addition.allocate(inbox, 1, 1)
        #expect(!pool.submit(addition.asJob))
        addition.deallocate()
        inbox.destroy()
        bell.destroy()
    }

    @Test func `two shards and three workers lose no job`() throws {
        let pool = try WorkerPool.start(threads: 3, queuedJobsMax: 16)
        let bells = [Pipe(), Pipe()]
        let inboxes = bells.map(ringing)
        let sums = Guarded<[Int]>([])
        let second = try Thread.start(name: "second") {
            let sum = shard(pool, inboxes[1], bells[1], jobs: 5000)
            sums.withLock { $0.append(sum) }
        }
        let sum = shard(pool, inboxes[0], bells[0], jobs: 5000)
        second.join()
        pool.shutdown(.finishQueued)
        #expect(sum == 12_502_500)
        #expect(sums.withLock { $0 } == [12_502_500])
        for inbox in inboxes { inbox.destroy() }
        for bell in bells { bell.destroy() }
    }
}

/// Adds 1 to each of `0 ..< jobs` in the pool, as many at a time as it takes, and sums it all up.
private func shard(_ pool: WorkerPool, _ inbox: CompletionInbox, _ bell: Pipe, jobs: Int) -> Int {
    var submitted = 0
    var returned = 0
    var sum = 0
    while returned < jobs {
        while submitted < jobs {
            let addition = Addition.allocate(inbox, submitted, 1)
            if pool.submit(addition.asJob) {
                submitted += 1
            } else {
                addition.deallocate()
                break
            }
        }
        // With nothing out, the other shard fills the queue: no ring is due.
        if submitted > returned { bell.wait() } else { sched_yield() }
        for result in collect(inbox) {
            sum += result.sum
            returned += 1
        }
    }
    return sum
}
