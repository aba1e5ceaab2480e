import TestClient

/// A table as a dictionary, and random requests with the answers that a dictionary would give.
///
/// Requests are made some time before their answers are read, a pipeline at a time. What an answer
/// must be is settled when its request is made; versions and ETags, which only the server knows,
/// are learned from the answers in their order and held against all later ones.
struct TableModel {
    enum Value: Equatable {
        /// Anything but an object; comes back as it was sent.
        case text(String)
        /// An object, whose members may come in any order after a merge.
        case object([String: Int])

        var text: String {
            switch self {
            case .text(let text): text
            case .object(let members):
                "{\(members.map { "\"\($0)\":\($1)" }.joined(separator: ","))}"
            }
        }

        func isShown(by json: JSON?) -> Bool {
            switch self {
            case .text(let text): return json?.text == text
            case .object(let members):
                guard case .object(let shown)? = json?.kind, shown.count == members.count else {
                    return false
                }
                return shown.allSatisfy { members[$0.name] == $0.value.int }
            }
        }
    }

    /// Who writes: the first makes most records, the second some.
    struct Writer {
        var name: String
        var token: String
    }

    /// A request and what has to come back.
    struct Exchange {
        var what: String
        var bytes: [UInt8]
        var status: Int
        var isHead = false
        var body: Body
    }

    enum Body {
        case nothing
        case text(String)
        case error
        /// The record of a key. `isWrite`: this request wrote it, where before there was one or not.
        case record(String, Value, owner: String, write: Write)
        case keys([String], more: Bool)
        case records([(key: String, value: Value, owner: String)], isOrdered: Bool, more: Bool)
        /// A write of many keys.
        case stored([(key: String, wasThere: Bool)])
    }

    enum Write { case none, first, next }

    private struct Entry {
        var value: Value
        var writer: Int
    }

    let table: String
    let writers: [Writer]
    /// So few keys that commands meet on them.
    private let names: [String]
    private var entries: [String: Entry] = [:]
    /// Who wrote a key first: who may write it again after it was deleted.
    private var creators: [String: Int] = [:]
    /// Written by a request whose answer was not read yet.
    private var isUnsettled: Set<String> = []
    private var versions: [String: Int] = [:]
    private var tags: [String: String] = [:]
    /// Pages to go on with: the target, and what was asked for.
    private var next: [(target: String, after: String, query: Query)] = []
    private var asked: [Query] = []
    private var writes = 0

    private struct Query {
        var kind: String
        var prefix: String
        var limit: Int
    }

    init(table: String, writers: [Writer], keys: Int) {
        self.table = table
        self.writers = writers
        names = (0..<keys).map { ["k", "a/", "é", "Z", "k1"][$0 % 5] + "\($0 * 7919 % 9973)" }
    }

    // MARK: Making requests

    /// One of PUT, GET and DELETE.
    mutating func recordCommand(_ dice: inout Dice) -> Exchange {
        let key = names[dice.roll(names.count)]
        switch dice.roll(10) {
        case 0..<5: return put(key, &dice)
        case 5..<8: return get(key, head: dice.roll(8) == 0)
        default: return delete(key)
        }
    }

    /// Any request that a table takes.
    mutating func command(_ dice: inout Dice) -> Exchange {
        let key = names[dice.roll(names.count)]
        switch dice.roll(100) {
        case 0..<30: return put(key, &dice)
        case 30..<52: return get(key, head: dice.roll(8) == 0)
        case 52..<62: return delete(key)
        case 62..<70: return patch(key, &dice)
        case 70..<78: return conditional(key, &dice)
        case 78..<81: return trespass(key)
        case 81..<89: return list(&dice)
        case 89..<95: return fetch(&dice)
        default: return store(&dice)
        }
    }

    private mutating func put(_ key: String, _ dice: inout Dice) -> Exchange {
        let value = newValue(&dice)
        return written(key, value, headers: "", what: "PUT \(key)")
    }

    private mutating func written(
        _ key: String, _ value: Value, headers: String, what: String
    ) -> Exchange {
        let wasThere = entries[key] != nil
        let writer = creators[key] ?? writes % writers.count
        creators[key] = writer
        entries[key] = Entry(value: value, writer: writer)
        isUnsettled.insert(key)
        writes += 1
        return Exchange(
            what: what,
            bytes: Client.request(
                "PUT", path(key), authorization(writer) + headers,
                body: Array("{\"value\":\(value.text)}".utf8)),
            status: 201,
            body: .record(
                key, value, owner: writers[writer].name, write: wasThere ? .next : .first))
    }

    private func get(_ key: String, head isHead: Bool) -> Exchange {
        let method = isHead ? "HEAD" : "GET"
        var exchange = Exchange(
            what: "\(method) \(key)", bytes: Client.request(method, path(key)), status: 404,
            isHead: isHead, body: isHead ? .nothing : .text("{\"error\":\"Key not found\"}"))
        guard let entry = entries[key] else { return exchange }
        exchange.status = 200
        if !isHead {
            exchange.body = .record(
                key, entry.value, owner: writers[entry.writer].name, write: .none)
        }
        return exchange
    }

    private mutating func delete(_ key: String) -> Exchange {
        let writer = creators[key] ?? 0
        let wasThere = entries.removeValue(forKey: key) != nil
        if wasThere { isUnsettled.insert(key) }
        return Exchange(
            what: "DELETE \(key)",
            bytes: Client.request("DELETE", path(key), authorization(writer)),
            status: wasThere ? 200 : 404,
            body: .text(
                wasThere
                    ? "{\"message\":\"Deleted locally\"}" : "{\"error\":\"Key not found\"}"))
    }

    private mutating func patch(_ key: String, _ dice: inout Dice) -> Exchange {
        let member = "m\(dice.roll(4))"
        let number: Int? = dice.roll(3) == 0 ? nil : dice.roll(1000)
        let patch = "{\"\(member)\":\(number.map { "\($0)" } ?? "null")}"
        let writer = creators[key] ?? 0
        var exchange = Exchange(
            what: "PATCH \(key) \(patch)",
            bytes: Client.request(
                "PATCH", path(key), authorization(writer), body: Array(patch.utf8)),
            status: 404, body: .error)
        guard let entry = entries[key] else { return exchange }
        guard case .object(var members) = entry.value else {
            exchange.status = 409
            return exchange
        }
        members[member] = number
        entries[key]!.value = .object(members)
        isUnsettled.insert(key)
        exchange.status = 200
        exchange.body = .record(
            key, .object(members), owner: writers[entry.writer].name, write: .next)
        return exchange
    }

    /// A write with a precondition that holds, or one that doesn't.
    private mutating func conditional(_ key: String, _ dice: inout Dice) -> Exchange {
        guard let entry = entries[key] else {
            return written(
                key, newValue(&dice), headers: "If-None-Match: *\r\n", what: "create \(key)")
        }
        var condition = "If-None-Match: *"
        // Nobody knows the version of what was written in this same pipeline.
        if !isUnsettled.contains(key), let version = versions[key], let tag = tags[key] {
            switch dice.roll(5) {
            case 0:
                return written(
                    key, newValue(&dice), headers: "If-Match: \"\(version)\"\r\n",
                    what: "PUT \(key) of version \(version)")
            case 1:
                return written(
                    key, newValue(&dice), headers: "If-Match: \(tag)\r\n",
                    what: "PUT \(key) of tag \(tag)")
            case 2: condition = "If-Match: \"\(version + 1)\""
            case 3: condition = "If-Match: \"\(version - 1)\""
            default: break
            }
        }
        return Exchange(
            what: "PUT \(key) \(condition)",
            bytes: Client.request(
                "PUT", path(key), authorization(entry.writer) + condition + "\r\n",
                body: Array("{\"value\":0}".utf8)),
            status: 412,
            body: .record(key, entry.value, owner: writers[entry.writer].name, write: .none))
    }

    /// A write by another than the owner.
    private func trespass(_ key: String) -> Exchange {
        guard let entry = entries[key], writers.count > 1 else { return get(key, head: false) }
        return Exchange(
            what: "PUT \(key) by another",
            bytes: Client.request(
                "PUT", path(key), authorization((entry.writer + 1) % writers.count),
                body: Array("{\"value\":0}".utf8)),
            status: 401, body: .error)
    }

    /// A page of a listing: a first one, or one that goes on.
    private mutating func list(_ dice: inout Dice) -> Exchange {
        if !next.isEmpty, dice.roll(4) != 0 {
            let page = next.remove(at: dice.roll(next.count))
            return listing(page.query, page.target, after: page.after)
        }
        let query = Query(
            kind: ["keys", "keys", "store"][dice.roll(3)],
            prefix: ["", "", "k", "k1", "a/", "é", "none"][dice.roll(7)],
            limit: [1, 3, 10, 50, 1000][dice.roll(5)])
        var target = "/\(table)/\(query.kind)?limit=\(query.limit)"
        if !query.prefix.isEmpty { target += "&prefix=\(escaped(query.prefix))" }
        return listing(query, target, after: "")
    }

    private mutating func listing(
        _ query: Query, _ target: String, after: String
    ) -> Exchange {
        // A table that has become empty may be there or not.
        guard !entries.isEmpty else { return get(names[0], head: false) }
        let all = inOrder(
            entries.keys.filter {
                $0.utf8.starts(with: query.prefix.utf8)
                    && after.utf8.lexicographicallyPrecedes($0.utf8)
            })
        let page = Array(all.prefix(query.limit))
        asked.append(query)
        return Exchange(
            what: "GET \(target)", bytes: Client.request("GET", target), status: 200,
            body: query.kind == "keys"
                ? .keys(page, more: all.count > page.count)
                : .records(shown(page), isOrdered: true, more: all.count > page.count))
    }

    /// POST of a list of keys.
    private func fetch(_ dice: inout Dice) -> Exchange {
        guard !entries.isEmpty else { return get(names[0], head: false) }
        let keys = Set((0...dice.roll(8)).map { _ in names[dice.roll(names.count)] })
        let list = keys.map(JSON.quoted).joined(separator: ",")
        return Exchange(
            what: "POST /keys \(list)",
            bytes: Client.request("POST", "/\(table)/keys", body: Array("[\(list)]".utf8)),
            status: 200,
            body: .records(shown(keys.filter { entries[$0] != nil }), isOrdered: false, more: false)
        )
    }

    /// POST of an object of values: of one writer's keys, or with another's among them.
    private mutating func store(_ dice: inout Dice) -> Exchange {
        let writer = dice.roll(writers.count)
        let keys = Set((0...dice.roll(8)).map { _ in names[dice.roll(names.count)] })
        let mine = dice.roll(4) == 0 ? keys : keys.filter { (creators[$0] ?? writer) == writer }
        // Whose a deleted key is isn't said; so only keys that are there count as another's.
        let usable = mine.filter { (creators[$0] ?? writer) == writer || entries[$0] != nil }
        let values = usable.map { (key: $0, value: newValue(&dice)) }
        let isAllowed = usable.allSatisfy { (creators[$0] ?? writer) == writer }
        let body = values.map { "\(JSON.quoted($0.key)):\($0.value.text)" }.joined(separator: ",")
        var exchange = Exchange(
            what: "POST /store {\(body)}",
            bytes: Client.request(
                "POST", "/\(table)/store", authorization(writer), body: Array("{\(body)}".utf8)),
            status: 401, body: .error)
        guard isAllowed else { return exchange }
        exchange.status = 200
        exchange.body = .stored(values.map { ($0.key, entries[$0.key] != nil) })
        for (key, value) in values {
            creators[key] = writer
            entries[key] = Entry(value: value, writer: writer)
            isUnsettled.insert(key)
        }
        return exchange
    }

    private func shown(
        _ keys: some Sequence<String>
    ) -> [(key: String, value: Value, owner: String)] {
        keys.map { ($0, entries[$0]!.value, writers[entries[$0]!.writer].name) }
    }

    private func newValue(_ dice: inout Dice) -> Value {
        switch dice.roll(6) {
        case 0: .text("\"\(String(repeating: "x", count: dice.roll(300)))\"")
        case 1: .text(["0.10", "1e400", "null", "-0"][dice.roll(4)])
        case 2: .text("[\(dice.roll(1000))]")
        case 3: .text("\(dice.roll(1_000_000))")
        default:
            .object(
                Dictionary(
                    (0...dice.roll(3)).map { _ in ("m\(dice.roll(4))", dice.roll(1000)) },
                    uniquingKeysWith: { $1 }))
        }
    }

    private func path(_ key: String) -> String { "/\(table)/key/\(escaped(key))" }

    private func authorization(_ writer: Int) -> String {
        "Authorization: Bearer \(writers[writer].token)\r\n"
    }

    // MARK: Judging answers

    /// What is wrong with an answer, or nil. Answers are judged in the order of their requests.
    mutating func judge(_ exchange: Exchange, _ reply: Reply) -> String? {
        let told = "\(exchange.what): \(reply.status) \(reply.text.prefix(300))"
        guard reply.status == exchange.status else { return "\(told), not \(exchange.status)" }
        switch exchange.body {
        case .nothing: return reply.body.isEmpty ? nil : told
        case .text(let text): return reply.text == text ? nil : "\(told), not \(text)"
        case .error: return reply.errorSentence != nil ? nil : told
        case .record(let key, let value, let owner, let write):
            let version = reply.json?["version"]?.int
            guard isRecord(reply.json, key, value, owner, write) else {
                return "\(told), not \(value.text) of \(owner) after \(versions[key] ?? 0)"
            }
            versions[key] = version
            if let tag = reply.header("etag") {
                if write == .none, let known = tags[key], known != tag { return "\(told) \(tag)" }
                tags[key] = tag
            }
            return nil
        case .keys(let keys, let more):
            guard reply.json?.strings == keys else { return "\(told), not \(keys)" }
            return turnPage(reply, after: keys.last, more, told)
        case .records(let records, let isOrdered, let more):
            guard let shown = reply.json, let names = shown.names,
                isOrdered
                    ? names == records.map(\.key)
                    : Set(names) == Set(records.map(\.key))
                        && names.count == records.count
            else { return "\(told), not \(records.map(\.key))" }
            for (key, value, owner) in records
            where !isRecord(shown[key], key, value, owner, .none) {
                return "\(told), with \(key) not \(value.text) of \(owner)"
            }
            return isOrdered ? turnPage(reply, after: records.last?.key, more, told) : nil
        case .stored(let keys):
            for (key, wasThere) in keys {
                // Only a later answer tells the version where a delete came before.
                versions[key] = wasThere ? versions[key].map { $0 + 1 } : nil
                tags[key] = nil
            }
            return reply.text == "{\"stored\":\(keys.count)}" ? nil : told
        }
    }

    /// All requests so far have been answered.
    mutating func settle() { isUnsettled = [] }

    private func isRecord(
        _ record: JSON?, _ key: String, _ value: Value, _ owner: String, _ write: Write
    ) -> Bool {
        guard let version = record?["version"]?.int, version >= 1,
            value.isShown(by: record?["value"]), record?["owner"]?.string == owner,
            record?["timestamp"]?.int != nil
        else { return false }
        guard let known = versions[key] else { return true }
        switch write {
        case .none: return version == known
        case .first: return version > known
        case .next: return version == known + 1
        }
    }

    private mutating func turnPage(
        _ reply: Reply, after last: String?, _ more: Bool, _ told: String
    ) -> String? {
        let query = asked.removeFirst()
        guard let target = nextPage(reply) else { return more ? "\(told), without a Link" : nil }
        guard more, let last else { return "\(told), with a Link to \(target)" }
        next.append((target, last, query))
        if next.count > 20 { next.removeFirst() }
        return nil
    }
}
