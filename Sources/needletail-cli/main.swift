import CLI
import Glibc

/// Arguments may be any bytes, so they are taken as the system has them.
let arguments = (1..<max(1, Int(CommandLine.argc))).map { place in
    guard let text = unsafe CommandLine.unsafeArgv[place] else { return [UInt8]() }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: text, count: strlen(text)))
}
exit(Program.main(arguments))
