import Keyspace
import Wire

/// A record as HTTP and streams show it:
/// `{"value":V,"version":1,"timestamp":ms,"owner":"alice"}`, then `"expires_at":ms` when it has
/// one, and `"encoding":"base64"` when the value is bytes that are not UTF-8.
///
/// A JSON value is copied as it was sent. Nobody's record has the owner `null`.
enum RecordText {
    private static let valueName: StaticString = "{\"value\":"
    private static let versionName: StaticString = ",\"version\":"
    private static let timestampName: StaticString = ",\"timestamp\":"
    private static let ownerName: StaticString = ",\"owner\":"
    private static let expiryName: StaticString = ",\"expires_at\":"
    private static let encoding: StaticString = ",\"encoding\":\"base64\""
    private static let null: StaticString = "null"

    /// What every record has: four names and the closing brace.
    private static var frameCount: Int {
        valueName.utf8CodeUnitCount + versionName.utf8CodeUnitCount
            + timestampName.utf8CodeUnitCount + ownerName.utf8CodeUnitCount + 1
    }

    /// How many bytes `write` writes, exactly. `owner` is the name of the record's owner, empty
    /// for nobody.
    static func byteCount(_ record: Record, owner: UnsafeRawBufferPointer) -> Int {
        var count =
            frameCount + valueCount(record) + ByteWriter.decimalDigits(of: record.version)
            + ByteWriter.decimalDigits(of: UInt64(record.timestamp.magnitude))
        unsafe count += owner.isEmpty ? null.utf8CodeUnitCount : LooseText.byteCount(owner)
        let expiresAt = record.expiresAt
        if expiresAt != 0 {
            count += expiryName.utf8CodeUnitCount + decimalCount(expiresAt)
        }
        return count
    }

    static func write(
        _ record: Record, owner: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) {
        writer.write(valueName)
        let isEncoded = writeValue(record, into: &writer)
        writer.write(versionName)
        writer.write(decimal: record.version)
        writer.write(timestampName)
        writer.write(decimal: UInt64(record.timestamp.magnitude))
        writer.write(ownerName)
        if unsafe owner.isEmpty {
            writer.write(null)
        } else {
            unsafe LooseText.write(owner, into: &writer)
        }
        let expiresAt = record.expiresAt
        if expiresAt != 0 {
            writer.write(expiryName)
            writer.write(decimal: Int(expiresAt))
        }
        if isEncoded { writer.write(encoding) }
        writer.write(byte: 0x7D)
    }

    // MARK: The common case

    /// What follows a version in a text is longer.
    private static var versionBytesMax: Int { 24 }

    /// What the text of a record takes whose value is JSON and that does not expire; nil for any
    /// other. Its owner has a name that is written as it is.
    @inline(__always)
    static func plainByteCount(_ record: Record, ownerCount: Int, versionDigits: Int) -> Int? {
        guard record.kind == .json, record.expiresAt == 0,
            DigitText.isTime(UInt64(bitPattern: record.timestamp))
        else { return nil }
        return frameCount &+ record.valueCount &+ ownerCount &+ versionDigits &+ 15
    }

    /// What `write` would write of such a record, without asking for room piece by piece: the caller
    /// has `plainByteCount` bytes and a few more, which may be written over for a moment.
    @unsafe @inline(__always)
    static func writePlain(
        _ record: Record, owner: UnsafeRawBufferPointer, to start: UnsafeMutableRawPointer
    ) {
        var place = unsafe start
        @inline(__always) func put(_ text: StaticString) {
            unsafe place.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
            unsafe place += text.utf8CodeUnitCount
        }
        put("{\"value\":")
        let value = unsafe record.value
        if let from = value.baseAddress {
            unsafe place.copyMemory(from: from, byteCount: value.count)
        }
        unsafe place += value.count
        put(",\"version\":")
        var version = unsafe ByteWriter(
            place.assumingMemoryBound(to: UInt8.self), capacity: versionBytesMax)
        version.write(decimal: record.version)
        unsafe place += version.count
        put(",\"timestamp\":")
        unsafe DigitText.writeTime(UInt64(bitPattern: record.timestamp), to: place)
        unsafe place += 13
        put(",\"owner\":\"")
        if let from = owner.baseAddress {
            unsafe place.copyMemory(from: from, byteCount: owner.count)
        }
        unsafe place += owner.count
        put("\"}")
    }

    // MARK: The value

    /// What the value takes, and the word about its encoding.
    @inline(__always)
    private static func valueCount(_ record: Record) -> Int {
        switch record.kind {
        case .json: record.valueCount
        case .bytes: unsafe bytesCount(record.value)
        case .list: unsafe listCount(record.value)
        }
    }

    @inline(never)
    private static func bytesCount(_ bytes: UnsafeRawBufferPointer) -> Int {
        if unsafe UTF8Text.isValid(bytes) { return unsafe JSONString.encodedCount(bytes) }
        return Base64.encodedCount(bytes.count, .standard) + 2 + encoding.utf8CodeUnitCount
    }

    /// Answers whether the value is written in base64.
    @inline(__always)
    private static func writeValue(_ record: Record, into writer: inout ByteWriter) -> Bool {
        switch record.kind {
        case .json: unsafe writer.write(record.value)
        case .bytes: return unsafe writeBytes(record.value, into: &writer)
        case .list: return unsafe writeList(record.value, into: &writer)
        }
        return false
    }

    @inline(never)
    private static func writeBytes(
        _ bytes: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) -> Bool {
        if unsafe UTF8Text.isValid(bytes) {
            let count = unsafe JSONString.encodedCount(bytes)
            let room = unsafe UnsafeMutableRawBufferPointer(
                start: writer.reserve(count), count: count)
            _ = unsafe JSONString.encode(bytes, into: room)
            return false
        }
        writer.write(byte: 0x22)
        let count = Base64.encodedCount(bytes.count, .standard)
        let room = unsafe UnsafeMutableRawBufferPointer(start: writer.reserve(count), count: count)
        _ = unsafe Base64.encode(bytes, .standard, into: room)
        writer.write(byte: 0x22)
        return true
    }

    // MARK: Lists

    /// Whether all elements are text; else all are shown in base64.
    private static func isText(_ list: ListForm) -> Bool {
        var place = 0
        while place < list.used {
            let (bytes, next) = unsafe list.element(at: place)
            guard unsafe UTF8Text.isValid(bytes) else { return false }
            place = next
        }
        return true
    }

    @inline(never)
    private static func listCount(_ value: UnsafeRawBufferPointer) -> Int {
        let list = unsafe ListForm(value)
        let isText = isText(list)
        var count = 2 + max(0, list.count - 1)
        var place = 0
        while place < list.used {
            let (bytes, next) = unsafe list.element(at: place)
            if isText {
                unsafe count += JSONString.encodedCount(bytes)
            } else {
                count += Base64.encodedCount(bytes.count, .standard) + 2
            }
            place = next
        }
        return isText ? count : count + encoding.utf8CodeUnitCount
    }

    @inline(never)
    private static func writeList(
        _ value: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) -> Bool {
        let list = unsafe ListForm(value)
        let isText = isText(list)
        writer.write(byte: UInt8(ascii: "["))
        var place = 0
        while place < list.used {
            if place > 0 { writer.write(byte: UInt8(ascii: ",")) }
            let (bytes, next) = unsafe list.element(at: place)
            if isText {
                let count = unsafe JSONString.encodedCount(bytes)
                let room = unsafe UnsafeMutableRawBufferPointer(
                    start: writer.reserve(count), count: count)
                _ = unsafe JSONString.encode(bytes, into: room)
            } else {
                writer.write(byte: 0x22)
                let count = Base64.encodedCount(bytes.count, .standard)
                let room = unsafe UnsafeMutableRawBufferPointer(
                    start: writer.reserve(count), count: count)
                _ = unsafe Base64.encode(bytes, .standard, into: room)
                writer.write(byte: 0x22)
            }
            place = next
        }
        writer.write(byte: UInt8(ascii: "]"))
        return !isText
    }

    private static func decimalCount(_ number: Int64) -> Int {
        (number < 0 ? 1 : 0) + ByteWriter.decimalDigits(of: number.magnitude)
    }
}

/// Any bytes as a JSON string: names and keys, which are UTF-8 nearly always but need not be.
///
/// Each byte that belongs to no character is shown as U+FFFD. So the text is always JSON, and such
/// a key can be seen, though not asked for by this name.
enum LooseText {
    private static let replacementCount = 3

    /// How many bytes `write` writes, quotes included.
    static func byteCount(_ text: UnsafeRawBufferPointer) -> Int {
        if unsafe isWord(text) { return text.count + 2 }
        if unsafe UTF8Text.isValid(text) { return unsafe JSONString.encodedCount(text) }
        var count = 2
        var at = 0
        while at < text.count {
            let length = unsafe characterCount(text, at)
            if length == 0 {
                count += replacementCount
                at += 1
            } else {
                let character = unsafe UnsafeRawBufferPointer(rebasing: text[at..<(at + length)])
                unsafe count += JSONString.encodedCount(character) - 2
                at += length
            }
        }
        return count
    }

    static func write(_ text: UnsafeRawBufferPointer, into writer: inout ByteWriter) {
        if unsafe isWord(text) {
            writer.write(byte: 0x22)
            unsafe writer.write(text)
            writer.write(byte: 0x22)
            return
        }
        guard unsafe UTF8Text.isValid(text) else {
            return unsafe writeReplacing(text, into: &writer)
        }
        let count = unsafe JSONString.encodedCount(text)
        let room = unsafe UnsafeMutableRawBufferPointer(start: writer.reserve(count), count: count)
        _ = unsafe JSONString.encode(text, into: room)
    }

    /// Most names are short and have nothing to escape: they go out as they are, for a tenth of what
    /// the general way costs.
    @inline(__always)
    static func isWord(_ text: UnsafeRawBufferPointer) -> Bool {
        let count = text.count
        guard count <= 64, let base = text.baseAddress else { return count == 0 }
        if count >= 8 {
            var marks: UInt64 = 0
            var at = 0
            while at < count {
                // The last word overlaps the one before.
                let from = min(at, count &- 8)
                unsafe marks |= escaped(base.loadUnaligned(fromByteOffset: from, as: UInt64.self))
                at &+= 8
            }
            return marks == 0
        }
        if count >= 4 {
            let first = unsafe base.loadUnaligned(as: UInt32.self)
            let last = unsafe base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
            return escaped(UInt64(first) | UInt64(last) &<< 32) == 0
        }
        for index in 0..<count where unsafe !TableName.allows(text[index]) { return false }
        return true
    }

    /// Not zero where one of eight bytes is not ASCII, a control, a quote or a backslash.
    @inline(__always)
    private static func escaped(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quote = (word ^ (0x22 &* ones)) &- ones
        let backslash = (word ^ (0x5C &* ones)) &- ones
        return (quote | backslash | (word &- (0x20 &* ones)) | word) & (0x80 &* ones)
    }

    @inline(never)
    private static func writeReplacing(
        _ text: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) {
        writer.write(byte: 0x22)
        var at = 0
        while at < text.count {
            let length = unsafe characterCount(text, at)
            if length == 0 {
                writer.write("\u{FFFD}")
                at += 1
                continue
            }
            let character = unsafe UnsafeRawBufferPointer(rebasing: text[at..<(at + length)])
            unsafe withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { quoted in
                let count = unsafe JSONString.encode(character, into: quoted) ?? 2
                unsafe writer.write(UnsafeRawBufferPointer(rebasing: quoted[1..<(count - 1)]))
            }
            at += length
        }
        writer.write(byte: 0x22)
    }

    /// How many bytes the character at a place has; 0 where there is none.
    private static func characterCount(_ text: UnsafeRawBufferPointer, _ at: Int) -> Int {
        for length in 1...4 where at + length <= text.count {
            if unsafe UTF8Text.isValid(UnsafeRawBufferPointer(rebasing: text[at..<(at + length)])) {
                return length
            }
        }
        return 0
    }
}
