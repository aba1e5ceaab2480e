import CLI
import Glibc

/// Where the process begins, under the name that the package manager links as C's `main`.
///
/// The system hands over the arguments as they are; Swift would read them from /proc, which is not
/// everywhere.
@c(needletail_cli_main)
public func begin(
    _ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    Program.main(unsafe Arguments.read(count, words))
}
