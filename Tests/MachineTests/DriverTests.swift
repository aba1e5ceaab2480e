import Glibc
import Testing

@testable import Machine

/// One contract, told to each driver.
@Suite("Drivers", .serialized) struct DriverTests {
    // MARK: Accepting

    @Test(arguments: DriverKind.allCases)
    func `everybody who connects is accepted, until it is stopped`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let listener = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        rig.driver.accept(listener: 3, fd: listener.fd)
        var peers = (0..<10).map { _ in Peer.connect(to: listener.address) }
        #expect(rig.until { rig.accepted.count == 10 })
        peers += (0..<10).map { _ in Peer.connect(to: listener.address) }
        #expect(rig.until { rig.accepted.count == 20 })
        #expect(Set(rig.accepted).count == 20)

        rig.driver.stopAccepting(listener: 3)
        #expect(rig.until { !rig.acceptStops.isEmpty })
        peers.append(.connect(to: listener.address))
        rig.settle()
        #expect(rig.acceptStops == [-ECANCELED])
        #expect(rig.accepted.count == 20)

        rig.driver.accept(listener: 3, fd: listener.fd)
        #expect(rig.until { rig.accepted.count == 21 }, "the one that came meanwhile")
        for fd in rig.accepted { Glibc.close(fd) }
        for peer in peers { peer.close() }
    }

    /// In a process of its own, since the limit is the process's.
    @Test(arguments: DriverKind.allCases)
    func `out of descriptors it stops, says so, and can go on`(_ kind: DriverKind) async {
        await #expect(processExitsWith: .success) { [kind] in
            let rig = try DriverRig(kind)
            let listener = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
            _ = Peer.connect(to: listener.address)
            let firstFree = dup(0)
            Glibc.close(firstFree)
            let soft = setDescriptorLimit(UInt(firstFree))
            // io_uring looks at the limit when it is asked to accept.
            rig.driver.accept(listener: 0, fd: listener.fd)
            let stopped = rig.until { !rig.acceptStops.isEmpty }
            _ = setDescriptorLimit(soft)
            #expect(stopped)
            #expect(rig.acceptStops == [-EMFILE])
            #expect(rig.accepted.isEmpty)
            rig.driver.accept(listener: 0, fd: listener.fd)
            #expect(rig.until { rig.accepted.count == 1 })
        }
    }

    // MARK: Receiving

    @Test(arguments: DriverKind.allCases)
    func `bytes arrive in order, in whatever pieces, then the end`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, bufferBytes: 4096)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        rig.driver.open(5, fd: ours)
        rig.driver.receive(5)
        rig.turn()
        var said: [UInt8] = []
        for size in [1, 2, 4095, 4096, 4097, 30_000] {
            let piece = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ said.count) }
            peer.say(piece)
            said += piece
            #expect(rig.until { rig.heard[5]?.count == said.count })
        }
        #expect(rig.heard[5] == said)
        peer.say("the last words")
        peer.finishSaying()
        #expect(rig.until { rig.count(.ended, of: 5) == 1 })
        #expect(rig.results[5]?[.ended] == 0)
        #expect(rig.heard[5] == said + "the last words".utf8)
        // Ours is still open.
        if !rig.driver.send(5, Self.word.start, count: Self.word.count) {
            #expect(rig.until { rig.count(.sent, of: 5) == 1 })
        }
        #expect(peer.hear() == Array(Self.word.bytes))
        #expect(rig.close(5))
        #expect(rig.count(.ended, of: 5) == 1)
        peer.close()
    }

    @Test(arguments: DriverKind.allCases)
    func `a reset ends both directions with an error`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let listener = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        rig.driver.accept(listener: 0, fd: listener.fd)
        let peer = Peer.connect(to: listener.address)
        #expect(rig.until { rig.accepted.count == 1 })
        rig.driver.open(0, fd: rig.accepted[0])
        rig.driver.receive(0)
        let big = Filler(count: 64 << 20)
        #expect(!rig.driver.send(0, big.start, count: big.count), "more than any socket buffer")
        rig.turn()
        peer.reset()
        #expect(rig.until { rig.count(.ended, of: 0) == 1 && rig.count(.sent, of: 0) == 1 })
        let codes = [rig.results[0]![.ended]!, rig.results[0]![.sent]!]
        // The socket's error is told once; the other direction then finds it ended.
        #expect(codes.contains(-ECONNRESET))
        #expect([-ECONNRESET, -EPIPE].contains(codes[1]))
        #expect(rig.close(0))
    }

    @Test(arguments: DriverKind.allCases)
    func `a paused socket is left alone and goes on where it was`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        rig.driver.open(0, fd: ours)
        rig.driver.receive(0)
        peer.say("one")
        #expect(rig.until { rig.heard[0]?.count == 3 })
        rig.driver.pause(0)
        rig.turn()
        rig.turn()
        peer.say("two")
        rig.settle()
        #expect(rig.heard[0] == Array("one".utf8))
        rig.driver.receive(0)
        #expect(rig.until { rig.heard[0]?.count == 6 })
        // Between two turns it is nobody's business how often the owner changed its mind.
        for _ in 0..<5 {
            rig.driver.pause(0)
            rig.driver.receive(0)
        }
        peer.say("three")
        #expect(rig.until { rig.heard[0]?.count == 11 })
        rig.driver.receive(0)
        rig.driver.pause(0)
        rig.driver.pause(0)
        rig.driver.receive(0)
        peer.say("four")
        peer.finishSaying()
        #expect(rig.until { rig.count(.ended, of: 0) == 1 })
        #expect(rig.heard[0] == Array("onetwothreefour".utf8))
        #expect(rig.close(0))
        peer.close()
    }

    @Test(arguments: DriverKind.allCases)
    func `what came before anybody wanted it is received later`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        peer.say("early")
        peer.finishSaying()
        rig.driver.open(0, fd: ours)
        rig.settle()
        #expect(rig.seen[0] == nil)
        rig.driver.receive(0)
        #expect(rig.until { rig.count(.ended, of: 0) == 1 })
        #expect(rig.heard[0] == Array("early".utf8))
        peer.close()
    }

    /// Whoever makes completions of its own accord has to know that others wait behind them.
    @Test(arguments: DriverKind.allCases)
    func `a full batch says that more may wait behind it`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, batch: 8)
        defer { rig.end() }
        rig.turn()
        #expect(!rig.driver.isBehind)
        let pairs = (0..<12).map { _ in Peer.pair() }
        for (index, pair) in pairs.enumerated() {
            pair.peer.say("x")
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        var wasBehind = false
        #expect(
            rig.until {
                wasBehind = wasBehind || rig.driver.isBehind
                return (0..<12).allSatisfy { rig.heard[$0]?.count == 1 }
            })
        #expect(wasBehind)
        rig.settle()
        #expect(!rig.driver.isBehind)
        for pair in pairs { pair.peer.close() }
    }

    // MARK: Buffers

    @Test(arguments: DriverKind.allCases)
    func `what a crowd was received into goes back to the kernel when it is quiet`(
        _ kind: DriverKind
    ) throws {
        let rig = try DriverRig(kind, sockets: 256, buffers: 256, batch: 256)
        defer { rig.end() }
        let pairs = (0..<200).map { _ in Peer.pair() }
        for (index, pair) in pairs.enumerated() {
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        #expect(!rig.driver.mayGiveBack)
        let piece = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for round in 1...3 {
            for pair in pairs { pair.peer.say(piece) }
            #expect(
                rig.until {
                    pairs.indices.allSatisfy { rig.heard[UInt32($0)]?.count == round * 1000 }
                })
            // Of the first crowd all come at once; later the kernel may hand out few at a time.
            if round == 1 {
                #expect(residentPages(of: rig.driver, count: 256) > 32 && rig.driver.mayGiveBack)
            }
            // The first look only sees that it was busy; a bound makes it take several.
            var looks = 0
            while rig.driver.mayGiveBack, looks < 100 {
                _ = rig.driver.giveBack(most: 20)
                looks += 1
            }
            #expect((looks > 1 || round > 1) && looks < 100)
            #expect(residentPages(of: rig.driver, count: 256) <= 32)
        }
        for index in pairs.indices { #expect(rig.heard[UInt32(index)] == piece + piece + piece) }
        // Few that come one after the other do not make it grow again.
        for round in 4...300 {
            pairs[round % 200].peer.say(piece)
            rig.turn(timeoutMs: 1000)
            if round % 50 == 0 { _ = rig.driver.giveBack(most: 1000) }
        }
        #expect(residentPages(of: rig.driver, count: 256) <= 64)
        for pair in pairs { pair.peer.close() }
    }

    /// Receive buffers that have memory.
    private func residentPages(of driver: Driver, count: Int) -> Int {
        var pages = [UInt8](repeating: 0, count: count)
        precondition(mincore(driver.bytes(ofBuffer: 0), count * 4096, &pages) == 0)
        return pages.count { $0 & 1 == 1 }
    }

    /// Four buffers for 64 sockets: most wait at any time, none is told, all bytes come.
    @Test(arguments: DriverKind.allCases)
    func `more senders than buffers all get through`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, sockets: 64, buffers: 4)
        defer { rig.end() }
        let pairs = (0..<64).map { _ in Peer.pair() }
        for (index, pair) in pairs.enumerated() {
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        rig.turn()
        let said = [UInt8](repeating: UInt8(ascii: "s"), count: 20_000)
        for pair in pairs { pair.peer.say(said) }
        #expect(rig.until { (0..<64).allSatisfy { rig.heard[$0]?.count == said.count } })
        for pair in pairs { pair.peer.finishSaying() }
        #expect(rig.until { (0..<64).allSatisfy { rig.count(.ended, of: $0) == 1 } })
        for index in 0..<UInt32(64) { #expect(rig.results[index]?[.ended] == 0) }
        for pair in pairs { pair.peer.close() }
    }

    /// Those that wait are armed again a few at a time. If the first few have nothing to say, the
    /// others' bytes must not have to wait for something else to happen.
    @Test(arguments: DriverKind.allCases)
    func `a silent one does not stand in the way of those behind it`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, sockets: 64, buffers: 4)
        defer { rig.end() }
        let pairs = (0..<64).map { _ in Peer.pair() }
        for (index, pair) in pairs.enumerated() {
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        rig.turn()
        rig.keepsBuffers = true
        for pair in pairs { pair.peer.say("a") }
        #expect(rig.until { rig.kept.count == 4 })
        rig.settle()
        // The bytes of the parked ones are taken away behind the driver's back, so that all of
        // them are silent but the last.
        for index in 4..<64 {
            var byte: UInt8 = 0
            _ = recv(pairs[index].ours, &byte, 1, Int32(MSG_DONTWAIT))
        }
        rig.giveBuffersBack()
        rig.turn()
        let started = Clock.monotonicMs()
        for index in 4..<64 { pairs[index].peer.say("b") }
        #expect(rig.until { (4..<64).allSatisfy { rig.heard[$0]?.last == UInt8(ascii: "b") } })
        #expect(Clock.monotonicMs() - started < DriverRig.patienceMs / 2)
        for pair in pairs { pair.peer.close() }
    }

    @Test(arguments: DriverKind.allCases)
    func `without a buffer nobody is lost, and closing works`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, sockets: 8, buffers: 4)
        defer { rig.end() }
        let pairs = (0..<8).map { _ in Peer.pair() }
        for (index, pair) in pairs.enumerated() {
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        rig.turn()
        rig.keepsBuffers = true
        for pair in pairs { pair.peer.say("x") }
        #expect(rig.until { rig.kept.count == 4 })
        rig.settle()
        let waiting = (0..<UInt32(8)).filter { rig.heard[$0] == nil }
        #expect(waiting.count == 4)
        // One that waits for a buffer is closed and its number used for another socket.
        #expect(rig.close(waiting[0]))
        rig.forget(waiting[0])
        let (ours, peer) = Peer.pair()
        rig.driver.open(waiting[0], fd: ours)
        rig.driver.receive(waiting[0])
        peer.say("y")
        rig.settle()
        #expect(rig.heard[waiting[0]] == nil)
        rig.giveBuffersBack()
        #expect(rig.until { waiting.allSatisfy { rig.heard[$0] != nil } })
        #expect(rig.heard[waiting[0]] == [UInt8(ascii: "y")])
        #expect(rig.heard[waiting[1]] == [UInt8(ascii: "x")])
        for pair in pairs { pair.peer.close() }
        peer.close()
    }

    // MARK: Sending

    @Test(arguments: DriverKind.allCases)
    func `a send larger than the socket's buffer completes once, when all has left`(
        _ kind: DriverKind
    ) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        rig.driver.open(0, fd: ours)
        rig.driver.receive(0)
        let big = Filler(count: 5_000_000)
        #expect(!rig.driver.send(0, big.start, count: big.count))
        rig.settle()
        #expect(rig.count(.sent, of: 0) == 0)
        var heard: [UInt8] = []
        while heard.count < big.count, heard.count < 5_000_000 {
            let piece = peer.hear()
            heard += piece
            rig.turn(timeoutMs: piece.isEmpty ? 5 : 0)
        }
        #expect(rig.until { rig.count(.sent, of: 0) == 1 })
        #expect(rig.results[0]?[.sent] == 0)
        #expect(heard == Array(big.bytes))
        rig.settle()
        #expect(rig.count(.sent, of: 0) == 1)
        rig.driver.finishSending(0)
        var byte: UInt8 = 0
        #expect(recv(peer.fd, &byte, 1, 0) == 0, "the peer reads to our end")
        peer.say("still heard")
        #expect(rig.until { rig.heard[0]?.count == 11 })
        peer.close()
    }

    /// Its end makes the kernel's poll report it as ready for ever: a send that waited in the
    /// kernel would spin, then block a kernel thread, and could not be cancelled.
    @Test(arguments: DriverKind.allCases, [true, false])
    func `who has ended and does not read costs no thread and can be closed`(
        _ kind: DriverKind, _ overTCP: Bool
    ) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        var ends = Peer.pair()
        if overTCP {
            let listener = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
            rig.driver.accept(listener: 0, fd: listener.fd)
            ends.peer.close()
            Glibc.close(ends.ours)
            ends.peer = Peer.connect(to: listener.address)
            #expect(rig.until { rig.accepted.count == 1 })
            ends.ours = rig.accepted[0]
            rig.driver.stopAccepting(listener: 0)
            #expect(rig.until { rig.acceptStops.count == 1 })
        }
        let threads = threadsOfThisProcess(named: "iou-wrk")
        rig.driver.open(0, fd: ends.ours)
        rig.driver.receive(0)
        ends.peer.say("all I have to say")
        ends.peer.finishSaying()
        #expect(rig.until { rig.count(.ended, of: 0) == 1 })
        let big = Filler(count: 10_000_000)
        #expect(!rig.driver.send(0, big.start, count: big.count))
        rig.settle()
        #expect(threadsOfThisProcess(named: "iou-wrk") == threads)
        #expect(rig.count(.sent, of: 0) == 0)
        // It waits without being asked again and again.
        rig.settle()
        #expect(rig.turn(timeoutMs: 30) == 0)
        // Half of it is read after all, which lets more leave.
        var heard = 0
        while heard < big.count / 2 {
            let piece = ends.peer.hear().count
            heard += piece
            rig.turn(timeoutMs: piece == 0 ? 5 : 0)
        }
        #expect(rig.close(0))
        ends.peer.close()
    }

    @Test(arguments: [DriverKind.uring, .epoll])
    func `a second send before the first has left is our own bug`(_ kind: DriverKind) async {
        await #expect(processExitsWith: .failure) { [kind] in
            let rig = try DriverRig(kind)
            let (ours, _) = Peer.pair()
            rig.driver.open(0, fd: ours)
            let big = Filler(count: 5_000_000)
            #expect(!rig.driver.send(0, big.start, count: big.count))
            _ = rig.driver.send(0, big.start, count: 1)
        }
    }

    // MARK: Closing

    @Test(arguments: DriverKind.allCases)
    func `closing with both directions busy is told once, and last`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        rig.driver.open(0, fd: ours)
        rig.driver.receive(0)
        let big = Filler(count: 5_000_000)
        #expect(!rig.driver.send(0, big.start, count: big.count))
        rig.turn()
        peer.say("too late")
        #expect(rig.close(0))
        rig.driver.close(0)
        rig.settle()
        #expect(rig.seen[0]?.last == .closed)
        #expect(rig.count(.closed, of: 0) == 1)
        #expect(rig.count(.sent, of: 0) == 0)
        while !peer.hear().isEmpty {}
        var byte: UInt8 = 0
        #expect(recv(peer.fd, &byte, 1, Int32(MSG_DONTWAIT)) <= 0 && errno != EAGAIN)
        peer.close()
    }

    /// The owner closes in the middle of a batch; what the batch still holds it passes over, and
    /// the next batch holds nothing but `closed`.
    @Test(arguments: DriverKind.allCases)
    func `after the batch in which it was closed a socket is silent`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, buffers: 16)
        defer { rig.end() }
        let (ours, peer) = Peer.pair()
        rig.driver.open(0, fd: ours)
        rig.driver.receive(0)
        rig.turn()
        peer.say([UInt8](repeating: 1, count: 60_000))
        peer.finishSaying()
        var closedInTurn = -1
        var turns = 0
        var later: [Completion.Kind] = []
        rig.onCompletion = { completion in
            if closedInTurn < 0 {
                rig.driver.close(0)
                closedInTurn = turns
            } else if turns > closedInTurn {
                later.append(completion.kind)
            }
        }
        while turns < 20 {
            rig.turn(timeoutMs: 5)
            turns += 1
        }
        #expect(later == [.closed])
        peer.close()
    }

    @Test(arguments: DriverKind.allCases)
    func `a number used again hears nothing of its last owner`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind, sockets: 1)
        defer { rig.end() }
        var sockets: Set<String> = []
        let big = Filler(count: 1_000_000)
        for round in 0..<300 {
            rig.forget(0)
            let (ours, peer) = Peer.pair()
            sockets.insert(try #require(descriptorTarget("\(ours)")))
            rig.driver.open(0, fd: ours)
            rig.driver.receive(0)
            peer.say("round \(round)")
            if round % 3 == 0 { peer.finishSaying() }
            if round % 2 == 0 { _ = rig.driver.send(0, big.start, count: big.count) }
            if round % 5 == 0 {
                rig.driver.pause(0)
            } else if round % 7 != 0 {
                #expect(rig.until { rig.heard[0] != nil })
                #expect(rig.heard[0] == Array("round \(round)".utf8))
            }
            #expect(rig.close(0))
            #expect(rig.count(.closed, of: 0) == 1)
            peer.close()
        }
        #expect(sockets.isDisjoint(with: descriptorTargets()))
    }

    @Test(arguments: DriverKind.allCases)
    func `its end closes what is still open`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        let pairs = (0..<20).map { _ in Peer.pair() }
        let sockets = Set(pairs.compactMap { descriptorTarget("\($0.ours)") })
        #expect(sockets.count == 20)
        for (index, pair) in pairs.enumerated() {
            rig.driver.open(UInt32(index), fd: pair.ours)
            rig.driver.receive(UInt32(index))
        }
        let big = Filler(count: 1_000_000)
        _ = rig.driver.send(3, big.start, count: big.count)
        rig.turn()
        rig.end()
        for pair in pairs {
            // The kernel may take a moment to let go of what a ring still held.
            var ends = pollfd(fd: pair.peer.fd, events: Int16(POLLIN), revents: 0)
            #expect(poll(&ends, 1, 5000) == 1)
            pair.peer.close()
        }
        #expect(sockets.isDisjoint(with: descriptorTargets()))
    }

    // MARK: Waiting

    @Test(arguments: DriverKind.allCases)
    func `waits as long as it is told, and not at all for 0`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        var started = Clock.monotonicNs()
        #expect(rig.turn(timeoutMs: 0) == 0)
        #expect(Clock.monotonicNs() - started < 40_000_000)
        // A signal that some thread of the test's process takes may end one early.
        let waits = (0..<5).map { _ in
            started = Clock.monotonicNs()
            #expect(rig.turn(timeoutMs: 50) == 0)
            return Clock.monotonicNs() - started
        }
        #expect(waits.max()! >= 49_000_000)
    }

    @Test(arguments: DriverKind.allCases)
    func `another thread can end a wait, again and again`(_ kind: DriverKind) throws {
        let rig = try DriverRig(kind)
        defer { rig.end() }
        let waker = rig.waker
        for round in 1...5 {
            let thread = try Machine.Thread.start(name: "waker") {
                usleep(3000)
                waker.wake()
            }
            #expect(rig.until { rig.wakeUps >= round })
            thread.join()
        }
        // Wake-ups that nobody waited for are one, and are not lost.
        for _ in 0..<10 { waker.wake() }
        let before = rig.wakeUps
        #expect(rig.until { rig.wakeUps > before })
        rig.settle()
        #expect(rig.wakeUps == before + 1)
    }

    // MARK: Private parts

    private static let word = Filler(count: 11)
}

/// Sets the soft limit and answers what it was.
private func setDescriptorLimit(_ soft: UInt) -> UInt {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let before = limit.rlim_cur
    limit.rlim_cur = soft
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return before
}

/// Bytes to send that stay where they are for as long as the test wants them there.
final class Filler: @unchecked Sendable {
    let bytes: UnsafeMutableBufferPointer<UInt8>

    init(count: Int) {
        bytes = .allocate(capacity: count)
        for place in 0..<count { bytes[place] = UInt8(truncatingIfNeeded: place &* 7 &+ 3) }
    }

    var start: UnsafePointer<UInt8> { UnsafePointer(bytes.baseAddress!) }
    var count: Int { bytes.count }

    deinit { bytes.deallocate() }
}
