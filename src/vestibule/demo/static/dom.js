// Builds page content from text; nothing here or elsewhere on the page makes markup of a text.

/** An element with attributes (`text` is its text) and children, which may be texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** JSON indented, anything else as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const WHEN = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A moment in the reader's own time zone. */
export function moment(milliseconds) {
  const date = new Date(milliseconds);
  return element("time", { datetime: date.toISOString(), title: date.toISOString(), text: WHEN.format(date) });
}

/** `3 d`, `24 h`, `4 min 10 s`, `9 s`. */
export function duration(seconds) {
  const parts = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (name === "d" && left < 2 * size) continue;
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${name}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}
