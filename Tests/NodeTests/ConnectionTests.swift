import Testing

@testable import Node

@Suite struct `A connection's slot` {
    @Test
    func `a connection waiting for the node to load is not taken for one of the RESP listener`() {
        let flags: [Connection.Flags] = [
            .closeAfterReply, .peerEnded, .sendInFlight, .runnable, .dirty, .receivePaused,
            .refused, .awaitsLoading, .unframed, .respListener, .diverted, .corked, .gathering,
        ]
        #expect(Set(flags.map(\.rawValue)).count == flags.count)
    }
}
