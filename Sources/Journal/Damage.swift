/// Bytes that are not what they must be and that no power cut explains: the start is refused.
public struct Damage: Error, Hashable, Sendable, CustomStringConvertible {
    /// Below the node's directory.
    public var file: String
    public var offset: Int
    /// What was found, as the end of a sentence.
    public var what: String
    /// What an operator can do about it.
    public var remedy: String

    public init(_ file: String, _ offset: Int, _ what: String, remedy: String = Damage.salvage) {
        self.file = file
        self.offset = offset
        self.what = what
        self.remedy = remedy
    }

    public static let salvage =
        "restore the directory from a backup, or salvage what can be read with "
        + "'needletail check DIR --repair OUT'"
    static let newer = "start it with the version that wrote it, or a newer one"

    public var description: String { "\(file) at byte \(offset): \(what); \(remedy)" }
}

/// Why a directory can't be read.
public enum JournalFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case damage(Damage)
    case disk(DiskFailure)

    public var description: String {
        switch self {
        case .damage(let damage): damage.description
        case .disk(let failure): failure.description
        }
    }
}

/// Calls of the disk, where damage may be found too.
func asking<Answer>(
    _ calls: () throws(DiskFailure) -> Answer
) throws(JournalFailure) -> Answer {
    do throws(DiskFailure) { return try calls() } catch { throw .disk(error) }
}

/// Reads of bytes in memory, where the disk may fail too.
func judging<Answer>(
    _ reading: () throws(Damage) -> Answer
) throws(JournalFailure) -> Answer {
    do throws(Damage) { return try reading() } catch { throw .damage(error) }
}

/// A log's end that a power cut or a kill tore, and that was cut off.
public struct Cut: Hashable, Sendable, CustomStringConvertible {
    public var file: String
    public var offset: Int
    /// How many bytes that were not zero were given up, to the last of them.
    public var bytes: Int

    public var description: String {
        "\(file): \(bytes) bytes from \(offset) on were never finished, and are cut"
    }
}
