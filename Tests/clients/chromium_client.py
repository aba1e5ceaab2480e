"""Headless Chromium against a node: what pages do with EventSource and WebSocket, unchanged.

Chromium is driven by its DevTools protocol, a WebSocket of its own. Screenshots are left in
`.build/clients/`, to be looked at.
"""
import asyncio
import base64
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import websockets

from node import Node, name_of, report

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / ".build" / "clients"
LIMIT = 20


class Browser:
    """One Chromium, its pages as sessions of one DevTools connection."""

    async def start(self):
        self.directory = tempfile.mkdtemp(prefix="needletail-chromium-")
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--window-size=900,700",
             "--remote-debugging-port=0", f"--user-data-dir={self.directory}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        place = pathlib.Path(self.directory) / "DevToolsActivePort"
        for _ in range(600):
            if place.exists() and len(place.read_text().split()) == 2:
                break
            await asyncio.sleep(0.05)
        port, path = place.read_text().split()
        self.socket = await websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        self.ids = itertools.count(1)
        self.waiting = {}
        self.reader = asyncio.create_task(self.read())
        return self

    async def read(self):
        async for text in self.socket:
            message = json.loads(text)
            waiting = self.waiting.pop(message.get("id"), None)
            if waiting and not waiting.done():
                waiting.set_result(message)

    async def call(self, method, session=None, **parameters):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps(message))
        answer = await asyncio.wait_for(self.waiting[number], LIMIT)
        assert "error" not in answer, answer
        return answer["result"]

    async def open(self, url):
        """A page in a window that shares nothing with the others."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = (await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.call(
            "Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(self, session)
        await self.call("Page.navigate", session, url=url)
        await page.until("document.readyState === 'complete'")
        return page

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    async def run(self, script):
        result = await self.browser.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True,
            returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, script):
        """Waits until the page says that it is so."""
        for _ in range(LIMIT * 20):
            if await self.run(script):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never so: {script}; {await self.run('document.body.innerText')}")

    async def shoot(self, name):
        shot = await self.browser.call("Page.captureScreenshot", self.session, format="png")
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


node = Node("--shards", "2")
alice = node.token("alice")


async def chromium_EventSource_comes_back_by_itself_after_a_restart(browser):
    node.put("/es/key/k", "one", alice)
    page = await browser.open(f"http://{node.address}/client")
    await page.run("""
        window.heard = [];
        window.source = new EventSource("/es/subscribe/k");
        source.onmessage = (e) => heard.push([e.lastEventId, JSON.parse(e.data)]);
        source.addEventListener("reset", (e) => heard.push(["", "reset"]));
        null""")
    await page.until("heard.length === 1 && heard[0][1].initial")
    await asyncio.to_thread(node.put, "/es/key/k", "two", alice)
    await page.until("heard.length === 2 && heard[1][1].value.value === 'two'")
    assert await page.run("heard[1][0]"), "the event had no id"
    for how in [signal.SIGTERM, signal.SIGKILL]:
        await page.run("heard.length = 0; null")
        await asyncio.to_thread(node.restart, how)
        # Only a client that names its last event is told that it can't be resumed from.
        await page.until("heard.some(([, e]) => e === 'reset')")
        await page.until("heard.some(([, e]) => e.value?.value === 'two')")
        await page.run("heard.length = 0; null")
        await asyncio.to_thread(node.put, "/es/key/k", "three", alice)
        await page.until("heard.some(([, e]) => e.value?.value === 'three')")
        await asyncio.to_thread(node.put, "/es/key/k", "two", alice)
        await page.until("heard.some(([, e]) => e.value?.value === 'two')")
    await page.run("source.close()")


async def chromium_WebSocket_carries_out_operations(browser):
    page = await browser.open(f"http://{node.address}/client")
    answer = await page.run(f"""(async () => {{
        const socket = new WebSocket(`ws://${{location.host}}/ws?access_token={alice}`);
        const unread = [], waiting = [];
        socket.onmessage = ({{ data }}) => {{
            const message = JSON.parse(data);
            waiting.length ? waiting.shift()(message) : unread.push(message);
        }};
        const hear = () => unread.length
            ? unread.shift() : new Promise((resolve) => waiting.push(resolve));
        await new Promise((resolve, reject) => {{
            socket.onopen = resolve;
            socket.onerror = () => reject(new Error("no connection"));
        }});
        const say = (message) => socket.send(JSON.stringify(message));
        const all = [];
        say({{ id: 1, op: "subscribe", table: "page", key: "k" }});
        all.push(await hear());
        say({{ id: 2, op: "put", table: "page", key: "k", value: "from a page" }});
        all.push(await hear(), await hear());
        say({{ id: 3, op: "get", table: "page", key: "k" }});
        all.push(await hear());
        const closed = new Promise((resolve) => socket.onclose = resolve);
        socket.close(1000, "done");
        const {{ code, wasClean }} = await closed;
        return {{ all, code, wasClean, extensions: socket.extensions }};
    }})()""")
    messages = answer["all"]
    assert messages[0] == {"id": 1, "status": 200}, messages
    assert {m.get("event") for m in messages[1:3]} == {None, "Updated"}, messages
    assert messages[3]["record"]["value"] == "from a page"
    assert answer["code"] == 1000 and answer["wasClean"] and answer["extensions"] == "", answer


async def chromium_hears_a_WebSocket_end_with_the_node(browser):
    page = await browser.open(f"http://{node.address}/client")
    await page.run("""
        window.end = null;
        window.said = [];
        window.socket = new WebSocket(`ws://${location.host}/page/subscribe/k`);
        socket.onmessage = ({ data }) => said.push(JSON.parse(data).event);
        socket.onclose = ({ code, wasClean }) => { window.end = [code, wasClean]; };
        null""")
    await page.until("socket.readyState === 1")
    await asyncio.to_thread(node.restart)
    await page.until("end !== null")
    assert await page.run("end") == [1001, True], await page.run("end")
    assert (await page.run("said"))[-1] == "bye"


async def chromium_watches_a_key_on_the_page_in_the_binary(browser):
    await asyncio.to_thread(node.put, "/default/key/greeting", {"hello": "<b>world</b>"}, alice)
    page = await browser.open(f"http://{node.address}/client#default/greeting")
    await page.until("document.getElementById('value').textContent.includes('<b>world</b>')")
    await asyncio.to_thread(node.put, "/default/key/greeting", {"hello": "again"}, alice)
    await page.until("document.getElementById('value').textContent.includes('again')")
    assert "alice" in await page.run("document.getElementById('about').textContent")
    # What is stored can't run: the policy allows only the node's own script.
    await page.run("""
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        null""")
    assert not await page.run("window.ran === true")
    await page.shoot("client")


async def chromium_shows_the_status_board_in_two_windows(browser):
    board = (ROOT / "Examples" / "status-board" / "index.html").as_uri()
    ann, ben = [await browser.open(f"{board}#http://{node.address}") for _ in range(2)]

    async def join(page, name):
        await page.until("document.getElementById('link').textContent === 'live'")
        await page.run(f"""
            document.getElementById("user").value = "{name}";
            document.getElementById("secret").value = "{name}'s secret";
            document.getElementById("login").requestSubmit();
            null""")

    def shows(name, state, note):
        return f"""[...document.querySelectorAll("#board li")].some((row) =>
            row.dataset.name === "{name}" && row.classList.contains("{state}")
            && row.querySelector(".note").textContent === "{note}")"""

    await join(ann, "ann")
    await ben.until(shows("ann", "in", ""))
    await join(ben, "ben")
    await ann.until(shows("ben", "in", ""))
    assert not await ann.run("document.getElementById('login').offsetParent"), "still to join"
    await ben.run("""
        document.getElementById("state").value = "busy";
        document.getElementById("note").value = "reading <i>mail</i>";
        document.getElementById("status").requestSubmit();
        null""")
    await ann.until(shows("ben", "busy", "reading <i>mail</i>"))
    await ann.shoot("board")
    await asyncio.to_thread(node.restart)
    await ann.until(shows("ben", "busy", "reading <i>mail</i>"))
    await ben.run("document.getElementById('leave').click()")
    await ann.until("document.querySelectorAll('#board li').length === 1")


async def main():
    browser = await Browser().start()
    try:
        for test in [
                chromium_EventSource_comes_back_by_itself_after_a_restart,
                chromium_WebSocket_carries_out_operations,
                chromium_hears_a_WebSocket_end_with_the_node,
                chromium_watches_a_key_on_the_page_in_the_binary,
                chromium_shows_the_status_board_in_two_windows]:
            try:
                await asyncio.wait_for(test(browser), 120)
                report(name_of(test))
            except Exception as error:
                report(name_of(test), error)
    finally:
        browser.stop()


try:
    asyncio.run(main())
finally:
    node.remove()
