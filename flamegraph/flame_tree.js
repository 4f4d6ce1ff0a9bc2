/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The picture's text (picture.h) as labels and a tree, and that tree turned over.
 *
 * A tree's boxes lie in preorder in arrays: label, parent (-1: the root's), depth,
 * end (index behind the last descendant), self, thin (value of children that were
 * left out), total, begin (value to the left of it). Box 0 is the root.
 */
const KINDS = {r: "", u: "", k: "kernel", i: "inlined", j: "JIT", p: "interpreted",
	       s: "a reason, not a function", c: "thread", t: "too thin to draw"};

class FlameTree {
	constructor(count) {
		this.count = count;
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
 * where its stacks have been followed to (`at`, box 0 is the end) and what they count
 * for (`value`). */
class Turning {
	constructor(profile, tree) {
		this.tree = tree;
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
		return {label, parent: -1, total: 0, at: [], value: []};
	}

	add(part, at, value) {
		part.total += value;
		part.at.push(at);
		part.value.push(value);
	}

	/* Everything, by what it ended in: [parts, what ended nowhere]. */
	begin() {
		const {tree, thinLabel} = this, whole = this.part(0), thin = this.part(thinLabel);
		for (let i = 0; i < tree.count; i++) {
			if (tree.self[i] > 0)
				this.add(whole, i, tree.self[i]);
			if (tree.thin[i] > 0)
				this.add(thin, i, tree.thin[i]);
		}
		const [parts, ended] = this.split(whole);
		return [thin.total ? [...parts, thin] : parts, ended];
	}

	/* [the parts of a part, what of it came from nowhere]. */
	split(whole) {
		const {tree, slots} = this, parts = [];
		let ended = 0;
		for (let k = 0; k < whole.at.length; k++) {
			const box = whole.at[k], label = tree.label[box];
			if (box === 0) {
				ended += whole.value[k];
				continue;
			}
			if (slots[label] < 0) {
				slots[label] = parts.length;
				parts.push(this.part(label));
			}
			this.add(parts[slots[label]], tree.parent[box], whole.value[k]);
		}
		for (const part of parts)
			slots[part.label] = -1;
		return [parts, ended];
	}

	turned() {
		const rows = {label: [], parent: [], depth: [], self: [], thin: []}, open = [];
		const emit = (label, parent, [parts, ended]) => {
			const at = rows.label.length;
			let thin = 0;
			for (const part of parts.sort((a, b) => this.ranks[b.label] - this.ranks[a.label])) {
				part.parent = at;
				if (part.total >= this.least)
					open.push(part);
				else
					thin += part.total;
			}
			rows.label.push(label);
			rows.parent.push(parent);
			rows.depth.push(parent < 0 ? 0 : rows.depth[parent] + 1);
			rows.self.push(ended);
			rows.thin.push(thin);
		};
		emit(0, -1, this.begin());
		while (open.length) {
			const part = open.pop();
			emit(part.label, part.parent, this.split(part));
		}
		const tree = new FlameTree(rows.label.length);
		for (const [name, values] of Object.entries(rows))
			tree[name].set(values);
		return tree.finish();
	}
}
