#!/usr/bin/env python3
"""Prints a table's changes as they happen, over WebSocket: watch.py [HOST:PORT] [TABLE]

Needs `pip install websockets`. Comes back by itself, with the last event's id, so that nothing is
missed while the node restarts or the network is away.
"""
import asyncio
import json
import sys
from urllib.parse import quote

import websockets


async def watch(node, table):
    last = None
    while True:
        url = f"ws://{node}/{table}/subscribe" + (f"?lastEventId={quote(last)}" if last else "")
        try:
            async with websockets.connect(url, max_size=None) as socket:
                async for text in socket:
                    event = json.loads(text)
                    last = event.get("id", last)
                    value = event.get("value", {}).get("value")
                    print(event["event"], event.get("key", ""), json.dumps(value), flush=True)
        except (OSError, websockets.WebSocketException) as gone:
            print("#", gone or type(gone).__name__, "- coming back", file=sys.stderr)
            await asyncio.sleep(1)


if __name__ == "__main__":
    node = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6660"
    table = sys.argv[2] if len(sys.argv) > 2 else "status"
    try:
        asyncio.run(watch(node, table))
    except KeyboardInterrupt:
        pass
