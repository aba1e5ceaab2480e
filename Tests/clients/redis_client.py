"""redis-py with the hiredis parser against a node, unchanged."""
import threading
import time

import hiredis
import redis

from node import Node, name_of, report

node = Node("--shards", "2")
LIMIT = 10


def client(**options):
    return redis.Redis("127.0.0.1", node.port, socket_timeout=LIMIT, **options)


def replies_are_parsed_by_hiredis():
    found = redis.Redis("127.0.0.1", node.port, protocol=2)
    found.ping()
    parser = found.connection_pool.get_connection()._parser
    assert "Hiredis" in type(parser).__name__, parser
    assert hiredis.__version__


def strings_numbers_and_many_keys(r):
    assert r.set("greeting", "hello world") is True
    assert r.get("greeting") == b"hello world"
    assert r.set("greeting", "x", nx=True) is None
    assert r.set("greeting", b"\x00\xff\r\n", get=True) == b"hello world"
    assert r.get("greeting") == b"\x00\xff\r\n"
    assert r.incr("n") == 1 and r.incrby("n", 41) == 42 and r.decr("n") == 41
    assert r.incrbyfloat("f", 1.5) == 1.5
    assert r.mset({f"m{i}": i for i in range(50)}) is True
    assert r.mget([f"m{i}" for i in range(50)] + ["none"]) == [b"%d" % i for i in range(50)] + [None]
    assert r.append("greeting", "!") == 5 and r.strlen("greeting") == 5
    assert r.getrange("greeting", 1, 2) == b"\xff\r"
    assert r.exists("greeting", "n", "none") == 2
    assert r.delete("greeting", "none") == 1
    assert r.type("n") == b"string"
    try:
        r.lpush("n", 1)
        raise AssertionError("a push onto a string")
    except redis.ResponseError as error:
        assert str(error).startswith("WRONGTYPE "), error


def keys_that_expire(r):
    r.set("brief", "x", px=60_000)
    assert 0 < r.pttl("brief") <= 60_000
    assert r.expire("brief", 100, gt=True) and r.ttl("brief") > 60
    assert r.persist("brief") and r.ttl("brief") == -1
    assert r.pexpireat("brief", 4_000_000_000_000) and r.pexpiretime("brief") == 4_000_000_000_000
    r.set("gone", "x", px=1)
    end = time.monotonic() + LIMIT
    while r.exists("gone"):
        assert time.monotonic() < end
    assert r.ttl("gone") == -2


def lists(r):
    assert r.rpush("list", *range(10)) == 10
    assert r.lrange("list", 0, -1) == [b"%d" % i for i in range(10)]
    assert r.lpop("list", 2) == [b"0", b"1"] and r.rpop("list") == b"9"
    assert r.lindex("list", 0) == b"2" and r.lset("list", 0, "two")
    assert r.linsert("list", "AFTER", "two", "and") == 8
    assert r.lpos("list", "and") == 1
    assert r.lmove("list", "other", "LEFT", "RIGHT") == b"two"
    assert r.ltrim("list", 0, 1) and r.llen("list") == 2


def pipelines_transactions_and_watch(r):
    with r.pipeline(transaction=False) as many:
        for i in range(1000):
            many.set(f"p{i}", i)
            many.get(f"p{i}")
        replies = many.execute()
    assert replies[1::2] == [b"%d" % i for i in range(1000)]
    with r.pipeline() as both:
        assert both.incr("x").incr("y").lpush("z", 1).execute() == [1, 1, 1]
    with r.pipeline() as watching:
        watching.watch("x")
        r.set("x", 10)
        watching.multi()
        watching.set("x", 11)
        try:
            watching.execute()
            raise AssertionError("a watched key had changed")
        except redis.WatchError:
            pass
    assert r.transaction(lambda p: (p.multi(), p.set("x", 12)), "x") == [True]

    def bump():
        mine = client()
        for _ in range(100):
            mine.transaction(lambda p: (n := int(p.get("bumped") or 0), p.multi(), p.set("bumped", n + 1)),
                             "bumped")
    threads = [threading.Thread(target=bump) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.get("bumped") == b"300"


def scans_see_every_key(r):
    keys = {b"scan:%d" % i for i in range(2000)}
    with r.pipeline(transaction=False) as many:
        for key in keys:
            many.set(key, 1)
        many.execute()
    assert set(r.scan_iter("scan:*", count=100)) == keys
    assert set(r.keys("scan:*")) == keys
    assert r.randomkey() is not None


def channels_and_keyspace_events(r):
    client(username="admin", password="the operator's").config_set("notify-keyspace-events", "KEA")
    listener = r.pubsub()
    listener.subscribe("news")
    listener.psubscribe("__keyspace@0__:told*")
    heard = []
    end = time.monotonic() + LIMIT
    while len(heard) < 2 and time.monotonic() < end:
        if message := listener.get_message(timeout=1):
            heard.append(message["type"])
    assert heard == ["subscribe", "psubscribe"], heard
    assert r.publish("news", "now") == 1
    r.set("told1", 1)
    told = []
    while len(told) < 2 and time.monotonic() < end:
        if message := listener.get_message(timeout=1):
            told.append((message["channel"], message["data"]))
    assert sorted(told) == [(b"__keyspace@0__:told1", b"set"), (b"news", b"now")], told
    listener.close()


def what_the_server_tells_of_itself(r):
    info = r.info()
    assert info["redis_mode"] == "standalone" and info["loading"] == 0, info
    assert info["db0"]["keys"] == r.dbsize()
    assert r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    r.client_setname("me")
    assert r.client_getname() in ("me", b"me")
    assert any(one["name"] == "me" for one in r.client_list())
    assert r.command_count() > 80
    assert r.time()[0] > 1_600_000_000
    assert r.object("encoding", "n") == b"int"
    assert r.role()[0] in ("master", b"master")


def a_dump_by_the_admin(r):
    try:
        r.save()
        raise AssertionError("saved without AUTH")
    except redis.ResponseError as error:
        assert str(error).startswith(("NOPERM", "this user has no permissions")), error
    admin = client(username="admin", password="the operator's")
    before = admin.lastsave()
    assert admin.save() is True
    assert admin.lastsave() >= before
    assert admin.bgsave() is True
    end = time.monotonic() + LIMIT
    while admin.info("persistence")["rdb_bgsave_in_progress"]:
        assert time.monotonic() < end
    assert admin.info("persistence")["rdb_saves"] >= 2
    assert admin.flushdb() is True and admin.dbsize() == 0


TESTS = [
    strings_numbers_and_many_keys, keys_that_expire, lists, pipelines_transactions_and_watch,
    scans_see_every_key, channels_and_keyspace_events, what_the_server_tells_of_itself,
    a_dump_by_the_admin]

try:
    try:
        replies_are_parsed_by_hiredis()
        report("replies are parsed by hiredis")
    except Exception as error:
        report("replies are parsed by hiredis", error)
    for protocol in [2, 3]:
        for test in TESTS:
            name = f"redis-py with RESP{protocol}: {name_of(test)}"
            try:
                test(client(protocol=protocol))
                report(name)
            except Exception as error:
                report(name, error)
finally:
    node.remove()
