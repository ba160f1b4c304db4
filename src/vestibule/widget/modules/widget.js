// The way in: `window.Vestibule`, OpenCX's `initOpenScript`, and the script's own attributes. One widget at a time.

import { Api } from "./api.js";
import { Chat } from "./chat.js";
import { Device } from "./device.js";
import { after, element } from "./dom.js";
import { Expired, Identity } from "./identity.js";
import { fromScript, optionsOf, userOf } from "./options.js";
import { Panel } from "./panel.js";
import { languageOf, texts } from "./texts.js";

const SCRIPT = document.currentScript;
const SCRIPT_URL = SCRIPT?.src || location.href;
const listeners = new Map();
let current = null;
let starting = null;
let made = 0;

/** An event to who listens; a listener's fault is its own. */
function tell(name, detail) {
  for (const listener of [...(listeners.get(name) || [])]) {
    try {
      listener(detail);
    } catch (error) {
      setTimeout(() => {
        throw error;
      });
    }
  }
}

/** The style sheet without a `style` element, which a page's policy may forbid. */
function style(shadow, base) {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
  } catch {
    shadow.append(element("link", { rel: "stylesheet", href: `${base}/widget.css` }));
  }
}

async function configOf(api, options, turn) {
  for (let wait = 1000; turn === made; wait = Math.min(wait * 2, 60000)) {
    try {
      return await api.call("GET", `/v1/widget-config?widget_token=${encodeURIComponent(options.widgetToken)}`);
    } catch (error) {
      if (!error.passes) throw error;
      await after(wait);
    }
  }
  return null;
}

class Widget {
  constructor(options, config, api) {
    this.options = options;
    this.device = new Device(config.workspace_id, config.widget_token);
    const told = (name, detail) => this.told(name, detail);
    this.identity = new Identity({ api, device: this.device, config, tell: told, replaced: () => this.replaced() });
    this.identity.use(this.claimed(options.user));
    const language = languageOf(options.language);
    const words = texts(language, options.texts);
    const { device, identity } = this;
    this.chat = new Chat({
      identity,
      device,
      options,
      changed: () => this.changed(),
      signedOut: () => this.forget(),
      tell: told,
    });
    this.panel = new Panel({
      chat: this.chat,
      identity,
      device,
      options,
      words,
      language,
      title: options.title || config.name,
      base: options.apiUrl,
      introduced: (claims) => this.introduce(claims),
    });
    style(this.panel.host.shadowRoot, options.apiUrl);
  }

  /** Goes on where this tab was, or where this device has a chat; a page that is only read asks for nothing. */
  start() {
    if (this.options.isOpen || this.device.tab.get("open")) this.panel.toggle(true, false);
    else if (this.device.isUsed) this.chat.connect();
  }

  /** A visitor who has filled in the form stays who they said they are. */
  claimed(user) {
    return { ...user, formMayFollow: this.options.collect && !user.claims.email };
  }

  /** Adds to whom the page names now: `init` may have named somebody who has signed out since. */
  introduce(claims) {
    const { user } = this.identity;
    const custom_data = { ...user.claims.custom_data, ...claims.custom_data };
    this.chat.reset();
    this.identity.use({ ...user, formMayFollow: false, claims: { ...user.claims, ...claims, custom_data } });
    // The token now, and not with the first message: what was said is asked for once.
    this.chat.phase = "connecting";
    this.identity
      .obtain(false)
      .then(() => this.chat.connect())
      .catch(this.chat.failed)
      .finally(() => this.panel.focus());
    this.changed();
  }

  changed() {
    // Once for all that changes in one turn.
    if (this.isChanging) return;
    this.isChanging = true;
    queueMicrotask(() => {
      this.isChanging = false;
      this.panel?.render();
    });
  }

  told(name, detail) {
    if (name === "message") this.panel.tellOf(detail.message);
    if (name === "identified") this.panel.composer.welcome(detail.contact);
    if (name === "identityExpired") this.chat.lost(new Expired());
    tell(name, detail);
  }

  async identify(user) {
    const { chat, identity } = this;
    const { turn } = chat;
    await chat.become(this.claimed(userOf(user)));
    const { verifies } = identity;
    if (turn !== chat.turn) this.handOver();
    // Where another call has taken this one's place, its outcome is this one's as well.
    while (chat.connecting) await chat.connecting;
    if (chat.phase !== "ready" || (verifies && !identity.contact))
      throw new Error(`Vestibule: not identified (${chat.phase})`);
    return { ...identity.contact };
  }

  /** What is on the screen may be another's from now on. */
  handOver() {
    this.panel.isListing = false;
    this.panel.composer.handOver();
  }

  /** Another person's token has come. What the one before has not sent stays in their own box. The page has said
   *  nothing by that: an `identify` that still waits counts. */
  replaced() {
    this.handOver();
    this.chat.reset(this.chat.settled);
    this.chat.connect();
  }

  /** Ends what was begun, here and at the service. */
  async logout() {
    const ending = this.identity.end();
    this.device.clear();
    this.forget();
    await ending;
  }

  /** As for a visitor who has just come. */
  forget() {
    this.device.tab.clear();
    this.chat.reset();
    this.identity.use(this.claimed({ claims: {} }));
    this.panel.composer.welcome({});
    this.panel.composer.clear();
    this.panel.isListing = false;
    this.panel.screenName = ""; // the form may be filled in
    this.options.prefill = {};
    this.chat.connect();
    this.changed();
  }

  destroy() {
    this.chat.destroy();
    this.identity.use({ claims: {} });
    this.panel.destroy();
  }
}

async function begin(given) {
  const options = optionsOf(given || {}, SCRIPT_URL);
  const turn = ++made;
  current?.destroy();
  current = null;
  const api = new Api(options.apiUrl);
  const config = await configOf(api, options, turn);
  if (document.readyState === "loading") {
    await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));
  }
  if (turn !== made || !config) return;
  current = new Widget(options, config, api);
  tell("ready", { name: config.name });
  current.start();
}

/** The widget, as soon as it is there: a page may call before. */
async function running() {
  await starting;
  if (!current) throw new Error("Vestibule: call `init` first");
  return current;
}

const Vestibule = {
  /** Shows the widget; resolves when the launcher is there. A second call takes the place of the first. */
  init(given) {
    starting = begin(given);
    return starting;
  },

  /** The visitor is this one from now on, without a reload; resolves with the contact. */
  async identify(user) {
    return (await running()).identify(user);
  },

  /** Signs the visitor out, here and at the service, and forgets what this device knew. */
  async logout() {
    return (await running()).logout();
  },

  async open() {
    (await running()).panel.toggle(true);
  },

  async close() {
    (await running()).panel.toggle(false);
  },

  /** `ready`, `identified`, `identityExpired`, `message`. Returns what takes the listener away again. */
  on(name, listener) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
    return () => Vestibule.off(name, listener);
  },

  off(name, listener) {
    listeners.get(name)?.delete(listener);
  },
};

window.Vestibule = Vestibule;
window.initOpenScript = window.initOpenScript || Vestibule.init;

const wished = SCRIPT && fromScript(SCRIPT);
if (wished) Vestibule.init(wished).catch((error) => console.warn("Vestibule cannot be shown:", error.message));
