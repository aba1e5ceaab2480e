import Keyspace
import Wire

/// The body of a request about many keys: `{"k":V,…}` of `POST /{t}/store`, and `["a","b"]` or
/// `{"keys":["a","b"]}` of `POST /{t}/keys`.
///
/// It is walked in place. What is wrong with the body shows only when the walk gets there, so
/// whoever must not begin what can't be finished walks twice: `check` first.
@safe
struct ManyBody {
    /// More keys than one request should keep a node busy with; with 1,024 bytes each they would
    /// not fit a body anyway.
    static let keysMax = 100_000

    /// What a walk decodes a key into.
    static let scratchBytesMin = Key.bytesMax

    @safe
    enum Step {
        /// The key lies in the body where it has no escapes, else in the scratch memory, and is
        /// good until the next step. The value is as sent; of a list of keys it is empty.
        case item(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)
        case end
        case refused(Refusal)
    }

    enum Refusal: Equatable, Sendable {
        case invalid(JSONFault)
        /// A key is empty or longer than 1024 bytes.
        case badKey
        /// An element of a list of keys is no string.
        case notAKey
        /// The object has no `keys`, or more than one.
        case noKeys, repeatedKeys
        /// More than `keysMax`.
        case tooMany

        /// What the client is told.
        var sentence: StaticString {
            switch self {
            case .invalid(let fault): fault.text
            case .badKey: "A key has 1 to 1024 bytes"
            case .notAKey: "Keys are strings"
            case .noKeys: "The body is a list of keys, or an object with one under keys"
            case .repeatedKeys: "The body has more than one member keys"
            case .tooMany: "At most 100000 keys can be in one request"
            }
        }
    }

    private enum Walk {
        case members(JSONMembers)
        case elements(JSONElements)
        case stopped(Refusal)
    }

    private let bytes: UnsafeRawBufferPointer
    private let scratch: UnsafeMutableRawBufferPointer
    private var walk: Walk
    private var count = 0
    /// Where the last item's key lies in the body, quotes included.
    private var name = 0..<0
    private var isPlain = false

    /// `{"k":V,…}`
    static func store(
        _ body: UnsafeRawBufferPointer, scratch: UnsafeMutablePointer<UInt8>, scratchBytes: Int
    ) -> ManyBody {
        unsafe ManyBody(body, .members(JSONMembers(body)), scratch, scratchBytes)
    }

    /// `["a","b"]` or `{"keys":["a","b"]}`; other members are passed over.
    static func keys(
        _ body: UnsafeRawBufferPointer, scratch: UnsafeMutablePointer<UInt8>, scratchBytes: Int
    ) -> ManyBody {
        guard unsafe JSONKind(of: body) == .object else {
            return unsafe ManyBody(body, .elements(JSONElements(body)), scratch, scratchBytes)
        }
        switch unsafe JSONScanner.find("keys", in: body) {
        case .found(let range):
            let list = unsafe UnsafeRawBufferPointer(rebasing: body[range])
            return unsafe ManyBody(list, .elements(JSONElements(list)), scratch, scratchBytes)
        case .absent: return unsafe ManyBody(body, .stopped(.noKeys), scratch, scratchBytes)
        case .repeated: return unsafe ManyBody(body, .stopped(.repeatedKeys), scratch, scratchBytes)
        case .invalid(_, let reason):
            return unsafe ManyBody(body, .stopped(.invalid(reason)), scratch, scratchBytes)
        }
    }

    private init(
        _ bytes: UnsafeRawBufferPointer, _ walk: Walk, _ scratch: UnsafeMutablePointer<UInt8>,
        _ scratchBytes: Int
    ) {
        unsafe self.bytes = unsafe bytes
        self.walk = walk
        unsafe self.scratch = unsafe UnsafeMutableRawBufferPointer(
            start: scratch, count: scratchBytes)
    }

    /// After `.end` or `.refused` the answer stays the same.
    mutating func next() -> Step {
        let value: Range<Int>
        switch walk {
        case .stopped(let refusal): return .refused(refusal)
        case .members(var members):
            let step = members.next()
            walk = .members(members)
            switch step {
            case .end: return .end
            case .invalid(_, let reason): return stop(.invalid(reason))
            case .member(let member):
                name = member.name
                value = member.value
                isPlain = !member.nameHasEscapes
            }
        case .elements(var elements):
            let step = elements.next()
            walk = .elements(elements)
            switch step {
            case .end: return .end
            case .invalid(_, let reason): return stop(.invalid(reason))
            case .element(let element):
                guard unsafe bytes[element.lowerBound] == 0x22 else { return stop(.notAKey) }
                name = element
                value = element.upperBound..<element.upperBound
                isPlain = false
            }
        }
        count += 1
        if count > Self.keysMax { return stop(.tooMany) }
        guard let key = unsafe key(name, isPlain: isPlain) else { return stop(.badKey) }
        return unsafe .item(key: key, value: UnsafeRawBufferPointer(rebasing: bytes[value]))
    }

    /// Walks to the end; how many keys there are, or what is wrong.
    func check() -> Result<Int, Refusal> {
        var walk = self
        while true {
            switch walk.next() {
            case .item: continue
            case .end: return .success(walk.count)
            case .refused(let refusal): return .failure(refusal)
            }
        }
    }

    // MARK: Keys that are there more than once

    /// The items whose key comes again further on, by their place in the body, in order. `count` is
    /// what `check` found.
    ///
    /// Of members with one name the last counts, as nearly every reader of JSON has it (RFC 8259
    /// section 4 leaves it open). So whoever passes over these writes each key once.
    func overridden(count: Int, hashing: KeyHash) -> [Int] {
        guard count > 1 else { return [] }
        var slotMask = 1
        while slotMask < 2 * count { slotMask *= 2 }
        slotMask -= 1
        // A slot is zero or one more than the place of a key's last item so far.
        var slots = [UInt32](repeating: 0, count: slotMask + 1)
        var items: [(hash: UInt64, name: Range<Int>, isPlain: Bool)] = []
        items.reserveCapacity(count)
        var overridden: [Int] = []
        var walk = self
        while case .item(let key, _) = walk.next() {
            let hash = unsafe hashing.hash(0, key)
            var slot = Int(truncatingIfNeeded: hash) & slotMask
            while slots[slot] != 0 {
                let place = Int(slots[slot]) - 1
                let item = items[place]
                if item.hash == hash, unsafe isKey(key, item.name, isPlain: item.isPlain) {
                    overridden.append(place)
                    break
                }
                slot = (slot + 1) & slotMask
            }
            items.append((hash, walk.name, walk.isPlain))
            slots[slot] = UInt32(items.count)
        }
        overridden.sort()
        return overridden
    }

    /// Whether a name of the body stands for a key, which may lie in the scratch memory.
    private func isKey(
        _ key: UnsafeRawBufferPointer, _ name: Range<Int>, isPlain: Bool
    ) -> Bool {
        let raw = unsafe UnsafeRawBufferPointer(rebasing: bytes[name])
        if isPlain {
            return unsafe UnsafeRawBufferPointer(rebasing: raw[1..<(raw.count - 1)])
                .elementsEqual(key)
        }
        return unsafe withUnsafeTemporaryAllocation(byteCount: Key.bytesMax, alignment: 8) { room in
            guard let count = unsafe JSONString.decode(raw, into: room) else { return false }
            return unsafe UnsafeRawBufferPointer(rebasing: room[..<count]).elementsEqual(key)
        }
    }

    // MARK: Parts

    private mutating func stop(_ refusal: Refusal) -> Step {
        walk = .stopped(refusal)
        return .refused(refusal)
    }

    /// What a JSON string stands for, when that can be a key.
    private func key(_ quoted: Range<Int>, isPlain: Bool) -> UnsafeRawBufferPointer? {
        let raw = unsafe UnsafeRawBufferPointer(rebasing: bytes[quoted])
        if isPlain {
            guard raw.count > 2, raw.count <= Key.bytesMax + 2 else { return nil }
            return unsafe UnsafeRawBufferPointer(rebasing: raw[1..<(raw.count - 1)])
        }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[..<Key.bytesMax])
        guard let count = unsafe JSONString.decode(raw, into: room), count > 0 else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: room[..<count])
    }
}

extension ManyBody.Refusal: Error {}
