// Builds the widget's elements; nothing in the widget makes markup of a text (no innerHTML, so Trusted Types hold).

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`text` is its text, `on…` a listener) and children, which may be texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if ((value ?? false) === false) continue;
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => (child ?? false) !== false));
  return made;
}

/** A picture of strokes, for decoration: what it means stands beside it or in a label. */
export function picture(strokes) {
  const made = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" };
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", strokes);
  made.append(path);
  return made;
}

export function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
