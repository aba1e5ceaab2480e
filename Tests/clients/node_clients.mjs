// node's own fetch and WebSocket against a node of the other kind.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import assert from "node:assert";

const directory = mkdtempSync(join(tmpdir(), "needletail-clients-"));
const io = process.env.NEEDLETAIL_IO ? ["--io", process.env.NEEDLETAIL_IO] : [];
const server = spawn(
  process.env.NEEDLETAIL_BINARY,
  ["127.0.0.1:0", "--dir", directory, "--shards", "2", "--test-routes", ...io],
  { stdio: ["ignore", "inherit", "pipe"] });
const port = await new Promise((resolve, reject) => {
  let log = "";
  server.stderr.on("data", (piece) => {
    log += piece;
    const found = log.match(/listening addr=[0-9.]+:(\d+)/);
    if (found) resolve(found[1]);
  });
  server.on("exit", () => reject(new Error("the node did not start: " + log)));
});
const base = `http://127.0.0.1:${port}`;
const ask = async (method, path, body, token) => {
  const answer = await fetch(base + path, {
    method,
    headers: {
      "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, json: await answer.json() };
};
const token = (await ask("POST", "/auth/alice", { secret: "alice's secret" })).json.token;
const put = (path, value) => ask("PUT", path, { value }, token);

/// The messages of a WebSocket, one after the other.
async function open(path) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  const unread = [];
  const waiting = [];
  const give = (item) => (waiting.length ? waiting.shift()(item) : unread.push(item));
  socket.onmessage = ({ data }) => give(data);
  socket.onclose = ({ code }) => give({ code });
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = ({ message }) => reject(new Error(message));
  });
  return {
    socket,
    hear: () =>
      unread.length ? Promise.resolve(unread.shift()) : new Promise((r) => waiting.push(r)),
  };
}

const tests = {
  async "node fetch reads and writes records"() {
    assert.equal((await put("/t/key/k", { n: 1 })).status, 201);
    assert.deepEqual((await ask("GET", "/t/key/k")).json.value, { n: 1 });
    assert.equal((await ask("GET", "/t/key/none")).status, 404);
  },
  async "node fetch streams events"() {
    const stop = new AbortController();
    const answer = await fetch(`${base}/t/subscribe/k`, { signal: stop.signal });
    assert.equal(answer.headers.get("content-type"), "text/event-stream");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const until = async (word) => {
      while (!text.includes(word)) text += (await reader.read()).value;
    };
    await until('"initial":true');
    await put("/t/key/k", "streamed");
    await until('"streamed"');
    stop.abort();
  },
  async "node WebSocket echoes"() {
    const { socket, hear } = await open("/ws?echo=1");
    for (const size of [0, 1, 126, 70_000, 1_000_000]) {
      socket.send("ä".repeat(size));
      assert.equal(await hear(), "ä".repeat(size));
    }
    socket.close(1000, "bye");
    assert.equal((await hear()).code, 1000);
  },
  async "node WebSocket carries out operations and hears events"() {
    const { socket, hear } = await open(`/ws?access_token=${token}`);
    const ask = async (message) => {
      socket.send(JSON.stringify(message));
      return JSON.parse(await hear());
    };
    assert.equal((await ask({ id: 1, op: "subscribe", table: "n", prefix: "" })).status, 200);
    socket.send(JSON.stringify({ id: 2, op: "put", table: "n", key: "k", value: "v" }));
    const messages = [JSON.parse(await hear()), JSON.parse(await hear())];
    assert.equal(messages.find((m) => m.status)?.record.value, "v");
    assert.equal(messages.find((m) => m.event)?.value.value, "v");
    assert.equal((await ask({ id: 3, op: "unsubscribe", table: "n", prefix: "" })).status, 200);
    assert.deepEqual((await ask({ id: 4, op: "keys", table: "n" })).keys, ["k"]);
    socket.close();
  },
  async "node WebSocket subscribes by URL"() {
    const { socket, hear } = await open("/u/subscribe/k");
    await put("/u/key/k", 1);
    assert.equal(JSON.parse(await hear()).value.value, 1);
    socket.close();
  },
};

for (const [name, test] of Object.entries(tests)) {
  if (name.includes("WebSocket") && typeof WebSocket === "undefined") {
    console.log(`skipped ${name}: this node has none`);
    continue;
  }
  try {
    await Promise.race([
      test(),
      new Promise((_, reject) => setTimeout(() => reject(new Error("timed out")), 20_000).unref()),
    ]);
    console.log("ok", name);
  } catch (error) {
    console.log("FAIL", name);
    console.log(error);
  }
}
server.removeAllListeners("exit");
server.kill("SIGKILL");
rmSync(directory, { recursive: true, force: true });
process.exit(0);
