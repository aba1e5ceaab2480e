import Testing

/// Who may import whom. Arrows point one way: protocols know nothing of the store, the store
/// nothing of protocols, and both nothing of the kernel; only the node knows all of them.
private let arrows: [String: Set<String>] = [
    "Machine": ["CLiburing", "CMachine", "Glibc", "Synchronization"],
    "Wire": ["Glibc"],
    "Keyspace": ["CKeyspace", "Glibc"],
    "Journal": ["Keyspace", "CJournal", "CZstd", "Glibc"],
    "Identity": ["COpenSSL", "Glibc"],
    "Cluster": ["Keyspace", "Glibc"],
    "Options": [],
    "Node": [
        "Machine", "Wire", "Keyspace", "Journal", "Identity", "Cluster", "Options", "Glibc",
        "Synchronization",
    ],
    "needletail": ["Node", "Options", "Glibc"],
    "CLI": ["Wire", "Glibc"],
    "needletail-cli": ["CLI", "Glibc"],
    "Bench": ["Machine", "CMachine", "Glibc", "Synchronization"],
    "needletail-bench": ["Bench", "Glibc"],
    "Simulation": ["Keyspace", "Journal", "Cluster", "Glibc"],
]

/// Modules that are values in, verdict out. They import Glibc for memory and text, so what would
/// be a clock, randomness, the environment or a socket is looked for by name.
private let pure = ["Wire", "Keyspace", "Journal", "Identity", "Cluster", "Options", "Simulation"]

private let impure = [
    "clock_gettime(", "gettimeofday(", "getrandom(", "getentropy(", "arc4random", "getenv(",
    "socket(", "fopen(", "openat(", "usleep(", "nanosleep(", "pthread_create(",
    "SystemRandomNumberGenerator", "ContinuousClock", "SuspendingClock", ".random(in",
]

/// The module named by an `import` line, whatever its attributes and access level.
func imported(_ line: Substring) -> String? {
    let words = line.split(separator: " ")
    guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count else {
        return nil
    }
    let levels: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
    for word in words[..<keyword] where !levels.contains(word) && !word.hasPrefix("@") {
        return nil
    }
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let"]
    let name = words[(keyword + 1)...].drop { kinds.contains($0) }.first ?? ""
    return name.split(separator: ".").first.map(String.init)
}

@Suite("Arrows between modules") struct ArrowTests {
    @Test func `every import follows the arrows`() {
        let files = Tree.files(below: "Sources", endingIn: [".swift"])
        #expect(!files.isEmpty)
        for path in files {
            let module = String(path.split(separator: "/")[1])
            let allowed = arrows[module]
            #expect(allowed != nil, "Sources/\(module) has no row in ArrowTests.swift")
            for line in Tree.lines(path) {
                guard let name = imported(line), let allowed else { continue }
                #expect(allowed.contains(name), "\(path): \(module) may not import \(name)")
            }
        }
    }

    @Test func `pure modules reach for no clock, randomness, environment or socket`() {
        for module in pure {
            for path in Tree.files(below: "Sources/\(module)", endingIn: [".swift"]) {
                for line in Tree.lines(path) where !line.drop(while: { $0 == " " }).hasPrefix("//")
                {
                    for name in impure {
                        #expect(!line.contains(name), "\(path): \(name)")
                    }
                }
            }
        }
    }

    @Test(
        arguments: [
            ("import Wire", "Wire"), ("public import Wire", "Wire"), ("@testable import A", "A"),
            ("@_exported public import B", "B"), ("import struct Wire.Bytes", "Wire"),
            ("    internal import C", "C"), ("// import Wire", nil),
            ("let words = import Wire", nil), ("importWire", nil),
        ] as [(Substring, String?)])
    func `an import line is known for what it is`(_ line: Substring, _ module: String?) {
        #expect(imported(line) == module)
    }
}
