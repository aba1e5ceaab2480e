import Glibc
import Synchronization

/// The one thread that starts children.
///
/// A child's parent-death signal fires when the *thread* that spawned it ends, and threads of
/// the test runner's pool come and go. This one stays until the process itself is gone, so a
/// child dies then, however the run ended, and not before.
final class Spawner: @unchecked Sendable {
    static let shared = Spawner()

    private struct Order {
        var arguments: [String]
        var environment: [String]
        var outputFile: String
        var errorFile: String
    }

    private var lock = pthread_mutex_t()
    private var changed = pthread_cond_t()
    private var order: Order?
    private var outcome: Result<pid_t, ClientError>?

    private init() {
        pthread_mutex_init(&lock, nil)
        pthread_cond_init(&changed, nil)
        background { self.serve() }
    }

    func spawn(
        _ arguments: [String], environment: [String], outputFile: String, errorFile: String
    ) throws(ClientError) -> pid_t {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        while order != nil || outcome != nil { pthread_cond_wait(&changed, &lock) }
        order = Order(
            arguments: arguments, environment: environment, outputFile: outputFile,
            errorFile: errorFile)
        pthread_cond_broadcast(&changed)
        while outcome == nil { pthread_cond_wait(&changed, &lock) }
        defer {
            outcome = nil
            pthread_cond_broadcast(&changed)
        }
        return try outcome!.get()
    }

    private func serve() {
        pthread_mutex_lock(&lock)
        while true {
            while order == nil { pthread_cond_wait(&changed, &lock) }
            outcome = Self.start(order!)
            order = nil
            pthread_cond_broadcast(&changed)
        }
    }

    private static func start(_ order: Order) -> Result<pid_t, ClientError> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, 1, order.outputFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(
            &actions, 2, order.errorFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

        let arguments: [UnsafeMutablePointer<CChar>?] = order.arguments.map { strdup($0) } + [nil]
        let environment: [UnsafeMutablePointer<CChar>?] =
            order.environment.map { strdup($0) } + [nil]
        defer { for text in arguments + environment { free(text) } }
        var pid: pid_t = 0
        let code = posix_spawn(
            &pid, order.arguments[0], &actions, &attributes, arguments, environment)
        return code == 0 ? .success(pid) : .failure(.system("posix_spawn", code))
    }
}

/// Runs something beside the test, on a thread of its own.
public func background(_ work: @escaping @Sendable () -> Void) {
    final class Work: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { context in
            Unmanaged<Work>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(Work(work)).toOpaque())
    precondition(code == 0, "pthread_create: \(code)")
    pthread_detach(thread)
}
