// Drives the page: asks the customer's backend, then Vestibule itself, and hands what they answer to the view.

import { byId, duration, element, pretty } from "./dom.js";
import { check, impersonating, read } from "./token.js";
import * as view from "./view.js";

const ISSUER = document.body.dataset.publicUrl;
const PRESETS = {
  john: {
    email: "john.doe@example.com",
    name: "John Doe",
    phone: "+1234567890",
    language: "en",
    avatar_url: "https://example.com/avatar.png",
    custom: "customKey = customValue",
  },
  ada: {
    email: "ada@example.com",
    name: "Ada Lovelace",
    phone: "+44 20 7946 0958",
    language: "en",
    avatar_url: "",
    custom: "plan = pro\nseats = 5\nbeta = true",
  },
  mallory: {
    email: "mallory@example.com",
    name: '<img src=x onerror="alert(1)">',
    phone: "not a number",
    language: "",
    avatar_url: "",
    custom: "note = names are strangers’ text",
  },
};
const FAULTS = {
  wrong_key: "A key of the right form that nobody was given. Unknown, revoked and expired keys are answered alike.",
  bad_email: "An e-mail that is none. The answer names the field.",
  duplicate_member: "Two e-mails in one body: two readers could each believe another one, so it is refused.",
};

const FORGE = "Writes another contact’s id into the token, keeps the signature, and asks Vestibule with it.";
const FORGED = "The token now names another contact. This browser sees that, and so does Vestibule:";

const HIDDEN =
  "What a backend says for the AI agent alone (chat_context, http_action_overrides) is kept too, but not shown here: " +
  "it may hold credentials.";
const CONVERSATIONS = "What this person has written in the chat in the corner; nobody else’s token opens it:";

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail ?? "The demo did not answer as it should.");
  return told;
}

/** Runs an action once at a time, and says so where it fails. The button is not disabled: that would lose the focus. */
async function during(button, status, action) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  status.className = "outcome";
  status.textContent = "Asking …";
  try {
    await action();
  } catch (error) {
    say(status, "bad", error instanceof TypeError ? "The demo cannot be reached. Is it still running?" : error.message);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

function say(status, kind, ...words) {
  status.className = `outcome ${kind}`;
  status.replaceChildren(...words);
}

// Step 1

async function copyCurl() {
  const button = byId("copy-curl");
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
    byId("copy-status").textContent = "The command is copied.";
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("curl"));
    byId("copy-status").textContent = "The command is selected: copy it with the keyboard.";
    button.textContent = "Selected";
  }
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
}

// Step 2

function fillIn(preset) {
  const form = byId("person");
  for (const [name, value] of Object.entries(PRESETS[preset])) form.elements[name].value = value;
}

/** The form as a profile: empty fields are absent or null, as chosen. */
function person() {
  const form = byId("person").elements;
  const values = { email: form.email.value.trim() };
  for (const name of ["name", "phone", "language", "avatar_url"]) values[name] = form[name].value || null;
  values.customData = customData(form.custom.value);
  const absent = form.empty.value === "absent";
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null || !absent));
}

function customData(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (!lines.length) return null;
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return at < 0 ? [line.trim(), true] : [line.slice(0, at).trim(), customValue(line.slice(at + 1).trim())];
    }),
  );
}

function customValue(text) {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : text;
}

async function signIn() {
  const status = byId("sign-in-status");
  const done = await post("/demo/sign-in", { person: person() });
  byId("sign-in-exchange").replaceChildren(...view.exchange(done.exchange));
  if (!done.token) {
    for (const id of ["token", "opened"]) {
      byId(id).className = "waiting";
      byId(id).replaceChildren(element("p", { class: "empty", text: "There is no token: the sign-in was refused." }));
    }
    say(status, "bad", "Vestibule refused, so there is no token.");
    return;
  }
  const id = element("code", { id: "contact-id", text: done.contact_id });
  say(status, "good", "Signed in as contact ", id, ". Steps 3 and 4 show what that is worth.");
  await Promise.all([
    showToken(done.token, done.token),
    showOpened(done.token, done.exchange.began_at),
    window.Vestibule.identify({ token: done.token }),
  ]);
}

// Step 3

async function showToken(token, genuine) {
  const forged = token !== genuine;
  const { parts, header, claims } = read(token);
  const checked = await check(token, ISSUER);
  const words = forged ? "Back to the real token" : "Pretend to be somebody else";
  const button = element("button", { type: "button", id: "forge", text: words });
  const status = element("p", { class: "outcome", role: "status" });
  const answer = element("div", { class: "panel", id: "forged-answer", hidden: !forged });
  byId("token").className = "";
  byId("token").replaceChildren(
    view.verdict(checked),
    element("div", { class: "try" }, button, element("p", { class: "hint", text: forged ? FORGED : FORGE }), status),
    answer,
    view.rawToken(parts),
    view.members("Header", header),
    view.members("Claims", claims, forged ? ["sub", "contact"] : []),
    view.endings(claims, checked.freshSeconds),
  );
  button.addEventListener("click", () =>
    during(button, status, async () => {
      await showToken(forged ? genuine : impersonating(genuine), genuine);
      byId("forge").focus();
    }),
  );
  if (forged) answer.replaceChildren(...view.exchange(await post("/demo/try", { fault: "altered_token", token })));
}

function countDown() {
  const left = byId("token-left");
  if (left) left.textContent = duration(Number(left.dataset.exp) - Date.now() / 1000);
}

// Step 4

async function withToken(path, token) {
  const answer = await fetch(path, { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}.`);
  return answer.text();
}

async function showOpened(token, began) {
  const [me, conversations] = await Promise.all([withToken("/v1/me", token), withToken("/v1/conversations", token)]);
  const profile = JSON.parse(me);
  const [word, sentence] = view.outcome(profile, began);
  byId("opened").className = "";
  byId("opened").replaceChildren(
    element("p", { class: "result", id: "contact-outcome" }, element("strong", { text: word }), ` ${sentence}`),
    view.profile(profile, began),
    element("p", { class: "hint", text: HIDDEN }),
    element("h3", { text: "Conversations" }),
    element("p", { text: CONVERSATIONS }),
    element("pre", { text: pretty(conversations) }),
    element(
      "details",
      {},
      element("summary", { text: "The whole answer of /v1/me" }),
      element("pre", { text: pretty(me) }),
    ),
  );
}

// Step 5

async function tryFault(fault) {
  const told = await post("/demo/try", { fault });
  byId("fault-exchange").replaceChildren(...view.exchange(told));
  say(byId("fault-status"), "", FAULTS[fault]);
}

byId("copy-curl").addEventListener("click", copyCurl);
byId("person").addEventListener("submit", (event) => {
  event.preventDefault();
  during(byId("sign-in"), byId("sign-in-status"), signIn);
});
for (const button of document.querySelectorAll("[data-preset]")) {
  button.addEventListener("click", () => fillIn(button.dataset.preset));
}
for (const button of document.querySelectorAll("[data-fault]")) {
  button.addEventListener("click", () => during(button, byId("fault-status"), () => tryFault(button.dataset.fault)));
}
setInterval(countDown, 1000);
fillIn("john");
