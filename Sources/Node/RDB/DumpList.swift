/// A list between the form it has in a record and its elements.
///
/// ```
/// count u32 · front u32 · used u32 · … room … · elements · … room …
/// element:  length (7 bits a byte, lowest first) · bytes · length again, to be read backwards
/// ```
enum DumpList {
    private static let headBytes = 12

    static func form(_ elements: [[UInt8]]) -> [UInt8] {
        var form = [UInt8](repeating: 0, count: headBytes)
        for element in elements {
            let length = lengthBytes(element.count)
            form += length
            form += element
            form += length.reversed()
        }
        put(UInt32(elements.count), 0, &form)
        put(UInt32(headBytes), 4, &form)
        put(UInt32(form.count - headBytes), 8, &form)
        return form
    }

    static func each(_ value: UnsafeRawBufferPointer, _ body: ([UInt8]) -> Void) {
        guard value.count >= headBytes else { return }
        var at = unsafe Int(value.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let end = unsafe at + Int(value.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        while at < end, end <= value.count {
            var length = 0
            var width = 0
            while at + width < end {
                let byte = unsafe Int(value[at + width])
                length |= (byte & 127) << (7 * width)
                width += 1
                if byte < 128 { break }
            }
            guard at + length + 2 * width <= end else { return }
            unsafe body(Array(value[(at + width)..<(at + width + length)]))
            at += length + 2 * width
        }
    }

    private static func lengthBytes(_ length: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = length
        repeat {
            let more: UInt8 = rest >= 128 ? 128 : 0
            bytes.append(UInt8(rest & 127) | more)
            rest >>= 7
        } while rest > 0
        return bytes
    }

    private static func put(_ value: UInt32, _ at: Int, _ form: inout [UInt8]) {
        for place in 0..<4 { form[at + place] = UInt8(truncatingIfNeeded: value >> (8 * place)) }
    }
}
