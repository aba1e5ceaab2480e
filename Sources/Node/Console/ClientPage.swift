import Machine
import Wire

/// `/client`: a bare page that watches a key, and nothing but the node behind it.
///
/// Page, script and style are apart, so that the page's policy can forbid all that stands inline: what
/// people store is shown as text, and could not run even if it were not.
enum ClientPage {
    /// No script, style or connection but the node's own.
    static let policy: StaticString =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    static let html: StaticString = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Needletail</title>
        <link rel="icon" href="data:,">
        <link rel="stylesheet" href="/assets/client.css">
        <script src="/assets/client.js" defer></script>
        </head>
        <body>
        <h1>Watch a key <span id="link"></span></h1>
        <form id="watch">
        <label>table <input id="table" value="default" required></label>
        <label>key <input id="key" placeholder="all of them"></label>
        <label>token <input id="token" placeholder="where one is needed" type="password"></label>
        <button>Watch</button>
        </form>
        <pre id="value">–</pre>
        <p id="about"></p>
        <ol id="events"></ol>
        </body>
        </html>

        """#

    static let style: StaticString = #"""
        :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
        body { max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.4rem; }
        #link { font-size: .8rem; font-weight: normal; opacity: .7; }
        form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; }
        label { display: grid; font-size: .8rem; }
        input, button { font: inherit; font-size: 1rem; padding: .3rem .5rem; }
        pre { font-size: 1.2rem; padding: 1rem; background: #8882; border-radius: .5rem;
              white-space: pre-wrap; overflow-wrap: anywhere; }
        ol { padding: 0; list-style: none; font: .85rem/1.6 ui-monospace, monospace; }
        li { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }

        """#

    /// What is watched stands behind the `#`, as table/key, so that a page can be sent to somebody.
    static let script: StaticString = #"""
        "use strict";
        const at = (id) => document.getElementById(id);
        const shownMax = 100;
        let stream = null;

        function say(text) {
          const line = document.createElement("li");
          line.textContent = new Date().toLocaleTimeString() + "  " + text;
          at("events").prepend(line);
          if (at("events").childElementCount > shownMax) at("events").lastChild.remove();
        }

        function show(change) {
          const record = change.value;
          const key = change.table + "/" + change.key;
          say(change.event + " " + key + (record ? " " + JSON.stringify(record.value) : ""));
          at("value").textContent = record ? JSON.stringify(record.value, null, 2) : "–";
          at("about").textContent = record
            ? key + ", version " + record.version + ", by " + (record.owner ?? "nobody")
              + ", " + new Date(record.timestamp).toLocaleString()
            : key + " is not there";
        }

        function watch() {
          if (stream) stream.close();
          const table = encodeURIComponent(at("table").value);
          const key = at("key").value;
          const token = at("token").value;
          const path = "/" + table + "/subscribe" + (key ? "/" + encodeURIComponent(key) : "");
          at("value").textContent = "–";
          at("about").textContent = "";
          at("link").textContent = "connecting…";
          stream = new EventSource(
            path + (token ? "?access_token=" + encodeURIComponent(token) : ""));
          stream.onopen = () => { at("link").textContent = "live"; };
          stream.onerror = () => {
            const isOver = stream.readyState === EventSource.CLOSED;
            at("link").textContent = isOver ? "refused" : "reconnecting…";
          };
          stream.onmessage = ({ data }) => show(JSON.parse(data));
          for (const name of ["reset", "lagged", "bye"]) {
            stream.addEventListener(name, ({ data }) => say(name + " " + data));
          }
        }

        function watchNamed() {
          const [table, ...key] = decodeURIComponent(location.hash.slice(1)).split("/");
          if (!table) return;
          at("table").value = table;
          at("key").value = key.join("/");
          watch();
        }

        at("watch").addEventListener("submit", (event) => {
          event.preventDefault();
          const named = "#" + at("table").value + "/" + at("key").value;
          if (location.hash === named) watch();
          else location.hash = named;
        });
        addEventListener("hashchange", watchNamed);
        watchNamed();

        """#
}

extension Shard {
    /// The pages in the binary. False: the path is none of them.
    mutating func routeConsole(
        _ index: UInt32, _ path: RawSpan, _ request: borrowing Request, _ shape: ReplyShape
    ) -> Bool {
        if path.equals("/client") {
            guard isRead(index, request, shape) else { return true }
            replyAsset(index, shape, "text/html; charset=utf-8", ClientPage.html)
        } else if path.equals("/assets/client.js") {
            guard isRead(index, request, shape) else { return true }
            replyAsset(index, shape, "text/javascript; charset=utf-8", ClientPage.script)
        } else if path.equals("/assets/client.css") {
            guard isRead(index, request, shape) else { return true }
            replyAsset(index, shape, "text/css; charset=utf-8", ClientPage.style)
        } else {
            return false
        }
        return true
    }

    private mutating func replyAsset(
        _ index: UInt32, _ shape: ReplyShape, _ contentType: StaticString, _ text: StaticString
    ) {
        var writer = beginReply(index, shape, .ok)
        HTTPReplyHead.field("Content-Type", contentType, into: &writer)
        HTTPReplyHead.field("X-Content-Type-Options", "nosniff", into: &writer)
        HTTPReplyHead.field("Content-Security-Policy", ClientPage.policy, into: &writer)
        HTTPReplyHead.field("Referrer-Policy", "no-referrer", into: &writer)
        // The next version of the node has another page.
        HTTPReplyHead.field("Cache-Control", "no-cache", into: &writer)
        HTTPReplyHead.framing(.length(UInt64(text.utf8CodeUnitCount)), into: &writer)
        HTTPReplyHead.finish(into: &writer)
        commit(index, writer)
        if shape.contains(.headOnly) { return }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: text.utf8Start, count: text.utf8CodeUnitCount)
        if unsafe !append(index, bytes) { close(index) }
    }
}
