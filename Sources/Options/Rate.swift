/// `N/PERIOD,BURST`: so many requests a period, so many of them at once.
public struct Rate: Sendable, Equatable {
    public let count: Int
    public let periodS: Int
    public let burst: Int

    /// More than this is no limit.
    public static let countMax = 1_000_000
    public static let periodSMax = 86_400

    private static let unitsS: [(names: [String], seconds: Int)] = [
        (["s", "sec"], 1), (["m", "min"], 60), (["h", "hour"], 3600), (["d", "day"], 86_400),
    ]

    /// nil where the text is no rate, or one out of range. PERIOD is a unit, with a number before it
    /// if it isn't one: `5/10s,2`. Without `,BURST` the burst is N.
    init?(_ text: String) {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, let count = ValueText.whole(halves[0]) else { return nil }
        let pieces = halves[1].split(separator: ",", omittingEmptySubsequences: false)
        guard (1...2).contains(pieces.count) else { return nil }
        let digits = pieces[0].prefix { $0.isASCII && $0.isNumber }
        let unit = String(pieces[0].dropFirst(digits.count))
        guard let periods = digits.isEmpty ? 1 : ValueText.whole(digits),
            let unitS = Self.unitsS.first(where: { $0.names.contains(unit) })?.seconds,
            let burst = pieces.count == 1 ? count : ValueText.whole(pieces[1]),
            (1...Self.countMax).contains(count), (1...Self.countMax).contains(burst),
            (1...Self.periodSMax / unitS).contains(periods)
        else { return nil }
        self.count = count
        periodS = periods * unitS
        self.burst = burst
    }
}
