// The page around its views: which one is shown, the clock, the connection, keys, help.

const KEYS = [["space", "pause, or go on"], [".", "one step"], ["< >", "slower, faster"], ["t", "the line of time; arrows move in it"],
  ["n, Esc", "back to now"], ["p", "the list of people; arrows, Enter"], ["s", "the story"],
  ["m", "the map; once you have joined, arrows walk"], ["+ - 0", "the map larger, smaller, all of it"], ["/", "say something, or find somebody"], ["?", "this help"]];

const app = {
  may: false,
  views: new Map(),
  shown: null,

  setClock(time, state) {
    put(byId("day"), `Day ${dayOf(time)}`);
    put(byId("time"), clockText(time));
    byId("clock").dataset.state = state;
  },

  // #/town/ada: the view, and who is looked at.
  route(view) {
    const [, of, id] = location.hash.slice(1).split("/").map(decoded);
    return of === view ? id : undefined;
  },

  setRoute(view, id) {
    const hash = `#/${encodeURIComponent(view)}${id === null ? "" : `/${encodeURIComponent(id)}`}`;
    if (location.hash !== hash) history.pushState(null, "", hash);
  },

  show(id) {
    const view = this.views.get(id);
    if (!view || this.shown === view) return;
    this.shown = view;
    byId("view").replaceChildren(view.node);
    byId("controls").replaceChildren(...view.controls);
    put(byId("title"), view.title);
    document.title = view.title;
    byId("views").value = id;
    view.draw();
  },

  // The views that there are; those that have gone leave the page, those that are new come into it.
  hello({ may, views }) {
    this.may = may;
    for (const about of views) {
      if (!this.views.has(about.id) && kinds[about.kind]) this.views.set(about.id, new kinds[about.kind](this, about));
    }
    for (const id of this.views.keys()) if (!views.some((about) => about.id === id)) this.views.delete(id);
    const list = byId("views");
    list.replaceChildren(...[...this.views].map(([id, view]) => el("option", { value: id }, view.title)));
    list.parentNode.hidden = this.views.size < 2;
    const wanted = decoded(location.hash.slice(1).split("/")[1] ?? "");
    if (this.views.size === 0) byId("view").replaceChildren(el("p", { class: "empty" }, "There is nothing to see yet. A world is shown as soon as the program makes one."));
    else this.show(this.views.has(wanted) ? wanted : this.shown?.id ?? this.views.keys().next().value);
    if (token && !may) notice("The token of your link is not the one of this program any more: you can only watch.", 0);
  },

  state(state, why) {
    const words = { connecting: "connecting…", resting: "rests", cut: "no connection", live: this.may ? "live" : "live · watching only" };
    const node = byId("link-state");
    node.dataset.state = state;
    put(node, words[state]);
    node.title = state === "live" && !this.may ? "Who has the link with the token may pause the world, join it and speak." : why ?? "";
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

byId("views").addEventListener("change", (event) => {
  app.show(event.target.value);
  app.setRoute(event.target.value, null);
});

addEventListener("popstate", () => {
  const view = app.shown;
  const id = view && app.route(view.id);
  if (view && (id ?? null) !== view.selected) view.pick?.(id ?? null);
});

function help() {
  dialog("Keys", el("dl", { class: "keys" }, KEYS.map(([key, what]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)))),
    [["Close", "", "main"]]);
}

byId("help").addEventListener("click", help);

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  const { target } = event;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "range") {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName)) return;
  if (event.key === "?") help();
  else if (!app.shown?.key(event)) return;
  event.preventDefault();
});

window.stokePage = { stream, app }; // for those who look into it with the tools of their browser
