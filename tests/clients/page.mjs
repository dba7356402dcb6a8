// The page of a world in a Chromium without a window: LINK is where it is, with its token.  node page.mjs FOLDER
// Pictures of what was seen are written into FOLDER.
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

const order = async (what, more) => {
  const response = await fetch(`${home}/do`, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ do: what, ...more }) });
  assert(response.ok, `${what}: ${await response.text()}`);
};

const worldTime = () => document.getElementById("time").textContent;

// A page that shows the world and its three people.
async function at(options = WIDE, address = link) {
  const page = await browser.page(options);
  await page.go(address);
  await page.until(() => document.querySelectorAll(".list li").length >= 3 && document.getElementById("time").textContent !== "--:--");
  return page;
}

// Nothing but our own address was asked, nothing was refused by the policy, and nothing failed.
async function clean(page) {
  const strange = page.requests.filter((url) => new URL(url).origin !== home && !url.startsWith("data:"));
  assert(strange.length === 0, `asked elsewhere: ${strange}`);
  assert(page.problems.length === 0, page.problems.join("; "));
  const wide = await page.run(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `${wide} px wider than the screen`);
  await page.close();
}

const runs = () => order("resume");

await run({
  async "the map, the people and the clock are there, and the picture is not blank"() {
    const page = await at(); // the link is there before the world is
    await runs();
    assert(await page.text("#title") === "town", "the title");
    assert(await page.run(() => document.querySelectorAll(".member").length) === 3, "three shapes");
    assert(await page.run(() => [...document.querySelectorAll(".place")].map((node) => node.textContent).sort().join()) ===
      "bakery,library,square", "the names of places");
    const before = await page.run(worldTime);
    await page.until((text) => document.getElementById("time").textContent !== text, before);
    const colours = await page.colours();
    assert(colours > 50, `${colours} colours`);
    await page.picture(join(folder, "wide.png"));
    await clean(page);
  },

  async "the token leaves the address, stays for the tab, and no other page of the browser has it"() {
    const page = await at();
    assert(!(await page.run(() => location.href)).includes("token"), "the address");
    await page.go(`${home}/`);
    await page.until(() => document.querySelectorAll(".list li").length >= 3);
    assert(!await page.run(() => document.querySelector("#controls button").disabled), "it may act after it was loaded again");
    await clean(page);
    const other = await at(WIDE, `${home}/`);
    assert(await other.run(() => document.querySelector("#controls button").disabled), "who has no token only watches");
    assert((await other.text("#link-state")).includes("watching only"), "and is told");
    await clean(other);
  },

  async "a click pauses the world, and another one lets it go on"() {
    await runs();
    const page = await at();
    await page.click("#controls button");
    await page.until(() => document.querySelector("#controls button").textContent === "Go on");
    const stands = await page.run(worldTime);
    await page.click("#controls button:nth-child(2)");
    await page.until((text) => document.getElementById("time").textContent !== text, stands);
    assert((await (await fetch(`${home}/look`)).json()).clock.paused, "the world is paused");
    await page.click("#controls button");
    await page.until(() => document.querySelector("#controls button").textContent === "Pause");
    await clean(page);
  },

  async "the speed is changed by the list"() {
    const page = await at();
    await page.run(() => {
      const list = document.querySelector("#controls select");
      list.value = "10";
      list.dispatchEvent(new Event("change"));
    });
    await page.until(async () => (await (await fetch("/look")).json()).clock.speed === 10);
    await order("speed", { speed: 60 });
    await page.until(() => document.querySelector("#controls select").value === "60");
    await clean(page);
  },

  async "a click on somebody shows what they do, plan, remember and were asked"() {
    const page = await at();
    await page.until(async () => (await (await fetch("/look?member=ada")).json()).mind?.request);
    await page.click('.member[data-id="ada"] .glyph');
    await page.until(() => document.querySelector("#person-name")?.textContent === "Ada");
    await page.until(() => document.querySelectorAll(".plan li").length === 3);
    assert(await page.run(() => document.querySelectorAll(".plan .current").length) === 1, "one thing of the plan is now");
    await page.until(() => document.querySelectorAll("details.memories li").length > 0);
    await page.click("details.request summary");
    await page.until(() => document.querySelector("details.request pre").textContent.includes("Ada"));
    assert(await page.run(() => location.hash) === "#/town/ada", "the address names her");
    await page.picture(join(folder, "person.png"));
    await page.run(() => history.back());
    await page.until(() => document.querySelector(".person").hidden);
    await clean(page);
  },

  async "what is said is told in the story, as text and never as markup"() {
    await runs();
    const page = await at();
    const found = await page.until(() => [...document.querySelectorAll(".feed .spoken")].some((node) => node.textContent.includes("<img")));
    assert(found, "the hostile words are told");
    assert(await page.run(() => document.querySelectorAll("img, main script").length) === 0, "no markup came of it");
    assert(await page.run(() => document.title) === "town", "no script ran");
    await clean(page);
  },

  async "somebody joins, walks by a click and by keys, speaks, and is heard"() {
    await runs();
    const page = await at();
    await page.click(".join .main");
    await page.until(() => document.querySelector("dialog[open] input"));
    await page.type("Robin");
    await page.press("Enter");
    await page.until(() => document.activeElement.id === "words");
    assert((await page.text(".say b")) === "You are Robin", "it says who I am");
    const where = () => page.run(async () => (({ x, y }) => `${x},${y}`)((await (await fetch("/look")).json()).members.robin));
    const first = await where();
    const { x, y } = await page.run(async () => { // a tile of the square's lower edge that nobody stands near
      const { members } = await (await fetch("/look")).json();
      const free = [...Array(18).keys()].map((i) => i + 2).find((tile) =>
        Object.values(members).every((one) => Math.abs(one.x - tile) > 2 || Math.abs(one.y - 7) > 2));
      const svg = document.querySelector("svg.town");
      const point = svg.createSVGPoint();
      [point.x, point.y] = [free + 0.5, 7.5];
      const on = point.matrixTransform(svg.getScreenCTM());
      return { x: on.x, y: on.y };
    });
    await page.clickAt(x, y);
    await page.until(async (from) => (({ x, y }) => `${x},${y}`)((await (await fetch("/look")).json()).members.robin) !== from, first);
    await page.run(() => document.querySelector("svg.town").focus());
    const before = await where();
    for (const key of ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"]) await page.press(key);
    await page.until(async (from) => (({ x, y }) => `${x},${y}`)((await (await fetch("/look")).json()).members.robin) !== from, before);
    await clean(page);
  },

  async "who waits to join a world that stands is told with its next step that they cannot"() {
    const page = await at();
    await order("pause");
    await page.click(".join .main");
    await page.until(() => document.querySelector("dialog[open] input"));
    await page.type("Ada"); // there is one already
    await page.press("Enter");
    await page.until(() => document.getElementById("notice").textContent.includes("joins with its next step"));
    await order("step");
    await page.until(() => document.getElementById("notice").textContent.includes("Ada could not join: join: there is a Ada already"));
    await runs();
    await clean(page);
  },

  async "words that are typed are said to who is near, and stand over the head, as text"() {
    await runs();
    const page = await at();
    const join_ = await fetch(`${home}/do`, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ do: "input", name: "join", args: { name: "Sam", at: "square" } }) });
    assert(join_.ok, await join_.text());
    await page.run(() => sessionStorage.setItem("me town", "sam"));
    await page.go(`${home}/`);
    await page.until(() => document.querySelector(".say b")?.textContent === "You are Sam");
    await page.run(() => document.getElementById("words").focus());
    await page.until(async () => {
      const { members } = await (await fetch("/look")).json();
      return Object.values(members).some((one) => one.name !== "Sam" && !one.player && Math.max(Math.abs(one.x - members.sam.x), Math.abs(one.y - members.sam.y)) <= 3);
    });
    await page.type('What a <b>fine</b> town <img src=x onerror="document.title=3"> this is!');
    await page.press("Enter");
    await page.until(() => document.getElementById("words").value === "");
    await page.until(() => [...document.querySelectorAll(".bubble")].some((node) => node.textContent.startsWith("Sam: What a <b>fine</b> town <img")));
    await page.until(() => [...document.querySelectorAll(".feed .spoken")].some((node) => node.textContent.includes("What a <b>fine</b> town <img")));
    assert(await page.run(() => document.querySelectorAll("img, .bubble p b b, .feed q b").length) === 0, "no markup came of it");
    assert(await page.run(() => document.title) === "town", "no script ran");
    await page.click(".say button:last-child");
    await page.until(() => !document.querySelector(".join > .main").hidden);
    await clean(page);
  },

  async "what was refused is told as what somebody wanted, and why"() {
    await runs();
    const page = await at();
    const answer = await fetch(`${home}/do`, { method: "POST", headers: { Authorization: `Bearer ${token}`,
      "Content-Type": "application/json" }, body: JSON.stringify({ do: "input", name: "say", member: "ada", args: { text: "Hello" } }) });
    const { error } = await answer.json();
    assert(answer.status === 400 && error.startsWith("say: "), error);
    const line = `wanted to say “Hello”: ${error.slice(5)}`;
    await page.until((text) => [...document.querySelectorAll(".feed li")].some((node) => node.textContent.includes(text)), line);
    await clean(page);
  },

  async "the line of time shows a moment of the past, and the way back to now"() {
    await runs();
    const page = await at();
    await page.until(() => document.getElementById("moment").max - document.getElementById("moment").min > 300);
    await page.run(() => {
      const line = document.getElementById("moment");
      line.value = Number(line.min) + 60;
      line.dispatchEvent(new Event("input"));
    });
    await page.until(() => document.getElementById("time").textContent === "08:01:00");
    assert(!await page.run(() => document.querySelector(".past").hidden), "it is said that this is the past");
    const places = await page.run(async () => JSON.stringify(Object.entries((await (await fetch("/look?time=28860")).json()).members).map(([id, one]) => [id, one.x, one.y])));
    assert(places.includes("ada"), places);
    await page.picture(join(folder, "past.png"));
    await page.click(".past .main");
    await page.until(() => document.querySelector(".past").hidden && document.getElementById("time").textContent > "08:05");
    await clean(page);
  },

  async "the world goes on from a moment of the past, once that is confirmed"() {
    await runs();
    const page = await at();
    await page.until(() => document.getElementById("moment").max - document.getElementById("moment").min > 400);
    await page.run(() => {
      const line = document.getElementById("moment");
      line.value = Number(line.min) + 120;
      line.dispatchEvent(new Event("input"));
    });
    await page.until(() => document.getElementById("time").textContent === "08:02:00");
    await page.click(".past button:last-child");
    await page.until(() => document.querySelector("dialog[open]"));
    assert(await page.run(() => document.activeElement.textContent) === "Keep it", "what cannot be undone is not a mere Enter away");
    await page.press("Enter");
    await page.until(() => !document.querySelector("dialog[open]"));
    assert((await (await fetch(`${home}/look`)).json()).clock.time > 28800 + 300, "nothing was done");
    await page.click(".past button:last-child");
    await page.click("dialog .danger");
    await page.until(async () => (await (await fetch("/look")).json()).clock.time < 28800 + 300);
    await page.until(() => document.querySelector(".past").hidden);
    await clean(page);
  },

  async "the map is made larger, pulled, and all of it is seen again"() {
    const page = await at();
    const seen = () => page.run(() => document.querySelector(".town").getAttribute("viewBox"));
    const all = await seen();
    await page.click('.zoom button[aria-label^="Larger"]');
    const part = await seen();
    assert(Number(part.split(" ")[2]) < Number(all.split(" ")[2]), part);
    const { x, y } = await page.place("svg.town");
    await page.send("Input.dispatchMouseEvent", { type: "mousePressed", x, y, button: "left", clickCount: 1 });
    for (const step of [10, 40, 80]) await page.send("Input.dispatchMouseEvent", { type: "mouseMoved", x: x + step, y, button: "left", buttons: 1 });
    await page.send("Input.dispatchMouseEvent", { type: "mouseReleased", x: x + 80, y, button: "left", clickCount: 1 });
    assert(Number((await seen()).split(" ")[0]) < Number(part.split(" ")[0]), "it was pulled to the right");
    assert(await page.run(() => document.querySelector(".person").hidden), "that was no click");
    await page.press("-", "0");
    assert(await seen() === all, "all of it");
    await page.send("Input.dispatchMouseEvent", { type: "mouseWheel", x, y, deltaX: 0, deltaY: -100 });
    await page.until((whole) => document.querySelector(".town").getAttribute("viewBox") !== whole, all);
    await clean(page);
  },

  async "all of it by keys alone"() {
    await runs();
    const page = await at();
    await page.press("p", "ArrowDown", "ArrowDown", "Enter");
    await page.until(() => document.activeElement.id === "person-name" && document.activeElement.textContent === "Cleo");
    await page.press("Escape");
    await page.until(() => document.activeElement.dataset.id === "cleo");
    await page.press(" ");
    await page.until(() => document.querySelector("#controls button").textContent === "Go on");
    const stands = await page.run(worldTime);
    await page.press(".");
    await page.until((text) => document.getElementById("time").textContent !== text, stands);
    await page.press("t", "ArrowLeft");
    await page.until(() => !document.querySelector(".past").hidden);
    await page.press("Escape");
    await page.until(() => document.querySelector(".past").hidden);
    await page.press(">");
    await page.until(() => document.querySelector("#controls select").value === "600");
    await page.press("<", "?");
    await page.until(() => document.querySelector("dialog[open] .keys"));
    await page.press("Escape");
    await page.until(() => !document.querySelector("dialog[open]"));
    await page.press(" ");
    await page.until(() => document.querySelector("#controls button").textContent === "Pause");
    for (let i = 0; i < 40; i++) await page.press("Tab"); // nothing holds the focus
    await order("speed", { speed: 60 });
    await clean(page);
  },

  async "a reader of screens hears names, roles and states"() {
    const page = await at();
    const { nodes } = await page.send("Accessibility.getFullAXTree");
    const all = nodes.filter((node) => !node.ignored).map((node) => `${node.role?.value} ${node.name?.value}`);
    for (const wanted of [/^heading town$/, /^button (Pause|Go on)$/, /^button Step$/, /^combobox Speed$/, /^slider Moment that is shown$/,
      /^image Map of town: \d+ members?, /, /^listbox Members$/, /^option Ada /, /^tab People$/, /^log What happened$/]) {
      assert(all.some((one) => wanted.test(one)), `${wanted} is not among ${all.filter((one) => !/StaticText|Inline/.test(one)).join(" | ")}`);
    }
    const nameless = nodes.filter((node) => !node.ignored && ["button", "combobox", "slider", "textbox", "searchbox"].includes(node.role?.value)
      && !node.name?.value);
    assert(nameless.length === 0, `${nameless.length} have no name`);
    await clean(page);
  },

  async "on a phone everything fits, and a finger finds what it wants"() {
    await runs();
    const page = await at(PHONE);
    await page.tap(".list li:nth-child(2)");
    await page.until(() => document.querySelector("#person-name")?.textContent === "Ben");
    await page.tap("#tab-story");
    await page.until(() => document.querySelectorAll(".feed li").length > 0);
    const small = await page.run(() => [...document.querySelectorAll("button, select, input, [role=option]")].filter((node) => {
      const box = node.getBoundingClientRect();
      return box.width > 0 && (box.height < 36 || box.width < 36) && !node.closest(".feed");
    }).map((node) => node.outerHTML.slice(0, 80)));
    assert(small.length === 0, `too small for a finger: ${small}`);
    await page.tap("#controls button");
    await page.until(() => document.querySelector("#controls button").textContent === "Go on");
    await page.tap("#controls button");
    await page.picture(join(folder, "phone.png"));
    await clean(page);
  },

  async "dark where the system is dark, and still where motion is not wanted"() {
    const page = await at({ ...WIDE, dark: true, calm: true });
    const [paper, move] = await page.run(() => [getComputedStyle(document.body).backgroundColor,
      getComputedStyle(document.querySelector(".member")).transitionDuration]);
    assert(paper === "rgb(20, 23, 26)", paper);
    assert(move === "0s", move);
    await page.picture(join(folder, "dark.png"));
    await clean(page);
  },

  async "words and their ground differ enough to be read, in light and in dark"() {
    for (const dark of [false, true]) {
      const page = await at({ ...WIDE, dark });
      const poor = await page.run(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const parts = /#(..)(..)(..)/.exec(style.getPropertyValue(name)).slice(1).map((part) => parseInt(part, 16) / 255);
          const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
        const pairs = [["--ink", "--paper"], ["--ink", "--card"], ["--soft", "--paper"], ["--soft", "--card"], ["--soft", "--floor"],
          ["--on-accent", "--accent"], ["--warn", "--warn-paper"], ["--past", "--past-paper"], ["--card", "--warn"],
          ...[...Array(10).keys()].map((i) => ["--on-glyph", `--h${i}`])];
        return pairs.filter(([a, b]) => ratio(a, b) < 4.5).map(([a, b]) => `${a} on ${b}: ${ratio(a, b).toFixed(2)}`);
      });
      assert(poor.length === 0, `${dark ? "dark" : "light"}: ${poor}`);
      await clean(page);
    }
  },

  async "a page that was cut begins anew by itself"() {
    const page = await at();
    await page.send("Network.emulateNetworkConditions", { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await page.run(() => fetch("/look").catch(() => undefined));
    await page.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    const before = await page.run(worldTime);
    await page.until((text) => document.getElementById("time").textContent !== text, before);
    page.problems.length = 0; // the cut was ours
    await clean(page);
  },

  async "a host that is silent for too long is not called live, and is asked anew"() {
    const page = await at();
    const state = (wanted) => page.until((word) => document.getElementById("link-state").dataset.state === word, wanted);
    await page.run(() => { stokePage.stream.patience = 1; }); // less than there is between two of its events
    await state("cut");
    assert((await page.text("#notice")).startsWith("No connection: the program does not answer"), "it is said");
    await page.run(() => { stokePage.stream.patience = 40000; });
    await state("live");
    assert(await page.run(() => document.getElementById("notice").hidden), "and not any more once it is there");
    await clean(page);
  },
}, () => browser.close());
