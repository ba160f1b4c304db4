// Live lists and keys for the inbox, times in the reader's own zone, no form twice; every page works without it.
"use strict";

const EVERY = 4000;
// So soon nobody means to send a form again.
const ONCE_IN = 10_000;
// Keys that lead to a button and do not press it: what cannot be undone is not done by a slip.
const FOCUSED = { t: "#take", e: "#resolve", f: ".filters a" };

function localTimes(root) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const today = at.toDateString() === now.toDateString();
    const day = today ? {} : { day: "numeric", month: "short" };
    const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
    element.title = element.textContent;
    element.textContent = at.toLocaleString([], { hour: "2-digit", minute: "2-digit", ...day, ...year });
  }
}

const seen = new WeakMap();
const markup = (element) => element.innerHTML.replaceAll(' aria-current="true"', "").trim();

// On a phone the page scrolls, and not the messages in it.
const scrollerOf = (element) => (element.scrollHeight > element.clientHeight + 1 ? element : document.scrollingElement);

// The last message, and where the next one is written.
function toEnd(messages) {
  if (scrollerOf(messages) === messages) messages.scrollTop = messages.scrollHeight;
  else messages.parentElement.lastElementChild.scrollIntoView({ block: "end" });
}

// To load the page anew would throw away what is being written; a sign-in in another tab holds for this one, too.
function signedOut() {
  const text = document.getElementById("text");
  if (!text?.value) return location.reload();
  if (document.getElementById("signed-out")) return;
  const link = document.createElement("a");
  link.href = "/dashboard/sign-in";
  link.target = "_blank";
  link.textContent = "Sign in";
  const note = document.createElement("p");
  note.id = "signed-out";
  note.className = "note";
  note.setAttribute("role", "alert");
  note.append("You are signed out. ", link, text.readOnly ? "." : ", then send.");
  text.closest(".reply").before(note);
}

// Whoever is signed out would be led to the sign-in, and what they have written would be gone.
async function sendReply(form) {
  const asked = fetch(document.getElementById("messages").dataset.live, { method: "HEAD" }).catch(() => null);
  const answer = await Promise.race([asked, new Promise((done) => setTimeout(done, EVERY))]);
  if (!answer?.redirected) return form.submit();
  sentAt.delete(form);
  signedOut();
}

// The server has escaped every value; parsed apart, it is compared and put in as a whole.
async function refresh(element) {
  const answer = await fetch(element.dataset.live, { headers: { accept: "text/html" } });
  if (answer.redirected) signedOut();
  if (!answer.ok || answer.redirected) return;
  document.getElementById("signed-out")?.remove();
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const text = markup(made);
  if (text === seen.get(element)) return;
  seen.set(element, text);
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const chosen = element.querySelector("[aria-current]")?.pathname;
  localTimes(made);
  const scroller = scrollerOf(element);
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  element.replaceChildren(...made.childNodes);
  for (const link of element.querySelectorAll(":scope > li > a")) {
    if (link.pathname === chosen) link.setAttribute("aria-current", "true");
    if (link.getAttribute("href") === focused) link.focus();
  }
  if (element.id === "messages" && atEnd) toEnd(element);
  if (element.id === "chats" && element.childElementCount > 0) element.parentElement.querySelector(":scope > .empty")?.remove();
}

async function keepLive(element) {
  for (;;) {
    await new Promise((done) => setTimeout(done, EVERY));
    if (document.hidden) continue;
    try {
      await refresh(element);
    } catch {
      // Away for a moment: the next round tries again.
    }
  }
}

function move(step) {
  const links = [...document.querySelectorAll("#chats a")];
  const focused = links.indexOf(document.activeElement);
  const at = focused >= 0 ? focused : links.findIndex((link) => link.hasAttribute("aria-current"));
  links[Math.max(0, Math.min(links.length - 1, at + step))]?.focus();
}

document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea, select");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "text") {
    if (!event.repeat) event.target.form?.requestSubmit();
  } else if (event.key === "Escape" && writing) {
    writing.blur();
  }
  if (writing || event.ctrlKey || event.metaKey || event.altKey || !document.querySelector(".inbox")) return;
  if (document.getElementById("keys")?.open) return;
  if (event.key === "?") document.getElementById("keys").showModal();
  else if (FOCUSED[event.key]) document.querySelector(FOCUSED[event.key])?.focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "u") location.assign(document.querySelector(".back")?.href ?? location.href);
  else if (event.key === "r" && document.getElementById("text")) {
    event.preventDefault();
    document.getElementById("text").focus();
  }
});

// Done twice, a form makes a second key, or a secret that nobody gets to see.
const sentAt = new Map();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  const isAgain = event.timeStamp - (sentAt.get(form) ?? -ONCE_IN) < ONCE_IN;
  const isReply = form.matches(".reply");
  if (isAgain || isReply) event.preventDefault();
  if (isAgain) return;
  sentAt.set(form, event.timeStamp);
  if (isReply) sendReply(form);
});
// Also after "Back", where the page is as it was left.
addEventListener("pageshow", () => sentAt.clear());

for (const button of document.querySelectorAll("[data-opens]")) {
  button.hidden = false;
  button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
}
for (const element of document.querySelectorAll("[data-live]")) {
  seen.set(element, markup(element));
  keepLive(element);
}
localTimes(document);
// Where the pages stand in a row that scrolls: on a phone.
for (const at of document.querySelectorAll("nav [aria-current]")) at.scrollIntoView({ block: "nearest", inline: "nearest" });
const messages = document.getElementById("messages");
if (messages) toEnd(messages);
