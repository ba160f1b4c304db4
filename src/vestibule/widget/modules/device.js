// What the browser keeps for the widget. Of an unverified visitor the device is the identity, so its token, scope and
// unsent messages outlive the tab (localStorage). Of a verified person nothing does (sessionStorage): the next one at a
// shared computer shall not find it. The contact token of a verified person is never written down at all.

/** Names are below a prefix, so that several widgets of one origin keep apart, and `clear` clears no page's own. */
class Shelf {
  constructor(find, prefix) {
    this.prefix = prefix;
    this.memory = new Map();
    try {
      this.storage = find();
      this.storage.getItem(prefix);
    } catch {
      this.storage = null; // blocked: everything works until the page is left
    }
  }

  get(name) {
    try {
      const text = this.memory.get(name) || (this.storage && this.storage.getItem(this.prefix + name));
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  }

  set(name, value) {
    const text = JSON.stringify(value);
    try {
      this.storage.setItem(this.prefix + name, text);
      this.memory.delete(name);
    } catch {
      this.memory.set(name, text); // blocked, or full
    }
  }

  remove(name) {
    this.memory.delete(name);
    if (this.storage) this.storage.removeItem(this.prefix + name);
  }

  clear() {
    this.memory.clear();
    if (!this.storage) return;
    for (const key of Object.keys(this.storage)) if (key.startsWith(this.prefix)) this.storage.removeItem(key);
  }
}

export class Device {
  constructor(widgetToken) {
    this.prefix = `vestibule:${widgetToken}:`;
    this.kept = new Shelf(() => localStorage, this.prefix);
    this.tab = new Shelf(() => sessionStorage, this.prefix);
  }

  /** This device's own conversation scope: what an unverified visitor's chats hang on. */
  scope() {
    let scope = this.kept.get("scope");
    if (!scope) this.kept.set("scope", (scope = newId()));
    return scope;
  }

  /** Forgets everything, and tells the other tabs of this site. */
  clear() {
    this.kept.clear();
    this.tab.clear();
    this.kept.set("signed_out", Date.now());
  }

  /** Calls back when another tab has signed out, or changed what waits to be sent. */
  watch({ signedOut, outbox }) {
    const listen = (event) => {
      if (event.storageArea !== this.kept.storage || !event.key || !event.key.startsWith(this.prefix)) return;
      const name = event.key.slice(this.prefix.length);
      if (name === "signed_out" && event.newValue) {
        this.kept.memory.clear(); // which that tab could not
        signedOut();
      }
      if (name.startsWith("outbox:")) outbox();
    };
    addEventListener("storage", listen);
    return () => removeEventListener("storage", listen);
  }
}

/** A UUID of version 4. `randomUUID` is there on secure pages only. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
