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
		this.places.push(note && note !== place ? (place ? place + " (" + note + ")" : note) : place);
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
			tree.turned = invert(this, tree);
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

function invert(profile, tree) {
	let thinLabel = profile.kinds.indexOf("t");
	if (thinLabel < 0 && tree.thin.some((value) => value > 0)) {
		thinLabel = profile.names.length;
		profile.addLabel("[too thin]", profile.colours[0], 0, "t", "-");
	}
	const labels = profile.names.length, index = new Map();
	const node = {label: [0], parent: [-1], self: [0]};
	const child = (parent, label) => {
		const key = parent * labels + label;
		let found = index.get(key);
		if (found === undefined) {
			index.set(key, found = node.label.length);
			node.label.push(label);
			node.parent.push(parent);
			node.self.push(0);
		}
		return found;
	};
	const climb = (at, i, value) => {
		for (; i > 0; i = tree.parent[i])
			at = child(at, tree.label[i]);
		node.self[at] += value;
	};
	for (let i = 0; i < tree.count; i++) {
		if (tree.self[i] > 0)
			climb(0, i, tree.self[i]);
		if (tree.thin[i] > 0)
			climb(child(0, thinLabel), i, tree.thin[i]);
	}
	return inPreorder(node, profile.ranks());
}

/* Nodes that know their parents, as a tree with its siblings sorted by rank. */
function inPreorder(node, ranks) {
	const count = node.label.length, children = Array.from({length: count}, () => []);
	for (let i = 1; i < count; i++)
		children[node.parent[i]].push(i);
	const tree = new FlameTree(count), place = new Int32Array(count), open = [0];
	for (let at = 0; open.length; at++) {
		const i = open.pop();
		place[i] = at;
		tree.label[at] = node.label[i];
		tree.self[at] = node.self[i];
		tree.parent[at] = i ? place[node.parent[i]] : -1;
		tree.depth[at] = i ? tree.depth[tree.parent[at]] + 1 : 0;
		children[i].sort((a, b) => ranks[node.label[b]] - ranks[node.label[a]]);
		for (const below of children[i])
			open.push(below);
	}
	return tree.finish();
}
