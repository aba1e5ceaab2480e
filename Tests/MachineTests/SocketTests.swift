import Glibc
import Testing

@testable import Machine

@Suite("Addresses and listeners") struct SocketTests {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1:6660", true), ("127.9.9.9", "127.9.9.9:6660", true),
        ("0.0.0.0", "0.0.0.0:6660", false), ("192.0.2.7", "192.0.2.7:6660", false),
        ("::1", "[::1]:6660", true), ("::", "[::]:6660", false),
        ("2001:db8::1", "[2001:db8::1]:6660", false),
        ("::ffff:192.0.2.1", "[::ffff:192.0.2.1]:6660", false),
    ])
    func `an address reads as people write it`(
        _ host: String, _ text: String, _ isLoopback: Bool
    ) throws {
        let address = try SocketAddress.resolve(host: host, port: 6660)
        #expect(address.text == text)
        #expect(address.port == 6660)
        #expect(address.isLoopback == isLoopback)
    }

    @Test func `a name that nobody has is an error with a remedy`() {
        #expect(throws: SystemError.self) {
            try SocketAddress.resolve(host: "no-such-host.invalid", port: 1)
        }
        do throws(SystemError) {
            _ = try SocketAddress.resolve(host: "256.256.256.256.invalid", port: 1)
        } catch {
            #expect("\(error)".contains("resolve 256.256.256.256.invalid"))
            #expect(error.hint.contains("127.0.0.1"))
        }
    }

    @Test func `localhost is this machine`() throws {
        #expect(try SocketAddress.resolve(host: "localhost", port: 80).isLoopback)
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func `port 0 becomes a real one that nobody else can have`(_ host: String) throws {
        let wanted = try SocketAddress.resolve(host: host, port: 0)
        let listener = try Listener.listen(on: wanted)
        #expect(listener.address.port != 0)
        let second = #expect(throws: SystemError.self) {
            _ = try Listener.listen(on: listener.address) { _ in }
        }
        #expect(second?.code == EADDRINUSE)
        #expect(second?.hint.contains("choose another port") == true)
    }

    /// A node that was killed leaves its listener to the kernel for a moment, and the next one heard that
    /// its address was in use.
    @Test func `an address that is let go of in a moment is waited for`() throws {
        let first = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        let address = first.address
        let fd = first.release()
        var pauses = 0
        let second = try Listener.listen(on: address) { _ in
            pauses += 1
            if pauses == 3 { close(fd) }
        }
        #expect(second.address.port == address.port)
        #expect(pauses == 3)
    }

    @Test func `an address that somebody keeps is refused after a second`() throws {
        let first = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        var waited = 0
        let error = #expect(throws: SystemError.self) {
            _ = try Listener.listen(on: first.address) { waited += $0 }
        }
        #expect(error?.code == EADDRINUSE)
        #expect(waited == 1000)
    }

    @Test func `an address of another machine is refused with a remedy`() throws {
        let error = #expect(throws: SystemError.self) {
            _ = try Listener.listen(on: .resolve(host: "192.0.2.1", port: 0))
        }
        #expect(error?.code == EADDRNOTAVAIL)
        #expect(error?.hint.contains("0.0.0.0") == true)
    }

    @Test func `a listener closes with its owner, unless it was given away`() throws {
        let (kept, given) = try ends()
        #expect(!descriptorTargets().contains(kept))
        #expect(descriptorTarget("\(given)") != nil)
        Glibc.close(given)
    }

    /// Two listeners whose owner ends here: the name of one, and the other, given away.
    private func ends() throws -> (String, Int32) {
        let given = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        let kept = try Listener.listen(on: .resolve(host: "127.0.0.1", port: 0))
        let name = try #require(descriptorTarget("\(kept.fd)"))
        return (name, given.release())
    }
}

@Suite("The I/O probe") struct IOProbeTests {
    @Test(arguments: [
        IOFeatures.all, .all.subtracting(.multishotReceive), .all.subtracting(.multishotAccept),
        .all.subtracting(.deferTaskrun), .all.subtracting([.deferTaskrun, .singleIssuer]),
        [.multishotReceive], [],
    ])
    func `each set of features carries a byte there and back`(_ features: IOFeatures) throws {
        let before = openDescriptors()
        // Other tests open some at the same time, but not one for each of these.
        for _ in 0..<100 { try IOProbe.attempt(features) }
        #expect(openDescriptors() < before + 100)
    }

    @Test func `what is masked is not chosen`() {
        let allowed = IOFeatures.all.subtracting([.multishotReceive, .registeredRing])
        guard case .uring(let features) = IOProbe.choose(allowed: allowed) else {
            Issue.record("this kernel has io_uring, and it was not chosen")
            return
        }
        #expect(features == allowed)
    }

    @Test func `every feature has a name of its own for the mask`() {
        let names = IOFeatures.names
        #expect(Set(names.map(\.name)).count == names.count)
        #expect(names.reduce(into: IOFeatures()) { $0.formUnion($1.feature) } == .all)
    }
}
