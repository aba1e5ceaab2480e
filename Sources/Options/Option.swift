/// One thing a person can set, and all that is said about it anywhere.
///
/// Flags, environment, `--help` and docs/options.md are made from these rows and from nothing
/// else, so they cannot disagree. A row that the contract promises and that this version does not
/// carry out is in the table too: setting it is refused, because a setting that is silently
/// ignored is worse than one that is missing.
public struct Option: Sendable {
    /// How the option is given. Secrets have no flag: argument lists are public on a machine.
    public enum Way: Sendable, Equatable { case flag, position, environment }

    /// Where `--help` and docs/options.md show it.
    public enum Section: String, Sendable, CaseIterable {
        case node = "The node"
        case http = "HTTP bounds"
        case log = "Log"
        case secret = "From the environment only"
        case expert = "Experts"
        case test = "Tests only"
        case later = "Not carried out by this version"
    }

    public enum Default: Sendable, Equatable {
        /// Read by the same code as a given value.
        case value(String)
        /// Depends on the machine; the field stays nil and the node resolves it. The text says how.
        case automatic(String)
        case none
    }

    public let name: String
    public let section: Section
    public let way: Way
    public let meaning: Meaning
    public let `default`: Default
    public let doc: String
    /// Names it has in the environment, the strongest first.
    public let environment: [String]

    public var isCarriedOut: Bool { section != .later }

    /// What a person typed or would type: `--shards`, `LISTEN`, `JWT_SECRET`.
    public var spelling: String { way == .flag ? "--\(name)" : name }

    /// `alias` is a second name in the environment, for options that older products knew under it.
    init(
        _ name: String, _ section: Section, _ meaning: Meaning, default: Default, way: Way = .flag,
        alias: String? = nil, doc: String
    ) {
        self.name = name
        self.section = section
        self.way = way
        self.meaning = meaning
        self.default = `default`
        self.doc = doc
        var environment: [String] = []
        if way == .environment {
            environment.append(name)
        } else {
            let upper = name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
            environment.append("NEEDLETAIL_\(upper)")
        }
        if let alias { environment.append(alias) }
        self.environment = environment
    }
}

/// What a value of an option looks like, which values are allowed, and where a good one goes.
public struct Meaning: Sendable {
    /// The placeholder in usage lines: `N`, `BYTES`. Empty where the flag takes no value.
    public let form: String
    /// Completes the sentence "x is not …", and is the range shown in docs/options.md.
    public let expects: String
    /// A secret's text is never repeated, not even in a complaint about it.
    public let isSecret: Bool
    /// Puts a good value into the configuration; false for a bad one.
    let read: @Sendable (_ text: String, _ into: inout Configuration) -> Bool

    public var takesValue: Bool { !form.isEmpty }

    private init(
        form: String, expects: String, isSecret: Bool = false,
        read: @escaping @Sendable (String, inout Configuration) -> Bool
    ) {
        self.form = form
        self.expects = expects
        self.isSecret = isSecret
        self.read = read
    }

    /// The common case: read the text, check the value, store it.
    private init<Value>(
        _ form: String, _ expects: String,
        _ value: @escaping @Sendable (String) -> Value?,
        _ set: @escaping @Sendable (inout Configuration, Value) -> Void
    ) {
        self.init(form: form, expects: expects) { text, configuration in
            guard let value = value(text) else { return false }
            set(&configuration, value)
            return true
        }
    }

    static func whole(
        _ range: ClosedRange<Int>, _ set: @escaping @Sendable (inout Configuration, Int) -> Void
    ) -> Meaning {
        Meaning(
            "N", "a whole number from \(range.lowerBound) to \(range.upperBound)",
            { text in ValueText.whole(text).flatMap { range.contains($0) ? $0 : nil } }, set)
    }

    static func size(
        _ range: ClosedRange<Int>, _ set: @escaping @Sendable (inout Configuration, Int) -> Void
    ) -> Meaning {
        let low = ValueText.size(range.lowerBound)
        let high = ValueText.size(range.upperBound)
        return Meaning(
            "BYTES", "a size from \(low) to \(high), as in 65536, 64KiB, 8MiB or 1GiB",
            { text in ValueText.bytes(text).flatMap { range.contains($0) ? $0 : nil } }, set)
    }

    /// The range and the stored value are milliseconds.
    static func duration(
        _ range: ClosedRange<Int>, _ set: @escaping @Sendable (inout Configuration, Int) -> Void
    ) -> Meaning {
        let low = ValueText.duration(range.lowerBound)
        let high = ValueText.duration(range.upperBound)
        return Meaning(
            "TIME", "a time from \(low) to \(high), as in 10, 1.5s, 500ms or 2m",
            { text in ValueText.milliseconds(text).flatMap { range.contains($0) ? $0 : nil } }, set)
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ set: @escaping @Sendable (inout Configuration, Choice) -> Void
    ) -> Meaning {
        let words = Choice.allCases.map(\.rawValue)
        return Meaning(
            words.joined(separator: "|"), ValueText.oneOf(words), { Choice(rawValue: $0) }, set)
    }

    /// Words of a choice, with commas between them.
    static func list<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
        _ set: @escaping @Sendable (inout Configuration, [Choice]) -> Void
    ) -> Meaning {
        let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return Meaning(
            "LIST", "a comma list of \(words)",
            { text in
                let pieces = text.split(separator: ",", omittingEmptySubsequences: false)
                let choices = pieces.compactMap { Choice(rawValue: String($0)) }
                return choices.count == pieces.count ? choices : nil
            }, set)
    }

    static func address(
        ports: ClosedRange<UInt16>,
        _ set: @escaping @Sendable (inout Configuration, Address) -> Void
    ) -> Meaning {
        Meaning(
            "HOST:PORT",
            "HOST:PORT, :PORT or [IPV6]:PORT with a port from \(ports.lowerBound) to "
                + "\(ports.upperBound)",
            { text in Address(text).flatMap { ports.contains($0.port) ? $0 : nil } }, set)
    }

    /// Addresses and blocks of addresses, with commas between them.
    static func networks(
        _ set: @escaping @Sendable (inout Configuration, [String]) -> Void
    ) -> Meaning {
        Meaning(
            "CIDR",
            "a comma list of at most \(Network.listCountMax) addresses or blocks of them, as in "
                + "10.0.0.0/8 or fd00::/8",
            Network.list, set)
    }

    static func rate(_ set: @escaping @Sendable (inout Configuration, Rate) -> Void) -> Meaning {
        Meaning(
            "N/PERIOD,BURST",
            "N/PERIOD or N/PERIOD,BURST, N and BURST from 1 to \(Rate.countMax) and PERIOD a unit (s, "
                + "min, h, day) or a number of them up to a day, as in 100/min,10 or 5/10s",
            Rate.init, set)
    }

    static func text(
        _ form: String, _ expects: String, where isGood: @escaping @Sendable (String) -> Bool,
        _ set: @escaping @Sendable (inout Configuration, String) -> Void
    ) -> Meaning {
        Meaning(form, expects, { isGood($0) ? $0 : nil }, set)
    }

    /// A flag without a value. In the environment it is `1` or `0`.
    static func toggle(_ set: @escaping @Sendable (inout Configuration, Bool) -> Void) -> Meaning {
        Meaning(
            "", "1 or 0", { text in text == "1" ? true : text == "0" ? false : nil }, set)
    }

    static func secret(
        _ lengths: ClosedRange<Int>,
        _ set: @escaping @Sendable (inout Configuration, Secret) -> Void
    ) -> Meaning {
        let expects = "\(lengths.lowerBound) to \(lengths.upperBound) bytes long"
        return Meaning(form: "SECRET", expects: expects, isSecret: true) { text, configuration in
            guard lengths.contains(text.utf8.count) else { return false }
            set(&configuration, Secret(text))
            return true
        }
    }

    /// For a row this version refuses: only its usage is known.
    static func later(_ form: String, isSecret: Bool = false) -> Meaning {
        Meaning(form: form, expects: "", isSecret: isSecret) { _, _ in false }
    }
}
