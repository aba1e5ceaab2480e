import Machine

/// Gets a token for a user before a run.
enum SignIn {
    static func token(user: String, secret: String, peer: Peer, host: String) throws(RunError)
        -> String
    {
        let reply: Exchange
        do throws(SystemError) {
            reply = try Exchange.run(
                "POST", "/auth/\(user)", body: .object([("secret", .string(secret))]), peer: peer,
                host: host)
        } catch {
            throw RunError("\(error)")
        }
        guard let token = reply.json?["token"]?.string else {
            throw RunError(
                "--user \(user): POST /auth/\(user) was answered with status \(reply.status)")
        }
        return token
    }
}
