// The files of the page that speaks the OpenCX widget API (client.js, which is loaded behind this): they go up by
// XMLHttpRequest as soon as they are picked, and are shown with their message (contracts/opencx.md 0.11, 4.5, 4.7). It
// must not run anything when it is loaded.

"use strict";

const LARGEST_FILE = 5 * 1024 * 1024;
const CARDS = [
  "application/pdf", "text/csv", "application/vnd.ms-excel",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
];
const TAKEN = ["image/png", "image/jpeg", "image/gif", "image/webp", ...CARDS];
const TAKEN_BY_PEOPLE = ["text/plain", "image/png", "image/jpeg", "image/gif", ...CARDS];

// Here a file is checked; one that is pasted goes to `upload` unchecked.
function pick(files) {
  const taken = state.session?.isHandedOff ? TAKEN_BY_PEOPLE : TAKEN;
  for (const file of files) {
    if (file.size <= LARGEST_FILE && taken.includes(file.type)) upload(file);
    else state.files.push({ name: file.name, failed: "not accepted" });
  }
  renderFiles();
}

function upload(file) {
  const request = new XMLHttpRequest();
  const item = { id: crypto.randomUUID(), name: file.name, size: file.size, type: file.type, request };
  state.files.push(item);
  // Not BASE: of all calls only this one keeps the slash that `apiUrl` may end with (section 1).
  request.open("POST", `${options.apiUrl ?? ""}/backend/widget/v2/upload`);
  request.setRequestHeader("X-Bot-Token", options.token);
  if (state.contactToken) request.setRequestHeader("Authorization", `Bearer ${state.contactToken}`);
  request.responseType = "json";
  request.addEventListener("loadend", () => {
    // Of the answer `fileName` is not looked at: the local name is used.
    if (request.status >= 200 && request.status < 300 && request.response) item.url = request.response.fileUrl;
    else item.failed = String(request.status);
    renderFiles();
  });
  const form = new FormData();
  form.append("file", file);
  request.send(form);
  renderFiles();
}

function drop(item) {
  state.files = state.files.filter((other) => other !== item);
  item.request?.abort();
  renderFiles();
}

// What goes with the next message, and with no other.
function takeFiles() {
  const ready = state.files.filter(({ url }) => url);
  state.files = [];
  renderFiles();
  return ready.map(({ id, name, size, type, url }) => ({ id, name, size, type, url }));
}

function renderFiles() {
  const chips = state.files.map((item) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = `file ${item.url ? "kept" : item.failed ? "bad" : "rising"}`;
    chip.textContent = item.failed ? `${item.name} (${item.failed})` : item.name;
    chip.setAttribute("aria-label", `Remove ${item.name}`);
    chip.addEventListener("click", () => drop(item));
    return chip;
  });
  at("#files").replaceChildren(...chips);
  at("#send").disabled = state.files.some(({ url, failed }) => !url && !failed);
}

// By plain elements, which send no header: the address alone must open the file.
function attach(kind, { name, size, type, url }) {
  const family = type.split("/")[0];
  const element = document.createElement({ image: "img", audio: "audio", video: "video" }[family] ?? "a");
  element.className = `attachment ${kind}`;
  if (family === "image") {
    element.src = url;
    element.alt = name;
  } else if (family === "audio" || family === "video") {
    element.src = url;
    element.controls = true;
  } else {
    element.href = url;
    element.textContent = CARDS.includes(type) ? name : `${name} (${size} bytes)`;
  }
  at("#chat").append(element);
}
