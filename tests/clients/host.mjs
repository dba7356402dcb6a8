// What a page shows of its host, in a Chromium without a window: LINK is where it is, with its token; DONE the file in which the
// host writes what it did.  node host.mjs FOLDER       Pictures of what was seen are written into FOLDER.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "./browser.mjs";
import { run } from "./checks.mjs";

const link = process.env.LINK;
const folder = process.argv[2];
const home = new URL(link).origin;
const token = /token=(\w+)/.exec(link)[1];
const browser = await open();
const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, phone: true, scale: 2 };

function assert(truth, words) {
  if (!truth) throw new Error(words);
}

const done = () => readFileSync(process.env.DONE, "utf8").split("\n");
const entries = async () => (await (await fetch(`${home}/look?view=approvals`)).json()).entries;

async function until(words, f) {
  const end = Date.now() + 30000;
  for (;;) {
    const value = await f();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain: ${words}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

const post = (order) => fetch(`${home}/do`, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body: JSON.stringify({ view: "approvals", ...order }) });

// A page that shows a view.
async function at(view, options = WIDE, address = link) {
  const page = await browser.page(options);
  await page.go(address);
  await page.until(() => document.querySelectorAll("#nav a").length >= 2);
  await page.click(`#nav a[data-view="${view}"]`);
  await page.until((id) => location.hash === `#/${id}`, view);
  return page;
}

// The card of what an agent asks for; it is marked, so that others can be pressed by a selector.
async function card(page, agent) {
  await page.until((name) => {
    const found = [...document.querySelectorAll(".approval")].find((node) => node.querySelector("header").textContent.includes(`for ${name}`));
    if (found) found.id = `card-${name}`;
    return found !== undefined;
  }, agent);
  return `#card-${agent}`;
}

// Nothing but our own address was asked, nothing was refused by the policy, and nothing failed.
async function clean(page) {
  const strange = page.requests.filter((url) => new URL(url).origin !== home && !url.startsWith("data:"));
  assert(strange.length === 0, `asked elsewhere: ${strange}`);
  assert(page.problems.length === 0, page.problems.join("; "));
  const wide = await page.run(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${wide} px wider than the screen`);
  assert(await page.run(() => document.querySelectorAll("img, main script").length) === 0, "no markup came of what was said");
  await page.close();
}

// What is asked again gets a new card: wait until the old one has gone.
const gone = (page, selector) => page.until((s) => document.querySelector(s) === null, selector);

await run({
  async "views are reached by links, by keys and by the way back, and each has an address"() {
    const page = await at("now");
    assert(await page.text("#title") === "Now", "the title");
    await page.press(String(await page.run(() => [...document.querySelectorAll("#nav a")].findIndex((a) => a.dataset.view === "approvals") + 1)));
    await page.until(() => document.title === "Approvals" && location.hash === "#/approvals");
    assert(await page.run(() => document.querySelector("#nav [aria-current=page]").dataset.view) === "approvals", "the link says so");
    await page.run(() => history.back());
    await page.until(() => document.title === "Now");
    await page.go(`${home}/#/approvals`);
    await page.until(() => document.title === "Approvals");
    await clean(page);
  },

  async "now: the numbers go on, a model has its slots, an agent its tokens"() {
    const page = await at("now");
    const calls = () => page.run(() => document.querySelector(".tiles .tile:nth-child(2) b").textContent);
    const before = await calls();
    await page.until((text) => document.querySelector(".tiles .tile:nth-child(2) b").textContent !== text, before);
    assert((await page.text(".lanes")).includes("qwen2.5:3b"), "the model");
    assert(await page.run(() => document.querySelectorAll(".slots").length) >= 1, "its slots");
    await page.until(() => [...document.querySelectorAll("section[aria-label=Agents] tbody tr")].some((row) => /^writer.*qwen2.5:3b.*\d \+ \d/.test(row.textContent)));
    await page.until(() => document.querySelector(".spark path") !== null);
    await page.picture(join(folder, "now.png"));
    await clean(page);
  },

  async "now: the same failure is one line with how often, where and when, as text"() {
    const page = await at("now");
    await page.until(() => Number(document.querySelector(".failures .times")?.textContent.replace(/\D/g, "")) >= 3);
    const failures = await page.run(() => [...document.querySelectorAll(".failures li")].map((node) => node.textContent));
    assert(failures.length === 1, `${failures.length} groups: ${failures}`);
    assert(/timeout.*shelf \d+ is locked <img.*tool.call broken/.test(failures[0]), failures[0]);
    assert(await page.run(() => document.title) === "Now", "no script ran");
    await clean(page);
  },

  async "the link to approvals says how many wait"() {
    const page = await at("now");
    await until("four entries", async () => (await entries()).length === 4);
    await page.until(() => document.querySelector('#nav a[data-view="approvals"] b').textContent === "4");
    await clean(page);
  },

  async "approvals: exactly what is asked is shown, and done by a click"() {
    const page = await at("approvals");
    const selector = await card(page, "janitor");
    assert(await page.text(`${selector} pre`) === '{\n  "path": "/srv/a.txt"\n}', await page.text(`${selector} pre`));
    const before = done().filter((line) => line === "/srv/a.txt - 0").length;
    await page.click(`${selector} .buttons .main`);
    await gone(page, selector);
    await until("it is done", () => done().filter((line) => line === "/srv/a.txt - 0").length === before + 1);
    await page.until(() => document.querySelector(".decided tr").textContent.startsWith("approveddelete for janitor"));
    await page.picture(join(folder, "approvals.png"));
    await clean(page);
  },

  async "approvals: what would deceive the eye is written out, and markup is text"() {
    const page = await at("approvals");
    const text = await page.text(`${await card(page, "hostile")} pre`);
    assert(text.includes('<img src=x onerror=\\"document.title=1\\"><script>') && text.includes("\\u202e.txt"), text);
    assert(await page.run(() => document.title) === "Approvals", "no script ran");
    await clean(page);
  },

  async "approvals: arguments that do not fit are told beside them, those that do are what is done"() {
    const page = await at("approvals");
    const selector = await card(page, "keeper");
    await page.click(`${selector} .buttons button:nth-child(2)`);
    await page.until((s) => document.activeElement === document.querySelector(`${s} textarea`), selector);
    assert((await page.run((s) => document.querySelector(`${s} textarea`).value, selector)).includes('"[redacted]"'), "the secret is not shown");
    const write = (text) => page.run((s, value) => { document.querySelector(`${s} textarea`).value = value; }, selector, text);
    await write('{"path": 7}');
    await page.click(`${selector} .edit .main`);
    await page.until((s) => document.querySelector(`${s} .wrong`).textContent.includes("path: expected string"), selector);
    await page.picture(join(folder, "edit.png"));
    page.problems.length = 0; // the refusal of the wrong ones is told by the browser, too
    await write('{"path": "/srv/other.txt", "api_key": "[redacted]"}');
    await page.click(`${selector} .edit .main`);
    await gone(page, selector);
    await until("it is done with these", () => done().includes("/srv/other.txt xyzzy-plugh-42 0"));
    await page.until(() => document.querySelector(".decided tr").textContent.startsWith("approved, edited"));
    await clean(page);
  },

  async "approvals: a rejection takes a reason, and the one who asked reads it"() {
    const page = await at("approvals");
    const selector = await card(page, "janitor");
    await page.click(`${selector} .buttons button:nth-child(3)`);
    await page.type('not <b>today</b>');
    await page.press("Enter");
    await gone(page, selector);
    await until("it is told", () => done().includes("rejected: not <b>today</b>"));
    await clean(page);
  },

  async "approvals: nobody approves what they have not been shown whole"() {
    const page = await at("approvals");
    const selector = await card(page, "archivist");
    assert(await page.run((s) => document.querySelector(`${s} .buttons .main`).disabled, selector), "cut: not yet");
    await page.click(`${selector} > .small`);
    await page.until((s) => document.querySelector(`${s} pre`).textContent.length > 50000, selector);
    await page.click(`${selector} .buttons .main`);
    await gone(page, selector);
    await until("it is done", () => done().includes("/srv/long.txt - 50000"));
    await clean(page);
  },

  async "approvals: what is decided elsewhere leaves, and is told to who was writing about it"() {
    const page = await at("approvals");
    const selector = await card(page, "janitor");
    await page.click(`${selector} .buttons button:nth-child(2)`);
    const entry = (await entries()).find(({ agent }) => agent === "janitor");
    assert((await post({ do: "reject", id: entry.id, digest: entry.digest })).ok, "rejected elsewhere");
    await gone(page, selector);
    await page.until(() => document.getElementById("notice").textContent.includes("does not wait any more"));
    assert((await post({ do: "approve", id: entry.id, digest: entry.digest })).status === 409, "a second decision is refused");
    await clean(page);
  },

  async "approvals: what somebody writes stays while other things come and go"() {
    const page = await at("approvals");
    const selector = await card(page, "keeper");
    await page.click(`${selector} .buttons button:nth-child(3)`);
    await page.type("half a rea");
    const other = (await entries()).find(({ agent }) => agent === "janitor");
    if (other) await post({ do: "approve", id: other.id, digest: other.digest });
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    assert(await page.run((s) => document.querySelector(`${s} input`).value, selector) === "half a rea", "the words are there");
    assert(await page.run((s) => document.activeElement === document.querySelector(`${s} input`), selector), "and the focus");
    await page.press("Escape");
    await page.until((s) => document.querySelector(`${s} .buttons`).hidden === false, selector);
    await clean(page);
  },

  async "approvals: by keys alone"() {
    const page = await at("approvals");
    const first = (await entries())[0];
    await page.until((id) => window.stokePage.app.views.get("approvals").cards.has(id), first.id);
    await page.press("j");
    await page.until(() => document.activeElement.tagName === "H2");
    await page.press("r");
    await page.until(() => document.activeElement.tagName === "INPUT");
    await page.press("Escape");
    await page.until(() => document.activeElement.textContent === "Reject…");
    await page.press("?");
    await page.until(() => document.querySelector("dialog[open] .keys")?.textContent.includes("approve it"));
    await page.press("Escape");
    await clean(page);
  },

  async "who has no token sees what waits, and no button"() {
    const page = await at("approvals", WIDE, `${home}/`);
    await card(page, "keeper");
    assert(await page.run(() => [...document.querySelectorAll(".approval .buttons")].every((node) => node.hidden)), "no buttons");
    assert((await page.text(".sheet .hint")).includes("needs the link with the token"), "it says why");
    await clean(page);
  },

  async "a reader of screens hears names, roles and states"() {
    for (const [view, wanted] of [["now", [/^navigation Views$/, /^link Now/, /^region Models$/, /^heading Errors$/]],
      ["approvals", [/^heading tool delete$/, /^button Approve$/, /^list What waits for approval$/, /^link Approvals \d$/]]]) {
      const page = await at(view);
      if (view === "approvals") await card(page, "keeper");
      const { nodes } = await page.send("Accessibility.getFullAXTree");
      const all = nodes.filter((node) => !node.ignored).map((node) => `${node.role?.value} ${node.name?.value}`.replace(/\s+/g, " "));
      for (const one of wanted) assert(all.some((name) => one.test(name)), `${one} is not among ${all.filter((name) => !/Text|Inline/.test(name)).join(" | ")}`);
      const nameless = nodes.filter((node) => !node.ignored && ["button", "textbox", "link"].includes(node.role?.value) && !node.name?.value);
      assert(nameless.length === 0, `${nameless.length} have no name`);
      await clean(page);
    }
  },

  async "on a phone both fit, and a finger finds what it wants"() {
    for (const view of ["now", "approvals"]) {
      const page = await browser.page(PHONE);
      await page.go(link);
      await page.until(() => document.querySelectorAll("#nav a").length >= 2);
      await page.tap(`#nav a[data-view="${view}"]`);
      await page.until((id) => location.hash === `#/${id}`, view);
      if (view === "approvals") await card(page, "keeper");
      else await page.until(() => document.querySelector(".failures"));
      const small = await page.run(() => [...document.querySelectorAll("button, select, input, nav a")].filter((node) => {
        const box = node.getBoundingClientRect();
        return box.width > 0 && (box.height < 36 || box.width < 36);
      }).map((node) => node.outerHTML.slice(0, 80)));
      assert(small.length === 0, `too small for a finger: ${small}`);
      const last = await page.run(() => {
        scrollTo(0, document.documentElement.scrollHeight);
        const end = document.querySelector(".sheet").lastElementChild.getBoundingClientRect();
        return { end: end.bottom, nav: document.getElementById("nav").getBoundingClientRect().top };
      });
      assert(last.end <= last.nav, `the end of the page is under the links: ${JSON.stringify(last)}`);
      await page.run(() => scrollTo(0, 0));
      await page.picture(join(folder, `${view}-phone.png`));
      await clean(page);
    }
  },

  async "dark where the system is dark"() {
    for (const view of ["now", "approvals"]) {
      const page = await at(view, { ...WIDE, dark: true });
      if (view === "approvals") await card(page, "keeper");
      else await page.until(() => document.querySelector(".failures"));
      await page.picture(join(folder, `${view}-dark.png`));
      await clean(page);
    }
  },
}, () => browser.close());
