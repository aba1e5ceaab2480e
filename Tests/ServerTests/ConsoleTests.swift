import TestClient
import Testing

@Suite struct `Pages in the binary` {
    @Test(arguments: IODriver.allCases)
    func `the page that watches a key comes with all it needs, and a policy that allows no more`(
        _ io: IODriver
    ) throws {
        let server = try Server.start(io: io)
        let client = try server.connect()
        let page = try client.ask("GET", "/client")
        #expect(page.status == 200)
        #expect(page.header("content-type") == "text/html; charset=utf-8")
        #expect(!page.text.contains("http://") && !page.text.contains("https://"))
        for (target, type) in [
            ("/assets/client.js", "text/javascript; charset=utf-8"),
            ("/assets/client.css", "text/css; charset=utf-8"),
        ] {
            #expect(page.text.contains("\"\(target)\""))
            let asset = try client.ask("GET", target)
            #expect(asset.status == 200)
            #expect(asset.header("content-type") == type)
        }
        for target in ["/client", "/assets/client.js", "/assets/client.css"] {
            let head = try client.ask("HEAD", target)
            #expect(head.status == 200)
            #expect(head.header("x-content-type-options") == "nosniff")
            let policy = try #require(head.header("content-security-policy"))
            #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
            #expect(try client.ask("POST", target).status == 405)
        }
        #expect(try client.ask("GET", "/assets/none").status == 404)
    }
}
