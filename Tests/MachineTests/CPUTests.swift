import Testing

@testable import Machine

@Suite("Processors") struct CPUTests {
    /// A machine's cgroup files as a dictionary, and the number of processors they allow.
    struct Machine: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let files: [String: String]
        let cores: Int?
    }

    static let machines = [
        Machine(testDescription: "no cgroups at all", files: [:], cores: nil),
        Machine(
            testDescription: "version 2, no limit",
            files: [
                "/proc/self/cgroup": "0::/user.slice\n",
                "/sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
            ],
            cores: nil),
        Machine(
            testDescription: "version 2, two and a half",
            files: [
                "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "250000 100000\n",
            ],
            cores: 3),
        Machine(
            testDescription: "version 2, a quarter, set on the parent",
            files: [
                "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "/sys/fs/cgroup/a/cpu.max": "25000 100000\n",
            ], cores: 1),
        Machine(
            testDescription: "version 2 in a container, the mount's root is ours",
            files: ["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "200000 100000\n"],
            cores: 2),
        Machine(
            testDescription: "version 1 in a container that sees the host's path",
            files: [
                "/proc/self/cgroup":
                    "12:cpuset:/docker/f00\n5:cpu,cpuacct:/docker/f00\n1:name=systemd:/docker/f00\n0::/\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            ], cores: 2),
        Machine(
            testDescription: "version 1, no limit",
            files: [
                "/proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            ], cores: nil),
        Machine(
            testDescription: "version 1 under the longer mount name",
            files: [
                "/proc/self/cgroup": "4:cpuacct,cpu:/a:b\n",
                "/sys/fs/cgroup/cpu,cpuacct/a:b/cpu.cfs_quota_us": "50000\n",
                "/sys/fs/cgroup/cpu,cpuacct/a:b/cpu.cfs_period_us": "50000\n",
            ], cores: 1),
        Machine(
            testDescription: "files that make no sense",
            files: [
                "/proc/self/cgroup": "garbage\n0:\n0::/x\n:::\n",
                "/sys/fs/cgroup/x/cpu.max": "100000 0\n", "/sys/fs/cgroup/cpu.max": "-5 -5",
            ], cores: nil),
    ]

    @Test(arguments: machines)
    func `takes the tightest quota that is set, in whole processors`(machine: Machine) {
        #expect(CPU.quota { machine.files[$0] } == machine.cores)
    }

    @Test func `finds at least one and no more than the machine has`() {
        let count = CPU.available()
        #expect(count >= 1 && count <= 8192)
        #expect(CPU.available() == count)
    }
}
