import Glibc
import Keyspace

// keyspace-bench: what a record costs in memory and a command in instructions.
//
//     keyspace-bench memory [RECORDS]         bytes a record, peak while loading, churn; PASS/FAIL
//     keyspace-bench expiry [RECORDS]         GETs while all records fall due in one second
//     keyspace-bench get|miss|overwrite|resize|list [COMMANDS] [RECORDS]
//                                             one kind of command in a loop, for callgrind:
//                                             run twice with different counts and subtract
//     keyspace-bench speed [RECORDS]          nanoseconds a command

let arguments = CommandLine.arguments
let verb = arguments.count > 1 ? arguments[1] : "memory"

func number(_ place: Int, _ otherwise: Int) -> Int {
    arguments.count > place ? Int(arguments[place]) ?? otherwise : otherwise
}

do {
    switch verb {
    case "memory":
        let passed =
            arguments.count > 2
            ? [try MemoryCost.run(records: number(2, 100_000))]
            : [try MemoryCost.run(records: 100_000), try MemoryCost.run(records: 1_000_000)]
        exit(passed.contains(false) ? 1 : 0)
    case "expiry":
        exit(try ExpiryCost.run(records: number(2, 1_000_000)) ? 0 : 1)
    case "speed":
        try CommandCost.speed(records: number(2, 1_000_000))
    default:
        guard let kind = CommandCost.Kind(rawValue: verb) else {
            print("usage: keyspace-bench memory|expiry|speed|get|miss|overwrite|resize|list …")
            exit(64)
        }
        try CommandCost.loop(kind, commands: number(2, 100_000), records: number(3, 10_000))
    }
} catch {
    print(error)
    exit(1)
}
