/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What of a tree is to be seen, and where: zoom, order, cursor, search. Knows no
 * document; who draws asks boxes(), who points asks at().
 */
class FlameView {
	constructor(profile) {
		this.profile = profile;
		this.base = profile.tree; /* or a selection of it */
		this.order = "callees"; /* or "callers": the tree turned over */
		this.icicle = false; /* the root at the top */
		this.matchCase = false;
		this.term = "";
		this.setTree(profile.tree);
	}

	setTree(tree) {
		this.tree = tree;
		this.zoomed = 0;
		this.cursor = -1; /* where the keyboard is; -1: nowhere */
		this.search(this.term);
	}

	setOrder(order) {
		this.order = order;
		this.setTree(order === "callers" ? this.profile.inverted(this.base) : this.base);
	}

	/* Another selection; the zoom stays where it can. */
	setBase(tree) {
		const before = this.tree, zoomed = this.zoomed;
		this.base = tree;
		this.setOrder(this.order);
		this.zoomed = this.tree.alike(before, zoomed);
	}

	zoom(i) {
		this.zoomed = i;
		if (this.cursor >= 0 && !this.tree.contains(i, this.cursor))
			this.cursor = i;
	}

	/* Calls draw(box, left, width, faded) in pixels of a picture that is `pixels` wide,
	 * parents first. What would fall on the same half pixel as its left neighbour is
	 * not drawn, nor what is above it. */
	boxes(pixels, draw) {
		const {tree, zoomed} = this, {total, begin, end, depth} = tree;
		const scale = pixels / total[zoomed], edge = new Int32Array(tree.height + 1).fill(-1);
		for (const i of tree.path(zoomed).reverse()) {
			if (i !== zoomed)
				draw(i, 0, pixels, true);
		}
		for (let i = zoomed; i < end[zoomed];) {
			const left = (begin[i] - begin[zoomed]) * scale, width = total[i] * scale;
			const right = Math.round((left + width) * 2);
			if (width < 0.5 && right <= edge[depth[i]]) {
				i = end[i];
				continue;
			}
			edge[depth[i]] = right;
			draw(i, left, Math.max(width, 0.5), false);
			i++;
		}
	}

	/* Left edge and width of a box in pixels; null: out of sight. */
	place(i, pixels) {
		const {tree, zoomed} = this, scale = pixels / tree.total[zoomed];
		if (tree.contains(i, zoomed))
			return {left: 0, width: pixels};
		if (!tree.contains(zoomed, i))
			return null;
		return {left: (tree.begin[i] - tree.begin[zoomed]) * scale, width: tree.total[i] * scale};
	}

	/* The box at this depth and share (0 to 1) of the width; -1: none. */
	at(depth, share) {
		const {tree, zoomed} = this, value = tree.begin[zoomed] + share * tree.total[zoomed];
		if (depth < 0 || depth > tree.height || share < 0 || share > 1)
			return -1;
		if (depth < tree.depth[zoomed])
			return tree.path(zoomed)[tree.depth[zoomed] - depth];
		let i = zoomed;
		while (i >= 0 && tree.depth[i] < depth) {
			let child = i + 1;
			while (child < tree.end[i] && value >= tree.begin[child] + tree.total[child])
				child = tree.end[child];
			i = child < tree.end[i] && value >= tree.begin[child] ? child : -1;
		}
		return i;
	}

	/* Where the keyboard goes from the cursor; `least`: narrowest value it stops at. */
	walk(step, least) {
		const {tree, zoomed} = this, {depth, end, total} = tree, i = this.cursor;
		if (i < 0)
			return zoomed;
		if (step === "parent")
			return Math.max(tree.parent[i], 0);
		if (step === "child") {
			let widest = i;
			for (let child = i + 1; child < end[i]; child = end[child]) {
				if (widest === i || total[child] > total[widest])
					widest = child;
			}
			return widest;
		}
		if (step === "right") {
			for (let k = end[i]; k < end[zoomed]; k++) {
				if (depth[k] === depth[i] && total[k] >= least)
					return k;
			}
		} else {
			for (let k = i - 1; k >= zoomed; k--) {
				if (depth[k] === depth[i] && total[k] >= least)
					return k;
			}
		}
		return i;
	}

	/* A regular expression over names only. False: it is none, nothing is changed. */
	search(term) {
		let pattern = null;
		if (term) {
			pattern = FlameView.pattern(term, this.matchCase);
			if (!pattern)
				return false;
		}
		this.term = term;
		this.hits = pattern ? Uint8Array.from(this.profile.names, (name) => pattern.test(name)) : null;
		this.tellMatches();
		return true;
	}

	static pattern(term, matchCase) {
		for (const unicode of ["u", ""]) {
			try {
				return new RegExp(term, unicode + (matchCase ? "" : "i"));
			} catch (error) {
				/* What "u" forbids is often allowed without it. */
			}
		}
		return null;
	}

	isHit(i) {
		return this.hits !== null && this.hits[this.tree.label[i]] === 1 && i > 0;
	}

	/* Value of the boxes from `from` to its end that match: the outermost ones, as
	 * those within them are part of it. */
	matched(from, values = this.tree.total) {
		const {end} = this.tree;
		let sum = 0;
		for (let i = from; i < end[from];) {
			if (this.isHit(i)) {
				sum += values[i];
				i = end[i];
			} else {
				i++;
			}
		}
		return sum;
	}

	tellMatches() {
		this.matches = [];
		for (let i = 0; this.hits && i < this.tree.count; i++) {
			if (this.isHit(i))
				this.matches.push(i);
		}
	}

	/* The next match (1) or the one before (-1), within the zoom if there is any. */
	nextMatch(direction) {
		const inView = this.matches.filter((i) => this.tree.contains(this.zoomed, i));
		const list = inView.length ? inView : this.matches;
		if (!list.length)
			return -1;
		const from = this.cursor;
		if (direction > 0)
			return list.find((i) => i > from) ?? list[0];
		return list.findLast((i) => i < from) ?? list[list.length - 1];
	}
}
