import Glibc
import Keyspace

/// A keyspace with records in it: ten-byte keys, values of the size the project measures with.
@safe
struct Load: ~Copyable {
    static let valueBytes = 348
    static let keyBytes = 10
    static let start: Int64 = 1_700_000_000_000

    var space: Keyspace
    let records: Int
    private let key: UnsafeMutableRawBufferPointer
    private let value: UnsafeMutableRawBufferPointer
    var random: UInt64 = 88_172_645_463_325_252

    init(records: Int, _ change: (inout Keyspace.Settings) -> Void = { _ in })
        throws(ReservationRefused)
    {
        var settings = Keyspace.Settings(seed: 12_345)
        settings.addressBytes = 8 << 30
        change(&settings)
        let made = try Keyspace.make(settings)
        space = made
        self.records = records
        unsafe key = .allocate(byteCount: Load.keyBytes, alignment: 8)
        unsafe value = .allocate(byteCount: 1 << 16, alignment: 8)
        unsafe value.initializeMemory(as: UInt8.self, repeating: UInt8(ascii: "v"))
    }

    deinit {
        unsafe key.deallocate()
        unsafe value.deallocate()
    }

    /// The key of a record: its number scattered, so that loading is in no order.
    @inline(__always)
    func named(_ number: Int) -> Key {
        let scattered = UInt64(number) &* 0x9E37_79B9_7F4A_7C15 >> 31
        var left = scattered
        for place in stride(from: Load.keyBytes - 1, through: 0, by: -1) {
            unsafe key[place] = UInt8(ascii: "0") + UInt8(left % 10)
            left /= 10
        }
        return unsafe Key(0, UnsafeRawBufferPointer(key), space.hashing)
    }

    @inline(__always)
    mutating func roll(_ sides: Int) -> Int {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return Int((random >> 11) % UInt64(sides))
    }

    @inline(__always)
    mutating func put(
        _ number: Int, bytes: Int = Load.valueBytes, expiry: Expiry = .never,
        at now: Int64 = Load.start
    ) {
        let reply = unsafe space.run(
            Command(
                .put, named(number), by: Principal(rawValue: 2),
                value: Value(.json, UnsafeRawBufferPointer(rebasing: value[..<bytes])),
                expiry: expiry), at: now)
        if reply.status != .created, reply.status != .updated { fail("a put was refused") }
    }

    func fail(_ message: StaticString) -> Never {
        print("keyspace-bench:", message)
        exit(1)
    }
}

/// The process's resident bytes, by /proc/self/statm.
func residentBytes() -> Int {
    let file = unsafe open("/proc/self/statm", O_RDONLY)
    defer { close(file) }
    var text = InlineArray<64, UInt8>(repeating: 0)
    let count = unsafe withUnsafeMutableBytes(of: &text) { unsafe read(file, $0.baseAddress, 64) }
    var fields = 0
    var pages = 0
    for place in 0..<max(0, count) {
        if text[place] == UInt8(ascii: " ") {
            fields += 1
        } else if fields == 1 {
            pages = pages * 10 + Int(text[place] - UInt8(ascii: "0"))
        }
    }
    return pages * 4096
}

/// Processor time: the machine is rarely ours alone.
func nanoseconds() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Prints a figure beside its bar.
func check(_ what: String, _ figure: Double, atMost bar: Double, _ unit: String) -> Bool {
    let passed = figure <= bar
    print(
        "  \(passed ? "PASS" : "FAIL")  \(what): \(rounded(figure)) \(unit) (bar \(rounded(bar)))")
    return passed
}

func rounded(_ figure: Double) -> String {
    let hundredths = Int((figure * 100).rounded())
    let part = hundredths % 100
    return "\(hundredths / 100).\(part < 10 ? "0" : "")\(part)"
}
