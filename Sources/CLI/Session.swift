import Glibc
import Wire

/// A conversation with a server: connects when needed and again when it was lost, sends commands,
/// prints replies, and keeps track of what a reply changes (database, transaction, protocol).
struct Session {
    enum Outcome: Equatable {
        case done
        /// The server, or what there is of it, says no.
        case failed
        case quit
    }

    private(set) var settings: Settings
    private let form: ReplyText.Form
    private let isInteractive: Bool
    /// Whether `watch table/key` is for this program.
    private let watches: Bool
    private var link: Link?
    private var parser = RESPReplyParser()
    private var database: Int
    private(set) var isInTransaction = false

    /// A cluster that sends a command round in circles is given up on.
    private static let hopsMax = 16

    init(
        _ settings: Settings, form: ReplyText.Form, isInteractive: Bool, watches: Bool = true
    ) {
        self.settings = settings
        self.form = form
        self.isInteractive = isInteractive
        self.watches = watches
        database = settings.database
    }

    var prompt: String {
        guard link != nil else { return "not connected> " }
        let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
        let number = database == 0 ? "" : "[\(database)]"
        return "\(host):\(settings.port)\(number)\(isInTransaction ? "(TX)" : "")> "
    }

    var isConnected: Bool { link != nil }

    // MARK: Telling

    private func out(_ bytes: [UInt8]) { Files.write(1, bytes) }

    private func tell(_ text: String) { Files.write(2, Array((text + "\n").utf8)) }

    /// At a prompt an error is a reply as any other; elsewhere it is kept out of the output.
    private func show(_ value: RESPValue, isPlain: Bool = false) -> Outcome {
        guard case .error(let bytes) = value else {
            out(ReplyText.render(value, form, isPlain: isPlain))
            return .done
        }
        if isInteractive {
            out(ReplyText.render(value, form))
        } else {
            Files.write(2, bytes + [0x0A])
        }
        return .failed
    }

    // MARK: Connecting

    mutating func connect() -> Bool {
        link = nil
        parser = RESPReplyParser()
        isInTransaction = false
        switch Link.open(host: settings.host, port: settings.port) {
        case .failure(let failure):
            tell("Could not connect to \(settings.host):\(settings.port): \(failure.reason)")
            return false
        case .success(let link): self.link = link
        }
        return introduce()
    }

    /// Says who we are, which protocol we speak and which database we mean.
    private mutating func introduce() -> Bool {
        if let password = settings.password, !password.isEmpty {
            let words = ["AUTH"] + (settings.user.map { [$0] } ?? []) + [password]
            if !isTaken(words) { tell("Warning: AUTH failed") }
        }
        if settings.protocolVersion == 3, !isTaken(["HELLO", "3"]) {
            settings.protocolVersion = 2
        }
        if database != 0, !isTaken(["SELECT", "\(database)"]) { database = 0 }
        return link != nil
    }

    private mutating func isTaken(_ words: [String]) -> Bool {
        switch ask(words.map { Array($0.utf8) }) {
        case .reply(.error(let text)):
            tell(String(decoding: text, as: UTF8.self))
            return false
        case .reply: return true
        case .lost(let why):
            tell("Error: \(why)")
            return false
        case .interrupted: return false
        }
    }

    private enum Answer { case reply(RESPValue), lost(String), interrupted }

    private mutating func ask(_ words: [[UInt8]]) -> Answer {
        guard let link, link.send(Self.request(words)) else {
            self.link = nil
            return .lost("Server closed the connection")
        }
        return hear()
    }

    /// The next reply.
    private mutating func hear() -> Answer {
        while let link {
            switch parser.next() {
            case .reply(let value): return .reply(value)
            case .violation(let what):
                self.link = nil
                return .lost("Protocol error, \(what)")
            case .needMore: break
            }
            switch link.hear() {
            case .bytes(let bytes): parser.feed(bytes)
            case .nothing: continue
            case .interrupted: return .interrupted
            case .closed(let why):
                self.link = nil
                return .lost(why)
            }
        }
        return .lost("Not connected")
    }

    static func request(_ words: [[UInt8]]) -> [UInt8] {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [13, 10] }
        return bytes
    }

    // MARK: Commands

    /// Carries out one command, `settings.times` over.
    mutating func run(_ words: [[UInt8]]) -> Outcome {
        var words = words
        var times = 1
        // `5 PING` at the prompt is five of them.
        if isInteractive, words.count > 1,
            let number = Int(String(decoding: words[0], as: UTF8.self))
        {
            guard number > 0 else {
                tell("Error: how often must be a positive number")
                return .failed
            }
            times = number
            words.removeFirst()
        }
        var outcome = Outcome.done
        for turn in 0..<times where outcome != .quit {
            outcome = once(words)
            if settings.pauseMs > 0, turn + 1 < times, Watch.pause(ms: settings.pauseMs) { break }
        }
        return outcome
    }

    private mutating func once(_ words: [[UInt8]]) -> Outcome {
        guard let first = words.first else { return .done }
        let text = words.map { String(decoding: $0, as: UTF8.self) }
        let name = text[0].lowercased()
        if let outcome = own(name, text, words) { return outcome }
        if let link, link.isOver {
            self.link = nil
            tell("The server had closed the connection; connecting again")
            if isInTransaction { tell("The transaction is lost with it") }
        }
        if link == nil, !connect() { return .failed }
        return exchange(words, name: name, isPlain: Self.isPlain(text), named: first)
    }

    /// Words that are for this program; nil for all that is the server's.
    private mutating func own(_ name: String, _ text: [String], _ words: [[UInt8]]) -> Outcome? {
        switch name {
        case "help", "?":
            out(Array(HelpText.page(for: Array(text.dropFirst()), colors: isInteractive).utf8))
            return .done
        case "quit", "exit": return isInteractive ? .quit : nil
        case "clear" where isInteractive:
            out(Array("\u{1B}[H\u{1B}[2J".utf8))
            return .done
        case "connect" where isInteractive && text.count == 3:
            guard let port = UInt16(text[2]) else { return nil }
            settings.host = text[1]
            settings.port = port
            return connect() ? .done : .failed
        // WATCH is the server's; `watch table/key` in small letters is ours.
        case "watch"
        where watches && text[0] == "watch" && !isInTransaction && words.count > 1
            && words.dropFirst().allSatisfy({ $0.contains(UInt8(ascii: "/")) }):
            let watch = Watch(
                host: settings.host, port: settings.port, topics: Array(words.dropFirst()),
                apiKey: settings.password, out: { Files.write(1, $0) },
                tell: { Files.write(2, Array(($0 + "\n").utf8)) })
            return watch.run() ? .done : .failed
        default: return nil
        }
    }

    private mutating func exchange(
        _ words: [[UInt8]], name: String, isPlain: Bool, named first: [UInt8]
    ) -> Outcome {
        let streams = ["subscribe", "psubscribe", "ssubscribe", "monitor"].contains(name)
        var hops = 0
        var answer = ask(words)
        while true {
            switch answer {
            case .interrupted:
                // The reply may still come, and would be taken for the next one's.
                link = nil
                _ = connect()
                return .failed
            case .lost(let why):
                tell("Error: \(why)")
                if !["quit", "shutdown"].contains(name) {
                    tell("Whether the command was carried out is not known")
                }
                return .failed
            case .reply(.push(let items)) where !streams:
                // Said unasked, between a command and its reply.
                out(ReplyText.render(.push(items), form))
                answer = hear()
            case .reply(.error(let bytes)) where hops < Self.hopsMax && follow(bytes):
                hops += 1
                answer = ask(words)
            case .reply(let value):
                let outcome = show(value, isPlain: isPlain)
                if outcome == .done { note(name, words, value) }
                guard streams, outcome == .done else { return outcome }
                return listen()
            }
        }
    }

    /// What comes until Ctrl-C, or until the connection ends.
    private mutating func listen() -> Outcome {
        if isInteractive { out(Array("Reading messages... (press Ctrl-C to quit)\n".utf8)) }
        while true {
            switch hear() {
            case .reply(let value): _ = show(value)
            case .interrupted:
                // A connection of its own is the way out that every server knows.
                link = nil
                return connect() ? .done : .failed
            case .lost(let why):
                tell("Error: \(why)")
                return .failed
            }
        }
    }

    /// Goes where a cluster says a key is; false when the error says nothing of the kind.
    private mutating func follow(_ error: [UInt8]) -> Bool {
        let words = String(decoding: error, as: UTF8.self).split(separator: " ")
        guard words.count == 3, words[0] == "MOVED" || words[0] == "ASK",
            let colon = words[2].lastIndex(of: ":"),
            let port = UInt16(words[2][words[2].index(after: colon)...])
        else { return false }
        let host = String(words[2][..<colon])
        if isInteractive {
            out(Array("-> Redirected to slot [\(words[1])] located at \(words[2])\n".utf8))
        }
        if !host.isEmpty { settings.host = host }
        settings.port = port
        guard connect() else { return false }
        if words[0] == "ASK" { _ = isTaken(["ASKING"]) }
        return true
    }

    /// What a command that was carried out has changed.
    private mutating func note(_ name: String, _ words: [[UInt8]], _ value: RESPValue) {
        let text = words.map { String(decoding: $0, as: UTF8.self) }
        switch name {
        case "select":
            if let number = text.dropFirst().first.flatMap(Int.init) { database = number }
        case "multi": isInTransaction = true
        case "exec", "discard": isInTransaction = false
        case "hello":
            if let number = text.dropFirst().first.flatMap(Int.init) {
                settings.protocolVersion = number
            }
        case "auth":
            settings.user = text.count > 2 ? text[1] : nil
            settings.password = text.last
        case "reset":
            database = 0
            isInTransaction = false
            settings.protocolVersion = 2
            settings.password = nil
        case "quit": link = nil
        default: break
        }
    }

    /// Replies that are a page of text, which quotes would make unreadable.
    private static func isPlain(_ words: [String]) -> Bool {
        let sub = words.count > 1 ? words[1].lowercased() : ""
        return switch words[0].lowercased() {
        case "info", "lolwut": true
        case "cluster": sub == "info" || sub == "nodes"
        case "client": sub == "list" || sub == "info"
        case "memory": sub == "doctor" || sub == "malloc-stats"
        case "latency": sub == "graph" || sub == "doctor"
        case "debug": sub == "htstats" || sub == "htstats-key"
        default: false
        }
    }
}
