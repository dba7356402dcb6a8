// What happened, in words: newest last, as in a conversation. Follows the end unless somebody reads further up.

const FEED_MOST = 300;

// Inputs of which the events that follow tell.
const TOLD = new Set(["say", "walk", "hang_up"]);

// What the events of people and of worlds are called in words; any other type says its name and its data.
const WORDS = {
  said: ({ text, to }) => ({ spoken: text, to }),
  say: ({ text, to }) => ({ spoken: text, to }),
  does: ({ doing, place }) => ({ text: `· ${doing}${place ? ` at the ${place}` : ""}` }),
  thinks: ({ text }) => ({ text: `thinks: ${text}` }),
  talk: ({ to }) => ({ text: `begins to talk${to ? ` with ${to}` : ""}` }),
  "talk over": ({ why }) => ({ text: `ends a conversation${why ? ` (${why})` : ""}` }),
  gives: ({ to, what }) => ({ text: `gives ${to} ${what}` }),
  input: ({ name, args, error }, who) => {
    if (error) return { text: refused(name, args, error, who) };
    if (name === "join") return { text: `${args?.name} joins` };
    return TOLD.has(name) ? null : { text: `${name} ${brief(args)}` };
  },
  thought_failed: ({ error }) => ({ text: `could not think: ${error?.message ?? brief(error)}` }),
  speed: ({ speed }) => ({ text: speed === "free" ? "as fast as it can" : `runs at ${speed}×` }),
  paused: () => ({ text: "paused" }),
  resumed: () => ({ text: "goes on" }),
  back: () => ({ text: "went back to here" }),
};

function brief(value) {
  if (value === undefined || value === null) return "";
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, one]) => `${name} ${typeof one === "object" ? JSON.stringify(one) : one}`).join(", ");
}

// What was wanted and why it was not done; an error of an input begins with its name, which the line has already.
function refused(name, args, error, who) {
  const why = String(error.message ?? brief(error));
  const what = name === "say" && typeof args?.text === "string" ? `say “${args.text}”` : [name, brief(args)].filter(Boolean).join(" ");
  const because = why.startsWith(`${name}: `) ? why.slice(name.length + 2) : why;
  return who === undefined ? `${what} was refused: ${because}` : `wanted to ${what}: ${because}`;
}

// A line for an event: who, what, and whether it was spoken; null where it says nothing new.
function eventWords(event, nameOf) {
  const fields = event.data !== null && typeof event.data === "object" ? event.data : {};
  const known = WORDS[event.type];
  const words = known ? known(fields, event.member) : { text: [event.type, brief(event.data)].filter(Boolean).join(": ") };
  if (!words) return null;
  return { who: event.member === undefined ? null : nameOf(event.member), spoken: typeof words.spoken === "string",
    text: words.spoken ?? words.text, to: typeof words.to === "string" ? ` to ${nameOf(words.to)}` : "" };
}

class Feed {
  constructor(looks, nameOf, onPick) {
    Object.assign(this, { looks, nameOf, onPick, seen: new Set() });
    this.list = el("ol", { class: "feed", role: "log", "aria-label": "What happened", "aria-live": "off", tabindex: 0 });
    this.empty = el("p", { class: "hint" }, "Nothing has happened yet.");
    this.node = el("div", { class: "story" }, this.empty, this.list);
    new ResizeObserver(() => this.end()).observe(this.list);
  }

  end() { this.list.scrollTop = this.list.scrollHeight; }

  clear() {
    this.seen.clear();
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  add(events, missed) {
    const box = this.list;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    if (missed) box.append(el("li", { class: "gap" }, `${missed} more happened than could be shown`));
    for (const event of events) {
      if (event.n !== undefined && this.seen.has(event.n)) continue;
      if (event.n !== undefined) this.seen.add(event.n);
      const words = eventWords(event, this.nameOf);
      if (!words) continue;
      box.append(this.line(event, words));
      this.empty.hidden = true;
    }
    while (box.children.length > FEED_MOST) box.firstChild.remove();
    if (this.seen.size > 4 * FEED_MOST) this.seen = new Set([...this.seen].slice(-FEED_MOST));
    if (atEnd) this.end();
  }

  line(event, words) {
    const who = words.who === null ? null : el("button", { type: "button", class: "name", tabindex: -1,
      onclick: () => this.onPick(event.member) }, words.who);
    return el("li", { class: words.spoken ? "spoken" : null },
      el("time", {}, event.time === undefined ? "" : clockText(event.time, false)),
      el("span", {}, who, words.to, words.spoken ? ": " : who ? " " : "", words.spoken ? el("q", {}, words.text) : words.text));
  }
}
