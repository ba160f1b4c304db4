// A chat page of our own that speaks the OpenCX widget API call by call, as contracts/opencx.md sections 3 to 5 describe
// the stock widget (which is not ours to commit): start-up, storage, first message, polling, rating. Like the stock widget
// it shows a visitor's text as text, and everybody else's as Markdown with raw HTML, unsanitised. It is for tests.
//
// Options, as JSON in the fragment: {apiUrl, token, user: {token, data: {email, name, customData}, externalId},
// collectUserData, sessionCustomData, messageCustomData, context, language, initialMessages, renderer}

"use strict";

const options = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
const user = options.user ?? {};
const BASE = `${(options.apiUrl ?? "").replace(/\/$/, "")}/backend/widget/v2`;
const KEY = `opencx-widget:org-token-${options.token}`;
const TOKEN_KEY = `${KEY}:contact-token`;
const SCOPE_KEY = `${KEY}:external-contact-id`;
const ERROR = "Something went wrong. Please try again.";

const at = (selector) => document.querySelector(selector);
// What the tests look at.
const state = (window.widget = {
  config: null, contactToken: null, externalId: null, sessions: [], session: null, rows: [], polls: 0, sends: 0,
});

// ------------------------------------------------------------------------------------------------------- the wire

async function call(method, path, body) {
  const headers = { "X-Bot-Token": options.token, "Content-Type": "application/json", Accept: "application/json" };
  if (state.contactToken) headers.Authorization = `Bearer ${state.contactToken}`;
  const answer = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  return { ok: answer.ok, status: answer.status, data: answer.ok ? await answer.json() : null };
}

async function start() {
  // With a user token the very first call already carries it.
  state.contactToken = user.token ?? null;
  const config = await call("GET", "/config").catch(() => null);
  if (!config?.ok || !config.data.org) {
    console.error("the widget could not be started");
    return; // nothing at all is shown
  }
  state.config = config.data;
  at("h1").textContent = config.data.org.name;
  at("#widget").hidden = false;
  if (user.token) {
    state.externalId = user.externalId ?? null;
    await begin();
  } else if (options.collectUserData && !user.data?.email) {
    if (localStorage.getItem(TOKEN_KEY)) await reuse();
    else show("#welcome");
  } else if (!user.data?.email) {
    if (localStorage.getItem(TOKEN_KEY)) await reuse();
    else await introduce(said(user.data));
  } else {
    await introduce(said(user.data)); // on every page load, whatever is stored
  }
}

function said({ email, name, customData } = {}) {
  const body = {};
  if (email) body.email = email;
  if (name) body.non_verified_name = name;
  if (customData) body.non_verified_custom_data = customData;
  return body;
}

async function introduce(body) {
  const answer = await call("POST", "/contact/create-unverified", body).catch(() => null);
  if (!answer?.ok) return; // an error flag that nobody shows
  state.contactToken = answer.data.token;
  await remember();
}

async function reuse() {
  state.contactToken = localStorage.getItem(TOKEN_KEY);
  await remember();
}

async function remember() {
  state.externalId = user.externalId ?? localStorage.getItem(SCOPE_KEY) ?? crypto.randomUUID();
  localStorage.setItem(TOKEN_KEY, state.contactToken);
  localStorage.setItem(SCOPE_KEY, state.externalId);
  await begin();
}

async function begin() {
  await refresh();
  setInterval(refresh, (state.config.sessionsPollingIntervalSeconds || 60) * 1000);
  if (state.sessions.length === 0) newChat();
  else showList();
}

async function refresh() {
  const filters = JSON.stringify(state.externalId ? { external_id: state.externalId } : {});
  const answer = await call("GET", `/sessions?filters=${encodeURIComponent(filters)}`).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new Map(answer.data.items.map((item) => [item.id, item]));
  state.sessions = [...answer.data.items, ...state.sessions.filter((item) => !fresh.has(item.id))];
  renderList();
  if (state.session && fresh.has(state.session.id)) sessionIs(fresh.get(state.session.id));
}

async function createSession() {
  const customData = { ...(options.sessionCustomData ?? {}) };
  if (state.externalId) customData.external_id = state.externalId;
  const answer = await call("POST", "/create-session", Object.keys(customData).length ? { customData } : {});
  return answer.ok ? answer.data : null; // a refusal is shown to nobody
}

async function send(text) {
  const message = { uuid: crypto.randomUUID(), content: text.trim() };
  if (!message.content) return;
  const first = state.session === null;
  state.sends += 1;
  append({ publicId: message.uuid, sender: { kind: "user" }, content: { text: message.content } });
  if (first) {
    const session = await createSession().catch(() => null);
    if (!session) return;
    state.session = session;
    refresh();
    poll(session.id);
  }
  const body = {
    ...message,
    session_id: state.session.id,
    bot_token: options.token,
    attachments: [],
    custom_data: options.messageCustomData ?? {},
  };
  if (options.context) body.clientContext = options.context;
  if (options.language) body.language = options.language;
  if (first && state.greetings.length) body.initial_messages = state.greetings;
  state.awaiting = true;
  const answer = await call("POST", "/chat/send", body).catch(() => ({ ok: false }));
  state.awaiting = false;
  if (!answer.ok) return bubble("error", ERROR);
  if (answer.data.success === false) return bubble("error", answer.data.error?.message ?? ERROR);
  const reply = answer.data.autopilotResponse;
  if (reply) {
    append({ publicId: reply.id, sender: { kind: "ai" }, content: { text: reply.value.content } });
  }
  if (answer.data.session) sessionIs(answer.data.session);
}

// The whole history, from the start of the previous poll on every M seconds, also after the end of the session.
async function poll(id) {
  clearTimeout(state.timer);
  state.timer = setTimeout(() => poll(id), (state.config.sessionPollingIntervalSeconds || 10) * 1000);
  state.polls += 1;
  const answer = await call("GET", `/poll/${id}`).catch(() => null);
  if (!answer?.ok || state.session?.id !== id) return;
  let rows = answer.data.history;
  if (state.awaiting) {
    // The trailing answers are held back until the send brings them.
    let end = rows.length;
    while (end && rows[end - 1].sender.kind === "ai") end -= 1;
    rows = rows.slice(0, end);
  }
  rows.forEach(append);
  sessionIs(answer.data.session);
}

function sessionIs(session) {
  if (state.session?.id !== session.id) return;
  const changed = JSON.stringify(session) !== JSON.stringify(state.session);
  state.session = session;
  renderEnd();
  // Why a session that did not change must be equal member for member.
  if (changed && !session.isOpened) poll(session.id);
}

async function resolve() {
  const answer = await call("POST", "/session/resolve", { session_id: state.session.id });
  if (answer.ok) sessionIs(answer.data);
}

async function rate(score) {
  const row = {
    publicId: crypto.randomUUID(),
    sender: { kind: "system" },
    content: {},
    systemMessagePayload: { type: "csat_submitted", payload: { score } },
  };
  append(row);
  renderEnd();
  await call("POST", "/submit-csat", { session_id: state.session.id, score, system_message_uuid: row.publicId });
}

// ------------------------------------------------------------------------------------------------------ the screens

function show(...selectors) {
  for (const part of ["#welcome", "#list", "#chat", "#composer", "#closed"]) at(part).hidden = !selectors.includes(part);
  at("#back").hidden = !selectors.includes("#chat");
  at("#resolve").hidden = !selectors.includes("#composer") || !state.session;
}

function showList() {
  clearTimeout(state.timer);
  state.session = null;
  renderList();
  show("#list");
}

function openChat() {
  state.rows = [];
  state.greetings = [];
  at("#chat").replaceChildren();
  renderEnd();
}

function newChat() {
  state.session = null;
  openChat();
  for (const content of options.initialMessages ?? []) {
    const greeting = { uuid: crypto.randomUUID(), content };
    state.greetings.push(greeting);
    append({ publicId: greeting.uuid, sender: { kind: "ai" }, content: { text: content } });
  }
}

function openSession(session) {
  state.session = session;
  openChat();
  poll(session.id);
}

function renderList() {
  const cards = state.sessions.map((session) => {
    const card = document.createElement("button");
    card.type = "button";
    card.className = "card";
    card.dataset.id = session.id;
    card.dataset.open = session.isOpened;
    markup(card, session.lastMessage ?? "…");
    card.addEventListener("click", () => openSession(session));
    return card;
  });
  const fresh = document.createElement("button");
  fresh.type = "button";
  fresh.textContent = "New conversation";
  fresh.addEventListener("click", newChat);
  at("#list").replaceChildren(...cards, fresh);
}

function renderEnd() {
  const open = state.session === null || state.session.isOpened;
  show("#chat", open ? "#composer" : "#closed");
  if (open) return;
  const has = (type) => state.rows.find((row) => row.systemMessagePayload?.type === type);
  const rated = has("csat_submitted");
  at("#survey").hidden = !has("csat_requested") || Boolean(rated);
  at("#outcome").textContent = rated ? `Rated ${rated.systemMessagePayload.payload.score} of 5` : "Issue resolved";
}

// Rows are added in the order in which they come, and told apart by their id alone.
function append(row) {
  if (state.rows.some((known) => known.publicId === row.publicId)) return;
  state.rows.push(row);
  const { kind, name } = row.sender;
  if (["user", "agent", "ai"].includes(kind) && row.content.text) bubble(kind, row.content.text, name);
}

function bubble(kind, text, name) {
  if (kind === "agent" && name) {
    const label = document.createElement("span");
    label.className = "name";
    label.textContent = name;
    at("#chat").append(label);
  }
  const element = document.createElement("div");
  element.className = `bubble ${kind}`;
  if (kind === "agent" || kind === "ai") markup(element, text);
  else element.textContent = text;
  at("#chat").append(element);
  at("#chat").scrollTop = at("#chat").scrollHeight;
}

// ----------------------------------------------------------------------------------------------------- the Markdown

// Where it becomes dangerous. `commonmark` is a faithful reader that the test lends; the other is careless.
async function markup(element, text) {
  element.innerHTML = options.renderer === "commonmark" ? await window.commonmark(text) : careless(text);
}

function careless(text) {
  const escape = (code) => code.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const quote = (address) => address.trim().replace(/"/g, "%22");
  const unescape = (part) => part.replace(/\\([!-/:-@[-`{-~])/g, "$1");
  const targets = {};
  text = text.replace(/^ {0,3}\[([^\]]+)\]:\s*<?(\S+?)>?[ \t]*$/gm, (_, name, address) => {
    targets[name.toLowerCase()] = unescape(address);
    return "";
  });
  return text
    .split(/(^```[^\n]*\n[\s\S]*?(?:^```[^\n]*$|$(?![\s\S]))|`[^`\n]+`)/m)
    .map((part, index) => {
      if (index % 2) {
        const fence = /^```[^\n]*\n([\s\S]*?)(?:^```[^\n]*)?$/m.exec(part);
        return fence ? `<pre><code>${escape(fence[1])}</code></pre>` : `<code>${escape(part.slice(1, -1))}</code>`;
      }
      return unescape(
        part
          .replace(/!\[([^\]]*)\]\(([^)]*)\)/g, (_, alt, src) => `<img alt="${quote(alt)}" src="${quote(unescape(src))}">`)
          .replace(/\[((?:[^\]]|\][^([])*)\]\(<?([^)]*?)>?\)/g, (_, label, href) => `<a href="${quote(unescape(href))}">${label}</a>`)
          .replace(/\[([^\]]+)\](?:\[([^\]]*)\])?/g, (whole, label, name) => {
            const href = targets[(name || label).toLowerCase()];
            return href ? `<a href="${quote(href)}">${label}</a>` : whole;
          })
          .replace(/<([a-z][a-z0-9+.-]+:[^\s<>]*)>/gi, (_, href) => `<a href="${quote(href)}">${href}</a>`)
          .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>")
          .replace(/\*([^*\s][^*]*)\*/g, "<em>$1</em>")
          .replace(/\n{2,}/g, "<br><br>"),
      );
    })
    .join("");
}

window.careless = careless;

// ------------------------------------------------------------------------------------------------------- the buttons

at("#welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  show();
  introduce(said({ email: form.get("email"), name: form.get("name") }));
});
at("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.text;
  send(field.value);
  field.value = "";
});
at("#back").addEventListener("click", showList);
at("#new").addEventListener("click", newChat);
at("#resolve").addEventListener("click", resolve);
for (let score = 1; score <= 5; score += 1) {
  const star = document.createElement("button");
  star.type = "button";
  star.textContent = String(score);
  star.addEventListener("click", () => rate(score));
  at("#survey").append(star);
}

start();
