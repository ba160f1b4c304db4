// Where the visitor writes: a text, files, and a button. It hands them on and keeps nothing but the draft.

import { element } from "./dom.js";
import { icon } from "./icons.js";
import { Expired } from "./identity.js";

const LONGEST_TEXT = 32000;
const MOST_FILES = 10;
const TALLEST = 140;
const KINDS = "image/png,image/jpeg,image/gif,image/webp,.pdf,.csv,.xls,.xlsx,.docx,.txt,.mp4,.webm,.mp3,.wav,.ogg";

export class Composer {
  constructor(parts) {
    const { words, device } = Object.assign(this, parts);
    this.owner = null; // the verified person who writes here
    this.aside = null;
    this.files = [];
    this.text = element("textarea", {
      rows: "1",
      maxlength: LONGEST_TEXT,
      placeholder: words("write"),
      "aria-label": words("message"),
      enterkeyhint: "send",
      dir: "auto",
      oninput: () => this.typed(),
      onkeydown: (event) => this.pressed(event),
      onpaste: (event) => {
        const { clipboardData: pasted } = event;
        // Cells of a spreadsheet bring a picture of themselves along.
        const isText = pasted.types.includes("text/html") && pasted.getData("text/plain").trim();
        if (!isText) this.take([...pasted.files], event);
      },
    });
    this.text.value = device.tab.get("draft") || "";
    const picker = element("input", { type: "file", multiple: true, accept: KINDS, hidden: true });
    picker.addEventListener("change", () => {
      this.take([...picker.files]);
      picker.value = "";
    });
    this.button = element(
      "button",
      { type: "submit", class: "send", "aria-label": words("send"), title: words("send") },
      icon("send"),
    );
    this.chips = element("ul", { class: "chips", hidden: true });
    this.element = element(
      "form",
      { class: "composer", onsubmit: (event) => this.submit(event) },
      this.chips,
      element(
        "div",
        { class: "row" },
        element(
          "button",
          {
            type: "button",
            class: "tool",
            "aria-label": words("attach"),
            title: words("attach"),
            onclick: () => picker.click(),
          },
          icon("attach"),
        ),
        picker,
        this.text,
        this.button,
      ),
    );
    this.refresh();
  }

  focus() {
    this.text.focus({ preventScroll: true });
  }

  clear() {
    this.text.value = "";
    this.files = [];
    this.typed();
    this.showFiles();
  }

  /** Another may be there from now on. What a verified person has begun is put aside until it is known who it is; a
   *  guest goes on in it, and what they have attached is sent again: the service has it as the guest's. */
  handOver() {
    const { owner } = this;
    const files = this.files.map((item) => item.file);
    if (owner) {
      this.owner = null;
      this.aside = { owner, files, text: this.text.value };
      this.clear();
    } else {
      this.files = [];
      this.add(files);
    }
  }

  /** The service has said who is there. `{}`: nobody is any more. */
  welcome({ id, verified }) {
    const { aside } = this;
    this.aside = null;
    this.owner = verified ? id : null;
    if (!aside || aside.owner !== id) return;
    this.text.value = aside.text + this.text.value;
    this.typed();
    this.add(aside.files);
  }

  typed() {
    this.device.tab.set("draft", this.text.value);
    this.refresh();
  }

  refresh() {
    const { style } = this.text;
    style.height = "auto";
    if (this.text.scrollHeight) style.height = `${Math.min(this.text.scrollHeight, TALLEST)}px`;
    const isReady = this.files.every((file) => file.kept) && (this.text.value.trim() || this.files.length);
    // Not `disabled`: that would lose the focus, and tell a screen reader nothing.
    this.button.setAttribute("aria-disabled", !isReady);
  }

  pressed(event) {
    // While an input method composes, Enter chooses a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    this.submit(event);
  }

  submit(event) {
    event.preventDefault();
    if (this.button.getAttribute("aria-disabled") === "true") return;
    const text = this.text.value.trim();
    const attachments = this.files.map((file) => file.kept);
    this.clear();
    this.focus();
    this.chat.send(text, attachments);
  }

  take(files, event) {
    if (!files.length) return;
    if (event) event.preventDefault();
    this.add(files);
    this.focus();
  }

  add(files) {
    for (const file of files.slice(0, MOST_FILES - this.files.length)) {
      const item = { file, name: file.name || "file" };
      this.files.push(item);
      this.upload(item);
    }
  }

  async upload(item) {
    Object.assign(item, { kept: null, problem: null });
    this.showFiles();
    try {
      item.kept = await this.chat.upload(item.file);
    } catch (error) {
      item.problem = this.words(error instanceof Expired ? "expired" : "badFile", { name: item.name });
      if (this.files.includes(item)) this.announce(item.problem);
    }
    this.showFiles();
  }

  showFiles() {
    this.chips.replaceChildren(...this.files.map((item) => this.chip(item)));
    this.chips.hidden = !this.files.length;
    this.refresh();
  }

  chip(item) {
    const drop = () => {
      this.files = this.files.filter((other) => other !== item);
      this.showFiles();
      this.focus();
    };
    const label = this.words("remove", { name: item.name });
    const state = item.problem ? "bad" : item.kept ? "kept" : "going";
    return element(
      "li",
      { class: `chip ${state}` },
      icon(item.problem ? "alert" : "file"),
      element("span", { class: "file-name", text: item.problem || item.name, dir: "auto" }),
      item.problem
        ? element("button", {
            type: "button",
            class: "link",
            text: this.words("retry"),
            onclick: () => {
              this.upload(item);
              this.focus();
            },
          })
        : null,
      element(
        "button",
        { type: "button", class: "tool small", "aria-label": label, title: label, onclick: drop },
        icon("close"),
      ),
    );
  }
}
