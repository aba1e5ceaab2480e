import Glibc
import Testing

@testable import Machine

@Suite("Mailbox") struct MailboxTests {
    private func send(_ bytes: [UInt8], to writer: Mailbox.Writer) -> Bool {
        guard let room = writer.reserve(bytes.count) else { return false }
        UnsafeMutableRawBufferPointer(start: room, count: bytes.count).copyBytes(from: bytes)
        return true
    }

    private func receive(_ reader: Mailbox.Reader) -> [UInt8]? { reader.next().map(Array.init) }

    @Test func `shows nothing before it is published, then all in order`() throws {
        let mailbox = try Mailbox(capacity: 256)
        #expect(send([1, 2, 3], to: mailbox.writer))
        #expect(send([], to: mailbox.writer))
        #expect(send([9], to: mailbox.writer))
        #expect(mailbox.writer.hasUnpublished)
        #expect(mailbox.reader.isEmpty)
        #expect(receive(mailbox.reader) == nil)
        mailbox.writer.publish()
        #expect(!mailbox.reader.isEmpty)
        #expect(receive(mailbox.reader) == [1, 2, 3])
        #expect(receive(mailbox.reader) == [])
        #expect(receive(mailbox.reader) == [9])
        #expect(receive(mailbox.reader) == nil)
        #expect(mailbox.reader.isEmpty)
    }

    @Test func `is full until the reader gives room back`() throws {
        let mailbox = try Mailbox(capacity: 64)
        #expect(send(.init(repeating: 1, count: 24), to: mailbox.writer))
        #expect(send(.init(repeating: 2, count: 24), to: mailbox.writer))
        #expect(!send([], to: mailbox.writer))
        mailbox.writer.publish()
        #expect(receive(mailbox.reader)?.first == 1)
        #expect(!send([3], to: mailbox.writer))
        mailbox.reader.consume()
        #expect(send([3], to: mailbox.writer))
        mailbox.writer.publish()
        #expect(receive(mailbox.reader)?.first == 2)
        #expect(receive(mailbox.reader) == [3])
    }

    @Test func `the longest message fits at every position of an empty ring`() throws {
        for offset in 0..<40 {
            let mailbox = try Mailbox(capacity: 128)
            for _ in 0..<offset {
                #expect(send([0], to: mailbox.writer))
                mailbox.writer.publish()
                #expect(receive(mailbox.reader) == [0])
                mailbox.reader.consume()
            }
            let longest = [UInt8](repeating: 7, count: mailbox.writer.messageBytesMax)
            #expect(send(longest, to: mailbox.writer))
            mailbox.writer.publish()
            #expect(receive(mailbox.reader) == longest)
        }
    }

    @Test func `a trimmed message ends where it was trimmed and frees the rest`() throws {
        let mailbox = try Mailbox(capacity: 64)
        #expect(send([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], to: mailbox.writer))
        mailbox.writer.trim(to: 2)
        #expect(send(.init(repeating: 1, count: 24), to: mailbox.writer))
        mailbox.writer.publish()
        #expect(receive(mailbox.reader) == [5, 6])
        #expect(receive(mailbox.reader)?.count == 24)
    }

    /// Random batches on both sides of one thread, so that every wrap of a small ring is met.
    @Test func `keeps content and order through any wrap`() throws {
        let mailbox = try Mailbox(capacity: 256)
        var random = SplitMix(state: 42)
        var expected: [[UInt8]] = []
        var unpublished: [[UInt8]] = []
        var received = 0
        for step in 0..<200_000 {
            switch random.below(4) {
            case 0...1:
                let count = Int(random.below(UInt64(mailbox.writer.messageBytesMax + 1)))
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count / 2)
                if send(bytes, to: mailbox.writer) { unpublished.append(bytes) }
            case 2:
                mailbox.writer.publish()
                expected += unpublished
                unpublished.removeAll()
            default:
                for _ in 0..<random.below(5) {
                    let next = receive(mailbox.reader)
                    try #require(next == expected.first)
                    if next != nil {
                        expected.removeFirst()
                        received += 1
                    }
                }
                mailbox.reader.consume()
            }
        }
        #expect(received > 10_000)
    }

    @Test func `a sleeper is woken exactly once per sleep`() {
        let flag = WakeFlag()
        defer { flag.destroy() }
        #expect(!flag.claimWake())
        flag.fallAsleep()
        #expect(flag.claimWake())
        #expect(!flag.claimWake())
        flag.fallAsleep()
        flag.wakeUp()
        #expect(!flag.claimWake())
    }
}

/// Two threads, each with a mailbox to the other, as two shards have.
@Suite("Mailboxes between threads", .serialized) struct MailboxThreadTests {
    /// A tiny ring is full in both directions nearly all the time, a large one hardly ever.
    @Test(arguments: [(64, 100_000), (1024, 300_000), (Mailbox.capacityDefault, 1_000_000)])
    func `two shards that flood each other lose, change and reorder nothing`(
        capacity: Int, messages: Int
    ) throws {
        let box0 = try Mailbox(capacity: capacity)
        let box1 = try Mailbox(capacity: capacity)
        let bells = [Bell(), Bell()]
        defer { for bell in bells { bell.destroy() } }
        let results = UnsafeMutablePointer<Conversation>.allocate(capacity: 2)
        defer { results.deallocate() }
        results.initialize(
            to: Conversation(
                out: box0.writer, into: box1.reader, own: bells[0], peer: bells[1],
                messages: messages))
        (results + 1).initialize(
            to: Conversation(
                out: box1.writer, into: box0.reader, own: bells[1], peer: bells[0],
                messages: messages))
        nonisolated(unsafe) let side = results
        let other = try Thread.start(name: "other side") { side[1].run() }
        results[0].run()
        other.join()
        for i in 0..<2 {
            #expect(results[i].sent == messages)
            #expect(results[i].received == messages)
            #expect(results[i].wrong == 0)
            #expect(capacity > 64 || results[i].timesFull > 100)
            results[i].expected.deallocate()
        }
        #expect(box0.reader.isEmpty && box1.reader.isEmpty)
    }

    /// One side: it sends its messages, checks the other's, and blocks when it can do neither, so a
    /// lost wake-up would hang the test.
    private struct Conversation {
        let out: Mailbox.Writer
        let into: Mailbox.Reader
        let own: Bell
        let peer: Bell
        let messages: Int
        var sent = 0
        var received = 0
        var wrong = 0
        var timesFull = 0
        /// Where the message that should have come is written, to compare with.
        let expected = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)

        mutating func run() {
            while sent < messages || received < messages {
                let before = sent + received
                sendBatch()
                receiveBatch()
                if sent + received == before { block() }
            }
        }

        private mutating func sendBatch() {
            for _ in 0..<(1 + sent % 7) where sent < messages {
                let count = byteCount(of: sent)
                guard let room = out.reserve(count) else {
                    timesFull += 1
                    break
                }
                memset(room, Int32(pattern(of: sent)), count)
                sent += 1
            }
            if out.hasUnpublished {
                out.publish()
                wakePeer()
            }
        }

        private mutating func receiveBatch() {
            let before = received
            while received - before < 11, let message = into.next() {
                let count = byteCount(of: received)
                memset(expected, Int32(pattern(of: received)), count)
                let right =
                    message.count == count && memcmp(message.baseAddress!, expected, count) == 0
                wrong += right ? 0 : 1
                received += 1
            }
            if received > before {
                into.consume()
                // The peer may sleep because its ring is full: room is news to it too.
                wakePeer()
            }
        }

        private func byteCount(of number: Int) -> Int {
            number &* 31 % min(out.messageBytesMax + 1, 60)
        }

        private func pattern(of number: Int) -> UInt8 { UInt8(truncatingIfNeeded: number % 251) }

        private func wakePeer() {
            if peer.flag.claimWake() { peer.ring() }
        }

        private func block() {
            own.flag.fallAsleep()
            let canSend = sent < messages && out.hasRoom(byteCount(of: sent))
            if into.isEmpty && !canSend { own.wait() }
            own.flag.wakeUp()
        }
    }

    /// What a sleeping side blocks on: a pipe, since a byte in it stays until it is read.
    private struct Bell: Sendable {
        let flag = WakeFlag()
        private let readEnd: Int32
        private let writeEnd: Int32

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

        func destroy() {
            flag.destroy()
            close(readEnd)
            close(writeEnd)
        }
    }
}
