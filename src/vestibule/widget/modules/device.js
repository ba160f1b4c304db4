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
      const text = this.memory.get(name) || this.storage?.getItem(this.prefix + name);
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  }

  /** Nothing, such as an empty text, is not kept. */
  set(name, value) {
    if (!value) return this.remove(name);
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
    this.storage?.removeItem(this.prefix + name);
  }

  /** Of all that outlives the page. */
  names() {
    const keys = Object.keys(this.storage || {}).filter((key) => key.startsWith(this.prefix));
    return keys.map((key) => key.slice(this.prefix.length));
  }

  clear() {
    this.memory.clear();
    for (const name of this.names()) this.remove(name);
  }
}

export class Device {
  /** Everything lies under the workspace's id, because a widget token may be replaced by another. */
  constructor(workspaceId, widgetToken) {
    this.prefix = `vestibule:${workspaceId}:`;
    const shelf = (find) => {
      const made = new Shelf(find, this.prefix);
      const former = new Shelf(find, `vestibule:${widgetToken}:`); // where it lay at first
      for (const name of former.names()) {
        const value = former.get(name);
        former.remove(name);
        if (!made.get(name)) made.set(name, value);
      }
      return made;
    };
    this.kept = shelf(() => localStorage);
    this.tab = shelf(() => sessionStorage);
  }

  /** Whether something was written here, sent or not. */
  get isUsed() {
    return [...this.kept.names(), ...this.tab.names()].some((name) => /^(seen|outbox)/.test(name));
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
      if (event.storageArea !== this.kept.storage || !event.key?.startsWith(this.prefix)) return;
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
  // Each 0 becomes any digit, and the 8 one that begins with the bits 10 as well; the 4 is the version.
  return "00000000-0000-4000-8000-000000000000".replace(/[08]/g, (digit) =>
    (digit ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (digit === "8" ? 3 : 15))).toString(16),
  );
}
