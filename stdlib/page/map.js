// The map: floor, walls and named spots as the place gives them; a shape with two letters for each member, its words in a bubble,
// a dashed line between those who talk. Where a world has no map, members stand on an empty floor of their own.

const GLYPH_PX = 14; // from the middle of a shape to its edge
const NEAR_PX = 26; // how near a finger must be

// Places count from 1, texts from 0.
const isWall = (rows, x, y) => rows[y]?.[x] === "#";
const isFloor = (rows, x, y) => rows[y]?.[x] !== undefined && !isWall(rows, x, y);

// Walls are lines through the middle of their tiles, in one path: runs of a row, runs of a column, and lone tiles. Where walls are
// two tiles thick in both directions, they are filled.
function wallPaths(rows) {
  const [lines, blocks] = [[], []];
  const width = Math.max(...rows.map((row) => row.length));
  const run = (x, y, dx, dy) => {
    let length = 0;
    while (isWall(rows, x + dx * length, y + dy * length)) length++;
    return length;
  };
  for (let y = 0; y < rows.length; y++) {
    for (let x = 0; x < width; x++) {
      if (!isWall(rows, x, y)) continue;
      const [across, down] = [isWall(rows, x - 1, y) ? 0 : run(x, y, 1, 0), isWall(rows, x, y - 1) ? 0 : run(x, y, 0, 1)];
      const lone = across === 1 && down === 1;
      if (across > 1 || lone) lines.push(`M${x + 1.5} ${y + 1.5}h${across - 1}`);
      if (down > 1) lines.push(`M${x + 1.5} ${y + 1.5}v${down - 1}`);
      if (isWall(rows, x + 1, y) && isWall(rows, x, y + 1) && isWall(rows, x + 1, y + 1)) blocks.push(`M${x + 1.5} ${y + 1.5}h1v1h-1z`);
    }
  }
  return [lines.join(""), blocks.join("")];
}

const runsPath = (runs) => runs.map(([x, y, length]) => `M${x} ${y}h${length}v1h-${length}z`).join("");

// Where the name of a spot stands: below its upper edge; and how wide it may be, with half a tile of wall on both sides.
function labelAt({ x, y, runs }) {
  if (runs.length === 0) return [x + 0.5, y, 6];
  const left = Math.min(...runs.map((run) => run[0]));
  const right = Math.max(...runs.map((run) => run[0] + run[2]));
  return [(left + right) / 2, runs[0][1] + 0.1, right - left + 1];
}

// How dark it is, from 0 to 1, by the time of the day: dusk and dawn take an hour and a half.
function darkness(time) {
  const hour = ((time / 3600) % 24 + 24) % 24;
  const step = (from, to) => Math.min(1, Math.max(0, (hour - from) / (to - from)));
  return Math.max(1 - step(5, 6.5), step(20, 21.5));
}

// Round each member the smallest box, where there is no map.
function boxOf(members) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y } of Object.values(members)) {
    if (x === undefined || y === undefined) continue;
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  }
  return left > right ? null : { x: left - 2, y: top - 2, width: right - left + 5, height: bottom - top + 5 };
}

const covers = (a, b) => Math.max(0, Math.min(a.right, b.right) - Math.max(a.x, b.x))
  * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.y, b.y));

// Where a bubble stands: above or below the head, to its left or right.
function bubblePlace(head, { width, height, lift }, frame, taken, heads) {
  let best = null;
  for (const below of [false, true]) {
    const top = below ? head[1] + lift + 12 : head[1] - lift - height;
    for (const share of [0.5, 0.25, 0.75, 0.1, 0.9]) {
      const x = Math.max(4, Math.min(head[0] - width * share, frame.width - width - 4));
      const y = Math.max(4, Math.min(top, frame.height - height - 4));
      const box = { x, y, right: x + width, bottom: y + height, below };
      const over = taken.reduce((sum, other) => sum + covers(box, other), 0);
      const on = heads.filter(([hx, hy]) => hx > x - 10 && hx < box.right + 10 && hy > y - 10 && hy < box.bottom + 10).length;
      box.cost = over * 2 + on * 300 + Math.abs(y - top) * 20 + (below ? 60 : 0) + Math.abs(share - 0.5) * 40;
      if (!best || box.cost < best.cost) best = box;
    }
  }
  return best;
}

class TownMap {
  constructor(looks, { onPick, onGo }) {
    Object.assign(this, { looks, onPick, onGo, members: {}, nodes: new Map(), bubbles: new Map(), selected: null, scale: 20 });
    this.ground = svg("g", { class: "ground" });
    this.ties = svg("path", { class: "ties" });
    this.goal = svg("path", { class: "goal" });
    this.people = svg("g", { class: "people" });
    this.night = svg("rect", { class: "night", opacity: 0 });
    this.svg = svg("svg", { class: "town", role: "img", "aria-label": "Map", preserveAspectRatio: "xMidYMid meet" },
      this.ground, this.night, this.ties, this.goal, this.people);
    this.over = el("div", { class: "bubbles", "aria-hidden": "true" });
    this.zoom = new Zoom(this.svg, () => this.resized());
    this.node = el("div", { class: "map" }, this.svg, this.over, this.zoom.buttons);
    this.svg.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.resized()).observe(this.node);
  }

  // ---- the ground -----------------------------------------------------------------------------------------------------------

  setMap(map) {
    this.map = map;
    this.ground.replaceChildren();
    this.labels = [];
    this.box = map ? { x: 1, y: 1, width: map.width, height: map.height } : null;
    if (!map) return this.resized();
    this.ground.append(svg("rect", { class: "floor", x: 1.3, y: 1.3, width: map.width - 0.6, height: map.height - 0.6, rx: 0.4 }));
    map.spots.forEach((spot, i) => this.ground.append(svg("path", { class: `spot tint${i % 4}`, d: runsPath(spot.runs) })));
    const [lines, blocks] = wallPaths(map.rows);
    this.ground.append(svg("path", { class: "walls", d: lines }), svg("path", { class: "walls full", d: blocks }));
    this.labels = map.spots.map((spot) => {
      const [x, y, width] = labelAt(spot);
      const node = svg("text", { class: "place", "text-anchor": "middle", x, y, dy: "1em" }, spot.name);
      this.ground.append(node);
      return { node, width, letters: [...spot.name].length };
    });
    return this.resized();
  }

  // Night falls over the ground, not over the people.
  light(time) {
    const opacity = this.map ? (0.3 * darkness(time)).toFixed(2) : "0";
    if (this.night.getAttribute("opacity") !== opacity) this.night.setAttribute("opacity", opacity);
  }

  fitBox() {
    if (this.map) return;
    const box = boxOf(this.members);
    const now = this.box;
    if (!box || now && box.x >= now.x && box.y >= now.y && box.x + box.width <= now.x + now.width
      && box.y + box.height <= now.y + now.height) return;
    this.box = box;
    this.ground.replaceChildren(svg("rect", { class: "floor", ...box, rx: 0.4 }));
    this.resized();
  }

  // Names and shapes keep their size on the screen, whatever the size of the map.
  resized() {
    if (!this.node) return;
    const box = this.box ?? { x: 0, y: 0, width: 10, height: 10 };
    const view = this.zoom.view(box);
    this.view = view;
    fill(this.night, { x: box.x + 0.3, y: box.y + 0.3, width: box.width - 0.6, height: box.height - 0.6, rx: 0.4 }, []);
    this.svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    this.node.style.setProperty("--ratio", String(box.width / box.height));
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width) return;
    this.scale = Math.min(width / view.width, height / view.height);
    this.left = (width - this.scale * view.width) / 2;
    this.top = (height - this.scale * view.height) / 2;
    this.size = Math.min(1, Math.max(0.62, this.scale / 15));
    this.svg.style.setProperty("--px", String(1 / this.scale));
    this.svg.style.setProperty("--size", String(this.size / this.scale));
    for (const { node, width, letters } of this.labels ?? []) {
      const px = Math.min(this.scale < 11 ? 10 : 12.5, width * this.scale / letters / 0.64);
      node.style.fontSize = `${(px / this.scale).toFixed(3)}px`;
      node.style.display = px < 6.5 ? "none" : "";
    }
    this.node.classList.toggle("small", this.scale < 11);
    const { width: all, height: tall } = box; // how many tiles a member has, on the part that is seen
    const crowd = Object.keys(this.members).length;
    this.node.classList.toggle("crowded", crowd > 60 && all * tall * this.scale ** 2 / crowd < 9000);
    this.node.classList.toggle("many", crowd > 200);
    this.placeBubbles();
  }

  // ---- who is where -----------------------------------------------------------------------------------------------------------

  // `pace`: seconds on the screen between two steps of somebody who walks.
  show(members, pace) {
    this.members = members;
    if (pace !== this.pace) this.svg.style.setProperty("--pace", `${pace}s`);
    this.pace = pace;
    this.fitBox();
    this.follow();
    for (const [id, node] of this.nodes) {
      if (!members[id] || members[id].x === undefined) {
        node.remove();
        this.nodes.delete(id);
      }
    }
    const late = Object.keys(members).filter((id) => !this.nodes.has(id)).sort(byName);
    for (const id of late) if (members[id].x !== undefined) this.makeNode(id);
    this.raise();
    for (const [id, node] of this.nodes) this.dress(id, node, members[id]);
    this.drawTies();
    this.drawGoal();
    this.placeBubbles();
  }

  // Of two who stand beside each other, one has its name above the head.
  raise() {
    this.raised = new Set();
    const near = 46 / this.scale;
    const ids = [...this.nodes.keys()].sort((a, b) => this.members[a].y - this.members[b].y || this.members[a].x - this.members[b].x);
    for (let i = 1; i < ids.length; i++) {
      const [before, now] = [this.members[ids[i - 1]], this.members[ids[i]]];
      if (before.y === now.y && now.x - before.x < near && !this.raised.has(ids[i - 1])) this.raised.add(ids[i]);
    }
  }

  makeNode(id) {
    const member = this.members[id];
    const node = svg("g", { class: "member", "data-id": id },
      svg("g", { class: "sized" }, svg("circle", { class: "halo", r: 20 }), glyph(this.looks.of(id), member.name),
        svg("g", { class: "dots" }, svg("rect", { x: 6, y: -24, width: 25, height: 13, rx: 6.5 }),
          svg("circle", { cx: 12.5, cy: -17.5, r: 2 }), svg("circle", { cx: 18.5, cy: -17.5, r: 2 }),
          svg("circle", { cx: 24.5, cy: -17.5, r: 2 })),
        svg("text", { class: "asleep", x: 10, y: -10 }, "z z"),
        svg("text", { class: "name", y: 27, "text-anchor": "middle" }, member.name)));
    this.nodes.set(id, node);
    this.people.append(node);
  }

  dress(id, node, member) {
    const at = `translate(${member.x + 0.5}px, ${member.y + 0.5}px)`;
    if (node.dataset.at !== at) {
      node.dataset.at = at;
      node.style.transform = at;
    }
    const dress = `member${member.thinking ? " thinks" : ""}${member.asleep ? " sleeps" : ""}${member.player ? " player" : ""}`
      + `${id === this.selected ? " selected" : ""}${this.raised?.has(id) ? " raised" : ""}`;
    if (node.getAttribute("class") !== dress) node.setAttribute("class", dress);
  }

  select(id) {
    this.selected = id;
    for (const [known, node] of this.nodes) if (this.members[known]) this.dress(known, node, this.members[known]);
    if (id && this.nodes.has(id)) {
      this.zoom.moved = false;
      this.people.append(this.nodes.get(id)); // on top
      this.zoom.centre(this.box, ...this.middle(id));
    }
    this.drawGoal();
  }

  middle(id) {
    const member = this.members[id];
    return member && member.x !== undefined ? [member.x + 0.5, member.y + 0.5] : null;
  }

  // Who is in one conversation: a line from each to their middle.
  drawTies() {
    const talks = new Map();
    for (const [id, member] of Object.entries(this.members)) {
      if (member.talk !== undefined && this.middle(id)) talks.set(member.talk, [...(talks.get(member.talk) ?? []), this.middle(id)]);
    }
    let path = "";
    for (const points of talks.values()) {
      if (points.length < 2) continue;
      const x = points.reduce((sum, point) => sum + point[0], 0) / points.length;
      const y = points.reduce((sum, point) => sum + point[1], 0) / points.length;
      for (const point of points) path += `M${point[0]} ${point[1]}L${x.toFixed(2)} ${y.toFixed(2)}`;
    }
    this.ties.setAttribute("d", path);
  }

  drawGoal() {
    const member = this.members[this.selected];
    const from = member?.goal && this.middle(this.selected);
    if (!from) return this.goal.setAttribute("d", "");
    const [x, y] = [member.goal.x + 0.5, member.goal.y + 0.5];
    const arm = 5 / this.scale;
    return this.goal.setAttribute("d", `M${from[0]} ${from[1]}L${x} ${y}M${x - arm} ${y - arm}l${2 * arm} ${2 * arm}`
      + `m0-${2 * arm}l-${2 * arm} ${2 * arm}`);
  }

  describe(text) { this.svg.setAttribute("aria-label", text); }

  // Who is looked at stays on the part of the map that is seen.
  follow() {
    const at = this.zoom.k > 1 && !this.zoom.moved && this.middle(this.selected);
    if (!at) return;
    const { x, y, width, height } = this.view;
    const far = Math.max(Math.abs(at[0] - x - width / 2) / width, Math.abs(at[1] - y - height / 2) / height);
    if (far > 0.35) this.zoom.centre(this.box, ...at);
  }

  // ---- bubbles ----------------------------------------------------------------------------------------------------------------

  // Words over a head, for a while; the newest few.
  speak(id, text, seconds) {
    if (!this.members[id]) return;
    this.hush(id);
    const node = el("div", { class: "bubble" }, el("p", {}, el("b", {}, `${this.members[id].name}:`), " ", text));
    const bubble = { node, at: performance.now(), timer: seconds ? setTimeout(() => this.hush(id), seconds * 1000) : 0 };
    this.bubbles.set(id, bubble);
    this.over.append(node);
    const most = this.scale < 11 ? 3 : 6;
    while (this.bubbles.size > most) this.hush(this.bubbles.keys().next().value);
    this.placeBubbles();
  }

  hush(id) {
    const bubble = this.bubbles.get(id);
    if (!bubble) return;
    clearTimeout(bubble.timer);
    bubble.node.remove();
    this.bubbles.delete(id);
  }

  // Words that were said long ago, for the world, are there as long as it takes to read them.
  hushOld(time) {
    const now = performance.now();
    for (const [id, { at }] of [...this.bubbles]) {
      const said = this.members[id]?.said?.time;
      if (now - at > 2500 && said !== undefined && time - said > 180) this.hush(id);
    }
  }

  hushAll() { for (const id of [...this.bubbles.keys()]) this.hush(id); }

  // Near the head, inside the map, and as far as can be over no other bubble and nobody's head: of a few places the best.
  placeBubbles() {
    if (this.bubbles.size === 0) return;
    const frame = this.node.getBoundingClientRect();
    const heads = [...this.nodes.keys()].map((id) => this.onScreen(id)).filter(Boolean);
    const sizes = new Map([...this.bubbles].map(([id, { node }]) => [id, [node.offsetWidth, node.offsetHeight]]));
    const taken = [];
    for (const [id, { node }] of [...this.bubbles].reverse()) { // the newest has the first choice
      const head = this.onScreen(id);
      const seen = head && head[0] > -10 && head[1] > -10 && head[0] < frame.width + 10 && head[1] < frame.height + 10;
      node.classList.toggle("unseen-bubble", !seen);
      if (!seen) continue;
      const [width, height] = sizes.get(id);
      const best = bubblePlace(head, { width, height, lift: (GLYPH_PX + 7) * (this.size ?? 1) }, frame, taken, heads);
      taken.push(best);
      node.style.transform = `translate(${best.x.toFixed(1)}px, ${best.y.toFixed(1)}px)`;
      node.style.setProperty("--tail", `${Math.max(12, Math.min(head[0] - best.x, width - 12)).toFixed(1)}px`);
      node.classList.toggle("below", best.below);
    }
  }

  onScreen(id) {
    const at = this.middle(id);
    return at && [this.left + (at[0] - this.view.x) * this.scale, this.top + (at[1] - this.view.y) * this.scale];
  }

  // ---- clicks -------------------------------------------------------------------------------------------------------------------

  clicked(event) {
    if (this.zoom.moved) return; // it was pulled
    const point = this.svg.createSVGPoint();
    [point.x, point.y] = [event.clientX, event.clientY];
    const at = point.matrixTransform(this.svg.getScreenCTM().inverse());
    let [best, distance] = [null, NEAR_PX / this.scale];
    for (const id of this.nodes.keys()) {
      const middle = this.middle(id);
      const far = middle ? Math.hypot(middle[0] - at.x, middle[1] - at.y) : Infinity;
      if (far < distance) [best, distance] = [id, far];
    }
    if (best) this.onPick(best);
    else this.onGo(Math.floor(at.x), Math.floor(at.y));
  }
}
