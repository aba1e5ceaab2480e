import Glibc
import Simulation

/// `journal-soak [SEEDS] [FIRST]`: simulated storms over a node's journal. Prints what happened in
/// them; a seed that finds something is named, and the exit status is 1.
let arguments = CommandLine.arguments.dropFirst().map { Int($0) ?? 0 }
let seeds = arguments.first ?? 100_000
let first = arguments.dropFirst().first ?? 0

var counts = JournalTrial.Counts()
var found = 0
for seed in first..<first + seeds {
    do throws(JournalTrial.Finding) {
        counts.add(try JournalTrial.run(seed: UInt64(seed)))
    } catch {
        print(error)
        found += 1
    }
    let done = seed - first + 1
    if done % 10_000 == 0, done < seeds { print("\(done) seeds") }
}
print("\(seeds) seeds, \(found) findings\n\(counts)")
exit(found == 0 ? 0 : 1)
