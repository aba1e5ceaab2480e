import Keyspace
import Wire

/// What became of a request to a key's shard, before anybody knows whether the asker is on this
/// thread or another: a status and a JSON body that can be measured and then written.
///
/// A record in it lies in the arena and is good until the keyspace changes next, so an outcome is
/// written, to a reply or into a message, before anything else is carried out.
@safe struct Outcome {
    enum Body {
        case none
        case record(Record)
        /// JSON as it stands.
        case text(StaticString)
        /// `{"count":n}`.
        case count(Int)
        /// `{"error":"…"}`.
        case error(StaticString)
    }

    var status: HTTPStatus
    var body: Body
    /// Version and stamp of the record the answer is about, for its ETag.
    var tag: (version: UInt64, stamp: Stamp)? = nil
    /// What the outcome tells of: it leaves when this position is safe.
    var position: CommitPosition = 0
    /// It leaves only when the disk has it, whatever `--fsync` says: the node's own records.
    var needsSync = false

    static func record(_ status: HTTPStatus, _ record: Record) -> Outcome {
        Outcome(status: status, body: .record(record), tag: (record.version, record.stamp))
    }

    static func error(_ status: HTTPStatus, _ sentence: StaticString) -> Outcome {
        Outcome(status: status, body: .error(sentence))
    }

    static var keyNotFound: Outcome { .error(.notFound, "Key not found") }

    private static var errorOverhead: Int { 12 }

    func bodyCount(_ owners: OwnerNumbers) -> Int {
        switch body {
        case .none: 0
        case .record(let record):
            unsafe RecordText.byteCount(record, owner: owners.name(of: record.owner.rawValue))
        case .text(let text): text.utf8CodeUnitCount
        case .count(let count): 10 + ByteWriter.decimalDigits(of: UInt64(count))
        case .error(let sentence): sentence.utf8CodeUnitCount + Self.errorOverhead
        }
    }

    func writeBody(_ owners: OwnerNumbers, into writer: inout ByteWriter) {
        switch body {
        case .none: break
        case .record(let record):
            unsafe RecordText.write(
                record, owner: owners.name(of: record.owner.rawValue), into: &writer)
        case .text(let text): writer.write(text)
        case .count(let count):
            writer.write("{\"count\":")
            writer.write(decimal: UInt64(count))
            writer.write("}")
        case .error(let sentence):
            writer.write("{\"error\":\"")
            writer.write(sentence)
            writer.write("\"}")
        }
    }
}
