import Testing

@testable import Node

@Suite struct `A connection's slot` {
    /// Who waited for the node to load was once taken for a client of the RESP listener.
    @Test func `no two of a connection's flags share a bit`() {
        let flags: [Connection.Flags] = [
            .closeAfterReply, .peerEnded, .sendInFlight, .runnable, .dirty, .receivePaused,
            .refused, .awaitsLoading, .unframed, .respListener, .diverted, .corked, .gathering,
        ]
        #expect(Set(flags.map(\.rawValue)).count == flags.count)
    }
}
