import Glibc

enum Arguments {
    /// What follows the program's name: any bytes.
    static func read(
        _ count: Int32, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    ) -> [[UInt8]] {
        guard let words = unsafe words else { return [] }
        return (1..<max(1, Int(count))).map { place in
            guard let text = unsafe words[place] else { return [] }
            return unsafe [UInt8](UnsafeRawBufferPointer(start: text, count: strlen(text)))
        }
    }
}
