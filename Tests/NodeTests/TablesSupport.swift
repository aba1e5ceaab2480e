import Glibc
import Keyspace
import Wire

@testable import Node

/// What a test says in text, handed over as bytes, and answers brought back as text: bytes that
/// are not UTF-8 are written as `\u{..}` of the same number.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

func text(_ bytes: UnsafeRawBufferPointer) -> String {
    let all = [UInt8](bytes)
    if let text = String(validating: all, as: UTF8.self) { return text }
    return String(String.UnicodeScalarView(all.map { Unicode.Scalar($0) }))
}

/// Bytes in memory of exactly their length, so that a step past the end is seen by the sanitizer.
func withExact<Answer>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> Answer) -> Answer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return body(UnsafeRawBufferPointer(copy))
}

/// Room for a function to decode into, of exactly the size it asks for.
func withScratch<Answer>(_ count: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Answer) -> Answer {
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
    defer { scratch.deallocate() }
    return body(scratch)
}

/// What `body` writes; `room` is all it has.
func written(_ room: Int = 8192, _ body: (inout ByteWriter) -> Void) -> String {
    withScratch(max(1, room)) { base in
        var writer = ByteWriter(base, capacity: room)
        body(&writer)
        return text(UnsafeRawBufferPointer(writer.written))
    }
}

/// A small generator with a seed, so that a failure comes again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bytes(upTo count: Int, from alphabet: [UInt8]) -> [UInt8] {
        (0..<Int.random(in: 0...count, using: &self)).map { _ in
            alphabet.randomElement(using: &self) ?? 0
        }
    }
}
