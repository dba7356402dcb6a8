// The page around its views: which one is shown and where the address says so, the connection, keys, help.

const KEYS = [["1 to 9", "another view"], ["?", "this help"]];

// The address behind the # is /VIEW/WORDS: what the words mean is the view's own.
const addressOf = (words) => `#/${words.map(encodeURIComponent).join("/")}`;

const app = {
  may: false,
  views: new Map(),
  shown: null,

  setClock(time, state) {
    put(byId("day"), `Day ${dayOf(time)}`);
    put(byId("time"), clockText(time));
    byId("clock").dataset.state = state;
  },

  // ---- where we are -----------------------------------------------------------------------------------------------------------

  href: (...words) => addressOf(words),

  address: () => (location.hash.startsWith("#/") ? location.hash.slice(2).split("/").map(decoded) : []),

  // What the address says behind a view: nothing where it is of another one.
  words(view) {
    const [id, ...words] = this.address();
    return id === view ? words : [];
  },

  // Write the address alone, as a step that the browser can go back from; or in place of the present one.
  push(...words) { if (location.hash !== addressOf(words)) history.pushState(null, "", addressOf(words)); },
  mark(...words) { if (location.hash !== addressOf(words)) history.replaceState(null, "", addressOf(words)); },

  go(...words) {
    this.push(...words);
    this.follow();
  },

  // Show what the address says; where it says nothing, what was shown, or what there is to see first: a world.
  follow() {
    const [id, ...words] = this.address();
    const all = [...this.views.values()];
    const view = this.views.get(id) ?? all.find((one) => one === this.shown) ?? all.find((one) => one.clocked) ?? all[0];
    if (view) this.show(view, view.id === id ? words : []);
    else byId("view").replaceChildren(el("p", { class: "empty" },
      "There is nothing to see yet. A world is shown as soon as the program makes one."));
  },

  show(view, words) {
    if (this.shown !== view) {
      this.shown?.exit?.();
      this.shown = view;
      byId("view").replaceChildren(view.node);
      byId("controls").replaceChildren(...view.controls);
      byId("clock").hidden = !view.clocked;
      put(byId("title"), view.title);
      document.title = view.title;
      for (const link of byId("nav").children) link.ariaCurrent = link.dataset.view === view.id ? "page" : null;
    }
    view.enter(words);
  },

  // ---- the views --------------------------------------------------------------------------------------------------------------

  // The views that there are; those that have gone leave the page, those that are new come into it.
  hello({ may, views, now }) {
    this.may = may;
    hostClock.set(now);
    for (const about of views) {
      if (!this.views.has(about.id) && kinds[about.kind]) this.views.set(about.id, new kinds[about.kind](this, about));
    }
    for (const id of this.views.keys()) if (!views.some((about) => about.id === id)) this.views.delete(id);
    this.drawNav();
    this.follow();
    if (token && !may) notice("The token of your link is not the one of this program any more: you can only watch.", 0);
  },

  drawNav() {
    const nav = byId("nav");
    nav.replaceChildren(...[...this.views].map(([id, view]) => el("a", { href: this.href(id), "data-view": id, title: view.title,
      "aria-current": view === this.shown && "page" }, icon(view.constructor.icon ?? "world"), el("span", {}, view.title),
    el("b", { class: "badge-count", hidden: !view.badge }, view.badge ?? ""))));
    nav.hidden = this.views.size < 2;
    document.body.classList.toggle("many", this.views.size > 1);
  },

  // A number beside the name of a view: what waits there.
  badge(id, number) {
    const view = this.views.get(id);
    if (!view || view.badge === number) return;
    view.badge = number;
    const node = [...byId("nav").children].find((link) => link.dataset.view === id)?.querySelector("b");
    if (!node) return;
    put(node, String(number));
    node.hidden = !number;
  },

  state(state, why) {
    const words = { connecting: "connecting…", resting: "rests", cut: "no connection", live: this.may ? "live" : "live · watching only" };
    const node = byId("link-state");
    node.dataset.state = state;
    put(node, words[state]);
    node.title = state === "live" && !this.may ? "Who has the link with the token may decide and change things here." : why ?? "";
    if (state === "cut") notice(`No connection: ${why}. Trying again.`, 0);
    else if (state === "live" && byId("notice").textContent.startsWith("No connection")) notice("");
  },
};

const stream = new Stream((type, data) => {
  if (type === "hello") {
    app.hello(data);
    app.state("live");
  } else if (type === "failure") {
    notice(`${data.view}: ${data.error}`);
  } else {
    app.views.get(data.view)?.[type]?.(data);
  }
}, (state, why) => app.state(state, why));

addEventListener("popstate", () => app.follow());

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  (document.getElementById("panel") ?? byId("view")).focus();
});

// ---- keys -------------------------------------------------------------------------------------------------------------------

function help() {
  const keys = [...app.shown?.keys ?? [], ...app.views.size > 1 ? KEYS : KEYS.slice(1)];
  dialog("Keys", el("dl", { class: "keys" }, keys.map(([key, what]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)))),
    [["Close", "", "main"]]);
}

byId("help").addEventListener("click", help);

function digit(key) {
  const id = /^[1-9]$/.test(key) ? [...app.views.keys()][Number(key) - 1] : undefined;
  if (id === undefined || app.views.size < 2) return false;
  app.go(id);
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  const { target } = event;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "range") {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName)) return;
  if (event.key === "?") help();
  else if (!digit(event.key) && !app.shown?.key?.(event)) return;
  event.preventDefault();
});

window.stokePage = { stream, app }; // for those who look into it with the tools of their browser
