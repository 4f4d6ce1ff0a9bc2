/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Draws a view on a canvas; cursor and hovered box are elements above it, so that
 * pointing never draws anew.
 */
class HtmlStage {
	constructor(into, colours) {
		this.colours = colours;
		this.linked = true;
		this.keys = window;
		const make = flameBar.make;
		this.scroller = make("div", "scroller", into);
		this.area = make("div", "frames", this.scroller);
		this.canvas = make("canvas", "", this.area);
		this.under = make("div", "under", this.area);
		this.item = make("div", "cursor", this.area);
		this.item.setAttribute("role", "treeitem");
		this.area.setAttribute("tabindex", "0");
		this.area.setAttribute("role", "tree");
		this.area.setAttribute("aria-label", "Flame graph: arrows walk, Enter zooms, ? lists the keys");
		this.ui = flameBar.bar(document.body);
		this.tip = flameBar.tip(document.body);
		this.ui.keys = flameBar.keys(document.body);
		this.ui.keys.hidden = true;
		this.tip.frame.hidden = true;
	}

	width() {
		return this.area.clientWidth || 1176;
	}

	row(view, depth) {
		return (view.icicle ? depth : view.tree.height - depth) * ROW;
	}

	draw(view) {
		const pixels = this.drawnWidth = this.width(), tall = (view.tree.height + 1) * ROW;
		/* Browsers have a limit to a canvas' size: rather blurred than nothing. */
		const scale = Math.min(window.devicePixelRatio || 1, 16000 / tall, 16000 / pixels);
		const {canvas, colours} = this, {tree} = view, {names} = view.profile;
		const pen = canvas.getContext("2d");
		canvas.width = Math.round(pixels * scale);
		canvas.height = Math.round(tall * scale);
		canvas.style.height = this.area.style.height = tall + "px";
		pen.scale(scale, scale);
		pen.font = FONT;
		view.boxes(pixels, (i, left, width, faded) => {
			const label = tree.label[i], y = this.row(view, tree.depth[i]);
			const hit = view.isHit(i);
			pen.globalAlpha = hit ? (faded ? 0.6 : 1) : view.hits ? 0.35 : faded ? 0.4 : 1;
			pen.fillStyle = hit ? colours.hit : colours.boxes[view.profile.colours[label]];
			pen.fillRect(left, y, width > 3 ? width - 0.7 : width, ROW - 1);
			if (width <= 7 + 3 * CELL)
				return;
			const text = flameText.fit(names[label], Math.floor((width - 7) / CELL));
			pen.globalAlpha = 1;
			pen.fillStyle = (faded || view.hits) && !hit ? colours.faint : colours.label;
			if (text)
				pen.fillText(text, left + 4, y + 12);
		});
		pen.globalAlpha = 1;
		if (!this.begun && !view.icicle)
			this.scroller.scrollTop = tall; /* the root is at the bottom */
		this.begun = true;
	}

	mark(view) {
		this.draw(view);
	}

	outline(element, view, i) {
		const place = i < 0 ? null : view.place(i, this.drawnWidth);
		element.hidden = !place;
		if (!place)
			return;
		element.style.left = place.left + "px";
		element.style.width = Math.max(place.width, 1) + "px";
		element.style.top = this.row(view, view.tree.depth[i]) + "px";
	}

	point(view, i) {
		this.outline(this.under, view, i);
		this.outline(this.item, view, view.cursor);
	}

	locate(event, view) {
		const area = this.area.getBoundingClientRect(), row = Math.floor((event.clientY - area.top) / ROW);
		return [view.icicle ? row : view.tree.height - row, (event.clientX - area.left) / area.width];
	}

	tell(event, lines) {
		const {frame} = this.tip;
		frame.hidden = !lines;
		if (!lines)
			return;
		this.tip.name.textContent = lines[0].length > 600 ? lines[0].slice(0, 600) + "\u2026" : lines[0];
		this.tip.place.textContent = lines[1];
		this.tip.figures.textContent = lines[2];
		const right = event.clientX > window.innerWidth / 2, above = event.clientY > 190;
		frame.className = (right ? "right" : "left") + (above ? " above" : " below");
		const wide = Math.min(520, window.innerWidth);
		const left = event.clientX + (right ? -wide - 10 : 10);
		frame.style.left = Math.min(Math.max(0, left), window.innerWidth - wide) + "px";
		frame.style.top = event.clientY + (above ? -178 : 16) + "px";
	}

	reveal(view, i) {
		const top = this.row(view, view.tree.depth[i]), {scroller} = this;
		if (top < scroller.scrollTop)
			scroller.scrollTop = top - scroller.clientHeight / 3;
		else if (top + ROW > scroller.scrollTop + scroller.clientHeight)
			scroller.scrollTop = top + ROW - scroller.clientHeight * 2 / 3;
	}
}

/* The style sheet's colours, as the canvas needs them; anew when the scheme changes. */
function readColours() {
	const probe = document.body.appendChild(document.createElement("i"));
	const of = (name) => {
		probe.className = name;
		return getComputedStyle(probe).fill;
	};
	const boxes = [];
	for (const rule of document.styleSheets[0].cssRules) {
		const match = rule.selectorText && rule.selectorText.match(/^\.c(\d+)$/);
		if (match)
			boxes[match[1]] = of("c" + match[1]);
	}
	const colours = {boxes, label: of("label"), faint: of("faint"), hit: of("match"), bar: of("time"), ink: of("ink"), alarm: of("alarm")};
	probe.remove();
	return colours;
}
