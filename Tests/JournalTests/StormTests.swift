import Simulation
import Testing

@Suite("A journal in a storm") struct StormTests {
    /// CI's share; `journal-soak` does a hundred times as many in release.
    @Test func `comes back to what was safe, whatever was cut or failed, for a thousand seeds`()
        throws
    {
        var counts = JournalTrial.Counts()
        for seed in 0..<1000 as Range<UInt64> { counts.add(try JournalTrial.run(seed: seed)) }
        print(counts)
        #expect(counts.cutsInRecovery > 100 && counts.cutsInSnapshot > 100)
        #expect(counts.cutsInRotation > 50 && counts.transactionsDropped > 50)
        #expect(counts.snapshots > 100 && counts.drains > 100 && counts.failures > 50)
    }
}
