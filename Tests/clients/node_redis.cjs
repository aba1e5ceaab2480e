// node-redis against a node of the other kind, unchanged.
const assert = require("node:assert");
const { spawn } = require("node:child_process");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { createClient, commandOptions, WatchError } = require("redis");

const directory = mkdtempSync(join(tmpdir(), "needletail-clients-"));
const io = process.env.NEEDLETAIL_IO ? ["--io", process.env.NEEDLETAIL_IO] : [];
const server = spawn(
  process.env.NEEDLETAIL_BINARY, ["127.0.0.1:0", "--dir", directory, "--shards", "2", ...io],
  { stdio: ["ignore", "inherit", "pipe"] });

function listening() {
  return new Promise((resolve, reject) => {
    let log = "";
    server.stderr.on("data", (piece) => {
      log += piece;
      const found = log.match(/listening addr=[0-9.]+:(\d+)/);
      if (found) resolve(Number(found[1]));
    });
    server.on("exit", () => reject(new Error("the node did not start: " + log)));
  });
}

const tests = {
  async "strings, numbers and many keys"(client) {
    assert.equal(await client.set("greeting", "hello world"), "OK");
    assert.equal(await client.get("greeting"), "hello world");
    assert.equal(await client.set("greeting", "x", { NX: true }), null);
    const bytes = Buffer.from([0, 255, 13, 10]);
    await client.set("bytes", bytes);
    assert.deepEqual(await client.get(commandOptions({ returnBuffers: true }), "bytes"), bytes);
    assert.equal(await client.incrBy("n", 42), 42);
    assert.equal(await client.incrByFloat("f", 1.5), "1.5");
    assert.equal(await client.mSet(Array.from({ length: 50 }, (_, i) => [`m${i}`, `${i}`])), "OK");
    assert.deepEqual(await client.mGet(["m1", "none", "m49"]), ["1", null, "49"]);
    assert.equal(await client.exists(["n", "none"]), 1);
    assert.equal(await client.del(["greeting", "none"]), 1);
    await assert.rejects(client.lPush("n", "1"), /^Error: WRONGTYPE /);
  },

  async "keys that expire"(client) {
    await client.set("brief", "x", { PX: 60_000 });
    assert.ok((await client.pTTL("brief")) > 0);
    assert.equal(await client.persist("brief"), true);
    assert.equal(await client.ttl("brief"), -1);
    await client.pExpireAt("brief", 4_000_000_000_000);
    assert.equal(await client.pExpireTime("brief"), 4_000_000_000_000);
  },

  async "lists"(client) {
    assert.equal(await client.rPush("list", ["a", "b", "c", "d"]), 4);
    assert.deepEqual(await client.lRange("list", 0, -1), ["a", "b", "c", "d"]);
    assert.equal(await client.lMove("list", "other", "LEFT", "RIGHT"), "a");
    assert.deepEqual(await client.lPopCount("list", 2), ["b", "c"]);
    assert.equal(await client.lPos("list", "d"), 0);
  },

  async "a thousand commands at once, in order"(client) {
    const replies = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        await client.set(`p${i}`, `${i}`);
        return client.get(`p${i}`);
      }));
    assert.deepEqual(replies, Array.from({ length: 1000 }, (_, i) => `${i}`));
  },

  async "transactions, and what a watched key does to them"(client) {
    assert.deepEqual(
      await client.multi().set("x", "1").incr("x").get("x").exec(), ["OK", 2, "2"]);
    await client.executeIsolated(async (isolated) => {
      await isolated.watch("x");
      await client.set("x", "10");
      await assert.rejects(isolated.multi().set("x", "11").exec(), WatchError);
    });
    assert.equal(await client.get("x"), "10");
  },

  async "scans see every key"(client) {
    const keys = Array.from({ length: 1500 }, (_, i) => `scan:${i}`);
    await client.mSet(keys.map((key) => [key, "1"]));
    const seen = new Set();
    for await (const key of client.scanIterator({ MATCH: "scan:*", COUNT: 100 })) seen.add(key);
    assert.equal(seen.size, keys.length);
  },

  async "channels, by name and by pattern"(client) {
    const listener = client.duplicate();
    await listener.connect();
    const heard = [];
    let done;
    const both = new Promise((resolve) => (done = resolve));
    const note = (message, channel) => {
      heard.push(`${channel} ${message}`);
      if (heard.length === 2) done();
    };
    await listener.subscribe("news", note);
    await listener.pSubscribe("n*", note);
    assert.equal(await client.publish("news", "now"), 2);
    await both;
    assert.deepEqual(heard, ["news now", "news now"]);
    await listener.unsubscribe();
    await listener.pUnsubscribe();
    await listener.quit();
  },

  async "what the server tells of itself, and a dump"(client) {
    assert.match(await client.info("server"), /redis_version:7\./);
    assert.deepEqual(await client.configGet("appendonly"), { appendonly: "yes" });
    assert.equal(await client.save(), "OK");
    // The library takes the seconds for milliseconds, so they are asked for as they are.
    assert.ok((await client.sendCommand(["LASTSAVE"])) > 1_600_000_000);
    assert.equal(await client.flushDb(), "OK");
    assert.equal(await client.dbSize(), 0);
  },
};

(async () => {
  let failed = false;
  const port = await listening();
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  client.on("error", () => {});
  await client.connect();
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(client);
      console.log("ok node-redis:", name);
    } catch (error) {
      failed = true;
      console.log("FAIL node-redis:", name);
      console.log(error);
    }
  }
  await client.quit();
  process.exitCode = failed ? 1 : 0;
})()
  .catch((error) => {
    console.log("FAIL node-redis");
    console.log(error);
    process.exitCode = 1;
  })
  .finally(() => {
    server.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
