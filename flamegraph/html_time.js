/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When it ran: the text of picture_time.h, a line over all of the time and, where the
 * steps are fine enough, a map of seconds by what is within them. Both select.
 */
class FlameTimes {
	/* null in place of one: the profile has no time axis. */
	static read(text, boxes) {
		return text.trim() ? new FlameTimes(text, boxes) : null;
	}

	constructor(text, boxes) {
		const lines = text.replace(/^\n/, "").split("\n");
		const number = (at, word) => {
			if (!lines[at].startsWith(word + " "))
				throw new Error("no " + word + " in the times");
			return Number(lines[at].slice(word.length + 1));
		};
		if (number(0, "times") !== 1)
			throw new Error("the times are of another version");
		this.boxes = boxes;
		this.start = number(1, "start");
		this.step = number(2, "bucket");
		this.count = number(3, "steps");
		this.moments = lines.slice(4, 4 + this.count).map((line) => line ? line.split(" ").map((moment) => {
			const [box, self, thin] = moment.split(",");
			return [Number(box), Number(self), Number(thin || 0)];
		}) : []);
		const marks = 4 + this.count;
		this.marks = lines.slice(marks + 1, marks + 1 + number(marks, "marks")).map((line) => {
			const [at, alarm] = line.split(" ", 2), text = line.split(" ").slice(2).join(" ");
			return {step: Math.min(Math.floor(Number(at) / this.step), this.count - 1), alarm: alarm === "1", text};
		});
		this.sums = this.moments.map((step) => step.reduce((sum, [, self, thin]) => sum + self + thin, 0));
	}

	/* self and thin by box, of the steps from (with) to (without). */
	between(from, to) {
		const self = new Float64Array(this.boxes), thin = new Float64Array(this.boxes);
		for (const step of this.moments.slice(from, to)) {
			for (const [box, own, rest] of step) {
				self[box] += own;
				thin[box] += rest;
			}
		}
		return [self, thin];
	}

	/* What happened within `near` steps of one. */
	happened(step, near) {
		return this.marks.filter((mark) => Math.abs(mark.step - step) <= near).map((mark) => mark.text);
	}

	/* By step, what lies within boxes that `hit` says yes to. */
	matched(tree, hit) {
		const inside = new Uint8Array(tree.count);
		for (let i = 1; i < tree.count; i++)
			inside[i] = inside[tree.parent[i]] || hit(i) ? 1 : 0;
		return this.moments.map((step) => step.reduce((sum, [box, self, thin]) => sum + (inside[box] ? self + thin : 0), 0));
	}

	text(step) {
		return flameText.value(step * this.step, "nanoseconds");
	}
}

/* `pick(from, to)`: steps were selected; null: all of them are. */
class TimePanel {
	constructor(into, times, colours, pick) {
		const make = flameBar.make, panel = make("section", "times-panel", into);
		this.times = times;
		this.colours = colours;
		this.pick = pick;
		this.range = null;
		make("h2", "", panel, "Time");
		if (!times || times.count < 2) {
			make("p", "", panel, times ? "All of it is one step of " + times.text(1) + ": nothing to select."
						   : "This profile does not say when its samples were taken.");
			return;
		}
		this.said = make("span", "selected", panel);
		this.all = make("button", "whole", panel, "All of the time");
		this.all.addEventListener("click", () => this.select(null));
		this.listMarks(panel);
		this.line = this.canvas(panel, "line", "Amount by time: drag, or use the arrows, to select", (x) => Math.floor(x * times.count));
		this.line.addEventListener("keydown", (event) => this.onKey(event));
		this.perSecond = Math.round(1e9 / times.step);
		if (times.step <= 2e8 && times.count > this.perSecond)
			this.map = this.canvas(panel, "heat", "Amount by second (across) and part of the second (up): drag to select", (x, y) =>
				Math.floor(x * this.seconds()) * this.perSecond + Math.floor((1 - y) * this.perSecond));
		else
			make("p", "no-heat", panel, "No map of parts of seconds: the profile's steps are " + times.text(1) +
				(times.step <= 2e8 ? ", but there are few of them." : "; it needs 200 ms or finer."));
	}

	/* In words, for those who do not point. */
	listMarks(panel) {
		const {times} = this, make = flameBar.make;
		if (!times.marks.length)
			return;
		const details = make("details", "marks", panel), wrong = times.marks.filter((mark) => mark.alarm).length;
		make("summary", "", details, times.marks.length + " marks of what happened" + (wrong ? ", " + wrong + " of them of something lost or wrong" : ""));
		const list = make("ul", "", details);
		for (const mark of times.marks.slice(0, 500))
			make("li", "", list, "+" + times.text(mark.step) + ": " + mark.text);
		if (times.marks.length > 500)
			make("li", "", list, "and " + (times.marks.length - 500) + " more");
	}

	/* Columns of the map; a short time does not fill it. */
	seconds() {
		return Math.max(Math.ceil(this.times.count / this.perSecond), 30);
	}

	canvas(panel, id, title, stepAt) {
		const canvas = flameBar.make("canvas", id, panel, "", title), {times} = this;
		let from = -1;
		const at = (event) => {
			const box = canvas.getBoundingClientRect(), part = (a, size) => Math.min(Math.max(a / size, 0), 0.999999);
			return Math.min(stepAt(part(event.clientX - box.left, box.width), part(event.clientY - box.top, box.height)), times.count - 1);
		};
		canvas.tabIndex = 0;
		canvas.addEventListener("pointerdown", (event) => {
			from = at(event);
			canvas.setPointerCapture(event.pointerId);
		});
		canvas.addEventListener("pointermove", (event) => {
			const to = at(event);
			const near = id === "line" ? Math.ceil(times.count * 4 / (canvas.clientWidth || 1000)) : 0;
			canvas.title = [times.text(to) + ": " + flameText.value(times.sums[to], this.unit), ...times.happened(to, near)].join("\n");
			if (from >= 0)
				this.mark(Math.min(from, to), Math.max(from, to) + 1);
		});
		canvas.addEventListener("pointerup", (event) => {
			const to = at(event), still = to === from && this.range && to >= this.range[0] && to < this.range[1];
			if (from >= 0)
				this.select(still ? null : [Math.min(from, to), Math.max(from, to) + 1]);
			from = -1;
		});
		return canvas;
	}

	/* Left and right move the selection, with Shift its end. */
	onKey(event) {
		const by = {ArrowLeft: -1, ArrowRight: 1}[event.key], {count} = this.times;
		if (!by)
			return;
		let [from, to] = this.range || (by > 0 ? [-1, 0] : [count, count + 1]);
		to = Math.min(Math.max(to + by, 1), count);
		from = event.shiftKey ? Math.min(Math.max(from, 0), to - 1) : Math.min(Math.max(from + by, 0), count - 1, to - 1);
		this.select([from, Math.max(to, from + 1)]);
		event.preventDefault();
		event.stopPropagation();
	}

	mark(from, to) {
		this.marked = [from, to];
		this.draw();
	}

	set(range) {
		this.range = this.marked = range;
	}

	select(range) {
		this.set(range);
		this.pick(range);
	}

	draw() {
		if (!this.line)
			return;
		const {times, marked} = this;
		this.drawLine();
		if (this.map)
			this.drawMap();
		this.all.hidden = !marked;
		this.said.textContent = marked ? times.text(marked[0]) + " to " + times.text(marked[1]) + " of " + times.text(times.count)
					       : "all " + times.text(times.count) + ", in steps of " + times.text(1);
	}

	pen(canvas, tall) {
		const scale = window.devicePixelRatio || 1, wide = canvas.clientWidth || 1000, pen = canvas.getContext("2d");
		canvas.width = Math.round(wide * scale);
		canvas.height = Math.round(tall * scale);
		canvas.style.height = tall + "px";
		pen.scale(scale, scale);
		return [pen, wide];
	}

	inRange(step) {
		return !this.marked || (step >= this.marked[0] && step < this.marked[1]);
	}

	drawLine() {
		const {times, colours} = this, tall = 64, [pen, wide] = this.pen(this.line, tall);
		const most = Math.max(...times.sums.map((sum) => sum)), width = wide / times.count;
		const bars = (values, colour) => values.forEach((value, step) => {
			const high = most ? value / most * (tall - 2) : 0;
			pen.fillStyle = colour;
			pen.globalAlpha = this.inRange(step) ? 1 : 0.3;
			pen.fillRect(step * width, tall - high, Math.max(width > 3 ? width - 1 : width, 0.5), high);
		});
		bars(times.sums, colours.bar);
		if (this.matched)
			bars(this.matched, colours.hit);
		pen.globalAlpha = 1;
		this.drawMarks(pen, width, tall);
	}

	/* A rule and a triangle, a diamond for what went wrong. */
	drawMarks(pen, width, tall) {
		const {times, colours} = this;
		for (const {step, alarm} of times.marks) {
			const x = (step + 0.5) * width;
			pen.strokeStyle = pen.fillStyle = alarm ? colours.alarm : colours.ink;
			pen.setLineDash([2, 3]);
			pen.beginPath();
			pen.moveTo(x, 8);
			pen.lineTo(x, tall);
			pen.stroke();
			pen.setLineDash([]);
			pen.beginPath();
			if (alarm)
				[[x, 0], [x + 5, 5], [x, 10], [x - 5, 5]].forEach((at) => pen.lineTo(...at));
			else
				[[x - 5, 0], [x + 5, 0], [x, 8]].forEach((at) => pen.lineTo(...at));
			pen.fill();
		}
	}

	drawMap() {
		const {times, colours, perSecond} = this, cell = Math.max(3, Math.floor(100 / perSecond)), tall = cell * perSecond;
		const [pen, wide] = this.pen(this.map, tall), width = wide / this.seconds();
		const values = this.matched || times.sums, most = Math.max(...values);
		pen.fillStyle = this.matched ? colours.hit : colours.bar;
		values.forEach((value, step) => {
			if (!value)
				return;
			const second = Math.floor(step / perSecond), part = step % perSecond;
			pen.globalAlpha = (0.12 + 0.88 * value / most) * (this.inRange(step) ? 1 : 0.3);
			pen.fillRect(second * width, tall - (part + 1) * cell, Math.max(width - 0.5, 0.5), cell - 0.5);
		});
		pen.globalAlpha = 1;
	}
}
