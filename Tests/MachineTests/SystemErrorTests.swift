import Glibc
import Machine
import Testing

@Suite("System errors") struct SystemErrorTests {
    @Test func `reads as one line with call, cause and remedy`() {
        let error = SystemError(
            "bind 127.0.0.1:6660", EADDRINUSE,
            hint: "another process listens there: choose another port or stop it")
        #expect(
            "\(error)" == "bind 127.0.0.1:6660: Address already in use; "
                + "another process listens there: choose another port or stop it")
    }

    @Test func `without a hint says no more than it knows`() {
        #expect("\(SystemError("fsync", EIO))" == "fsync: Input/output error")
    }

    @Test func `an unknown number is shown as such`() {
        #expect("\(SystemError("read", 99_999))" == "read: error 99999")
    }
}
