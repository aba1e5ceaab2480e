/// What may stand where in an RDB file. The reader walks this; it knows nothing of types.
enum RDBPart {
    // What is passed over.

    /// A length or a number in the encoding of lengths.
    case length
    case string
    case bytes(Int)
    /// A score as decimal text with a length byte.
    case score
    /// Numbers and strings, each behind its own code, up to a zero.
    case module
    /// A count, and so many times the parts.
    indirect case times([RDBPart])

    // What is kept.

    case key
    case value
    case element
    /// A string that holds elements, in the older packing.
    case ziplist
    /// Says how the node that follows holds its elements.
    case container
    case node

    // What the rest of the file is read by.

    case database
    case expiresAtMs
    case expiresAtSeconds
    case auxName
    case auxValue
}

/// What a run of parts is about, for the count of what was met.
enum RDBItem {
    case none
    case string, list
    case set, hash, sortedSet, stream, module, function
}

extension RDBPart {
    /// The parts behind an opcode or a type, and what they make; nil for a byte that is neither.
    static func following(_ code: UInt8) -> (item: RDBItem, parts: [RDBPart])? {
        switch code {
        case RDBFormat.Opcode.slotInfo: (.none, [.length, .length, .length])
        case RDBFormat.Opcode.function2: (.function, [.string])
        case RDBFormat.Opcode.moduleAux: (.none, [.length, .length, .length, .module])
        case RDBFormat.Opcode.idle: (.none, [.length])
        case RDBFormat.Opcode.frequency: (.none, [.bytes(1)])
        case RDBFormat.Opcode.aux: (.none, [.auxName, .auxValue])
        case RDBFormat.Opcode.resize: (.none, [.length, .length])
        case RDBFormat.Opcode.expiresAtMs: (.none, [.expiresAtMs])
        case RDBFormat.Opcode.expiresAtSeconds: (.none, [.expiresAtSeconds])
        case RDBFormat.Opcode.select: (.none, [.database])

        case 0: (.string, [.key, .value])
        case 1: (.list, [.key, .times([.element])])
        case 2: (.set, [.key, .times([.string])])
        case 3: (.sortedSet, [.key, .times([.string, .score])])
        case 4: (.hash, [.key, .times([.string, .string])])
        case 5: (.sortedSet, [.key, .times([.string, .bytes(8)])])
        // 6, a module's value without codes between its parts, has no end that can be found.
        case 7: (.module, [.key, .length, .module])
        // Whole packed forms: zipmap, intset, ziplist, listpack.
        case 9, 13, 16: (.hash, [.key, .string])
        case 11, 20: (.set, [.key, .string])
        case 12, 17: (.sortedSet, [.key, .string])
        case 10: (.list, [.key, .ziplist])
        case 14: (.list, [.key, .times([.ziplist])])
        case 18: (.list, [.key, .times([.container, .node])])
        case 15: (.stream, [.key] + stream(version: 1))
        case 19: (.stream, [.key] + stream(version: 2))
        case 21: (.stream, [.key] + stream(version: 3))
        // Hashes whose fields expire; 22 and 23 are those of a release candidate.
        case 22: (.hash, [.key, .times([.length, .string, .string])])
        case 23: (.hash, [.key, .string])
        case 24: (.hash, [.key, .bytes(8), .times([.length, .string, .string])])
        case 25: (.hash, [.key, .bytes(8), .string])
        default: nil
        }
    }

    /// Entries under their radix tree's keys, then what the stream knows of itself, then its
    /// groups, each with what is pending and with its consumers.
    private static func stream(version: Int) -> [RDBPart] {
        let id = [length, length]
        let pending = times([bytes(16), bytes(8), length])
        let seen = version >= 3 ? [bytes(8), bytes(8)] : [bytes(8)]
        let consumer = [string] + seen + [times([bytes(16)])]
        let group = [string] + id + (version >= 2 ? [length] : []) + [pending, times(consumer)]
        return [times([string, string]), length] + id + (version >= 2 ? id + id + [length] : [])
            + [times(group)]
    }
}
