import Glibc

/// Text that looks like text: words of a vocabulary, the k-th about as often as 1/k, as in
/// anything people write, and some seven bytes long with their space: 348 bytes are fifty of them.
/// Random letters would not compress, and one text for all records would compress to nothing; both
/// would flatter or wrong whatever keeps them.
@safe final class Words: Sendable {
    /// Drawn from by 12 random bits; so the rarest words come about once in 4096.
    private static let drawBits = 12
    private static let wordCount = 1500
    /// Of a word that is put together, at least.
    private static let letters = 6

    /// One in eight is of these; the rest are put together from beginnings and endings.
    private static let common = """
        the of and to in is you that it he was for on are as with his they at be this have from or \
        one had by word but not what all were we when your can said there use an each which she do \
        how their if will up other about out many then them these so some her would make like him \
        into time has look two more write go see number no way could people my than first water been \
        call who oil its now find long down day did get come made may part over new sound take only \
        little work know place year live me back give most very after thing our just name good \
        sentence man think say great where help through much before line right too mean old any same \
        tell boy follow came want show also around form three small set put end does another well \
        large must big even such because turn here why ask went men read need land different home us \
        move try kind hand picture again change off play spell air away animal house point page letter
        """
    private static let beginnings = [
        "ab", "ac", "be", "bri", "ca", "con", "cor", "de", "dis", "en", "ex", "fa", "for", "ga",
        "gra",
        "ha", "im", "in", "inter", "la", "le", "ma", "me", "mis", "no", "ob", "or", "out", "over",
        "pa", "per", "po", "pre", "pro", "ra", "re", "sa", "se", "so", "sta", "sub", "su", "ta",
        "tra",
        "un", "under", "va", "vi",
    ]
    private static let endings = [
        "ble", "bor", "cent", "cess", "cial", "cle", "dent", "der", "duce", "ect", "ence", "ent",
        "est",
        "fer", "form", "gain", "ger", "ing", "ision", "ity", "land", "lar", "ler", "ly", "ment",
        "mer",
        "mission", "mit", "nal", "ner", "ness", "per", "pose", "port", "rent", "ry", "sion", "sist",
        "spect", "struct", "tain", "ten", "tion", "tive", "tor", "tract", "tural", "vent", "ver",
        "vice",
    ]

    /// Words one after another, each with a space, and where each begins.
    private let bytes: [UInt8]
    private let starts: [UInt32]
    private let draws: [UInt16]

    static let shared = Words()

    private init() {
        var common = Self.common.split(separator: " ").map(String.init)[...]
        var words: [String] = []
        var met: Set<String> = Set(common)
        var pair = 0
        while words.count < Self.wordCount {
            if words.count % 8 == 1, let next = common.popFirst() {
                words.append(next)
                continue
            }
            // Each pair is met once: the steps of endings have no divisor in common with their number.
            let beginning = Self.beginnings[pair % Self.beginnings.count]
            let ending = Self.endings[
                (pair / Self.beginnings.count + pair * 10) % Self.endings.count]
            let word = beginning + ending
            if word.utf8.count >= Self.letters, met.insert(word).inserted { words.append(word) }
            pair += 1
        }
        var bytes: [UInt8] = []
        var starts: [UInt32] = []
        for word in words {
            starts.append(UInt32(bytes.count))
            bytes += Array(word.utf8) + [0x20]
        }
        starts.append(UInt32(bytes.count))
        var draws: [UInt16] = []
        let whole = (1...words.count).reduce(0.0) { $0 + 1 / Double($1) }
        var reached = 0.0
        for rank in words.indices {
            reached += 1 / Double(rank + 1) / whole
            let until = Int((reached * Double(1 << Self.drawBits)).rounded())
            while draws.count < until { draws.append(UInt16(rank)) }
        }
        self.bytes = bytes
        self.starts = starts
        self.draws = draws
    }

    /// The same text for the same seed; the last word is cut where the room ends.
    func fill(_ place: UnsafeMutablePointer<UInt8>, _ count: Int, seed: UInt64) {
        var random = Random(seed: seed)
        var bits: UInt64 = 0
        var left = 0
        var used = 0
        while used < count {
            if left < Self.drawBits {
                bits = random.next()
                left = 64
            }
            let word = Int(draws[Int(bits & (1 << UInt64(Self.drawBits) - 1))])
            bits >>= UInt64(Self.drawBits)
            left -= Self.drawBits
            let start = Int(starts[word])
            let length = min(Int(starts[word + 1]) - start, count - used)
            unsafe bytes.withUnsafeBufferPointer { bytes in
                guard let base = bytes.baseAddress else { return }
                unsafe memcpy(place + used, base + start, length)
            }
            used += length
        }
    }
}
