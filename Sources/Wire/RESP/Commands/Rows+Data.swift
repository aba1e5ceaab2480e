/// Rows about data: strings, keys, lists.
extension CommandTable {
    static let strings: [CommandRow] = [
        CommandRow(
            .get, 2, [.readonly, .fast], .one, .string, "1.0.0", "key", "The value of a key."),
        CommandRow(
            .set, -3, [.write, .denyoom], .one, .string, "1.0.0",
            "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|"
                + "PXAT unix-time-milliseconds|KEEPTTL]",
            "Gives a key a value, whatever it had before."),
        CommandRow(
            .setnx, 3, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key value",
            "Gives a key a value if it has none."),
        CommandRow(
            .setex, 4, [.write, .denyoom], .one, .string, "2.0.0", "key seconds value",
            "Gives a key a value and a time to live."),
        CommandRow(
            .psetex, 4, [.write, .denyoom], .one, .string, "2.6.0", "key milliseconds value",
            "Gives a key a value and a time to live in milliseconds."),
        CommandRow(
            .getset, 3, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key value",
            "Gives a key a value and answers with the one before."),
        CommandRow(
            .getdel, 2, [.write, .fast], .one, .string, "6.2.0", "key",
            "The value of a key, which is deleted."),
        CommandRow(
            .getex, -2, [.write, .fast], .one, .string, "6.2.0",
            "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|"
                + "PERSIST]",
            "The value of a key, whose time to live is changed."),
        CommandRow(
            .mget, -2, [.readonly, .fast], .all, .string, "1.0.0", "key [key ...]",
            "The values of many keys.", "O(N) for N keys"),
        CommandRow(
            .mset, -3, [.write, .denyoom], .pairs, .string, "1.0.1",
            "key value [key value ...]", "Gives many keys a value each, at once.",
            "O(N) for N keys"),
        CommandRow(
            .msetnx, -3, [.write, .denyoom], .pairs, .string, "1.0.1",
            "key value [key value ...]", "Gives many keys a value each if none has one.",
            "O(N) for N keys"),
        CommandRow(
            .append, 3, [.write, .denyoom, .fast], .one, .string, "2.0.0", "key value",
            "Adds to the end of a value.", "O(N) for a value of N bytes"),
        CommandRow(
            .strlen, 2, [.readonly, .fast], .one, .string, "2.2.0", "key",
            "The length of a value."),
        CommandRow(
            .getrange, 4, [.readonly], .one, .string, "2.4.0", "key start end",
            "A part of a value.", "O(N) for N bytes answered"),
        CommandRow(
            .substr, 4, [.readonly], .one, .string, "1.0.0", "key start end",
            "A part of a value; the old name of GETRANGE.", "O(N) for N bytes answered"),
        CommandRow(
            .setrange, 4, [.write, .denyoom], .one, .string, "2.2.0", "key offset value",
            "Writes over a part of a value.", "O(N) for a value of N bytes"),
        CommandRow(
            .incr, 2, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key",
            "Adds one to a number."),
        CommandRow(
            .decr, 2, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key",
            "Takes one from a number."),
        CommandRow(
            .incrby, 3, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key increment",
            "Adds to a number."),
        CommandRow(
            .decrby, 3, [.write, .denyoom, .fast], .one, .string, "1.0.0", "key decrement",
            "Takes from a number."),
        CommandRow(
            .incrbyfloat, 3, [.write, .denyoom, .fast], .one, .string, "2.6.0", "key increment",
            "Adds to a number that may have a fraction."),
    ]

    private static let expireSyntax = " [NX|XX|GT|LT]"

    static let keys: [CommandRow] = [
        CommandRow(
            .del, -2, [.write], .all, .generic, "1.0.0", "key [key ...]", "Deletes keys.",
            "O(N) for N keys"),
        CommandRow(
            .unlink, -2, [.write, .fast], .all, .generic, "4.0.0", "key [key ...]",
            "Deletes keys; here the same as DEL.", "O(N) for N keys"),
        CommandRow(
            .exists, -2, [.readonly, .fast], .all, .generic, "1.0.0", "key [key ...]",
            "How many of the keys there are.", "O(N) for N keys"),
        CommandRow(
            .type, 2, [.readonly, .fast], .one, .generic, "1.0.0", "key",
            "What kind of value a key has."),
        CommandRow(
            .touch, -2, [.readonly, .fast], .all, .generic, "3.2.1", "key [key ...]",
            "Counts as a use of the keys; how many there are.", "O(N) for N keys"),
        CommandRow(
            .rename, 3, [.write], .two, .generic, "1.0.0", "key newkey",
            "Gives a key another name.", "O(N) for a value of N bytes"),
        CommandRow(
            .renamenx, 3, [.write, .fast], .two, .generic, "1.0.0", "key newkey",
            "Gives a key another name if that is free.", "O(N) for a value of N bytes"),
        CommandRow(
            .copy, -3, [.write, .denyoom], .two, .generic, "6.2.0",
            "source destination [DB destination-db] [REPLACE]", "Copies a value to another key.",
            "O(N) for a value of N bytes"),
        CommandRow(
            .randomkey, 1, [.readonly], .none, .generic, "1.0.0", "", "Some key, by chance."),
        CommandRow(
            .keys, 2, [.readonly, .dangerous], .none, .generic, "1.0.0", "pattern",
            "All keys that match a pattern.", "O(N) for N keys in the database"),
        CommandRow(
            .scan, -2, [.readonly], .none, .generic, "2.8.0",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
            "Goes through the keys, some hundreds at a time.",
            "O(1) a call, O(N) for all N keys of the server"),
        CommandRow(
            .object, -2, [], .none, .generic, "2.2.3", "", "How a value is kept.",
            "Depends on the subcommand",
            subcommands: [
                CommandRow(
                    sub: "encoding", 3, [.readonly], .generic, "2.2.3", "key",
                    "The form Redis would keep the value in.", keys: .second),
                CommandRow(
                    sub: "freq", 3, [.readonly], .generic, "4.0.0", "key",
                    "How often a key is used; not kept here.", keys: .second),
                CommandRow(
                    sub: "help", 2, [.loading, .stale], .generic, "6.2.0", "",
                    "The subcommands."),
                CommandRow(
                    sub: "idletime", 3, [.readonly], .generic, "2.2.3", "key",
                    "For how many seconds a key was not written.", keys: .second),
                CommandRow(
                    sub: "refcount", 3, [.readonly], .generic, "2.2.3", "key",
                    "By how many a value is shared: always one.", keys: .second),
            ]),
        CommandRow(
            .expire, -3, [.write, .fast], .one, .generic, "1.0.0", "key seconds" + expireSyntax,
            "Gives a key a time to live."),
        CommandRow(
            .pexpire, -3, [.write, .fast], .one, .generic, "2.6.0",
            "key milliseconds" + expireSyntax, "Gives a key a time to live in milliseconds."),
        CommandRow(
            .expireat, -3, [.write, .fast], .one, .generic, "1.2.0",
            "key unix-time-seconds" + expireSyntax, "Gives a key a time at which it ends."),
        CommandRow(
            .pexpireat, -3, [.write, .fast], .one, .generic, "2.6.0",
            "key unix-time-milliseconds" + expireSyntax,
            "Gives a key a time at which it ends, in milliseconds."),
        CommandRow(
            .ttl, 2, [.readonly, .fast], .one, .generic, "1.0.0", "key",
            "How many seconds a key has left; -1 without end, -2 without key."),
        CommandRow(
            .pttl, 2, [.readonly, .fast], .one, .generic, "2.6.0", "key",
            "How many milliseconds a key has left; -1 without end, -2 without key."),
        CommandRow(
            .expiretime, 2, [.readonly, .fast], .one, .generic, "7.0.0", "key",
            "When a key ends, in seconds since 1970."),
        CommandRow(
            .pexpiretime, 2, [.readonly, .fast], .one, .generic, "7.0.0", "key",
            "When a key ends, in milliseconds since 1970."),
        CommandRow(
            .persist, 2, [.write, .fast], .one, .generic, "2.2.0", "key",
            "Lets a key live on without end."),
        CommandRow(
            .wait, 3, [.noscript], .none, .generic, "3.0.0", "numreplicas timeout",
            "Waits until replicas have the writes made so far; how many have."),
    ]

    static let lists: [CommandRow] = [
        CommandRow(
            .lpush, -3, [.write, .denyoom, .fast], .one, .list, "1.0.0",
            "key element [element ...]", "Adds to the front of a list, making it if need be.",
            "O(N) for N elements added"),
        CommandRow(
            .rpush, -3, [.write, .denyoom, .fast], .one, .list, "1.0.0",
            "key element [element ...]", "Adds to the end of a list, making it if need be.",
            "O(N) for N elements added"),
        CommandRow(
            .lpushx, -3, [.write, .denyoom, .fast], .one, .list, "2.2.0",
            "key element [element ...]", "Adds to the front of a list that is there.",
            "O(N) for N elements added"),
        CommandRow(
            .rpushx, -3, [.write, .denyoom, .fast], .one, .list, "2.2.0",
            "key element [element ...]", "Adds to the end of a list that is there.",
            "O(N) for N elements added"),
        CommandRow(
            .lpop, -2, [.write, .fast], .one, .list, "1.0.0", "key [count]",
            "Takes from the front of a list.", "O(N) for N elements taken"),
        CommandRow(
            .rpop, -2, [.write, .fast], .one, .list, "1.0.0", "key [count]",
            "Takes from the end of a list.", "O(N) for N elements taken"),
        CommandRow(
            .llen, 2, [.readonly, .fast], .one, .list, "1.0.0", "key", "How long a list is."),
        CommandRow(
            .lrange, 4, [.readonly], .one, .list, "1.0.0", "key start stop", "A part of a list.",
            "O(S+N) for N elements that begin S from the nearer end"),
        CommandRow(
            .lindex, 3, [.readonly], .one, .list, "1.0.0", "key index",
            "An element of a list.", "O(N) for an element N from the nearer end"),
        CommandRow(
            .lset, 4, [.write, .denyoom], .one, .list, "1.0.0", "key index element",
            "Replaces an element of a list.", "O(N) for a list of N bytes; O(1) at its ends"),
        CommandRow(
            .ltrim, 4, [.write], .one, .list, "1.0.0", "key start stop",
            "Keeps a part of a list only.", "O(N) for N elements removed"),
        CommandRow(
            .lrem, 4, [.write], .one, .list, "1.0.0", "key count element",
            "Removes elements that are equal to one.", "O(N) for a list of N elements"),
        CommandRow(
            .linsert, 5, [.write, .denyoom], .one, .list, "2.2.0",
            "key BEFORE|AFTER pivot element", "Adds an element beside another.",
            "O(N) for a list of N elements"),
        CommandRow(
            .lpos, -3, [.readonly], .one, .list, "6.0.6",
            "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
            "Where in a list an element stands.", "O(N) for a list of N elements"),
        CommandRow(
            .lmove, 5, [.write, .denyoom], .two, .list, "6.2.0",
            "source destination LEFT|RIGHT LEFT|RIGHT",
            "Takes from an end of a list and adds to an end of another."),
        CommandRow(
            .rpoplpush, 3, [.write, .denyoom], .two, .list, "1.2.0", "source destination",
            "Takes from the end of a list and adds to the front of another."),
    ]
}
