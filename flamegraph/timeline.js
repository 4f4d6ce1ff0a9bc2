/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes a time line answer (timeline_svg.c, which has the same sizes): what there was
 * at a point, by mouse and keyboard, and a series alone. It is whole without this.
 */
const LEFT = 80, PLOT_WIDTH = 1090, TOP = 90, PLOT_HEIGHT = 320;

class Timeline {
	constructor(root) {
		this.root = root;
		this.plot = root.querySelector("#plot");
		this.areas = [...root.querySelectorAll("#plot .area")];
		this.entries = [...root.querySelectorAll("#legend .entry")];
		this.figures = [...root.querySelectorAll("#legend .figure")];
		this.status = root.querySelector("#status");
		this.read(root.querySelector("#timeline").textContent.replace(/^\n/, "").split("\n"));
		this.shapes = this.areas.map((area) => area.getAttribute("d"));
		this.words = this.figures.map((figure) => figure.textContent);
		this.about = this.status.textContent + " \u00b7 point at the picture, or arrows: what there was; n: next mark; click a name: it alone";
		this.step = -1;
		this.alone = -1;
		this.build();
		this.listen();
		this.tell();
	}

	read(lines) {
		let at = 0;
		const word = (name) => {
			const line = lines[at++] || "";
			if (!line.startsWith(name + " "))
				throw new Error("no " + name + " in line " + at + " of the time line's text");
			return line.slice(name.length + 1);
		};
		const several = (count) => lines.slice(at, at += count);
		if (word("timeline") !== "2")
			throw new Error("the time line's text is of another version");
		this.unit = word("unit");
		this.level = word("level") === "1";
		this.start = Number(word("start"));
		this.width = Number(word("step"));
		const count = Number(word("series"));
		this.names = several(count);
		this.values = several(count).map((line) => line.split(" ").map(Number));
		this.bands = [];
		for (const line of several(Number(word("bands")))) {
			const [series, ...steps] = line.split(" ");
			this.bands[series] = steps.map((step) => step.split("~").map(Number));
		}
		this.marks = several(Number(word("marks"))).map((line) => [Number(line.split(" ", 1)[0]), line.slice(line.indexOf(" ") + 1)]);
		this.steps = this.values[0].length;
	}

	build() {
		const {plot, entries} = this;
		this.cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
		this.cursor.id = "cursor";
		this.root.insertBefore(this.cursor, this.root.querySelector("#legend"));
		/* As wide as there is room; the height follows. */
		this.root.setAttribute("width", "100%");
		this.status.setAttribute("role", "status");
		plot.setAttribute("tabindex", "0");
		plot.setAttribute("role", "application");
		plot.setAttribute("aria-label", "Time line: left and right move in time, n goes to the next mark");
		entries.forEach((entry, i) => {
			entry.setAttribute("tabindex", "0");
			entry.setAttribute("role", "button");
			entry.setAttribute("aria-label", "show " + this.names[i] + " alone");
		});
	}

	rate(amount) {
		if (this.level)
			return flameText.value(amount, this.unit);
		const rate = amount * 1e9 / this.width;
		return this.unit === "nanoseconds" ? (rate / 1e9).toFixed(2) + " CPUs" : flameText.value(rate, this.unit) + "/s";
	}

	/* " (2.10 MiB to 2.40 MiB)": where the true value is, if it is not known exactly. */
	band(series, step) {
		const [low, high] = (this.bands[series] || [])[step] || [0, 0];
		return high > low ? " (" + this.rate(low) + " to " + this.rate(high) + ")" : "";
	}

	/* "+1.20 s", and the time of day where it is known. */
	when(step) {
		const passed = "+" + flameText.value(step * this.width, "nanoseconds");
		return this.start ? new Date((this.start + step * this.width) / 1e6).toISOString().slice(11, 23) + " UTC (" + passed + ")" : passed;
	}

	tell() {
		const {step, status, figures, values, words, cursor, marks, width} = this;
		figures.forEach((figure, i) => {
			figure.textContent = step < 0 ? words[i] : this.rate(values[i][step]) + this.band(i, step);
		});
		cursor.style.display = step < 0 ? "none" : "";
		if (step < 0) {
			status.textContent = this.about;
			return;
		}
		const sum = values.reduce((all, row) => all + row[step], 0);
		const here = marks.filter(([at]) => Math.min(Math.floor(at / width), this.steps - 1) === step).map(([, text]) => text);
		status.textContent = [this.when(step), "all " + this.rate(sum), ...here].join(" \u00b7 ");
		cursor.setAttribute("d", "M" + (LEFT + PLOT_WIDTH * (step + 0.5) / this.steps) + " " + TOP + "v" + PLOT_HEIGHT);
	}

	move(step) {
		this.step = step < 0 ? -1 : Math.min(step, this.steps - 1);
		this.tell();
	}

	/* A series on the ground, by the same scale; -1: all of them again. */
	show(series) {
		this.alone = series === this.alone ? -1 : series;
		const {alone, steps} = this, tall = PLOT_HEIGHT * 10;
		const most = this.scale();
		this.areas.forEach((area, i) => {
			area.style.display = alone < 0 || alone === i ? "" : "none";
			let shape = this.shapes[i];
			if (alone === i) {
				shape = "M0 " + tall;
				this.values[i].forEach((value, step) => {
					shape += "V" + Math.round(tall * (1 - value / most)) + "H" + Math.round(PLOT_WIDTH * 10 * (step + 1) / steps);
				});
				shape += "V" + tall + "z";
			}
			area.setAttribute("d", shape);
		});
		this.entries.forEach((entry, i) => entry.setAttribute("aria-pressed", String(i === alone)));
	}

	/* What the top of the plot stands for. */
	scale() {
		return Number(this.plot.dataset.most);
	}

	nextMark(direction) {
		const {marks, width, steps, step} = this;
		const list = [...new Set(marks.map(([at]) => Math.min(Math.floor(at / width), steps - 1)))].sort((a, b) => a - b);
		if (!list.length)
			return;
		this.move(direction > 0 ? list.find((at) => at > step) ?? list[0] : list.findLast((at) => at < step) ?? list[list.length - 1]);
	}

	onKey(event) {
		const {step, steps} = this, far = Math.max(1, Math.round(steps / 20));
		const moves = {ArrowLeft: Math.max(0, step - 1), ArrowRight: step + 1, PageUp: Math.max(0, step - far),
			       PageDown: step + far, Home: 0, End: steps - 1, Escape: -1};
		if (event.ctrlKey || event.metaKey || event.altKey)
			return;
		if (event.key in moves)
			this.move(moves[event.key]);
		else if (event.key === "n" || event.key === "N")
			this.nextMark(event.key === "n" ? 1 : -1);
		else
			return;
		if (event.key === "Escape" && this.alone >= 0)
			this.show(this.alone);
		event.preventDefault();
	}

	listen() {
		const {plot, root} = this, alone = document.documentElement === root;
		plot.addEventListener("mousemove", (event) => {
			const box = plot.getBoundingClientRect();
			this.move(Math.max(0, Math.floor((event.clientX - box.left) / box.width * this.steps)));
		});
		plot.addEventListener("mouseleave", () => this.move(-1));
		/* Within somebody's page the keys are the page's. */
		(alone ? window : root).addEventListener("keydown", (event) => this.onKey(event));
		this.entries.forEach((entry, i) => {
			entry.addEventListener("click", () => this.show(i));
			entry.addEventListener("keydown", (event) => {
				if (event.key !== "Enter" && event.key !== " ")
					return;
				this.show(i);
				event.preventDefault();
			});
		});
	}
}

new Timeline(document.currentScript.parentNode);
