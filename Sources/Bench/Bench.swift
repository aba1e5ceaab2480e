import Glibc
import Machine

/// `needletail-bench`, from its words to its exit code.
public enum Bench {
    public static func main(_ arguments: [String]) -> Int32 {
        // A server that closes while we send is counted, not died of.
        signal(SIGPIPE, SIG_IGN)
        do throws(UsageError) {
            switch try Invocation.read(arguments) {
            case .print(let text): Output.print(text)
            case .compare(let first, let second):
                Output.print(try Comparison.read(first, second).table)
            case .run(let settings): return run(settings)
            }
            return 0
        } catch {
            Output.error("\(error)\n")
            return UsageError.exitCode
        }
    }

    private static func run(_ settings: Settings) -> Int32 {
        Interrupt.listen()
        do throws(RunError) {
            if settings.command == .verify {
                let verdicts = try VerifyRun(settings: settings).verdicts()
                Output.print(settings.isJSON ? verdicts.json.text + "\n" : verdicts.table)
                return verdicts.hold ? 0 : 1
            }
            let report = try Bench.report(settings)
            Output.print(settings.isJSON ? report.json.text + "\n" : report.table)
            return 0
        } catch {
            Output.error("\(error)\n")
            return 1
        }
    }

    static func report(_ settings: Settings) throws(RunError) -> Report {
        raiseDescriptorLimit()
        let peer: Peer
        let maker: DriverMaker
        do throws(SystemError) {
            peer = try Peer.resolve(
                host: settings.host, port: settings.port, sources: settings.sources)
            maker = try DriverMaker(settings.driver)
        } catch {
            throw RunError("\(error)")
        }
        let headers = try settings.headers + authorization(settings, peer)
        switch settings.command {
        case .push, .hold:
            return try PushRun(settings: settings, peer: peer, maker: maker, headers: headers)
                .report()
        case .get, .put, .mixed, .resp, .verify:
            return try RequestRun(settings: settings, peer: peer, maker: maker, headers: headers)
                .report()
        }
    }

    private static func authorization(
        _ settings: Settings, _ peer: Peer
    ) throws(RunError) -> [String] {
        guard let user = settings.user else { return [] }
        guard let secret = unsafe getenv("NEEDLETAIL_BENCH_SECRET") else {
            throw RunError("--user \(user): set the secret in NEEDLETAIL_BENCH_SECRET")
        }
        let token = try SignIn.token(
            user: user, secret: unsafe String(cString: secret), peer: peer, host: settings.target)
        return ["Authorization: Bearer \(token)"]
    }

    /// Every connection is a descriptor; the soft limit is usually far below the hard one.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(resource, &limit)
    }
}
