// Shows answers: exchanges, tokens, profiles; it must not ask for anything.

import { duration, element, moment, pretty } from "./dom.js";

const CLAIMS = {
  alg: "how it is signed: ECDSA on P-256",
  kid: "which published key signed it",
  typ: "what kind of JWT it is",
  iss: "who issued it",
  aud: "whom it is for: this workspace only",
  sub: "whom it stands for: the contact",
  iat: "when it was issued",
  exp: "when it ends",
  jti: "the name of this one token",
  org_id: "the workspace",
  contact: "the contact, and whether it is verified",
  method: "how the person was proven",
  auth_time: "when the person was proven",
};
const TIMES = new Set(["iat", "exp", "auth_time"]);
const FIELDS = [
  ["name", "Name"],
  ["email", "E-mail"],
  ["phone", "Phone"],
  ["avatar_url", "Picture’s address"],
  ["language", "Language"],
  ["custom_data", "Custom data"],
];
const SOURCES = { server_to_server: "Customer’s backend" };

/** A request and its answer. */
export function exchange({ call, answer, milliseconds }) {
  const good = answer.status < 400;
  const request = [`${call.method} ${call.url}`, ...headerLines(call.headers)];
  if (call.body) request.push("", call.body);
  const reply = [...headerLines(answer.headers), "", shortened(pretty(answer.body))];
  return [
    element("h3", { text: "The request" }),
    element("pre", { text: request.join("\n") }),
    element(
      "h3",
      {},
      "The answer ",
      element("span", { class: good ? "status good" : "status bad", text: `${answer.status} ${answer.reason}` }),
      element("span", { class: "aside", text: ` after ${milliseconds} ms` }),
    ),
    element("pre", { text: reply.join("\n") }),
  ];
}

/** JSON as it came, but for very long texts: the token has a place of its own. */
function shortened(text) {
  return text.replace(/"([^"\\]{200,})"/g, (_, long) => `"${long.slice(0, 48)}… (${long.length} characters in all)"`);
}

function headerLines(headers) {
  return Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
}

/** The token in its three parts. */
export function rawToken(parts) {
  const names = ["header", "claims", "signature"];
  const spans = parts.flatMap((part, index) => [
    index ? "." : null,
    element("span", { class: `part-${names[index]}`, text: part }),
  ]);
  const legend = names.map((name) => element("span", { class: `part-${name}`, text: name }));
  return element(
    "div",
    { class: "code" },
    element(
      "div",
      { class: "code-bar" },
      element("span", { text: "Contact token" }),
      element("span", { class: "legend" }, ...legend),
    ),
    element("pre", {}, ...spans.filter(Boolean)),
  );
}

/** Members of the header or the claims, each with what it means; `changed` names those that are not the issuer's. */
export function members(title, values, changed = []) {
  const rows = Object.entries(values).map(([name, value]) =>
    element(
      "div",
      { class: changed.includes(name) ? "member changed" : "member" },
      element("dt", {}, element("code", { text: name })),
      element("dd", {}, claimValue(name, value), changed.includes(name) ? element("em", { text: "changed" }) : null),
      element("dd", { class: "aside", text: CLAIMS[name] ?? "" }),
    ),
  );
  const list = element("dl", { class: "members" }, ...rows);
  return element("div", { class: "panel" }, element("h3", { text: title }), list);
}

function claimValue(name, value) {
  if (TIMES.has(name)) return moment(value * 1000);
  return element("code", { text: typeof value === "string" ? value : JSON.stringify(value) });
}

/** The verdict on the signature, then the other checks. */
export function verdict({ holds, kid, others }) {
  const words = holds
    ? ["The signature holds", `Made by the key ${kid}, which this service publishes. Checked here with WebCrypto.`]
    : ["The signature does not hold", "These claims are not what was signed, so nothing they say counts."];
  return element(
    "div",
    { class: holds ? "verdict good" : "verdict bad", id: "signature-mark", "data-holds": String(holds) },
    mark(holds),
    element(
      "div",
      {},
      element("p", { class: "verdict-title", text: words[0] }),
      element("p", { text: words[1] }),
      holds ? element("ul", { class: "checks" }, ...others.map(({ holds, text }) => checked(holds, text))) : null,
    ),
  );
}

function checked(holds, text) {
  return element("li", {}, mark(holds), text);
}

function mark(holds) {
  const [kind, word, sign] = holds ? ["mark good", "Yes:", "✓"] : ["mark bad", "No:", "✕"];
  return element("span", { class: kind, role: "img", "aria-label": word, text: sign });
}

/** What ends when. */
export function endings(claims, freshSeconds) {
  const seconds = claims.exp - Date.now() / 1000;
  const left = element("strong", { id: "token-left", "data-exp": String(claims.exp), text: duration(seconds) });
  const kept = element("strong", { text: duration(freshSeconds) });
  const command = element("code", { text: "vestibule signing-keys retire" });
  return element(
    "ul",
    { class: "endings" },
    element("li", {}, "The token ends in ", left, ": ", moment(claims.exp * 1000), "."),
    element("li", {}, "It ends within seconds if its signing key is withdrawn (", command, ") or its contact erased."),
    element("li", {}, "Copies of the public keys may be kept for ", kept, "."),
  );
}

/** What the sign-in did to the contact, by the profile's own words. */
export function outcome(me, began) {
  const written = FIELDS.filter(([name]) => isNew(me, name, began)).map(([, title]) => title);
  // A contact's id is a UUIDv7: its first 48 bits are the time at which it was made.
  const madeAt = Number.parseInt(me.id.replaceAll("-", "").slice(0, 12), 16);
  if (madeAt >= began) return ["Created", "This e-mail was new here, so a contact was made."];
  if (written.length) return ["Updated", `The contact was known. New: ${written.join(", ")}.`];
  return ["Unchanged", "The contact was known, and nothing about it is new."];
}

function isNew(me, name, began) {
  const origin = me.provenance[name];
  return Boolean(origin) && Date.parse(origin.at) >= began;
}

/** The profile, each value with where it came from and when. */
export function profile(me, began) {
  const head = ["Field", "Value", "Came from", "Since"].map((text) => element("th", { scope: "col", text }));
  const rows = FIELDS.map(([name, title]) => {
    const origin = me.provenance[name];
    const since = origin ? [moment(Date.parse(origin.at))] : ["never said"];
    if (isNew(me, name, began)) since.push(element("span", { class: "new", text: "new" }));
    return element(
      "tr",
      {},
      element("th", { scope: "row", text: title }),
      element("td", { "data-title": "Value", "data-field": name }, profileValue(me[name], origin)),
      element("td", { "data-title": "Came from" }, origin ? (SOURCES[origin.source] ?? origin.source) : "–"),
      element("td", { "data-title": "Since" }, ...since),
    );
  });
  return element(
    "table",
    { class: "profile" },
    element("caption", { class: "visually-hidden", text: "The profile behind the token" }),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}

function profileValue(value, origin) {
  if (value === null || (typeof value === "object" && !Object.keys(value).length)) {
    return element("span", { class: "aside", text: origin ? "cleared" : "nothing" });
  }
  if (typeof value !== "object") return element("span", { text: value });
  const entries = Object.entries(value).map(([name, member]) =>
    element("li", {}, element("code", { text: `${name} = ${JSON.stringify(member)}` })),
  );
  return element("ul", { class: "plain" }, ...entries);
}
