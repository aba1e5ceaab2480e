#!/usr/bin/env python3
"""Counts on one key through /ws: counter.py [HOST:PORT] [STEPS]; start several at once.

Each step says which version it was made from (`ifMatch`). Who comes second is answered 412 with
the present record, and tries again from there: so no step is lost. Needs `pip install websockets`.
"""
import asyncio
import itertools
import json
import sys
import urllib.request

import websockets


def login(node, user, secret):
    request = urllib.request.Request(
        f"http://{node}/auth/{user}", data=json.dumps({"secret": secret}).encode(),
        headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["token"]


async def count(node, steps):
    token = login(node, "counter", "count on me")
    async with websockets.connect(f"ws://{node}/ws?access_token={token}") as socket:
        ids = itertools.count(1)

        async def ask(op, **members):
            await socket.send(json.dumps({"id": next(ids), "op": op, "key": "count", **members}))
            return json.loads(await socket.recv())

        record = (await ask("get")).get("record")
        for _ in range(steps):
            while True:
                if record:
                    answer = await ask("put", value=record["value"] + 1, ifMatch=record["version"])
                else:
                    answer = await ask("put", value=1, ifNoneMatch="*")
                record = answer["record"]
                if answer["status"] == 201:
                    break
        print(record["value"])


if __name__ == "__main__":
    asyncio.run(
        count(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6660",
              int(sys.argv[2]) if len(sys.argv) > 2 else 100))
