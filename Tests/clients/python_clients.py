"""Python's `websockets` and `httpx-sse` against a node."""
import asyncio
import json
import signal
import struct

import httpx
import httpx_sse
import websockets

from node import Node, name_of, report, failures

node = Node("--test-routes", "--shards", "2", "--heartbeat", "2s")
alice = node.token("alice")
bob = node.token("bob")
WS = lambda path: websockets.connect(f"ws://{node.address}{path}", max_size=None)
LIMIT = 10


async def hear(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), LIMIT))


# --- websockets -------------------------------------------------------------------------------

async def websockets_echoes_text_and_bytes_of_every_length():
    async with WS("/ws?echo=1") as socket:
        for size in [0, 1, 125, 126, 127, 65535, 65536, 1_000_000, 5_000_000]:
            await socket.send("x" * size)
            assert await socket.recv() == "x" * size, size
            await socket.send(b"\xff" * size)
            assert await socket.recv() == b"\xff" * size, size
    assert socket.close_code == 1000


async def websockets_sends_fragments_and_pings_between():
    async with WS("/ws?echo=1") as socket:
        async def pieces():
            for part in ["κό", "σμε ", "😀"] * 100:
                yield part
                await (await socket.ping())
        await socket.send(pieces())
        assert await socket.recv() == "κόσμε 😀" * 100


async def websockets_is_pinged_and_stays():
    async with WS("/ws?echo=1") as socket:
        # Past the ping with which a silent client would be let go.
        await asyncio.sleep(7)
        await socket.send("still here")
        assert await socket.recv() == "still here"


async def websockets_hears_the_right_close_code():
    # Under a mask of zeros; the library itself would send none of them.
    for frame, code in [
            (b"\x81\x81\0\0\0\0\xff", 1007),
            (b"\xc1\x81\0\0\0\0a", 1002),
            (b"\x80\x81\0\0\0\0a", 1002),
            (b"\x88\x82\0\0\0\0" + struct.pack("!H", 1005), 1002),
            (b"\x82\xff" + struct.pack("!Q", 9 << 20), 1009)]:
        socket = await WS("/ws?echo=1")
        try:
            socket.transport.write(frame)
            await asyncio.wait_for(socket.recv(), LIMIT)
            raise AssertionError(f"an answer where {code} was due")
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd and closed.rcvd.code == code, (closed, code)


async def websockets_offers_deflate_and_is_declined():
    async with WS("/ws?echo=1") as socket:
        assert socket.protocol.extensions == []
        await socket.send("plain")
        assert await socket.recv() == "plain"


async def websockets_carries_out_operations():
    async with WS(f"/ws?access_token={alice}") as socket:
        async def ask(op, **members):
            await socket.send(json.dumps({"id": op, "op": op, **members}))
            answer = await hear(socket)
            assert answer["id"] == op
            return answer
        assert (await ask("put", table="ops", key="k", value=[1]))["record"]["version"] == 1
        assert (await ask("put", table="ops", key="k", value=2, ifMatch=7))["status"] == 412
        assert (await ask("get", table="ops", key="k"))["record"]["value"] == [1]
        assert (await ask("keys", table="ops"))["keys"] == ["k"]
        assert (await ask("delete", table="ops", key="k"))["status"] == 200
        assert (await ask("get", table="ops", key="k"))["status"] == 404
    async with WS(f"/ws?access_token={bob}") as socket:
        node.put("/ops/key/hers", 1, alice)
        await socket.send(json.dumps(
            {"id": 1, "op": "put", "table": "ops", "key": "hers", "value": 2}))
        assert (await hear(socket))["status"] == 401


async def websockets_subscribes_by_url_and_resumes():
    async with WS("/live/subscribe?prefix=a") as socket:
        node.put("/live/key/a1", 1, alice)
        node.put("/live/key/b1", 1, alice)
        node.put("/live/key/a2", 2, alice)
        heard = [await hear(socket) for _ in range(2)]
        assert {event["key"] for event in heard} == {"a1", "a2"}
        last = heard[-1]["id"]
    node.put("/live/key/a3", 3, alice)
    async with WS(f"/live/subscribe?prefix=a&lastEventId={last}") as socket:
        assert (await hear(socket))["key"] == "a3"


async def websockets_subscribes_to_many_on_one_connection():
    async with WS(f"/ws?access_token={alice}") as socket:
        for count in range(100):
            await socket.send(json.dumps(
                {"id": count, "op": "subscribe", "table": "many", "key": f"k{count}"}))
        for count in range(100):
            await socket.send(json.dumps(
                {"id": 1000 + count, "op": "put", "table": "many", "key": f"k{count}", "value": 1}))
        answers, events = set(), set()
        while len(answers) < 200 or len(events) < 100:
            message = await hear(socket)
            if "event" in message:
                assert message["key"] not in events
                events.add(message["key"])
            else:
                assert message["status"] in (200, 201), message
                answers.add(message["id"])


async def websockets_sees_many_listeners_hear_the_same():
    sockets = [await WS("/crowd/subscribe/k") for _ in range(200)]
    for value in range(20):
        await asyncio.to_thread(node.put, "/crowd/key/k", value, alice)
    for socket in sockets:
        values = [(await hear(socket))["value"]["value"] for _ in range(20)]
        assert values == list(range(20)), values
    for socket in sockets:
        await socket.close()


# --- httpx-sse --------------------------------------------------------------------------------

async def httpx_sse_reads_a_stream_and_resumes():
    async with httpx.AsyncClient(timeout=LIMIT) as client:
        async def listen(path, count, headers={}):
            url = f"http://{node.address}{path}"
            async with httpx_sse.aconnect_sse(client, "GET", url, headers=headers) as source:
                assert source.response.headers["content-type"].startswith("text/event-stream")
                heard = []
                async for event in source.aiter_sse():
                    if not event.data:
                        continue
                    heard.append(event)
                    if len(heard) == count:
                        return heard
        node.put("/sse/key/k", "first", alice)
        [first] = await listen("/sse/subscribe/k", 1)
        assert first.event == "message" and first.json()["initial"] is True
        assert first.retry or first.id
        reader = asyncio.create_task(listen("/sse/subscribe/k?initial=false", 3))
        await asyncio.sleep(0.3)
        for value in "abc":
            node.put("/sse/key/k", value, alice)
        heard = await reader
        assert [event.json()["value"]["value"] for event in heard] == ["a", "b", "c"]
        again = await listen("/sse/subscribe/k", 2, {"Last-Event-ID": heard[0].id})
        assert [event.json()["value"]["value"] for event in again] == ["b", "c"]
        [reset, state] = await listen("/sse/subscribe/k", 2, {"Last-Event-ID": "another's"})
        assert reset.event == "reset" and state.json()["value"]["value"] == "c"


async def a_restart_tells_listeners_goodbye_and_keeps_what_was_written():
    global alice
    node.put("/kept/key/k", "before", alice)
    socket = await WS("/kept/subscribe/k")
    last = (await hear(socket))["id"]
    await asyncio.to_thread(node.restart)
    assert (await hear(socket))["event"] == "bye"
    try:
        await asyncio.wait_for(socket.recv(), LIMIT)
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd.code == 1001, closed
    async with WS(f"/kept/subscribe/k?lastEventId={last}") as socket:
        assert (await hear(socket))["event"] == "reset"
        assert (await hear(socket))["value"]["value"] == "before"


async def main():
    for test in [
            websockets_echoes_text_and_bytes_of_every_length,
            websockets_sends_fragments_and_pings_between,
            websockets_is_pinged_and_stays,
            websockets_hears_the_right_close_code,
            websockets_offers_deflate_and_is_declined,
            websockets_carries_out_operations,
            websockets_subscribes_by_url_and_resumes,
            websockets_subscribes_to_many_on_one_connection,
            websockets_sees_many_listeners_hear_the_same,
            httpx_sse_reads_a_stream_and_resumes,
            a_restart_tells_listeners_goodbye_and_keeps_what_was_written]:
        try:
            await asyncio.wait_for(test(), 60)
            report(name_of(test))
        except Exception as error:
            report(name_of(test), error)


try:
    asyncio.run(main())
finally:
    node.remove()
