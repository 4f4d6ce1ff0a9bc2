/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Draws a view in the SVG's own elements: a path for all boxes of one colour, a text
 * for each label, so that a picture of ten thousand boxes stays a small document.
 * Nothing is measured but the width of the picture; labels are fitted by counting
 * characters of a fixed-width font.
 */
class SvgStage {
	constructor(root, profile) {
		this.root = root;
		this.profile = profile;
		this.alone = this.linked = document.documentElement === root;
		this.area = root.querySelector("#frames");
		this.boxes = root.querySelector("#boxes");
		this.labels = root.querySelector("#labels");
		this.foot = root.querySelector("#foot");
		/* Within somebody's page the keys are the page's. */
		this.keys = this.alone ? window : root;
		this.head = parseFloat(this.area.getAttribute("y"));
		this.footTop = this.head + parseFloat(this.area.getAttribute("height"));
		this.footHeight = parseFloat(root.getAttribute("height")) - this.footTop;
		this.build();
		root.removeAttribute("viewBox");
		root.setAttribute("width", "100%");
	}

	make(tag, into, attributes) {
		const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
		for (const [name, value] of Object.entries(attributes))
			made.setAttribute(name, value);
		into.appendChild(made);
		return made;
	}

	build() {
		const {root, area} = this;
		this.under = this.make("rect", area, {id: "under", height: 16});
		this.item = this.make("rect", area, {id: "cursor", height: 16, role: "treeitem"});
		area.setAttribute("tabindex", "0");
		area.setAttribute("role", "tree");
		area.setAttribute("aria-label", "Flame graph of " + root.querySelector("title").textContent +
				  ": arrows walk, Enter zooms, ? lists the keys");
		this.barHolder = this.make("foreignObject", root, {width: "100%", height: BAR});
		this.tipHolder = this.make("foreignObject", root, {width: TIP_WIDTH, height: TIP_HEIGHT, id: "tip-holder"});
		this.keysHolder = this.make("foreignObject", root, {width: 360, height: 260, x: 10});
		this.ui = flameBar.bar(this.barHolder);
		this.tip = flameBar.tip(this.tipHolder);
		this.ui.keys = flameBar.keys(this.keysHolder);
		this.ui.keys.hidden = true;
		this.tipHolder.style.display = "none";
	}

	/* Not by getBoundingClientRect(): in a window that was made narrower, that has what
	 * was drawn for the wider one in it. */
	width() {
		return this.area.width.baseVal.value || 1176;
	}

	/* The frames' left and top in the window. */
	origin() {
		const page = this.root.getBoundingClientRect();
		return [page.left + this.area.x.baseVal.value, page.top + this.head];
	}

	row(view, depth) {
		return (view.icicle ? depth : view.tree.height - depth) * ROW;
	}

	draw(view) {
		const pixels = this.drawnWidth = this.width(), paths = new Map(), texts = [];
		const {tree} = view, {colours, names} = this.profile;
		this.drawn = {box: [], left: [], width: [], faded: [], labelled: []};
		this.settle(view);
		view.boxes(pixels, (i, left, width, faded) => {
			const label = tree.label[i], y = this.row(view, tree.depth[i]), {drawn} = this;
			/* Tenths of a pixel: integers are written faster. */
			const x = Math.round(left * 10), w = Math.round(width * 10) || 1;
			const colour = tree.colours ? tree.colours[i] : colours[label];
			const key = colour * 4 + (width < 3 ? 2 : 0) + (faded ? 1 : 0);
			let parts = paths.get(key);
			if (!parts)
				paths.set(key, parts = []);
			parts.push("M" + x + " " + y + "h" + w + "v16h-" + w + "z");
			if (width > 7 + 3 * CELL) {
				const text = flameText.fit(names[label], Math.floor((width - 7) / CELL));
				if (text) {
					texts.push([text, x / 10 + 4, y + 12, faded]);
					drawn.labelled.push(i);
				}
			}
			drawn.box.push(i);
			drawn.left.push(x);
			drawn.width.push(w);
			drawn.faded.push(faded);
		});
		this.boxes.setAttribute("viewBox", "0 0 " + pixels * 10 + " " + (view.tree.height + 1) * ROW);
		/* What is new or gone in a difference has frames: above the others. */
		const order = tree.colours ? [...paths].sort((a, b) => a[0] - b[0]) : [...paths];
		this.drawPaths(order.map(([key, parts]) =>
			["c" + (key >> 2) + (key & 2 ? " n" : "") + (key & 1 ? " up" : ""), parts.join("")]));
		this.drawLabels(texts);
		this.mark(view);
	}

	/* [class, shape] each, above those before. */
	drawPaths(paths) {
		const have = this.boxes.children;
		paths.forEach(([kind, shape], at) => {
			const path = have[at] || this.make("path", this.boxes, {});
			path.setAttribute("class", kind);
			path.setAttribute("d", shape);
		});
		while (have.length > paths.length)
			have[have.length - 1].remove();
	}

	drawLabels(texts) {
		const have = this.labels.children;
		texts.forEach(([text, x, y, faded], at) => {
			const label = have[at] || this.make("text", this.labels, {});
			if (label.textContent !== text)
				label.textContent = text;
			label.setAttribute("x", x);
			label.setAttribute("y", y);
			label.removeAttribute("dx");
			label.setAttribute("class", faded ? "up" : "");
		});
		while (have.length > texts.length)
			have[have.length - 1].remove();
	}

	/* What a search found: drawn once more, above the boxes, which stay as they are. */
	mark(view) {
		const {drawn, boxes, labels} = this, found = ["", ""];
		for (const old of boxes.querySelectorAll(".hit"))
			old.remove();
		for (const group of [boxes, labels])
			group.classList.toggle("searching", view.hits !== null);
		for (let at = 0; view.hits && at < drawn.box.length; at++) {
			const i = drawn.box[at], w = drawn.width[at];
			if (view.isHit(i))
				found[drawn.faded[at] ? 1 : 0] += "M" + drawn.left[at] + " " + this.row(view, view.tree.depth[i]) + "h" + w + "v16h-" + w + "z";
		}
		found.forEach((shape, faded) => {
			if (shape)
				this.make("path", boxes, {class: faded ? "hit up" : "hit", d: shape});
		});
		drawn.labelled.forEach((i, at) => labels.children[at].classList.toggle("hit", view.isHit(i)));
	}

	outline(element, view, i) {
		const place = i < 0 ? null : view.place(i, this.drawnWidth);
		element.style.display = place ? "" : "none";
		if (!place)
			return;
		element.setAttribute("x", place.left);
		element.setAttribute("width", Math.max(place.width, 1));
		element.setAttribute("y", this.row(view, view.tree.depth[i]));
	}

	point(view, i) {
		this.outline(this.under, view, i);
		this.outline(this.item, view, view.cursor);
	}

	locate(event, view) {
		const [left, top] = this.origin(), row = Math.floor((event.clientY - top) / ROW);
		return [view.icicle ? row : view.tree.height - row, (event.clientX - left) / this.width()];
	}

	/* On the side of the mouse where there is room. */
	tell(event, lines) {
		this.tipHolder.style.display = lines ? "" : "none";
		if (!lines)
			return;
		const page = this.root.getBoundingClientRect(), {frame} = this.tip;
		const wide = Math.min(TIP_WIDTH, page.width), right = event.clientX > page.width / 2;
		const above = event.clientY > TIP_HEIGHT + 20;
		this.tip.name.textContent = lines[0].length > 600 ? lines[0].slice(0, 600) + "\u2026" : lines[0];
		this.tip.place.textContent = lines[1];
		this.tip.figures.textContent = lines[2];
		frame.className = (right ? "right" : "left") + (above ? " above" : " below");
		this.tipHolder.setAttribute("width", wide);
		this.tipHolder.setAttribute("x", Math.min(Math.max(0, event.clientX - page.left + (right ? -wide - 10 : 10)), page.width - wide));
		this.tipHolder.setAttribute("y", event.clientY - page.top + (above ? -TIP_HEIGHT - 8 : 16));
	}

	reveal(view, i) {
		const top = this.origin()[1] + this.row(view, view.tree.depth[i]);
		const room = window.innerHeight - BAR;
		if (top < 0)
			window.scrollBy(0, top - room / 3);
		else if (top + ROW > room)
			window.scrollBy(0, top + ROW - room * 2 / 3);
	}

	/* Fluid: the tree's height decides the page's, the bar keeps to the bottom. */
	settle(view) {
		const tall = (view.tree.height + 1) * ROW, page = this.head + tall + this.footHeight + BAR;
		this.area.setAttribute("height", tall);
		this.boxes.setAttribute("height", tall);
		this.foot.setAttribute("transform", "translate(0 " + (this.head + tall - this.footTop) + ")");
		this.root.setAttribute("height", Math.max(page, this.alone ? window.innerHeight : 0));
		this.pageHeight = page;
		this.follow();
	}

	follow() {
		const bottom = this.alone ? Math.max(BAR, window.scrollY + window.innerHeight) : this.pageHeight;
		this.barHolder.setAttribute("y", bottom - BAR);
		this.keysHolder.setAttribute("y", Math.max(0, bottom - BAR - 270));
	}
}
