/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What makes the picture answer: zoom, search, status line. The picture is whole
 * without it. Boxes come in preorder (a parent before its children), their x and
 * width in percent of #frames. Only attributes are written; one text is measured.
 */
(() => {
	"use strict";
	const SVG = "http://www.w3.org/2000/svg", HTML = "http://www.w3.org/1999/xhtml";
	const root = document.currentScript.parentNode;
	const alone = document.documentElement === root;
	const area = root.querySelector("#frames");
	const boxes = Array.from(area.querySelectorAll("g"));
	const count = boxes.length, BAR = 58;
	const left = new Float64Array(count), width = new Float64Array(count);
	const parent = new Int32Array(count), end = new Int32Array(count);
	const rects = new Array(count), labels = new Array(count), names = new Array(count);
	const drawn = new Array(count).fill(null); /* text shown in each label */
	const shown = new Uint8Array(count).fill(1), hits = new Uint8Array(count);
	const pictureHeight = parseFloat(root.getAttribute("height"));
	let zoomed = 0, term = "", cell = 6.65, hovered = -1, fitted = 0;

	function read() {
		const open = [];
		let lastY = Infinity;
		boxes.forEach((box, i) => {
			const rect = rects[i] = box.querySelector("rect");
			const y = parseFloat(rect.getAttribute("y"));
			left[i] = parseFloat(rect.getAttribute("x"));
			width[i] = parseFloat(rect.getAttribute("width"));
			labels[i] = box.querySelector("text");
			/* Lower on the page is nearer to the root. */
			while (open.length && y >= lastY) {
				end[open.pop()] = i;
				lastY = open.length ? parseFloat(rects[open[open.length - 1]].getAttribute("y")) : Infinity;
			}
			parent[i] = open.length ? open[open.length - 1] : -1;
			open.push(i);
			lastY = y;
			box.flameIndex = i;
		});
		while (open.length)
			end[open.pop()] = count;
	}

	/* Name, place and figures: the lines of the tooltip. */
	function facts(i) {
		return boxes[i].querySelector("title").textContent.split("\n");
	}

	function name(i) {
		if (names[i] === undefined)
			names[i] = facts(i)[0];
		return names[i];
	}

	/* As text_put_xml_fit() does it: characters, not bytes; wide ones take two cells. */
	function fit(text, cells) {
		if (text.length <= cells && !/[^\u0000-\u10ff]/.test(text))
			return text;
		let used = 0, cut = "", kept = 0;
		for (const c of text) {
			used += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(c) ? 2 : 1;
			if (used > cells)
				return kept >= 3 ? cut + ".." : "";
			if (used + 2 <= cells) {
				cut += c;
				kept++;
			}
		}
		return text;
	}

	function label(i, x, wide, pixels) {
		const room = wide / 100 * pixels, text = fit(name(i), Math.floor((room - 7) / cell));
		if (text && !labels[i]) {
			labels[i] = document.createElementNS(SVG, "text");
			labels[i].setAttribute("dx", "4");
			labels[i].setAttribute("y", parseFloat(rects[i].getAttribute("y")) + 12);
			boxes[i].appendChild(labels[i]);
		}
		if (!labels[i])
			return;
		if (drawn[i] !== text)
			labels[i].textContent = drawn[i] = text;
		if (text)
			labels[i].setAttribute("x", x + "%");
	}

	function place(i, x, wide, pixels) {
		rects[i].setAttribute("x", x + "%");
		rects[i].setAttribute("width", wide + "%");
		boxes[i].classList.toggle("n", wide / 100 * pixels < 3);
		if (wide / 100 * pixels > 7 + cell || labels[i])
			label(i, x, wide, pixels);
	}

	function pixelsOfArea() {
		return area.getBoundingClientRect().width || 1200;
	}

	function layout() {
		const pixels = fitted = pixelsOfArea();
		const scale = 100 / width[zoomed], up = new Set();
		for (let i = parent[zoomed]; i >= 0; i = parent[i])
			up.add(i);
		for (let i = 0; i < count; i++) {
			const above = up.has(i), visible = above || (i >= zoomed && i < end[zoomed]);
			if (visible !== !!shown[i]) {
				boxes[i].style.display = visible ? "" : "none";
				shown[i] = visible;
			}
			boxes[i].classList.toggle("up", above);
			if (above)
				place(i, 0, 100, pixels);
			else if (visible)
				place(i, +((left[i] - left[zoomed]) * scale).toFixed(4),
				      +(width[i] * scale).toFixed(4), pixels);
		}
	}

	/* Share of the boxes in [from, end[from]) that match, in percent of the box
	 * `from`: the outermost match counts, those within it are part of it. */
	function matched(from) {
		let sum = 0;
		for (let i = from; i < end[from];) {
			if (hits[i]) {
				sum += width[i];
				i = end[i];
			} else {
				i++;
			}
		}
		return sum / width[from] * 100;
	}

	function percent(value) {
		return !value ? "0 %" : value < 0.01 ? "< 0.01 %" : value.toFixed(value < 9.995 ? 2 : 1) + " %";
	}

	function tellMatches(text) {
		ui.matches.textContent = text;
		ui.clear.hidden = !term;
	}

	function search(text) {
		const known = new Map();
		let pattern = null, found = 0;
		term = text;
		ui.input.classList.remove("bad");
		try {
			/* Capitals in the pattern ask for them in the name. */
			pattern = term ? new RegExp(term, /[A-Z]/.test(term.replace(/\\./g, "")) ? "u" : "iu") : null;
		} catch (error) {
			try {
				pattern = new RegExp(term, "i");
			} catch (again) {
				ui.input.classList.add("bad");
				tellMatches("not a regular expression");
				return;
			}
		}
		for (let i = 0; i < count; i++) {
			let hit = false;
			if (pattern) {
				hit = known.get(name(i));
				if (hit === undefined)
					known.set(name(i), hit = pattern.test(name(i)));
			}
			found += hit;
			if (hit !== !!hits[i]) {
				hits[i] = hit;
				boxes[i].classList.toggle("hit", hit);
			}
		}
		area.classList.toggle("searching", !!pattern);
		if (!pattern)
			tellMatches("");
		else if (!found)
			tellMatches("no match");
		else
			tellMatches("matched " + percent(matched(zoomed)) + " of view, " + percent(matched(0)) + " of all");
	}

	function zoom(i) {
		zoomed = i;
		ui.reset.hidden = i === 0;
		layout();
		if (term)
			search(term);
		tell(hovered);
	}

	function tell(i) {
		hovered = i;
		if (i < 0)
			i = zoomed;
		const lines = facts(i), inView = i >= zoomed && i < end[zoomed];
		ui.name.textContent = lines[0];
		ui.place.textContent = lines.length > 2 ? lines[1] : "";
		ui.figures.textContent = lines[lines.length - 1] +
			(zoomed && inView && i !== zoomed ? " \u00b7 " + percent(width[i] / width[zoomed] * 100) + " of view" : "");
	}

	const ui = {};

	function make(tag, id, into, text) {
		const made = document.createElementNS(HTML, tag);
		made.id = id;
		if (text)
			made.textContent = text;
		into.appendChild(made);
		return made;
	}

	function build() {
		const holder = ui.holder = document.createElementNS(SVG, "foreignObject");
		holder.setAttribute("width", "100%");
		holder.setAttribute("height", BAR);
		const bar = make("div", "bar", holder), about = make("div", "about", bar), tools = make("div", "tools", bar);
		ui.name = make("span", "name", about);
		ui.place = make("span", "place", about);
		ui.figures = make("span", "figures", about);
		ui.input = make("input", "search", tools);
		ui.input.type = "text";
		ui.input.placeholder = "Search functions (regex)";
		ui.input.setAttribute("aria-label", "Search functions by regular expression");
		ui.input.spellcheck = false;
		ui.clear = make("button", "clear", tools, "Clear");
		ui.matches = make("span", "matches", tools);
		ui.matches.setAttribute("aria-live", "polite");
		ui.reset = make("button", "reset", tools, "Reset zoom");
		ui.hints = make("span", "hints", tools, "click: zoom \u00b7 /: search \u00b7 Esc: back");
		ui.clear.hidden = ui.reset.hidden = true;
		root.appendChild(holder);
	}

	/* Fluid from here on; the bar keeps to the bottom of the window. */
	function settle() {
		const view = alone ? window.innerHeight : 0;
		root.removeAttribute("viewBox");
		root.setAttribute("width", "100%");
		root.setAttribute("height", Math.max(pictureHeight + BAR, view));
		follow();
		if (pixelsOfArea() !== fitted)
			layout();
	}

	function follow() {
		ui.holder.setAttribute("y", alone ? Math.max(0, window.scrollY + window.innerHeight - BAR) : pictureHeight);
	}

	function measure() {
		const probe = document.createElementNS(SVG, "text");
		probe.textContent = "0".repeat(50);
		area.appendChild(probe);
		cell = probe.getComputedTextLength() / 50 || cell;
		area.removeChild(probe);
	}

	function indexOf(target) {
		const box = target.closest ? target.closest("#frames g") : null;
		return box ? box.flameIndex : -1;
	}

	function clearSearch() {
		ui.input.value = "";
		search("");
		ui.input.blur();
	}

	function onKey(event) {
		if ((event.key === "/" && document.activeElement !== ui.input) ||
		    (event.key === "f" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey)) {
			ui.input.focus();
			ui.input.select();
		} else if (event.key === "Escape") {
			if (term || document.activeElement === ui.input)
				clearSearch();
			else
				zoom(0);
		} else {
			return;
		}
		event.preventDefault();
	}

	function listen() {
		area.addEventListener("click", (event) => {
			const i = indexOf(event.target);
			if (i >= 0 && !String(window.getSelection()))
				zoom(i);
		});
		area.addEventListener("mouseover", (event) => tell(indexOf(event.target)));
		area.addEventListener("mouseleave", () => tell(-1));
		ui.reset.addEventListener("click", () => zoom(0));
		ui.clear.addEventListener("click", clearSearch);
		ui.input.addEventListener("input", () => search(ui.input.value));
		ui.input.addEventListener("keydown", (event) => {
			if (event.key === "Enter")
				search(ui.input.value);
		});
		/* Within somebody's page the keys are the page's. */
		(alone ? window : root).addEventListener("keydown", onKey);
		window.addEventListener("scroll", follow, {passive: true});
		window.addEventListener("resize", settle);
		/* The width may settle later than the event: the observer has the last word. */
		new ResizeObserver(() => {
			if (pixelsOfArea() !== fitted)
				layout();
		}).observe(root);
	}

	read();
	build();
	measure();
	listen();
	settle();
	tell(-1);
	if (alone)
		window.scrollTo(0, root.getBoundingClientRect().height);
})();
