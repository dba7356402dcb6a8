// What happened, in words: newest last, as in a conversation. Follows the end unless somebody reads further up.

const FEED_MOST = 300;

// What the events of people and of worlds are called in words; any other type says its name and its data.
const WORDS = {
  said: ({ text, to }) => ({ spoken: text, to }),
  say: ({ text, to }) => ({ spoken: text, to }),
  does: ({ doing, place }) => ({ text: `${doing}${place ? `, at ${place}` : ""}` }),
  thinks: ({ text }) => ({ text: `thinks: ${text}` }),
  talk: ({ to }) => ({ text: `begins to talk${to ? ` with ${to}` : ""}` }),
  "talk over": ({ why }) => ({ text: `ends a conversation${why ? ` (${why})` : ""}` }),
  input: ({ name, args, error }) => ({ text: `${name} ${brief(args)}${error ? ` was refused: ${error.message ?? brief(error)}` : ""}` }),
  thought_failed: (data) => ({ text: `could not think: ${data.message ?? brief(data)}` }),
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

// A line for an event: who, what, and whether it was spoken.
function eventWords(event, nameOf) {
  const fields = event.data !== null && typeof event.data === "object" ? event.data : {};
  const words = WORDS[event.type]?.(fields) ?? { text: [event.type, brief(event.data)].filter(Boolean).join(": ") };
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
      box.append(this.line(event));
      this.empty.hidden = true;
    }
    while (box.children.length > FEED_MOST) box.firstChild.remove();
    if (this.seen.size > 4 * FEED_MOST) this.seen = new Set([...this.seen].slice(-FEED_MOST));
    if (atEnd) this.end();
  }

  line(event) {
    const words = eventWords(event, this.nameOf);
    const who = words.who === null ? null : el("button", { type: "button", class: "name", tabindex: -1,
      onclick: () => this.onPick(event.member) }, words.who);
    return el("li", { class: words.spoken ? "spoken" : null },
      el("time", {}, event.time === undefined ? "" : clockText(event.time, false)),
      el("span", {}, who, words.to, words.spoken ? ": " : who ? " " : "", words.spoken ? el("q", {}, words.text) : words.text));
  }
}
