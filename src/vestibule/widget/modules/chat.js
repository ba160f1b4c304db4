// The conversation: what is known of it, and how that is found again after a reload, a lost network or a new token. It
// shows nothing; `changed` says that there is something to show.

import { Refused, Unreachable } from "./api.js";
import { after } from "./dom.js";
import { Expired, contactOf } from "./identity.js";
import { Sending, TYPING_MS, isOpen } from "./sending.js";
import { Follower } from "./stream.js";

const HIDDEN_MS = 15000;
const MOST_SEEN = 50;

export class Chat extends Sending {
  constructor(parts) {
    super();
    const { device } = Object.assign(this, parts);
    this.isOpen = false; // whether the visitor looks at it
    this.turn = 0;
    this.calls = 0; // how often it was said who is there; what was said last counts, though one before may have to wait
    this.reset();
    this.unwatch = device.watch({ signedOut: this.signedOut, outbox: this.changed });
    this.listeners = [
      [window, "online", () => this.online()],
      [window, "offline", () => this.lost(new Unreachable("offline"))],
      [document, "visibilitychange", () => this.looked()],
    ];
    for (const [target, name, listener] of this.listeners) target.addEventListener(name, listener);
  }

  /** Nothing is known yet; as for a visitor who has just come. `call`: which one has said so. */
  reset(call = (this.calls += 1)) {
    this.unfollow();
    clearTimeout(this.retryTimer);
    this.turn += 1;
    this.settled = call;
    this.conversation = null;
    this.messages = [];
    this.guest = null; // a guest's conversation that shall become a person's
    this.list = null;
    this.phase = "new"; // new, connecting, ready, or why not: barred, expired, refused, down
    this.isLost = false;
    this.wantsFresh = false;
    this.isIntroduced = false;
    this.isAsked = false;
    this.attempts = 0;
    this.connecting = null;
    this.boxes = new Map();
    this.isFlushing = false; // what the one before was sending may hang
  }

  destroy() {
    this.reset();
    clearTimeout(this.hiddenTimer);
    this.unwatch();
    for (const [target, name, listener] of this.listeners) target.removeEventListener(name, listener);
  }

  // ---------------------------------------------------------------------------------------------------- who it is

  /** Finds out who it is and what was said. Of a visitor whom nobody knows yet that is nothing: nothing is asked. */
  connect() {
    if (!this.connecting) {
      const { turn } = this.identity;
      this.connecting = this.load()
        .catch((error) => turn === this.identity.turn && this.fail(error))
        .finally(() => {
          if (turn === this.identity.turn) this.connecting = null;
        });
    }
    return this.connecting;
  }

  async load() {
    const { turn } = this.identity; // which a newer token of the same person changes as well: that begins anew
    this.identity.recall();
    if (!this.identity.isUnknown) {
      this.phase = "connecting";
      this.changed();
      await this.identity.token();
      if (turn !== this.identity.turn) return;
      const brought = this.guest && (await this.bring(this.guest));
      if (turn !== this.identity.turn) return;
      await Promise.all([this.identity.know(), this.refresh()]);
      if (turn !== this.identity.turn) return;
      this.introduce();
      this.adopt();
      const open = brought || this.list.find(isOpen);
      if (open && !this.conversation && !this.wantsFresh) {
        await this.enter(open).catch((error) => {
          if (this.conversation === open) this.conversation = null; // entered again, when there is a network
          throw error;
        });
      }
      if (turn !== this.identity.turn) return;
      // What was lost is followed again; what is just being entered is not there yet.
      if (this.messages.length) this.follow();
    }
    this.guest = null;
    this.isLost = false;
    if (this.identity.isBarred) {
      this.bar();
      return;
    }
    this.phase = "ready";
    this.changed();
    this.flush();
  }

  /** Only who signs in may go on. What is shown stays until the page is left, and what waits goes on waiting. */
  bar() {
    this.phase = "barred";
    this.changed();
    if (!this.isOpen || this.isAsked) return;
    this.isAsked = true;
    this.tell("signInRequired", {});
  }

  /** The conversation goes on as that of the person who has signed in; null where it cannot, and another begins. Who
   *  holds the tokens of both may say so. */
  async bring(guest) {
    const { turn, identity } = this;
    let brought = null;
    const { verified } = await identity.know();
    if (verified && turn === this.turn) {
      const { id, token } = guest;
      const json = { contact_token: await identity.token() };
      brought = await identity.api.call("POST", `/v1/conversations/${id}/identity`, { token, json }).catch((error) => {
        if (!(error instanceof Refused) || error.passes) throw error; // tried again, with all of `load`
        return null;
      });
      guest.messages = []; // the person's from now on: whom the page names next, the service has to let see them
    }
    if (!brought && turn === this.turn) this.messages = [];
    return brought;
  }

  /** Tells the page once who it is. */
  introduce() {
    if (this.isIntroduced) return;
    this.isIntroduced = true;
    this.tell("identified", { contact: { ...this.identity.contact } });
  }

  async refresh() {
    const { turn } = this;
    const { scope } = this.identity;
    const query = scope ? `?scope=${encodeURIComponent(scope)}` : "";
    const { items } = await this.identity.call("GET", `/v1/conversations${query}`);
    if (turn === this.turn) this.list = items; // else they are the ones of somebody who was there before
  }

  /** What is to be done where something fails that begins now: of somebody who was there before nothing is shown. */
  get failed() {
    const { turn } = this;
    return (error) => turn === this.turn && this.fail(error);
  }

  fail(error) {
    if (error.passes) {
      this.isLost = true;
      if (this.phase === "connecting") this.phase = "down";
      this.later(error);
    } else if (error instanceof Expired) {
      this.phase = "expired";
    } else if (error.code === "login_required") {
      this.bar();
    } else {
      this.phase = "refused";
      if (!(error instanceof Refused)) console.warn(error);
    }
    this.changed();
  }

  /** The visitor asks for it once more. */
  retry() {
    this.identity.forgive();
    this.attempts = 0;
    return this.connect();
  }

  later(error) {
    const wait = error.wait || Math.min(30000, 1000 * 2 ** Math.min(this.attempts, 5));
    this.attempts += 1;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.resume(), wait);
  }

  /** Does what had to wait. */
  resume() {
    const { conversation } = this;
    if (this.phase !== "ready") return this.connect();
    // Chosen from the list, and not yet read.
    if (conversation && !this.messages.length) return this.enter(conversation).then(() => this.flush(), this.failed);
    return this.flush();
  }

  // ------------------------------------------------------------------------------------------------- what was said

  async enter(conversation, isNew = false) {
    const turn = this.turn;
    this.unfollow();
    this.conversation = conversation;
    this.wantsFresh = false;
    this.messages = [];
    if (!isNew) {
      const { items } = await this.identity.call("GET", `/v1/conversations/${conversation.id}/messages`);
      if (turn !== this.turn || this.conversation !== conversation) return;
      const last = items.length && items[items.length - 1].seq;
      this.messages = [...items, ...this.messages.filter((each) => each.seq > last)]; // and what came meanwhile
    }
    this.follow();
    this.note();
    this.changed();
  }

  /** An empty page; the conversation is made with its first message. */
  startFresh() {
    this.unfollow();
    this.conversation = null;
    this.messages = [];
    this.guest = null;
    this.wantsFresh = true;
    this.changed();
  }

  follow() {
    if (!this.conversation || this.follower || document.hidden) return;
    // Before a message that was posted from here something may have come that nobody has heard of.
    const known = this.messages.filter((each) => !each.here).pop();
    this.follower = new Follower(this, this.identity, this.conversation.id, known?.seq || 0);
  }

  unfollow() {
    this.follower?.stop();
    this.follower = null;
  }

  take(kind, data) {
    if (kind === "conversation" && data.id === this.conversation?.id) this.conversation = data;
    if (kind === "message") this.arrived(data);
    this.changed();
  }

  arrived(message) {
    this.outbox.remove(message.id);
    const at = this.messages.findIndex((known) => known.id === message.id);
    if (at >= 0) {
      this.messages[at] = { ...message, here: message.here || this.messages[at].here };
      return;
    }
    this.messages.push(message);
    this.messages.sort((one, other) => one.seq - other.seq);
    this.note();
    if (message.text !== null || message.attachments.length) {
      this.tell("message", { message, conversation: this.conversation });
    }
  }

  // ----------------------------------------------------------------------------------------------- what was looked at

  /** Remembers what was seen, so that the rest can be counted. What was there when this device came to know of a
   *  conversation counts as seen. */
  note() {
    if (!this.conversation) return;
    const seen = this.device.kept.get("seen") || {};
    const isNews = this.conversation.id in seen;
    if (isNews && (!this.isOpen || document.hidden)) return;
    const last = this.messages.length ? this.messages[this.messages.length - 1].seq : 0;
    if (seen[this.conversation.id] === last) return;
    delete seen[this.conversation.id];
    seen[this.conversation.id] = last;
    const newest = Object.entries(seen).slice(-MOST_SEEN);
    this.device.kept.set("seen", Object.fromEntries(newest));
  }

  /** Which conversation this device saw last: a guest whom the service no longer lets read may still bring it along. */
  get latest() {
    return Object.keys(this.device.kept.get("seen") || {}).pop();
  }

  get unread() {
    if (!this.conversation) return 0;
    const seen = (this.device.kept.get("seen") || {})[this.conversation.id] || 0;
    return this.messages.filter((each) => each.seq > seen && isAnswer(each)).length;
  }

  /** The responder owes an answer, and has not had too long. */
  get isAwaited() {
    const { conversation } = this;
    if (!isOpen(conversation) || conversation.handed_off || conversation.assignee.kind !== "ai") return false;
    const last = this.messages.filter((each) => each.sender.kind === "user" || isAnswer(each)).pop();
    return last?.sender.kind === "user" && Date.now() - (last.here || 0) < TYPING_MS;
  }

  get hasEnded() {
    return !!this.conversation && !isOpen(this.conversation);
  }

  // --------------------------------------------------------------------------------------------------- the connection

  lost(error) {
    if (error instanceof Expired) {
      this.unfollow();
      this.phase = "expired";
    } else if (error instanceof Refused && !error.passes) {
      // Not to be seen any more: what is shown stays, the next message finds out.
      this.unfollow();
    } else {
      this.isLost = true;
    }
    this.changed();
  }

  found() {
    if (!this.isLost) return;
    this.isLost = false;
    this.attempts = 0;
    this.changed();
    this.flush();
  }

  online() {
    this.attempts = 0;
    this.follower?.wake();
    if (this.phase === "ready")
      this.resume().then(() => {
        // Nothing is followed that would tell that the network is back.
        if (!this.follower && !this.outbox.next()) this.found();
      });
    else if (this.phase === "down") this.connect();
  }

  /** Nobody looks: browsers have few connections to a server, which other tabs may need. */
  looked() {
    clearTimeout(this.hiddenTimer);
    if (document.hidden) {
      this.hiddenTimer = setTimeout(() => this.unfollow(), HIDDEN_MS);
    } else {
      this.follow();
      this.note();
      this.changed();
    }
  }

  // --------------------------------------------------------------------------------------------------- who is it now

  /** Another person, or the same one proven. A guest who signs in goes on in the conversation that is open: the one who
   *  signs in is the one who wrote it. Of a verified person nothing stays for the next. */
  async become(user) {
    const call = (this.calls += 1);
    const { contact, verifies } = this.identity;
    if (
      verifies &&
      contact &&
      user.token &&
      contactOf(user.token).id === contact.id &&
      user.scope === this.identity.scope
    ) {
      // The same person, as pages say on every turn: a newer token, and nothing else changes.
      this.settled = call;
      this.identity.use(user);
      this.identity.contact = contact; // whose are the messages that wait
      this.isIntroduced = false;
      this.connecting = null;
      this.connect();
      return;
    }
    if (this.outbox.next()) await Promise.race([this.flush(), after(3000)]);
    if (call < this.settled) return;
    const { conversation, messages, identity } = this;
    const isGuests = !identity.isProven && identity.current;
    const id = conversation ? isOpen(conversation) && conversation.id : this.phase === "barred" && this.latest;
    // Named again before anybody was proven, it is still the guest's.
    const guest = isGuests && id ? { id, token: identity.current, scope: identity.scope, messages } : this.guest;
    this.reset(call);
    identity.use(user);
    // In a scope of the page's own it would not be shown.
    if (guest && identity.verifies && (!user.scope || user.scope === guest.scope)) {
      this.guest = guest;
      this.messages = guest.messages;
    }
    this.connect();
  }
}

export function isAnswer(message) {
  return message.sender.kind === "ai" || message.sender.kind === "agent";
}
