import TestClient
import Testing

@Suite(.serialized) struct `Names of tables and keys` {
    @Test(arguments: NodeShape.allCases)
    func `a table is named by 1 to 128 of a small alphabet`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let alice = try node.asAlice()
        let long = String(repeating: "n", count: 128)
        for table in [
            "T", "0", "a.b-c_d", "-dash", "9.9", long, "authority", "Auth", "keyed", "v1.0", "v10",
            "stores", "a_",
        ] {
            expect([200, 201], try alice.put("/\(table)/key/named", "1"), table)
            expect(200, try alice.get("/\(table)/keys"), table)
            expectRecord(try alice.get("/\(table)/key/named"), "1", owner: "alice")
        }
        for table in [
            "", ".hidden", "_private", long + "n", "a%20b", "a%2Fb", "%C3%A9", "a,b", "a:b", "a@b",
            "a%00", "a~b", "%5Fprivate", "%2Ehidden", "a%25",
        ] {
            for reply in [
                try alice.put("/\(table)/key/k", "1"), try alice.get("/\(table)/key/k"),
                try alice.get("/\(table)/keys"), try alice.post("/\(table)/store", "{\"a\":1}"),
            ] {
                expect([400, 404], reply, "table \(table)")
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `the names of our own paths are no tables`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (alice, admin) = (try node.asAlice(), try node.asAdmin())
        let reserved = """
            key auth signup login logout token apikeys usage v1 subscribe ws client membership \
            health ready metrics stats admin dashboard cluster store openapi.json assets
            """
        for name in reserved.split(separator: " ") {
            for spelling in [String(name), escapedWholly(String(name))] {
                for reply in [
                    try alice.put("/\(spelling)/key/k", "1"),
                    try alice.post("/\(spelling)/store", "{\"a\":1}"),
                    try admin.say("PUT", "/\(spelling)", "{\"read\":\"public\"}"),
                ] {
                    expect([400, 404, 405, 501], reply, "PUT into \(spelling)")
                }
                expect([400, 404, 405, 501], try alice.get("/\(spelling)/keys"), spelling)
            }
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a key is any 1 to 1024 bytes, percent-encoded where need be`(
        _ shape: NodeShape
    ) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for (spelling, key) in [
            ("a%2Fb", "a/b"), ("%2F", "/"), ("..", ".."), ("%2E", "."), ("a%20b", "a b"),
            ("a+b", "a+b"), ("a%2Bc", "a+c"), ("%25", "%"), ("%C3%A9", "é"), ("%00", "\u{0}"),
            ("%22%5C", "\"\\"), ("key", "key"), ("a%0D%0Ab", "a\r\nb"), ("a:b@c", "a:b@c"),
            ("folder%2Ffile%2Ename", "folder/file.name"), ("12345678%2F", "12345678/"),
            ("1234567%2F", "1234567/"), ("a%2F345678", "a/345678"), ("%2F12345678", "/12345678"),
            ("k;v=1", "k;v=1"), ("%7B%7D", "{}"), ("a~b", "a~b"), ("%3Fq", "?q"), ("%23f", "#f"),
            (String(repeating: "k", count: 1024), String(repeating: "k", count: 1024)),
            (String(repeating: "%C3%A4", count: 512), String(repeating: "ä", count: 512)),
        ] {
            let about = String(spelling.prefix(40))
            expectRecord(
                expect(201, try alice.put("/\(table)/key/\(spelling)", "1"), about), "1",
                version: 1)
            // The same key in another spelling is the same record.
            expectRecord(
                expect(200, try alice.get("/\(table)/key/\(escapedWholly(key))"), about), "1",
                version: 1)
            let listed = try alice.get("/\(table)/keys").json?.strings
            #expect(listed == [key], "\(about)")
            expect(200, try alice.delete("/\(table)/key/\(spelling)"), about)
            expect(404, try alice.get("/\(table)/key/\(escapedWholly(key))"), about)
        }
    }

    @Test(arguments: NodeShape.allCases)
    func `a key that is no text is a key like any other`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        let keys = ["%FF", "%FE", "a%C3", "%ED%A0%80", "%00%FF%00", "%80k"]
        for (number, key) in keys.enumerated() {
            let path = "/\(table)/key/\(key)"
            expectRecord(expect(201, try alice.put(path, "\(number)")), "\(number)", version: 1)
        }
        for (number, key) in keys.enumerated() {
            let path = "/\(table)/key/\(key)"
            expectRecord(expect(200, try alice.get(path)), "\(number)", version: 1)
            expect(404, try alice.get("/\(table)/key/%EF%BF%BD"), "the sign it is shown as")
        }
        // Listed as JSON, which has no other bytes than text.
        let listed = try alice.get("/\(table)/keys").json?.strings ?? []
        #expect(listed.count == keys.count && listed.contains("a\u{FFFD}"), "\(listed)")
        #expect(try alice.get("/\(table)/store").status == 200)
        for key in keys { expect(200, try alice.delete("/\(table)/key/\(key)")) }
        expect(404, try alice.get("/\(table)/keys"))
    }

    @Test(arguments: NodeShape.allCases)
    func `no key, and one that is too long, are refused`(_ shape: NodeShape) throws {
        let node = try TableNode.shared(shape)
        let (table, alice) = (node.table(), try node.asAlice())
        for spelling in [
            String(repeating: "k", count: 1025), String(repeating: "%6B", count: 1025),
            String(repeating: "k", count: 5000), "%6", "%", "%zz", "a%2",
        ] {
            for path in ["/\(table)/key/\(spelling)", "/key/\(spelling)"] {
                let about = String(path.prefix(40))
                expect(400, try node.asAlice().put(path, "1"), about)
                expect(400, try node.asAlice().get(path), about)
                expect(400, try node.asAlice().delete(path), about)
            }
        }
        for path in ["/\(table)/key/", "/key/", "/\(table)/key", "/\(table)/keys/", "/\(table)/"] {
            expect([400, 404, 405], try alice.put(path, "1"), path)
            expect([400, 404], try alice.get(path), path)
        }
        expect(404, try alice.get("/\(table)/keys"))
    }

    /// Each byte as `%XX`, plain ones too.
    private func escapedWholly(_ text: String) -> String {
        text.utf8.map {
            "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true)
        }.joined()
    }
}
