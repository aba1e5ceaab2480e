/// Values such as people store: JSON text of words, the common ones often.
enum Words {
    static let list: [String] = """
        the of and to in is was for that on with as by at from his it an were are which this be or \
        had first one their has its new after but who not they have her she two been other when \
        there all during into school time may years more most only over city some world would where \
        later up such used many can state about national out known university united then made \
        under no between family being people including three team american early several season \
        name film second high south well part life number while also became century company group \
        john album music found same against four order until because area north west east game house \
        back before each year work war both place career history called public player member played \
        river party music town system long government since through these original former small \
        station population street large five end great along series released left home line book \
        district born general club president service local village final award best major community \
        german british french military set began park due band any won law church built song march \
        june july april august october december january september november february member women \
        water college field league form day total television third king father based art case run \
        political show following species point development power road record support current head \
        education research social included county students business close order story council late
        """.split(separator: " ").map(String.init)

    /// A number that looks random.
    static func mix(_ number: Int) -> UInt64 {
        var mixed = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// A value of exactly `bytes`, different for each number.
    static func value(_ number: Int, bytes: Int) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "\"")]
        var draw = 0
        while text.count < bytes {
            let random = mix(number &* 131 &+ draw)
            draw += 1
            // A word of half the rank comes about twice as often.
            let span = list.count >> Int(random >> 40 % 5)
            text.append(contentsOf: list[Int(random & 0xFFFF) % max(span, 8)].utf8)
            text.append(UInt8(ascii: " "))
        }
        text.removeLast(text.count - bytes + 1)
        text.append(UInt8(ascii: "\""))
        return text
    }

    /// Ten bytes, in no order.
    static func key(_ number: Int) -> [UInt8] {
        var left = mix(number) >> 20
        return (0..<10).map { _ in
            defer { left /= 36 }
            return Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)[Int(left % 36)]
        }
    }
}
