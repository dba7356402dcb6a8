// A Chromium without a window, driven by the DevTools protocol over a pipe: nothing else is needed, no package and no port.
//
//     const browser = await open();
//     const page = await browser.page({ width: 1280, height: 800 });
//     await page.go(url);
//     await page.click("button.main");
//     await page.until(() => document.title === "town");
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE = 30000;

const FLAGS = ["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
  "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb", "--mute-audio", "--no-pings",
  "--disable-features=Translate,MediaRouter,OptimizationHints", "--password-store=basic"];

export async function open(program = process.env.CHROMIUM) {
  const folder = mkdtempSync(join(tmpdir(), "browser-"));
  // Its sandbox needs rights that a container or root may not have; the pages it sees here are our own.
  const child = spawn(program, [...FLAGS, "--no-sandbox", `--user-data-dir=${folder}`, "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const wire = new Wire(child);
  return {
    wire,
    page: async (options) => Page.make(wire, options ?? {}),
    close: async () => {
      const gone = new Promise((resolve) => { child.once("exit", resolve); });
      await Promise.race([wire.send("Browser.close").catch(() => undefined), gone]);
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await gone;
      clearTimeout(timer);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

class Wire {
  constructor(child) {
    Object.assign(this, { child, id: 0, waiting: new Map(), listeners: [], rest: "" });
    child.stdio[4].setEncoding("utf8");
    child.stdio[4].on("data", (bytes) => this.read(bytes));
    child.stdio[3].on("error", () => undefined);
    child.once("exit", () => {
      for (const { reject } of this.waiting.values()) reject(new Error("the browser has ended"));
      this.waiting.clear();
    });
  }

  read(bytes) {
    const parts = (this.rest + bytes).split("\0");
    this.rest = parts.pop();
    for (const part of parts) {
      const message = JSON.parse(part);
      const asked = message.id && this.waiting.get(message.id);
      if (asked) {
        this.waiting.delete(message.id);
        if (message.error) asked.reject(new Error(`${asked.method}: ${message.error.message}`));
        else asked.resolve(message.result);
      } else {
        for (const listener of this.listeners) listener(message);
      }
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.id;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, method });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }
}

const NAMED = { Enter: ["\r", 13], Escape: ["", 27], Tab: ["", 9], " ": [" ", 32], ArrowLeft: ["", 37], ArrowUp: ["", 38],
  ArrowRight: ["", 39], ArrowDown: ["", 40], Home: ["", 36], End: ["", 35], PageUp: ["", 33], PageDown: ["", 34], Backspace: ["", 8] };

class Page {
  // A browser context of its own: no page sees what another has kept.
  static async make(wire, { width = 1280, height = 800, phone = false, dark = false, calm = false, scale = 1 }) {
    const { browserContextId } = await wire.send("Target.createBrowserContext");
    const { targetId } = await wire.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await wire.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page();
    Object.assign(page, { wire, sessionId, targetId, requests: [], problems: [], statuses: new Map() });
    wire.listeners.push((message) => message.sessionId === sessionId && page.heard(message));
    for (const domain of ["Page", "Runtime", "Network", "Log", "DOM", "Accessibility"]) await page.send(`${domain}.enable`);
    await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: phone });
    if (phone) await page.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" },
      { name: "prefers-reduced-motion", value: calm ? "reduce" : "no-preference" }] });
    return page;
  }

  close() { return this.wire.send("Target.closeTarget", { targetId: this.targetId }); }

  send(method, params) { return this.wire.send(method, params, this.sessionId); }

  heard({ method, params }) {
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Network.responseReceived") this.statuses.set(params.response.url, params.response.status);
    if (method === "Runtime.exceptionThrown") this.problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") this.problems.push(params.args.map((arg) => arg.value ?? arg.description).join(" "));
    if (method === "Log.entryAdded" && params.entry.level === "error") this.problems.push(params.entry.text);
  }

  async go(url) {
    await this.send("Page.navigate", { url });
    await this.until(() => document.readyState === "complete");
  }

  // The value of a function of the page, called there with plain arguments.
  async run(f, ...args) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression: `(${f})(...${JSON.stringify(args)})`,
      awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  // Waits until a function of the page gives something true, and gives that.
  async until(f, ...args) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const value = await this.run(f, ...args).catch(() => undefined);
      if (value) return value;
      if (Date.now() > end) throw new Error(`waited in vain for ${String(f).slice(0, 200)} ${JSON.stringify(args)}`);
      await new Promise((resolve) => { setTimeout(resolve, 30); });
    }
  }

  text(selector) { return this.run((s) => document.querySelector(s)?.textContent ?? null, selector); }

  // The middle of what a person sees of an element; waits until there is one.
  place(selector) {
    return this.until((s) => {
      const node = document.querySelector(s);
      node?.scrollIntoView({ block: "nearest" });
      const box = node?.getBoundingClientRect();
      return box?.width ? { x: box.x + box.width / 2, y: box.y + box.height / 2 } : null;
    }, selector);
  }

  async clickAt(x, y) {
    const at = { x, y, button: "left", clickCount: 1 };
    await this.send("Input.dispatchMouseEvent", { type: "mousePressed", ...at });
    await this.send("Input.dispatchMouseEvent", { type: "mouseReleased", ...at });
  }

  async tapAt(x, y) {
    await this.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [{ x, y }] });
    await this.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  }

  async click(selector) {
    const { x, y } = await this.place(selector);
    await this.clickAt(x, y);
  }

  async tap(selector) {
    const { x, y } = await this.place(selector);
    await this.tapAt(x, y);
  }

  async press(...keys) {
    for (const key of keys) {
      const [text, code] = NAMED[key] ?? [key, key.toUpperCase().charCodeAt(0)];
      await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", key, text: text || undefined,
        windowsVirtualKeyCode: code, code: NAMED[key] ? key : undefined });
      await this.send("Input.dispatchKeyEvent", { type: "keyUp", key, windowsVirtualKeyCode: code });
    }
  }

  async type(text) { await this.send("Input.insertText", { text }); }

  async picture(path) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    const bytes = Buffer.from(data, "base64");
    if (path) writeFileSync(path, bytes);
    return bytes;
  }

  // How many colours a picture of the page has: a blank one has one. Drawn again by the browser, which knows how to read a PNG; in
  // an empty page of its own, because ours lets no picture in.
  async colours() {
    const bytes = await this.picture();
    const other = await Page.make(this.wire, {});
    const count = await other.run(async (data) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
      return new Set(pixels).size;
    }, bytes.toString("base64"));
    await other.close();
    return count;
  }
}
