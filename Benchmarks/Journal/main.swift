import Glibc
import Journal
import Keyspace
import Simulation

/// `journal-bench [log|snapshot] [RECORDS]`: what a record costs on its way to the log and back,
/// and what a snapshot of word-like records takes. In memory: no disk is measured here. Times
/// are the processor's, so that neighbours hardly count.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

let arguments = CommandLine.arguments
let what = arguments.count > 1 ? arguments[1] : "all"
let count = arguments.count > 2 ? Int(arguments[2]) ?? 100_000 : 100_000
let node = NodeID(high: 1, low: 2)
let valueBytes = 348

func rounded(_ number: Double, _ places: Int = 1) -> String {
    var text = [CChar](repeating: 0, count: 64)
    _ = withVaList([number]) { vsnprintf(&text, 64, "%.\(places)f", $0) }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func record(
    _ number: Int, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
) -> LogRecord {
    var record = LogRecord()
    let name: StaticString = "default"
    record.table = UnsafeRawBufferPointer(start: name.utf8Start, count: 7)
    record.key = key
    record.value = value
    record.slot = Slot.of(key)
    record.stamp = Stamp(
        milliseconds: 1_700_000_000_000 + Int64(number / 50),
        counter: UInt16(number % 50), origin: 7)
    record.created = record.stamp
    record.version = 1
    record.owner = OwnerID(high: 0xAAAA_BBBB_CCCC_DDDD, low: 0x1234_5678_9ABC_DEF0)
    return record
}

if what == "log" || what == "all" { measureLog(count) }
if what == "snapshot" || what == "all" { measureSnapshot(count) }
