/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The picture's text (picture.h) as labels and a tree, and that tree turned over.
 *
 * A tree's boxes lie in preorder in arrays: label, parent (-1: the root's), depth,
 * end (index behind the last descendant), self, thin (value of children that were
 * left out), total, begin (value to the left of it). Box 0 is the root.
 *
 * A tree of a difference has `changes` too: what a box is in either profile, itself
 * (before, after), in children that were left out (thinBefore, thinAfter) and with all
 * below it (allBefore, allAfter), on the common scale; and `colours` by box.
 */
const KINDS = {r: "", u: "", k: "kernel", i: "inlined", j: "JIT", p: "interpreted",
	       s: "a reason, not a function", c: "thread", t: "too thin to draw"};

const CHANGES = ["before", "after", "thinBefore", "thinAfter", "allBefore", "allAfter"];

class FlameTree {
	constructor(count, changed) {
		this.count = count;
		this.changes = changed ? Object.fromEntries(CHANGES.map((name) => [name, new Float64Array(count)])) : null;
		for (const name of ["label", "parent", "depth", "end"])
			this[name] = new Int32Array(count);
		for (const name of ["self", "thin", "total", "begin"])
			this[name] = new Float64Array(count);
		this.height = 0;
	}

	/* Sums and places, once label, parent, depth, self and thin are there. */
	finish() {
		const {count, parent, total, end, begin, depth} = this;
		for (let i = count - 1; i >= 0; i--) {
			total[i] += this.self[i] + this.thin[i];
			end[i] = Math.max(end[i], i + 1);
			if (i) {
				total[parent[i]] += total[i];
				end[parent[i]] = Math.max(end[parent[i]], end[i]);
			}
			if (depth[i] > this.height)
				this.height = depth[i];
		}
		const next = new Float64Array(this.height + 2);
		for (let i = 0; i < count; i++) {
			begin[i] = next[depth[i]];
			next[depth[i]] += total[i];
			next[depth[i] + 1] = begin[i];
		}
		return this;
	}

	/* Totals and colours of a difference; `first`: of the changes' colours. */
	finishChanges(first) {
		const {count, parent, changes} = this, {allBefore, allAfter} = changes;
		this.colours = new Uint16Array(count);
		for (let i = count - 1; i >= 0; i--) {
			allBefore[i] += changes.before[i] + changes.thinBefore[i];
			allAfter[i] += changes.after[i] + changes.thinAfter[i];
			this.colours[i] = first + changeStep(allBefore[i], allAfter[i]);
			if (i) {
				allBefore[parent[i]] += allBefore[i];
				allAfter[parent[i]] += allAfter[i];
			}
		}
	}

	/* From the box up to the root, both included. */
	path(i) {
		const path = [];
		for (; i >= 0; i = this.parent[i])
			path.push(i);
		return path;
	}

	/* The box that is called the same way as box i of another tree; 0: none is. */
	alike(other, i) {
		let at = 0;
		for (const box of other.path(i).reverse().slice(1)) {
			let child = at + 1;
			while (child < this.end[at] && this.label[child] !== other.label[box])
				child = this.end[child];
			if (child >= this.end[at])
				return 0;
			at = child;
		}
		return at;
	}

	contains(outer, i) {
		return i >= outer && i < this.end[outer];
	}
}

class FlameProfile {
	/* Throws what is wrong with a text that is none. */
	constructor(text) {
		this.lines = text.replace(/^\n/, "").split("\n");
		this.at = 0;
		if (this.line("flame") !== "1")
			throw new Error("the picture's text is of another version");
		this.unit = this.line("unit");
		this.valueName = this.line("value");
		this.modules = ["", ...this.several("modules")];
		this.readLabels(this.several("labels"));
		const count = Number(this.line("boxes"));
		this.tree = this.readTree(count, this.lines[this.at++].split(" "));
		if ((this.lines[this.at] || "").startsWith("changes "))
			this.readChanges(this.line("changes").split(" ").map(Number), this.lines[this.at].split(" "));
	}

	line(word) {
		const line = this.lines[this.at++];
		if (line === undefined || !line.startsWith(word + " "))
			throw new Error("no " + word + " in line " + this.at + " of the picture's text");
		return line.slice(word.length + 1);
	}

	several(word) {
		const count = Number(this.line(word));
		this.at += count;
		return this.lines.slice(this.at - count, this.at);
	}

	readLabels(lines) {
		this.names = [];
		this.colours = [];
		this.kinds = [];
		this.places = []; /* "libc.so.6", "kernel", "thread" */
		this.sources = []; /* "file.c:12", or "" */
		this.moduleOf = [];
		for (const line of lines) {
			const [head, colour, module, kind, source] = line.match(/^(\d+) (\d+) (\S) (\S+) /);
			this.addLabel(line.slice(head.length), Number(colour), Number(module), kind, source);
		}
	}

	addLabel(name, colour, module, kind, source) {
		const place = this.modules[module], note = KINDS[kind];
		this.names.push(name);
		this.colours.push(colour);
		this.kinds.push(kind);
		this.moduleOf.push(module);
		this.places.push(note && note !== place && "[" + note + "]" !== place ? (place ? place + " (" + note + ")" : note) : place);
		this.sources.push(source === "-" ? "" : readSource(source));
	}

	readTree(count, tokens) {
		const tree = new FlameTree(count);
		for (let i = 0, last = -1; i < count; last = i++) {
			const [up, label, self, thin] = tokens[i].split(",");
			for (let n = Number(up); n > 0; n--)
				last = tree.parent[last];
			tree.parent[i] = last;
			tree.depth[i] = last < 0 ? 0 : tree.depth[last] + 1;
			tree.label[i] = Number(label);
			tree.self[i] = Number(self || 0);
			tree.thin[i] = Number(thin || 0);
		}
		return tree.finish();
	}

	/* The widths are made anew: as they are written, they are no more than shares. */
	readChanges([colour, factor, wideBefore, wideAfter], tokens) {
		const {tree} = this, read = new FlameTree(tree.count, true), {changes} = read;
		this.firstChange = colour;
		for (const name of ["label", "parent", "depth"])
			read[name] = tree[name];
		for (let i = 0; i < tree.count; i++) {
			const [before, after, thinBefore, thinAfter] = tokens[i].split(",").map(Number);
			changes.before[i] = before * factor;
			changes.after[i] = after;
			changes.thinBefore[i] = (thinBefore || 0) * factor;
			changes.thinAfter[i] = thinAfter || 0;
			read.self[i] = wideBefore * changes.before[i] + wideAfter * after;
			read.thin[i] = wideBefore * changes.thinBefore[i] + wideAfter * changes.thinAfter[i];
		}
		read.finishChanges(colour);
		this.tree = read.finish();
	}

	/* Place of each label when sorted by name, module, kind: the order of siblings. */
	ranks() {
		const order = this.names.map((_, i) => i), ranks = new Int32Array(order.length);
		const {names, modules, moduleOf, kinds} = this;
		const compare = (a, b) => a < b ? -1 : a > b ? 1 : 0;
		order.sort((a, b) => compare(names[a], names[b]) || compare(modules[moduleOf[a]], modules[moduleOf[b]]) ||
			compare(kinds[a], kinds[b]));
		order.forEach((label, place) => ranks[label] = place);
		return ranks;
	}

	/* A tree of this profile turned over: below the root what ran itself, above each
	 * who called it. What was left out as too thin has a box of its own. */
	inverted(tree) {
		if (!tree.turned)
			tree.turned = new Turning(this, tree).turned();
		return tree.turned;
	}

	/* The tree with other figures, by box; boxes that have none are left out. */
	select(self, thin) {
		const {tree} = this, {count, parent} = tree, total = new Float64Array(count);
		for (let i = count - 1; i >= 0; i--) {
			total[i] += self[i] + thin[i];
			if (i)
				total[parent[i]] += total[i];
		}
		const place = new Int32Array(count);
		let kept = 0;
		for (let i = 0; i < count; i++)
			place[i] = i === 0 || total[i] > 0 ? kept++ : -1;
		const selected = new FlameTree(kept);
		for (let i = 0; i < count; i++) {
			const at = place[i];
			if (at < 0)
				continue;
			selected.label[at] = tree.label[i];
			selected.parent[at] = i ? place[parent[i]] : -1;
			selected.depth[at] = tree.depth[i];
			selected.self[at] = self[i];
			selected.thin[at] = thin[i];
		}
		return selected.finish();
	}
}

/* Which of the changes' colours: the rule of palette_change_of() (palette.c). */
function changeStep(before, after) {
	const LESS = 0, ALIKE = 4, MORE = 5, GONE = 9, NEW = 10;
	const larger = Math.max(before, after), delta = Math.abs(after - before);
	if (!(larger > 0))
		return ALIKE;
	if (!(before > 0) || !(after > 0))
		return before > 0 ? GONE : NEW;
	const step = Math.min(4, Math.ceil(4 * delta / larger));
	return delta < 1 || !step ? ALIKE : (after > before ? MORE : LESS) + step - 1;
}

/* FIRST:LAST:FILE as "file:first" or "file:first-last". */
function readSource(text) {
	const [, first, last, file] = text.match(/^(\d+):(\d+):(.*)$/);
	const name = file.replace(/%20/g, " ").replace(/%25/g, "%");
	return name + (first === "0" ? "" : ":" + first + (last === first ? "" : "-" + last));
}

/* Of larger trees, what is turned over is left out below so small a part of all: a
 * hundred thousand boxes would else become millions. */
const TURNED_WHOLE = 20000, TURNED_LEAST = 1 / 20000;

/* The stacks are split by what they ended in, those with the same end by its caller,
 * and so on, each part on its own; parents come out before their children. A part is
 * where its stacks have been followed to (`at`, box 0 is the end) and which they are
 * (`stack`: place in `values`, and in `before` and `after` of a difference). */
class Turning {
	constructor(profile, tree) {
		this.tree = tree;
		this.profile = profile;
		this.values = [];
		this.before = [];
		this.after = [];
		this.least = tree.count > TURNED_WHOLE ? tree.total[0] * TURNED_LEAST : 0;
		this.thinLabel = profile.kinds.indexOf("t");
		if (this.thinLabel < 0) {
			this.thinLabel = profile.names.length;
			profile.addLabel("[too thin]", profile.colours[0], 0, "t", "-");
		}
		this.ranks = profile.ranks();
		this.slots = new Int32Array(profile.names.length).fill(-1); /* by label: its part, while splitting */
	}

	part(label) {
		return {label, parent: -1, total: 0, at: [], stack: []};
	}

	add(part, at, stack) {
		part.total += this.values[stack];
		part.at.push(at);
		part.stack.push(stack);
	}

	/* A stack that ends at a box, or in what was left out there. */
	addEnd(part, i, value, before, after) {
		if (!(value > 0))
			return;
		this.values.push(value);
		if (this.tree.changes) {
			this.before.push(before[i]);
			this.after.push(after[i]);
		}
		this.add(part, i, this.values.length - 1);
	}

	sum(values, stacks) {
		return stacks.reduce((sum, stack) => sum + values[stack], 0);
	}

	/* Everything, by what it ended in: [parts, the stacks that ended nowhere]. */
	begin() {
		const {tree, thinLabel} = this, changes = tree.changes || {}, whole = this.part(0), thin = this.part(thinLabel);
		for (let i = 0; i < tree.count; i++) {
			this.addEnd(whole, i, tree.self[i], changes.before, changes.after);
			this.addEnd(thin, i, tree.thin[i], changes.thinBefore, changes.thinAfter);
		}
		const [parts, ended] = this.split(whole);
		return [thin.total ? [...parts, thin] : parts, ended];
	}

	/* [the parts of a part, the stacks of it that came from nowhere]. */
	split(whole) {
		const {tree, slots} = this, parts = [], ended = [];
		for (let k = 0; k < whole.at.length; k++) {
			const box = whole.at[k], label = tree.label[box];
			if (box === 0) {
				ended.push(whole.stack[k]);
				continue;
			}
			if (slots[label] < 0) {
				slots[label] = parts.length;
				parts.push(this.part(label));
			}
			this.add(parts[slots[label]], tree.parent[box], whole.stack[k]);
		}
		for (const part of parts)
			slots[part.label] = -1;
		return [parts, ended];
	}

	turned() {
		const rows = {label: [], parent: [], depth: [], self: [], thin: []}, open = [];
		const changes = {before: [], after: [], thinBefore: [], thinAfter: []};
		const {values, before, after} = this;
		const emit = (label, parent, [parts, ended]) => {
			const at = rows.label.length;
			let thin = 0, thinBefore = 0, thinAfter = 0;
			for (const part of parts.sort((a, b) => this.ranks[b.label] - this.ranks[a.label])) {
				part.parent = at;
				if (part.total >= this.least) {
					open.push(part);
					continue;
				}
				thin += part.total;
				thinBefore += this.sum(before, part.stack);
				thinAfter += this.sum(after, part.stack);
			}
			rows.label.push(label);
			rows.parent.push(parent);
			rows.depth.push(parent < 0 ? 0 : rows.depth[parent] + 1);
			rows.self.push(this.sum(values, ended));
			rows.thin.push(thin);
			changes.before.push(this.sum(before, ended));
			changes.after.push(this.sum(after, ended));
			changes.thinBefore.push(thinBefore);
			changes.thinAfter.push(thinAfter);
		};
		emit(0, -1, this.begin());
		while (open.length) {
			const part = open.pop();
			emit(part.label, part.parent, this.split(part));
		}
		const tree = new FlameTree(rows.label.length, this.tree.changes);
		for (const [name, row] of Object.entries(rows))
			tree[name].set(row);
		if (tree.changes) {
			for (const [name, row] of Object.entries(changes))
				tree.changes[name].set(row);
			tree.finishChanges(this.profile.firstChange);
		}
		return tree.finish();
	}
}
