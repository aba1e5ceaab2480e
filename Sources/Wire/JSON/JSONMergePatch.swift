/// JSON merge patch, RFC 7396: what PATCH does to a stored value.
///
/// The target is never taken apart. It is walked twice beside the patch: once to find where each
/// name that is patched has its last occurrence, once to write. So the time is that of reading both
/// (times the logarithm of the patch's members) however they are made, members that the patch does
/// not name keep their bytes and their order, replaced ones keep their place and new ones come last
/// in the patch's order.
///
/// The RFC leaves open what a repeated name means. As in most readers the last one counts, in the
/// patch and in the target; where the patch names it, the others are dropped from the result.
public enum JSONMergePatch {
    @frozen
    public enum Outcome: Equatable, Sendable {
        /// How many bytes of the output are the result.
        case merged(count: Int)
        /// The output is too small; with `countMax` bytes it never is.
        case tooLarge
        /// The patch has more than 131,072 members.
        case tooManyMembers
        case invalidPatch(offset: Int, reason: JSONFault)
        case invalidTarget(offset: Int, reason: JSONFault)
    }

    /// Room enough for every result: each byte of it is one of the patch or one of the target.
    @inlinable
    public static func countMax(
        patch: UnsafeRawBufferPointer, target: UnsafeRawBufferPointer
    ) -> Int { patch.count + target.count }

    /// Writes `target` with `patch` applied to `output`, which must not overlap either.
    ///
    /// A patch that is no object replaces the target, as the RFC has it, and a target that is no
    /// object counts as an empty one; who wants to refuse those asks `JSONKind(of:)` first. The
    /// target is read no further than it has to be then.
    public static func apply(
        _ patch: UnsafeRawBufferPointer, to target: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) -> Outcome {
        var writer = unsafe JSONMergeWriter(output)
        guard unsafe JSONKind(of: patch) == .object else {
            var cursor = unsafe JSONCursor(patch)
            cursor.skipSpace()
            let start = cursor.at
            var passed = cursor.skipValue(depthMax: JSONValidator.depthMax)
            let value = start..<cursor.at
            cursor.skipSpace()
            if passed, cursor.at < cursor.end {
                passed = cursor.fail(.trailingBytes, at: cursor.at)
            }
            guard passed else { return .invalidPatch(offset: cursor.at, reason: cursor.fault) }
            unsafe writer.put(patch, value)
            return writer.outcome
        }
        var table = unsafe JSONPatchTable(patch)
        switch table.read() {
        case .read: break
        case .tooManyMembers: return .tooManyMembers
        case .invalid(let offset, let reason):
            return .invalidPatch(offset: offset, reason: reason)
        }
        if unsafe JSONKind(of: target) == .object {
            var cursor = unsafe JSONCursor(target)
            guard unsafe findPlaces(in: target, &cursor, &table) else {
                return .invalidTarget(offset: cursor.at, reason: cursor.fault)
            }
            cursor.at = 0
            guard unsafe merge(target, &cursor, patch, table, &writer) else {
                return .invalidTarget(offset: cursor.at, reason: cursor.fault)
            }
        } else {
            unsafe writeFresh(JSONPatchTable.none, patch, table, &writer)
        }
        return writer.outcome
    }

    // MARK: The first walk

    /// Notes for each member of the patch where the target's last member of that name has its
    /// value, going into objects only where the patch does too. Checks the whole target.
    ///
    /// Where a target's name is repeated, the members inside an earlier occurrence leave notes as
    /// well. Those lie before the note of their parent, and that is how the second walk tells.
    private static func findPlaces(
        in target: UnsafeRawBufferPointer, _ cursor: inout JSONCursor,
        _ table: inout JSONPatchTable
    ) -> Bool {
        var scratch = JSONNameScratch()
        var parent = JSONPatchTable.none
        var depth = 1
        guard cursor.skip(0x7B, else: .notAnObject) else { return false }
        var isFirst = true
        while true {
            cursor.skipSpace()
            if isFirst ? cursor.byte == 0x7D : cursor.byte != 0x2C {
                guard cursor.byte == 0x7D else {
                    return cursor.fail(.missingComma, at: cursor.at)
                }
                cursor.at += 1
                isFirst = false
                depth -= 1
                if parent == JSONPatchTable.none { break }
                parent = Int(table.members[parent].parent)
                continue
            }
            if !isFirst { cursor.at += 1 }
            isFirst = false
            cursor.skipSpace()
            guard cursor.byte == 0x22 else { return cursor.fail(.missingName, at: cursor.at) }
            let nameStart = cursor.at
            guard cursor.skipString() else { return false }
            let name = unsafe scratch.name(
                nameStart..<cursor.at, in: target, hasEscapes: cursor.sawEscape)
            let found = table.find(name, in: parent)
            guard cursor.skip(0x3A, else: .missingColon) else { return false }
            cursor.skipSpace()
            if found != JSONPatchTable.none {
                table.note(place: cursor.at, of: found)
                if table.members[found].kind == .object, cursor.byte == 0x7B {
                    // The patch goes as deep and is bounded, so this is too.
                    cursor.at += 1
                    parent = found
                    depth += 1
                    isFirst = true
                    continue
                }
            }
            guard cursor.skipValue(depthMax: JSONValidator.depthMax - depth) else { return false }
        }
        cursor.skipSpace()
        return cursor.at == cursor.end || cursor.fail(.trailingBytes, at: cursor.at)
    }

    // MARK: The second walk

    /// Writes the target with the patch's members put in. False only if the target was changed by
    /// someone between the two walks.
    private static func merge(
        _ target: UnsafeRawBufferPointer, _ cursor: inout JSONCursor,
        _ patch: UnsafeRawBufferPointer, _ table: borrowing JSONPatchTable,
        _ writer: inout JSONMergeWriter
    ) -> Bool {
        var scratch = JSONNameScratch()
        var parent = JSONPatchTable.none
        guard cursor.skip(0x7B, else: .notAnObject) else { return false }
        writer.put(0x7B)
        while !writer.isFull {
            cursor.skipSpace()
            if cursor.byte == 0x2C {
                cursor.at += 1
                cursor.skipSpace()
            }
            if cursor.byte == 0x7D {
                cursor.at += 1
                unsafe writeNew(in: parent, patch, table, &writer)
                writer.put(0x7D)
                if parent == JSONPatchTable.none { return true }
                parent = Int(table.members[parent].parent)
                continue
            }
            guard cursor.byte == 0x22 else { return cursor.fail(.missingName, at: cursor.at) }
            let nameStart = cursor.at
            guard cursor.skipString() else { return false }
            let name = nameStart..<cursor.at
            let found = unsafe table.find(
                scratch.name(name, in: target, hasEscapes: cursor.sawEscape), in: parent)
            guard cursor.skip(0x3A, else: .missingColon) else { return false }
            cursor.skipSpace()
            let place = cursor.at
            if found != JSONPatchTable.none, table.members[found].place == place,
                table.members[found].kind == .object, cursor.byte == 0x7B
            {
                unsafe writer.putName(target, name)
                writer.put(0x7B)
                cursor.at += 1
                parent = found
                continue
            }
            // The first walk held the depth; this one only has to get past.
            guard cursor.skipValue(depthMax: JSONValidator.depthMax) else { return false }
            if found == JSONPatchTable.none {
                writer.putComma()
                unsafe writer.put(target, nameStart..<cursor.at)
            } else if table.members[found].place == place, table.members[found].kind != .null {
                unsafe writer.putName(target, name)
                unsafe writeValue(found, patch, table, &writer)
            }
        }
        return true
    }

    /// Appends those members of the patch's `parent` that the target's object of that name lacks.
    private static func writeNew(
        in parent: Int, _ patch: UnsafeRawBufferPointer, _ table: borrowing JSONPatchTable,
        _ writer: inout JSONMergeWriter
    ) {
        let parentPlace = parent == JSONPatchTable.none ? 0 : table.members[parent].place
        var index = table.firstChild(of: parent)
        while index != JSONPatchTable.none {
            let isNew = table.members[index].place <= parentPlace
            if isNew, table.members[index].kind != .null, !table.members[index].isOverridden {
                unsafe writer.putName(patch, table.members[index].name)
                unsafe writeValue(index, patch, table, &writer)
            }
            index = Int(table.members[index].nextSibling)
        }
    }

    private static func writeValue(
        _ index: Int, _ patch: UnsafeRawBufferPointer, _ table: borrowing JSONPatchTable,
        _ writer: inout JSONMergeWriter
    ) {
        if table.members[index].kind == .object {
            unsafe writeFresh(index, patch, table, &writer)
        } else {
            unsafe writer.put(patch, table.members[index].value)
        }
    }

    /// Writes an object of the patch where the target has none: itself, without its nulls at any
    /// level.
    private static func writeFresh(
        _ top: Int, _ patch: UnsafeRawBufferPointer, _ table: borrowing JSONPatchTable,
        _ writer: inout JSONMergeWriter
    ) {
        var parent = top
        var index = table.firstChild(of: top)
        writer.put(0x7B)
        while !writer.isFull {
            if index == JSONPatchTable.none {
                writer.put(0x7D)
                if parent == top { return }
                index = Int(table.members[parent].nextSibling)
                parent = Int(table.members[parent].parent)
                continue
            }
            let next = Int(table.members[index].nextSibling)
            if table.members[index].kind == .null || table.members[index].isOverridden {
                index = next
                continue
            }
            unsafe writer.putName(patch, table.members[index].name)
            if table.members[index].kind == .object {
                writer.put(0x7B)
                parent = index
                index = table.firstChild(of: index)
            } else {
                unsafe writer.put(patch, table.members[index].value)
                index = next
            }
        }
    }
}

/// Where the result goes. Past the end it only remembers that there was no room.
@safe
private struct JSONMergeWriter {
    private let output: UnsafeMutableRawBufferPointer
    private var count = 0
    private(set) var isFull = false

    init(_ output: UnsafeMutableRawBufferPointer) {
        unsafe self.output = output
    }

    var outcome: JSONMergePatch.Outcome { isFull ? .tooLarge : .merged(count: count) }

    mutating func put(_ byte: UInt8) {
        guard unsafe count < output.count else {
            isFull = true
            return
        }
        unsafe output[count] = byte
        count += 1
    }

    mutating func put(_ text: UnsafeRawBufferPointer, _ range: Range<Int>) {
        guard unsafe output.count - count >= range.count else {
            isFull = true
            return
        }
        unsafe UnsafeMutableRawBufferPointer(rebasing: output[count...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: text[range]))
        count += range.count
    }

    /// A comma, unless the member to come is its object's first. No value ends in an opening brace,
    /// so the last byte tells.
    mutating func putComma() {
        if count > 0, unsafe output[count - 1] != 0x7B { put(0x2C) }
    }

    mutating func putName(_ text: UnsafeRawBufferPointer, _ name: Range<Int>) {
        putComma()
        unsafe put(text, name)
        put(0x3A)
    }
}
