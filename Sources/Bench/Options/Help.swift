/// The page that `--help` prints.
enum Help {
    private static let columns = 100
    private static let docColumn = 34

    static let text: String = {
        var text = """
            needletail-bench: load for Needletail and its like, timed honestly.

            Usage: needletail-bench get|put|mixed|push|hold|resp [TARGET] [options]
                   needletail-bench verify [options]
                   needletail-bench --compare A.json B.json
                   needletail-bench --help

            TARGET is HOST:PORT or http://HOST:PORT/PATH; by default 127.0.0.1:6660. A PATH is asked for
            as it is, {key} in it being a key; without one, keys of --table are.

              get      read over HTTP: the path, or keys of the table
              put      write keys
              mixed    read and write keys, --reads of them reads
              push     write events to keys and hear them on --listeners event streams (SSE): how long
                       each took, by our clock and by the kernel's receive time; what was missed,
                       doubled, out of order or stale; when the last listener had it
              hold     keep --listeners idle event streams: what one costs the server
              resp     GET, SET, INCR, LPUSH, LPOP or PING over RESP, against any Redis
              verify   start a node, run the canonical workload, and hold each promise against what
                       was measured; exit code 1 when one does not hold

            Examples
              needletail-bench get 127.0.0.1:6660/health --duration 5s
              needletail-bench mixed --rate 20000 --keys 100000 --distribution zipf --fill --user me
              needletail-bench push --listeners 5000 --rate 20 --pid $(pidof needletail)
              needletail-bench resp 127.0.0.1:6379 --command set --pipeline 16
              needletail-bench get :6660/health --json > a.json

            """
        for section in Option.Section.allCases {
            text += "\n\(section.rawValue)\n"
            for option in Option.table where option.section == section {
                let head = "  \(option.spelling) \(option.form)"
                let body = wrapped(option.doc)
                text +=
                    head.count + 2 <= docColumn
                    ? head + body.dropFirst(head.count) : head + "\n" + body
            }
        }
        return text + """

            Times are seconds, or carry ms, s, m or h; sizes are bytes, or carry KiB or MiB. Of an
            option given twice the last counts. The run says at its end when the generator itself was
            the limit: its figures are then a lower bound for the server. Exit codes: 0 the run was
            made, 1 it could not be (verify: or a promise is not kept), 64 the command line is wrong.

            """
    }()

    private static func wrapped(_ text: String) -> String {
        let margin = String(repeating: " ", count: docColumn)
        var lines = ""
        var line = margin
        for word in text.split(separator: " ") {
            if line.count > docColumn, line.count + 1 + word.count > columns {
                lines += line + "\n"
                line = margin
            }
            line += (line.count > docColumn ? " " : "") + word
        }
        return lines + line + "\n"
    }
}
