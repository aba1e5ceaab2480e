import Testing

@testable import Machine

@Suite("Memory of the machine") struct MemoryTests {
    struct Machine: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let files: [String: String]
        let bytes: Int?
    }

    private static let meminfo = "MemTotal:       2097152 kB\nMemFree:          12345 kB\n"

    static let machines = [
        Machine(testDescription: "nothing to be read", files: [:], bytes: nil),
        Machine(
            testDescription: "no limit but the machine's", files: ["/proc/meminfo": meminfo],
            bytes: 2 << 30),
        Machine(
            testDescription: "version 2, no limit",
            files: [
                "/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a\n",
                "/sys/fs/cgroup/a/memory.max": "max\n",
            ], bytes: 2 << 30),
        Machine(
            testDescription: "version 2, half a gibibyte set on the parent",
            files: [
                "/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/memory.max": "1073741824\n",
                "/sys/fs/cgroup/a/memory.max": "536870912\n",
            ], bytes: 512 << 20),
        Machine(
            testDescription: "version 1 in a container that sees the host's path",
            files: [
                "/proc/meminfo": meminfo,
                "/proc/self/cgroup": "9:memory:/docker/f00\n5:cpu,cpuacct:/docker/f00\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
            ], bytes: 256 << 20),
        Machine(
            testDescription: "version 1, no limit",
            files: [
                "/proc/meminfo": meminfo, "/proc/self/cgroup": "9:memory:/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            ], bytes: 2 << 30),
        Machine(
            testDescription: "a limit above the machine's memory",
            files: [
                "/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n",
                "/sys/fs/cgroup/memory.max": "8589934592\n",
            ], bytes: 2 << 30),
        Machine(
            testDescription: "files that make no sense",
            files: [
                "/proc/meminfo": "MemTotal: much\n", "/proc/self/cgroup": "0::/\n::\n",
                "/sys/fs/cgroup/memory.max": "-1\n",
            ], bytes: nil),
    ]

    @Test(arguments: machines)
    func `takes the least of the machine's memory and every limit above us`(machine: Machine) {
        #expect(Memory.available { machine.files[$0] } == machine.bytes)
    }

    @Test func `this machine has some`() {
        #expect((Memory.available() ?? 0) > 16 << 20)
    }
}
