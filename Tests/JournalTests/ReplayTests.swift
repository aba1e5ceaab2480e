import Journal
import Keyspace
import Testing

/// Lists put together again from what was done to them.
@Suite("Replaying lists") struct ReplayTests {
    /// A keyspace and what is read into it.
    private final class Loader {
        private var keyspace: Keyspace
        private var replay = Replay()

        init(_ eviction: Eviction = .none) throws {
            var settings = Keyspace.Settings(seed: 3)
            settings.addressBytes = 64 << 20
            settings.segmentBytes = 64 << 10
            settings.eviction = eviction
            keyspace = try Keyspace.make(settings)
        }

        @discardableResult
        func take(_ sample: Sample, isOvertaken: Bool = false, at now: Int64 = 0)
            -> Keyspace.Applied
        {
            sample.withRecord { record in
                var record = copy record
                record.isOvertaken = isOvertaken
                let key = unsafe Key(0, record.key, keyspace.hashing)
                return replay.take(record, key, owner: .anonymous, at: now, into: &keyspace)
            }
        }

        func passOver(_ sample: Sample) {
            sample.withRecord { record in
                let key = unsafe Key(0, record.key, keyspace.hashing)
                replay.passOver(record, key, owner: .anonymous, at: 0)
            }
        }

        var list: [String]? {
            Array("key".utf8).withUnsafeBytes { key in
                guard let record = keyspace.get(Key(0, key, keyspace.hashing), at: 0),
                    ListForm.isValid(record.value)
                else { return nil }
                let form = ListForm(record.value)
                var elements: [String] = []
                var place = 0
                while place < form.used {
                    let (bytes, next) = form.element(at: place)
                    elements.append(String(decoding: bytes, as: UTF8.self))
                    place = next
                }
                return elements
            }
        }
    }

    /// Elements of one letter take three bytes.
    private static func elements(_ letters: String) -> String {
        letters.map { "\u{1}\($0)\u{1}" }.joined()
    }

    private static func whole(_ letters: String, at stamp: UInt64) -> Sample {
        var sample = Sample()
        sample.valueKind = .list
        let used = letters.utf8.count * 3
        let head: [UInt8] = [UInt8(letters.utf8.count), 0, 0, 0, 12, 0, 0, 0, UInt8(used), 0, 0, 0]
        sample.value = String(decoding: head, as: UTF8.self) + elements(letters)
        sample.stamp = stamp
        sample.owner = .anonymous
        return sample
    }

    private static func push(_ letters: String, onto base: UInt64, at stamp: UInt64) -> Sample {
        var sample = Sample()
        sample.kind = .spliced
        sample.valueKind = .list
        sample.value = elements(letters)
        sample.spliceCountChange = Int32(letters.utf8.count)
        sample.base = base
        sample.stamp = stamp
        sample.version = stamp
        sample.owner = .anonymous
        return sample
    }

    @Test func `a change is made on the list it was made on, once, however often it comes`() throws
    {
        let loader = try Loader()
        #expect(loader.take(Self.whole("abc", at: 1)) == .taken)
        #expect(loader.take(Self.push("x", onto: 1, at: 2)) == .taken)
        #expect(loader.take(Self.push("x", onto: 1, at: 2)) == .stale)
        #expect(loader.take(Self.push("yz", onto: 2, at: 3)) == .taken)
        #expect(loader.take(Self.whole("abc", at: 1)) == .stale)
        #expect(loader.list == ["y", "z", "x", "a", "b", "c"])
        // What is not there is not guessed.
        #expect(loader.take(Self.push("q", onto: 7, at: 8)) == .changed)
        #expect(loader.list == ["y", "z", "x", "a", "b", "c"])
    }

    @Test func `what a snapshot has already, or found gone, is past`() throws {
        let loader = try Loader()
        loader.take(Self.whole("xabc", at: 2))
        #expect(loader.take(Self.push("x", onto: 1, at: 2), isOvertaken: true) == .stale)
        #expect(loader.take(Self.push("y", onto: 2, at: 3), isOvertaken: true) == .taken)
        #expect(loader.list == ["y", "x", "a", "b", "c"])
        let other = try Loader()
        #expect(other.take(Self.push("x", onto: 1, at: 2), isOvertaken: true) == .stale)
        #expect(other.list == nil)
    }

    @Test func `a write on top of a transaction that never ended brings its list along`() throws {
        let loader = try Loader()
        loader.take(Self.whole("a", at: 1))
        loader.passOver(Self.push("x", onto: 1, at: 2))
        loader.passOver(Self.push("y", onto: 2, at: 3))
        #expect(loader.list == ["a"])
        #expect(loader.take(Self.push("z", onto: 3, at: 4)) == .taken)
        #expect(loader.list == ["z", "y", "x", "a"])
        let other = try Loader()
        other.passOver(Self.whole("b", at: 2))
        #expect(other.take(Self.push("z", onto: 2, at: 4)) == .taken)
        #expect(other.list == ["z", "b"])
    }

    /// The start after the first of them found the list without it, and the second stands on that.
    @Test func `of two transactions that never ended, only the one that was built on comes back`()
        throws
    {
        let loader = try Loader()
        loader.take(Self.whole("a", at: 1))
        loader.passOver(Self.push("x", onto: 1, at: 2))
        loader.passOver(Self.push("y", onto: 1, at: 3))
        #expect(loader.take(Self.push("z", onto: 3, at: 4)) == .taken)
        #expect(loader.list == ["z", "y", "a"])
    }

    @Test func `a list that made room is not missed`() throws {
        let loader = try Loader(.lru)
        #expect(loader.take(Self.push("x", onto: 1, at: 2)) == .stale)
    }

    @Test func `a list whose time is over stays so`() throws {
        let loader = try Loader()
        var list = Self.whole("a", at: 1)
        list.expiresAt = 50
        var push = Self.push("x", onto: 1, at: 2)
        push.expiresAt = 50
        #expect(loader.take(list, at: 60) == .taken)
        #expect(loader.take(push, at: 60) == .taken)
        #expect(loader.list == nil)
    }

    @Test func `what does not fit its list is not made`() throws {
        let loader = try Loader()
        loader.take(Self.whole("abc", at: 1))
        for (place, removed, more, value) in [
            (10, 0, 1, Self.elements("x")), (0, 10, -3, ""), (0, 2, -1, ""), (0, 3, 1, ""),
            (0, 0, 2, Self.elements("x")), (0, 9, -3, ""), (0, 0, 1, "\u{9}x\u{9}"),
        ] {
            var sample = Self.push("", onto: 1, at: 2)
            sample.value = value
            sample.splicePlace = UInt32(place)
            sample.spliceRemoved = UInt32(removed)
            sample.spliceCountChange = Int32(more)
            #expect(loader.take(sample) == .changed)
        }
        #expect(loader.list == ["a", "b", "c"])
    }
}
