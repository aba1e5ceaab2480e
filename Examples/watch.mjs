#!/usr/bin/env node
// Prints a table's changes as they happen, over Server-Sent Events: watch.mjs [HOST:PORT] [TABLE]
//
// Node 18 or later, nothing else: fetch gives the stream, and the few lines below take it apart.
const [node = "127.0.0.1:6660", table = "status"] = process.argv.slice(2);
let last = null;

async function* messages(body) {
  let unread = "";
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    unread += piece;
    const blocks = unread.split("\n\n");
    unread = blocks.pop();
    for (const block of blocks) {
      const message = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const [, field, value] = line.match(/^([^:]*):? ?(.*)$/);
        if (field === "data") message.data += value;
        else if (field) message[field] = value;
      }
      yield message;
    }
  }
}

for (;;) {
  try {
    const answer = await fetch(`http://${node}/${table}/subscribe`, {
      headers: last ? { "Last-Event-ID": last } : {},
    });
    for await (const { id, event, data } of messages(answer.body)) {
      if (id) last = id;
      if (!data) continue;
      const change = JSON.parse(data);
      if (event !== "message") console.log(event);
      else console.log(change.event, change.key, JSON.stringify(change.value?.value));
    }
  } catch (gone) {
    console.error("#", gone.message, "- coming back");
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
