import Keyspace
import Wire

/// The query of a list: `?prefix= &limit= &cursor=`.
///
/// Parameters we don't know are passed over; one of ours that is there twice is refused, since
/// either might have been meant.
@safe
struct ListQuery {
    /// The most records of one page; who wants more asks for the next one.
    static let limitMax = 10_000
    /// Without a limit the whole table is streamed.
    static let unlimited = Int.max
    /// What `parse` needs to decode into: a prefix with every byte encoded, and a cursor's key.
    static let scratchBytesMin = 3 * Key.bytesMax + 3 * Cursor.bytesMax + Key.bytesMax

    /// Decoded; empty for all keys.
    var prefix = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    var limit = unlimited
    /// The last key of the page before; empty for the first page.
    var after = unsafe UnsafeRawBufferPointer(start: nil, count: 0)

    @safe
    enum Parsed {
        case query(ListQuery)
        /// What the client is told (400).
        case malformed(StaticString)
    }

    /// `items` are of the query that lies in `bytes`. The answer points into both `bytes` and
    /// `scratch`.
    static func parse(
        _ items: QueryItems, _ bytes: UnsafeRawBufferPointer,
        scratch: UnsafeMutablePointer<UInt8>, scratchBytes: Int
    ) -> Parsed {
        var writer = unsafe ByteWriter(scratch, capacity: scratchBytes)
        var items = items
        var query = ListQuery()
        var hasPrefix = false
        var hasLimit = false
        var hasCursor = false
        while let item = unsafe items.next(in: bytes.bytes) {
            let name = unsafe bytes.bytes.slice(item.name)
            let raw = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[Int(item.value.start)..<Int(item.value.end)])
            if QueryName.isNamed(name, "prefix") {
                if hasPrefix { return .malformed("prefix is given more than once") }
                hasPrefix = true
                guard let prefix = unsafe decode(raw, bytesMax: Key.bytesMax, &writer) else {
                    return .malformed("prefix is at most 1024 bytes, percent-encoded")
                }
                unsafe query.prefix = unsafe prefix
            } else if QueryName.isNamed(name, "limit") {
                if hasLimit { return .malformed("limit is given more than once") }
                hasLimit = true
                guard let limit = unsafe limit(raw) else {
                    return .malformed("limit is a number from 1 to 10000")
                }
                query.limit = limit
            } else if QueryName.isNamed(name, "cursor") {
                if hasCursor { return .malformed("cursor is given more than once") }
                hasCursor = true
                guard let text = unsafe decode(raw, bytesMax: Cursor.bytesMax, &writer),
                    let after = unsafe Cursor.parse(text, into: &writer)
                else { return .malformed("cursor is not one that a page's Link gave") }
                unsafe query.after = unsafe after
            }
        }
        return .query(query)
    }

    private static func limit(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text.count >= 1, text.count <= 5 else { return nil }
        var number = 0
        for index in 0..<text.count {
            let byte = unsafe text[index]
            guard byte &- 0x30 < 10 else { return nil }
            number = number * 10 + Int(byte &- 0x30)
        }
        return number >= 1 && number <= limitMax ? number : nil
    }

    /// Nil for broken encoding, and for more than `bytesMax`.
    private static func decode(
        _ raw: UnsafeRawBufferPointer, bytesMax: Int, _ writer: inout ByteWriter
    ) -> UnsafeRawBufferPointer? {
        if raw.count > 3 * bytesMax { return nil }
        var text = unsafe raw
        if unsafe !Percent.isPlain(raw.bytes, as: .query) {
            let before = writer.count
            guard unsafe Percent.decode(raw.bytes, as: .query, into: &writer) != nil else {
                return nil
            }
            unsafe text = unsafe UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(writer.written)[before...])
        }
        return unsafe text.count <= bytesMax ? text : nil
    }
}

extension ListQuery {
    /// The value of a `Link` field that leads to the page after the one whose last key is `last`.
    /// `path` is the request's, as it was sent. What a head may have been is room enough.
    func writeLink(
        path: UnsafeRawBufferPointer, last: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) {
        writer.write("<")
        unsafe writer.write(path)
        writer.write("?")
        if unsafe !prefix.isEmpty {
            writer.write("prefix=")
            unsafe Percent.encode(prefix.bytes, into: &writer)
            writer.write("&")
        }
        if limit != ListQuery.unlimited {
            writer.write("limit=")
            writer.write(decimal: limit)
            writer.write("&")
        }
        writer.write("cursor=")
        unsafe Cursor.write(last, into: &writer)
        writer.write(">; rel=\"next\"")
    }
}

/// Where the next page of a list goes on: the last key of this one, in base64url. Clients take it
/// as opaque.
enum Cursor {
    /// What the longest key takes.
    static let bytesMax = Base64.encodedCount(Key.bytesMax, .urlSafe)

    static func byteCount(_ key: UnsafeRawBufferPointer) -> Int {
        Base64.encodedCount(key.count, .urlSafe)
    }

    static func write(_ key: UnsafeRawBufferPointer, into writer: inout ByteWriter) {
        let count = unsafe byteCount(key)
        let room = unsafe UnsafeMutableRawBufferPointer(start: writer.reserve(count), count: count)
        _ = unsafe Base64.encode(key, .urlSafe, into: room)
    }

    /// The key, decoded into `writer`; nil for what `write` never writes.
    static func parse(
        _ text: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) -> UnsafeRawBufferPointer? {
        guard unsafe !text.isEmpty, text.count <= bytesMax else { return nil }
        let before = writer.count
        let roomCount = Base64.decodedCountMax(text.count)
        let room = unsafe UnsafeMutableRawBufferPointer(
            start: writer.reserve(roomCount), count: roomCount)
        guard let count = unsafe Base64.decode(text, .urlSafe, into: room), count > 0 else {
            writer.rewind(to: before)
            return nil
        }
        writer.rewind(to: before + count)
        return unsafe UnsafeRawBufferPointer(rebasing: room[..<count])
    }
}

/// The names of query parameters, which may be percent-encoded like anything else.
enum QueryName {
    /// `name` is in lower-case letters.
    static func isNamed(_ raw: RawSpan, _ name: StaticString) -> Bool {
        if raw.equals(name) { return true }
        let count = name.utf8CodeUnitCount
        guard raw.byteCount > count, raw.byteCount <= 3 * count else { return false }
        return unsafe raw.withUnsafeBytes { raw in
            var at = 0
            for index in 0..<count {
                guard at < raw.count else { return false }
                var byte = unsafe raw[at]
                at += 1
                if byte == 0x25 {
                    guard at + 1 < raw.count, let high = unsafe hexDigit(raw[at]),
                        let low = unsafe hexDigit(raw[at + 1])
                    else { return false }
                    byte = high << 4 | low
                    at += 2
                }
                if unsafe byte != name.utf8Start[index] { return false }
            }
            return at == raw.count
        }
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
