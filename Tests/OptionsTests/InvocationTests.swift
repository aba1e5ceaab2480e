import Testing

@testable import Options

/// The configuration a command line makes; a complaint where it makes none fails the test.
private func configuration(
    _ arguments: [String], _ environment: [String: String] = [:]
) throws -> Configuration {
    guard case .serve(let made) = try Invocation.read(arguments, environment: { environment[$0] })
    else {
        throw NotServing()
    }
    return made
}

private struct NotServing: Error {}

/// The line a command line is answered with; nil where it is accepted.
private func complaint(_ arguments: [String], _ environment: [String: String] = [:]) -> String? {
    do throws(OptionsError) {
        _ = try Invocation.read(arguments, environment: { environment[$0] })
        return nil
    } catch {
        return error.message
    }
}

@Suite("Command line") struct InvocationTests {
    @Test func `an empty command line listens on loopback and leaves the machine's numbers open`()
        throws
    {
        let made = try configuration([])
        #expect(made.listen == Address(host: "127.0.0.1", port: 6660))
        #expect(made.dir == "./data")
        #expect(made.io == .auto)
        #expect(made.shards == nil)
        #expect(made.connectionsMax == nil)
        #expect(made.advertise == nil)
        #expect(made.nodeID == nil)
        #expect(made.valueBytesMax == 8 << 20)
        #expect(made.memoryBytesMax == nil)
        #expect(made.eviction == .none)
        #expect(made.trustedProxies == [])
        #expect(made.corsOrigin == "*")
        #expect(made.headerBytesMax == 16 << 10)
        #expect(made.headerCountMax == 100)
        #expect(made.idleTimeoutMs == 75_000)
        #expect(made.headerTimeoutMs == 10_000)
        #expect(made.bodyTimeoutMs == 30_000)
        #expect(made.pipelineDepthMax == 1024)
        #expect(made.turnBytesMax == 64 << 10)
        #expect(made.turnRequestsMax == 64)
        #expect(made.bodyBudgetBytes == 64 << 20)
        #expect(made.drainTimeoutMs == 10_000)
        #expect(made.logLevel == .info)
        #expect(made.logFormat == .text)
        #expect(made.ioMask == [])
        #expect(made.jwtSecret == nil)
        #expect(made.jwtExpirationMs == 3_600_000)
        #expect(made.adminPassword == nil)
        #expect(!made.testRoutes)
    }

    @Test func `a flag's value may follow a space or an equals sign`() throws {
        #expect(try configuration(["--shards", "2"]).shards == 2)
        #expect(try configuration(["--shards=2"]).shards == 2)
        #expect(try configuration(["--dir=a=b"]).dir == "a=b")
        #expect(try configuration(["--dir=--odd"]).dir == "--odd")
    }

    @Test func `a flag beats the environment, which beats the default`() throws {
        let environment = ["NEEDLETAIL_SHARDS": "3", "NEEDLETAIL_LISTEN": "0.0.0.0:1"]
        #expect(try configuration([], environment).shards == 3)
        #expect(try configuration(["--shards", "4"], environment).shards == 4)
        #expect(try configuration([], environment).listen == Address(host: "0.0.0.0", port: 1))
        #expect(try configuration([":2"], environment).listen == Address(host: "0.0.0.0", port: 2))
    }

    @Test func `a variable set to nothing counts as not set`() throws {
        #expect(
            try configuration([], ["NEEDLETAIL_SHARDS": "", "CLUSTER_SECRET": ""]).shards == nil)
    }

    @Test func `the node's id has two names in the environment`() throws {
        #expect(try configuration([], ["NODE_ID": "a"]).nodeID == "a")
        #expect(try configuration([], ["NODE_ID": "a", "NEEDLETAIL_NODE_ID": "b"]).nodeID == "b")
        #expect(try configuration(["--node-id", "c"], ["NODE_ID": "a"]).nodeID == "c")
    }

    @Test func `of a flag given twice the last counts`() throws {
        #expect(try configuration(["--shards", "1", "--shards=2"]).shards == 2)
    }

    @Test func `flags and the address may come in any order, and a double dash ends the flags`()
        throws
    {
        let made = try configuration(["--io", "epoll", "[::1]:7", "--test-routes"])
        #expect(made.io == .epoll)
        #expect(made.listen == Address(host: "::1", port: 7))
        #expect(made.testRoutes)
        #expect(try configuration(["--", "h:1"]).listen.host == "h")
        #expect(complaint(["--", "--shards"]) != nil)
    }

    @Test func `every flag reaches its own field`() throws {
        let made = try configuration([
            "--max-connections", "5", "--advertise", "a.example:9", "--max-value", "64KiB",
            "--cors-origin", "https://app.example:8443", "--drain-timeout", "0", "--header-bytes",
            "1k", "--header-count", "7", "--idle-timeout", "2m", "--header-timeout", "0.5",
            "--body-timeout", "500ms", "--pipeline-depth", "8", "--turn-requests", "9",
            "--turn-bytes", "2048", "--body-budget", "1MiB", "--log-level", "error",
            "--log-format", "json", "--io-mask", "multishot-recv,defer-taskrun", "--io", "uring",
            "--dir", "d", "--max-memory", "1GiB", "--eviction", "lru", "--trusted-proxy",
            "10.0.0.0/8, 192.0.2.7,fd00::/8,::1", "--rate", "100/min,10",
        ])
        #expect(made.rate == Rate("100/min,10"))
        #expect(made.memoryBytesMax == 1 << 30)
        #expect(made.eviction == .lru)
        #expect(made.trustedProxies == ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1"])
        #expect(made.connectionsMax == 5)
        #expect(made.advertise == Address(host: "a.example", port: 9))
        #expect(made.valueBytesMax == 65536)
        #expect(made.corsOrigin == "https://app.example:8443")
        #expect(made.drainTimeoutMs == 0)
        #expect(made.headerBytesMax == 1024)
        #expect(made.headerCountMax == 7)
        #expect(made.idleTimeoutMs == 120_000)
        #expect(made.headerTimeoutMs == 500)
        #expect(made.bodyTimeoutMs == 500)
        #expect(made.pipelineDepthMax == 8)
        #expect(made.turnRequestsMax == 9)
        #expect(made.turnBytesMax == 2048)
        #expect(made.bodyBudgetBytes == 1 << 20)
        #expect(made.logLevel == .error)
        #expect(made.logFormat == .json)
        #expect(made.ioMask == [.multishotReceive, .deferTaskrun])
        #expect(made.io == .uring)
        #expect(made.dir == "d")
    }

    @Test func `help and version win over everything else on the line`() throws {
        for line in [["--help"], ["-h"], ["--nonsense", "--help"], ["--shards", "x", "--help"]] {
            guard case .print(let text) = try Invocation.read(line, environment: { _ in nil })
            else {
                Issue.record("\(line) did not print")
                continue
            }
            #expect(text.contains("Usage: needletail [LISTEN] [JOIN] [options]"))
        }
        guard
            case .print(let text) = try Invocation.read(["--version"], environment: { _ in "x" })
        else {
            Issue.record("--version did not print")
            return
        }
        #expect(text == "needletail \(OptionsText.number)\n")
    }
}

@Suite("Complaints") struct ComplaintTests {
    @Test func `a bad value is answered with the option, the value, the range and a remedy`() {
        #expect(
            complaint(["--shards", "x"])
                == "needletail: --shards: \"x\" is not a whole number from 1 to 256; "
                + "leave it out for the default: the cores the process may use, at least 1")
        #expect(
            complaint([], ["NEEDLETAIL_MAX_VALUE": "8MB"])
                == "needletail: NEEDLETAIL_MAX_VALUE: \"8MB\" is not a size from 1 to 512MiB, "
                + "as in 65536, 64KiB, 8MiB or 1GiB; leave it out for the default, 8MiB")
        #expect(
            complaint(["--io", "kqueue"])
                == "needletail: --io: \"kqueue\" is not auto, uring or epoll; "
                + "leave it out for the default, auto")
        #expect(complaint(["nowhere"])?.hasPrefix("needletail: LISTEN: \"nowhere\" is not") == true)
    }

    @Test(
        arguments: [
            ["--shards", "0"], ["--shards", "257"], ["--shards", "-1"], ["--shards", "1.5"],
            ["--shards", ""], ["--shards="], ["--shards", "99999999999999999999"],
            ["--shards", "٣"], ["--io", "AUTO"], ["--drain-timeout", "11"],
            ["--max-value", "0"], ["--max-value", "1TiB"], ["--dir", ""],
            ["--advertise", "a.example:0"], ["--node-id", "a b"], ["--node-id", ""],
            ["--cors-origin", "app.example"], ["--cors-origin", "https://a/"],
            ["--cors-origin", "https://a\r\nSet-Cookie: x"], ["--io-mask", "multishot-recv,"],
            ["--io-mask", "warp"], ["--test-routes=1"], ["--shards", "--io", "epoll"], ["--shards"],
            ["127.0.0.1:65536"], ["127.0.0.1:"], ["::1"], ["--max-memory", "1MiB"],
            ["--max-memory", "64TiB"], ["--eviction", "random"], ["--trusted-proxy", ""],
            ["--trusted-proxy", "proxy.example"], ["--trusted-proxy", "10.0.0.1/8"],
            ["--trusted-proxy", "10.0.0.0/33"], ["--trusted-proxy", "10.0.0.0/"],
            ["--trusted-proxy", "10.0.0.0/8,"], ["--trusted-proxy", "fd00::1/8"],
            ["--trusted-proxy", "::ffff:10.0.0.0/104"], ["--trusted-proxy", "10.0.0.0/8/8"],
            ["--trusted-proxy", "10.0.0"], ["--trusted-proxy", "[::1]"],
            ["--trusted-proxy", "10.0.0.010"], ["--trusted-proxy", "1::2::3"],
            ["--trusted-proxy", "1:2:3:4:5:6:7"], ["--trusted-proxy", "1:2:3:4:5:6:7:8:9"],
            ["--trusted-proxy", "1:2:3:4:5:6:7::8"], ["--trusted-proxy", ":1"],
            ["--trusted-proxy", "12345::"], ["--trusted-proxy", "1:2:"],
            ["--trusted-proxy", ":::"],
            ["--trusted-proxy", String(repeating: "::1,", count: 64) + "::1"],
        ])
    func `what is out of range, empty or malformed is refused`(_ line: [String]) {
        #expect(complaint(line) != nil)
    }

    @Test func `a flag without its value is told what it needs`() {
        #expect(
            complaint(["--shards"])
                == "needletail: --shards: needs a value: a whole number from 1 to 256")
    }

    @Test func `an unknown flag is answered with the nearest one`() {
        #expect(
            complaint(["--shard", "2"])
                == "needletail: \"--shard\": no such flag; did you mean --shards?")
        #expect(complaint(["--fysnc=no"])?.hasSuffix("did you mean --fsync?") == true)
        #expect(complaint(["--hepl"])?.hasSuffix("did you mean --help?") == true)
        #expect(
            complaint(["--frobnicate"])
                == "needletail: \"--frobnicate\": no such flag; see needletail --help")
        #expect(complaint(["-x"])?.contains("no such flag") == true)
        #expect(complaint(["--listen", ":1"])?.contains("LISTEN without a flag") == true)
        #expect(complaint(["--jwt-secret=s"])?.contains("as JWT_SECRET") == true)
    }

    @Test func `whatever this version does not carry out is refused, never ignored`() {
        for option in Option.table where !option.isCarriedOut {
            let takesValue = option.meaning.takesValue
            switch option.way {
            case .flag:
                let line = takesValue ? [option.spelling, "1"] : [option.spelling]
                let expected =
                    "needletail: \(option.spelling): not carried out by this version; leave it out"
                #expect(complaint(line) == expected)
            case .position:
                #expect(complaint(["127.0.0.1:1", "127.0.0.1:2"])?.contains("not carried") == true)
            case .environment: break
            }
            for name in option.environment {
                #expect(complaint([], [name: "something"])?.contains("not carried out") == true)
            }
        }
    }

    @Test(arguments: ["migrate"])
    func `a subcommand that is still to come is refused by name`(_ word: String) {
        #expect(complaint([word, "x"]) == "needletail: \(word): not carried out by this version")
    }

    @Test func `import and export take a file, and options before or behind it`() throws {
        for line in [["import", "a.rdb", "--dir", "d"], ["--dir", "d", "import", "a.rdb"]] {
            guard
                case .importDump(let file, let made) = try Invocation.read(
                    line, environment: { _ in nil })
            else { throw NotServing() }
            #expect(file == "a.rdb" && made.dir == "d")
        }
        guard
            case .exportDump("b.rdb", _) = try Invocation.read(
                ["export", "b.rdb"], environment: { _ in nil })
        else { throw NotServing() }
        #expect(
            complaint(["import"])
                == "needletail: import: needs a FILE, as in needletail import dump.rdb --dir ./data"
        )
        #expect(complaint(["export", "a", "b"])?.contains("one word too many") == true)
        #expect(complaint(["--dbfilename", "a/b"])?.contains("without a slash") == true)
    }

    @Test func `a third word is one too many`() {
        #expect(complaint(["a:1", "b:2", "c:3"])?.contains("one word too many") == true)
    }

    @Test func `a body budget that no value fits is refused`() {
        #expect(complaint(["--body-budget", "1MiB"])?.contains("--max-value, 8MiB") == true)
        #expect(complaint(["--body-budget", "1MiB", "--max-value", "1MiB"]) == nil)
    }

    @Test(arguments: [
        "0.0.0.0/0", "192.0.2.1", "192.0.2.0/31", "::", "::/0", "::1", "1::", "1:2:3:4:5:6:7:8",
        "2001:db8::/32", "FE80::/10", "1:2:3:4:5:6::8", "fd00:1::2:3/128",
    ])
    func `a network is taken as people write it`(_ text: String) throws {
        #expect(try configuration(["--trusted-proxy", text]).trustedProxies == [text])
    }

    @Test(arguments: [
        ("100/min,10", 100, 60, 10), ("5/s,1", 5, 1, 1), ("5/10s,2", 5, 10, 2),
        ("1000/h,50", 1000, 3600, 50), ("7/day,7", 7, 86_400, 7), ("60/m", 60, 60, 60),
        ("1000000/sec,1000000", 1_000_000, 1, 1_000_000), ("1/86400s", 1, 86_400, 1),
    ])
    func `a rate is so many a period, and so many at once`(
        _ text: String, _ count: Int, _ periodS: Int, _ burst: Int
    ) throws {
        let rate = try #require(try configuration(["--rate", text]).rate)
        #expect(rate.count == count && rate.periodS == periodS && rate.burst == burst)
    }

    @Test(arguments: [
        "", "100", "100/", "/min,10", "100/min,", "100/min,0", "0/min,10", "100/min,10x",
        "100/week,1", "-1/min,1", "100/min,10,10", "1000001/s,1", "1/99d,1", "100 /min,10",
        "99999999999999999999/s,1", "100/MIN,10", "1/0s,1", "1/1/s", "1/s,1000001", "1/٣s",
    ])
    func `what is no rate is refused`(_ text: String) {
        #expect(complaint(["--rate", text])?.contains("--rate") == true)
    }

    @Test func `memory that leaves a shard too little is refused`() {
        #expect(
            complaint(["--max-memory", "16MiB", "--shards", "8"])
                == "needletail: --max-memory: 16MiB is less than 4MiB for each of 8 shards; "
                + "raise it or lower --shards")
        #expect(complaint(["--max-memory", "16MiB", "--shards", "4"]) == nil)
    }

    @Test func `a complaint is one printable line, however wild the value`() throws {
        let wild = String(repeating: "\u{1B}[31m\n\u{202E}", count: 500)
        for line in [["--shards", wild], ["--\(wild)"], [wild], ["a:1", wild]] {
            let text = try #require(complaint(line))
            #expect(!text.contains("\n"))
            #expect(!text.contains("\u{1B}"))
            #expect(!text.contains("\u{202E}"))
            #expect(text.utf8.count < 2000)
        }
    }
}

@Suite("Secrets") struct SecretTests {
    @Test func `secrets come from the environment`() throws {
        let made = try configuration(
            [],
            [
                "JWT_SECRET": "0123456789abcdef0123456789abcdef", "ADMIN_PASSWORD": "horse",
                "JWT_EXPIRATION": "90m",
            ])
        #expect(made.jwtSecret?.exposed == "0123456789abcdef0123456789abcdef")
        #expect(made.adminPassword?.exposed == "horse")
        #expect(made.jwtExpirationMs == 5_400_000)
    }

    @Test func `a secret is not repeated in the complaint about it`() throws {
        let text = try #require(complaint([], ["JWT_SECRET": "hunter2"]))
        #expect(text.hasPrefix("needletail: JWT_SECRET: must be 32 to 1024 bytes long"))
        #expect(!text.contains("hunter2"))
        let url = "postgres://u:hunter2@h/d"
        for name in ["DATABASE_URL", "CLUSTER_SECRET", "TLS_P12_PASSWORD"] {
            let text = try #require(complaint([], [name: url]))
            #expect(!text.contains("hunter2"))
        }
    }

    @Test func `no way of printing a configuration shows a secret`() throws {
        let made = try configuration(
            [],
            ["JWT_SECRET": "0123456789abcdef0123456789abcdef", "ADMIN_PASSWORD": "correct horse"])
        var dumped = ""
        dump(made, to: &dumped)
        for text in [dumped, "\(made)", String(reflecting: made)] {
            #expect(!text.contains("0123456789abcdef0123456789abcdef"))
            #expect(!text.contains("correct horse"))
        }
    }
}
