// Shows Markdown as elements; texts of strangers, so: only elements made here, only the attributes set here, links to
// http, https and mailto alone, pictures as links (a picture's server would learn who reads). HTML is text. Nothing is
// looked for further than a bounded way ahead, so no text takes long.

import { element } from "./dom.js";

const SCHEMES = ["http:", "https:", "mailto:"];
const DEEPEST = 6;
const FURTHEST = 2000;
const FENCE = /^ {0,3}(```+|~~~+)/;
const ITEM = /^ {0,3}(?:([-*+])|(\d{1,9})[.)])[ \t]+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const HEADING = /^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const BARE = /^https?:\/\/[^\s<>"'`]{1,1000}/i;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

/** The blocks of a text, as a fragment. */
export function markdown(text, depth = 0) {
  const made = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) {
      at += 1;
    } else if (FENCE.test(line)) {
      at = fence(made, lines, at);
    } else if (RULE.test(line)) {
      made.append(element("hr"));
      at += 1;
    } else if (HEADING.test(line)) {
      made.append(element("p", {}, element("strong", {}, ...inline(HEADING.exec(line)[1]))));
      at += 1;
    } else if (QUOTE.test(line) && depth < DEEPEST) {
      const inner = [];
      for (let match; at < lines.length && (match = QUOTE.exec(lines[at])); at += 1) inner.push(match[1]);
      made.append(element("blockquote", {}, markdown(inner.join("\n"), depth + 1)));
    } else if (ITEM.test(line) && depth < DEEPEST) {
      at = list(made, lines, at, depth);
    } else {
      const from = at;
      at += 1;
      while (at < lines.length && lines[at].trim() && !opensBlock(lines[at])) at += 1;
      made.append(
        element(
          "p",
          {},
          ...inline(
            lines
              .slice(from, at)
              .map((each) => each.trim())
              .join("\n"),
          ),
        ),
      );
    }
  }
  return made;
}

function opensBlock(line) {
  return [FENCE, ITEM, QUOTE, HEADING, RULE].some((each) => each.test(line));
}

function fence(made, lines, at) {
  const mark = FENCE.exec(lines[at])[1];
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(mark)) end += 1;
  made.append(element("pre", { tabindex: "0" }, element("code", { text: lines.slice(at + 1, end).join("\n") })));
  return end + 1;
}

function list(made, lines, at, depth) {
  const numbered = ITEM.exec(lines[at])[2];
  const found = element(numbered ? "ol" : "ul", { start: numbered && numbered !== "1" ? numbered : undefined });
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    if (!match || !match[2] !== !numbered) break;
    const inner = [match[3]];
    for (at += 1; at < lines.length && /^(?: {2,}|\t)\S/.test(lines[at]); at += 1)
      inner.push(lines[at].replace(/^(?: {2,4}|\t)/, ""));
    while (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
    found.append(element("li", {}, markdown(inner.join("\n"), depth + 1)));
  }
  made.append(found);
  return at;
}

/** The pieces of a paragraph. */
function inline(text, depth = 0) {
  const made = [];
  let plain = "";
  const put = (node) => {
    if (plain) made.push(plain);
    plain = "";
    made.push(node);
  };
  let at = 0;
  while (at < text.length) {
    const letter = text[at];
    const found = "\\\n`*_![<hH".includes(letter) ? special(text, at, depth) : null;
    if (!found) {
      plain += letter;
      at += 1;
    } else {
      if (found.text !== undefined) plain += found.text;
      else put(found.node);
      at = found.end;
    }
  }
  if (plain) made.push(plain);
  return made;
}

function special(text, at, depth) {
  const letter = text[at];
  const ahead = text.slice(at, at + FURTHEST);
  if (letter === "\\") return ESCAPABLE.test(ahead[1] || "") ? { text: ahead[1], end: at + 2 } : null;
  if (letter === "\n") return { node: element("br"), end: at + 1 };
  if (letter === "`") return codeSpan(ahead, at);
  if (letter === "<") return pointed(ahead, at);
  if (letter === "h" || letter === "H") return bare(text, ahead, at);
  if (letter === "[" || ahead.startsWith("![")) return labelled(ahead, at, depth);
  return letter === "!" ? null : emphasis(text, ahead, at, depth);
}

function codeSpan(ahead, at) {
  const ticks = /^`+/.exec(ahead)[0];
  for (let end = ahead.indexOf(ticks, ticks.length); end > 0; end = ahead.indexOf(ticks, end + 1)) {
    const after = end + ticks.length;
    if (ahead[end - 1] === "`" || ahead[after] === "`") continue;
    return {
      node: element("code", { text: ahead.slice(ticks.length, end).replace(/\n/g, " ").trim() }),
      end: at + after,
    };
  }
  return { text: ticks, end: at + ticks.length };
}

function pointed(ahead, at) {
  const match = /^<([^\s<>]{1,1000})>/.exec(ahead);
  const node =
    match && link(match[1].includes("@") && !match[1].includes(":") ? `mailto:${match[1]}` : match[1], [match[1]]);
  return node ? { node, end: at + match[0].length } : null;
}

function bare(text, ahead, at) {
  if (at > 0 && WORD.test(text[at - 1])) return null;
  const match = BARE.exec(ahead);
  if (!match) return null;
  const address = match[0].replace(/[.,:;!?)\]}*_~]+$/, "");
  const node = link(address, [address]);
  return node ? { node, end: at + address.length } : null;
}

/** `[text](address)`, `![text](address)`; both become links. */
function labelled(ahead, at, depth) {
  const from = ahead[0] === "!" ? 2 : 1;
  let open = 1;
  let end = from;
  for (; end < ahead.length && open; end += 1) {
    if (ahead[end] === "\\") end += 1;
    else if (ahead[end] === "[") open += 1;
    else if (ahead[end] === "]") open -= 1;
  }
  const match = open ? null : /^\(\s*<?([^\s<>]{1,1500}?)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/.exec(ahead.slice(end));
  if (!match) return null;
  const label = ahead.slice(from, end - 1);
  const inner = depth < DEEPEST ? inline(label, depth + 1) : [label];
  // A link within a link is none.
  const flat = inner.map((piece) => (piece instanceof HTMLAnchorElement ? piece.textContent : piece));
  const node = link(match[1].replace(/\\([!-/:-@[-`{-~])/g, "$1"), flat.length ? flat : [match[1]]);
  const whole = end + match[0].length;
  return node ? { node, end: at + whole } : { text: label || match[1], end: at + whole };
}

function emphasis(text, ahead, at, depth) {
  const letter = ahead[0];
  const mark = ahead[1] === letter ? letter + letter : letter;
  const before = at > 0 ? text[at - 1] : " ";
  const opens = ahead[mark.length] && !/\s/.test(ahead[mark.length]) && !(letter === "_" && WORD.test(before));
  if (!opens || depth >= DEEPEST) return { text: mark, end: at + mark.length };
  for (let end = ahead.indexOf(mark, mark.length + 1); end > 0; end = ahead.indexOf(mark, end + 1)) {
    const following = ahead[end + mark.length] || " ";
    if (/[\s\\]/.test(ahead[end - 1]) || (letter === "_" && WORD.test(following))) continue;
    if (mark.length === 1 && (following === letter || ahead[end - 1] === letter)) continue;
    const inner = inline(ahead.slice(mark.length, end), depth + 1);
    return { node: element(mark.length === 2 ? "strong" : "em", {}, ...inner), end: at + end + mark.length };
  }
  return { text: mark, end: at + mark.length };
}

/** A link, or null where the address is not one that may be followed from a chat. */
export function link(address, children) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (!SCHEMES.includes(url.protocol)) return null;
  return element("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, ...children);
}
