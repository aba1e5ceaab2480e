import Testing

@testable import Keyspace

@Suite struct `Topics` {
    private let hashing = KeyHash(seed: 7)

    private func topic<T>(
        _ table: TableNumber, _ text: String, isKey: Bool, _ body: (Topic) -> T
    ) -> T {
        Array(text.utf8).withUnsafeBytes { body(Topic(table, isKey: isKey, $0, hashing)) }
    }

    private func shards(
        _ index: borrowing InterestIndex, _ table: TableNumber, _ key: String
    ) -> [Int] {
        var set = Array(key.utf8).withUnsafeBytes {
            index.shards(for: table, hashing.hash(table, $0), $0)
        }
        var found: [Int] = []
        while let shard = set.popFirst() { found.append(shard) }
        return found
    }

    private func listeners(
        _ index: borrowing InterestIndex, _ table: TableNumber, _ key: String
    ) -> Int {
        Array(key.utf8).withUnsafeBytes {
            index.listeners(of: table, hashing.hash(table, $0), $0)
        }
    }

    @Test func `a change finds the shards that listen to its key, its prefixes and its table`() {
        var index = InterestIndex(hashing: hashing)
        #expect(shards(index, 1, "abc") == [])
        topic(1, "abc", isKey: true) { index.add($0, of: 0) }
        topic(1, "ab", isKey: false) { index.add($0, of: 3) }
        topic(1, "", isKey: false) { index.add($0, of: 127) }
        topic(1, "abcd", isKey: false) { index.add($0, of: 64) }
        topic(2, "ab", isKey: false) { index.add($0, of: 5) }
        #expect(shards(index, 1, "abc") == [0, 3, 127])
        #expect(shards(index, 1, "abcd") == [3, 64, 127])
        #expect(shards(index, 1, "ab") == [3, 127])
        #expect(shards(index, 1, "x") == [127])
        #expect(shards(index, 2, "abc") == [5])
        #expect(shards(index, 2, "a") == [])
        #expect(shards(index, 900, "abc") == [])
        topic(1, "ab", isKey: true) { index.add($0, of: 9) }
        #expect(shards(index, 1, "ab") == [3, 9, 127])
    }

    @Test func `a shard is told of a topic until its last subscription ends`() {
        var index = InterestIndex(hashing: hashing)
        for isKey in [true, false] {
            topic(1, "k", isKey: isKey) {
                index.add($0, of: 1)
                index.add($0, of: 1)
                index.add($0, of: 2)
            }
        }
        #expect(listeners(index, 1, "k") == 6)
        for isKey in [true, false] {
            topic(1, "k", isKey: isKey) {
                index.remove($0, of: 1, isLast: false)
                index.remove($0, of: 2, isLast: true)
            }
        }
        #expect(shards(index, 1, "k") == [1])
        for isKey in [true, false] {
            topic(1, "k", isKey: isKey) { index.remove($0, of: 1, isLast: true) }
        }
        #expect(shards(index, 1, "k") == [])
        #expect(index.count == 0)
        // Nobody's topic is given up without harm.
        topic(1, "k", isKey: true) { index.remove($0, of: 1, isLast: true) }
    }

    @Test func `subscriptions are found by key and by every prefix, in order`() {
        var index = TopicIndex(hashing: hashing, subscriptionsMax: 10_000)
        var model: [(table: TableNumber, isKey: Bool, text: String, number: UInt32)] = []
        var dice = SplitMix(seed: 5)
        // Up to 24 bytes lie in the index itself, longer ones on the heap.
        let texts =
            ["", "a", "ab", "abc", "abcd", "b", "ba"]
            + [23, 24, 25, 1024].map { String(repeating: "x", count: $0) }
        for round in 0..<3_000 {
            if model.count < 40 || dice.next() % 2 == 0 {
                let table = TableNumber(dice.next() % 3)
                let isKey = dice.next() % 2 == 0
                let text = texts[Int(dice.next() % UInt64(texts.count))]
                if isKey && text.isEmpty { continue }
                let number = topic(table, text, isKey: isKey) { index.subscribe($0, 0) }
                model.append((table, isKey, text, number!))
            } else {
                let gone = model.remove(at: Int(dice.next() % UInt64(model.count)))
                let isLast = !model.contains {
                    $0.table == gone.table && $0.isKey == gone.isKey && $0.text == gone.text
                }
                let saysLast = index.isLast(gone.number)
                #expect(saysLast == isLast)
                index.unsubscribe(gone.number)
            }
            guard round % 7 == 0 else { continue }
            for key in ["a", "abc", "abcde", "z", String(repeating: "x", count: 1024)] {
                let table = TableNumber(dice.next() % 3)
                let expected = model.filter {
                    $0.table == table && ($0.isKey ? $0.text == key : key.hasPrefix($0.text))
                }.map(\.number)
                #expect(heard(index, table, key).sorted() == expected.sorted())
            }
        }
        for entry in model { index.unsubscribe(entry.number) }
        #expect(index.topicCount == 0 && index.subscriptionCount == 0)
    }

    private func heard(
        _ index: borrowing TopicIndex, _ table: TableNumber, _ key: String
    ) -> [UInt32] {
        let room = UnsafeMutablePointer<UInt32>.allocate(capacity: TopicIndex.matchesMax)
        defer { room.deallocate() }
        let count = Array(key.utf8).withUnsafeBytes {
            index.match(table, hashing.hash(table, $0), $0, into: room)
        }
        var found: [UInt32] = []
        for place in 0..<count {
            var number = index.firstSubscription(ofTopic: room[place])
            while number != TopicIndex.none {
                found.append(number)
                number = index.subscription(after: number)
            }
        }
        return found
    }

    @Test func `there are no more subscriptions than there may be`() {
        var index = TopicIndex(hashing: hashing, subscriptionsMax: 3)
        let numbers = ["a", "b", "a", "c", "a"].map { text in
            topic(1, text, isKey: true) { index.subscribe($0, 0) }
        }
        #expect(numbers.map { $0 != nil } == [true, true, true, false, false])
        index.unsubscribe(numbers[1]!)
        let again = topic(1, "c", isKey: true) { index.subscribe($0, 0) }
        #expect(again != nil)
    }
}

@Suite struct `Recent changes` {
    private func append(
        _ recent: inout RecentChanges, _ text: String, position: CommitPosition = 0
    ) {
        let key = "k"
        let memory = recent.append(
            RecentChanges.Entry(
                .updated, stamp: Stamp(rawValue: 1), position: position, hash: 1, table: 1,
                owner: .anonymous, interest: ShardSet(), atNs: 0, keyCount: 1,
                textCount: text.utf8.count))
        memory.copyMemory(from: Array((key + text).utf8), byteCount: 1 + text.utf8.count)
    }

    private func texts(_ recent: borrowing RecentChanges, after seq: UInt64) -> [String]? {
        guard var cursor = recent.cursor(after: seq) else { return nil }
        var found: [String] = []
        while let look = recent.look(&cursor) {
            #expect(String(decoding: look.key, as: UTF8.self) == "k")
            #expect(look.entry.seq == seq + UInt64(found.count) + 1)
            found.append(String(decoding: look.text, as: UTF8.self))
            recent.advance(&cursor, over: look)
        }
        return found
    }

    @Test func `what was missed is replayed from any change on`() {
        var recent = RecentChanges()
        #expect(texts(recent, after: 0) == [])
        #expect(texts(recent, after: 1) == nil)
        for n in 1...5 { append(&recent, "\(n)") }
        #expect(texts(recent, after: 0) == ["1", "2", "3", "4", "5"])
        #expect(texts(recent, after: 3) == ["4", "5"])
        #expect(texts(recent, after: 5) == [])
        #expect(texts(recent, after: 6) == nil)
    }

    @Test func `the oldest go over the bound, but none that was not told`() {
        var recent = RecentChanges(bytesMax: 200 << 10)
        let long = String(repeating: "x", count: 1_000)
        var cursor = recent.end
        for _ in 0..<1_000 { append(&recent, long) }
        recent.trim(told: 0)
        #expect(texts(recent, after: 0)?.count == 1_000)
        recent.trim(told: 500)
        #expect(recent.forgottenSeq <= 500 && recent.forgottenSeq > 400)
        #expect(
            texts(recent, after: recent.forgottenSeq)?.count == Int(1_000 - recent.forgottenSeq))
        #expect(texts(recent, after: 0) == nil)
        let isThere = recent.holds(cursor)
        #expect(!isThere)
        recent.trim(told: 1_000)
        #expect(recent.bytes <= 300 << 10)
        cursor = recent.end
        append(&recent, "last")
        let count = recent.look(&cursor)?.text.count
        #expect(count == 4)
    }

    @Test func `one that is larger than the bound is there until it was told`() {
        var recent = RecentChanges(bytesMax: 100 << 10)
        append(&recent, "a")
        append(&recent, String(repeating: "x", count: 1 << 20))
        append(&recent, "b")
        recent.trim(told: 0)
        #expect(texts(recent, after: 0)?.count == 3)
        recent.trim(told: 3)
        #expect(recent.bytes < 200 << 10)
        #expect(texts(recent, after: 2) == ["b"])
        #expect(texts(recent, after: 1) == nil)
    }

    @Test func `what follows one that is larger than the bound begins where it was`() {
        var recent = RecentChanges(bytesMax: 100 << 10)
        var cursor = recent.end
        for round in 1...3 {
            append(&recent, String(repeating: "x", count: 1 << 20))
            while let look = recent.look(&cursor) { recent.advance(&cursor, over: look) }
            recent.trim(told: recent.lastSeq)
            let isThere = recent.holds(cursor)
            #expect(!isThere)
            cursor = recent.start
            let isNothing = recent.look(&cursor) == nil
            #expect(isNothing)
            append(&recent, "next")
            let text = recent.look(&cursor).map { String(decoding: $0.text, as: UTF8.self) }
            #expect(text == "next", "\(round)")
        }
    }
}

/// A sequence of numbers that a seed brings back.
private struct SplitMix {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
