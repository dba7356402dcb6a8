// One member: what it does now, its plan, its memories with their scores, the exact request of its last thought. And the list of all.

const LISTED = 100;
const TAGS = { thinking: "thinks", asleep: "sleeps", player: "a person" };

function tagsOf(member, members, id) {
  const said = /\b(asleep|sleep)/.test(member.doing ?? "") ? { ...TAGS, asleep: undefined } : TAGS; // once is enough
  const tags = Object.entries(said).filter(([name, word]) => word && member[name]).map(([, word]) => word);
  if (member.talk !== undefined) {
    const others = Object.entries(members).filter(([other, one]) => other !== id && one.talk === member.talk).map(([, one]) => one.name);
    tags.push(others.length ? `talks with ${others.join(", ")}` : "waits to talk");
  }
  if (member.mood) tags.push(member.mood);
  return tags;
}

// The list of members: one stop for the Tab key, arrows within it.
class People {
  constructor(looks, onPick) {
    Object.assign(this, { looks, onPick, nodes: new Map(), at: null, filter: "" });
    this.search = el("input", { type: "search", placeholder: "Find somebody", "aria-label": "Find somebody", autocomplete: "off" });
    this.search.addEventListener("input", () => {
      this.filter = this.search.value.trim().toLowerCase();
      this.show(this.members, this.selected);
    });
    this.list = el("ul", { class: "list", role: "listbox", "aria-label": "Members" });
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.more = el("p", { class: "hint" });
    this.node = el("div", { class: "people-list" }, this.search, this.list, this.more);
  }

  show(members, selected, total) {
    Object.assign(this, { members, selected, total: total ?? this.total });
    const ids = Object.keys(members).sort((a, b) => byName(members[a].name, members[b].name));
    const fits = ids.filter((id) => !this.filter || members[id].name.toLowerCase().includes(this.filter));
    const wanted = fits.slice(0, LISTED);
    const listed = new Set(wanted);
    this.search.hidden = ids.length < 12;
    for (const [id, node] of this.nodes) {
      if (listed.has(id)) continue;
      node.remove();
      this.nodes.delete(id);
    }
    wanted.forEach((id, place) => {
      const node = this.nodes.get(id) ?? this.make(id, members[id]);
      if (this.list.children[place] !== node) this.list.insertBefore(node, this.list.children[place] ?? null);
      this.dress(id, node, members[id]);
    });
    if (!listed.has(this.at)) this.at = listed.has(selected) ? selected : wanted[0];
    for (const [id, node] of this.nodes) node.tabIndex = id === this.at ? 0 : -1;
    const more = fits.length - wanted.length + (this.filter ? 0 : (this.total ?? ids.length) - ids.length);
    put(this.more, ids.length === 0 ? "Nobody is here." : fits.length === 0 ? "Nobody has this in the name."
      : more > 0 ? `And ${more} more: find them by name.` : "");
  }

  make(id, member) {
    const node = el("li", { role: "option", "data-id": id, "aria-selected": "false", onclick: () => this.onPick(id) },
      badge(this.looks.of(id), member.name), el("span", { class: "who" }, el("b", {}, member.name), el("span", { class: "what" })));
    this.nodes.set(id, node);
    return node;
  }

  dress(id, node, member) {
    put(node.querySelector("b"), member.name);
    put(node.querySelector(".what"), [member.doing, ...tagsOf(member, this.members, id)].filter(Boolean).join(" · "));
    node.setAttribute("aria-selected", String(id === this.selected));
  }

  focus(id) {
    this.at = id;
    for (const [known, node] of this.nodes) node.tabIndex = known === id ? 0 : -1;
    this.nodes.get(id)?.focus();
  }

  key(event) {
    const ids = [...this.list.children].map((node) => node.dataset.id);
    const place = ids.indexOf(this.at);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (to !== undefined && ids[to]) this.focus(ids[to]);
    else if (event.key === "Enter" && this.at) this.onPick(this.at); // space is the world's
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// ---- one of them --------------------------------------------------------------------------------------------------------------

const scoreText = (value) => (typeof value === "number" ? value.toFixed(2) : "");

function minutesOf(from) {
  if (typeof from === "number") return (from % 86400) / 60;
  const found = /^(\d+):(\d+)/.exec(from ?? "");
  return found ? Number(found[1]) * 60 + Number(found[2]) : NaN;
}

function planList(plan, time) {
  const minute = (time % 86400) / 60;
  let current = -1;
  plan.forEach((item, i) => { if (minutesOf(item.from) <= minute) current = i; });
  return el("ol", { class: "plan" }, plan.map((item, i) => el("li", { class: i < current ? "over" : i === current ? "current" : null,
    "aria-current": i === current ? "time" : null },
  el("time", {}, typeof item.from === "number" ? clockText(item.from, false) : item.from ?? ""),
  el("span", {}, item.activity ?? String(item), item.place ? el("span", { class: "where" }, ` at ${item.place}`) : null),
  i === current ? el("em", {}, "now") : null)));
}

// A bar that says its number, too.
function bar(label, value, most) {
  const meter = el("span", { class: "meter" }, el("i", {}));
  meter.firstChild.style.width = `${Math.round(Math.max(0, Math.min(1, value / most)) * 100)}%`;
  return el("span", { class: "score" }, label, meter, el("b", {}, scoreText(value)));
}

// The bar of a score is beside the best of the list: what it can be at most depends on weights.
function memoryList(memories) {
  const best = Math.max(1, ...memories.map((memory) => memory.score ?? 0));
  return el("ul", { class: "memories" }, memories.map((memory) => memoryItem(memory, best)));
}

function memoryItem(memory, best) {
  const facts = [memory.time === undefined ? null : momentText(memory.time), memory.kind,
    memory.importance === undefined ? null : `importance ${memory.importance}`].filter(Boolean).join(" · ");
  return el("li", {}, el("p", {}, memory.text ?? JSON.stringify(memory)), el("p", { class: "facts" }, facts),
    el("p", { class: "scores" }, ["score", "relevance", "recency"].filter((name) => typeof memory[name] === "number")
      .map((name) => bar(name, memory[name], name === "score" ? best : 1))));
}

function personaText(persona) {
  if (typeof persona === "string") return persona;
  const { text, traits, ...rest } = persona;
  const facts = Object.entries(rest).filter(([, value]) => typeof value !== "object").map(([name, value]) => `${name} ${value}`);
  return [[...facts, ...(Array.isArray(traits) ? traits : [])].join(" · "), text].filter(Boolean).join("\n");
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

class Person {
  constructor(looks, { onClose, load }) {
    Object.assign(this, { looks, load, id: null, key: null, busy: false, opened: new Set(["plan", "found", "memories"]) });
    this.head = el("div", { class: "head" });
    this.now = el("div", { class: "now" });
    this.body = el("div", { class: "mind" });
    this.close = el("button", { type: "button", class: "quiet", onclick: onClose }, icon("back"), "Everybody");
    this.node = el("article", { class: "person", "aria-labelledby": "person-name", hidden: true }, this.close, this.head, this.now,
      this.body);
  }

  open(id, member) {
    this.id = id;
    this.key = null;
    this.node.hidden = id === null;
    if (id === null) return;
    this.head.replaceChildren(badge(this.looks.of(id), member.name), el("h2", { id: "person-name", tabindex: -1 }, member.name));
    this.body.replaceChildren(el("p", { class: "hint" }, "…"));
  }

  // What the stream tells of it, at once.
  show(member, members, time) {
    const tags = tagsOf(member, members, this.id);
    const said = member.said ? `“${member.said.text}”` : null;
    const key = JSON.stringify([member.doing, tags, said, member.goal]);
    if (this.shownKey === key && this.shownId === this.id) return;
    [this.shownKey, this.shownId] = [key, this.id];
    this.now.replaceChildren(el("p", { class: "doing" }, member.doing ?? ""),
      tags.length ? el("p", { class: "tags" }, tags.map((tag) => el("span", {}, tag))) : "",
      said ? el("blockquote", {}, said, member.said.time === undefined ? "" : el("footer", {}, momentText(member.said.time))) : "");
    this.time = time;
  }

  // What must be asked for: again when it has said or done something, and at most every two seconds. Answers to an earlier question
  // than the last one are dropped.
  async refresh(member, moment, time) {
    const key = JSON.stringify([this.id, member?.doing, member?.said?.text, member?.thinking, moment]);
    const late = performance.now() - (this.at ?? 0) > (moment === null ? 5000 : Infinity);
    if (this.busy || this.id === null || this.key === key && !late) return;
    if (this.key !== null && performance.now() - (this.at ?? 0) < 1000 && this.askedMoment === moment) return;
    Object.assign(this, { busy: true, key, at: performance.now(), askedMoment: moment });
    const asked = this.id;
    try {
      const mind = await this.load(asked, moment);
      if (this.id === asked) this.draw(mind, moment ?? time);
    } catch (error) {
      if (this.id === asked) this.body.replaceChildren(el("p", { class: "hint" }, error.message));
    } finally {
      this.busy = false;
    }
  }

  part(name, title, content, open) {
    if (content === null) return "";
    const node = el("details", { class: name, open: open || this.opened.has(name) }, el("summary", {}, title), content);
    node.addEventListener("toggle", () => (node.open ? this.opened.add(name) : this.opened.delete(name)));
    return node;
  }

  draw({ mind, record, wrong }, time) {
    const text = JSON.stringify([mind, record, wrong, Math.floor(time / 60)]);
    if (text === this.drawn && this.drawnId === this.id) return;
    [this.drawn, this.drawnId] = [text, this.id];
    const known = mind ?? {};
    const pre = (value) => (value === undefined ? null : el("pre", { tabindex: 0 }, asText(value)));
    const plan = known.plan ?? (Array.isArray(record.plan) ? record.plan : undefined);
    const memories = known.memories;
    const scroll = this.body.closest(".scroll")?.scrollTop;
    this.body.replaceChildren(
      wrong ? el("p", { class: "hint" }, wrong) : "",
      known.failed ? el("p", { class: "hint" }, `The last thought failed: ${asText(known.failed)}`) : "",
      known.persona === undefined ? "" : el("p", { class: "persona" }, personaText(known.persona)),
      this.part("plan", "Plan of the day", plan?.length ? planList(plan, time) : null),
      this.part("found", "What came to mind last", known.found?.length ? memoryList(known.found) : null),
      this.part("memories", `Memories (${memories?.length ?? 0})`, memories?.length ? memoryList(memories) : null),
      this.part("news", "Noticed since then", known.news?.length ? memoryList(known.news) : null),
      this.part("request", "Last request to the model", pre(known.request)),
      this.part("answer", "Last answer", pre(known.answer)),
      this.part("feedback", "Feedback on it", known.feedback?.length ? el("ul", {}, known.feedback.map((line) =>
        el("li", {}, asText(line)))) : null),
      this.part("record", "All that the world keeps of it", pre(record)));
    if (scroll !== undefined) this.body.closest(".scroll").scrollTop = scroll;
  }
}
