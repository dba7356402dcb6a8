// A part of the map, larger: by the wheel, two fingers, buttons or keys; moved by a finger or the mouse. `box` is all there is.

const CLOSEST = 12;

class Zoom {
  constructor(map, onChange) {
    Object.assign(this, { map, onChange, k: 1, x: 0.5, y: 0.5, pointers: new Map(), moved: false });
    const button = (label, title, f) => el("button", { type: "button", title, "aria-label": title, onclick: f }, label);
    this.out = button("−", "Smaller (-)", () => this.by(1 / 1.5));
    this.all = button("□", "All of it (0)", () => this.reset());
    this.buttons = el("div", { class: "zoom", role: "group", "aria-label": "Size of the map" },
      button("+", "Larger (+)", () => this.by(1.5)), this.out, this.all);
    map.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      map.addEventListener(type, (event) => this[type](event));
    }
    this.set(1, 0.5, 0.5);
  }

  // The part of the box that is seen.
  view(box) {
    const [width, height] = [box.width / this.k, box.height / this.k];
    return { x: box.x + this.x * box.width - width / 2, y: box.y + this.y * box.height - height / 2, width, height };
  }

  set(k, x, y) {
    this.k = Math.max(1, Math.min(CLOSEST, k));
    const edge = 0.5 / this.k;
    this.x = Math.max(edge, Math.min(1 - edge, x));
    this.y = Math.max(edge, Math.min(1 - edge, y));
    this.map.classList.toggle("larger", this.k > 1);
    this.out.disabled = this.all.disabled = this.k === 1;
    this.onChange();
  }

  reset() { this.set(1, 0.5, 0.5); }

  // Larger by a factor, round a place of the screen; without one round the middle.
  by(factor, clientX, clientY) {
    const frame = this.map.getBoundingClientRect();
    const before = this.k;
    const k = Math.max(1, Math.min(CLOSEST, before * factor));
    const dx = clientX === undefined ? 0 : (clientX - frame.x) / frame.width - 0.5;
    const dy = clientY === undefined ? 0 : (clientY - frame.y) / frame.height - 0.5;
    this.set(k, this.x + dx / before - dx / k, this.y + dy / before - dy / k);
  }

  // A place of the box comes into the middle where a part is seen.
  centre(box, x, y) {
    if (this.k > 1) this.set(this.k, (x - box.x) / box.width, (y - box.y) / box.height);
  }

  wheel(event) {
    if (this.k === 1 && event.deltaY > 0) return; // the page may scroll
    event.preventDefault();
    this.by(Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 300), event.clientX, event.clientY);
  }

  pointerdown(event) {
    if (this.pointers.size === 0) this.moved = false;
    this.pointers.set(event.pointerId, event);
  }

  pointermove(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const frame = this.map.getBoundingClientRect();
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.by(far(event) / far(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else if (this.k > 1) {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      if (!this.moved && Math.hypot(dx, dy) < 5) return; // a click whose finger trembles
      this.set(this.k, this.x - dx / frame.width / this.k, this.y - dy / frame.height / this.k);
    } else {
      return;
    }
    this.moved = true;
    this.pointers.set(event.pointerId, event);
  }

  pointerup(event) { this.pointers.delete(event.pointerId); }

  pointercancel(event) { this.pointers.delete(event.pointerId); }
}
