// A chat page of our own that speaks the OpenCX widget API call by call, as contracts/opencx.md sections 3 to 5 describe
// the stock widget (which is not ours to commit): start-up, storage, first message, polling, modes, rating. Files are in
// files.js and Markdown is in markdown.js, which are loaded before it. It is for tests.
//
// Options, as JSON in the fragment: {apiUrl, token, user: {token, data: {email, name, customData}, externalId},
// collectUserData, extraDataCollectionFields, sessionCustomData, messageCustomData, headers, queryParams, bodyProperties,
// context, language, initialMessages, modesComponents, router: {chatScreenOnly}, renderer}. Of modesComponents only the
// keys: each stands for the same small component. What else section 5 has changes the screen only.

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
  extra: [], files: [],
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
    // A stored token does not know what the extra fields ask.
    if (localStorage.getItem(TOKEN_KEY) && !options.extraDataCollectionFields?.length) await reuse();
    else welcome();
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
  const { chatScreenOnly } = options.router ?? {};
  const open = state.sessions.find((session) => session.isOpened);
  if (chatScreenOnly && open) openSession(open);
  else if (chatScreenOnly || state.sessions.length === 0) newChat();
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

async function send(text, more = {}) {
  const attachments = takeFiles();
  const message = { uuid: crypto.randomUUID(), content: text.trim() };
  if (!message.content && !attachments.length) return;
  const first = state.session === null;
  if (first) message.content = state.extra.map(([key, value]) => `${key}: ${value}\n`).join("") + message.content;
  state.sends += 1;
  append({ publicId: message.uuid, sender: { kind: "user" }, content: { text: message.content }, attachments });
  if (first) {
    const session = await createSession().catch(() => null);
    if (!session) return;
    state.session = session;
    refresh();
    poll(session.id);
  }
  // What is undefined is left out of the JSON.
  const body = {
    ...message,
    session_id: state.session.id,
    bot_token: options.token,
    attachments,
    custom_data: options.messageCustomData ?? {},
    headers: options.headers,
    query_params: options.queryParams,
    body_properties: options.bodyProperties,
    clientContext: options.context,
    language: options.language,
    initial_messages: first && state.greetings.length ? state.greetings : undefined,
    ...more,
  };
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

// The mode that the open session is in, if the host has a component for it: by id, name or slug, whatever their case.
function shownMode() {
  const mode = state.config.modes?.find(({ id }) => id === state.session?.modeId);
  const hosts = (options.modesComponents ?? []).map((key) => key.toLowerCase());
  return mode && [mode.id, mode.name, mode.slug].some((key) => key && hosts.includes(key.toLowerCase())) ? mode : null;
}

// What a component of the host's does: its state is kept with the session, and comes back with it.
async function checkpoint(payload) {
  await call("POST", "/checkpoint", { session_id: state.session.id, payload });
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
  for (const part of ["#welcome", "#list", "#chat", "#canvas", "#composer", "#closed"]) {
    at(part).hidden = !selectors.includes(part);
  }
  at("#back").hidden = !selectors.includes("#chat");
  at("#resolve").hidden = !selectors.includes("#composer") || !state.session;
}

function welcome() {
  const fields = (options.extraDataCollectionFields ?? []).map((key) => {
    const field = document.createElement("input");
    field.dataset.extra = key;
    const label = document.createElement("label");
    label.append(`${key} `, field);
    return label;
  });
  at("#welcome button").before(...fields);
  show("#welcome");
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
  state.files.forEach(drop);
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
  const mode = shownMode();
  show("#chat", open ? "#composer" : "#closed", mode && "#canvas");
  if (mode) {
    at("#canvas strong").textContent = mode.name;
    at("#canvas output").textContent = JSON.stringify(state.session.latestStateCheckpointPayload);
  }
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
  if (!["user", "agent", "ai"].includes(kind)) return;
  if (row.content.text) bubble(kind, row.content.text, name);
  for (const file of row.attachments ?? []) attach(kind, file);
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

// ------------------------------------------------------------------------------------------------------- the buttons

at("#welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const extra = [...event.target.querySelectorAll("[data-extra]")];
  state.extra = extra.map((field) => [field.dataset.extra, field.value]).filter(([, value]) => value);
  show();
  introduce(said({ email: form.get("email"), name: form.get("name") }));
});
at("#composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.text;
  send(field.value);
  field.value = "";
});
at("#attach").addEventListener("change", (event) => {
  pick([...event.target.files]);
  event.target.value = "";
});
at("#composer").addEventListener("paste", (event) => [...event.clipboardData.files].forEach(upload));
at("#step").addEventListener("click", () => {
  const step = (state.session.latestStateCheckpointPayload?.step ?? 0) + 1;
  checkpoint({ step, basket: [{ id: "red", count: step, gift: null }] });
});
at("#leave").addEventListener("click", () => send("I have chosen.", { exit_mode_prompt: "They chose the red one." }));
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
