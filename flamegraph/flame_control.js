/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader does, and what comes of it: mouse, keys, buttons, the address. The
 * stage draws (svg_stage.js, html_stage.js):
 *
 *	ui	  the elements of flame_bar.js
 *	area	  takes the focus and the mouse; holds `item`, the cursor's element
 *	keys	  where keys are listened to
 *	linked	  whether the view is kept in the address
 *	draw(view)	  everything anew
 *	mark(view)	  only what a search found
 *	point(view, i)	  box under the mouse (-1: none) and cursor
 *	locate(event, view)  [depth, share of the width] of a point
 *	tell(event, lines)   tooltip; null lines: none
 *	reveal(view, i)	  scrolls to a box
 *	changed(view)	  after each change; may be missing, as may
 *	saveState(state), loadState(state, view)  more that the address keeps; loading may
 *			  choose the view's tree
 */
class FlameControl {
	constructor(profile, stage) {
		this.profile = profile;
		this.stage = stage;
		this.ui = stage.ui;
		this.view = new FlameView(profile);
		this.hovered = -1;
		this.listen();
		this.restore();
	}

	/* --- What a box is ---------------------------------------------------- */

	figures(i) {
		return this.view.tree.changes ? this.changed(i) : this.amounts(i);
	}

	/* "before 1.20 s · after 1.50 s · +300 ms (+25.0 %)", and of the box itself. */
	changed(i) {
		const {view, profile} = this, {tree} = view, {changes} = tree;
		const text = flameText.change(changes.allBefore[i], changes.allAfter[i], profile.unit);
		if (view.order === "callers" && i) {
			const path = tree.path(i), below = path[path.length - 2];
			return "self " + text + (below === i ? "" : " of " + profile.names[tree.label[below]]);
		}
		const self = changes.after[i] - changes.before[i];
		return text + " \u00b7 self " + flameText.signed(self, profile.unit);
	}

	amounts(i) {
		const {profile, view} = this, {tree} = view, {unit} = profile, total = tree.total[0];
		const amount = (value) => flameText.value(value, unit) + " (" + flameText.percent(value, total) + ")";
		let text;
		if (view.order === "callers" && i) {
			const path = tree.path(i), below = path[path.length - 2];
			text = "self " + amount(tree.total[i]) +
				(below === i ? "" : " of " + profile.names[tree.label[below]]);
		} else {
			text = "total " + amount(tree.total[i]) + " \u00b7 self " + amount(tree.self[i]);
			if (tree.thin[i])
				text += " \u00b7 " + amount(tree.thin[i]) + " too thin to draw";
		}
		if (view.zoomed && i !== view.zoomed && tree.contains(view.zoomed, i))
			text += " \u00b7 " + flameText.percent(tree.total[i], tree.total[view.zoomed]) + " of view";
		return text;
	}

	facts(i) {
		const {profile} = this, label = this.view.tree.label[i];
		const place = [profile.places[label], profile.sources[label]].filter(Boolean).join(" \u00b7 ");
		return [profile.names[label], place, this.figures(i)];
	}

	/* The status line: the box under the mouse, else the cursor, else the zoomed one. */
	tell() {
		const {ui, view} = this, i = this.hovered >= 0 ? this.hovered : view.cursor >= 0 ? view.cursor : view.zoomed;
		const [name, place, figures] = this.facts(i);
		ui.name.textContent = name.length > 400 ? name.slice(0, 400) + "\u2026" : name;
		ui.place.textContent = place;
		ui.figures.textContent = figures;
	}

	/* --- Changes ---------------------------------------------------------- */

	/* `same`: but for what is marked, all is where it was. */
	update(same = false) {
		const {ui, view} = this;
		ui.reset.hidden = view.zoomed === 0;
		for (const [button, on] of [[ui.case, view.matchCase], [ui.icicle, view.icicle],
					    [ui.callers, view.order === "callers"]])
			button.setAttribute("aria-pressed", on);
		if (same)
			this.stage.mark(view);
		else
			this.stage.draw(view);
		this.point();
		this.tellMatches();
		this.tellWay();
		if (this.stage.changed)
			this.stage.changed(view);
	}

	point() {
		const {view, stage} = this, i = view.cursor;
		stage.point(view, this.hovered);
		if (i >= 0) {
			const {tree} = view, parent = tree.parent[i];
			let size = 0, place = 0;
			for (let k = parent < 0 ? 0 : parent + 1; k < (parent < 0 ? 1 : tree.end[parent]); k = tree.end[k]) {
				size++;
				place += k <= i;
			}
			const facts = {"aria-label": this.facts(i).join(", "), "aria-level": tree.depth[i] + 1,
				       "aria-setsize": size, "aria-posinset": place};
			for (const [name, value] of Object.entries(facts))
				stage.item.setAttribute(name, value);
			stage.area.setAttribute("aria-activedescendant", stage.item.id);
		} else {
			stage.area.removeAttribute("aria-activedescendant");
		}
		this.tell();
	}

	tellMatches() {
		const {ui, view} = this, {matches, tree} = view;
		let text = "";
		if (view.term) {
			const at = matches.indexOf(view.cursor);
			text = !matches.length ? "no match" : "matched " +
				flameText.percent(view.matched(view.zoomed), tree.total[view.zoomed]) + " of view, " +
				flameText.percent(view.matched(0), tree.total[0]) + " of all" +
				this.matchedChange() +
				(at >= 0 ? " \u00b7 " + flameText.count(at + 1) + " of " + flameText.count(matches.length) : "");
		}
		ui.matches.textContent = text;
		for (const button of [ui.clear, ui.previous, ui.next])
			button.hidden = !view.term;
	}

	/* Of a difference: what the matches in view are in either profile. */
	matchedChange() {
		const {view, profile} = this, {changes} = view.tree;
		if (!changes)
			return "";
		return " \u00b7 " + flameText.change(view.matched(view.zoomed, changes.allBefore),
						 view.matched(view.zoomed, changes.allAfter), profile.unit);
	}

	/* The breadcrumb; what lies between is left out of a long way. */
	tellWay() {
		const {ui, view, profile} = this;
		ui.crumbs.textContent = "";
		if (!view.zoomed) {
			ui.crumbs.textContent = "click: zoom \u00b7 arrows: walk \u00b7 /: search \u00b7 ?: all keys";
			return;
		}
		const way = view.tree.path(view.zoomed).reverse();
		const shown = way.length > 12 ? [...way.slice(0, 3), -1, ...way.slice(-8)] : way;
		shown.forEach((i, place) => {
			if (place)
				flameBar.make("span", "", ui.crumbs, "\u203a");
			if (i < 0) {
				flameBar.make("span", "", ui.crumbs, "\u2026 " + (way.length - 11) + " more");
				return;
			}
			const name = profile.names[view.tree.label[i]], crumb = flameBar.make("button", "", ui.crumbs, flameText.fit(name, 40));
			crumb.title = name.slice(0, 1000);
			if (i === view.zoomed)
				crumb.setAttribute("aria-current", "true");
			crumb.addEventListener("click", () => this.zoom(i));
		});
	}

	zoom(i) {
		this.view.zoom(i);
		this.update();
		this.remember(true);
	}

	setOrder(order) {
		this.hovered = -1;
		this.view.setOrder(order);
		this.update();
		this.remember(true);
	}

	setIcicle(on) {
		this.hovered = -1;
		this.view.icicle = on;
		this.update();
		this.remember(false);
	}

	setCase(on) {
		this.view.matchCase = on;
		this.search(this.ui.input.value);
	}

	search(term) {
		const good = this.view.search(term);
		this.ui.input.classList.toggle("bad", !good);
		if (good) {
			this.update(true);
			this.remember(false);
		} else {
			this.ui.matches.textContent = "not a regular expression";
		}
	}

	moveTo(i) {
		const {view, stage} = this;
		if (i < 0)
			return;
		if (!view.tree.contains(view.zoomed, i) && !view.tree.contains(i, view.zoomed)) {
			view.zoom(0);
			view.cursor = i;
			this.update();
			this.remember(false);
		}
		view.cursor = i;
		this.hovered = -1;
		stage.tell(null, null);
		stage.reveal(view, i);
		this.point();
		this.tellMatches();
	}

	endSearch() {
		this.ui.input.value = "";
		this.search("");
		this.stage.area.focus({preventScroll: true});
	}

	/* --- The address ------------------------------------------------------ */

	/* The box's number and its name, which must agree: a link goes with its file. */
	state() {
		const {view, profile} = this, state = new URLSearchParams();
		if (view.order !== "callees")
			state.set("order", view.order);
		if (view.icicle)
			state.set("icicle", "1");
		if (view.zoomed) {
			state.set("zoom", view.zoomed);
			state.set("frame", profile.names[view.tree.label[view.zoomed]].slice(0, 80));
		}
		if (view.term)
			state.set("search", view.term);
		if (view.matchCase)
			state.set("case", "1");
		if (this.stage.saveState)
			this.stage.saveState(state);
		return state.toString();
	}

	/* `step`: the browser's way back leads to the view before. */
	remember(step) {
		const hash = "#" + this.state();
		if (!this.stage.linked || hash === (location.hash || "#"))
			return;
		try {
			history[step ? "pushState" : "replaceState"](null, "", hash);
		} catch (error) {
			/* Some browsers allow a file: document no history of its own. */
		}
	}

	restore() {
		const {view, ui, profile} = this;
		const state = new URLSearchParams(this.stage.linked ? location.hash.slice(1) : "");
		view.matchCase = state.get("case") === "1";
		view.icicle = state.get("icicle") === "1";
		view.term = "";
		if (this.stage.loadState)
			this.stage.loadState(state, view);
		view.setOrder(state.get("order") === "callers" ? "callers" : "callees");
		const zoom = Number(state.get("zoom") || 0), frame = state.get("frame") || "";
		if (zoom > 0 && zoom < view.tree.count && profile.names[view.tree.label[zoom]].slice(0, 80) === frame)
			view.zoom(zoom);
		ui.input.value = state.get("search") || "";
		view.search(ui.input.value);
		this.hovered = -1;
		this.update();
	}

	/* --- Mouse, buttons, keys --------------------------------------------- */

	listen() {
		const {ui, stage} = this, {area} = stage;
		const under = (event) => this.view.at(...stage.locate(event, this.view));
		area.addEventListener("click", (event) => {
			const i = under(event);
			if (i >= 0 && !String(window.getSelection()))
				this.zoom(i);
		});
		area.addEventListener("mousemove", (event) => this.hover(event, under(event)));
		area.addEventListener("mouseleave", (event) => this.hover(event, -1));
		ui.reset.addEventListener("click", () => this.zoom(0));
		ui.clear.addEventListener("click", () => this.endSearch());
		ui.next.addEventListener("click", () => this.moveTo(this.view.nextMatch(1)));
		ui.previous.addEventListener("click", () => this.moveTo(this.view.nextMatch(-1)));
		ui.case.addEventListener("click", () => this.setCase(!this.view.matchCase));
		ui.icicle.addEventListener("click", () => this.setIcicle(!this.view.icicle));
		ui.callers.addEventListener("click", () => this.setOrder(this.view.order === "callers" ? "callees" : "callers"));
		ui.help.addEventListener("click", () => this.showKeys(ui.keys.hidden));
		ui.keys.addEventListener("click", () => this.showKeys(false));
		ui.input.addEventListener("input", () => this.search(ui.input.value));
		ui.input.addEventListener("keydown", (event) => this.onInputKey(event));
		stage.keys.addEventListener("keydown", (event) => this.onKey(event));
		if (stage.linked)
			window.addEventListener("popstate", () => this.restore());
	}

	hover(event, i) {
		if (i !== this.hovered) {
			this.hovered = i;
			this.stage.point(this.view, i);
			this.tell();
		}
		this.stage.tell(event, i < 0 ? null : this.facts(i));
	}

	showKeys(on) {
		this.ui.keys.hidden = !on;
	}

	onInputKey(event) {
		if (event.key === "Enter") {
			this.moveTo(this.view.nextMatch(event.shiftKey ? -1 : 1));
			event.preventDefault();
		}
	}

	escape() {
		if (!this.ui.keys.hidden)
			this.showKeys(false);
		else if (this.view.term || this.ui.input.value || document.activeElement === this.ui.input)
			this.endSearch();
		else if (this.view.zoomed)
			this.zoom(0);
		else if (this.view.cursor >= 0) {
			this.view.cursor = -1;
			this.point();
		}
	}

	walk(key) {
		const {view} = this, upwards = view.icicle ? "parent" : "child";
		const steps = {ArrowLeft: "left", ArrowRight: "right", ArrowUp: upwards,
			       ArrowDown: upwards === "child" ? "parent" : "child"};
		const least = view.tree.total[view.zoomed] / this.stage.width();
		this.moveTo(view.walk(steps[key], least));
	}

	/* True: the key was ours. */
	act(key) {
		const {view, ui} = this;
		if (key.startsWith("Arrow"))
			this.walk(key);
		else if (key === "Enter" && view.cursor >= 0)
			this.zoom(view.cursor);
		else if (key === "n" || key === "N")
			this.moveTo(view.nextMatch(key === "n" ? 1 : -1));
		else if (key === "i")
			this.setIcicle(!view.icicle);
		else if (key === "v")
			this.setOrder(view.order === "callers" ? "callees" : "callers");
		else if (key === "c")
			this.setCase(!view.matchCase);
		else if (key === "0" || key === "Home")
			this.zoom(0);
		else if (key === "?")
			this.showKeys(ui.keys.hidden);
		else
			return false;
		return true;
	}

	onKey(event) {
		const {ui} = this, focus = document.activeElement;
		const typing = focus && /^(input|select|textarea)$/i.test(focus.localName);
		const control = event.ctrlKey || event.metaKey;
		if ((event.key === "/" && !typing) ||
		    (event.key === "f" && control && !event.altKey && !event.shiftKey)) {
			ui.input.focus();
			ui.input.select();
		} else if (event.key === "Escape") {
			this.escape();
		} else if (typing || control || event.altKey ||
			   (focus && /^(button|a)$/i.test(focus.localName) && event.key === "Enter") ||
			   !this.act(event.key)) {
			return;
		}
		event.preventDefault();
	}
}
