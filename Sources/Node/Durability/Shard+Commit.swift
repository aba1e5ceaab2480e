import Keyspace
import Machine
import Wire

/// From a change of the keyspace to the moment others may hear of it.
extension Shard {
    /// The one door to the keyspace for commands that may change it: what changed is written down
    /// before anything else can touch the keyspace.
    mutating func change(_ command: borrowing Command) -> Reply {
        let reply = keyspace.run(command, at: wallMs)
        if keyspace.changeCount > 0 { recordChanges() }
        return reply
    }

    /// Takes note of what the last call to the keyspace changed. Called after every call that can
    /// change it, before the next.
    mutating func recordChanges() {}

    /// The commit point of a turn: makes its writes safe, and lets go of what waited for that.
    /// Nothing that tells of a write leaves before.
    mutating func commit() {
        commitPoint.synced(keyspace.position, keyspace.clock.last)
        releaseHeld()
    }

    private mutating func releaseHeld() {
        while let (target, bytes) = unsafe commitPoint.nextReleased() {
            let message = UnsafeRawBufferPointer(bytes)
            if target == number {
                unsafe receive(message, from: number)
            } else {
                unsafe postCopy(message, to: target)
            }
            unsafe bytes.deallocate()
        }
    }
}
