import Journal

private let directory = Directory()
private let path = FileNames.manifest

/// With an even first byte the input is the body of a manifest with the right checksum.
/// Otherwise it is written over a sound file, from a place the second byte says.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    guard count > 2 else { return 0 }
    let input = Array(UnsafeBufferPointer(start: bytes + 2, count: count - 2))
    if bytes[0] & 1 == 0 {
        directory.read(path, directory.manifest(sealing: input))
        return 0
    }
    let file = directory.disk.contents(of: path)
    directory.read(path, file.prefix(Int(bytes[1]) % (file.count + 1)) + input)
    return 0
}
