#!/usr/bin/env python3
"""Runs the same random commands against redis-server and needletail and compares every reply.

    differential.py REDIS_PORT NEEDLETAIL_PORT [COMMANDS] [SEED]

Prints each difference with the command that showed it and exits with 1 when there was one. What is known to
differ, and why, stands in docs/differences-from-redis.md; `normal` below is the same list for a machine.
"""
import random
import socket
import sys
import time

KEYS = [b"a", b"b", b"c", b"list", b"l2", b"num", b"f", b"{t}x", b"{t}y", b"gone"]
INTS = [b"0", b"1", b"-1", b"2", b"3", b"-2", b"-3", b"10", b"100", b"-100", b"9223372036854775807",
        b"-9223372036854775808", b"9223372036854775808", b"99999999999999999999", b"01", b"+1", b" 1",
        b"1.5", b"abc", b"", b"1e3", b"-0", b"0x10"]
FLOATS = [b"1.5", b"-2.25", b"3", b"1e3", b"5.0e3", b"inf", b"-inf", b"nan", b"abc", b"", b" 1", b"0.1",
          b"1e-5", b"123456789.123456789", b"-0", b"0x1p3", b"1e400", b"1e4000"]
VALUES = [b"", b"x", b"hello", b"10", b"-5", b"3.14", b"\r\n", b"\x00\xff\xfe", b"x" * 50, b"y" * 300,
          "ünïcode".encode(), b"9223372036854775807", b'"quoted"', b"{\"a\":1}", b"$5", b"*1"]
ELEMENTS = [b"a", b"b", b"c", b"1", b"22", b"", b"z" * 130, b"a"]
GLOBS = [b"*", b"a*", b"?", b"[a-c]", b"[^a]", b"l*", b"\\a", b"[", b"*t*", b"{t}?", b"", b"[]]", b"**"]
BIG = [b"4194304", b"536870911", b"536870912"]


def near(r):
    return b"%d" % r.choice([-5, -1, 0, 1, 2, 3, 50, 100, 1000])


def command(r):
    key = lambda: r.choice(KEYS)
    integer = lambda: r.choice(INTS) if r.random() < 0.4 else near(r)
    value = lambda: r.choice(VALUES)
    element = lambda: r.choice(ELEMENTS)
    # No time to live that ends during the run: when exactly is nobody's promise.
    hostile = lambda: r.choice([i for i in INTS if i not in (b"1", b"2", b"3", b"10", b"100")])
    case = lambda w: w if r.random() < 0.7 else w.lower()
    life = lambda: r.choice([b"100000", b"500000", b"-1", b"0"]) if r.random() < 0.7 else hostile()
    future = lambda: b"%d" % (int(time.time()) + 5000)
    futurems = lambda: b"%d" % ((int(time.time()) + 5000) * 1000)

    def expiry(words=(b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"PERSIST")):
        word = r.choice(words)
        if word in (b"KEEPTTL", b"PERSIST"):
            return [case(word)]
        if r.random() < 0.1:
            return [case(word)]
        if word == b"EXAT":
            return [case(word), r.choice([future(), life()])]
        if word == b"PXAT":
            return [case(word), r.choice([futurems(), life()])]
        return [case(word), r.choice([b"100", b"1000", b"5000"]) if word == b"EX" else
                r.choice([b"100000", b"500000"]) if r.random() < 0.7 else life()]

    def options(some, most=2):
        out = []
        for _ in range(r.randint(0, most)):
            option = r.choice(some)
            out += option() if callable(option) else [case(option)]
        return out

    table = [
        lambda: [b"GET", key()], lambda: [b"GET", key()],
        lambda: [b"SET", key(), value()], lambda: [b"SET", key(), value()],
        lambda: [b"SET", key(), value()] + options([b"NX", b"XX", b"GET", expiry, b"BOGUS"], 3),
        lambda: [b"SETNX", key(), value()],
        lambda: [b"SETEX", key(), life(), value()],
        lambda: [b"PSETEX", key(), r.choice([b"100000", hostile()]), value()],
        lambda: [b"GETSET", key(), value()], lambda: [b"GETDEL", key()],
        lambda: [b"GETEX", key()] + options([expiry, b"PERSIST", b"NX"], 2),
        lambda: [b"MGET"] + [key() for _ in range(r.randint(1, 4))],
        lambda: [b"MSET"] + [w for _ in range(r.randint(1, 3)) for w in (key(), value())],
        lambda: [b"MSETNX"] + [w for _ in range(r.randint(1, 3)) for w in (key(), value())],
        lambda: [b"MSET", key(), value(), key()],
        lambda: [b"APPEND", key(), value()], lambda: [b"STRLEN", key()],
        lambda: [b"GETRANGE", key(), integer(), integer()],
        lambda: [b"SUBSTR", key(), integer(), integer()],
        lambda: [b"SETRANGE", key(), r.choice([b"0", b"1", b"5", b"20", b"-1", b"abc"]), value()],
        lambda: [b"INCR", key()], lambda: [b"DECR", key()],
        lambda: [b"INCRBY", key(), integer()], lambda: [b"DECRBY", key(), integer()],
        lambda: [b"INCRBYFLOAT", r.choice([b"f", b"num", key()]), r.choice(FLOATS)],
        lambda: [b"SET", b"num", r.choice(INTS)], lambda: [b"SET", b"f", r.choice(FLOATS)],
        lambda: [b"DEL"] + [key() for _ in range(r.randint(1, 3))],
        lambda: [b"UNLINK", key()],
        lambda: [b"EXISTS"] + [key() for _ in range(r.randint(1, 3))],
        lambda: [b"TYPE", key()], lambda: [b"TOUCH", key(), key()],
        lambda: [b"RENAME", key(), key()], lambda: [b"RENAMENX", key(), key()],
        lambda: [b"COPY", key(), key()] + options(
            [b"REPLACE", lambda: [b"DB", r.choice([b"0", b"1", b"99", b"x"])]], 2),
        lambda: [b"KEYS", r.choice(GLOBS)], lambda: [b"DBSIZE"],
        lambda: [b"OBJECT", r.choice([b"ENCODING", b"HELP", b"BOGUS"]), key()],
        lambda: [b"OBJECT", b"ENCODING", key()],
        lambda: [r.choice([b"EXPIRE", b"PEXPIRE"]), key(),
                 r.choice([b"10000000", b"5000000", hostile()])]
        + options([b"NX", b"XX", b"GT", b"LT", b"BOGUS"], 2),
        lambda: [b"EXPIREAT", key(), r.choice([future(), integer()])] + options([b"NX", b"GT"], 1),
        lambda: [b"PEXPIREAT", key(), r.choice([futurems(), integer()])] + options([b"XX", b"LT"], 1),
        lambda: [b"TTL", key()], lambda: [b"PTTL", key()], lambda: [b"EXPIRETIME", key()],
        lambda: [b"PEXPIRETIME", key()], lambda: [b"PERSIST", key()],
        lambda: [r.choice([b"LPUSH", b"RPUSH"]), r.choice([b"list", b"l2", key()])]
        + [element() for _ in range(r.randint(1, 4))],
        lambda: [r.choice([b"LPUSH", b"RPUSH"]), r.choice([b"list", b"l2"])]
        + [element() for _ in range(r.randint(1, 40))],
        lambda: [r.choice([b"LPUSHX", b"RPUSHX"]), r.choice([b"list", b"l2", key()]), element()],
        lambda: [r.choice([b"LPOP", b"RPOP"]), r.choice([b"list", b"l2", key()])],
        lambda: [r.choice([b"LPOP", b"RPOP"]), r.choice([b"list", b"l2", key()]), integer()],
        lambda: [b"LLEN", r.choice([b"list", key()])],
        lambda: [b"LRANGE", r.choice([b"list", b"l2", key()]), integer(), integer()],
        lambda: [b"LRANGE", b"list", b"0", b"-1"],
        lambda: [b"LINDEX", r.choice([b"list", b"l2", key()]), integer()],
        lambda: [b"LSET", r.choice([b"list", b"l2", key()]), integer(), element()],
        lambda: [b"LTRIM", r.choice([b"list", b"l2", key()]), integer(), integer()],
        lambda: [b"LREM", r.choice([b"list", b"l2", key()]), integer(), element()],
        lambda: [b"LINSERT", r.choice([b"list", b"l2", key()]),
                 r.choice([b"BEFORE", b"AFTER", b"after", b"x"]), element(), element()],
        lambda: [b"LPOS", r.choice([b"list", b"l2", key()]), element()] + options(
            [lambda: [b"RANK", integer()], lambda: [b"COUNT", integer()],
             lambda: [b"MAXLEN", integer()], b"BOGUS"], 3),
        lambda: [b"LMOVE", r.choice([b"list", b"l2", key()]), r.choice([b"list", b"l2", key()]),
                 r.choice([b"LEFT", b"right", b"x"]), r.choice([b"LEFT", b"RIGHT"])],
        lambda: [b"RPOPLPUSH", r.choice([b"list", b"l2", key()]), r.choice([b"list", b"l2"])],
        lambda: [b"PING"], lambda: [b"PING", value()], lambda: [b"PING", b"a", b"b"],
        lambda: [b"ECHO", value()], lambda: [b"SELECT", r.choice([b"0", b"0", b"16", b"-1", b"x"])],
        lambda: [b"SCAN", b"x"], lambda: [b"SCAN", b"0", b"COUNT", r.choice([b"0", b"x", b"-1"])],
        lambda: [b"SCAN", b"0", b"BOGUS"], lambda: [b"RANDOMKEY"],
        lambda: [b"WAIT", b"0", r.choice([b"0", b"-1", b"x"])],
        lambda: [b"MULTI"], lambda: [b"EXEC"], lambda: [b"EXEC"], lambda: [b"DISCARD"],
        lambda: [b"WATCH", key()], lambda: [b"UNWATCH"],
        lambda: [b"BOGUS", key(), value()], lambda: [b"GET"], lambda: [b"SET", key()],
        lambda: [b"GET", key(), key()], lambda: [b"FLUSHDB"] if r.random() < 0.05 else [b"DBSIZE"],
        lambda: [b"FLUSHALL", b"BOGUS"], lambda: [b"COMMAND", b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"],
        lambda: [b"CLIENT", r.choice([b"BOGUS", b"GETNAME"])],
        lambda: [b"CLIENT", b"SETNAME", r.choice([b"me", b"a b"])],
        lambda: [b"CONFIG", b"BOGUS"], lambda: [b"PUBLISH", b"nobody", b"x"],
        lambda: [b"HELLO", r.choice([b"4", b"x"])], lambda: [b"CLUSTER", b"KEYSLOT", key()],
    ]
    return r.choice(table)()


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(20)
        self.bytes = b""

    def send(self, words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def line(self):
        while b"\r\n" not in self.bytes:
            self.more()
        line, self.bytes = self.bytes.split(b"\r\n", 1)
        return line

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError("the server closed the connection")
        self.bytes += piece

    def reply(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind in (b"+", b"-", b":"):
            return (kind, rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            count = int(rest)
            while len(self.bytes) < count + 2:
                self.more()
            value, self.bytes = self.bytes[:count], self.bytes[count + 2:]
            return value
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise ValueError(line)


def normal(words, reply):
    """What of a reply has to be the same."""
    name = words[0].upper()
    if reply == (b"+", b"QUEUED"):
        return reply
    if name in (b"KEYS",) and isinstance(reply, list):
        return sorted(reply)
    # Whether a key whose time is over still counts depends on when it is taken out.
    if name in (b"RANDOMKEY", b"DBSIZE"):
        return "any"
    if reply in (b"raw", b"embstr", b"int") and name == b"OBJECT":
        return "raw"
    if name == b"CLUSTER":
        return "any"
    if name in (b"TTL", b"EXPIRETIME") and isinstance(reply, tuple) and int(reply[1]) > 0:
        return (reply[0], int(reply[1]) // 5)
    if name in (b"PTTL", b"PEXPIRETIME") and isinstance(reply, tuple) and int(reply[1]) > 0:
        return (reply[0], b"some")
    if name == b"OBJECT" and len(words) > 1 and words[1] == b"HELP":
        return "help"
    return reply


def close(a, b):
    """Times differ by what passed between the two servers."""
    if isinstance(a, tuple) and isinstance(b, tuple) and a[0] == b[0] == b":":
        return abs(int(a[1]) - int(b[1])) <= 2000 and abs(int(a[1])) > 90
    return False


def same(words, one, other):
    return normal(words, one) == normal(words, other) or close(one, other)


def main():
    redis, ours = Connection(int(sys.argv[1])), Connection(int(sys.argv[2]))
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    r = random.Random(seed)
    for one in (redis, ours):
        one.send([b"FLUSHALL"])
        one.reply()
    different, shown, multi = 0, 0, []
    for number in range(count):
        words = command(r)
        redis.send(words)
        ours.send(words)
        one = redis.reply()
        try:
            other = ours.reply()
        except (OSError, EOFError) as failure:
            print(f"{number}: {b' '.join(words)[:200]!r} was not answered: {failure}")
            print(f"   queued: {multi[-20:]!r:.2000}")
            sys.exit(1)
        name = words[0].upper()
        if name == b"EXEC" and isinstance(one, list) and isinstance(other, list):
            fine = len(one) == len(other) == len(multi) and all(map(same, multi, one, other))
        else:
            fine = same(words, one, other)
        if one == (b"+", b"QUEUED"):
            multi.append(words)
        elif name in (b"EXEC", b"DISCARD", b"MULTI"):
            multi = multi if name == b"MULTI" and one[0] == b"-" else []
        if not fine:
            different += 1
            if shown < 40:
                shown += 1
                print(f"{number}: {b' '.join(words)[:200]!r}\n   redis: {one!r:.300}\n   ours:  {other!r:.300}")
    print(f"{count} commands, seed {seed}: {different} replies differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
