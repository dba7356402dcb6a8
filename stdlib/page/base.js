// What all parts use: making elements, asking the host, words for times.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// Text goes in as text, never as markup: what people and models say cannot become anything else.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// The browser keeps nothing but this, and only as long as the tab is there.
const kept = {
  get: (name) => { try { return sessionStorage.getItem(name); } catch { return kept[`_${name}`] ?? null; } },
  set: (name, value) => {
    kept[`_${name}`] = value;
    try { value === null ? sessionStorage.removeItem(name) : sessionStorage.setItem(name, value); } catch { /* not allowed */ }
  },
};

// The token comes behind the # of the link, which no server and no other page is sent, and does not stay in the address.
const token = (() => {
  const given = /[#&]token=([\w-]+)/.exec(location.hash);
  if (given) {
    kept.set("token", given[1]);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return kept.get("token");
})();

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

class Refused extends Error {
  constructor(status, message, hint) {
    super(hint ? `${message} (${hint})` : message);
    this.status = status;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(), ...options?.headers }, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the program does not answer");
  }
  const value = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, value.error ?? response.statusText, value.hint);
  return value;
}

const order = (view, what, more) => ask("/do", { method: "POST", headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ view, do: what, ...more }) });

// ---- words ------------------------------------------------------------------------------------------------------------------

// A part of the address as it was meant; what somebody mistyped stands for itself.
function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

const two = (n) => String(n).padStart(2, "0");
const dayOf = (time) => Math.floor(time / 86400) + 1;

function clockText(time, seconds = true) {
  const within = ((Math.floor(time) % 86400) + 86400) % 86400;
  const text = `${two(Math.floor(within / 3600))}:${two(Math.floor(within / 60) % 60)}`;
  return seconds ? `${text}:${two(within % 60)}` : text;
}

const momentText = (time, seconds = false) => `Day ${dayOf(time)}, ${clockText(time, seconds)}`;

const numberText = (n) => Number(n).toLocaleString("en", { maximumFractionDigits: 1 });

// Seconds as a person says them: 12 ms, 8.1 s, 3 min 20 s, 2 h 5 min, 4 d 3 h.
function durationText(seconds) {
  if (seconds < 1) return seconds === 0 ? "0 s" : `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number.isInteger(seconds) ? seconds : seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

// The clock of the host: that of this machine may be wrong.
const hostClock = {
  ahead: 0,
  set(now) { if (now !== undefined) this.ahead = now - Date.now() / 1000; },
  now() { return Date.now() / 1000 + this.ahead; },
};

const sinceText = (time) => {
  const seconds = Math.max(0, hostClock.now() - time);
  return seconds < 2 ? "now" : `${durationText(Math.floor(seconds))} ago`;
};

// A moment, told by how long ago it was; kept fresh as long as it is on the page.
const agoText = (time) => el("time", { "data-at": time, datetime: new Date(time * 1000).toISOString(),
  title: new Date(time * 1000).toLocaleString() }, sinceText(time));

setInterval(() => {
  for (const node of document.querySelectorAll("time[data-at]")) put(node, sinceText(Number(node.dataset.at)));
}, 1000);

const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// Numbers in names count as numbers: "walker 9" comes before "walker 10".
const byName = new Intl.Collator("en", { numeric: true }).compare;

// ---- what is told to everybody ----------------------------------------------------------------------------------------------

let noticeTimer;
function notice(text, seconds = 8) {
  const node = byId("notice");
  node.textContent = text;
  node.hidden = text === "";
  clearTimeout(noticeTimer);
  if (text !== "" && seconds) noticeTimer = setTimeout(() => { node.hidden = true; }, seconds * 1000);
}

async function attempt(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message);
    return undefined;
  }
}

// A word for a state, with a mark before it, so that colour is not all that tells it.
const pill = (state, words = state) => el("span", { class: "pill", "data-state": state }, words);

// A button that puts a text where Ctrl-V finds it.
function copyButton(text, label = "Copy") {
  const button = el("button", { type: "button", class: "small", onclick: async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? await text() : text);
      put(said, "Copied");
    } catch {
      put(said, "Not allowed");
    }
    setTimeout(() => put(said, label), 1500);
  } }, icon("copy"));
  const said = el("span", {}, label);
  button.append(said);
  return button;
}

const say = (text) => put(byId("said"), text);

// A dialog with a form; gives the values of its fields, or undefined where it was left. The first button is the one that Enter in a
// field presses; where that cannot be undone, the other one has the focus.
function dialog(title, content, buttons) {
  const node = byId("dialog");
  return new Promise((resolve) => {
    const form = el("form", { method: "dialog" }, el("h2", { id: "dialog-title" }, title), content,
      el("div", { class: "row end" }, buttons.map(([label, value, kind]) =>
        el("button", { value, class: kind, type: "submit", formnovalidate: value === "",
          autofocus: value === "" && buttons[0][2] === "danger" }, label))));
    node.replaceChildren(form);
    node.onclose = () => {
      node.onclose = null;
      resolve(node.returnValue === "" ? undefined : Object.fromEntries(new FormData(form)));
    };
    node.returnValue = "";
    node.showModal();
  });
}

// ---- who is who without colour: a shape and two letters ---------------------------------------------------------------------

const SHAPES = [
  "M0-12a12 12 0 1 1-.01 0z",
  "M-10.5-10.5h21v21h-21z",
  "M0-14.5 14.5 0 0 14.5-14.5 0z",
  "M-12.5-7.200 0-14.400l12.5 7.200V7.200L0 14.400-12.5 7.200z",
  "M0-13.5 13-4.200 8 11H-8L-13-4.200z",
  "M-6-12.5H6L12.5-6V6L6 12.5H-6L-12.5 6V-6z",
  "M-4.5-13h9v8.5H13v9H4.5V13h-9V4.5H-13v-9h8.5z",
  "M-14-9.5H9L14 9.5H-9z",
];

function initials(name) {
  const words = name.trim().split(/[\s_-]+/u).filter(Boolean);
  const letters = words.length > 1 ? [...words[0]][0] + [...words[words.length - 1]][0] : [...(words[0] ?? "?")].slice(0, 2).join("");
  return letters.charAt(0).toUpperCase() + letters.slice(1);
}

function hashOf(text) {
  let hash = 7;
  for (const letter of text) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return hash;
}

// The look of each: by their place in the list, so that neighbours in it differ; who comes later takes the next one.
class Looks {
  constructor() { this.known = new Map(); }
  of(id) {
    let look = this.known.get(id);
    if (look === undefined) {
      look = { shape: this.known.size % SHAPES.length, hue: this.known.size % 10, turn: hashOf(id) };
      this.known.set(id, look);
    }
    return look;
  }
}

function glyph(look, name) {
  return svg("g", { class: `glyph hue${look.hue}` }, svg("path", { d: SHAPES[look.shape] }),
    svg("text", { "text-anchor": "middle", y: 3.8 }, initials(name)));
}

const badge = (look, name) => svg("svg", { class: "badge", viewBox: "-16 -16 32 32", "aria-hidden": "true" }, glyph(look, name));

// Paths of 24 by 24 units; those of views are lines.
const ICONS = {
  world: "M12 3.5a8.5 8.5 0 1 0 .01 0zM3.5 12h17M12 3.5c4 4 4 13 0 17c-4-4-4-13 0-17",
  now: "M3 12h4.5L10.5 5l4 14 3-7H21",
  runs: "M5 6.5h14M5 12h14M5 17.5h9",
  approvals: "M12 3.5l7.5 3v5c0 4.5-3 7.5-7.5 9-4.5-1.5-7.5-4.5-7.5-9v-5zM8.5 12l2.5 2.5 4.5-4.5",
  copy: "M9 9h10v11H9zM5 15V4h10",
  pause: "M7 5h3.5v14H7zm6.5 0H17v14h-3.5z",
  play: "M8 5l11 7-11 7z",
  step: "M6 5l8.5 7L6 19zm10 0h3v14h-3z",
  back: "M14.5 5L8 12l6.5 7",
};

const icon = (name) => svg("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
