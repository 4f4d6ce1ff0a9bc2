/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of functions of a tree, and of one of them who called it and whom it
 * called. A recursive function counts once a stack: what lies within a box of its
 * own name is part of that.
 */
class FunctionTable {
	/* choose(label), show(name): somebody wants a function looked at, or searched for. */
	constructor(into, profile, choose, show) {
		this.profile = profile;
		this.choose = choose;
		this.show = show;
		this.sort = "self";
		this.falling = true;
		this.chosen = -1;
		this.most = STEP_ROWS;
		this.build(into);
	}

	build(into) {
		const make = flameBar.make, left = make("section", "functions", into);
		make("h2", "", left, "Functions");
		this.note = make("p", "functions-note", left);
		const table = make("table", "", left), head = make("tr", "", make("thead", "", table));
		this.heads = {};
		for (const [key, text] of [["self", "Self"], ["total", "Total"], ["name", "Function"], ["place", "Module"]]) {
			const button = make("button", "", make("th", "", head), text);
			button.parentNode.scope = "col";
			button.addEventListener("click", () => this.setSort(key));
			this.heads[key] = button;
		}
		this.body = make("tbody", "", table);
		this.more = make("button", "more", left, "More rows");
		this.more.addEventListener("click", () => {
			this.most += 10 * STEP_ROWS;
			this.fill();
		});
		this.sandwich = make("section", "sandwich", into);
	}

	setSort(key) {
		this.falling = key === this.sort ? !this.falling : key === "self" || key === "total";
		this.sort = key;
		this.fill();
	}

	/* A row a label that the tree has. */
	setTree(tree) {
		if (tree === this.tree)
			return;
		const labels = this.profile.names.length, inside = new Int32Array(labels);
		this.tree = tree;
		this.thin = tree.thin.reduce((sum, value) => sum + value, 0);
		this.self = new Float64Array(labels);
		this.total = new Float64Array(labels);
		for (let i = 1; i < tree.count; i++) {
			const label = tree.label[i];
			this.self[label] += tree.self[i];
			if (i >= inside[label]) {
				this.total[label] += tree.total[i];
				inside[label] = tree.end[i];
			}
		}
	}

	setHits(hits) {
		this.hits = hits;
	}

	rows() {
		const {profile, sort} = this, sign = this.falling ? -1 : 1, rows = [];
		for (let label = 1; label < this.total.length; label++) {
			if (this.total[label] > 0 && profile.kinds[label] !== "c" && (!this.hits || this.hits[label]))
				rows.push(label);
		}
		const value = {self: this.self, total: this.total, name: profile.names, place: profile.places}[sort];
		const compare = (a, b) => value[a] < value[b] ? -1 : value[a] > value[b] ? 1 : 0;
		return rows.sort((a, b) => sign * compare(a, b) || this.total[b] - this.total[a] || a - b);
	}

	amount(cell, value) {
		const whole = this.tree.total[0];
		cell.className = "figure";
		cell.textContent = flameText.value(value, this.profile.unit) + " \u00b7 " + flameText.percent(value, whole);
		cell.style.setProperty("--share", (whole ? 100 * value / whole : 0) + "%");
	}

	row(body, label, values) {
		const make = flameBar.make, row = make("tr", "", body), {profile} = this;
		for (const value of values)
			this.amount(make("td", "", row), value);
		const button = make("button", "", make("td", "", row), flameText.fit(profile.names[label], 200));
		button.title = profile.names[label].slice(0, 1000) + (profile.sources[label] ? "\n" + profile.sources[label] : "");
		button.addEventListener("click", () => this.choose(label));
		make("td", "", row, flameText.fit(profile.places[label], 60));
		if (label === this.chosen)
			row.setAttribute("aria-current", "true");
	}

	fill() {
		const rows = this.rows(), shown = rows.slice(0, this.most);
		for (const [key, button] of Object.entries(this.heads))
			button.parentNode.setAttribute("aria-sort", key !== this.sort ? "none" : this.falling ? "descending" : "ascending");
		this.body.textContent = "";
		for (const label of shown)
			this.row(this.body, label, [this.self[label], this.total[label]]);
		this.more.hidden = shown.length === rows.length;
		this.note.textContent = flameText.count(rows.length) + (rows.length === 1 ? " function" : " functions") +
			(this.hits ? " that match" : "") + (shown.length < rows.length ? ", the first " + flameText.count(shown.length) + " shown" : "") +
			(this.thin ? "; without the " + flameText.percent(this.thin, this.tree.total[0]) + " of all that is in boxes too thin to be kept" : "");
		this.fillSandwich();
	}

	/* By label, what the chosen one was called from, and what it called; each counted
	 * where it is outermost. Label 0 is the root's. */
	neighbours() {
		const {tree, chosen} = this, callers = new Map(), callees = new Map(), inside = [new Map(), new Map()];
		const add = (sums, within, key, i) => {
			if (i < (within.get(key) || 0))
				return;
			sums.set(key, (sums.get(key) || 0) + tree.total[i]);
			within.set(key, tree.end[i]);
		};
		for (let i = 1; i < tree.count; i++) {
			const parent = tree.parent[i];
			if (tree.label[i] === chosen)
				add(callers, inside[0], tree.label[parent], i);
			if (parent > 0 && tree.label[parent] === chosen)
				add(callees, inside[1], tree.label[i], i);
		}
		const sorted = (sums) => [...sums].sort((a, b) => b[1] - a[1]).slice(0, STEP_ROWS);
		return [sorted(callers), sorted(callees)];
	}

	fillSandwich() {
		const make = flameBar.make, {sandwich, profile, chosen} = this;
		sandwich.textContent = "";
		make("h2", "", sandwich, "Callers and callees");
		if (chosen < 0) {
			make("p", "", sandwich, "Choose a function in the table to see who calls it and whom it calls.");
			return;
		}
		const [callers, callees] = this.neighbours();
		this.fillSide("callers-of", "Called by", callers);
		const middle = make("div", "chosen", sandwich), name = profile.names[chosen];
		make("b", "", middle, name.slice(0, 1000));
		make("span", "", middle, [profile.places[chosen], profile.sources[chosen]].filter(Boolean).join(" \u00b7 "));
		const figures = make("span", "", middle, "total " + flameText.value(this.total[chosen], profile.unit) + " (" +
			flameText.percent(this.total[chosen], this.tree.total[0]) + ") \u00b7 self " +
			flameText.value(this.self[chosen], profile.unit) + " (" + flameText.percent(this.self[chosen], this.tree.total[0]) + ")");
		figures.className = "figures";
		make("button", "show", middle, "Find in the graph").addEventListener("click", () => this.show(name));
		this.fillSide("callees-of", "Calls", callees);
	}

	fillSide(id, title, sums) {
		const make = flameBar.make, side = make("div", id, this.sandwich);
		make("h3", "", side, title);
		const body = make("tbody", "", make("table", "", side));
		for (const [label, value] of sums)
			this.row(body, label, [value]);
		if (!sums.length)
			make("p", "", side, "nothing");
	}

	csv() {
		const quote = (text) => "\"" + text.replace(/"/g, "\"\"") + "\"";
		const lines = this.rows().map((label) => [quote(this.profile.names[label]), quote(this.profile.places[label]),
							  this.self[label], this.total[label]].join());
		return ["function,module,self,total", ...lines].join("\n") + "\n";
	}
}
