import Testing

@testable import Keyspace

/// A list of the keyspace beside an array that has the same done to it.
private struct Twin {
    let shard: Shard
    let key: [UInt8]
    var elements: [[UInt8]] = []

    var form: ListForm? {
        key.withUnsafeBytes { key in
            shard.space.get(Key(0, key, shard.space.hashing), at: shard.now)
                .map { ListForm($0.value) }
        }
    }

    /// Replaces some elements by others.
    mutating func replace(
        _ range: Range<Int>, with new: [[UInt8]], _ told: (Reply) -> Void = { _ in }
    ) -> Reply.Status {
        let start = form?.place(of: range.lowerBound) ?? 0
        let end = form?.place(of: range.upperBound) ?? 0
        let bytes = new.reduce(0) { $0 + ListForm.elementBytes($1.count) }
        var block = [UInt8](repeating: 0, count: bytes)
        block.withUnsafeMutableBytes { room in
            var at = 0
            for element in new {
                at += element.withUnsafeBytes { ListForm.write($0, to: room, at: at) }
            }
        }
        elements.replaceSubrange(range, with: new)
        return key.withUnsafeBytes { key in
            block.withUnsafeBytes { inserted in
                var command = Command(
                    .splice, Key(0, key, shard.space.hashing), by: Principal(rawValue: 2))
                command.splice = ListSplice(
                    place: start, removed: end - start, inserted: inserted,
                    countChange: new.count - range.count)
                let reply = shard.space.run(command, at: shard.now)
                told(reply)
                return reply.status
            }
        }
    }

    /// Makes what was just done to this list with another one.
    func copy(_ reply: Reply, to other: Twin) {
        guard let record = reply.record else { return }
        let spliced = shard.space.spliced
        key.withUnsafeBytes { key in
            let incoming = Incoming(
                Key(0, key, other.shard.space.hashing), Value(.list, record.value),
                version: record.version, stamp: record.stamp, created: record.created,
                owner: record.owner)
            let applied =
                spliced.position == reply.position
                ? other.shard.space.apply(
                    incoming, splicing: spliced.splice, on: spliced.base, at: shard.now)
                : other.shard.space.apply(incoming, at: shard.now, isLogged: false)
            #expect(applied == .taken)
        }
    }

    /// What the keyspace has, read from the front and from the end.
    var kept: (forward: [[UInt8]], backward: [[UInt8]], isValid: Bool) {
        guard let form else { return ([], [], true) }
        var forward: [[UInt8]] = []
        var place = 0
        while place < form.used {
            let (bytes, next) = form.element(at: place)
            forward.append(Array(bytes))
            place = next
        }
        var backward: [[UInt8]] = []
        while place > 0 {
            place = form.place(before: place)
            backward.append(Array(form.element(at: place).bytes))
        }
        let isValid = key.withUnsafeBytes { key in
            shard.space.get(Key(0, key, shard.space.hashing), at: shard.now)
                .map { ListForm.isValid($0.value) } ?? false
        }
        return (forward, backward.reversed(), isValid)
    }
}

@Suite("Lists in one block") struct ListTests {
    @Test(arguments: 1...6)
    func `a list is what an array would be, whatever is done to it`(_ seed: Int) throws {
        var random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15
        func draw(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % max(1, bound)
        }
        var twin = Twin(shard: try Shard { $0.segmentBytes = 64 << 10 }, key: Array("list".utf8))
        for round in 0..<3000 {
            let count = twin.elements.count
            let range: Range<Int>
            switch draw(6) {
            case 0, 1: range = 0..<0
            case 2, 3: range = count..<count
            case 4: range = 0..<min(count, draw(4))
            default:
                let start = draw(count + 1)
                range = start..<min(count, start + draw(5))
            }
            let isGrowing = (round / 500) % 2 == 0
            let new = (0..<(isGrowing ? draw(5) : draw(2))).map { _ in
                [UInt8](repeating: UInt8(draw(256)), count: [0, 1, 5, 127, 128, 300][draw(6)])
            }
            if range.isEmpty, new.isEmpty { continue }
            let status = twin.replace(range, with: new)
            if twin.elements.isEmpty {
                #expect(status == .deleted || status == .missing)
            } else {
                #expect(status == .created || status == .updated)
            }
            guard round % 50 == 0 || twin.elements.count < 5 else { continue }
            let kept = twin.kept
            #expect(kept.forward == twin.elements)
            #expect(kept.backward == twin.elements)
            #expect(kept.isValid)
        }
        twin.shard.space.audit()
    }

    @Test func `pushing to an end seldom moves the list`() throws {
        var twin = Twin(shard: try Shard(), key: Array("list".utf8))
        var rebuilt = 0
        var before = 0
        for number in 0..<20_000 {
            let place = number % 2 == 0 ? 0 : twin.elements.count
            _ = twin.replace(place..<place, with: [Array("element \(number)".utf8)])
            let size = twin.key.withUnsafeBytes { key in
                twin.shard.space.get(Key(0, key, twin.shard.space.hashing), at: twin.shard.now)!
                    .valueCount
            }
            if size != before { rebuilt += 1 }
            before = size
        }
        #expect(rebuilt < 80, "\(rebuilt)")
    }

    @Test(arguments: [true, false])
    func `a queue that is always full moves its elements seldom`(_ fromFront: Bool) throws {
        var twin = Twin(shard: try Shard(), key: Array("list".utf8))
        let length = 5000
        for number in 0..<length {
            _ = twin.replace(number..<number, with: [Array("element \(number)".utf8)])
        }
        var moved = 0
        for number in 0..<20_000 {
            let end = fromFront ? length : 0
            let before = try #require(twin.form)
            let ends = (before.front, before.front + before.used)
            _ = twin.replace(end..<end, with: [Array("element \(number)".utf8)])
            let after = try #require(twin.form)
            // The end that nobody is busy with stays where it is.
            let stays =
                fromFront ? after.front == ends.0 : after.front + after.used == ends.1
            if !stays { moved += 1 }
            _ = twin.replace(fromFront ? 0..<1 : length..<(length + 1), with: [])
        }
        #expect(twin.form?.count == length)
        #expect(moved < 100, "\(moved) of 20,000 pushes moved all elements")
    }

    @Test(arguments: 1...4)
    func `changes told as splices make the same list elsewhere`(_ seed: Int) throws {
        var random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15
        func draw(_ bound: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % max(1, bound)
        }
        var twin = Twin(shard: try Shard(), key: Array("list".utf8))
        let other = Twin(shard: try Shard(), key: twin.key)
        let first = twin
        _ = twin.replace(0..<0, with: [[1], [2], [3]]) { first.copy($0, to: other) }
        for _ in 0..<500 {
            let count = twin.elements.count
            let start = draw(count + 1)
            let range = start..<min(count, start + draw(4))
            var new = (0..<draw(4)).map { _ in
                [UInt8](repeating: UInt8(draw(256)), count: [0, 5, 127, 128, 300][draw(5)])
            }
            if range.count == count || (range.isEmpty && new.isEmpty) { new.append([9]) }
            _ = twin.replace(range, with: new) { first.copy($0, to: other) }
        }
        #expect(other.kept.forward == twin.elements)
        #expect(other.kept.isValid)
    }

    @Test func `what is no list is not taken for one`() {
        for bytes in [
            [], [1, 2, 3], [UInt8](repeating: 255, count: 40),
            [1, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 5, 65, 5],
        ] as [[UInt8]] {
            #expect(bytes.withUnsafeBytes { !ListForm.isValid($0) })
        }
        let good: [UInt8] = [1, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 1, 65, 1]
        #expect(good.withUnsafeBytes { ListForm.isValid($0) })
    }
}
