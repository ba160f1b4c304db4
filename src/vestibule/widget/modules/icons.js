// The widget's pictures.

import { picture } from "./dom.js";

const ICONS = {
  chat: "M4 5.5h16v10.5H10l-4.5 4v-4H4z",
  close: "M6 6l12 12M18 6L6 18",
  down: "M6 9.5l6 6 6-6",
  send: "M5 12L19 5l-4 14-3.5-6z",
  attach: "M19 11l-7.5 7.5a4.6 4.6 0 0 1-6.5-6.5l8-8a3 3 0 0 1 4.3 4.3l-8 8a1.5 1.5 0 0 1-2.1-2.2L14 7.5",
  list: "M5 7h14M5 12h14M5 17h9",
  back: "M14.5 6l-6 6 6 6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  shield: "M12 3l7 2.5v6c0 4.5-3 7.7-7 9.5-4-1.8-7-5-7-9.5v-6zM8.8 12l2.3 2.3 4.2-4.6",
  clock: "M12 4a8 8 0 1 0 .01 0zM12 8v4.5l3 1.8",
  alert: "M12 4a8 8 0 1 0 .01 0zM12 8v5M12 15.8v.4",
  file: "M7 3.5h7l4 4v13H7zM14 3.5v4h4",
  plus: "M12 5v14M5 12h14",
};

export function icon(name) {
  return picture(ICONS[name]);
}
