// One run, or one trace, from within: its heading, what took how long, what was said, and any record of it whole.

const tabsOf = { run: [["timeline", "Timeline"], ["transcript", "Transcript"], ["ends", "Input and result"]],
  trace: [["timeline", "Timeline"], ["transcript", "Transcript"], ["log", "Log"]] };
// Wide enough for a row's detail beside the rows.
const wideScreen = matchMedia("(min-width: 1000px)");

const living = (run) => run !== undefined && (run.state === "running" || run.state === "waiting");

// A command for a terminal, with a button that copies it.
const commandLine = (text) => el("p", { class: "command" }, el("code", {}, text), copyButton(text));

// A long text; what was cut of it is asked for where somebody wants it.
function longText(text, size, all) {
  const pre = el("pre", { tabindex: 0 }, text);
  if (size === undefined) return pre;
  const button = el("button", { type: "button", class: "small", onclick: async () => {
    const whole = await attempt(all());
    if (whole === undefined) return;
    put(pre, whole);
    button.remove();
  } }, `Show all of ${sizeText(size)}`);
  return [pre, button];
}

const section = (title, content, { open = false, copy } = {}) => el("details", { open },
  el("summary", {}, title, copy && el("span", { class: "beside" }, copy)), content);

const errorBanner = ({ kind, message, where, hint }) => el("div", { class: "banner failed" },
  el("p", {}, el("b", {}, kind ?? "error"), `: ${message}`, where && el("span", { class: "soft" }, ` at ${where}`)),
  hint && el("p", { class: "soft" }, hint));

class RunPage {
  // kind: "run" or "trace".
  constructor(app, view, kind, id) {
    Object.assign(this, { app, view, kind, id, tab: null, rows: new Map(), spans: [], conversations: [], asking: false });
    this.head = el("header", { class: "run-head" });
    this.tabs = el("div", { class: "tabs", role: "tablist" }, tabsOf[kind].map(([name, title]) => el("button", { type: "button",
      role: "tab", id: `tab-${name}`, "aria-controls": "run-body", onclick: () => app.go(...this.address(name)) }, title)));
    this.fall = new Waterfall({ onPick: (item) => this.pick(item), onMore: () => this.more() });
    this.detail = el("aside", { class: "detail", "aria-label": "One row in detail", hidden: true });
    this.timeline = el("div", { class: "timeline-of" }, this.fall.node, this.detail);
    this.transcript = new Transcript(view.id);
    this.choices = el("div", { class: "choices", role: "group", "aria-label": "Conversations" });
    this.talk = el("div", { class: "talk" }, this.choices, this.transcript.node);
    this.ends = el("div", { class: "ends" });
    this.log = el("div", { class: "log-of" });
    this.body = el("div", { class: "card run-body", id: "run-body", role: "tabpanel" });
    this.node = el("div", { class: "run-page" }, this.head, el("div", { class: "card run-card" }, this.tabs, this.body));
    this.placed = () => this.place();
    wideScreen.addEventListener("change", this.placed);
  }

  address(tab, ...more) {
    return [this.view.id, this.kind, this.id, ...tab === "timeline" && more.length === 0 ? [] : [tab], ...more];
  }

  look(more) { return ask(`/look?${new URLSearchParams({ view: this.view.id, [this.kind]: this.id, ...more })}`); }

  // words: which tab, and what in it.
  async enter([tab = "timeline", which]) {
    const known = tabsOf[this.kind].some(([name]) => name === tab) ? tab : "timeline";
    const first = this.tab === null;
    this.wanted = which;
    this.turn(known);
    if (first) await this.load();
    this.drawTab();
  }

  exit() {
    clearInterval(this.timer);
    wideScreen.removeEventListener("change", this.placed);
  }

  turn(tab) {
    this.tab = tab;
    for (const button of this.tabs.children) button.ariaSelected = String(button.id === `tab-${tab}`);
    this.body.replaceChildren({ timeline: this.timeline, transcript: this.talk, ends: this.ends, log: this.log }[tab]);
  }

  // ---- what there is ----------------------------------------------------------------------------------------------------------

  async load() {
    const shown = await attempt(this.look({}));
    if (!shown) {
      this.head.replaceChildren(this.back(), el("p", { class: "empty" }, "It is not there any more, or never was."));
      return;
    }
    this.take(shown);
  }

  take(shown) {
    if (this.kind === "run") {
      this.about = shown.run;
      this.count = shown.count;
      for (const row of shown.records) this.rows.set(row.n, row);
      this.trace = shown.trace ?? this.trace; // { id, span }
    } else {
      this.about = shown.trace;
      this.count = shown.trace.count;
      this.spans = shown.from === 1 ? shown.spans : [...this.spans, ...shown.spans];
    }
    if (shown.conversations) this.conversations = shown.conversations;
    this.drawHead();
    this.drawRows();
    clearInterval(this.timer);
    if (living(this.about)) this.timer = setInterval(() => this.drawRows(), 1000);
  }

  // The files have changed: what has come since, and what had no outcome yet.
  async refresh() {
    if (this.kind === "trace" && this.about?.state !== "open") return; // it has ended
    if (!this.about || this.asking) {
      this.again = this.asking;
      return;
    }
    this.asking = true;
    const open = [...this.rows.values()].find((row) => row.seconds === undefined);
    const last = Math.max(0, ...this.rows.keys());
    const whole = last >= this.count || last < 1; // further pages are shown where somebody wants them
    const shown = this.kind === "trace" ? await this.look({}).catch(() => undefined)
      : await this.look({ from: open ? open.n : whole ? last + 1 : last, ...whole ? {} : { more: 1 } }).catch(() => undefined);
    this.asking = false;
    if (shown) this.take(shown);
    if (shown && this.tab === "transcript") this.drawTab();
    if (this.again) {
      this.again = false;
      await this.refresh();
    }
  }

  async more() {
    const from = this.kind === "run" ? Math.max(0, ...this.rows.keys()) + 1 : this.spans.length + 1;
    const shown = await attempt(this.look({ from, more: 1 }));
    if (shown) this.take(shown);
  }

  // ---- the heading ------------------------------------------------------------------------------------------------------------

  back() {
    return el("a", { class: "back-link", href: this.app.href(this.view.id, ...this.view.listWords()) }, icon("back"),
      this.view.title);
  }

  drawHead() {
    const { about, kind } = this, state = about.left ? "parked" : about.state;
    const title = kind === "run" ? about.id : `${about.name} ${about.about ?? ""}`;
    this.head.replaceChildren(this.back(),
      el("div", { class: "run-title" }, el("h2", {}, title), pill(state, about.left ? "left" : about.state),
        el("span", { class: "grow" }), this.links()),
      el("p", { class: "facts-line" }, (kind === "run" ? this.factsOfRun() : this.factsOfTrace()).filter(Boolean)
        .map((fact) => el("span", {}, fact))),
      ...this.banner());
    document.title = `${title} · ${this.view.title}`;
  }

  factsOfRun() {
    const { about } = this;
    return [about.workflow, ["begun ", agoText(about.begun)],
      !living(about) && `took ${tookText(about.changed - about.begun)}`,
      about.calls > 0 && count(about.calls, "call"), about.tokens > 0 && `${numberText(about.tokens)} tokens`,
      count(this.count, "record"), about.bytes > 0 && sizeText(about.bytes)];
  }

  factsOfTrace() {
    const { about } = this, { totals } = about;
    return [["begun ", agoText(about.begun)], about.state !== "open" && `took ${tookText(about.seconds)}`,
      about.state === "open" && "what is around all of it has not ended", count(totals.calls, "call"),
      `${numberText(totals.input_tokens)} → ${numberText(totals.output_tokens)} tokens`, count(about.count, "span"),
      totals.queue > 0.001 && `waited ${tookText(totals.queue)}`, totals.errors > 0 && `${totals.errors} failed`];
  }

  links() {
    const { about, app, view } = this, out = [];
    if (about.fork_of) {
      out.push(el("span", { class: "soft" }, "fork of ", el("a", { href: app.href(view.id, "run", about.fork_of) }, about.fork_of),
        ` at #${about.fork_at}`),
        el("a", { class: "button small", href: app.href(view.id, "diff", `run:${about.fork_of}`, `run:${about.id}`) },
          "Compare both"));
    }
    if (this.trace) out.push(el("a", { class: "button small",
      href: app.href(view.id, "trace", this.trace.id, "timeline", this.trace.span) },
      "Its trace"));
    out.push(el("button", { type: "button", class: "small", onclick: () => view.compareWith(`${this.kind}:${this.id}`) },
      "Compare…"));
    return out;
  }

  banner() {
    const { about } = this;
    if (about.error) return [errorBanner(about.error)];
    if (about.left) {
      return [el("div", { class: "banner" }, el("p", {}, "No process has this run. It goes on with:"),
        commandLine(`stoke resume ${about.typed}`))];
    }
    if (!about.waits) return [];
    return [el("div", { class: "banner" }, el("p", {}, about.state === "parked" ? "It is parked: " : "It waits: ", about.waits))];
  }

  // ---- the tabs ---------------------------------------------------------------------------------------------------------------

  drawTab() {
    if (!this.about) return;
    if (this.tab === "timeline") this.openWanted();
    else if (this.tab === "transcript") this.drawTalk();
    else if (this.tab === "log") this.drawLog();
    else this.drawEnds();
  }

  async drawLog() {
    const shown = await attempt(this.look({ part: "log" }));
    if (!shown) return;
    const line = (one) => {
      const item = one.span && this.fall.find(one.span);
      return el("tr", { "data-level": one.level }, el("td", { class: "num" }, one.at < 0.0005 ? "0" : tookText(one.at)),
        el("td", {}, one.level), el("td", {}, one.message, one.fields && el("span", { class: "soft" }, ` ${brief(one.fields)}`),
          item && el("div", {}, el("a", { href: this.app.href(...this.address("timeline", one.span)) }, item.about))));
    };
    this.log.replaceChildren(shown.lines.length === 0 ? el("p", { class: "hint" }, "Nothing was logged.")
      : el("table", { class: "grid" }, el("tbody", {}, shown.lines.map(line))));
  }

  drawRows() {
    if (!this.about) return;
    if (this.kind === "run") {
      const rows = [...this.rows.values()].sort((a, b) => a.n - b.n);
      this.fall.set(treeOfRecords(rows), living(this.about) ? hostClock.now() - this.about.begun
        : this.about.changed - this.about.begun, this.count - rows.length);
      if (rows.length === 0) this.fall.list.replaceChildren(el("p", { class: "hint" }, "Nothing is recorded yet."));
    } else this.fall.set(treeOfSpans(this.spans), this.about.seconds, this.count - this.spans.length);
    if (this.shown) this.place();
  }

  drawTalk() {
    const all = this.conversations;
    this.choices.hidden = all.length < 2;
    if (all.length === 0) {
      this.transcript.list.replaceChildren(el("li", { class: "hint" }, this.kind === "run" ? "No model was asked yet."
        : "No requests were kept with this trace: stoke FILE --spans --trace-bodies keeps them."));
      return;
    }
    const chosen = all.find((one) => String(one.first) === this.wanted) ?? all[0];
    const button = (one) => el("button", { type: "button", class: "small", title: one.key, "aria-pressed": String(one === chosen),
      onclick: () => this.app.go(...this.address("transcript", one.first)) }, one.title, el("small", {}, count(one.calls, "call")));
    this.choices.replaceChildren(...all.map(button));
    const key = `${chosen.first} ${chosen.last} ${this.rows.get(chosen.last)?.seconds}`;
    if (this.talked !== key) this.transcript.show({ [this.kind]: this.id, transcript: chosen.last });
    this.talked = key;
  }

  async drawEnds() {
    const shown = await attempt(this.look({ part: "ends" }));
    if (!shown) return;
    const part = (title, name, none) => {
      const whole = async () => (await this.look({ part: "ends", all: 1 }))[name];
      if (shown[name] === undefined) return el("section", {}, el("h3", {}, title), el("p", { class: "hint" }, none));
      return el("section", {}, el("h3", {}, title, copyButton(whole)), longText(shown[name], shown[`${name}_size`], whole));
    };
    this.ends.replaceChildren(part("Input", "input", "It was begun without one."),
      part("Result", "result", this.about.state === "done" ? "It returned nothing." : "There is none yet."));
  }

  // ---- one row ----------------------------------------------------------------------------------------------------------------

  openWanted() {
    if (this.wanted === undefined) return this.pick(null, false);
    const item = this.fall.find(this.kind === "run" ? `n${this.wanted}` : this.wanted);
    if (item) {
      this.fall.mark(item.key);
      this.fall.nodes.get(item.key)?.scrollIntoView({ block: "nearest" });
      return this.pick(item, false);
    }
    return undefined;
  }

  async pick(item, write = true) {
    const which = item && (item.row.n ?? item.row.id);
    if (write) this.app.mark(...this.address("timeline", ...which === null || which === undefined ? [] : [which]));
    this.shown = item;
    this.detail.hidden = !item;
    this.timeline.classList.toggle("split", Boolean(item));
    if (!item) {
      this.fall.mark(null);
      return;
    }
    this.drawDetail(item, undefined);
    this.place();
    const asked = this.kind === "run" ? which !== undefined && { record: which } : item.row.has && { span: which };
    const whole = asked ? await attempt(this.look(asked)) : {};
    if (whole && this.shown === item) this.drawDetail(item, whole);
  }

  // Beside the rows, or behind the row that it is of.
  place() {
    const row = this.shown && this.fall.nodes.get(this.shown.key);
    if (wideScreen.matches || !row) {
      if (this.detail.parentNode !== this.timeline) this.timeline.append(this.detail);
    } else if (row.nextSibling !== this.detail) row.after(this.detail);
  }

  factsOf({ row }) {
    const out = [];
    const add = (name, value) => value !== undefined && value !== null && value !== ""
      && out.push(el("div", {}, el("dt", {}, name), el("dd", {}, value)));
    add("took", row.seconds === undefined ? "not at its end" : tookText(row.seconds));
    add("after", row.at === undefined ? undefined : tookText(Math.max(0, row.at)));
    for (const [name, words] of PARTS.slice(0, 4)) if (row[name] > 0.0005) add(words, tookText(row[name]));
    add("first token after", row.first === undefined ? undefined : tookText(row.first));
    add("tokens", tokensText(row));
    add("model", row.model);
    add("at", [row.endpoint, row.slot].filter(Boolean).join(", "));
    add("cache", row.cached);
    add("waited because", row.reason);
    add("attempts", row.attempts);
    add("asked by", row.who);
    add("in the script", row.where);
    if (row.n !== undefined) add("done twice", row.class === "unsafe" ? "it happens twice" : "harmless");
    return el("dl", { class: "facts" }, out);
  }

  drawDetail(item, whole) {
    const { row } = item, loading = whole === undefined;
    const close = el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => this.pick(null) }, "✕");
    const title = el("header", {}, el("h3", {}, row.n !== undefined && el("span", { class: "number" }, `#${row.n}`), item.about),
      pill(row.status === "in doubt" ? "parked" : row.status, row.status), close);
    const tries = (row.tries ?? []).map((one) =>
      el("p", { class: "soft" }, `after ${tookText(one.after ?? 0)}: ${one.kind}: ${one.message}`));
    const failed = whole?.error ?? (row.status === "failed" && row.message ? row : null);
    this.detail.replaceChildren(title, ...failed ? [errorBanner({ ...failed, where: undefined })] : [], ...tries,
      this.factsOf(item),
      ...loading ? [el("p", { class: "hint" }, "…")] : [this.actions(item, whole), ...this.sections(item, whole)]);
  }

  actions({ row, key, group }, whole) {
    const again = this.kind === "run" && row.n !== undefined && !row.inside;
    return el("div", { class: "row" }, group !== undefined && el("button", { type: "button", class: "small",
      onclick: () => this.fall.focus(key) }, "Only this part"),
        whole.curl && copyButton(() => this.curl(row, whole), "Copy as curl"),
      again && el("button", { type: "button", class: "small", onclick: () => this.replay(row) }, "Replay from here…"));
  }

  async curl(row, whole) {
    return whole.curl_size === undefined ? whole.curl : (await this.look({ record: row.n, all: 1 })).curl;
  }

  sections({ row }, whole) {
    const out = [], all = (name) => async () => (await this.look({ record: row.n, all: 1 }))[name];
    if (whole.answer) out.push(section("Answer",
      el("ol", { class: "messages" }, this.transcript.message({ ...whole.answer, n: 0 })), { open: true }));
    if (whole.value !== undefined) out.push(section(whole.answer ? "Reply as it came" : "Outcome",
      longText(whole.value, whole.value_size, all("value")), { open: !whole.answer }));
    if (whole.request !== undefined) out.push(section("Request", longText(whole.request, whole.request_size, all("request"))));
    if (whole.curl) out.push(section("As curl", longText(whole.curl, whole.curl_size, all("curl")), { open: row.call === true }));
    if (this.kind === "run" && whole.key) {
      out.push(section("In a terminal", [commandLine(`stoke show ${this.about.typed} --record ${row.n}`),
        commandLine(`stoke replay ${this.about.typed} --to ${row.n}`),
        ...row.inside ? [] : [commandLine(`stoke fork ${this.about.typed} --at ${row.n}`)],
          el("p", { class: "hint mono" }, whole.key)]));
    }
    return out;
  }

  // A new run that begins with the records up to here: its own from then on.
  async replay(row) {
    const { about, app } = this;
    const told = el("p", {}, `A new run begins with the records 1 to ${row.n} of ${about.id}, as they are, and asks all that `
      + `follows anew. ${about.id} stays as it is.`);
    if (!app.may) return this.replayCommands(row, told);
    const how = this.view.host
      ? el("label", { class: "check" }, el("input", { type: "checkbox", name: "go", checked: true }), "and goes on at once")
      : el("p", { class: "hint" }, "No host has this store open here: a command tells how it goes on.");
    const values = await dialog("Replay from here", [told,
      el("label", {}, `Another outcome of #${row.n} (JSON; empty: as it was)`,
        el("textarea", { name: "value", rows: 3, spellcheck: "false", placeholder: row.outcome ?? "" })), how],
    [["Begin it", "yes", "main"], ["Cancel", ""]]);
    return values && this.fork(row, values);
  }

  replayCommands(row, told) {
    const { typed } = this.about;
    return dialog("Replay from here", [told, el("p", { class: "hint" }, "You only watch here. In a terminal:"),
      commandLine(`stoke fork ${typed} --at ${row.n}`),
      el("p", { class: "hint" }, "To stand still at this record and look around in the run:"),
      commandLine(`stoke replay ${typed} --to ${row.n}`)], [["Close", "", "main"]]);
  }

  async fork(row, { value, go }) {
    const wanted = { run: this.id, at: row.n, go: go === "on" };
    if (value?.trim()) {
      try { wanted.value = JSON.parse(value); } catch (error) {
        notice(`The outcome is no JSON: ${error.message}. A text stands in quotes.`);
        return;
      }
    }
    const made = await attempt(order(this.view.id, "fork", wanted));
    if (!made) return;
    this.app.go(this.view.id, "run", made.run);
    if (!made.goes) notice(`${made.run} was made. It goes on with: ${made.command}`, 30);
  }

  key(event) {
    if (event.key === "Escape") {
      if (this.shown) this.pick(null);
      else this.app.go(this.view.id, ...this.view.listWords());
      return true;
    }
    const tab = tabsOf[this.kind][{ t: 0, c: 1, i: 2, l: 2 }[event.key]];
    if (tab) {
      this.app.go(...this.address(tab[0]));
      return true;
    }
    return this.tab === "timeline" && this.fall.key(event);
  }
}
