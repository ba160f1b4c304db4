// The widget's own words in English, and how they are found in other languages; a page may replace any of them.

import { LANGUAGES } from "./languages.js";

export const ENGLISH = {
  open: "Open chat",
  close: "Close chat",
  chat: "Chat",
  unread: "{n} unread",
  greeting: "Hello! How can we help?",
  write: "Write a message…",
  message: "Message",
  send: "Send",
  attach: "Attach a file",
  remove: "Remove {name}",
  chats: "Conversations",
  back: "Back",
  fresh: "New conversation",
  none: "No conversations yet.",
  verified: "Verified",
  signedIn: "Signed in as {name}",
  guest: "Not signed in",
  sending: "Sending",
  sent: "Sent",
  waiting: "Waiting for a connection",
  failed: "Not sent",
  retry: "Try again",
  offline: "No connection. What you write is sent as soon as there is one.",
  typing: "Answer is being written",
  ended: "This conversation has ended.",
  expired: "Your sign-in has ended. Sign in again to go on.",
  refused: "We could not confirm who you are.",
  down: "The chat cannot be reached at the moment.",
  name: "Name",
  email: "E-mail",
  start: "Start chat",
  intro: "Tell us who you are, so that we can answer you.",
  required: "Please fill in this field.",
  badEmail: "Please enter an e-mail address.",
  badFile: "{name} cannot be sent.",
  you: "You",
  bot: "Assistant",
  agent: "Support",
  barred: "Please sign in to chat.",
};

const RIGHT_TO_LEFT = ["ar", "fa", "he", "ur"];

/** The tag of the language that is shown: the page's wish, else the page's own language, else the browser's. */
export function languageOf(wished) {
  const tags = [wished, document.documentElement.lang, ...navigator.languages];
  for (const tag of tags) {
    const plain = String(tag || "")
      .toLowerCase()
      .split(/[-_]/)[0];
    if (plain === "en" || plain in LANGUAGES) return plain;
    // A wish for a language that is not there is not met with some third one.
    if (plain && tag === wished) return "en";
  }
  return "en";
}

export function isRightToLeft(language) {
  return RIGHT_TO_LEFT.includes(language);
}

/** A function from a text's name to the text, with `{places}` filled in. */
export function texts(language, own) {
  const names = Object.keys(ENGLISH);
  const translated = (LANGUAGES[language] || []).map((text, index) => [names[index], text]);
  const found = { ...ENGLISH, ...Object.fromEntries(translated), ...own };
  return (name, values = {}) => found[name].replace(/\{(\w+)\}/g, (_, place) => values[place]);
}
