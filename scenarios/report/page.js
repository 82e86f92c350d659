"use strict";
// The picture of runs: draws what is visible of the lanes, and answers mouse and keyboard.
// All texts come as data and are set as text, or pass through `safe`.
(() => {
  const runs = JSON.parse(document.getElementById("runs").textContent);
  const LANE = 26, HEAD = 26, BAR = 10, RIGHT = 14, RULER = 52, CHART = 38, CHARTS = 8;
  const MIDDLE = 13; // of a lane, where its bar is
  const NEAR = 8; // pixels around an event in which a click means it
  const shared = { order: runs[0].order, own: false, lo: 0, hi: 1, only: "", off: {}, run: 0, event: null };
  const $ = (id) => document.getElementById(id);
  const safe = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const count = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const fixed = (x) => Math.round(x * 10) / 10;

  // The first index from `from` on whose value is at least `least`; values never fall.
  function first(size, value, least, from = 0) {
    let low = from, high = size;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value(middle) < least) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // How long a run is on the axis that is chosen, and the axis that holds all of them.
  const length = (run) => Math.max(shared.order ? run.ticks.length - 1 : run.ticks.at(-1) || 0, 1);
  const longest = () => Math.max(...runs.map(length));
  const pad = () => Math.max(longest() * 0.015, shared.order ? 0.7 : 0.5);
  const domain = () => [-pad(), longest() + pad()];

  class View {
    constructor(number) {
      this.number = number;
      this.run = runs[number];
      const root = $(`run-${number}`);
      this.ruler = root.querySelector(".ruler");
      this.box = root.querySelector(".lanes");
      this.svg = root.querySelector(".lanes svg");
      this.charts = root.querySelector(".charts");
      this.tip = root.querySelector(".tip");
      this.stretch = 1;
      this.effects = null;
      this.twins = null;
      const proof = {};
      for (const each of this.run.violations) for (const seq of each.events) proof[seq] = each.rule;
      this.proof = proof;
      this.broken = this.run.violations.length ? this.run.violations[0].events.at(-1) : undefined;
      this.story = {};
      for (const seq of this.run.story) this.story[seq] = true;
      this.cursor = this.broken ?? 0;
      this.listen();
    }

    // Where things are.

    get size() { return this.run.ticks.length; }
    // A run that is drawn to its own length is stretched to that of the longest.
    at(seq) { return (shared.order ? seq : this.run.ticks[seq]) * this.stretch; }
    end(seq) { return seq < 0 ? this.last : this.at(seq); }
    x(value) { return this.gutter + (value - shared.lo) * this.scale; }
    value(x) { return shared.lo + (x - this.gutter) / this.scale; }

    measure() {
      this.width = this.box.clientWidth;
      this.gutter = this.width < 560 ? 118 : this.width < 720 ? 156 : 196;
      this.right = this.width - RIGHT;
      this.scale = (this.right - this.gutter) / (shared.hi - shared.lo);
      this.stretch = shared.own ? longest() / length(this.run) : 1;
      this.last = length(this.run) * this.stretch + pad();
      for (const svg of [this.ruler, this.svg, this.charts]) svg.setAttribute("width", this.width);
    }

    arrange() {
      // Which lanes are shown, and where: a group's name, then its lanes.
      this.rows = [];
      this.tops = new Map();
      let y = 2, group = "";
      this.run.lanes.forEach((lane, index) => {
        const proven = lane.events.some((seq) => seq in this.proof);
        if (shared.only ? !this.fits(lane) : shared.off[lane.group] && !proven) return;
        if (lane.group !== group) {
          group = lane.group;
          this.rows.push({ y, group, height: HEAD });
          y += HEAD;
        }
        this.rows.push({ y, lane, index, height: LANE });
        this.tops.set(index, y);
        y += LANE;
      });
      this.height = y + 6;
      this.svg.setAttribute("height", this.height);
    }

    fits(lane) { return lane.name === shared.only || lane.about.includes(shared.only); }

    // Whether an event is about what alone is shown.
    meant(seq) {
      if (!shared.only) return true;
      const lane = this.run.lanes[this.run.places[seq]];
      return lane.name === shared.only || lane.about.includes(shared.only);
    }

    y(seq) {
      const top = this.tops.get(this.run.places[seq]);
      return top === undefined ? undefined : top + MIDDLE;
    }

    // Drawing.

    draw() {
      this.measure();
      const from = this.box.scrollTop - LANE, to = this.box.scrollTop + this.box.clientHeight + LANE;
      const out = [];
      const chosen = shared.run === this.number ? shared.event : this.twin();
      out.push(this.grid());
      for (const row of this.rows) {
        if (row.y + row.height < from || row.y > to) continue;
        if (row.lane) this.lane(row, out);
        else out.push(`<text class="group" x="0" y="${row.y + 18}">${row.group}</text>`);
      }
      out.push(this.line(this.broken, "broken"));
      if (chosen !== null && chosen !== undefined) {
        out.push(this.line(chosen, "chosen"));
        if (shared.run === this.number) out.push(this.links(chosen));
        out.push(this.ring(chosen, "chosen", 7));
      }
      out.push(this.cursorMark());
      this.svg.innerHTML = out.join("");
      this.drawRuler(chosen);
      this.drawCharts(chosen);
      this.box.setAttribute("aria-activedescendant", `cursor-${this.number}`);
    }

    ticks() {
      // Round places for the axis, at least 80 pixels apart.
      const least = 80 / this.scale / this.stretch;
      let step = 10 ** Math.floor(Math.log10(least));
      while (step < least) step *= step.toString().startsWith("2") ? 2.5 : 2;
      step = Math.max(1, step);
      const found = [];
      const from = Math.max(0, shared.lo) / this.stretch;
      const to = Math.min(shared.hi, domain()[1]) / this.stretch;
      for (let v = Math.ceil(from / step) * step; v <= to; v += step) found.push(v);
      return found;
    }

    grid() {
      let d = "";
      for (const v of this.ticks()) d += `M${fixed(this.x(v * this.stretch))} 0V${this.height}`;
      return `<path class="grid" d="${d}"/>`;
    }

    line(seq, kind) {
      if (seq === undefined || seq === null) return "";
      const x = this.x(this.at(seq));
      if (x < this.gutter || x > this.right) return "";
      return `<path class="line ${kind}" d="M${fixed(x)} 0V${this.height}"/>`;
    }

    ring(seq, kind, r) {
      const y = this.y(seq), x = this.x(this.at(seq));
      if (y === undefined || x < this.gutter - 1 || x > this.right + 1) return "";
      return `<circle class="ring ${kind}" cx="${fixed(x)}" cy="${y}" r="${r}"/>`;
    }

    lane(row, out) {
      const { lane, y } = row;
      const wide = this.gutter - 8;
      const label = `<tspan class="name">${safe(lane.label)}</tspan> <tspan class="note">${safe(lane.note)}</tspan>`;
      out.push(`<path class="base" d="M${this.gutter} ${y + MIDDLE}H${this.right}"/>`);
      out.push(`<svg x="0" y="${y}" width="${wide}" height="${LANE}"><text class="label" x="8" y="17">${label}</text></svg>`);
      this.shade(lane, y, out);
      this.buffer(lane, y, out);
      this.spans(lane.spans, y + MIDDLE - BAR / 2, BAR, true, out);
      this.spans(lane.below, y + 19.5, 2.5, false, out);
      this.marks(lane, y, out);
      for (const [seq, state] of lane.ends) this.glyph(seq, state, y, out);
    }

    spans(spans, top, height, labels, out) {
      const paths = {}, texts = [];
      const start = (i) => this.at(spans[i][0]), end = (i) => this.end(spans[i][1]);
      let i = first(spans.length, end, shared.lo);
      let dense = null;
      const rect = (state, x0, x1) => {
        paths[state] = (paths[state] || "") + `M${fixed(x0)} ${top}H${fixed(x1)}V${top + height}H${fixed(x0)}z`;
      };
      while (i < spans.length && start(i) <= shared.hi) {
        const [, , state, about, label] = spans[i];
        const x0 = Math.max(this.x(start(i)), this.gutter), x1 = Math.min(this.x(end(i)), this.right);
        if (x1 - x0 < 1) {
          // Below a pixel: one block for all that lie so close together, but one alone is itself.
          const next = Math.max(i + 1, first(spans.length, end, this.value(x0 + 1), i + 1));
          if (dense && x0 <= dense.x1 + 0.5) {
            dense.x1 = Math.max(x1, x0 + 1.2);
            dense.state = "dense";
          } else {
            if (dense) rect(dense.state, dense.x0, dense.x1);
            dense = { x0, x1: Math.max(x1, x0 + 1.2), state: next > i + 1 ? "dense" : state };
          }
          i = next;
          continue;
        }
        if (dense) rect(dense.state, dense.x0, dense.x1);
        dense = null;
        const faint = shared.only && about && about !== shared.only && !this.near(about);
        rect(faint ? "faint" : state, x0, x1);
        if (labels && label && x1 - x0 > label.length * 6.6 + 6)
          texts.push(`<text class="in" x="${fixed(x0 + 4)}" y="${top - 1.5}">${safe(label)}</text>`);
        i += 1;
      }
      if (dense) rect(dense.state, dense.x0, dense.x1);
      for (const state in paths) out.push(`<path class="s-${state}" d="${paths[state]}"/>`);
      out.push(...texts);
    }

    // Whether a task and what alone is shown belong together.
    near(name) {
      const lane = this.run.lanes.find((each) => each.name === name);
      return lane !== undefined && this.fits(lane);
    }

    marks(lane, y, out) {
      const events = lane.events;
      const where = (i) => this.at(events[i]);
      let d = "", told = "";
      let i = first(events.length, where, shared.lo);
      while (i < events.length && where(i) <= shared.hi) {
        const x = this.x(where(i));
        d += `M${fixed(x)} ${y + 22}v4`;
        const next = first(events.length, where, this.value(x + 1), i + 1);
        i = Math.max(i + 1, next);
      }
      if (d) out.push(`<path class="mark" d="${d}"/>`);
      const own = this.run.lanes.indexOf(lane);
      for (const seq of this.run.story)
        if (this.run.places[seq] === own && !(seq in this.proof)) told += this.ring(seq, "told", 2.6);
      for (const seq in this.proof)
        if (this.run.places[seq] === own) told += this.ring(Number(seq), "proof", 5.5);
      out.push(told);
    }

    glyph(seq, state, y, out) {
      const x = this.x(this.at(seq));
      if (x < this.gutter - 1 || x > this.right + 1) return;
      const c = y + MIDDLE, s = fixed(x);
      const shapes = {
        Completed: `M${s} ${c}m-4.5 0l3 3.5l6 -8`,
        Cancelled: `M${s} ${c}m-4 -4l8 8m0 -8l-8 8`,
        Failed: `M${s} ${c - 5}v6m0 3v1.5`,
        Crashed: `M${s} ${c - 5}v6m0 3v1.5`,
        Closed: `M${s} ${c - 5}v10`,
      };
      out.push(`<path class="halo" d="${shapes[state]}"/><path class="end e-${state}" d="${shapes[state]}"/>`);
    }

    shade(lane, y, out) {
      // Where a fault holds that strikes this lane.
      for (const fault of this.run.faults) {
        if (!fault.lanes.includes(lane.name)) continue;
        const x0 = Math.max(this.x(this.at(fault.start)), this.gutter);
        const x1 = Math.min(this.x(this.end(fault.end)), this.right);
        if (x1 < this.gutter || x0 > this.right) continue;
        out.push(`<rect class="struck" x="${fixed(x0)}" y="${y + 1}" width="${fixed(Math.max(2, x1 - x0))}" height="${LANE - 2}"/>`);
      }
    }

    buffer(lane, y, out) {
      if (!lane.steps.length) return;
      const d = this.area(lane.steps, lane.peak, y + 25, 7);
      if (d) out.push(`<path class="held" d="${d}"/>`);
    }

    // A count as an area above `base`; within a pixel its most.
    area(steps, peak, base, height) {
      const where = (i) => this.at(steps[i][0]);
      let i = Math.max(0, first(steps.length, where, shared.lo) - 1);
      const level = (n) => fixed(base - (n / Math.max(1, peak)) * height);
      let d = "", open = false, x = this.gutter;
      while (i < steps.length && where(i) <= shared.hi) {
        const begin = Math.max(this.gutter, this.x(where(i)));
        const next = Math.max(i + 1, first(steps.length, where, this.value(begin + 1), i + 1));
        let most = 0;
        for (let j = i; j < next; j++) most = Math.max(most, steps[j][1]);
        if (!open) { d += `M${fixed(begin)} ${base}`; open = true; }
        else d += `H${fixed(begin)}`;
        d += `V${level(most)}`;
        if (next - i > 1) d += `H${fixed(begin + 1)}V${level(steps[next - 1][1])}`;
        x = begin;
        i = next;
      }
      if (!open) return "";
      const stop = Math.max(x, Math.min(this.right, this.x(this.last)));
      return `${d}H${fixed(stop)}V${base}z`;
    }

    drawRuler(chosen) {
      const out = [];
      const place = shared.order ? "event" : "microseconds";
      out.push(`<text class="unit" x="8" y="${RULER - 8}">${place}</text>`);
      let free = -1e9;
      for (const v of this.ticks()) {
        const x = this.x(v * this.stretch);
        if (x < this.gutter) continue;
        out.push(`<path class="tick" d="M${fixed(x)} ${RULER - 5}v5"/>`);
        out.push(`<text class="at" x="${fixed(x)}" y="${RULER - 8}" text-anchor="middle">${shared.order ? "#" : ""}${count(v)}</text>`);
        if (shared.order && v < this.size && x - free > 66) {
          const anchor = x > this.right - 40 ? "end" : "middle";
          out.push(`<text class="when" x="${fixed(anchor === "end" ? x + 10 : x)}" y="${RULER - 23}" text-anchor="${anchor}">${count(this.run.ticks[v])} \u00b5s</text>`);
          free = x;
        }
      }
      const marked = this.x(this.at(this.broken ?? -1e9));
      const flag = (seq, kind, text) => {
        const x = this.x(this.at(seq));
        if (x < this.gutter || x > this.right) return;
        if (kind === "chosen" && Math.abs(x - marked) < 120) text = "";
        const left = x > this.right - 110;
        out.push(`<path class="line ${kind}" d="M${fixed(x)} 14V${RULER}"/>`);
        out.push(`<text class="flag ${kind}" x="${fixed(x + (left ? -4 : 4))}" y="11" text-anchor="${left ? "end" : "start"}">${safe(text)}</text>`);
      };
      if (this.broken !== undefined && this.broken < this.size)
        flag(this.broken, "broken", `${this.run.violations[0].rule} broken, #${this.broken}`);
      if (chosen !== null && chosen !== undefined && chosen !== this.broken) flag(chosen, "chosen", `#${chosen}`);
      this.ruler.innerHTML = out.join("");
    }

    drawCharts(chosen) {
      const out = [];
      let y = 4, shown = 0;
      for (const chart of this.run.charts) {
        if (shown === CHARTS) break;
        if (shared.only && chart.about && chart.about !== shared.only.split("/")[0]) continue;
        shown += 1;
        const base = y + CHART - 8, height = CHART - 16;
        const peak = Math.max(chart.peak, chart.limit);
        out.push(`<path class="base" d="M${this.gutter} ${base}H${this.right}"/>`);
        out.push(`<svg x="0" y="${y}" width="${this.gutter - 24}" height="${CHART}"><text class="label" x="8" y="${CHART - 14}"><tspan class="name">${safe(chart.name)}</tspan><title>${safe(chart.name)}</title></text></svg>`);
        out.push(`<text class="peak" x="${this.gutter - 6}" y="${base - height + 7}" text-anchor="end">${count(peak)}</text>`);
        const d = this.area(chart.steps, peak, base, height);
        if (d) out.push(`<path class="amount" d="${d}"/>`);
        if (chart.limit) {
          const at = fixed(base - (chart.limit / peak) * height);
          out.push(`<path class="limit" d="M${this.gutter} ${at}H${this.right}"><title>the limit, ${chart.limit}</title></path>`);
        }
        y += CHART;
      }
      const rest = this.run.charts.length - shown;
      if (!shared.only && rest > 0) {
        out.push(`<text class="label note" x="8" y="${y + 14}">and ${rest} more</text>`);
        y += 20;
      }
      const height = shown ? y + 4 : 0;
      this.charts.setAttribute("height", height);
      const lines = (seq, kind) => {
        if (seq === undefined || seq === null) return;
        const x = this.x(this.at(seq));
        if (x >= this.gutter && x <= this.right) out.push(`<path class="line ${kind}" d="M${fixed(x)} 0V${height}"/>`);
      };
      lines(this.broken, "broken");
      lines(chosen, "chosen");
      this.charts.innerHTML = out.join("");
    }

    cursorMark() {
      const seq = this.cursor, y = this.y(seq);
      const told = this.told(seq);
      const x = Math.min(Math.max(this.x(this.at(seq)), this.gutter), this.right);
      const picked = shared.run === this.number && shared.event === seq;
      return `<g id="cursor-${this.number}" role="option" aria-selected="${picked}" aria-posinset="${seq + 1}" aria-setsize="${this.size}" aria-label="${safe(told)}"><rect class="cursor" x="${fixed(x - 9)}" y="${(y ?? -99) - 10}" width="18" height="20" rx="4"/></g>`;
    }

    told(seq) {
      const proof = seq in this.proof ? `, proves that ${this.proof[seq]} is broken` : "";
      return `#${seq}, ${count(this.run.ticks[seq])} \u00b5s: ${this.run.words[seq]}${proof}`;
    }

    // Causes and effects.

    ancestors(seq, most = 60) {
      const found = new Map([[seq, 0]]);
      const waiting = [seq];
      while (waiting.length && found.size < most) {
        const next = waiting.shift();
        for (const cause of this.run.causes[next]) {
          if (!found.has(cause)) { found.set(cause, found.get(next) + 1); waiting.push(cause); }
        }
      }
      found.delete(seq);
      return found;
    }

    led(seq) {
      if (!this.effects) {
        this.effects = new Map();
        this.run.causes.forEach((causes, effect) => {
          for (const cause of causes) {
            if (!this.effects.has(cause)) this.effects.set(cause, []);
            this.effects.get(cause).push(effect);
          }
        });
      }
      return this.effects.get(seq) || [];
    }

    links(chosen) {
      const out = [];
      const found = this.ancestors(chosen);
      const join = (from, to, kind) => {
        const y0 = this.y(from), y1 = this.y(to);
        if (y0 === undefined || y1 === undefined) return;
        const clamp = (x) => Math.min(Math.max(x, this.gutter), this.right);
        const x0 = clamp(this.x(this.at(from))), x1 = clamp(this.x(this.at(to)));
        const bend = y0 === y1 ? 14 : Math.min(40, Math.abs(x1 - x0) / 2 + 8);
        const d = y0 === y1
          ? `M${fixed(x0)} ${y0}Q${fixed((x0 + x1) / 2)} ${y0 - bend} ${fixed(x1)} ${y1}`
          : `M${fixed(x0)} ${y0}C${fixed(x0 + bend)} ${y0} ${fixed(x1 - bend)} ${y1} ${fixed(x1)} ${y1}`;
        out.push(`<path class="link ${kind}" d="${d}"/>`);
      };
      for (const [seq, depth] of found) {
        if (depth > 12) continue;
        for (const cause of this.run.causes[seq]) if (found.has(cause)) join(cause, seq, "far");
      }
      for (const cause of this.run.causes[chosen]) join(cause, chosen, "near");
      for (const [seq, depth] of found) out.push(this.ring(seq, depth === 1 ? "cause" : "cause far", depth === 1 ? 5 : 3));
      return out.join("");
    }

    // The event of another run that is the same one: of this kind, about this, and as many before it.
    key(run, seq) { return `${run.kinds[seq]} ${run.subjects[seq]} ${run.words[seq]}`; }

    twin() {
      if (runs.length < 2 || shared.event === null || shared.run === this.number) return null;
      const other = runs[shared.run], key = this.key(other, shared.event);
      let nth = 0;
      for (let seq = 0; seq < shared.event; seq++) nth += this.key(other, seq) === key;
      if (!this.twins) {
        this.twins = new Map();
        for (let seq = 0; seq < this.size; seq++) {
          const own = this.key(this.run, seq);
          if (!this.twins.has(own)) this.twins.set(own, []);
          this.twins.get(own).push(seq);
        }
      }
      return (this.twins.get(key) || [])[nth] ?? null;
    }

    // Mouse and keyboard.

    hit(event) {
      const frame = this.svg.getBoundingClientRect();
      const x = event.clientX - frame.left, y = event.clientY - frame.top;
      const row = this.rows.find((each) => y >= each.y && y < each.y + each.height);
      if (!row || !row.lane) return { row: null, seq: null };
      const events = row.lane.events, where = (i) => this.at(events[i]);
      const i = first(events.length, where, this.value(x));
      let best = null, far = NEAR + 1;
      const look = (j) => {
        if (j < 0 || j >= events.length) return;
        const away = Math.abs(this.x(where(j)) - x);
        // Of those that lie on each other, what proves or tells comes first.
        const weight = away - (events[j] in this.proof ? 4 : events[j] in this.story ? 2 : 0);
        if (away <= NEAR && weight < far) { best = events[j]; far = weight; }
      };
      for (let j = i; j < events.length && j < i + 200 && this.x(where(j)) - x <= NEAR; j++) look(j);
      for (let j = i - 1; j >= 0 && j > i - 200 && x - this.x(where(j)) <= NEAR; j--) look(j);
      if (best === null && x >= this.gutter) {
        const value = this.value(x);
        const span = row.lane.spans.find((each) => this.at(each[0]) <= value && value <= this.end(each[1]));
        if (span) best = span[0];
      }
      return { row, seq: best, gutter: x < this.gutter };
    }

    listen() {
      const box = this.box;
      let drag = null;
      box.addEventListener("scroll", () => later(this));
      box.addEventListener("pointerdown", (event) => {
        if (event.button === 0 && event.offsetX < box.clientWidth)
          drag = { x: event.clientX, lo: shared.lo, hi: shared.hi, moved: false };
      });
      box.addEventListener("pointermove", (event) => {
        if (drag && event.buttons) {
          const by = (drag.x - event.clientX) / this.scale;
          if (!drag.moved && Math.abs(event.clientX - drag.x) > 4) {
            drag.moved = true;
            box.setPointerCapture(event.pointerId); // a drag may leave the picture
          }
          if (drag.moved) { this.tip.hidden = true; show(drag.lo + by, drag.hi + by); }
          return;
        }
        this.hover(event);
      });
      box.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      box.addEventListener("click", (event) => {
        const moved = drag && drag.moved;
        drag = null;
        if (moved) return;
        const { row, seq, gutter } = this.hit(event);
        if (gutter && row) only(shared.only === row.lane.name ? "" : row.lane.name);
        else if (seq !== null) { this.cursor = seq; select(this.number, seq); }
        else select(this.number, null);
      });
      box.addEventListener("dblclick", (event) => {
        const frame = this.svg.getBoundingClientRect();
        zoom(0.5, this.value(event.clientX - frame.left));
      });
      box.addEventListener("wheel", (event) => {
        const frame = this.svg.getBoundingClientRect();
        if (event.ctrlKey || event.metaKey) {
          event.preventDefault();
          zoom(Math.exp(event.deltaY * 0.002), this.value(event.clientX - frame.left));
        } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          event.preventDefault();
          pan((event.deltaX || event.deltaY) / this.scale);
        }
      }, { passive: false });
      box.addEventListener("keydown", (event) => this.key_pressed(event));
      box.addEventListener("focus", () => later(this));
    }

    hover(event) {
      const { row, seq, gutter } = this.hit(event);
      // Over a name, which may be cut: all of it.
      const said = gutter && row ? `${row.lane.label} ${row.lane.note}` : seq === null ? "" : this.told(seq);
      this.tip.hidden = !said;
      if (!said) return;
      this.tip.textContent = said;
      const frame = this.tip.parentElement.getBoundingClientRect();
      const x = event.clientX - frame.left, y = event.clientY - frame.top;
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, frame.width - this.tip.offsetWidth))}px`;
      this.tip.style.top = `${y + 18}px`;
    }

    // The next event by keyboard: along its lane, across the lanes, or in the order of all.
    step(seq, along, by) {
      if (along === "all") {
        for (let next = seq + by; next >= 0 && next < this.size; next += by)
          if (this.y(next) !== undefined && this.meant(next)) return next;
        return seq;
      }
      const own = this.run.places[seq];
      if (along === "lane") {
        const events = this.run.lanes[own].events;
        const i = first(events.length, (j) => events[j], seq) + by;
        return events[Math.min(Math.max(i, 0), events.length - 1)] ?? seq;
      }
      const shown = this.rows.filter((row) => row.lane && row.lane.events.length);
      const from = shown.findIndex((row) => row.index === own);
      const row = shown[from + by];
      if (!row) return seq;
      const events = row.lane.events;
      const i = first(events.length, (j) => this.at(events[j]), this.at(seq));
      if (i === events.length) return events[i - 1];
      if (i && this.at(seq) - this.at(events[i - 1]) < this.at(events[i]) - this.at(seq)) return events[i - 1];
      return events[i];
    }

    key_pressed(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const lane = this.run.lanes[this.run.places[this.cursor]].events;
      const third = (shared.hi - shared.lo) / 3;
      const moves = {
        ArrowLeft: () => this.move(this.step(this.cursor, "lane", -1)),
        ArrowRight: () => this.move(this.step(this.cursor, "lane", 1)),
        ArrowUp: () => this.move(this.step(this.cursor, "lanes", -1)),
        ArrowDown: () => this.move(this.step(this.cursor, "lanes", 1)),
        PageUp: () => this.move(this.step(this.cursor, "all", -1)),
        PageDown: () => this.move(this.step(this.cursor, "all", 1)),
        Home: () => this.move(lane[0] ?? this.cursor),
        End: () => this.move(lane.at(-1) ?? this.cursor),
        Enter: () => select(this.number, this.cursor),
        " ": () => select(this.number, this.cursor),
        Escape: () => (shared.event === null ? only("") : select(this.number, null)),
        c: () => this.move(this.run.causes[this.cursor].at(-1) ?? this.cursor),
        v: () => this.move(this.broken ?? this.cursor),
        "+": () => zoom(0.5, this.at(this.cursor)),
        "=": () => zoom(0.5, this.at(this.cursor)),
        "-": () => zoom(2, this.at(this.cursor)),
        0: () => fit(),
      };
      if (event.shiftKey && event.key === "ArrowLeft") pan(-third);
      else if (event.shiftKey && event.key === "ArrowRight") pan(third);
      else if (moves[event.key]) moves[event.key]();
      else return;
      event.preventDefault();
    }

    move(seq) {
      this.cursor = seq;
      this.reveal(seq);
      later(this);
    }

    // Pan and scroll until the event is in sight.
    reveal(seq) {
      const value = this.at(seq), width = shared.hi - shared.lo;
      if (value < shared.lo || value > shared.hi) show(value - width / 2, value + width / 2);
      const y = this.y(seq);
      if (y === undefined) return;
      const top = this.box.scrollTop, height = this.box.clientHeight;
      if (y - LANE < top) this.box.scrollTop = y - 2 * LANE;
      else if (y + LANE > top + height) this.box.scrollTop = y - height + 2 * LANE;
    }
  }

  // What all views share.

  const dirty = new Set();
  let due = false;
  function later(view) {
    dirty.add(view);
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      for (const each of dirty) each.draw();
      dirty.clear();
    });
  }
  const all = () => views.forEach(later);

  function show(lo, hi) {
    const [low, high] = domain();
    const width = Math.min(Math.max(hi - lo, shared.order ? 4 : 2), high - low);
    const start = Math.min(Math.max(lo, low), high - width);
    shared.lo = start;
    shared.hi = start + width;
    all();
  }
  function fit() { show(...domain()); }
  function zoom(by, around) {
    const middle = around ?? (shared.lo + shared.hi) / 2;
    const fixedAt = Math.min(Math.max(middle, shared.lo), shared.hi);
    show(fixedAt - (fixedAt - shared.lo) * by, fixedAt + (shared.hi - fixedAt) * by);
  }
  function pan(by) { show(shared.lo + by, shared.hi + by); }

  function only(name) {
    shared.only = name;
    const list = $("only");
    list.value = name;
    if (list.value !== name) { shared.only = ""; list.value = ""; }
    for (const box of document.querySelectorAll(".graph .task"))
      box.classList.toggle("on", box.dataset.name === shared.only);
    for (const view of views) view.arrange();
    all();
    remember();
  }

  function axis(order) {
    shared.order = order;
    $("by-time").setAttribute("aria-pressed", !order);
    $("by-event").setAttribute("aria-pressed", order);
    for (const view of views) view.measure();
    fit();
    remember();
  }

  function select(number, seq) {
    shared.run = number;
    shared.event = seq;
    describe();
    all();
    remember();
  }

  // The panel with an event's details.

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function reference(view, seq) {
    const words = view.run.words[seq];
    const button = element("button", { type: "button", class: "event" },
      element("span", { class: "seq" }, `#${seq}`),
      element("span", { class: "tick" }, `${count(view.run.ticks[seq])} \u00b5s`),
      element("span", {}, words));
    button.addEventListener("click", () => go(view.number, seq));
    return element("li", {}, button);
  }

  function describe() {
    const panel = $("details");
    panel.replaceChildren();
    document.body.classList.toggle("chosen", shared.event !== null);
    for (const box of document.querySelectorAll(".graph .task.at")) box.classList.remove("at");
    if (shared.event === null) {
      panel.append(element("p", { class: "hint" }, $("details").dataset.hint));
      return;
    }
    const view = views[shared.run], run = view.run, seq = shared.event;
    const subject = run.names[run.subjects[seq]], task = subject.split(".")[0];
    for (const box of document.querySelectorAll(`#run-${shared.run} .graph .task, .graph-of-${shared.run} .task`))
      box.classList.toggle("at", box.dataset.name === task);
    const close = element("button", { type: "button", class: "close", "aria-label": "close" }, "\u00d7");
    close.addEventListener("click", () => { select(shared.run, null); view.box.focus(); });
    panel.append(close, element("h3", {}, run.words[seq]));
    const kind = run.kindNames[run.kinds[seq]];
    panel.append(element("p", { class: "what" },
      element("span", { class: "seq" }, `#${seq}`), ` at ${count(run.ticks[seq])} \u00b5s, `,
      element("code", {}, kind), " of ", element("code", {}, subject)));
    for (const each of run.violations) {
      if (!each.events.includes(seq)) continue;
      const place = each.events.indexOf(seq) === each.events.length - 1 ? "Here it breaks" : "Proves";
      panel.append(element("p", { class: "proves" },
        element("strong", {}, `${place}: ${each.rule} ${each.sentence}`), element("br"),
        `seen: ${each.seen}`, ...(each.right ? [element("br"), `right: ${each.right}`] : [])));
    }
    const entries = run.details[seq];
    if (entries.length) {
      const list = element("dl", {});
      for (const [name, value] of entries) list.append(element("dt", {}, name), element("dd", {}, value));
      panel.append(list);
    }
    const listed = (title, seqs, empty) => {
      panel.append(element("h4", {}, title));
      if (!seqs.length) { panel.append(element("p", { class: "hint" }, empty)); return; }
      const list = element("ul", { class: "events" });
      for (const each of seqs.slice(0, 12)) list.append(reference(view, each));
      panel.append(list);
      if (seqs.length > 12) panel.append(element("p", { class: "hint" }, `and ${seqs.length - 12} more`));
    };
    listed("Led to it", run.causes[seq], "Nothing before it: it is where a story begins.");
    const deeper = [...view.ancestors(seq)].filter(([, depth]) => depth > 1).map(([each]) => each);
    if (deeper.length) listed("And before that", deeper.sort((a, b) => b - a), "");
    listed("What followed from it", view.led(seq), "Nothing that is known.");
    panel.scrollTop = 0;
  }

  function go(number, seq) {
    const view = views[number];
    if (seq < 0 || seq >= view.size) return;
    if (view.y(seq) === undefined) {
      // Its lane is hidden: show it rather than nothing.
      shared.off[view.run.lanes[view.run.places[seq]].group] = false;
      mirror();
      only("");
    }
    view.cursor = seq;
    view.measure();
    view.reveal(seq);
    select(number, seq);
  }

  function mirror() {
    for (const box of document.querySelectorAll("[data-group]")) box.checked = !shared.off[box.dataset.group];
  }

  // The fragment of the address keeps what is looked at.

  let ready = false;
  function remember() {
    if (!ready) return;
    const said = new URLSearchParams();
    if (shared.event !== null) said.set("e", runs.length > 1 ? `${shared.run}.${shared.event}` : shared.event);
    if (shared.only) said.set("only", shared.only);
    if (shared.order !== runs[0].order) said.set("axis", shared.order ? "event" : "time");
    const text = said.toString();
    try { history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search); } catch { /* no history here */ }
  }

  function recall() {
    const said = new URLSearchParams(location.hash.slice(1));
    if (said.has("axis")) axis(said.get("axis") === "event");
    if (said.has("only")) only(said.get("only"));
    if (said.has("from") && said.has("to")) show(Number(said.get("from")), Number(said.get("to")));
    const event = (said.get("e") || "").match(/^(?:(\d+)\.)?(\d+)$/);
    if (event && Number(event[1] || 0) < runs.length) go(Number(event[1] || 0), Number(event[2]));
  }

  const begun = performance.now();
  const views = runs.map((_, number) => new View(number));
  for (const group of runs[0].off) shared.off[group] = true;
  const own = $("own");
  if (own) {
    const ends = runs.map((run) => run.ticks.at(-1) || 1);
    own.checked = shared.own = Math.max(...ends) > 4 * Math.min(...ends);
    own.addEventListener("change", () => {
      shared.own = own.checked;
      for (const view of views) view.measure();
      fit();
    });
  }
  for (const box of document.querySelectorAll("[data-group]"))
    box.addEventListener("change", () => {
      shared.off[box.dataset.group] = !box.checked;
      for (const view of views) view.arrange();
      all();
    });
  mirror();
  $("only").addEventListener("change", (event) => only(event.target.value));
  $("by-time").addEventListener("click", () => axis(false));
  $("by-event").addEventListener("click", () => axis(true));
  $("in").addEventListener("click", () => zoom(0.5));
  $("out").addEventListener("click", () => zoom(2));
  $("fit").addEventListener("click", fit);
  for (const link of document.querySelectorAll("[data-event]"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go(Number(link.dataset.run), Number(link.dataset.event));
    });
  for (const box of document.querySelectorAll(".graph .task")) {
    const toggle = () => only(shared.only === box.dataset.name ? "" : box.dataset.name);
    box.addEventListener("click", toggle);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); }
    });
  }
  for (const view of views) { view.measure(); view.arrange(); }
  axis(shared.order);
  describe();
  recall();
  ready = true;
  for (const view of views) view.draw();
  new ResizeObserver(all).observe(document.body);
  addEventListener("hashchange", recall);
  document.documentElement.dataset.ready = fixed(performance.now() - begun);
})();
