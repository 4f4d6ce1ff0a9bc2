// SPDX-License-Identifier: GPL-2.0-or-later
// What a reader does with an SVG: svg.js FOLDER, with the pictures that
// tests/scenario/browser.py makes; screenshots go into the same folder.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const {assert, near, run} = require("./harness.js");

const folder = process.argv[2];
const file = (name) => path.join(folder, name + ".svg");

// In the page: the boxes as they are drawn, [x, y, width, classes], and the labels.
// Shapes are in tenths of a pixel.
const drawn = () => [...document.querySelectorAll("#boxes path")].flatMap((path) =>
	[...path.getAttribute("d").matchAll(/M(\d+) (\d+)h(\d+)/g)].map((m) =>
		[m[1] / 10, Number(m[2]), m[3] / 10, path.getAttribute("class")]));
const labelled = (name) => {
	const text = [...document.querySelectorAll("#labels text")].find((one) => one.textContent === name);
	return text ? {x: Number(text.getAttribute("x")) - 4, y: Number(text.getAttribute("y")) - 12,
		       left: text.getBoundingClientRect().left, top: text.getBoundingClientRect().top} : null;
};
const spilled = () => {
	const boxes = new Map([...document.querySelectorAll("#boxes path")].flatMap((path) =>
		[...path.getAttribute("d").matchAll(/M(\d+) (\d+)h(\d+)/g)].map((m) => [m[1] + "," + m[2], m[3] / 10])));
	return [...document.querySelectorAll("#labels text")].filter((text) => {
		const key = Math.round((text.getAttribute("x") - 4) * 10) + "," + (text.getAttribute("y") - 12);
		return !(text.getComputedTextLength() + 4 <= boxes.get(key));
	}).map((text) => text.textContent);
};

async function click(reader, name) {
	const at = await reader.js(labelled, name);
	assert.ok(at, `no label ${name}`);
	await reader.page.mouse.click(at.left + 3, at.top + 6);
}

async function widthOf(reader, name) {
	const at = await reader.js(labelled, name);
	assert.ok(at, `no label ${name}`);
	return (await reader.js(drawn)).find((box) => Math.abs(box[0] - at.x) < 0.11 && box[1] === at.y)[2];
}

async function hits(reader) {
	return (await reader.js(drawn)).filter((box) => /hit/.test(box[3])).length;
}

async function hover(reader, name) {
	const at = await reader.js(labelled, name);
	await reader.page.mouse.move(at.left + 3, at.top + 6);
	return status(reader);
}

const status = (reader) => reader.text("#name");
const matches = (reader) => reader.text("#matches");

const tests = {
	"opens and fills the window": async (reader) => {
		await reader.open(file("basic"));
		assert.strictEqual(await reader.js(() => document.documentElement.hasAttribute("viewBox")), false);
		near(await reader.js(() => document.getElementById("frames").getBoundingClientRect().width), 0.98 * 1400, "width of the boxes");
		assert.strictEqual(await status(reader), "all");
		assert.ok(await reader.js(labelled, "main"), "label");
		await reader.shot("svg-light-1400");
	},
	"labels fit any window": async (reader) => {
		await reader.open(file("basic"));
		for (const width of [1400, 900, 500, 80, 2000]) {
			await reader.resize(width, 900);
			assert.deepStrictEqual(await reader.js(spilled), [], `labels wider than their boxes at ${width} px`);
			/* Boxes are stretched by their viewBox, labels are not: both must be of this width. */
			near(await reader.js(() => document.querySelector("#boxes").viewBox.baseVal.width), 9.8 * width, `what is drawn at ${width} px`, 1);
			if (width > 80)
				assert.match(await hover(reader, "redis-server"), /redis-server/, `the mouse on a label at ${width} px`);
			await reader.shot("svg-width-" + width);
		}
		assert.ok(await reader.js(labelled, "processCommand"), "label in a wide window");
	},
	"status line and tooltip follow the mouse": async (reader) => {
		await reader.open(file("basic"));
		const at = await reader.js(labelled, "tcp_recvmsg");
		await reader.page.mouse.move(at.left + 5, at.top + 5);
		const figures = "total 882 ms (19.6 %) \u00b7 self 882 ms (19.6 %)";
		assert.deepStrictEqual([await status(reader), await reader.text("#place"), await reader.text("#figures")],
				       ["tcp_recvmsg", "kernel", figures]);
		assert.strictEqual(await reader.text("#tip"), "tcp_recvmsgkernel" + figures);
		for (const x of [20, 700, 1380]) {
			await reader.page.mouse.move(x, at.top + 5);
			await reader.page.mouse.move(x, 352);
			const tip = await reader.page.locator("#tip").boundingBox();
			assert.ok(tip.x >= 0 && tip.x + tip.width <= 1400 && tip.y >= 0 && tip.y + tip.height <= 900, `the tooltip at ${x}: ${JSON.stringify(tip)}`);
		}
		await reader.page.mouse.move(5, 5);
		assert.strictEqual(await status(reader), "all");
		assert.strictEqual(await reader.page.locator("#tip").isVisible(), false);
	},
	"source lines are told": async (reader) => {
		await reader.open(file("lines"));
		const at = await reader.js(labelled, "dictFind");
		await reader.page.mouse.move(at.left + 5, at.top + 5);
		assert.strictEqual(await reader.text("#place"), "redis-server \u00b7 src/dict.c:491-512");
	},
	"zooms by click, along the breadcrumb, and back": async (reader) => {
		await reader.open(file("basic"));
		const before = await reader.js(drawn), share = await widthOf(reader, "read") / await widthOf(reader, "readQueryFromClient");
		await click(reader, "readQueryFromClient");
		near(await widthOf(reader, "readQueryFromClient"), 1372, "width of the box clicked", 0.1);
		near(await widthOf(reader, "read"), 1372 * share, "width of a child", 0.2);
		near(await widthOf(reader, "aeMain"), 1372, "width of an ancestor", 0.1);
		assert.strictEqual(await reader.js(labelled, "writeToClient"), null);
		assert.deepStrictEqual(await reader.js(spilled), []);
		assert.deepStrictEqual(await reader.page.locator("#crumbs button").allTextContents(),
				       ["all", "redis-server", "_start", "main", "aeMain", "aeProcessEvents", "readQueryFromClient"]);
		await reader.shot("svg-zoomed");
		const at = await reader.js(labelled, "call");
		await reader.page.mouse.move(at.left + 5, at.top + 5);
		assert.match(await reader.text("#figures"), / of view$/);
		await reader.page.locator("#crumbs button", {hasText: "aeMain"}).click();
		assert.ok(await reader.js(labelled, "writeToClient"), "shown again");
		await reader.page.goBack();
		assert.strictEqual(await reader.js(labelled, "writeToClient"), null);
		await reader.page.locator("#reset").click();
		assert.deepStrictEqual(await reader.js(drawn), before);
		assert.strictEqual(await reader.page.locator("#reset").isVisible(), false);
	},
	"search counts what it finds": async (reader) => {
		await reader.open(file("basic"));
		await reader.keys("/");
		await reader.type("^rehash$");
		assert.strictEqual(await hits(reader), 3);
		assert.strictEqual(await matches(reader), "matched 1.78 % of view, 1.78 % of all");
		await reader.shot("svg-search");
		await reader.keys("Escape");
		assert.strictEqual(await hits(reader), 0);
		assert.strictEqual(await matches(reader), "");
	},
	"search looks at names only": async (reader) => {
		await reader.open(file("basic"));
		for (const word of ["total", "self", "libc\\.so", "\\d ms", "samples"]) {
			await reader.keys("/");
			await reader.type(word);
			assert.strictEqual(await matches(reader), "no match", word);
			await reader.keys("Escape");
		}
	},
	"search within a zoom, with and without case": async (reader) => {
		await reader.open(file("basic"));
		await click(reader, "readQueryFromClient");
		await reader.keys("Control+f");
		await reader.type("DO_syscall");
		assert.match(await matches(reader), / of view, 62\.8 % of all$/);
		await reader.page.locator("#case").click();
		assert.strictEqual(await matches(reader), "no match");
		assert.strictEqual(await reader.page.locator("#case").getAttribute("aria-pressed"), "true");
		await reader.page.locator("#case").click();
		await reader.keys("Escape");
		assert.strictEqual(await reader.js(labelled, "writeToClient"), null, "the first Escape ends the search only");
		await reader.keys("Escape");
		assert.ok(await reader.js(labelled, "writeToClient"), "the second one ends the zoom");
	},
	"bad patterns are told": async (reader) => {
		await reader.open(file("basic"));
		await reader.keys("/");
		await reader.type("(");
		assert.strictEqual(await matches(reader), "not a regular expression");
		await reader.type("main)");
		assert.match(await matches(reader), /^matched /);
	},
	"next and previous match": async (reader) => {
		await reader.open(file("basic"));
		await reader.keys("/");
		await reader.type("^main$");
		await reader.keys("Enter");
		assert.strictEqual(await status(reader), "main");
		const first = await reader.text("#figures");
		assert.match(await matches(reader), / 1 of 2$/);
		await reader.keys("Enter");
		assert.match(await matches(reader), / 2 of 2$/);
		assert.notStrictEqual(await reader.text("#figures"), first);
		await reader.js(() => document.activeElement.blur());
		await reader.keys("n");
		assert.match(await matches(reader), / 1 of 2$/);
		await reader.keys("N");
		assert.match(await matches(reader), / 2 of 2$/);
		await reader.page.locator("#previous").click();
		assert.match(await matches(reader), / 1 of 2$/);
	},
	"the keyboard walks": async (reader) => {
		await reader.open(file("basic"));
		const names = [];
		for (const key of ["ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]) {
			await reader.keys(key);
			names.push(await status(reader));
		}
		assert.deepStrictEqual(names, ["all", "redis-server", "_start", "main", "_start", "[truncated]", "_start"]);
		const item = reader.page.locator("#" + await reader.page.locator("#frames").getAttribute("aria-activedescendant"));
		assert.strictEqual(await item.getAttribute("role"), "treeitem");
		assert.match(await item.getAttribute("aria-label"), /^_start, redis-server, total 3\.91 s/);
		assert.deepStrictEqual([await item.getAttribute("aria-level"), await item.getAttribute("aria-posinset"), await item.getAttribute("aria-setsize")], ["3", "2", "2"]);
		await reader.keys("ArrowUp", "Enter");
		near(await widthOf(reader, "main"), 1372, "width of the box zoomed to", 0.1);
		await reader.shot("svg-keyboard");
		await reader.keys("?");
		assert.strictEqual(await reader.page.locator("#keys").isVisible(), true);
		await reader.shot("svg-keys");
		await reader.keys("Escape");
		assert.strictEqual(await reader.page.locator("#keys").isVisible(), false);
		await reader.keys("0");
		assert.ok(await reader.js(labelled, "redis-rdb"), "the zoom is reset");
	},
	"icicle and callers are switched live": async (reader) => {
		await reader.open(file("basic"));
		const rows = (await reader.js(labelled, "all")).y;
		await reader.page.locator("#icicle").click();
		assert.deepStrictEqual([(await reader.js(labelled, "all")).y, (await reader.js(labelled, "redis-rdb")).y], [0, 17]);
		await reader.shot("svg-icicle");
		await reader.keys("ArrowDown", "ArrowDown");
		assert.strictEqual(await status(reader), "redis-server", "down leads to the child now");
		await reader.keys("i");
		assert.strictEqual((await reader.js(labelled, "all")).y, rows);
		await reader.keys("v");
		assert.strictEqual((await reader.js(labelled, "tcp_recvmsg")).y, (await reader.js(labelled, "all")).y - 17);
		assert.strictEqual((await reader.js(labelled, "sock_read_iter")).x, (await reader.js(labelled, "tcp_recvmsg")).x);
		await click(reader, "sock_read_iter");
		assert.match(await reader.text("#figures"), /^self 882 ms \(19\.6 %\) of tcp_recvmsg$/);
		await reader.shot("svg-callers");
		await reader.keys("v");
		assert.ok(await reader.js(labelled, "aeMain"));
	},
	"a link shows the same view": async (reader) => {
		await reader.open(file("basic"));
		await click(reader, "aeProcessEvents");
		await reader.keys("i", "c", "/");
		await reader.type("do_(sys|ep)");
		const hash = await reader.js(() => location.hash), before = await reader.js(drawn);
		assert.ok(await hits(reader) > 1);
		await reader.open(file("basic"), hash);
		assert.deepStrictEqual(await reader.js(drawn), before);
		assert.strictEqual(await reader.js(() => document.getElementById("search").value), "do_(sys|ep)");
		await reader.page.reload();
		assert.deepStrictEqual(await reader.js(drawn), before);
		await reader.open(file("basic"), "#order=callers&zoom=1&frame=nonsense&search=(");
		assert.strictEqual(await reader.page.locator("#callers").getAttribute("aria-pressed"), "true");
		assert.strictEqual(await reader.page.locator("#reset").isVisible(), false, "a box of another file is not zoomed to");
	},
	"a kernel's function is not called kernel twice": async (reader) => {
		await reader.open(file("kernel"));
		const at = await reader.js(labelled, "schedule");
		await reader.page.mouse.move(at.left + 5, at.top + 5);
		assert.strictEqual(await reader.text("#place"), "[kernel]");
	},
	"the bar stays in sight": async (reader) => {
		await reader.open(file("deep"));
		for (const height of [300, 900]) {
			await reader.resize(1000, height);
			for (const y of [0, 100, 100000]) {
				await reader.js((to) => window.scrollTo(0, to), y);
				await reader.settle();
				near(await reader.js(() => document.getElementById("bar").getBoundingClientRect().bottom), height, `bottom of the bar, scrolled to ${y}`);
			}
			const [foot, bar] = await reader.js(() => [document.querySelector("#foot text:last-child").getBoundingClientRect().bottom,
								   document.getElementById("bar").getBoundingClientRect().top]);
			assert.ok(foot <= bar, "the bar hides the foot");
		}
		await reader.keys("ArrowUp", "ArrowUp");
		for (let i = 0; i < 60; i++)
			await reader.keys("ArrowUp");
		const cursor = await reader.page.locator("#cursor").boundingBox();
		assert.ok(cursor.y >= -2 && cursor.y + 16 <= 900 - 84, `the cursor is at ${cursor.y}`);
		await reader.shot("svg-deep");
	},
	"names run nothing": async (reader) => {
		await reader.open(file("hostile"));
		const name = "]]><script>alert(4)</script>";
		assert.strictEqual(await reader.js(() => document.querySelectorAll("script").length), 1);
		await click(reader, name);
		near(await widthOf(reader, name), 1372, "zoomed", 0.1);
		assert.strictEqual(await status(reader), name);
		assert.strictEqual(await reader.js(() => document.querySelectorAll("#bar script, #tip script").length), 0);
		await reader.keys("/");
		await reader.type("<script>");
		assert.match(await matches(reader), /^matched 100\.0 % of view/);
		await reader.shot("svg-hostile");
		await reader.keys("Escape", "Escape", "v");
		assert.strictEqual(await reader.js(() => document.querySelectorAll("script").length), 1);
	},
	"names from right to left": async (reader) => {
		await reader.open(file("hostile"));
		const names = await reader.js(() => [...document.querySelectorAll("#labels text")].map((text) => text.textContent).filter((name) => /[\u0590-\u06ff]/.test(name)));
		assert.ok(names.length >= 2, names.join());
		for (const name of names) {
			const at = await reader.js(labelled, name), width = await widthOf(reader, name);
			const ink = await reader.js((one) => [...document.querySelectorAll("#labels text")].find((text) => text.textContent === one).getBoundingClientRect().toJSON(), name);
			assert.ok(ink.left >= at.left - 1 && ink.width <= width, `${name} is written outside of its box`);
			assert.strictEqual(await hover(reader, name), name);
			assert.match(await reader.text("#figures"), /^total [0-9]/);
		}
		assert.strictEqual(await reader.js(() => /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.textContent)), false, "a character that turns the order of others");
		await reader.shot("svg-right-to-left");
	},
	"a name of ten thousand characters": async (reader) => {
		await reader.open(file("long"));
		await reader.page.mouse.move(600, 130);
		const tip = await reader.page.locator("#tip").boundingBox();
		assert.ok(tip.height <= 170 && tip.y >= 0 && tip.y + tip.height <= 900, JSON.stringify(tip));
		near(await reader.js(() => document.documentElement.scrollWidth), 1400, "width of the page", 1);
		assert.deepStrictEqual(await reader.js(spilled), []);
		await reader.shot("svg-long-name");
	},
	"dark for those who want it dark": [{colorScheme: "dark"}, async (reader) => {
		await reader.open(file("basic"));
		assert.strictEqual(await reader.js(() => getComputedStyle(document.querySelector(".page")).fill), "rgb(23, 25, 29)");
		await reader.shot("svg-dark-1400");
		await reader.keys("/");
		await reader.type("sys");
		await reader.shot("svg-dark-search");
		await reader.page.emulateMedia({media: "print"});
		assert.strictEqual(await reader.page.locator("#bar").isVisible(), false, "no buttons on paper");
		await reader.shot("svg-dark-print");
	}],
	"light for the others": async (reader) => {
		await reader.open(file("basic"));
		assert.strictEqual(await reader.js(() => getComputedStyle(document.querySelector(".page")).fill), "rgb(253, 252, 250)");
	},
	"each palette has its colours": async (reader) => {
		const seen = new Set();
		for (const name of ["basic", "hot", "module", "memory", "name", "colour-blind"]) {
			await reader.open(file(name));
			seen.add(await reader.js(() => [...document.querySelectorAll("#boxes path")].map((path) => getComputedStyle(path).fill).join()));
			await reader.shot("svg-palette-" + name);
		}
		assert.strictEqual(seen.size, 6);
	},
	"ten thousand boxes": async (reader) => {
		await reader.open(file("wide"));
		assert.ok(fs.statSync(file("wide")).size < 1e6, `${fs.statSync(file("wide")).size} bytes`);
		assert.deepStrictEqual(await reader.js(spilled), []);
		await reader.shot("svg-wide");
		await reader.keys("ArrowUp", "ArrowUp", "Enter");
		assert.strictEqual(await reader.page.locator("#crumbs button").count(), 2);
		await reader.keys("0", "v", "Escape");
		assert.strictEqual(await reader.text("#figures"), "total 628 \u00b5s (100.0 %) \u00b7 self 0 ns (0 %)");
		await reader.shot("svg-wide-callers");
	},
	"a whole picture without scripts": [{javaScriptEnabled: false}, async (reader) => {
		await reader.open(file("basic"));
		const labels = await reader.page.locator("#labels text").allTextContents();
		assert.ok(labels.includes("processCommand") && labels.includes("all"), labels.join());
		assert.strictEqual(await reader.page.locator("#bar").count(), 0);
		await reader.shot("svg-without-script");
		fs.writeFileSync(path.join(folder, "page.html"), "<!DOCTYPE html><body style='margin:0'><img id='i' src='basic.svg' style='width:600px'>");
		await reader.open(path.join(folder, "page.html"));
		near((await reader.page.locator("#i").boundingBox()).height, 447 / 2, "height of the half-size image", 1);
		await reader.shot("svg-as-image");
	}],
	"within somebody's page": async (reader) => {
		fs.writeFileSync(path.join(folder, "inline.html"), "<!DOCTYPE html><input id='theirs'>" + fs.readFileSync(file("hostile"), "utf8").replace(/^<\?xml.*?\?>/, ""));
		await reader.open(path.join(folder, "inline.html"));
		assert.strictEqual(await status(reader), "all");
		await reader.keys("/", "v");
		assert.strictEqual(await reader.js(() => document.activeElement.id), "", "the page's keys stay the page's");
		assert.strictEqual(await reader.page.locator("#callers").getAttribute("aria-pressed"), "false");
		assert.strictEqual(await reader.js(() => location.hash), "", "the page's address stays as it is");
	},
};

run(tests, folder).then((code) => process.exit(code));
