// The other things that a panel may show: a form before the chat, the list of conversations, a notice. They decide
// nothing.

import { element } from "./dom.js";
import { icon } from "./icons.js";

const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

/** Asks the visitor who they are. What they say is believed for this device only, so it is asked for once. */
export function introduction({ words, prefill, extraFields, done }) {
  const fields = [
    { name: "name", label: words("name"), autocomplete: "name", least: 2, value: prefill.name },
    { name: "email", label: words("email"), type: "email", autocomplete: "email", value: prefill.email },
    ...extraFields.map((label, index) => ({ name: `extra-${index}`, label, extra: label })),
  ].map((field) => ({ ...field, ...inputOf(field) }));
  const submit = (event) => {
    event.preventDefault();
    const wrong = fields.filter((field) => !check(field, words));
    if (wrong.length) {
      wrong[0].input.focus();
      return;
    }
    const value = (name) => fields.find((field) => field.name === name).input.value.trim();
    const extras = fields.filter((field) => field.extra).map((field) => [field.extra, field.input.value.trim()]);
    done({ name: value("name"), email: value("email"), custom_data: Object.fromEntries(extras) });
  };
  const made = element(
    "form",
    { class: "scroll introduction", novalidate: true, onsubmit: submit },
    element("p", { text: words("intro") }),
    fields.map((field) => field.row),
    element("button", { type: "submit", class: "primary", text: words("start") }),
  );
  return { element: made, focus: () => fields[0].input.focus() };
}

function inputOf({ name, label, type = "text", autocomplete = "off", value = "" }) {
  const id = `field-${name}`;
  const input = element("input", {
    id,
    name,
    type,
    autocomplete,
    maxlength: "254",
    required: true,
    "aria-describedby": `${id}-fault`,
    dir: "auto",
  });
  input.value = value || "";
  const fault = element("span", { id: `${id}-fault`, class: "fault" });
  return {
    input,
    fault,
    row: element("div", { class: "field" }, element("label", { for: id, text: label }), input, fault),
  };
}

function check(field, words) {
  const value = field.input.value.trim();
  let fault = "";
  if (value.length < (field.least || 1)) fault = words("required");
  else if (field.name === "email" && !EMAIL.test(value)) fault = words("badEmail");
  field.fault.textContent = fault;
  field.input.setAttribute("aria-invalid", Boolean(fault));
  return !fault;
}

/** The visitor's conversations, the latest first. */
export function conversations({ words, language, items, current, choose, fresh }) {
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
  const rows = items.map((item) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          class: "thread",
          "aria-current": current?.id === item.id && "true",
          onclick: () => choose(item),
        },
        element(
          "span",
          { class: "thread-text" },
          element("bdi", { text: plain(item.last_message) || `#${item.number}` }),
        ),
        element(
          "span",
          { class: "thread-when" },
          when.format(new Date(item.updated_at)),
          item.status === "open" ? null : ` · ${words("ended")}`,
        ),
      ),
    ),
  );
  const made = element(
    "div",
    { class: "scroll threads" },
    rows.length ? element("ul", {}, rows) : element("p", { class: "note", text: words("none") }),
    element("button", { type: "button", class: "primary", onclick: fresh }, icon("plus"), words("fresh")),
  );
  return { element: made, focus: () => made.querySelector("button").focus() };
}

/** A line of Markdown without its marks. */
function plain(text) {
  return (text || "")
    .replace(/!?\[([^\]]{0,200})\]\([^)]{0,500}\)/g, "$1")
    .replace(/[*_`#>]+/g, "")
    .slice(0, 140);
}
