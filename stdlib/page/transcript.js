// What a model was told and what it said: messages one below the other, roles in the margin.

const ROLES = { system: "system", user: "user", assistant: "model", tool: "tool" };
// Messages of a system are often long, and the same each time: more than this is folded.
const FOLDED = 400;

const sizeText = (bytes) => (bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} KB`
  : `${(bytes / 1e6).toFixed(1)} MB`);

class Transcript {
  // query: what /look is asked of the call whose messages these are.
  constructor(view) {
    this.view = view;
    this.list = el("ol", { class: "messages" });
    this.earlier = el("button", { type: "button", class: "small", hidden: true, onclick: () => this.before() }, "Earlier messages");
    this.node = el("div", { class: "transcript" }, this.earlier, this.list);
  }

  async show(query) {
    this.query = query;
    const page = await attempt(this.look({}));
    if (!page || this.query !== query) return;
    this.first = page.first;
    this.earlier.hidden = page.first <= 1;
    this.list.replaceChildren(...page.items.map((item) => this.message(item)),
      ...page.error ? [el("li", { class: "message failed" }, el("span", { class: "role" }, "error"),
        el("div", { class: "said" }, el("p", {}, `${page.error.kind ?? "error"}: ${page.error.message}`)))] : [],
      ...page.status === "open" ? [el("li", { class: "message" }, el("span", { class: "role" }, "model"),
        el("p", { class: "said soft" }, "is at it …"))] : [],
      ...page.cut ? [el("li", { class: "hint" },
        "This request was longer than what is kept of one: stoke trace ID --requests shows what there is.")] : []);
    if (this.list.children.length === 0) this.list.append(el("li", { class: "hint" }, "Nothing was said here."));
  }

  look(more) { return ask(`/look?${new URLSearchParams({ view: this.view, ...this.query, ...more })}`); }

  async before() {
    const page = await attempt(this.look({ before: this.first }));
    if (!page) return;
    this.first = page.first;
    this.earlier.hidden = page.first <= 1;
    this.list.prepend(...page.items.map((item) => this.message(item)));
  }

  message(item) {
    const body = el("div", { class: "said" }, this.parts(item));
    if (item.size !== undefined) {
      body.append(el("button", { type: "button", class: "small", onclick: async () => {
        const whole = await attempt(this.look({ message: item.n }));
        if (whole) body.replaceChildren(...this.parts({ ...whole, size: undefined }));
      } }, `Show all of ${sizeText(item.size)}`));
    }
    return el("li", { class: "message", "data-role": item.role }, el("span", { class: "role" }, ROLES[item.role] ?? item.role,
      item.tool && el("small", {}, item.tool)), body);
  }

  parts(item) {
    const parts = [];
    if (item.thinking) parts.push(el("details", { class: "thinking" }, el("summary", {}, "thinks"), el("p", {}, item.thinking)));
    if (item.text) {
      const text = item.role === "tool" ? el("pre", {}, item.text) : el("p", {}, item.text);
      parts.push(item.role === "system" && item.text.length > FOLDED
        ? el("details", {}, el("summary", {}, `${item.text.slice(0, 120).replace(/\s+/g, " ")}…`), text) : text);
    }
    for (const call of item.calls ?? []) {
      parts.push(el("p", { class: "called" }, el("span", { class: "soft" }, "calls "), el("b", {}, call.name), " ",
        el("code", {}, call.arguments ?? "")));
    }
    if (item.images) parts.push(el("p", { class: "soft" }, count(item.images, "picture")));
    if (parts.length === 0) parts.push(el("p", { class: "soft" }, "(nothing)"));
    return parts;
  }
}
