// The sending half of a conversation: what waits is sent in order, once, and goes on waiting where it cannot be. It
// knows of the rest only the conversation that is open.

import { Refused } from "./api.js";
import { newId } from "./device.js";
import { Expired } from "./identity.js";
import { Outbox } from "./outbox.js";

/** How long an answer may be awaited before nobody believes it any more. */
export const TYPING_MS = 90000;

export class Sending {
  /** Where unsent messages lie; those of a verified person only as long as the tab. */
  get outbox() {
    const { identity, device } = this;
    const contact = identity.verifies ? identity.contact?.id : "";
    const owner = identity.verifies ? contact || "?" : `visitor:${identity.user.scope || ""}`;
    if (!this.boxes.has(owner)) {
      const shelf = identity.verifies ? contact && device.tab : device.kept;
      this.boxes.set(owner, new Outbox(shelf || null, owner));
      const nobodys = contact && this.boxes.get("?");
      // Written while nobody could be asked who this is: it is this person's, for another would have begun anew.
      if (nobodys) for (const item of nobodys.items.splice(0)) this.boxes.get(owner).add(item);
    }
    return this.boxes.get(owner);
  }

  /** Operators make one person of two, and the next token names the other. What waits under an id of before is this
   *  person's where the service lists its conversation as theirs. */
  adopt() {
    const { tab } = this.device;
    for (const name of tab.names()) {
      if (!name.startsWith("outbox:") || name === this.outbox.name) continue;
      const former = new Outbox(tab, name.slice(7));
      for (const item of former.items) {
        if (!this.list.some((each) => each.id === item.conversation)) continue;
        this.outbox.add(item);
        former.remove(item.id);
      }
    }
  }

  send(text, attachments) {
    const conversation = isOpen(this.conversation) ? this.conversation.id : null;
    this.outbox.add({
      id: newId(),
      text,
      attachments,
      conversation,
      fresh: this.wantsFresh,
      state: "waiting",
      at: Date.now(),
    });
    this.changed();
    return this.flush();
  }

  resend(id) {
    this.outbox.change(id, { state: "waiting" });
    this.changed();
    return this.flush();
  }

  /** Sends what waits, in order, one after the other, in one tab at a time; resolves when no more can be sent now. */
  flush() {
    this.again = true;
    if (!this.isFlushing) this.flushed = this.sendAll();
    return this.flushed;
  }

  async sendAll() {
    const turn = this.turn;
    this.isFlushing = true;
    try {
      while (this.again && turn === this.turn) {
        this.again = false;
        if (this.outbox.next()) {
          await this.outbox.alone(async () => {
            for (let item; turn === this.turn && (item = this.outbox.next());) await this.deliver(item);
          });
        }
      }
      this.attempts = 0;
    } catch (error) {
      if (turn === this.turn) this.held(error);
    } finally {
      if (turn === this.turn) this.isFlushing = false;
    }
  }

  /** What waits goes on waiting. */
  held(error) {
    if (error instanceof Expired) {
      this.phase = "expired";
    } else if (error.code === "login_required") {
      this.bar();
    } else if (error instanceof Refused && !error.passes) {
      this.phase = "refused";
    } else {
      this.isLost = true;
      this.later(error);
    }
    this.changed();
  }

  async deliver(item, isSecond = false) {
    const turn = this.turn;
    // No token, no conversation before this: who only looks leaves nothing behind.
    await this.identity.token();
    if (turn !== this.turn) return;
    const id = item.conversation || (await this.place(item));
    if (turn !== this.turn) return;
    const json = {
      id: item.id,
      text: item.text,
      attachments: item.attachments.map(({ url }) => ({ url })),
      ...this.options.message,
    };
    const box = this.outbox;
    try {
      const message = await this.identity.call("POST", `/v1/conversations/${id}/messages`, { json });
      // Also where somebody else is there by now: else it would be sent again when this one is back.
      box.remove(item.id);
      if (turn !== this.turn) return;
      message.here = Date.now();
      if (this.conversation?.id === id) {
        this.follow(); // before it is shown: what was missed has come before it
        this.arrived(message);
      }
      this.isLost = false;
      this.changed();
      setTimeout(() => this.changed(), TYPING_MS);
    } catch (error) {
      if (turn !== this.turn || !(error instanceof Refused) || error.passes || error.status === 401) throw error;
      const isGone = ["conversation_closed", "conversation_full", "not_found"].includes(error.code);
      if (!isGone || isSecond) {
        this.outbox.change(item.id, { state: "failed" });
        this.changed();
        return;
      }
      // Closed or full meanwhile, or no longer this visitor's: it begins a new one.
      if (this.conversation?.id === id) this.startFresh();
      this.outbox.change(item.id, { conversation: null, fresh: true });
      await this.deliver({ ...item, conversation: null, fresh: true }, true);
    }
  }

  /** The conversation that a message without one goes to: this one, an open one of before, or a new one. */
  async place(item) {
    const turn = this.turn;
    let found = isOpen(this.conversation) && this.conversation;
    if (!found && !item.fresh) {
      await this.refresh();
      if (turn !== this.turn) return null;
      found = this.list.find(isOpen);
    }
    const isNew = !found;
    if (isNew) {
      const json = { scope: this.identity.scope, custom_data: this.options.sessionCustomData };
      found = await this.identity.call("POST", "/v1/conversations", { json });
      if (turn === this.turn) this.list = [found, ...(this.list || [])];
    }
    if (turn !== this.turn) return null;
    for (const each of this.outbox.items) {
      if (!each.conversation) this.outbox.change(each.id, { conversation: found.id });
    }
    if (this.conversation?.id !== found.id) await this.enter(found, isNew);
    this.introduce();
    return found.id;
  }

  async upload(file) {
    const form = new FormData();
    form.append("file", file, file.name || "file");
    return this.identity.call("POST", "/v1/files", { form });
  }
}

export function isOpen(conversation) {
  return conversation?.status === "open";
}
