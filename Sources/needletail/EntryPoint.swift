import Glibc

/// Where the process begins, under the name that the package manager links as C's `main`.
///
/// Swift's own ways to begin run on the main actor, which brings all of its concurrency and
/// libdispatch into an executable that has threads of its own: 0.7 MB, and never used.
@c(needletail_main)
public func begin(
    _ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
    // Not returned: what the process did not get to (a shard that a drain cut short) ends with it.
    exit(Command.run())
}
