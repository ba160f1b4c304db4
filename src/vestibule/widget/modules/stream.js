// Follows a conversation: server-sent events read with fetch, which can carry the token (EventSource cannot); by asking
// again and again where a proxy holds the stream back. Nothing is missed in between: each goes on where the last ended.

import { Refused, Unreachable } from "./api.js";
import { Expired } from "./identity.js";
import { after } from "./dom.js";

const FIRST_BYTE_MS = 8000;
const SILENCE_MS = 40000; // the service says something every 15 s
const TRY_STREAM_AGAIN_MS = 120000;

export class Follower {
  /** Of `chat`, `take(kind, data)` gets events; `lost(error)` and `found()` are told of the connection. */
  constructor(chat, identity, conversationId, seq) {
    Object.assign(this, { chat, identity, seq });
    this.path = `/v1/conversations/${conversationId}`;
    this.lastId = "";
    this.ended = false;
    this.mute = 0;
    this.pollUntil = 0;
    this.wake = () => {};
    this.run();
  }

  stop() {
    this.ended = true;
    this.wake();
    this.aborting?.abort();
  }

  /** `wake()` ends it: now rather than later, for the network came back. */
  pause(milliseconds) {
    return Promise.race([after(milliseconds), new Promise((resolve) => (this.wake = resolve))]);
  }

  async run() {
    let failures = 0;
    while (!this.ended) {
      try {
        if (Date.now() < this.pollUntil) await this.poll();
        else await this.listen();
        failures = 0;
        await this.pause(300);
      } catch (error) {
        if (this.ended) return;
        if (error instanceof Expired || (error instanceof Refused && !error.passes)) {
          this.chat.lost(error);
          return;
        }
        failures += 1;
        if (error.passes) this.chat.lost(error);
        const wait = error.wait || Math.min(30000, 500 * 2 ** Math.min(failures, 6));
        await this.pause(wait * (0.75 + Math.random() / 2));
      }
    }
  }

  async poll() {
    const { items } = await this.identity.call("GET", `${this.path}/messages?after=${this.seq}`);
    if (this.ended) return; // another conversation is shown by now, or another person is there
    for (const message of items) this.message(message);
    this.chat.take("conversation", await this.identity.call("GET", this.path));
    this.chat.found();
    await this.pause(Math.max(1, this.identity.config.poll_seconds) * 1000);
  }

  async listen() {
    this.aborting = new AbortController();
    const { signal } = this.aborting;
    const headers = { Accept: "text/event-stream" };
    if (this.lastId) headers["Last-Event-ID"] = this.lastId;
    const path = `${this.path}/events?after=${this.seq}`;
    let text = "";
    let heard = false;
    try {
      const opening = this.identity.withToken((token) =>
        this.identity.api.fetch("GET", path, { token, headers, signal }),
      );
      const answer = await this.within(opening, FIRST_BYTE_MS);
      const reader = answer && answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const piece = reader && (await this.within(reader.read(), heard ? SILENCE_MS : FIRST_BYTE_MS));
        if (!piece) {
          // Nothing comes, though there is a network: somebody on the way collects the answer.
          if (!heard && ++this.mute >= 2) this.pollUntil = Date.now() + TRY_STREAM_AGAIN_MS;
          opening.catch(() => {});
          return;
        }
        if (piece.done || this.ended) return;
        heard = true;
        this.mute = 0;
        this.chat.found();
        text += piece.value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) this.event(block);
      }
    } catch (error) {
      throw error instanceof Refused || error instanceof Expired ? error : new Unreachable(String(error));
    } finally {
      this.aborting.abort();
    }
  }

  /** What is read, or null when it took too long. */
  within(reading, milliseconds) {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, milliseconds, null)));
    return Promise.race([reading, late]).finally(() => clearTimeout(timer));
  }

  event(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
    }
    if (!fields.data) return;
    const data = JSON.parse(fields.data);
    if (fields.event === "message") this.message(data);
    else this.chat.take(fields.event, data);
    if (fields.id) this.lastId = fields.id;
  }

  message(message) {
    this.seq = Math.max(this.seq, message.seq);
    this.chat.take("message", message);
  }
}
