import Glibc
import Simulation
import Testing

@Suite("A journal in a storm") struct StormTests {
    /// Unoptimised, a seed takes a tenth of a second and more; `journal-soak` takes three
    /// milliseconds, and goes through a thousand of them in `./dev check`.
    static var seeds: UInt64 { getenv("NEEDLETAIL_SOAK") == nil ? 50 : 1000 }

    @Test func `comes back to what was safe, whatever was cut or failed`() throws {
        var counts = JournalTrial.Counts()
        for seed in 0..<Self.seeds { counts.add(try JournalTrial.run(seed: seed)) }
        // The storm is one.
        #expect(counts.cutsInRecovery > 10 && counts.cutsInSnapshot > 5)
        #expect(counts.cutsInRotation > 2 && counts.transactionsDropped > 5)
        #expect(counts.snapshots > 10 && counts.drains > 10 && counts.failures > 5)
    }
}
