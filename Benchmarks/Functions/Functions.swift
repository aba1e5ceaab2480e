import Journal
import Keyspace
import Simulation
import Wire

/// How often each does its thing in one call. `run` divides by it.
private var times: Int { 1000 }
private var samples: UnsafeMutablePointer<Samples> { Samples.shared }

func check(_ holds: Bool, _ what: StaticString) {
    if !holds { fatalError("function-counts: \(what)") }
}

// MARK: HTTP

func parseHead(_ bytes: [UInt8]) {
    var head = HTTPRequestHead()
    let limits = HTTPLimits()
    bytes.withUnsafeBytes { bytes in
        for _ in 0..<times {
            let verdict = HTTPRequestParser.parse(bytes.bytes, limits: limits, into: &head)
            check(verdict == .head, "a head was not read")
        }
    }
}

@_silgen_name("count_http_head_short") @inline(never) func countShortHead() {
    parseHead(samples.pointee.shortHead)
}

@_silgen_name("count_http_head_browser") @inline(never) func countBrowserHead() {
    parseHead(samples.pointee.browserHead)
}

@_silgen_name("count_http_reply_head") @inline(never) func countReplyHead() {
    let room = samples.pointee.room.assumingMemoryBound(to: UInt8.self).baseAddress!
    let date = HTTPDate(epochSeconds: 1_700_000_000)
    // A length that differs, or the compiler writes the same head once.
    for length in 0..<times {
        var writer = ByteWriter(room, capacity: 4096)
        HTTPReplyHead.write(
            .ok, contentType: "application/json", contentLength: length, keepAlive: true,
            date: date,
            into: &writer)
        check(writer.count > 100, "no reply head")
    }
}

// MARK: JSON

@_silgen_name("count_json_validate_348") @inline(never) func countJSON() {
    samples.pointee.json.withUnsafeBytes { bytes in
        for _ in 0..<times {
            check(JSONValidator.validate(bytes) == .valid, "JSON was refused")
        }
    }
}

// MARK: RESP

@_silgen_name("count_resp_set_348") @inline(never) func countRESPSet() {
    var arguments = RESPArguments()
    let limits = RESPLimits()
    samples.pointee.respSet.withUnsafeBytes { bytes in
        for _ in 0..<times {
            var parser = RESPRequestParser()
            guard case .command = parser.parse(bytes, limits, into: &arguments) else {
                return check(false, "SET was not read")
            }
        }
    }
    check(arguments.count == 3, "SET has three arguments")
}

@_silgen_name("count_resp_bulk_348") @inline(never) func countRESPBulk() {
    let samples = samples
    samples.pointee.json.withUnsafeBytes { bytes in
        for _ in 0..<times {
            samples.pointee.resp.removeAll()
            samples.pointee.resp.bulk(bytes)
        }
    }
    check(samples.pointee.resp.count > 348, "no bulk")
}

// MARK: WebSocket

@_silgen_name("count_websocket_head") @inline(never) func countWebSocketHead() {
    let room = samples.pointee.room.assumingMemoryBound(to: UInt8.self).baseAddress!
    for _ in 0..<times {
        var writer = ByteWriter(room, capacity: 4096)
        WebSocketFrame.head(.text, 348, into: &writer)
        check(writer.count == 4, "no frame head")
    }
}

@_silgen_name("count_websocket_mask_348") @inline(never) func countMask() {
    let start = samples.pointee.room.baseAddress!
    for _ in 0..<times {
        var mask = WebSocketMask(key: 0x1234_5678)
        mask.remove(from: start, count: 348)
    }
}

// MARK: Keyspace

@_silgen_name("count_index_get") @inline(never) func countGet() {
    let samples = samples
    for number in 0..<times {
        let key = samples.pointee.key(number &* 7919 % Samples.records)
        check(samples.pointee.space.get(key, at: Samples.start) != nil, "a record is missing")
    }
}

@_silgen_name("count_index_miss") @inline(never) func countMiss() {
    let samples = samples
    for number in 0..<times {
        let key = samples.pointee.key(Samples.records + number)
        check(samples.pointee.space.get(key, at: Samples.start) == nil, "a record is there")
    }
}

@_silgen_name("count_index_overwrite_348") @inline(never) func countOverwrite() {
    let samples = samples
    for number in 0..<times { samples.pointee.put(number &* 7919 % Samples.records) }
}

@_silgen_name("count_list_record") @inline(never) func countList() {
    let samples = samples
    let empty = UnsafeRawBufferPointer(start: nil, count: 0)
    var seen = 0
    var page = samples.pointee.space.list(0, prefix: empty, after: empty, steps: times)
    while samples.pointee.space.next(&page, at: Samples.start) != nil { seen += 1 }
    check(seen == times, "a list is short")
}

// MARK: Journal

@_silgen_name("count_log_append_348") @inline(never) func countAppend() {
    let samples = samples
    samples.pointee.json.withUnsafeBytes { value in
        let record = samples.pointee.record(samples.pointee.key(5).bytes, value)
        for _ in 0..<times {
            _ = samples.pointee.log.room(for: record.encodedBytes)
            _ = samples.pointee.log.append(record)
        }
    }
    if samples.pointee.log.pendingWrite() != nil { samples.pointee.log.wrote() }
}
