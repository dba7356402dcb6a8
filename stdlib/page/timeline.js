// The line of time: where the world is, and any moment before it. Moving it looks at the past; the world goes on meanwhile.

class Timeline {
  constructor({ onPast, onNow, onBack }) {
    Object.assign(this, { onPast, first: 0, now: 0, past: null });
    this.range = el("input", { type: "range", id: "moment", min: 0, max: 1, value: 1, step: 1, "aria-label": "Moment that is shown" });
    this.marks = el("div", { class: "marks", "aria-hidden": "true" });
    this.to = el("span", { class: "edge" }, "now");
    this.words = el("span", {});
    this.nowButton = el("button", { type: "button", class: "main", onclick: onNow }, "Back to now");
    this.backButton = el("button", { type: "button", onclick: () => onBack(this.past) }, "Let it go on from here…");
    this.banner = el("div", { class: "past", role: "status", hidden: true }, this.words, this.nowButton, this.backButton);
    this.node = el("section", { class: "timeline", "aria-label": "Time" },
      el("div", { class: "track" }, this.marks, this.range), this.to);
    this.range.addEventListener("input", () => this.moved());
    this.range.addEventListener("keydown", (event) => this.key(event));
  }

  // A tick of the world is the least step; a range of a day would have 86,400 of them, so arrows move by a 200th of what there is,
  // and at least by a minute.
  key(event) {
    const step = Math.max(60, Math.round((this.now - this.first) / 200 / 60) * 60);
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -step * 10, PageUp: step * 10 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    this.range.value = Number(this.range.value) + by;
    this.moved();
  }

  moved() {
    const moment = Number(this.range.value);
    if (moment >= Math.floor(this.now)) return this.onPast(null);
    return this.onPast(moment);
  }

  show(first, now) {
    const marked = this.first !== first || Math.floor(now / 600) !== Math.floor(this.now / 600);
    [this.first, this.now] = [first, now];
    this.range.min = Math.floor(first);
    this.range.max = Math.max(Math.floor(now), Math.floor(first) + 1);
    if (this.past === null) this.range.value = this.range.max;
    this.range.setAttribute("aria-valuetext", this.past === null ? `now, ${momentText(now)}` : momentText(this.past));
    if (marked || this.width !== this.marks.clientWidth) this.drawMarks();
    this.drawWords();
  }

  // Marks of full hours, or of as many as are told apart.
  drawMarks() {
    const span = this.now - this.first;
    this.width = this.marks.clientWidth;
    const most = Math.max(2, Math.floor(this.width / 84));
    const step = [600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 30 * 86400].find((s) => span / s <= most) ?? span;
    const marks = [];
    for (let time = Math.ceil(this.first / step) * step; time < this.now && span > 0; time += step) {
      const mark = el("span", {}, step >= 86400 ? `Day ${dayOf(time)}` : clockText(time, false));
      mark.style.left = `${((time - this.first) / span * 100).toFixed(2)}%`;
      marks.push(mark);
    }
    this.marks.replaceChildren(...marks);
  }

  setPast(moment) {
    this.past = moment;
    this.banner.hidden = moment === null;
    this.node.classList.toggle("in-past", moment !== null);
    if (moment !== null) this.range.value = moment;
    this.drawWords();
  }

  drawWords() {
    if (this.past !== null) put(this.words, `This is ${momentText(this.past, true)}. The world is at ${momentText(this.now, true)}.`);
  }
}
