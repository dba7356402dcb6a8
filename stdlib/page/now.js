// What the host does now: tokens a second, models with their slots and queues, agents, caches, what failed. Numbers change in place
// once a second; a part that has not changed is not drawn again.

const QUEUE_SHOWN = 3; // waiting calls of a model
const CALLS_SHOWN = 6;
const MEAN = 10; // seconds over which a speed is a mean

const SHOWN_PARTS = ["host", "speeds", "pool", "agents", "cache", "failures"];
const CACHE_TIERS = [["exact", "asked before"], ["shared", "asked by another just then"], ["semantic", "means the same"],
  ["prefix", "rest of an earlier answer"], ["misses", "asked a model"]];

class Now {
  static icon = "now";

  constructor(app, about) {
    Object.assign(this, { app, id: about.id, title: about.title, controls: [], seen: null, dirty: new Set() });
    this.about = el("p", { class: "soft" });
    this.tiles = el("dl", { class: "tiles" });
    this.pool = this.card("Models");
    this.agents = this.card("Agents");
    this.cache = this.card("Cache");
    this.failures = this.card("Errors");
    this.node = el("div", { class: "sheet" }, this.about, this.tiles, this.pool.node,
      el("div", { class: "two" }, this.agents.node, this.cache.node), this.failures.node);
  }

  card(title) {
    const note = el("span", { class: "soft" });
    const body = el("div", {});
    return { node: el("section", { class: "card", "aria-label": title }, el("header", {}, el("h2", {}, title), note), body), body, note };
  }

  picture(picture) {
    this.seen = picture;
    for (const name of SHOWN_PARTS) this.dirty.add(name);
    this.draw();
  }

  change(change) {
    if (!this.seen) return;
    Object.assign(this.seen, change);
    for (const name of Object.keys(change)) this.dirty.add(name);
    this.draw();
  }

  enter() { this.draw(); }

  draw() {
    if (!this.seen || this.app.shown !== this) return;
    const { seen, dirty } = this;
    const atWork = [...new Set(allLanes(seen.pool).flatMap((lane) => lane.calls.map((call) => call.agent)))].sort().join("\n");
    if (this.atWork !== atWork) dirty.add("agents");
    this.atWork = atWork;
    if (dirty.has("host") || dirty.has("speeds") || dirty.has("pool")) this.drawTiles(seen.host, seen.pool, seen.speeds);
    if (dirty.has("pool")) this.drawPool(seen.pool);
    if (dirty.has("agents")) this.drawAgents(seen.agents);
    if (dirty.has("cache")) this.drawCache(seen.cache);
    if (dirty.has("failures")) this.drawFailures(seen.failures, seen.dropped);
    dirty.clear();
  }

  // ---- numbers ----------------------------------------------------------------------------------------------------------------

  drawTiles(host, pool, speeds) {
    put(this.about, [host.name, host.script !== host.name && host.script, `process ${host.pid}`, `up ${durationText(Math.floor(host.seconds))}`,
      `stoke ${host.version}`].filter(Boolean).join(" · "));
    const last = speeds.slice(-MEAN);
    const speed = last.length ? last.reduce((a, b) => a + b, 0) / last.length : null;
    const tile = (name, value, more, extra) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, el("b", {}, value), el("span", {}, more || "")), extra);
    this.tiles.replaceChildren(
      tile("Tokens a second", speed === null ? "–" : numberText(speed < 10 ? speed : Math.round(speed)), `${numberText(host.output_tokens)} written`, sparkline(speeds)),
      tile("Calls", numberText(host.calls), `${numberText(host.input_tokens)} tokens read`),
      tile("Under way", numberText(pool.busy), pool.waiting ? `${numberText(pool.waiting)} wait` : "none waits"),
      tile("Failed", numberText(host.failed), host.calls ? `${numberText(100 * host.failed / host.calls)} % of calls` : ""),
      tile("Agents", numberText(host.agents), count(host.sessions, "session")),
      tile("Tasks", numberText(host.tasks), host.mail ? `${count(host.mail.waiting, "letter")} wait${host.mail.waiting === 1 ? "s" : ""}` :
        host.clients !== undefined ? count(host.clients, "client") : ""));
  }

  // ---- models -----------------------------------------------------------------------------------------------------------------

  drawPool(pool) {
    const swaps = pool.servers.reduce((sum, server) => sum + server.swaps, 0);
    put(this.pool.note, [swaps && count(swaps, "swap"), pool.moved && `${pool.moved} moved to another server`, pool.shed && `${pool.shed} refused`,
      pool.hits.prefix !== undefined && `${Math.round(pool.hits.prefix * 100)} % of prompts remembered`,
      pool.power?.stopped && `no call begins: ${pool.power.reason ?? "power"}`].filter(Boolean).join(" · "));
    const rows = pool.servers.flatMap((server) => [this.serverRow(server), ...server.lanes.flatMap((lane) => this.laneRows(lane))]);
    rows.push(...pool.others.flatMap((lane) => this.laneRows(lane)));
    this.pool.body.replaceChildren(rows.length === 0 ? el("p", { class: "hint" }, "No model was asked yet.") : el("div", { class: "scrolls" },
      el("table", { class: "grid lanes" }, el("thead", {}, el("tr", {}, ["Model", "Slots"].map((name) => el("th", {}, name)),
        el("th", { class: "num" }, "Waiting"), el("th", { class: "num wide" }, "Longest"), el("th", { class: "num" }, "Tokens/s"))),
      el("tbody", {}, rows))));
  }

  serverRow(server) {
    const loading = server.swap && `${server.swap.to} is to be loaded${server.swap.victims.length ? ` in place of ${server.swap.victims.join(", ")}` : ""}`;
    return el("tr", { class: "server" }, el("td", { colspan: 5 }, pill(server.state, server.state === "ok" ? "answers" : server.state), " ",
      el("b", {}, server.name ?? server.url), " ", el("span", { class: "soft" }, [server.name !== server.url && server.url, server.reason, loading].filter(Boolean).join(" · "))));
  }

  laneRows(lane) {
    const classes = lane.classes && lane.waiting > 0 ? Object.entries(lane.classes).filter(([, n]) => n > 0).map(([name, n]) => `${n} ${name}`).join(", ") : null;
    const state = lane.loading !== undefined ? pill("loading", `loads, ${waitText(lane.loading)}`) : lane.leaving ? pill("waiting", "leaves")
      : lane.resident === false && (lane.busy || lane.waiting) ? pill("waiting", "not in memory") : null;
    const head = el("tr", {}, el("td", {}, el("span", { class: "model" }, lane.model ?? lane.key), state && [" ", state]),
      el("td", {}, slots(lane)), el("td", { class: "num", title: classes }, lane.waiting || "–"),
      el("td", { class: "num wide" }, lane.longest ? waitText(lane.longest) : "–"), el("td", { class: "num" }, lane.speed ? numberText(lane.speed) : "–"));
    const lines = [...lane.calls.slice(0, CALLS_SHOWN).map((call) => this.callLine(call)),
      ...(lane.held ?? []).map((hold) => line("held", hold.left, hold.agent ?? "a conversation", hold.tool ? `while its tool ${hold.tool} works` : "")),
      lane.calls.length > CALLS_SHOWN && more(lane.calls.length - CALLS_SHOWN, "call that is out", "calls that are out"),
      ...lane.queue.slice(0, QUEUE_SHOWN).map((call) => line("waits", call.waited, whose(call), [call.class !== "normal" && call.class, call.reason].filter(Boolean).join(", "))),
      lane.waiting > QUEUE_SHOWN && more(lane.waiting - QUEUE_SHOWN, "call that waits", "calls that wait")].filter(Boolean);
    return lines.length ? [head, el("tr", { class: "below" }, el("td", { colspan: 5 }, el("ul", {}, lines)))] : [head];
  }

  callLine(call) {
    return line(call.parked ? "sent" : "runs", call.since, whose(call), [call.class !== "normal" && call.class, call.tokens && count(call.tokens, "token"),
      call.rate && `${numberText(call.rate)}/s`, call.waited >= 0.05 && `waited ${waitText(call.waited)}`].filter(Boolean).join(", "));
  }

  // ---- agents, cache, errors --------------------------------------------------------------------------------------------------

  drawAgents(agents) {
    const atWork = new Set(this.atWork.split("\n"));
    put(this.agents.note, agents.length ? String(agents.length) : "");
    const rows = agents.map((agent) => el("tr", {}, el("td", {}, el("b", {}, agent.name), (agent.busy || atWork.has(agent.name)) && [" ", pill("busy", agent.busy > 1 ? `${agent.busy} at work` : "at work")]),
      el("td", { class: "soft wide" }, agent.model ?? ""), el("td", { class: "num" }, agent.sessions ?? "–"), el("td", { class: "num" }, agent.runs ? numberText(agent.runs) : "–"),
      el("td", { class: "num wide" }, agent.runs ? `${numberText(agent.input_tokens)} + ${numberText(agent.output_tokens)}` : "–"),
      el("td", { class: `num${agent.failed ? " bad" : ""}` }, agent.failed || "–"), el("td", { class: "num soft" }, agent.newest ? agoText(agent.newest) : "")));
    this.agents.body.replaceChildren(rows.length === 0 ? el("p", { class: "hint" }, "No agent lives here.") : el("div", { class: "scrolls" },
      el("table", { class: "grid" }, el("thead", {}, el("tr", {}, el("th", {}, "Agent"), el("th", { class: "wide" }, "Model"), ["Sessions", "Runs"].map((name) => el("th", { class: "num" }, name)),
        el("th", { class: "num wide" }, "Tokens"), ["Failed", "Last"].map((name) => el("th", { class: "num" }, name)))), el("tbody", {}, rows))));
  }

  // Where no call asks for a cache there is nothing to say of it.
  drawCache(cache) {
    const all = cache ? CACHE_TIERS.reduce((sum, [name]) => sum + cache[name], 0) : 0;
    this.cache.node.hidden = all === 0;
    if (all === 0) return;
    put(this.cache.note, `${Math.round(100 * (all - cache.misses) / all)} % answered without a model`);
    this.cache.body.replaceChildren(el("ul", { class: "tiers" }, CACHE_TIERS.filter(([name]) => cache[name] > 0).map(([name, words]) => {
      const bar = el("i", {});
      bar.style.width = `${100 * cache[name] / all}%`;
      return el("li", { class: name }, el("span", {}, words), el("span", { class: "share" }, bar), el("b", { class: "num" }, numberText(cache[name])));
    })));
  }

  drawFailures(failures, dropped) {
    put(this.failures.note, failures.length === 0 ? "" : [count(failures.length, "kind"), dropped && `${dropped} older ones are not told`].filter(Boolean).join(" · "));
    this.failures.body.replaceChildren(failures.length === 0 ? el("p", { class: "hint" }, "Nothing failed since this page was opened.") :
      el("ul", { class: "failures" }, failures.map((failure) => el("li", {}, el("div", { class: "row" }, el("b", { class: "times" }, `${numberText(failure.count || failure.retried)} ×`),
        pill(failure.count ? "failed" : "waiting", failure.kind), failure.retried > 0 && el("span", { class: "soft" }, failure.count ? `${failure.retried} more were tried again` : "tried again"),
        el("span", { class: "soft last" }, agoText(failure.newest))), el("p", { class: "mono" }, failure.message),
      el("p", { class: "soft where" }, [[failure.effect, failure.about].filter(Boolean).join(" "), failure.task].filter(Boolean).join(" · "))))));
  }
}

// How long something lasts already: to a tenth, so that the numbers do not flicker.
const waitText = (seconds) => (seconds < 10 ? `${seconds.toFixed(1)} s` : durationText(seconds));

const allLanes = (pool) => [...pool.servers.flatMap((server) => server.lanes), ...pool.others];

const whose = (call) => `${call.agent ?? call.task?.replace(/^.*\//, "") ?? "?"}${call.program ? ` #${call.program}` : ""}`;

const line = (state, seconds, who, words) => el("li", {}, pill({ runs: "busy", sent: "loading", held: "loading", waits: "waiting" }[state], state),
  el("span", { class: "num" }, waitText(seconds ?? 0)), el("b", {}, who), el("span", { class: "soft" }, words));

const more = (n, one, many) => el("li", { class: "soft" }, `and ${n} more ${n === 1 ? one : many}`);

// A square for each slot, full where a call is on it; many slots are a bar.
function slots(lane) {
  const words = `${lane.busy} of ${lane.slots}${lane.believed || lane.set ? "" : ", as far as is known"}`;
  const total = Math.max(lane.slots, lane.busy);
  const held = lane.held?.length ?? 0;
  const marks = total <= 16 ? Array.from({ length: total }, (_, i) => el("i", { class: i < lane.busy ? "full" : i < lane.busy + held ? "kept" : null })) : null;
  return el("span", { class: "slots", title: words }, marks && el("span", { "aria-hidden": "true" }, marks), el("span", { class: marks ? "unseen" : "num" }, words));
}

// Speeds as a line, the newest at the right.
function sparkline(values) {
  if (values.length < 2) return null;
  const most = Math.max(...values, 1);
  const width = Math.max(values.length - 1, 30);
  const points = values.map((value, i) => `${width - values.length + 1 + i} ${(29 - 27 * value / most).toFixed(1)}`);
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} 30`, preserveAspectRatio: "none", role: "img", "aria-label": `Tokens a second, the last ${count(values.length, "second")}; at most ${numberText(most)}` },
    svg("path", { class: "area", d: `M${width - values.length + 1} 30L${points.join("L")}L${width} 30z` }), svg("path", { class: "stroke", d: `M${points.join("L")}` }));
}

kinds.now = Now;
