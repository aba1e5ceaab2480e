import Glibc
import Node
import Options

/// The command line becomes a configuration, a text to print, or a refusal; the rest is the node's.
enum Command {
    /// The process's exit status.
    static func run() -> Int32 {
        let words = CommandLine.arguments.dropFirst()
        do throws(OptionsError) {
            let invocation = try Invocation.read(Array(words)) { name in
                guard let value = unsafe getenv(name) else { return nil }
                return unsafe String(cString: value)
            }
            switch invocation {
            case .print(let text):
                print(text, terminator: "")
                return 0
            case .serve(let configuration): return Node.run(configuration)
            case .importDump(let file, let configuration):
                return Node.importDump(file, configuration)
            case .exportDump(let file, let configuration):
                return Node.exportDump(file, configuration)
            case .check(let request): return DirectoryCheck.run(request)
            }
        } catch {
            let line = Array("\(error)\n".utf8)
            _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
            return OptionsError.exitCode
        }
    }
}
