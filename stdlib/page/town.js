// The view of a world: clock, timeline, map, people, story. `live` is what the stream tells; `past` a moment that somebody looks at.

const SPEEDS = [[1, "1× (real time)"], [10, "10×"], [60, "60× (a minute a second)"], [600, "600×"], [3600, "3,600× (an hour a second)"],
  ["free", "as fast as it can"]];
const SAID_SECONDS = 60; // of the world: how old words may be that the past shows in a bubble

// Changes of members: fields that are null are gone, and so are members that are.
function applyChanges(members, changes) {
  for (const [id, change] of Object.entries(changes)) {
    if (change === null) {
      delete members[id];
      continue;
    }
    const member = members[id] ??= {};
    for (const [name, value] of Object.entries(change)) {
      if (value === null) delete member[name];
      else member[name] = value;
    }
  }
}

const WORLD_KEYS = [["space", "pause, or go on"], [".", "one step"], ["< >", "slower, faster"], ["t", "the line of time; arrows move in it"],
  ["n, Esc", "back to now"], ["p", "the list of people; arrows, Enter"], ["s", "the story"],
  ["m", "the map; once you have joined, arrows walk"], ["+ - 0", "the map larger, smaller, all of it"], ["/", "say something, or find somebody"]];

class Town {
  constructor(app, about) {
    Object.assign(this, { app, id: about.id, title: about.title, clocked: true, keys: WORLD_KEYS, live: null, past: null, selected: null, looks: new Looks(), me: null,
      awaited: null });
    this.map = new TownMap(this.looks, { onPick: (id) => this.pick(id), onGo: (x, y) => this.walk(x, y) });
    this.timeline = new Timeline({ onPast: (moment) => this.look(moment), onNow: () => this.look(null), onBack: (to) => this.goBack(to) });
    this.people = new People(this.looks, (id) => this.pick(id));
    this.person = new Person(this.looks, { onClose: () => this.pick(null, true), load: (id, moment) => this.load(id, moment) });
    this.feed = new Feed(this.looks, (id) => this.nameOf(id), (id) => this.pick(id));
    this.text = el("pre", { class: "state", tabindex: 0 });
    this.makeControls();
    this.makePlayer();
    this.makePanel();
    this.below = el("section", { class: "below-map", "aria-label": "What happened" });
    const stage = el("div", { class: "stage" }, this.timeline.banner, this.map.node, this.player, this.below);
    this.node = el("div", { class: "world" }, this.timeline.node, el("div", { class: "halves" }, stage, this.panel));
  }

  // ---- parts ----------------------------------------------------------------------------------------------------------------

  makeControls() {
    const act = (what, more) => () => attempt(order(this.id, what, more?.())).then((done) => done && this.setClock(done.clock));
    this.playButton = el("button", { type: "button", class: "main", onclick: () => act(this.live?.clock.paused ? "resume" : "pause")() });
    this.stepButton = el("button", { type: "button", title: "One step (.)", onclick: act("step") }, icon("step"), "Step");
    this.speedList = el("select", { "aria-label": "Speed", onchange: () => {
      const value = this.speedList.value;
      act("speed", () => ({ speed: value === "free" ? value : Number(value) }))();
    } }, SPEEDS.map(([value, label]) => el("option", { value }, label)));
    this.controls = [this.playButton, this.stepButton, this.speedList];
  }

  drawControls(clock) {
    const paused = Boolean(clock.paused);
    if (this.playButton.dataset.paused !== String(paused)) {
      this.playButton.dataset.paused = String(paused);
      this.playButton.replaceChildren(icon(paused ? "play" : "pause"), paused ? "Go on" : "Pause");
      this.playButton.title = `${paused ? "Go on" : "Pause"} (space)`;
    }
    const speed = String(clock.speed ?? 1);
    if (![...this.speedList.options].some((option) => option.value === speed)) {
      this.speedList.append(el("option", { value: speed }, `${Number(speed).toLocaleString("en")}×`));
    }
    if (document.activeElement !== this.speedList) this.speedList.value = speed;
    for (const control of this.controls) control.disabled = !this.app.may;
  }

  makePanel() {
    this.tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Panels" });
    this.pages = {};
    const page = (name, label, ...content) => {
      const tab = el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `page-${name}`,
        onclick: () => this.open(name) }, label);
      const node = el("div", { class: "scroll", role: "tabpanel", id: `page-${name}`, "aria-labelledby": `tab-${name}` }, content);
      this.pages[name] = { tab, node };
      this.tabs.append(tab);
      return node;
    };
    const people = page("people", "People", this.people.node, this.person.node);
    const story = page("story", "Story", this.feed.node);
    const more = page("world", "World", this.makeWorldPage());
    this.tabs.addEventListener("keydown", (event) => this.tabKey(event));
    this.panel = el("section", { class: "panel", id: "panel", tabindex: -1, "aria-label": "Details" }, this.tabs, people, story, more);
    this.open("people");
    const wide = matchMedia("(min-width: 861px)");
    wide.addEventListener("change", () => this.placeFeed(wide.matches));
    queueMicrotask(() => this.placeFeed(wide.matches));
  }

  // The story is below the map where there is room for it, else behind a tab.
  placeFeed(wide) {
    (wide ? this.below : this.pages.story.node).append(this.feed.node);
    this.pages.story.tab.hidden = wide;
    if (wide && this.opened === "story") this.open("people");
    this.feed.end();
  }

  tabKey(event) {
    const names = Object.keys(this.pages).filter((name) => !this.pages[name].tab.hidden);
    const place = names.indexOf(this.opened) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? 0);
    if (!["ArrowRight", "ArrowLeft"].includes(event.key)) return;
    const name = names[(place + names.length) % names.length];
    this.open(name);
    this.pages[name].tab.focus();
    event.preventDefault();
    event.stopPropagation();
  }

  open(name) {
    this.opened = name;
    for (const [known, { tab, node }] of Object.entries(this.pages)) {
      const on = known === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      node.hidden = !on;
    }
    if (name === "story") this.feed.end();
  }

  // Any input of the world, for what has no button.
  makeWorldPage() {
    this.facts = el("dl", { class: "facts" });
    this.inputName = el("select", { name: "name", id: "input-name" });
    this.inputMember = el("select", { name: "member", id: "input-member" }, el("option", { value: "" }, "the world"));
    this.inputArgs = el("textarea", { name: "args", id: "input-args", rows: 3, spellcheck: "false" }, "{}");
    this.inputResult = el("output", { class: "result", for: "input-name input-member input-args" });
    this.inputForm = el("form", { class: "input", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      this.send();
    } }, el("h3", {}, "Send an input"), el("label", { for: "input-name" }, "Input"), this.inputName,
    el("label", { for: "input-member" }, "To"), this.inputMember, el("label", { for: "input-args" }, "Arguments, as JSON"),
    this.inputArgs, el("button", { type: "submit" }, "Send"), this.inputResult);
    return [this.facts, this.text, this.inputForm];
  }

  async send() {
    let args;
    try {
      args = JSON.parse(this.inputArgs.value || "{}");
    } catch (error) {
      return put(this.inputResult, `The arguments are no JSON: ${error.message}`);
    }
    const done = await attempt(order(this.id, "input", { name: this.inputName.value, args, member: this.inputMember.value || undefined }));
    if (!done) return undefined;
    return put(this.inputResult, done.waits ? "Taken with the next step."
      : done.result === undefined ? "Done." : asText(done.result));
  }

  // ---- what the stream tells ------------------------------------------------------------------------------------------------

  picture(picture) {
    this.live = { clock: picture.clock, members: picture.members, count: picture.count, text: picture.text };
    for (const id of Object.keys(picture.members ?? {}).sort(byName)) this.looks.of(id);
    this.map.setMap(picture.map ?? null);
    this.inputs = picture.inputs ?? [];
    this.inputName.replaceChildren(...this.inputs.map((name) => el("option", { value: name }, name)));
    this.feed.clear();
    this.feed.add(picture.news ?? []);
    const mine = kept.get(`me ${this.id}`);
    this.me = mine && picture.members?.[mine]?.player ? mine : null;
    this.map.hushAll();
    this.restore();
    this.draw();
  }

  change(change) {
    if (!this.live) return;
    const live = this.live;
    live.clock = change.clock ?? live.clock;
    if (change.text !== undefined) live.text = change.text;
    if (change.count !== undefined) live.count = change.count;
    if (change.members && live.members) {
      applyChanges(live.members, change.members);
      if (this.past === null) this.speakUp(change.members);
    }
    if (change.news || change.missed) this.feed.add(change.news ?? [], change.missed);
    if (this.awaited) this.lookForAwaited(change.news ?? []);
    this.draw();
  }

  // What was said just now, over the head, and to those who do not see it.
  speakUp(changes) {
    for (const [id, change] of Object.entries(changes)) {
      if (!change?.said) continue;
      this.map.speak(id, change.said.text, Math.min(12, 4 + change.said.text.length * 0.06));
      if (id === this.selected || this.me && this.live.members[id]?.talk === this.live.members[this.me]?.talk) {
        say(`${this.nameOf(id)}: ${change.said.text}`);
      }
    }
  }

  setClock(clock) {
    if (!clock || !this.live) return;
    this.live.clock = clock;
    this.draw();
  }

  nameOf(id) { return this.live?.members?.[id]?.name ?? String(id); }

  shown() { return this.past ?? this.live; }

  // The address names who is looked at.
  enter([id = null]) {
    if (id !== this.selected) this.pick(id);
    this.draw();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------------

  // Once a frame of the screen, however much comes.
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    const f = () => {
      if (!this.waiting) return;
      this.waiting = false;
      if (this.live && this.app.shown === this) this.drawNow();
    };
    requestAnimationFrame(f);
    setTimeout(f, 250); // a tab that is not seen has no frames
  }

  drawNow() {
    const { clock } = this.live;
    const shown = this.shown();
    const members = shown.members ?? {};
    this.app.setClock(this.past ? this.past.clock.time : clock.time, this.past ? "past" : clock.running && !clock.paused ? "runs" : "rests");
    this.drawControls(clock);
    this.timeline.show(clock.first, clock.time);
    const peopled = this.live.members !== undefined;
    this.node.classList.toggle("unpeopled", !peopled);
    this.pages.people.tab.hidden = !peopled;
    if (!peopled && this.opened === "people") this.open("world");
    this.map.show(members, clock.paused ? 0.15 : Math.min(0.9, Math.max(0.1, 0.9 / (clock.speed === "free" ? 60 : clock.speed || 1))));
    this.people.show(members, this.selected, shown.count);
    this.drawPerson(members, shown.clock.time);
    this.drawWorld(shown);
    this.drawPlayer();
    if (!this.past) this.map.hushOld(clock.time);
    this.map.light(shown.clock.time);
    this.map.describe(this.summary(members));
  }

  drawPerson(members, time) {
    const member = this.selected && members[this.selected];
    if (!this.selected) return;
    if (!member) return put(this.person.body, "Not here at this moment.");
    this.person.show(member, members, time);
    this.person.refresh(member, this.past ? this.past.clock.time : null, time);
  }

  summary(members) {
    const all = Object.values(members);
    const talks = new Set(all.map((member) => member.talk).filter((talk) => talk !== undefined)).size;
    return `Map of ${this.title}: ${count(all.length, "member")}, ${count(talks, "conversation")}. The list of people has the same in words.`;
  }

  drawWorld(shown) {
    const { clock } = this.live;
    const facts = [["State", clock.paused ? "paused" : clock.running ? "runs" : "stands"], ["Tick", String(shown.clock.tick)],
      ["Members", shown.members ? String(shown.count ?? Object.keys(shown.members).length) : "none"],
      ["Thoughts under way", String(clock.thoughts ?? 0)]];
    if (facts.join() !== this.drawnFacts) {
      this.drawnFacts = facts.join();
      this.facts.replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    }
    put(this.text, shown.text ?? "");
    this.text.hidden = shown.text === undefined;
    this.inputForm.hidden = !this.app.may || this.inputs.length === 0;
    const ids = Object.keys(this.live.members ?? {}).sort(byName);
    if (this.opened === "world" && ids.join() !== this.listed) {
      this.listed = ids.join();
      this.inputMember.replaceChildren(el("option", { value: "" }, "the world"), ...ids.map((id) => el("option", { value: id }, this.nameOf(id))));
    }
  }

  // ---- one member ---------------------------------------------------------------------------------------------------------------

  pick(id, focus) {
    if (id !== null && !this.shown()?.members?.[id]) return;
    const before = this.selected;
    const within = document.activeElement?.closest(".panel, .feed"); // before what has the focus is hidden
    this.selected = id;
    this.map.select(id);
    this.people.node.hidden = id !== null;
    this.person.open(id, id === null ? null : this.shown().members[id]);
    if (this.app.shown === this) this.app.push(this.id, ...id === null ? [] : [id]);
    if (id !== null) {
      this.open("people");
      this.pages.people.node.scrollTop = 0;
    }
    this.drawNow();
    if (id !== null && within) byId("person-name").focus({ preventScroll: true });
    if (id === null && focus && before !== null) this.people.focus(before);
  }

  load(id, moment) {
    const query = new URLSearchParams({ view: this.id, member: id });
    if (moment !== null && moment !== undefined) query.set("time", String(moment));
    return ask(`/look?${query}`);
  }

  restore() {
    const [id] = this.app.words(this.id);
    if (id && this.live.members?.[id]) this.pick(id);
  }

  // ---- the past -----------------------------------------------------------------------------------------------------------------

  // The slider may ask faster than the world can look back: one question at a time, and then for where the slider is by then.
  async look(moment) {
    this.wanted = moment;
    this.timeline.setPast(moment);
    if (moment === null) {
      this.past = null;
      this.map.hushAll();
      this.timeline.show(this.live.clock.first, this.live.clock.time);
      return this.draw();
    }
    if (this.looking) return undefined;
    this.looking = true;
    while (this.wanted !== null && this.wanted !== this.past?.clock.time) {
      const asked = this.wanted;
      const past = await attempt(ask(`/look?${new URLSearchParams({ view: this.id, time: String(asked) })}`));
      if (this.wanted === null) break;
      if (past) this.showPast(past);
      if (!past || asked === this.wanted) break;
    }
    this.looking = false;
    if (this.wanted !== null && !this.past) this.look(null);
    return undefined;
  }

  showPast(past) {
    this.past = past;
    this.map.hushAll();
    for (const [id, member] of Object.entries(past.members ?? {})) {
      if (member.said?.time !== undefined && past.clock.time - member.said.time <= SAID_SECONDS) this.map.speak(id, member.said.text, 0);
    }
    this.draw();
  }

  async goBack(moment) {
    if (!this.app.may) return notice("Who only watches cannot change the world: this needs the link with the token.");
    const sure = await dialog("Let the world go on from here?", el("p", {},
      `It goes back to ${momentText(moment, true)}. All that has happened since, up to ${momentText(this.live.clock.time, true)}, will be gone.`),
    [["Go back", "yes", "danger"], ["Keep it", "", ""]]);
    if (!sure) return undefined;
    const done = await attempt(order(this.id, "back", { time: moment }));
    if (done) {
      this.wanted = this.past = null;
      this.timeline.setPast(null);
      this.setClock(done.clock);
    }
    return undefined;
  }

  // ---- joining ------------------------------------------------------------------------------------------------------------------

  makePlayer() {
    this.joinButton = el("button", { type: "button", class: "main", onclick: () => this.join() }, "Join as a person");
    this.words = el("input", { type: "text", id: "words", maxlength: 500, autocomplete: "off", enterkeyhint: "send",
      placeholder: "Say something", "aria-label": "Say something" });
    this.who = el("b", {});
    this.leaveButton = el("button", { type: "button", onclick: () => this.leave() }, "Leave");
    this.hangUpButton = el("button", { type: "button", onclick: () =>
      attempt(order(this.id, "input", { name: "hang_up", args: {}, member: this.me })) }, "End the talk");
    this.sayForm = el("form", { class: "say", onsubmit: (event) => {
      event.preventDefault();
      this.speak();
    } }, this.who, this.words, el("button", { type: "submit", class: "main" }, "Say"), this.hangUpButton, this.leaveButton);
    this.playerHint = el("p", { class: "hint" }, "Walk: arrow keys on the map, or a click where to go.");
    this.player = el("div", { class: "join", hidden: true }, this.joinButton, this.sayForm, this.playerHint);
    this.map.svg.tabIndex = 0;
    this.map.svg.addEventListener("keydown", (event) => this.mapKey(event));
  }

  drawPlayer() {
    const may = this.app.may && this.inputs.includes("join") && this.live.members !== undefined;
    if (this.me && !this.live.members?.[this.me]) this.me = null;
    this.player.hidden = !may || this.past !== null;
    this.joinButton.hidden = this.me !== null;
    this.sayForm.hidden = this.playerHint.hidden = this.me === null;
    this.hangUpButton.hidden = !this.inputs.includes("hang_up") || this.live.members?.[this.me]?.talk === undefined;
    if (this.me) put(this.who, `You are ${this.nameOf(this.me)}`);
  }

  async join() {
    const given = await dialog("Join as a person", [el("label", { for: "join-name" }, "Your name here"),
      el("input", { id: "join-name", name: "name", required: true, maxlength: 40, autocomplete: "off", autofocus: true })],
    [["Join", "yes", "main"], ["Not now", "", ""]]);
    const name = given?.name?.trim();
    if (!name) return;
    const done = await attempt(order(this.id, "input", { name: "join", args: { name } }));
    if (!done) return;
    if (done.waits) {
      notice(`The world waits: ${name} joins with its next step.`);
      this.awaited = name;
      return;
    }
    this.become(done.result?.id ?? done.result);
  }

  // The world took the order and stood: whoever of this name comes is the one, unless it is refused then.
  lookForAwaited(news) {
    const name = this.awaited;
    const found = Object.entries(this.live.members ?? {}).find(([, member]) => member.player && member.name === name);
    const refusal = news.find(({ type, data }) => type === "input" && data?.name === "join" && data.args?.name === name && data.error);
    if (!found && !refusal) return;
    this.awaited = null;
    if (found) this.become(found[0]);
    else notice(`${name} could not join: ${refusal.data.error.message ?? brief(refusal.data.error)}`);
  }

  become(id) {
    this.me = String(id);
    kept.set(`me ${this.id}`, this.me);
    this.joined = performance.now();
    const shown = () => {
      if (this.live.members?.[this.me]) this.drawNow();
      this.words.focus();
    };
    setTimeout(shown, 150);
  }

  async speak() {
    const text = this.words.value.trim();
    if (!text || !this.me) return;
    const done = await attempt(order(this.id, "input", { name: "say", args: { text }, member: this.me }));
    if (done) this.words.value = "";
    if (done?.waits) notice("The world waits: your words are heard with its next step.");
  }

  walk(x, y) {
    if (!this.me || this.past || !this.app.may || !this.inputs.includes("walk")) return;
    if (this.map.map && !isFloor(this.map.map.rows, x - 1, y - 1)) return;
    attempt(order(this.id, "input", { name: "walk", args: { x, y }, member: this.me }));
  }

  mapKey(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const me = this.me && this.live.members?.[this.me];
    if (!by || !me) return;
    event.preventDefault();
    event.stopPropagation();
    this.walk(me.x + by[0], me.y + by[1]);
  }

  async leave() {
    const done = await attempt(order(this.id, "input", { name: "leave", args: { id: this.me } }));
    if (!done) return;
    this.me = null;
    kept.set(`me ${this.id}`, null);
    this.draw();
  }

  // ---- keys of the whole page ---------------------------------------------------------------------------------------------------

  key(event) {
    const may = this.app.may;
    const keys = {
      " ": () => may && this.playButton.click(),
      ".": () => may && this.stepButton.click(),
      "<": () => may && this.faster(-1),
      ">": () => may && this.faster(1),
      "+": () => this.map.zoom.by(1.5),
      "-": () => this.map.zoom.by(1 / 1.5),
      0: () => this.map.zoom.reset(),
      n: () => this.look(null),
      p: () => { this.open("people"); this.people.focus(this.people.at); },
      s: () => {
        if (!this.pages.story.tab.hidden) this.open("story");
        this.feed.list.focus();
      },
      m: () => this.map.svg.focus(),
      t: () => this.timeline.range.focus(),
      "/": () => (this.me ? this.words.focus() : this.people.search.hidden || this.people.search.focus()),
      Escape: () => (this.timeline.past !== null ? this.look(null) : this.selected !== null && this.pick(null, true)),
    };
    if (!keys[event.key]) return false;
    keys[event.key]();
    return true;
  }

  faster(by) {
    const place = SPEEDS.findIndex(([value]) => String(value) === String(this.live.clock.speed));
    const next = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, (place < 0 ? 2 : place) + by))];
    attempt(order(this.id, "speed", { speed: next[0] })).then((done) => done && this.setClock(done.clock));
  }
}

kinds.world = Town;
