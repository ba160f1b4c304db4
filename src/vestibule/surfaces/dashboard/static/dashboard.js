// Live lists and keys for the inbox, times in the reader's own zone; every page works without it.
"use strict";

const EVERY = 4000;
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

// The server has escaped every value; parsed apart, it is compared and put in as a whole.
async function refresh(element) {
  const answer = await fetch(element.dataset.live, { headers: { accept: "text/html" } });
  if (answer.redirected) location.reload();
  if (!answer.ok || answer.redirected) return;
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const text = markup(made);
  if (text === seen.get(element)) return;
  seen.set(element, text);
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const chosen = element.querySelector("[aria-current]")?.pathname;
  localTimes(made);
  const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
  element.replaceChildren(...made.childNodes);
  for (const link of element.querySelectorAll(":scope > li > a")) {
    if (link.pathname === chosen) link.setAttribute("aria-current", "true");
    if (link.getAttribute("href") === focused) link.focus();
  }
  if (element.id === "messages" && atEnd) element.scrollTop = element.scrollHeight;
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
    event.target.form.requestSubmit();
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
if (messages) messages.scrollTop = messages.scrollHeight;
