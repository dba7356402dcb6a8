// The history: runs of the store and traces that were kept, found and leafed through; any one of them is a page of its own.

const STATE_WORDS = ["running", "waiting", "parked", "done", "failed", "cancelled"];

// How two runs, or two traces, differ.
class DiffPage {
  constructor(app, view, a, b) {
    Object.assign(this, { app, view, a, b });
    this.body = el("div", { class: "card" }, el("p", { class: "hint" }, "…"));
    this.node = el("div", { class: "run-page" }, el("header", { class: "run-head" },
      el("a", { class: "back-link", href: app.href(view.id, ...view.listWords()) }, icon("back"), view.title),
      el("div", { class: "run-title" }, el("h2", {}, "Compared"), this.side(a), el("span", { class: "soft" }, "with"),
        this.side(b))), this.body);
  }

  side(text) {
    const [kind, id] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
    return el("a", { href: this.app.href(this.view.id, kind, id) }, kind === "trace" ? id.slice(0, 12) : id);
  }

  async enter() {
    const shown = await attempt(ask(`/look?${new URLSearchParams({ view: this.view.id, a: this.a, b: this.b })}`));
    if (!shown) return this.body.replaceChildren(el("p", { class: "empty" }, "They cannot be compared."));
    return this.body.replaceChildren(...shown.kind === "runs" ? [el("pre", { class: "wide-text" }, shown.text)]
      : this.traces(shown));
  }

  traces({ a, b, seconds, changes, gone, new: added }) {
    const pair = (name, of) => el("div", {}, el("dt", {}, name), el("dd", {}, `${of(a)} → ${of(b)}`));
    const rows = changes.map((one) => el("tr", {},
      el("td", { class: `num ${one.own > 0 ? "slower" : "faster"}` }, `${one.own > 0 ? "+" : "−"}${tookText(Math.abs(one.own))}`),
      el("td", {}, one.path, el("div", { class: "soft" }, one.why.join(", "))), el("td", { class: "num" }, tookText(one.before)),
        el("td", { class: "num" }, tookText(one.after))));
    const named = (list, words) => list.map((one) =>
      el("tr", {}, el("td", { class: "num" }, words), el("td", {}, one.path), el("td", {}),
      el("td", { class: "num" }, tookText(one.seconds))));
    const all = [...rows, ...named(added, "new"), ...named(gone, "gone")];
    return [el("p", { class: "verdict" }, Math.abs(seconds) < 0.0005 ? "Both took as long."
      : `The second one took ${tookText(Math.abs(seconds))} ${seconds > 0 ? "longer" : "less"}.`),
      el("dl", { class: "facts" }, pair("took", (one) => tookText(one.seconds)), pair("calls", (one) => one.totals.calls),
        pair("tokens read", (one) => numberText(one.totals.input_tokens)),
        pair("tokens written", (one) => numberText(one.totals.output_tokens)), pair("waited", (one) => tookText(one.totals.queue)),
          pair("loading", (one) => tookText(one.totals.load))),
      all.length === 0 ? el("p", { class: "hint" }, "No span differs.")
        : el("div", { class: "scrolls" }, el("table", { class: "grid" }, el("thead", {}, el("tr", {},
        el("th", { class: "num" }, "in itself"), el("th", {}, "span"), el("th", { class: "num" }, "before"),
          el("th", { class: "num" }, "after"))), el("tbody", {}, all)))];
  }

  exit() {}

  key(event) {
    if (event.key !== "Escape") return false;
    this.app.go(this.view.id, ...this.view.listWords());
    return true;
  }
}

kinds.runs = class {
  static icon = "runs";

  constructor(app, { id, title }) {
    Object.assign(this, { app, id, title, page: null, items: [], next: undefined, filter: { kind: "", state: "", text: "" },
      comparing: null, controls: [] });
    this.keys = [["/", "find a run"], ["j k", "the next row, the one before"], ["Enter", "open it"], ["← →", "fold, unfold"],
      ["t c i l", "timeline, conversation, input and result, log"], ["Esc", "back"]];
    this.search = el("input", { type: "search", placeholder: "Find by id, workflow; in traces by agent, model…", "aria-label": "Find",
      oninput: () => this.typed() });
    this.segments = el("div", { class: "segments", role: "group", "aria-label": "Kind" },
      [["", "All"], ["runs", "Runs"], ["traces", "Traces"]].map(([kind, words]) =>
      el("button", { type: "button", "data-kind": kind, onclick: () => this.choose({ kind }) }, words)));
    this.states = el("select", { "aria-label": "State", onchange: (event) => this.choose({ state: event.target.value }) },
      el("option", { value: "" }, "any state"), STATE_WORDS.map((state) => el("option", { value: state }, state)));
    this.told = el("div", { class: "banner compare", hidden: true });
    this.body = el("tbody", {});
    this.table = el("table", { class: "grid history" },
      el("thead", {}, el("tr", {}, ["", "what", "begun", "took", "calls", "tokens"].map((words, i) =>
      el("th", { class: i > 1 && "num" }, words)))), this.body);
    this.empty = el("div", { class: "empty", hidden: true });
    this.moreButton = el("button", { type: "button", hidden: true, onclick: () => this.more() }, "Older ones");
    this.list = el("div", { class: "card" }, this.table, this.empty, el("div", { class: "row more" }, this.moreButton));
    this.listNode = [el("div", { class: "toolbar" }, this.search, this.segments, this.states), this.told, this.list];
    this.node = el("div", { class: "sheet runs-view" });
    this.body.addEventListener("click", (event) => this.clicked(event));
  }

  // ---- where we are -----------------------------------------------------------------------------------------------------------

  // The address of the list as it is filtered.
  listWords() {
    const { kind, state, text } = this.filter;
    return kind || state || text ? ["find", kind || "-", state || "-", ...text ? [text] : []] : [];
  }

  enter([what, ...words]) {
    const key = what === "run" || what === "trace" ? `${what} ${words[0]}` : what === "diff" ? `diff ${words.join(" ")}` : "list";
    if (this.key0 !== key) {
      this.page?.exit();
      this.page = what === "run" || what === "trace" ? new RunPage(this.app, this, what, words[0]) : what === "diff"
        ? new DiffPage(this.app, this, words[0] ?? "", words[1] ?? "") : null;
      this.key0 = key;
      this.node.replaceChildren(...this.page ? [this.page.node] : this.listNode);
      this.node.scrollTop = 0;
    }
    if (this.page) return this.page.enter(words.slice(1));
    document.title = this.title;
    const [kind, state, text] = what === "find" ? words : [];
    this.filter = { kind: kind === "-" ? "" : kind ?? "", state: state === "-" ? "" : state ?? "", text: text ?? "" };
    this.drawFilter();
    return this.reload();
  }

  exit() {
    this.page?.exit();
    this.page = null;
    this.key0 = null;
  }

  // ---- the list ---------------------------------------------------------------------------------------------------------------

  picture(data) {
    this.host = data.host;
    this.store = data.store;
    if (this.app.shown === this && this.key0) this.change();
  }

  // Something was written: what is shown is asked for anew, soon and once.
  change() {
    if (this.app.shown !== this || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.page) this.page.refresh?.();
      else this.reload(true);
    }, 250);
  }

  look(more) {
    const asked = { view: this.id, ...Object.fromEntries(Object.entries(this.filter).filter(([, value]) => value)), ...more };
    return ask(`/look?${new URLSearchParams(asked)}`);
  }

  // keep: further pages that are shown stay.
  async reload(keep = false) {
    const asked = JSON.stringify(this.filter);
    const page = await attempt(this.look({}));
    if (!page) this.wrong();
    if (!page || JSON.stringify(this.filter) !== asked) return;
    const fresh = new Set(page.items.map(this.keyOf));
    const older = keep && this.paged ? this.items.filter((item) => !fresh.has(this.keyOf(item))) : [];
    if (older.length === 0) [this.next, this.paged] = [page.next, false];
    this.items = [...page.items, ...older];
    this.draw();
  }

  // The files cannot be read; what was shown stays.
  wrong() {
    if (this.items.length > 0) return;
    this.table.hidden = true;
    this.empty.hidden = false;
    this.empty.replaceChildren(el("p", {}, "The history cannot be read."), el("p", { class: "soft" }, this.store ?? ""));
  }

  async more() {
    const page = await attempt(this.look({ before: this.next }));
    if (!page) return;
    const there = new Set(this.items.map(this.keyOf));
    this.items = [...this.items, ...page.items.filter((item) => !there.has(this.keyOf(item)))];
    [this.next, this.paged] = [page.next, true];
    this.draw();
  }

  keyOf(item) { return `${item.kind}:${item.id}`; }

  draw() {
    const nodes = new Map([...this.body.children].map((node) => [node.dataset.key, node]));
    this.body.replaceChildren(...this.items.map((item) => this.row(item, nodes.get(this.keyOf(item)))));
    const filtered = this.listWords().length > 0;
    this.table.hidden = this.items.length === 0;
    this.empty.hidden = this.items.length > 0;
    this.empty.replaceChildren(...filtered ? [el("p", {},
      this.next ? "Nothing of this kind among the newest." : "Nothing of this kind.")] : [el("p", {}, "Nothing has been kept yet."),
      el("p", { class: "soft" }, "A durable run is kept as it goes, what took how long where it is asked for:"),
        commandLine("stoke run --durable FILE"), commandLine("stoke FILE --spans")]);
    this.moreButton.hidden = this.next === undefined;
    put(this.moreButton, this.items.length === 0 ? "Look further back" : "Older ones");
    this.drawCompare();
  }

  row(item, node) {
    const state = JSON.stringify(item);
    if (node?.state === state) return node;
    const about = item.errors ? `${item.errors} failed` : item.about;
    const row = el("tr", { "data-key": this.keyOf(item), "data-kind": item.kind },
      el("td", { class: "state-of" }, pill(item.state)),
      el("td", { class: "what-of" }, el("a", { href: this.app.href(this.id, item.kind, item.id) }, item.title), " ",
        el("span", { class: "soft" }, item.kind === "trace" ? `${item.name} · trace` : item.name,
          item.fork_of && ` · fork of ${item.fork_of}`),
        about && el("div", { class: "about-of" }, about)),
      el("td", { class: "num begun-of" }, agoText(item.begun)),
        el("td", { class: "num took-of" }, item.state === "running" || item.state === "waiting" ? "" : tookText(item.seconds)),
      el("td", { class: "num calls-of" }, item.calls ? numberText(item.calls) : ""),
      el("td", { class: "num tokens-of", title: item.input === undefined ? null
        : `${numberText(item.input)} read, ${numberText(item.output)} written` }, item.tokens ? numberText(item.tokens) : ""));
    row.state = state;
    return row;
  }

  // ---- finding ----------------------------------------------------------------------------------------------------------------

  drawFilter() {
    const { kind, state, text } = this.filter;
    for (const button of this.segments.children) button.ariaPressed = String(button.dataset.kind === kind);
    this.states.value = state;
    if (document.activeElement !== this.search) this.search.value = text;
  }

  choose(more) {
    Object.assign(this.filter, more);
    this.app.mark(this.id, ...this.listWords());
    this.drawFilter();
    this.reload();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.choose({ text: this.search.value.trim() }), 200);
  }

  // ---- comparing --------------------------------------------------------------------------------------------------------------

  compareWith(key) {
    this.comparing = key;
    this.app.go(this.id, ...this.listWords());
  }

  drawCompare() {
    const key = this.comparing;
    this.told.hidden = !key;
    this.table.classList.toggle("choosing", Boolean(key));
    if (!key) return;
    const [kind, id] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
    for (const row of this.body.children) row.classList.toggle("other", row.dataset.kind !== kind || row.dataset.key === key);
    this.told.replaceChildren(el("p", {}, "Choose the ", el("b", {}, kind), " to compare with ",
      el("b", {}, kind === "trace" ? id.slice(0, 12) : id), "."),
      el("button", { type: "button", class: "small", onclick: () => { this.comparing = null; this.draw(); } }, "Leave it"));
  }

  clicked(event) {
    const row = event.target.closest("tr");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey || getSelection().toString() !== "") return;
    event.preventDefault();
    this.open(row.dataset.key);
  }

  open(key) {
    const first = this.comparing, kind = key.slice(0, key.indexOf(":"));
    if (!first) return this.app.go(this.id, kind, key.slice(kind.length + 1));
    if (first === key || !first.startsWith(`${kind}:`)) return undefined;
    this.comparing = null;
    return this.app.go(this.id, "diff", first, key);
  }

  // ---- keys -------------------------------------------------------------------------------------------------------------------

  key(event) {
    if (this.page) return this.page.key(event);
    if (event.key === "/") {
      this.search.focus();
      return true;
    }
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (by === undefined) return false;
    const links = [...this.body.querySelectorAll(".what-of a")];
    const next = links[Math.min(links.length - 1, Math.max(0, links.indexOf(document.activeElement) + by))];
    next?.focus();
    return next !== undefined;
  }
};
