// What waits for a person: exactly what will be done, and the decision. A card stays where it is while somebody writes in it,
// whatever comes meanwhile.

class Approvals {
  static icon = "approvals";

  constructor(app, about) {
    Object.assign(this, { app, id: about.id, title: about.title, controls: [], seen: null, cards: new Map(),
      keys: [["j k", "the next one, the one before"], ["a", "approve it"], ["e", "edit its arguments"], ["r", "reject it"]] });
    this.note = el("p", { class: "hint" });
    this.list = el("ol", { class: "approvals", "aria-label": "What waits for approval" });
    this.empty = el("p", { class: "empty" }, "Nothing waits for approval.");
    this.decided = el("section", { class: "card decided", hidden: true });
    this.node = el("div", { class: "sheet narrow" }, this.note, this.empty, this.list, this.decided);
  }

  picture(picture) {
    this.seen = picture;
    this.draw();
  }

  change(change) {
    const before = new Set(this.seen?.entries.map((entry) => entry.id));
    this.seen = change;
    const fresh = change.entries.filter((entry) => !before.has(entry.id));
    if (fresh.length > 0) say(`${fresh[0].what} waits for approval`);
    this.draw();
  }

  enter() { this.draw(); }

  draw() {
    if (!this.seen) return;
    const { entries, count: all, decided, wrong } = this.seen;
    this.app.badge(this.id, entries.filter((entry) => !entry.said).length + all - entries.length);
    if (this.app.shown !== this) return;
    put(this.note, [wrong && `The store of durable runs cannot be read: ${wrong}`, all > entries.length && `The oldest ${entries.length} of ${all} are shown.`,
      !this.app.may && entries.length > 0 && "You can only look: deciding needs the link with the token."].filter(Boolean).join(" "));
    this.note.hidden = this.note.textContent === "";
    this.empty.hidden = entries.length > 0;
    this.drawCards(entries);
    this.drawDecided(decided);
  }

  drawCards(entries) {
    const wanted = new Set(entries.map((entry) => entry.id));
    for (const [id, card] of this.cards) {
      if (wanted.has(id)) continue;
      const focused = card.node.contains(document.activeElement);
      const next = card.node.nextElementSibling ?? card.node.previousElementSibling;
      if (card.editing && !card.done) notice(`${card.entry.what} does not wait any more: it was decided elsewhere, or is over.`);
      card.node.remove();
      this.cards.delete(id);
      if (focused) (next?.querySelector("h2") ?? this.list).focus();
    }
    entries.forEach((entry, at) => {
      let card = this.cards.get(entry.id);
      if (card && card.entry.digest !== entry.digest) { // it asks for something else: what was written is about what is gone
        card.node.remove();
        card = undefined;
      }
      if (!card) this.cards.set(entry.id, card = new ApprovalCard(this, entry));
      card.update(entry);
      if (this.list.children[at] !== card.node) this.list.insertBefore(card.node, this.list.children[at] ?? null);
    });
  }

  drawDecided(decided) {
    this.decided.hidden = decided.length === 0;
    this.decided.replaceChildren(el("h2", {}, "Decided here"), el("table", { class: "grid" }, el("tbody", {}, decided.map((one) => el("tr", {},
      el("td", {}, pill(one.decision === "approved" ? "done" : "denied", one.edited ? "approved, edited" : one.decision)),
      el("td", {}, el("b", {}, one.what), one.agent && el("span", { class: "soft" }, ` for ${one.agent}`), one.reason && el("p", { class: "soft" }, `“${one.reason}”`)),
      el("td", { class: "num soft" }, agoText(one.at)))))));
  }

  key(event) {
    const cards = [...this.list.children];
    const at = cards.findIndex((node) => node.contains(document.activeElement));
    const move = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move !== undefined && cards.length > 0) {
      cards[Math.max(0, Math.min(cards.length - 1, at < 0 ? 0 : at + move))].querySelector("h2").focus();
      return true;
    }
    const card = at >= 0 && [...this.cards.values()].find(({ node }) => node === cards[at]);
    const button = card && this.app.may && { a: card.approveButton, e: card.editButton, r: card.rejectButton }[event.key];
    if (!button || button.disabled || button.hidden || button.offsetParent === null) return false;
    button.click();
    return true;
  }
}

const decidedText = ({ decision, edited, reason }) => `${decision === "rejected" ? "Rejected" : "Approved"}${edited ? ", edited" : ""}${reason ? `: “${reason}”` : ""}`;

class ApprovalCard {
  constructor(view, entry) {
    Object.assign(this, { view, entry, editing: false, rejecting: false, done: false, whole: entry.bytes === undefined ? entry.text : null });
    const button = (label, kind, f) => el("button", { type: "button", class: kind, onclick: f }, label);
    this.approveButton = button("Approve", "main", () => this.decide("approve"));
    this.editButton = button("Edit…", null, () => this.edit(true));
    this.rejectButton = button("Reject…", null, () => this.reject(true));
    this.text = el("pre", { class: "asked", tabindex: 0, "aria-label": "Exactly what is asked" });
    this.restButton = button("", "small", () => attempt(this.loadWhole()));
    this.state = el("p", { class: "hint", hidden: true });
    this.makeForms();
    this.buttons = el("div", { class: "row buttons" }, this.approveButton, this.editButton, this.rejectButton);
    this.node = el("li", { class: "card approval" }, this.head(entry), this.text, this.restButton, this.editForm, this.rejectForm, this.state, this.buttons);
  }

  head(entry) {
    const kind = entry.effect === "tool.call" ? "tool" : entry.effect;
    return el("header", {}, el("h2", { tabindex: -1 }, el("span", { class: "soft" }, kind), " ", entry.what), entry.agent && el("span", { class: "soft" }, "for ", el("b", {}, entry.agent)),
      entry.run && el("a", { href: this.view.app.href("runs", entry.run) }, `run ${entry.run}`), entry.since && el("span", { class: "soft last" }, "asked ", agoText(entry.since)));
  }

  makeForms() {
    this.area = el("textarea", { rows: 6, spellcheck: "false", "aria-label": "Arguments, as JSON" });
    this.unchecked = el("p", { class: "hint", hidden: true }, "The tool is not here: it checks these when the run goes on.");
    this.wrong = el("p", { class: "wrong", role: "alert", hidden: true });
    this.editForm = el("form", { class: "edit", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      this.decide("approve", { args: this.area.value });
    } }, this.area, this.unchecked, this.wrong, el("div", { class: "row" }, el("button", { type: "submit", class: "main" }, "Approve with these"),
      el("button", { type: "button", onclick: () => this.edit(false) }, "Back")));
    this.reason = el("input", { type: "text", maxlength: 2000, autocomplete: "off", placeholder: "Why? The model reads it.", "aria-label": "Reason" });
    this.rejectForm = el("form", { class: "edit", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      this.decide("reject", { reason: this.reason.value });
    } }, this.reason, el("div", { class: "row" }, el("button", { type: "submit", class: "danger" }, "Reject"), el("button", { type: "button", onclick: () => this.reject(false) }, "Back")));
    for (const [form, close] of [[this.editForm, () => this.edit(false)], [this.rejectForm, () => this.reject(false)]]) {
      form.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
      });
    }
  }

  update(entry) {
    this.entry = entry;
    const { may } = this.view.app;
    put(this.text, this.whole ?? `${entry.text}\n…`);
    this.restButton.hidden = this.whole !== null;
    put(this.restButton, `Show all of it (${numberText(Math.ceil(entry.bytes / 1024))} KB)`);
    const { said } = entry;
    if (said && !this.done && (this.editing || this.rejecting)) this.overtaken(said);
    this.unchecked.hidden = !entry.unchecked;
    this.state.hidden = !said && !(entry.left && may);
    put(this.state, said ? `${decidedText(said)}. ${entry.left ? "No process has the run: " : "The run has not taken it up yet: "}stoke resume ${entry.typed} continues it.`
      : "No process has this run: the decision is kept, and holds when the run is continued.");
    const open = this.editing || this.rejecting;
    this.buttons.hidden = !may || Boolean(said) || open;
    this.text.hidden = this.editing;
    this.editButton.hidden = !entry.editable;
    // nobody approves what they have not been shown
    for (const button of [this.approveButton, this.editButton]) button.disabled = this.whole === null;
    this.approveButton.title = this.whole === null ? "Look at all of it first" : "";
  }

  // somebody else was first
  overtaken(said) {
    const inside = this.editForm.contains(document.activeElement) || this.rejectForm.contains(document.activeElement);
    notice(`${this.entry.what} was decided elsewhere. ${decidedText(said)}.`);
    this.closeForms();
    if (inside) this.node.querySelector("h2").focus();
  }

  closeForms() {
    this.editing = this.rejecting = false;
    this.editForm.hidden = this.rejectForm.hidden = true;
  }

  async loadWhole() {
    const { text, digest } = await ask(`/look?${new URLSearchParams({ view: this.view.id, id: this.entry.id })}`);
    if (digest !== this.entry.digest) return;
    this.whole = text;
    this.update(this.entry);
  }

  edit(on) {
    this.editing = on;
    this.editForm.hidden = !on;
    this.wrong.hidden = true;
    this.update(this.entry);
    if (!on) return this.editButton.focus();
    this.area.value = this.whole;
    this.area.rows = Math.max(3, Math.min(24, this.whole.split("\n").length + 1));
    return this.area.focus();
  }

  reject(on) {
    this.rejecting = on;
    this.rejectForm.hidden = !on;
    this.update(this.entry);
    (on ? this.reason : this.rejectButton).focus();
  }

  async decide(what, more) {
    const controls = this.node.querySelectorAll("button");
    for (const control of controls) control.disabled = true;
    this.done = true;
    try {
      const { id, digest } = this.entry;
      if (more?.args !== undefined && more.args === this.whole) delete more.args; // nothing was changed
      await order(this.view.id, what, { id, digest, ...more });
      this.closeForms();
      say(what === "approve" ? "approved" : "rejected");
    } catch (error) {
      this.done = false;
      if (this.editing) {
        put(this.wrong, error.message);
        this.wrong.hidden = false;
      } else {
        notice(error.message);
      }
    }
    for (const control of controls) control.disabled = false;
    this.update(this.entry);
  }
}

kinds.approvals = Approvals;
