import Journal

private let directory = Directory()
private let path = FileNames.snapshot

/// With an even first byte the input is an unpacked block of as many records as the second says.
/// Otherwise it is written over a sound file, from a place the second byte says.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard count > 2 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: bytes + 2, count: count - 2))
    if bytes[0] & 1 == 0 {
        directory.read(path, directory.snapshot(packing: input, records: Int(bytes[1])))
        return 0
    }
    let file = directory.disk.contents(of: path)
    directory.read(path, file.prefix(Int(bytes[1]) % (file.count + 1)) + input)
    return 0
}
