import Glibc

/// The members of a merge patch, all levels of it, in one flat table that is looked up by name.
///
/// A patch and its target may each have a hundred thousand members, and then comparing each with
/// each is hours: names are hashed, sorted and searched instead. The hash only saves comparisons.
/// Whoever makes all of them collide is still met by a binary search over the names themselves.
@safe
struct JSONPatchTable: ~Copyable {
    /// How many members a patch may have in all, which bounds what one patch makes us allocate to
    /// some 20 MB. Real patches have a handful.
    static let membersMax = 131_072

    /// No member: the patch itself as a parent, the end of a chain of siblings.
    static let none = -1

    struct Member {
        /// As sent, with its quotes.
        var name: Range<Int>
        /// What the name decodes to, in the patch or in `decoded`.
        var text: JSONName
        /// As sent; of an object only its first byte, since it is never copied whole.
        var value: Range<Int>
        var hash: UInt64
        var parent: Int32
        var firstChild: Int32 = -1
        var nextSibling: Int32 = -1
        /// Where among `order` the children are.
        var childrenStart: Int32 = 0
        var childrenEnd: Int32 = 0
        /// Where the last member of this name in the target has its value; 0 while none was seen.
        var place = 0
        var kind: JSONKind
        /// A later member of the patch has the same name, and counts instead.
        var isOverridden = false
    }

    private(set) var members: [Member] = []
    /// The members by parent, hash, name and place in the patch.
    private var order: [Int32] = []
    private let patch: UnsafeRawBufferPointer
    /// The names that were sent with escapes, decoded one after the other. Never moves, since
    /// members point into it; as large as the patch, since nothing decodes to more than it was.
    private var decoded: UnsafeMutableRawBufferPointer?
    private var decodedCount = 0
    private var rootFirstChild: Int32 = -1
    private var rootEnd = 0

    enum Reading: Equatable {
        case read
        case tooManyMembers
        case invalid(offset: Int, reason: JSONFault)
    }

    init(_ patch: UnsafeRawBufferPointer) {
        unsafe self.patch = patch
    }

    deinit {
        unsafe decoded?.deallocate()
    }

    /// Reads the patch, which has to be an object; once, before anything else.
    mutating func read() -> Reading {
        var cursor = unsafe JSONCursor(patch)
        guard cursor.skip(0x7B, else: .notAnObject) else { return Self.invalid(cursor) }
        var parent = Self.none
        var previous = Self.none
        var depth = 1
        var isFirst = true
        while true {
            cursor.skipSpace()
            if cursor.byte == 0x7D {
                cursor.at += 1
                depth -= 1
                if parent == Self.none { break }
                previous = parent
                parent = Int(members[parent].parent)
                isFirst = false
                continue
            }
            if !isFirst {
                guard cursor.skip(0x2C, else: .missingComma) else { return Self.invalid(cursor) }
                cursor.skipSpace()
            }
            guard members.count < Self.membersMax else { return .tooManyMembers }
            guard let member = readMember(&cursor, parent: parent, depth: depth) else {
                return Self.invalid(cursor)
            }
            let index = members.count
            members.append(member)
            if previous != Self.none {
                members[previous].nextSibling = Int32(index)
            } else if parent != Self.none {
                members[parent].firstChild = Int32(index)
            } else {
                rootFirstChild = 0
            }
            if member.kind == .object {
                parent = index
                previous = Self.none
                depth += 1
                isFirst = true
            } else {
                previous = index
                isFirst = false
            }
        }
        cursor.skipSpace()
        guard cursor.at == cursor.end else {
            _ = cursor.fail(.trailingBytes, at: cursor.at)
            return Self.invalid(cursor)
        }
        sort()
        return .read
    }

    /// Reads a name and its value; of an object only the opening brace.
    private mutating func readMember(_ cursor: inout JSONCursor, parent: Int, depth: Int) -> Member?
    {
        guard cursor.byte == 0x22 else {
            _ = cursor.fail(.missingName, at: cursor.at)
            return nil
        }
        let nameStart = cursor.at
        guard cursor.skipString() else { return nil }
        let name = nameStart..<cursor.at
        let nameHasEscapes = cursor.sawEscape
        guard cursor.skip(0x3A, else: .missingColon) else { return nil }
        cursor.skipSpace()
        let valueStart = cursor.at
        guard let kind = cursor.kind else {
            _ = cursor.fail(.unexpectedByte, at: cursor.at)
            return nil
        }
        if kind == .object {
            guard depth < JSONValidator.depthMax else {
                _ = cursor.fail(.tooDeep, at: cursor.at)
                return nil
            }
            cursor.at += 1
        } else {
            guard cursor.skipValue(depthMax: JSONValidator.depthMax - depth) else { return nil }
        }
        let text = nameHasEscapes ? decode(name) : unsafe JSONName(plain: patch, name)
        return Member(
            name: name, text: text, value: valueStart..<cursor.at, hash: text.hash,
            parent: Int32(parent), kind: kind)
    }

    private mutating func decode(_ name: Range<Int>) -> JSONName {
        let space: UnsafeMutableRawBufferPointer
        if let decoded = unsafe decoded {
            unsafe space = decoded
        } else {
            unsafe space = .allocate(byteCount: patch.count, alignment: 1)
            unsafe decoded = space
        }
        let text = unsafe JSONName(
            escaped: patch, name,
            into: UnsafeMutableRawBufferPointer(rebasing: space[decodedCount...]))
        decodedCount += unsafe text.bytes.count
        return text
    }

    private static func invalid(_ cursor: JSONCursor) -> Reading {
        .invalid(offset: cursor.at, reason: cursor.fault)
    }

    // MARK: Looking up

    func firstChild(of parent: Int) -> Int {
        Int(parent == Self.none ? rootFirstChild : members[parent].firstChild)
    }

    /// The member of `parent` that `name` means, the last one where the patch repeats it.
    func find(_ name: JSONName, in parent: Int) -> Int {
        var low = parent == Self.none ? 0 : Int(members[parent].childrenStart)
        let end = parent == Self.none ? rootEnd : Int(members[parent].childrenEnd)
        if low == end { return Self.none }
        let hash = name.hash
        var high = end
        // The first place past all that are the same or smaller.
        while low < high {
            let middle = (low + high) / 2
            let index = Int(order[middle])
            let isGreater: Bool
            if members[index].hash != hash {
                isGreater = members[index].hash > hash
            } else {
                isGreater = members[index].text.compare(name) > 0
            }
            if isGreater { high = middle } else { low = middle + 1 }
        }
        let start = parent == Self.none ? 0 : Int(members[parent].childrenStart)
        guard low > start else { return Self.none }
        let index = Int(order[low - 1])
        guard members[index].hash == hash, members[index].text.compare(name) == 0 else {
            return Self.none
        }
        return index
    }

    mutating func note(place: Int, of member: Int) {
        members[member].place = place
    }

    // MARK: Sorting

    private mutating func sort() {
        var sorted = [Int32](0..<Int32(members.count))
        sorted.sort { precedes(Int($0), Int($1)) }
        order = sorted
        var at = 0
        while at < order.count {
            let parent = Int(members[Int(order[at])].parent)
            let start = at
            while at < order.count, Int(members[Int(order[at])].parent) == parent {
                let index = Int(order[at])
                if at > start {
                    let before = Int(order[at - 1])
                    if members[before].hash == members[index].hash,
                        members[before].text.compare(members[index].text) == 0
                    {
                        members[before].isOverridden = true
                    }
                }
                at += 1
            }
            if parent == Self.none {
                rootEnd = at
            } else {
                members[parent].childrenStart = Int32(start)
                members[parent].childrenEnd = Int32(at)
            }
        }
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        if members[a].parent != members[b].parent { return members[a].parent < members[b].parent }
        if members[a].hash != members[b].hash { return members[a].hash < members[b].hash }
        let compared = members[a].text.compare(members[b].text)
        return compared == 0 ? a < b : compared < 0
    }
}

/// What a member's name decodes to, to be looked up. Without escapes that is the very text it stands
/// in; with them it is decoded once, not at each of the many comparisons a search makes of it.
@safe
struct JSONName {
    let bytes: UnsafeRawBufferPointer

    /// The name that stands at `name`, quotes included, in `text`, and has no escapes.
    init(plain text: UnsafeRawBufferPointer, _ name: Range<Int>) {
        unsafe bytes = UnsafeRawBufferPointer(
            rebasing: text[(name.lowerBound + 1)..<(name.upperBound - 1)])
    }

    /// Decodes the name that stands at `name` into `space`, which must last as long as the answer
    /// and is never too small if it has as many bytes.
    init(
        escaped text: UnsafeRawBufferPointer, _ name: Range<Int>,
        into space: UnsafeMutableRawBufferPointer
    ) {
        let count = unsafe JSONString.decode(
            UnsafeRawBufferPointer(rebasing: text[name]), into: space)
        unsafe bytes = UnsafeRawBufferPointer(rebasing: space[..<(count ?? 0)])
    }

    /// FNV-1a.
    var hash: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for i in unsafe 0..<bytes.count {
            unsafe hash = (hash ^ UInt64(bytes[i])) &* 0x100_0000_01B3
        }
        return hash
    }

    /// Below, at or above 0 as this name comes before, equals or comes after the other.
    func compare(_ other: JSONName) -> Int {
        let length = unsafe bytes.count
        let otherLength = unsafe other.bytes.count
        guard let mine = unsafe bytes.baseAddress, let theirs = unsafe other.bytes.baseAddress
        else { return length - otherLength }
        let compared = unsafe memcmp(mine, theirs, min(length, otherLength))
        return compared != 0 ? Int(compared) : length - otherLength
    }
}

/// Room for one decoded name at a time, which the next one overwrites.
@safe
struct JSONNameScratch: ~Copyable {
    private var space: UnsafeMutableRawBufferPointer?

    init() { unsafe space = nil }

    deinit {
        unsafe space?.deallocate()
    }

    mutating func name(
        _ name: Range<Int>, in text: UnsafeRawBufferPointer, hasEscapes: Bool
    ) -> JSONName {
        if !hasEscapes { return unsafe JSONName(plain: text, name) }
        if let space = unsafe space, space.count >= name.count {
            return unsafe JSONName(escaped: text, name, into: space)
        }
        unsafe space?.deallocate()
        let grown = UnsafeMutableRawBufferPointer.allocate(
            byteCount: name.count * 2, alignment: 1)
        unsafe space = grown
        return unsafe JSONName(escaped: text, name, into: grown)
    }
}

extension JSONCursor {
    /// What the value at hand is, by its first byte.
    var kind: JSONKind? {
        unsafe JSONKind(of: UnsafeRawBufferPointer(start: base + at, count: min(1, end - at)))
    }
}
