// The launcher and the panel: what is shown when, where the focus goes, what a screen reader is told. It follows the
// chat's state and changes none but by its methods.

import { element } from "./dom.js";
import { Composer } from "./composer.js";
import { conversations, introduction } from "./forms.js";
import { icon } from "./icons.js";
import { MessagesView } from "./messages_view.js";
import { isRightToLeft } from "./texts.js";
import { isAnswer } from "./chat.js";

const NARROW = "(max-width: 480px), (max-height: 480px)";

export class Panel {
  constructor(parts) {
    const { chat, device, options, words, language, title, base } = Object.assign(this, parts);
    this.isOpen = false;
    this.isListing = false;
    this.narrow = matchMedia(NARROW);
    this.host = element("vestibule-chat", { "data-theme": options.theme });
    const shadow = this.host.attachShadow({ mode: "open" });
    this.announcer = element("div", { class: "hidden", role: "status" });
    this.composer = new Composer({ chat, words, device, announce: (text) => this.announce(text) });
    this.view = new MessagesView({ chat, words, language, options, base, title });
    this.makeFrame();
    this.root = element(
      "section",
      {
        class: `root ${options.position}`,
        "aria-label": words("chat"),
        lang: language,
        dir: isRightToLeft(language) ? "rtl" : "ltr",
      },
      this.panel,
      this.launcher,
    );
    if (options.accent) this.root.style.setProperty("--vestibule-accent", options.accent);
    shadow.append(this.root);
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    // The page sees a key on the widget and not in a text field: its shortcuts would take what is typed for theirs.
    for (const name of ["keydown", "keypress", "keyup"])
      this.root.addEventListener(name, (event) => event.stopPropagation());
    this.narrow.addEventListener("change", () => this.render());
    this.said = new Set();
    document.body.append(this.host);
    this.render();
  }

  makeFrame() {
    const { words } = this;
    const tool = (name, label, onclick) =>
      element(
        "button",
        { type: "button", class: "tool", "aria-label": words(label), title: words(label), onclick },
        icon(name),
      );
    this.back = tool("back", "back", () => this.showList(false));
    this.chats = tool("list", "chats", () => this.showList(true));
    this.mark = element("p", { class: "mark" });
    const initial = element("span", { class: "avatar", "aria-hidden": "true", text: [...this.title.trim()][0] || "" });
    this.heading = element("h2", { id: "title" }, element("bdi", { text: this.title }));
    this.close = tool("close", "close", () => this.toggle(false));
    this.banner = element("div", { class: "banner", role: "status" });
    this.questions = element("div", { class: "questions" });
    this.ending = element("div", { class: "ending" });
    this.middle = element("div", { class: "middle" });
    this.panel = element(
      "div",
      { class: "panel", role: "dialog", "aria-labelledby": "title", id: "panel", hidden: true },
      element(
        "header",
        {},
        this.back,
        this.chats,
        initial,
        element("div", { class: "titles" }, this.heading, this.mark),
        this.close,
      ),
      this.banner,
      this.middle,
      this.questions,
      this.ending,
      this.composer.element,
      this.announcer, // on a phone, what is beside a modal dialog is not read out
    );
    this.badge = element("span", { class: "badge", hidden: true });
    this.launcher = element(
      "button",
      {
        type: "button",
        class: "launcher",
        "aria-haspopup": "dialog",
        "aria-controls": "panel",
        onclick: () => this.toggle(!this.isOpen),
      },
      icon("chat"),
      icon("down"),
      this.badge,
    );
  }

  // -------------------------------------------------------------------------------------------------- opening, closing

  /** `takesFocus` is false where the visitor did not ask for it. */
  toggle(isOpen, takesFocus = true) {
    if (isOpen === this.isOpen) return;
    this.isOpen = this.chat.isOpen = isOpen;
    this.device.tab.set("open", isOpen);
    this.chat.note();
    this.render();
    if (isOpen) {
      this.view.toEnd();
      if (this.chat.phase !== "ready") this.chat.connect();
      if (takesFocus) this.focus();
    } else if (takesFocus) {
      this.launcher.focus();
    }
  }

  focus() {
    if (this.screen) this.screen.focus();
    else if (!this.composer.element.hidden) this.composer.focus();
    else this.view.element.focus(); // no button: who is writing would press it
  }

  showList(isListing) {
    this.isListing = isListing;
    if (isListing) {
      this.screenName = "";
      this.chat
        .refresh()
        .catch(() => {})
        .finally(() => {
          this.screenName = "";
          this.render();
        });
    }
    this.render();
    this.focus();
  }

  pressed(event) {
    if (event.key === "Escape" && this.isOpen && !event.isComposing) {
      if (this.isListing) this.showList(false);
      else this.toggle(false);
    }
    // Where the panel covers the page, nothing behind it is to be reached.
    if (event.key === "Tab" && this.isOpen && this.narrow.matches) this.keepInside(event);
  }

  keepInside(event) {
    const all = [...this.panel.querySelectorAll("a[href], button, textarea, input:not([hidden]), [tabindex='0']")];
    const reachable = all.filter((each) => each.offsetParent !== null);
    const [first, last] = [reachable[0], reachable[reachable.length - 1]];
    const at = this.host.shadowRoot.activeElement;
    const target = event.shiftKey && at === first ? last : !event.shiftKey && at === last ? first : null;
    if (!target) return;
    event.preventDefault();
    target.focus();
  }

  announce(text) {
    this.announcer.textContent = "";
    // A change within one turn would not be noticed.
    setTimeout(() => (this.announcer.textContent = text), 50);
  }

  // ----------------------------------------------------------------------------------------------------------- showing

  render() {
    const { chat, words } = this;
    const unread = this.isOpen ? 0 : chat.unread;
    const label = this.isOpen ? words("close") : words("open") + (unread ? ` (${words("unread", { n: unread })})` : "");
    this.launcher.setAttribute("aria-label", label);
    this.launcher.setAttribute("aria-expanded", this.isOpen);
    this.badge.textContent = unread > 9 ? "9+" : unread;
    this.badge.hidden = !unread;
    this.panel.hidden = !this.isOpen;
    this.root.classList.toggle("is-open", this.isOpen);
    this.panel.setAttribute("aria-modal", this.narrow.matches);
    if (!this.isOpen) return;
    const at = this.host.shadowRoot.activeElement;
    this.showScreen();
    this.showMark();
    this.showBanner();
    if (at && !at.offsetParent) this.focus(); // it was taken away, or made anew
    chat.note();
  }

  showScreen() {
    const { chat, words, options } = this;
    const isBarred = chat.phase === "barred";
    const asks = options.collect && !isBarred && this.identity.isUnknown && !this.identity.user.claims.email;
    const name = asks ? "form" : this.isListing ? "list" : "chat";
    if (name !== this.screenName) {
      this.screenName = name;
      this.screen = null;
      if (name === "form")
        this.screen = introduction({
          words,
          prefill: options.prefill,
          extraFields: options.extraFields,
          done: (claims) => this.introduced(claims),
        });
      if (name === "list") this.screen = this.listScreen();
      this.middle.replaceChildren(this.screen ? this.screen.element : this.view.element);
      if (name === "chat") requestAnimationFrame(() => this.view.toEnd());
    }
    const isChat = name === "chat";
    if (isChat) this.view.render();
    this.back.hidden = name !== "list";
    this.chats.hidden = !isChat || !chat.list?.length;
    this.composer.element.hidden = !isChat || chat.hasEnded || isBarred || chat.phase === "refused";
    this.showEnding(isChat && chat.hasEnded && !isBarred);
    this.showQuestions(isChat && !isBarred && !chat.conversation && !chat.outbox.items.length);
  }

  listScreen() {
    const { chat, words, language } = this;
    return conversations({
      words,
      language,
      items: chat.list || [],
      current: chat.conversation,
      choose: (item) => {
        this.isListing = false;
        chat.enter(item).catch(chat.failed);
        this.render();
        this.focus();
      },
      fresh: () => this.begin(),
    });
  }

  begin() {
    this.isListing = false;
    this.chat.startFresh();
    this.render();
    this.focus();
  }

  showEnding(isShown) {
    this.ending.hidden = !isShown;
    if (!isShown || this.ending.firstChild) return;
    this.ending.append(
      element("p", { role: "alert", text: this.words("ended") }),
      element(
        "button",
        { type: "button", class: "primary", onclick: () => this.begin() },
        icon("plus"),
        this.words("fresh"),
      ),
    );
  }

  showQuestions(isShown) {
    this.questions.hidden = !isShown || !this.options.questions.length;
    if (this.questions.hidden || this.questions.firstChild) return;
    for (const text of this.options.questions) {
      const ask = () => {
        this.chat.send(String(text), []);
        this.composer.focus();
      };
      this.questions.append(element("button", { type: "button", class: "question", text, onclick: ask }));
    }
  }

  /** Who the service takes the visitor for. Nothing but its own word makes the mark. */
  showMark() {
    const { contact, isProven } = this.identity;
    const isVerified = contact?.verified && this.chat.phase === "ready";
    const name = isVerified && (contact.name || contact.email);
    const state = isVerified ? `yes ${name}` : isProven ? "" : "no";
    if (this.marked === state) return;
    this.marked = state;
    this.mark.className = `mark ${isVerified ? "verified" : ""}`;
    this.mark.replaceChildren(
      ...(isVerified
        ? [icon("shield"), element("span", { text: name ? this.words("signedIn", { name }) : this.words("verified") })]
        : state === "no"
          ? [element("span", { text: this.words("guest") })]
          : []),
    );
    this.mark.title = isVerified ? `${this.words("verified")}: ${name}` : "";
  }

  showBanner() {
    const { phase, isLost } = this.chat;
    const name = ["barred", "expired", "refused", "down"].includes(phase) ? phase : isLost ? "offline" : "";
    if (this.bannered === name) return;
    this.bannered = name;
    this.banner.replaceChildren();
    if (!name) return;
    const text = this.words(name);
    const href = name === "barred" && this.options.signInUrl;
    this.banner.append(icon("alert"), element("span", {}, href ? element("a", { class: "link", href, text }) : text));
    if (name === "offline" || name === "barred") return;
    const onclick = () => this.chat.retry();
    this.banner.append(element("button", { type: "button", class: "link", text: this.words("retry"), onclick }));
  }

  /** Says what has come, for those who do not see it. */
  tellOf(message) {
    if (!isAnswer(message) || this.said.has(message.id)) return;
    this.said.add(message.id);
    if (!this.isOpen) return;
    this.announce(`${this.view.nameOf(message.sender)}: ${message.text || ""}`);
  }

  destroy() {
    this.host.remove();
  }
}
