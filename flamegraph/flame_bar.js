/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bar, the tooltip and the list of keys: HTML elements with ids, no behaviour.
 * What foreign bytes say is only ever written as textContent.
 */
const flameBar = (() => {
	const HTML = "http://www.w3.org/1999/xhtml";
	const KEYS = [
		["click, Enter", "zoom to the box"], ["arrows", "walk the boxes"],
		["/ or Ctrl-F", "search names, by regular expression"], ["n, N", "next match, the one before"],
		["c", "upper and lower case differ, or not"], ["i", "icicle: the root at the top"],
		["v", "callers: the tree turned over"], ["0", "reset the zoom"],
		["Esc", "close, end the search, then the zoom"], ["?", "these keys"],
	];

	function make(tag, id, into, text, title) {
		const made = document.createElementNS(HTML, tag);
		if (id)
			made.id = id;
		if (text)
			made.textContent = text;
		if (title) {
			made.title = title;
			made.setAttribute("aria-label", title);
		}
		into.appendChild(made);
		return made;
	}

	function toggle(id, into, text, title) {
		const button = make("button", id, into, text, title);
		button.setAttribute("aria-pressed", "false");
		return button;
	}

	function bar(into) {
		const bar = make("div", "bar", into), ui = {bar};
		const about = make("div", "about", bar), tools = make("div", "tools", bar);
		ui.name = make("span", "name", about);
		ui.place = make("span", "place", about);
		ui.figures = make("span", "figures", about);
		ui.input = make("input", "search", tools, "", "Search names by regular expression");
		ui.input.type = "text";
		ui.input.placeholder = "Search (regex)";
		ui.input.spellcheck = false;
		ui.case = toggle("case", tools, "Aa", "Upper and lower case differ");
		ui.previous = make("button", "previous", tools, "\u2039", "Match before");
		ui.next = make("button", "next", tools, "\u203a", "Next match");
		ui.clear = make("button", "clear", tools, "Clear", "End the search");
		ui.matches = make("span", "matches", tools);
		ui.matches.setAttribute("role", "status");
		const view = make("span", "view", tools);
		ui.reset = make("button", "reset", view, "Reset zoom");
		ui.icicle = toggle("icicle", view, "Icicle", "The root at the top");
		ui.callers = toggle("callers", view, "Callers", "Turn the tree over: what ran at the root, who called it above");
		ui.help = make("button", "help", view, "?", "Keys");
		ui.crumbs = make("div", "crumbs", bar);
		ui.crumbs.setAttribute("role", "navigation");
		ui.crumbs.setAttribute("aria-label", "Way from the root to the zoomed box");
		return ui;
	}

	function keys(into) {
		const panel = make("div", "keys", into), table = make("table", "", panel);
		panel.setAttribute("role", "dialog");
		panel.setAttribute("aria-label", "Keys");
		for (const [key, what] of KEYS) {
			const row = make("tr", "", table);
			make("th", "", row, key);
			make("td", "", row, what);
		}
		return panel;
	}

	function tip(into) {
		const frame = make("div", "tip-frame", into), tip = make("div", "tip", frame);
		tip.setAttribute("role", "tooltip");
		return {frame, name: make("b", "", tip), place: make("div", "", tip), figures: make("div", "", tip)};
	}

	return {make, bar, keys, tip};
})();
