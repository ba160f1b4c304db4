// Shows what was said, and how far each message has come; it changes only what is new, so that a reader's place, focus
// and selection stay.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { markdown } from "./markdown.js";

const NEAR_END = 80;
const SHOWN_AT_ONCE = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);

export class MessagesView {
  constructor(parts) {
    const { words, language } = Object.assign(this, parts);
    this.list = element("ol", { class: "messages" });
    // What comes is announced apart (panel.js): a log would read out the whole history as well.
    const log = { role: "log", "aria-live": "off", "aria-label": words("chat") };
    this.element = element("div", { class: "scroll", tabindex: "0", ...log }, this.list);
    this.shown = new Map();
    this.day = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long" });
    this.time = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
  }

  render() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    const wasAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END;
    const entries = this.entries();
    const keys = new Set(entries.map((entry) => entry.key));
    for (const [key, { node }] of this.shown) {
      if (!keys.has(key)) {
        node.remove();
        this.shown.delete(key);
      }
    }
    let place = this.list.firstChild;
    for (const entry of entries) {
      let known = this.shown.get(entry.key);
      const signature = JSON.stringify(entry);
      if (known?.signature !== signature) {
        const node = this.show(entry);
        known?.node.replaceWith(node);
        if (known?.node === place) place = node;
        known = { node, signature };
        this.shown.set(entry.key, known);
      }
      if (known.node === place) place = place.nextSibling;
      else this.list.insertBefore(known.node, place);
    }
    const last = entries[entries.length - 1];
    const mine = last?.kind === "user" && last.key !== this.last;
    this.last = last?.key;
    if (wasAtEnd || mine) this.toEnd();
  }

  toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** All that is to be seen, in order, as plain values. */
  entries() {
    const { chat, options, words } = this;
    const greetings = options.greetings || [words("greeting")];
    const made = greetings.map((text, index) => ({
      key: `greeting-${index}`,
      kind: "ai",
      name: this.options.botName || this.title,
      text,
    }));
    for (const message of chat.messages) made.push(...this.ofMessage(message));
    const known = new Set(chat.messages.map((message) => message.id));
    for (const item of chat.outbox.items) {
      const here = !item.conversation || item.conversation === chat.conversation?.id;
      if (!here || known.has(item.id)) continue;
      const state = item.state === "failed" ? "failed" : chat.isLost || chat.phase !== "ready" ? "waiting" : "sending";
      made.push({ key: item.id, kind: "user", text: item.text, attachments: item.attachments, state, at: item.at });
    }
    if (chat.isAwaited) made.push({ key: "typing", kind: "ai", isTyping: true });
    return grouped(made, (at) => this.day.format(at));
  }

  ofMessage(message) {
    const kind = message.sender.kind;
    if (!["user", "ai", "agent"].includes(kind) || (!message.text && !message.attachments.length)) return [];
    const { id, text, attachments } = message;
    const at = Date.parse(message.sent_at);
    return [{ key: id, kind, name: message.sender.name, text, attachments, at, state: kind === "user" && "sent" }];
  }

  nameOf(entry) {
    if (entry.kind === "user") return this.words("you");
    if (entry.kind === "agent") return entry.name || this.words("agent");
    return entry.name || this.options.botName || this.words("bot");
  }

  show(entry) {
    if (entry.kind === "day") return element("li", { class: "day", text: entry.text });
    const isMine = entry.kind === "user";
    const bubble = element("div", { class: "bubble", dir: "auto" });
    if (entry.isTyping) {
      bubble.append(
        element("span", { class: "dots", role: "img", "aria-label": this.words("typing") }, dot(), dot(), dot()),
      );
    } else if (entry.text) {
      bubble.append(isMine ? element("p", { class: "plain", text: entry.text }) : markdown(entry.text));
    }
    const files = (entry.attachments || []).map((file) => this.file(file));
    return element(
      "li",
      { class: `message ${entry.kind}${entry.isFirst ? " first" : ""}`, "data-state": entry.state },
      entry.isFirst && !isMine
        ? element("p", { class: "who", text: this.nameOf(entry) })
        : element("span", { class: "hidden", text: `${this.nameOf(entry)}: ` }),
      entry.text || entry.isTyping ? bubble : null,
      files,
      this.meta(entry),
    );
  }

  meta(entry) {
    const { state, at } = entry;
    if (state === "failed") {
      const again = () => this.chat.resend(entry.key);
      return element(
        "p",
        { class: "meta bad", role: "alert" },
        icon("alert"),
        this.words("failed"),
        element("button", { type: "button", class: "link", text: this.words("retry"), onclick: again }),
      );
    }
    if (!entry.isLast && state !== "waiting" && state !== "sending") return null;
    const picture = state && icon(state === "sent" ? "check" : "clock");
    const words =
      state === "sent" ? element("span", { class: "hidden", text: this.words("sent") }) : state && this.words(state);
    const time =
      at && state !== "waiting" && state !== "sending"
        ? element("time", { datetime: new Date(at).toISOString(), text: this.time.format(at) })
        : null;
    return time || state ? element("p", { class: "meta" }, time, picture, words) : null;
  }

  file({ name, size, type, url }) {
    const isOurs = url.startsWith(`${this.base}/`);
    const made = element(
      "a",
      { class: "file", href: isOurs && url, target: "_blank", rel: "noopener noreferrer" },
      icon("file"),
      element("span", { class: "file-name", text: name, dir: "auto" }),
      element("span", { class: "file-size", text: sizeOf(size) }),
    );
    if (isOurs && SHOWN_AT_ONCE.has(type)) {
      const image = element("img", { alt: name, loading: "lazy", onerror: () => image.remove() });
      image.src = url;
      made.prepend(image);
      made.classList.add("picture");
    }
    return made;
  }
}

function dot() {
  return element("i", {});
}

/** Marks the first and the last of each run of one sender, and puts days between. */
function grouped(entries, dayOf) {
  const made = [];
  let day = dayOf(Date.now());
  for (const entry of entries) {
    if (entry.at && dayOf(entry.at) !== day) {
      day = dayOf(entry.at);
      made.push({ key: `day-${day}`, kind: "day", text: day });
    }
    made.push(entry);
  }
  const hand = (entry) => entry && `${entry.kind} ${entry.name || ""}`;
  return made.map((entry, index) => ({
    ...entry,
    isFirst: hand(made[index - 1]) !== hand(entry),
    isLast: hand(made[index + 1]) !== hand(entry),
  }));
}

function sizeOf(bytes) {
  if (!bytes) return "";
  return bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
