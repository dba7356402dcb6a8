// When each part of a run was at work: a tree of rows, each with a bar of its waits and its work.

// Waits between pieces of work that are longer than this part of all work, and than so many seconds, are drawn short, with a mark.
const GAP_PART = 0.25;
const GAP_SHOWN = 0.05;
const GAP_LEAST = 1;
// Rows that are drawn at once.
const ROWS_MOST = 1500;

// Seconds as they are compared: 0.4 ms, 37 ms, 1.25 s.
function tookText(seconds) {
  if (seconds === undefined || seconds === null) return "";
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 100 ? `${seconds.toFixed(2)} s` : durationText(seconds);
}

const tokensText = ({ input, output }) => (input === undefined ? "" : `${numberText(input)} → ${numberText(output ?? 0)}`);

// What takes its time without being at work.
const rests = ({ name, status }) => name === "time.sleep" || name === "run.signal" || name === "run.await" || status === "waits";

// Places of moments on a line from 0 to 1. A run may sleep for days between two calls: such gaps are short on the line.
class TimeScale {
  // from: where the line begins; else where the run does.
  constructor(rows, now, from) {
    const ends = rows.filter((row) => row.at !== undefined).map((row) =>
      [row.at, row.at + (row.seconds ?? Math.max(0, now - row.at)), rests(row)]);
    this.first = from ?? Math.min(0, ...ends.map(([at]) => at));
    this.last = Math.max(this.first + 0.001, ...ends.map(([, end]) => end));
    this.gaps = this.find(ends.filter(([,, idle]) => !idle).map(([at, end]) => [at, end]).sort((a, b) => a[0] - b[0]));
    const cut = this.gaps.reduce((sum, gap) => sum + gap.cut, 0);
    this.width = Math.max(1e-6, this.last - this.first - cut);
  }

  find(busy) {
    let reached = this.first, work = 0;
    const free = [];
    for (const [at, end] of [...busy, [this.last, this.last]]) {
      if (at > reached) free.push([reached, at]);
      work += Math.max(0, end - Math.max(at, reached));
      reached = Math.max(reached, end);
    }
    const long = free.filter(([from, to]) => work > 0 && to - from > Math.max(GAP_LEAST, work * GAP_PART));
    const left = long.reduce((sum, [from, to]) => sum - (to - from), this.last - this.first);
    return long.map(([from, to]) => ({ from, to, cut: to - from - left * GAP_SHOWN }));
  }

  at(moment) {
    let cut = 0;
    for (const gap of this.gaps) {
      if (moment <= gap.from) break;
      cut += moment >= gap.to ? gap.cut : gap.cut * (moment - gap.from) / (gap.to - gap.from);
    }
    return Math.min(1, Math.max(0, (moment - this.first - cut) / this.width));
  }

  // Round moments along the line, outside of its gaps.
  ticks(most) {
    const step = [1, 2, 5].flatMap((n) => [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5].map((power) => n * 10 ** power))
      .sort((a, b) => a - b).find((size) => this.width / size <= most) ?? this.width;
    const out = [];
    for (let moment = Math.max(0, this.first); moment <= this.last && out.length < 200; moment += step) {
      const gap = this.gaps.find(({ from, to }) => moment > from && moment < to);
      if (gap) moment += Math.floor((gap.to - moment) / step) * step;
      else out.push(moment);
    }
    return out;
  }
}

// ---- rows of a tree ---------------------------------------------------------------------------------------------------------

// Records that say nothing to a reader; frames of the body of an effect, whose own record is the head of what is inside.
const QUIET = new Set(["llm.learned"]);
const BODIES = /^(tool\.call|step)#\d+$/;

const frameText = (label) => label.replace(/:1$/, "").replace(/:(\d+)$/, " #$1");

// Records tell the frames they are in; what has none of its own stands for them with the sums of what is inside.
function treeOfRecords(rows) {
  const root = { items: [], groups: new Map(), path: "" };
  for (const row of rows) {
    if (QUIET.has(row.name)) continue;
    let node = root;
    for (const label of row.frames.filter((frame) => !BODIES.test(frame))) {
      let group = node.groups.get(label);
      if (!group) {
        group = { label, items: [], groups: new Map(), path: `${node.path}/${label}`, head: null };
        node.groups.set(label, group);
        node.items.push(group);
      }
      node = group;
    }
    const own = node !== root && !node.head && (row.name === "step" || row.name === "tool.call")
      && /^(step|tool) /.test(node.label);
    if (own) node.head = row;
    else node.items.push(row);
  }
  return flatten(root.items, 0, []);
}

function sums(group) {
  const all = group.items.flatMap((item) => (item.items ? [sums(item)] : [item]));
  if (group.head) return { ...group.head, sum: true }; // a tool tells what the calls in it used
  const at = Math.min(...all.map((one) => one.at ?? Infinity));
  const open = all.some((one) => one.status === "open" || one.open);
  const end = Math.max(...all.map((one) => (one.at ?? 0) + (one.seconds ?? 0)));
  const total = (name) => all.reduce((sum, one) => (one.call || one.sum ? sum + (one[name] ?? 0) : sum), 0);
  return { at, seconds: open ? undefined : end - at, open, sum: true, input: total("input") || undefined, output: total("output"),
    status: open ? "open" : "done" };
}

function flatten(items, depth, out) {
  for (const item of items) {
    if (!item.items) out.push({ row: item, depth, key: `n${item.n}`, about: item.about });
    else if (!item.head && item.items.length === 1 && item.items[0].items) flatten(item.items, depth, out); // a task of one agent
    else {
      const row = item.head ?? sums(item);
      const parent = { row, depth, key: item.head ? `n${item.head.n}` : item.path,
        group: item.items.length > 0 ? item.path : undefined,
        about: item.head?.about ?? frameText(item.label), sum: !item.head };
      out.push(parent);
      parent.first = out.length;
      flatten(item.items, depth + 1, out);
      parent.last = out.length;
    }
  }
  return out;
}

// Spans come as a tree, each before those below it.
function treeOfSpans(spans) {
  const out = spans.map((row) => ({ row, depth: row.depth, key: row.id,
    about: row.about ? `${row.name} ${row.about}` : row.name }));
  const around = []; // of the span at hand, outermost first
  const close = (depth, at) => {
    while (around.length > 0 && around.at(-1).depth >= depth) {
      const item = around.pop();
      item.last = at;
      if (item.last > item.first) item.group = item.key;
    }
  };
  out.forEach((item, i) => {
    close(item.depth, i);
    item.first = i + 1;
    around.push(item);
  });
  close(0, out.length);
  return out;
}

// ---- the picture ------------------------------------------------------------------------------------------------------------

const PARTS = [["queue", "waits for its turn"], ["load", "loads the model"], ["prefill", "reads the prompt"], ["decode", "writes"],
  ["work", "other work"], ["rest", "sleeps, waits"]];

function partsOf(row, seconds) {
  if (rests(row)) return [["rest", seconds]];
  const known = PARTS.slice(0, 4).map(([name]) => [name, Math.min(row[name] ?? 0, seconds)]).filter(([, size]) => size > 0);
  const left = seconds - known.reduce((sum, [, size]) => sum + size, 0);
  return left > seconds * 0.005 || known.length === 0 ? [...known, ["work", Math.max(left, 0)]] : known;
}

const partsText = (row) => PARTS.filter(([name]) => row[name] > 0.0005).map(([name, words]) =>
  `${words} ${tookText(row[name])}`).join(", ");

class Waterfall {
  // onPick(item): somebody wants to know more of a row. more(): shows further rows, where there are any.
  constructor({ onPick, onMore }) {
    Object.assign(this, { onPick, onMore, items: [], closed: new Set(), only: null, picked: null, nodes: new Map(), rest: 0 });
    this.axis = el("div", { class: "axis", "aria-hidden": "true" });
    this.list = el("div", { class: "spans", role: "tree", "aria-label": "What took how long", tabindex: 0 });
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.allButton = el("button", { type: "button", class: "small", hidden: true, onclick: () => this.focus(null) },
      "Show all of it");
    this.moreButton = el("button", { type: "button", class: "small", hidden: true, onclick: () => this.onMore() });
    this.legend = el("p", { class: "legend" },
      PARTS.map(([name, words]) => el("span", {}, el("i", { class: `part ${name}` }), words)));
    this.node = el("section", { class: "waterfall", "aria-label": "Timeline" }, this.allButton,
      el("div", { class: "span head" }, el("span", {}, "what"), this.axis, el("span", { class: "num took" }, "took"),
        el("span", { class: "num tokens", title: "tokens read → written" }, "tokens"), el("span", { class: "note" }, "outcome")),
      this.list, el("div", { class: "row more" }, this.moreButton), this.legend);
    new ResizeObserver(() => this.drawAxis()).observe(this.axis);
  }

  // rest: rows that there are beside these.
  set(items, now, rest) {
    this.items = items;
    this.now = now;
    const at = this.only === null ? -1 : items.findIndex((item) => item.key === this.only);
    this.range = at < 0 ? [0, items.length] : [at, items[at].last ?? at + 1];
    this.allButton.hidden = at < 0;
    const rows = items.slice(...this.range).filter((item) => !item.sum).map((item) => item.row);
    this.scale = new TimeScale(rows, now, at < 0 ? undefined : items[at].row.at);
    this.rest = rest;
    this.draw();
    this.moreButton.hidden = rest <= 0;
    put(this.moreButton, `Show more of ${numberText(rest)} further rows`);
  }

  // One row and what is inside of it, or all (null).
  focus(key) {
    this.only = key;
    this.set(this.items, this.now, this.rest);
  }

  visible() {
    const out = [], [first, last] = this.range;
    for (let i = first; i < last && out.length < ROWS_MOST; i++) {
      const item = this.items[i];
      out.push(item);
      if (item.group !== undefined && this.closed.has(item.group)) i = item.last - 1;
    }
    return out;
  }

  // Rows that are there stay: who reads one, or has it in focus, does not lose it.
  draw() {
    const shown = this.visible(), nodes = new Map();
    for (const item of shown) nodes.set(item.key, this.row(item, this.nodes.get(item.key)));
    this.nodes = nodes;
    const wanted = [...nodes.values()];
    wanted.forEach((node, i) => { if (this.list.children[i] !== node) this.list.insertBefore(node,
      this.list.children[i] ?? null); });
    while (this.list.children.length > wanted.length) this.list.lastChild.remove();
    this.drawAxis();
  }

  row(item, node) {
    const { row } = item;
    const state = JSON.stringify([row, item.depth, item.group, this.closed.has(item.group), item.about, this.scale.width,
      this.scale.first, row.seconds ?? this.now]);
    if (!node) node = el("div", { class: "span", role: "treeitem", "data-key": item.key });
    if (node.state === state) return node;
    node.state = state;
    node.dataset.status = row.status;
    node.classList.toggle("sum", item.sum === true || row.around === true);
    node.ariaLevel = String(item.depth + 1);
    node.ariaSelected = String(this.picked === item.key);
    node.ariaExpanded = item.group === undefined ? null : String(!this.closed.has(item.group));
    const seconds = row.seconds ?? Math.max(0, this.now - (row.at ?? this.now));
    const open = row.seconds === undefined || row.seconds === null;
    node.title = [item.about, open ? "still at it" : tookText(row.seconds), partsText(row),
      row.outcome ?? row.message].filter(Boolean).join("\n");
    node.replaceChildren(this.name(item), this.bar(row, seconds, open),
      el("span", { class: "num took" }, open ? (row.at === undefined ? "" : "…") : tookText(row.seconds)),
      el("span", { class: "num tokens" }, tokensText(row)), el("span", { class: "note" }, this.note(row)));
    return node;
  }

  name(item) {
    const [first, ...others] = item.about.split(" ");
    const node = el("span", { class: "name" }, item.group === undefined ? el("i", { class: "leaf" }) :
      el("button", { type: "button", class: "twist", tabindex: -1,
        "aria-label": this.closed.has(item.group) ? "show what is inside" : "hide what is inside" },
        this.closed.has(item.group) ? "▸" : "▾"),
    item.row.n === undefined ? null : el("span", { class: "number" }, item.row.n), el("b", {}, first), " ", others.join(" "));
    node.style.setProperty("--depth", Math.min(item.depth, 12));
    return node;
  }

  bar(row, seconds, open) {
    const track = el("span", { class: "track-of" });
    if (row.at === undefined) return track;
    const left = this.scale.at(row.at), right = this.scale.at(row.at + seconds);
    const bar = el("span", { class: "bar-of" }, partsOf(row, seconds).map(([name, size]) => {
      const part = el("i", { class: `part ${name}` });
      part.style.flexGrow = size > 0 ? size / Math.max(seconds, 1e-9) : 0;
      return part;
    }));
    bar.classList.toggle("open", open);
    bar.classList.toggle("free", row.cached !== undefined || row.replayed === true);
    bar.style.left = `${(left * 100).toFixed(3)}%`;
    bar.style.width = `${((right - left) * 100).toFixed(3)}%`;
    track.append(bar, ...this.scale.gaps.map((gap) => {
      const mark = el("i", { class: "gap-mark", title: `${durationText(gap.to - gap.from)} in which nothing was at work` });
      mark.style.left = `${(this.scale.at((gap.from + gap.to) / 2) * 100).toFixed(3)}%`;
      return mark;
    }));
    return track;
  }

  note(row) {
    const marks = [row.cached && `from the ${row.cached} cache`, row.replayed && "from the journal",
      row.attempts && `${row.attempts} attempts`,
      row.changed && "set by the fork", row.n !== undefined && row.status === "open" && !rests(row) && "at work"].filter(Boolean);
    const text = row.outcome || (row.status === "failed" ? `${row.kind ?? "error"}: ${row.message ?? ""}` : "");
    return [marks.map((words) => el("em", {}, words)), text];
  }

  drawAxis() {
    if (!this.scale) return;
    const moments = this.scale.ticks(Math.max(2, Math.floor(this.axis.clientWidth / 64))).filter((moment) =>
      this.scale.at(moment) < 0.93);
    const marks = moments.map((moment) => {
      const since = moment - Math.max(0, this.scale.first);
      const mark = el("span", {}, since < 1e-9 ? "0" : tookText(since).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " "));
      mark.style.left = `${(this.scale.at(moment) * 100).toFixed(2)}%`;
      return mark;
    });
    this.axis.replaceChildren(...marks);
  }

  // ---- what somebody does -----------------------------------------------------------------------------------------------------

  clicked(event) {
    const node = event.target.closest(".span");
    const item = node && this.items.find((one) => one.key === node.dataset.key);
    if (!item) return;
    if (event.target.closest(".twist")) this.turn(item);
    else this.pick(item);
  }

  turn(item) {
    if (this.closed.has(item.group)) this.closed.delete(item.group);
    else this.closed.add(item.group);
    this.draw();
  }

  pick(item) {
    this.mark(item?.key ?? null);
    this.onPick(item ?? null);
  }

  mark(key) {
    this.picked = key;
    for (const [of, node] of this.nodes) node.ariaSelected = String(of === key);
  }

  find(key) { return this.items.find((item) => item.key === key); }

  key(event) {
    const shown = this.visible(), at = shown.findIndex((item) => item.key === this.picked);
    const by = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (by !== undefined) {
      const item = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
      if (!item) return false;
      this.pick(item);
      this.nodes.get(item.key)?.scrollIntoView({ block: "nearest" });
      return true;
    }
    const item = shown[at];
    if (!item || item.group === undefined || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return false;
    if (this.closed.has(item.group) === (event.key === "ArrowRight")) this.turn(item);
    return true;
  }
}
