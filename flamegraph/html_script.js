/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Puts the report together: the parts know nothing of one another.
 */
const ROW = 17; /* px from one level to the next */
const CELL = 6.65; /* px a character of the labels, at most */
const FONT = "11px ui-monospace, Menlo, Consolas, \"DejaVu Sans Mono\", monospace";
const STEP_ROWS = 100; /* of a table that are shown at first */

const main = document.querySelector("main");
const colours = readColours();
const profile = new FlameProfile(document.getElementById("flame").textContent);
const times = FlameTimes.read(document.getElementById("times").textContent, profile.tree.count);
const timePanel = new TimePanel(main, times, colours, (range) => selectTime(range));
timePanel.unit = profile.unit;
const downloads = flameBar.make("nav", "downloads", main);
const stage = new HtmlStage(main, colours);
const lower = flameBar.make("div", "lower", main);
const table = new FunctionTable(lower, profile, (label) => choose(label), (name) => find(name));

function treeOf(range) {
	return range ? profile.select(...times.between(...range)) : profile.tree;
}

function selectTime(range) {
	control.view.setBase(treeOf(range));
	control.update();
	control.remember(true);
}

function choose(label) {
	table.chosen = label;
	table.fill();
	control.remember(true);
}

function find(name) {
	const pattern = "^" + name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&") + "$";
	control.ui.input.value = pattern;
	control.search(pattern);
	control.moveTo(control.view.nextMatch(1));
	stage.scroller.scrollIntoView({block: "nearest"});
}

stage.changed = (view) => {
	timePanel.matched = times && view.hits ? times.matched(profile.tree, (i) => view.hits[profile.tree.label[i]]) : null;
	timePanel.draw();
	table.setTree(view.base);
	table.setHits(view.hits);
	table.fill();
};

stage.saveState = (state) => {
	if (timePanel.range)
		state.set("time", timePanel.range.join("-"));
	if (table.chosen > 0)
		state.set("function", table.chosen);
};

stage.loadState = (state, view) => {
	const match = (state.get("time") || "").match(/^(\d+)-(\d+)$/), chosen = Number(state.get("function") || -1);
	const range = match && times && Number(match[1]) < Number(match[2]) && Number(match[2]) <= times.count ? [Number(match[1]), Number(match[2])] : null;
	timePanel.set(range);
	view.base = treeOf(range);
	table.chosen = chosen > 0 && chosen < profile.names.length ? chosen : -1;
};

/* --- Downloads -------------------------------------------------------------- */

function save(name, blob) {
	const link = document.createElement("a");
	link.href = URL.createObjectURL(blob);
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/* As format_folded.c writes it, of what is selected. */
function folded() {
	const {base} = control.view, suffix = {k: "_[k]", i: "_[i]", j: "_[j]"}, lines = new Map();
	const name = (i) => profile.names[base.label[i]].replace(/;/g, ":") + (suffix[profile.kinds[base.label[i]]] || "");
	const ways = [""];
	const add = (way, value) => lines.set(way, (lines.get(way) || 0) + value);
	for (let i = 1; i < base.count; i++) {
		const above = ways[base.depth[i] - 1];
		const way = ways[base.depth[i]] = (above ? above + ";" : "") + name(i);
		if (base.self[i])
			add(way, base.self[i]);
		if (base.thin[i])
			add(way + ";[too thin]", base.thin[i]);
	}
	return [...lines].sort((a, b) => a[0] < b[0] ? -1 : 1).map(([way, value]) => way + " " + value + "\n").join("");
}

const fileName = document.title.replace(/[^\w.-]+/g, "_").slice(0, 60) || "profile";
for (const [id, text, act] of [
	["save-folded", "Folded stacks", () => save(fileName + ".folded", new Blob([folded()]))],
	["save-csv", "Table (CSV)", () => save(fileName + ".csv", new Blob([table.csv()]))],
	["save-png", "Picture (PNG)", () => stage.canvas.toBlob((blob) => save(fileName + ".png", blob))],
])
	flameBar.make("button", id, downloads, "\u2913 " + text).addEventListener("click", act);

const control = new FlameControl(profile, stage);

function repaint() {
	Object.assign(colours, readColours());
	stage.draw(control.view);
	control.point();
	timePanel.draw();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
new ResizeObserver(() => {
	if (stage.width() !== stage.drawnWidth)
		repaint();
}).observe(stage.area);
