/// Text in fewer bytes, before zstd sees it: words that come often stand as one or two bytes.
///
/// zstd finds repetitions, but to say where one was takes two to three bytes, and a word of text
/// hardly takes more. Words of English packed this way, then by zstd, take two thirds of what
/// zstd alone makes of them, in no more time: it has a third of the bytes to look at.
///
/// ```
/// u16 words, u8 length of each, their bytes: the commonest first; u32 coded bytes, then these:
/// 0x00...0x7F        the byte itself
/// 0x80...0xDF        word 0...95
/// 0xE0...0xFE, byte  word 96 on, 256 for each first byte
/// 0xFF, byte         a byte from 0x80 on
/// ```
///
/// A word is two letters of ASCII or more, with the space behind it.
@safe
struct WordCoding: ~Copyable {
    /// What is larger is mostly one value, and no text.
    static let bytesMax = 1 << 20
    static let shortWords = 96
    static let wordsMax = shortWords + 31 * 256
    fileprivate static let wordBytesMax = 32
    /// Rarer words cost more in the list than they save.
    private static let countMin: UInt32 = 4
    private static let placesMax = 1 << 14
    /// After so many bytes it shows whether this is text at all.
    private static let sampleBytes = 32 << 10

    private struct Word {
        var offset: UInt32 = 0
        var count: UInt32 = 0
        var bytes: UInt16 = 0
        /// Its number among those that are listed, plus one.
        var number: UInt16 = 0
    }

    private let places: UnsafeMutablePointer<Word>
    private var used: [Int] = []

    init() {
        unsafe places = .allocate(capacity: WordCoding.placesMax)
        unsafe places.initialize(repeating: Word(), count: WordCoding.placesMax)
    }

    deinit { unsafe places.deallocate() }

    @inline(__always)
    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 97 < 26 }

    /// Where the word that begins at a letter ends.
    @inline(__always)
    private static func end(
        _ base: UnsafeRawPointer, _ from: Int, _ size: Int, _ hash: inout UInt64
    ) -> Int {
        var at = from
        let last = min(size, from + wordBytesMax - 1)
        while at < last {
            let byte = unsafe base.get(at, UInt8.self)
            guard isLetter(byte) else { break }
            hash = (hash ^ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15
            at += 1
        }
        if at < last, unsafe base.get(at, UInt8.self) == 0x20 {
            hash = (hash ^ 0x20) &* 0x9E37_79B9_7F4A_7C15
            at += 1
        }
        return at
    }

    /// The place of a word, its own or a free one; -1 when too many are taken.
    @inline(__always)
    private func place(_ base: UnsafeRawPointer, _ from: Int, _ count: Int, _ hash: UInt64) -> Int {
        var place = Int(hash >> 40) & (WordCoding.placesMax - 1)
        for _ in 0..<32 {
            let word = unsafe places[place]
            if word.count == 0 { return place }
            if Int(word.bytes) == count,
                unsafe base.bytes(Int(word.offset), count).elementsEqual(base.bytes(from, count))
            {
                return place
            }
            place = (place + 1) & (WordCoding.placesMax - 1)
        }
        return -1
    }

    /// Codes `size` bytes into `room`; nil when that saves less than an eighth of them.
    mutating func code(_ base: UnsafeRawPointer, _ size: Int, into room: inout Scratch) -> Int? {
        for place in used { unsafe places[place] = Word() }
        used.removeAll(keepingCapacity: true)
        var at = 0
        var sampleEnd = WordCoding.sampleBytes
        while at < size {
            if at >= sampleEnd {
                guard isWorthIt(for: at) else { return nil }
                sampleEnd = size
            }
            guard unsafe WordCoding.isLetter(base.get(at, UInt8.self)) else {
                at += 1
                continue
            }
            var hash: UInt64 = 0
            let end = unsafe WordCoding.end(base, at, size, &hash)
            if end - at >= 2, used.count < WordCoding.placesMax / 2 {
                let place = unsafe place(base, at, end - at, hash)
                if place >= 0 {
                    let word = unsafe places + place
                    if unsafe word.pointee.count == 0 {
                        unsafe word.pointee.offset = UInt32(at)
                        unsafe word.pointee.bytes = UInt16(end - at)
                        used.append(place)
                    }
                    unsafe word.pointee.count += 1
                }
            }
            at = end
        }
        return unsafe write(base, size, into: &room)
    }

    /// Whether what was found in the first bytes promises to save half of what coding has to save.
    private func isWorthIt(for bytes: Int) -> Bool {
        var saved = 0
        for place in used {
            let word = unsafe places[place]
            guard word.count >= WordCoding.countMin else { continue }
            saved += Int(word.count) * (Int(word.bytes) - 2)
        }
        return saved >= bytes / 16
    }

    private mutating func write(
        _ base: UnsafeRawPointer, _ size: Int, into room: inout Scratch
    ) -> Int? {
        var listed = used.filter { unsafe places[$0].count >= WordCoding.countMin }
        // The order must not depend on chance: the same rows make the same block.
        listed.sort {
            let one = unsafe places[$0]
            let other = unsafe places[$1]
            return one.count != other.count ? one.count > other.count : one.offset < other.offset
        }
        if listed.count > WordCoding.wordsMax {
            listed.removeLast(listed.count - WordCoding.wordsMax)
        }
        // No byte becomes more than two.
        room.need(2 + listed.count * (1 + WordCoding.wordBytesMax) + 4 + size * 2)
        let out = unsafe room.base
        unsafe out.put(UInt16(listed.count), at: 0)
        var to = 2 + listed.count
        for (number, place) in listed.enumerated() {
            let word = unsafe places + place
            unsafe word.pointee.number = UInt16(number + 1)
            let count = unsafe Int(word.pointee.bytes)
            unsafe out.put(UInt8(count), at: 2 + number)
            unsafe out.put(base.bytes(Int(word.pointee.offset), count), at: to)
            to += count
        }
        let countAt = to
        to += 4
        var at = 0
        while at < size {
            let byte = unsafe base.get(at, UInt8.self)
            if WordCoding.isLetter(byte) {
                var hash: UInt64 = 0
                let end = unsafe WordCoding.end(base, at, size, &hash)
                let place = end - at >= 2 ? unsafe place(base, at, end - at, hash) : -1
                let number = place < 0 ? 0 : unsafe Int(places[place].number)
                if number == 0 {
                    unsafe out.put(base.bytes(at, end - at), at: to)
                    to += end - at
                } else if number <= WordCoding.shortWords {
                    unsafe out.put(UInt8(0x80 + number - 1), at: to)
                    to += 1
                } else {
                    let rest = number - 1 - WordCoding.shortWords
                    unsafe out.put(UInt8(0xE0 + rest / 256), at: to)
                    unsafe out.put(UInt8(rest % 256), at: to + 1)
                    to += 2
                }
                at = end
            } else {
                if byte >= 0x80 {
                    unsafe out.put(UInt8(0xFF), at: to)
                    to += 1
                }
                unsafe out.put(byte, at: to)
                to += 1
                at += 1
            }
        }
        unsafe out.put(UInt32(to - countAt - 4), at: countAt)
        return to < size - size / 8 ? to : nil
    }

    // MARK: Decoding

    /// Turns coded bytes back into exactly `size` bytes at `out`; false when they are not that.
    static func decode(
        _ coded: UnsafeRawBufferPointer, into out: UnsafeMutableRawPointer, size: Int
    ) -> Bool {
        guard let base = coded.baseAddress, coded.count >= 6 else { return false }
        let words = unsafe Int(base.get(0, UInt16.self))
        guard words <= wordsMax, 2 + words + 4 <= coded.count else { return false }
        var textBytes = 0
        for number in 0..<words {
            let count = unsafe Int(base.get(2 + number, UInt8.self))
            guard count > 0, count <= wordBytesMax else { return false }
            textBytes += count
        }
        let textAt = 2 + words
        let codesAt = textAt + textBytes + 4
        guard codesAt <= coded.count,
            unsafe Int(base.get(codesAt - 4, UInt32.self)) == coded.count - codesAt
        else { return false }
        let room = Meanings.bytes + textBytes + wordBytesMax
        return unsafe withUnsafeTemporaryAllocation(byteCount: room, alignment: 16) { room in
            let meanings = unsafe Meanings(
                room.baseAddress.unsafelyUnwrapped, base + 2, words, base + textAt, textBytes)
            var at = codesAt
            var to = 0
            return unsafe meanings.decodeMost(coded, &at, into: out, size, &to)
                && meanings.decodeRest(coded, at, into: out, size, to)
        }
    }
}

/// What each code stands for: bytes as they are in the same way as words.
@safe
private struct Meanings {
    /// The codes of one byte by that byte, and behind them those of two.
    private static let longFrom = 256
    private static let firstOfLong = 0xE0
    private static let count = longFrom + (256 - firstOfLong) * 256
    /// Of bytes, and of the words behind them.
    private static let textAt = count * 4
    static let bytes = textAt + 256

    /// For each code where its text is, and in the lowest byte how long; zero for what is no code.
    private let places: UnsafeMutablePointer<UInt32>
    private let text: UnsafeRawPointer

    init(
        _ room: UnsafeMutableRawPointer, _ counts: UnsafeRawPointer, _ words: Int,
        _ wordTexts: UnsafeRawPointer, _ textBytes: Int
    ) {
        unsafe places = room.bindMemory(to: UInt32.self, capacity: Meanings.count)
        unsafe text = UnsafeRawPointer(room + Meanings.textAt)
        unsafe places.initialize(repeating: 0, count: Meanings.count)
        let escaped = Meanings.count - 256
        for byte in 0..<256 {
            unsafe room.put(UInt8(byte), at: Meanings.textAt + byte)
            let place = UInt32(byte << 8 | 1)
            if byte < 0x80 { unsafe places[byte] = place }
            unsafe places[escaped + byte] = place
        }
        unsafe room.put(
            UnsafeRawBufferPointer(start: wordTexts, count: textBytes), at: Meanings.bytes)
        var from = 256
        for word in 0..<words {
            let code =
                word < WordCoding.shortWords
                ? 0x80 + word : Meanings.longFrom + word - WordCoding.shortWords
            let count = unsafe Int(counts.get(word, UInt8.self))
            unsafe places[code] = UInt32(from << 8 | count)
            from += count
        }
    }

    /// As far as there is room to copy more than a word has, so that copying one needs neither loop nor
    /// call, and four codes can be taken out of eight bytes at a time: words are short, and there
    /// are millions of them. False when one is no code.
    func decodeMost(
        _ coded: UnsafeRawBufferPointer, _ at: inout Int, into out: UnsafeMutableRawPointer,
        _ size: Int, _ to: inout Int
    ) -> Bool {
        guard let base = coded.baseAddress else { return false }
        let codes = 4
        let atMax = coded.count - 8
        let toMax = size - codes * 32
        var place = at
        var made = to
        // Negative as soon as a code of no length came.
        var lengths = 0
        while place <= atMax, made <= toMax {
            var bits = unsafe base.get(place, UInt64.self)
            var taken = 0
            for _ in 0..<codes {
                let byte = Int(truncatingIfNeeded: bits & 0xFF)
                let next = Int(truncatingIfNeeded: bits >> 8 & 0xFF)
                // By arithmetic and not by a branch: which of the two it is can't be foretold.
                let isLong = (byte &+ 256 &- Meanings.firstOfLong) &>> 8
                let more = Meanings.longFrom &- Meanings.firstOfLong &* 256 &+ byte &* 255 &+ next
                let meaning = unsafe Int(places[byte &+ (more & (0 &- isLong))])
                let width = 8 &<< isLong
                bits &>>= UInt64(truncatingIfNeeded: width)
                taken &+= width
                let from = meaning &>> 8
                let count = meaning & 0xFF
                let word = unsafe text.loadUnaligned(fromByteOffset: from, as: SIMD32<UInt8>.self)
                unsafe out.storeBytes(of: word, toByteOffset: made, as: SIMD32<UInt8>.self)
                lengths |= count &- 1
                made &+= count
            }
            place &+= taken &>> 3
        }
        at = place
        to = made
        return lengths >= 0
    }

    func decodeRest(
        _ coded: UnsafeRawBufferPointer, _ start: Int, into out: UnsafeMutableRawPointer,
        _ size: Int, _ done: Int
    ) -> Bool {
        guard let base = coded.baseAddress else { return false }
        var at = start
        var to = done
        while at < coded.count {
            var code = unsafe Int(base.get(at, UInt8.self))
            at += 1
            if code >= Meanings.firstOfLong {
                guard at < coded.count else { return false }
                let next = unsafe Int(base.get(at, UInt8.self))
                code = Meanings.longFrom + (code - Meanings.firstOfLong) * 256 + next
                at += 1
            }
            let meaning = unsafe Int(places[code])
            let count = meaning & 0xFF
            guard count > 0, to + count <= size else { return false }
            unsafe out.put(UnsafeRawBufferPointer(start: text + meaning >> 8, count: count), at: to)
            to += count
        }
        return to == size
    }
}
