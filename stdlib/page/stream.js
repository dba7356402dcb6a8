// The one stream of events. Views register by their kind; whatever the host shows later is one more kind.

const kinds = {};

// Read with fetch and not with EventSource, which cannot send the token.
async function readEvents(signal, onEvent, onBytes) {
  const response = await fetch("/events", { headers: { ...headers(), Accept: "text/event-stream" }, signal, cache: "no-store" });
  if (!response.ok) {
    const value = await response.json().catch(() => ({}));
    throw new Refused(response.status, value.error ?? response.statusText, value.hint);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    const records = (rest + value).split("\n\n");
    rest = records.pop();
    for (const record of records) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(record);
      if (found) onEvent(found[1], JSON.parse(found[2]));
    }
  }
}

// Keeps the stream open: begins anew when it is cut, later and later up to ten seconds; rests while nobody sees the page, because
// a browser has few connections for all its tabs. The host says every 15 s that it is there: one that is silent for longer has
// gone without a word, or a tunnel to it has.
class Stream {
  constructor(onEvent, onState) {
    Object.assign(this, { onEvent, onState, pause: 500, patience: 40000, aborter: null, timer: 0, hideTimer: 0, watch: 0 });
    document.addEventListener("visibilitychange", () => this.seen(!document.hidden));
    this.open();
  }

  seen(visible) {
    clearTimeout(this.hideTimer);
    if (!visible) this.hideTimer = setTimeout(() => this.aborter?.abort(), 20000);
    else if (!this.aborter) this.open();
  }

  async open() {
    clearTimeout(this.timer);
    const aborter = new AbortController();
    this.aborter = aborter;
    this.onState("connecting");
    let why = "the program has closed the page";
    const listen = () => {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => aborter.abort(), this.patience);
    };
    listen();
    try {
      await readEvents(aborter.signal, (type, data) => {
        this.pause = 500;
        this.onEvent(type, data);
      }, listen);
    } catch (error) {
      why = error instanceof Refused ? error.message : "the program does not answer";
      if (error.name === "TypeError" || error instanceof Refused) this.status = error.status;
      else if (error.name !== "AbortError") console.error(error);
    }
    clearTimeout(this.watch);
    this.aborter = null;
    if (document.hidden) return this.onState("resting");
    this.onState("cut", why);
    this.timer = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(this.pause * 2, 10000);
    return undefined;
  }
}
