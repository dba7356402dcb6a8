// The history in a Chromium without a window: LINK is the page of a host that runs, with its token; STORE that of the store of one
// that has ended; GO a file that lets a run go on that waits.  node history.mjs FOLDER
// Pictures of what was seen are written into FOLDER.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "./browser.mjs";
import { run } from "./checks.mjs";

const link = process.env.LINK;
const store = process.env.STORE;
const folder = process.argv[2];
const home = new URL(link).origin;
const browser = await open();
const WIDE = { width: 1400, height: 900 };
const PHONE = { width: 390, height: 844, phone: true, scale: 2 };

function assert(truth, words) {
  if (!truth) throw new Error(words);
}

function same(got, wanted, words) {
  assert(JSON.stringify(got) === JSON.stringify(wanted), `${words}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

// A page at an address of the history, once it shows what is waited for.
async function at(words, shows, options = WIDE, address = link) {
  const page = await browser.page(options);
  await page.go(address);
  await page.until(() => document.querySelectorAll("#nav a").length >= 2);
  await page.run((hash) => { location.hash = hash; }, `#/runs${words}`);
  await page.until((selector) => document.querySelector(selector) !== null, shows);
  return page;
}

// Nothing but our own address was asked, nothing was refused by the policy, nothing failed, no text became markup.
async function clean(page, origin = home) {
  const strange = page.requests.filter((url) => new URL(url).origin !== origin && !url.startsWith("data:"));
  assert(strange.length === 0, `asked elsewhere: ${strange}`);
  assert(page.problems.length === 0, page.problems.join("; "));
  const wide = await page.run(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${wide} px wider than the screen`);
  assert(await page.run(() => document.querySelector("main img, main script") === null && !/^[12]$/.test(document.title)),
    "a text became markup");
  await page.close();
}

const titles = () => [...document.querySelectorAll(".history .what-of a")].map((node) => node.textContent);
// The number of the record that a row begins with these words is of, counted from the end where they come several times.
const numberOf = (page, words) => page.until((begin) => {
  const found = [...document.querySelectorAll(".spans .span")].filter((node) =>
    node.querySelector(".name").textContent.replace(/^\W*\d+/, "").startsWith(begin));
  return found.length > 0 && Number(found.at(-1).dataset.key.slice(1));
}, words);
const texts = (page, selector) => page.run((s) => [...document.querySelectorAll(s)].map((node) => node.textContent), selector);
const shot = (page, name) => page.picture(join(folder, `${name}.png`));

await run({
  async "the history is a list, the newest first, and goes on where one wants older ones"() {
    const page = await at("/find/runs/-", ".history tbody tr");
    await page.until(() => document.querySelectorAll(".history tbody tr").length === 50);
    same((await page.run(titles)).slice(0, 3), ["trip-rome", "trip-oslo", "trip-waits"], "the newest");
    await page.click(".row.more button");
    await page.until(() => document.querySelectorAll(".history tbody tr").length > 60);
    const all = await page.run(titles);
    same([all.length, new Set(all).size, all.at(-1)], [63, 63, "job-1"], "all of them once");
    await shot(page, "history");
    await clean(page);
  },

  async "it is filtered by kind, state and words, and the address says so"() {
    const page = await at("", ".history tbody tr");
    await page.click('.segments [data-kind="runs"]');
    await page.run(() => {
      const list = document.querySelector(".toolbar select");
      list.value = "failed";
      list.dispatchEvent(new Event("change"));
    });
    await page.until(() => document.querySelectorAll(".history tbody tr").length === 1);
    same([await page.run(titles), await page.run(() => location.hash)], [["job-7"], "#/runs/find/runs/failed"], "what failed");
    assert((await page.text(".about-of")) === "seven is no job", "why it failed");
    await page.press("/");
    await page.type("nothing of this kind");
    await page.until(() => document.querySelector(".runs-view .empty:not([hidden])") !== null);
    await page.run(() => history.back());
    await clean(page);
  },

  async "a run is its tree, with a bar of waits and work for each part, and what came of it"() {
    const page = await at("/run/trip-oslo", ".spans .span");
    await page.until(() => document.querySelectorAll(".spans .span").length >= 5);
    const rows = (await texts(page, ".spans .name b")).filter((words) => words !== "llm.admin"); // what a server was asked beside
    same(rows, ["step", "agent", "llm.chat", "tool", "llm.chat"], "the rows");
    assert(await page.run(() => document.querySelectorAll(".spans .part.prefill, .spans .part.decode").length) >= 2,
      "parts of a call");
    assert((await page.text(".run-title .pill")) === "done", "its state");
    const tool = await numberOf(page, "tool get_weather");
    assert((await page.text(`.span[data-key="n${tool}"] .note`)).startsWith('"rain in Oslo'), "an outcome in a line");
    assert(await page.colours() > 40, "the picture is not blank");
    await shot(page, "run");
    await page.click(".spans .twist");
    await page.until(() => document.querySelectorAll(".spans .span").length === 2);
    await page.click(".spans .twist");
    await clean(page);
  },

  async "a row tells all of it: its request, its answer, and the request as a line of curl"() {
    const page = await at("/run/trip-oslo", ".spans .span");
    const last = await numberOf(page, "llm.chat");
    await page.click(`.span[data-key="n${last}"]`);
    await page.until(() => document.querySelector(".detail .messages .said") !== null);
    assert((await page.text(".detail .said")).startsWith("Take one. <img"), "the answer, as text");
    same(await page.run(() => location.hash), `#/runs/run/trip-oslo/timeline/${last}`, "the address names it");
    const curl = await page.run(() => [...document.querySelectorAll(".detail details")].find((node) =>
      node.textContent.startsWith("As curl")).querySelector("pre").textContent);
    assert(curl.startsWith("curl -sS") && curl.includes("/api/chat") && curl.includes("You know all cities"), "curl");
    await shot(page, "row");
    await page.press("k");
    await page.until((n) => location.hash.endsWith(`/${n}`), last - 1);
    await page.until((n) => document.querySelector(".detail")?.textContent.includes(`stoke show trip-oslo --record ${n}`),
      last - 1);
    await page.press("Escape");
    await page.until(() => document.querySelector(".detail").hidden);
    await clean(page);
  },

  async "its transcript is what was told and said, and its ends are whole where one wants that"() {
    const page = await at("/run/trip-oslo/transcript", ".message");
    await page.until(() => document.querySelectorAll(".message").length === 5);
    same(await page.run(() => [...document.querySelectorAll(".message")].map((node) => node.dataset.role)),
      ["system", "user", "assistant", "tool", "assistant"], "roles");
    assert((await page.text(".message:nth-child(4) pre")).includes('<script>document.title=2'), "a result, as text");
    await shot(page, "transcript");
    await page.click("#tab-ends");
    await page.until(() => document.querySelectorAll(".ends pre").length === 2);
    const before = await page.run(() => document.querySelectorAll(".ends pre")[1].textContent.length);
    await page.click(".ends section:nth-child(2) > button");
    await page.until((length) => document.querySelectorAll(".ends pre")[1].textContent.length > length, before);
    await clean(page);
  },

  async "a run that goes on is followed, without a click"() {
    const page = await at("/run/trip-waits", ".spans .span");
    await page.until(() => /waiting|running/.test(document.querySelector(".run-title .pill").textContent));
    const before = await page.run(() => document.querySelectorAll(".spans .span").length);
    writeFileSync(process.env.GO, "");
    await page.until(() => document.querySelector(".run-title .pill").textContent === "done");
    assert(await page.run(() => document.querySelectorAll(".spans .span").length) >= before, "its rows stay");
    await clean(page);
  },

  async "replay from here: a new run with the records so far and another outcome, which goes on at once"() {
    const page = await at("/run/trip-oslo", ".spans .span");
    const tool = await numberOf(page, "tool get_weather");
    await page.click(`.span[data-key="n${tool}"]`);
    await page.until(() => [...document.querySelectorAll(".detail .row button")].some((node) =>
      node.textContent.startsWith("Replay")));
    await page.click(".detail .row button:last-child");
    await page.until(() => document.querySelector("#dialog[open] textarea") !== null);
    await page.run(() => { document.querySelector("#dialog textarea").value = '"snow in Oslo"'; });
    await shot(page, "replay");
    await page.click("#dialog button.main");
    await page.until(() => location.hash === "#/runs/run/trip-oslo-2");
    await page.until(() => document.querySelector(".run-title .pill")?.textContent === "done");
    same(await page.text(`.span[data-key="n${tool}"] .note`), '"snow in Oslo"', "the other outcome");
    await page.click('.run-title a[href*="/diff/"]');
    await page.until(() => document.querySelector(".wide-text")?.textContent.includes("trip-oslo-2"));
    await clean(page);
  },

  async "who has no token is told the commands instead"() {
    const page = await at("/run/trip-oslo/timeline/1", ".detail .row button", WIDE, `${home}/`);
    await page.until(() => [...document.querySelectorAll(".detail .row button")].some((node) =>
      node.textContent.startsWith("Replay")));
    await page.click(".detail .row button:last-child");
    await page.until(() => document.querySelector("#dialog[open]")?.textContent.includes("stoke fork trip-oslo --at 1"));
    assert(await page.run(() => document.querySelector("#dialog textarea") === null), "nothing to fill in");
    await clean(page);
  },

  async "a trace is found from its run, and two traces are compared"() {
    const page = await at("/find/traces/-", ".history tbody tr");
    await page.until(() => document.querySelectorAll(".history tbody tr").length >= 1);
    await page.run(() => { location.hash = "#/runs/run/trip-rome"; });
    await page.until(() => [...document.querySelectorAll(".run-title a")].some((node) => node.textContent === "Its trace"));
    await page.click('.run-title a[href*="/trace/"]');
    await page.until(() => document.querySelector('.spans [aria-selected="true"] .name')?.textContent.includes("trip-rome"));
    const runs = () => [...document.querySelectorAll(".spans .name b")].filter((node) => node.textContent === "run").length;
    assert(await page.run(runs) > 3, "the trace of all");
    await page.until(() => document.querySelector(".detail .row button")?.textContent === "Only this part");
    await page.click(".detail .row button");
    await page.until(() => document.querySelectorAll(".spans .span").length < 10);
    await shot(page, "part");
    await page.click(".waterfall > button");
    await page.until(() => document.querySelectorAll(".spans .span").length > 10);
    await page.press("j", "ArrowLeft");
    await shot(page, "trace");
    const id = await page.run(() => location.hash.split("/")[3]);
    await page.run((trace) => { location.hash = `#/runs/diff/trace:${trace}/trace:${trace}`; }, id);
    await page.until(() => document.querySelector(".verdict")?.textContent === "Both took as long.");
    await clean(page);
  },

  async "on a phone, in the dark: the list, a run, a row below its bar"() {
    const page = await at("", ".history tbody tr", { ...PHONE, dark: true });
    await shot(page, "phone-history");
    await page.run(() => { location.hash = "#/runs/run/trip-oslo"; });
    const last = await numberOf(page, "llm.chat");
    await page.tap(`.span[data-key="n${last}"]`);
    await page.until(() => document.querySelector(".spans > .detail .messages") !== null);
    await shot(page, "phone-run");
    await clean(page);
  },

  async "the store of a host that has ended is looked at in the same way, and only looked at"() {
    const page = await at("/run/trip-waits", ".spans .span", WIDE, store);
    await page.until(() => document.querySelector(".run-title .pill").textContent === "left");
    assert((await page.text(".banner .command code")) === "stoke resume trip-waits", "how it goes on");
    assert(await page.run(() => document.querySelector(".gap-mark") !== null), "the time in which nothing was at work is short");
    await page.run(() => { location.hash = "#/runs/run/trip-oslo/transcript"; });
    await page.until(() => document.querySelectorAll(".message").length === 5);
    await page.press("Escape");
    await page.until(() => document.querySelectorAll(".history tbody tr").length === 50);
    await clean(page, new URL(store).origin);
  },
}, () => browser.close());
