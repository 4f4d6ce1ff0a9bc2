// SPDX-License-Identifier: GPL-2.0-or-later
// What a reader does with a report: html.js FOLDER, as svg.js.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const {assert, near, run} = require("./harness.js");

const folder = process.argv[2];
const file = (name) => path.join(folder, name + ".html");
const status = (reader) => reader.text("#name");
const matches = (reader) => reader.text("#matches");

// The middle of a box, by its depth and the share of the width that it begins at.
async function pointAt(reader, depth, share, rows) {
	const area = await reader.page.locator("#frames").boundingBox();
	return [area.x + share * area.width + 3, area.y + (rows - depth) * 17 + 8];
}

// Self, total, name and module of the table's rows.
const rows = (reader) => reader.js(() => [...document.querySelectorAll("#functions tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent)));
const names = async (reader) => (await rows(reader)).map((row) => row[2]);
const side = (reader, id) => reader.js((side) => [...document.querySelectorAll("#" + side + " tr")].map((row) => [...row.cells].map((cell) => cell.textContent).slice(0, 2)), id);

async function drag(reader, id, from, to, y = 0.5) {
	const box = await reader.page.locator(id).boundingBox();
	await reader.page.mouse.move(box.x + from * box.width, box.y + y * box.height);
	await reader.page.mouse.down();
	await reader.page.mouse.move(box.x + to * box.width, box.y + y * box.height);
	await reader.page.mouse.up();
}

async function downloaded(reader, id) {
	const [download] = await Promise.all([reader.page.waitForEvent("download"), reader.page.locator(id).click()]);
	return fs.readFileSync(await download.path());
}

// The colour of a pixel of a canvas, and of a style sheet's class.
const pixel = (reader, id, x, y) => reader.js(([canvas, left, top]) => {
	const target = document.querySelector(canvas), pen = target.getContext("2d");
	const [r, g, b, a] = pen.getImageData(Math.floor(left * target.width), Math.floor(top * target.height), 1, 1).data;
	return a ? `rgb(${r}, ${g}, ${b})` : "";
}, [id, x, y]);
const fill = (reader, name) => reader.js((className) => {
	const probe = document.body.appendChild(document.createElement("i"));
	probe.className = className;
	const colour = getComputedStyle(probe).fill;
	probe.remove();
	return colour;
}, name);

const tests = {
	"opens, and draws what it has": async (reader) => {
		await reader.open(file("report"));
		assert.strictEqual(await status(reader), "all");
		assert.strictEqual(await reader.text("#figures"), "total 270 ms (100.0 %) \u00b7 self 0 ns (0 %)");
		assert.strictEqual(await pixel(reader, "#frames canvas", 0.3, 0.999), "");
		assert.strictEqual(await pixel(reader, "#frames canvas", 0.5, 0.94), await fill(reader, "c43"), "the root's colour");
		await reader.shot("html-light-1400");
	},
	"the table has perfctl's figures": async (reader) => {
		await reader.open(file("report"));
		const want = JSON.parse(fs.readFileSync(path.join(folder, "report.json"), "utf8")).functions;
		const lines = (await downloaded(reader, "#save-csv")).toString().trim().split("\n").slice(1);
		const got = lines.map((line) => line.match(/^"(.*?)","(.*?)",(\d+),(\d+)$/).slice(1).join());
		assert.deepStrictEqual(got.sort(), want.map((row) => [row.name, row.kind === "inline" ? row.module + " (inlined)" : row.module, row.self, row.total].join()).sort());
	},
	"the table sorts": async (reader) => {
		await reader.open(file("report"));
		assert.strictEqual((await names(reader))[0], "fold");
		await reader.page.locator("#functions th button", {hasText: "Total"}).click();
		assert.deepStrictEqual((await names(reader)).slice(0, 2), ["main", "compile"]);
		await reader.page.locator("#functions th button", {hasText: "Function"}).click();
		const sorted = await names(reader);
		assert.deepStrictEqual(sorted, [...sorted].sort());
		assert.strictEqual(await reader.page.locator("#functions th").nth(2).getAttribute("aria-sort"), "ascending");
		await reader.page.locator("#functions th button", {hasText: "Function"}).click();
		assert.deepStrictEqual(await names(reader), [...sorted].sort().reverse());
	},
	"callers and callees, recursion counted once": async (reader) => {
		await reader.open(file("report"));
		await reader.page.locator("#functions td button", {hasText: "optimise"}).click();
		assert.deepStrictEqual(await side(reader, "callers-of"), [["130 ms \u00b7 48.1 %", "compile"], ["60.0 ms \u00b7 22.2 %", "optimise"]]);
		assert.deepStrictEqual(await side(reader, "callees-of"), [["130 ms \u00b7 48.1 %", "fold"], ["60.0 ms \u00b7 22.2 %", "optimise"]]);
		assert.match(await reader.text("#chosen"), /^optimisecc1total 130 ms \(48\.1 %\) \u00b7 self 0 ns \(0 %\)/);
		await reader.page.locator("#callers-of button", {hasText: "compile"}).click();
		assert.match(await reader.text("#chosen"), /^compile/);
		await reader.page.locator("#show").click();
		assert.strictEqual(await matches(reader), "matched 74.1 % of view, 74.1 % of all \u00b7 1 of 1");
		await reader.shot("html-sandwich");
	},
	"the graph zooms, walks and turns": async (reader) => {
		await reader.open(file("report"));
		await reader.page.mouse.move(...await pointAt(reader, 2, 0.1, 6));
		assert.strictEqual(await status(reader), "main");
		assert.match(await reader.text("#tip"), /^maincc1total 210 ms/);
		await reader.page.mouse.click(...await pointAt(reader, 2, 0.1, 6));
		assert.deepStrictEqual(await reader.page.locator("#crumbs button").allTextContents(), ["all", "cc1", "main"]);
		await reader.keys("ArrowUp", "ArrowUp");
		assert.strictEqual(await status(reader), "compile");
		assert.match(await reader.page.locator("#cursor").getAttribute("aria-label"), /^compile, cc1/);
		await reader.keys("Enter");
		assert.strictEqual(await reader.page.locator("#crumbs button").count(), 4);
		await reader.keys("0", "i");
		await reader.page.mouse.move(...await pointAt(reader, 6, 0.1, 6));
		assert.strictEqual(await status(reader), "all", "the root is at the top");
		await reader.keys("i", "v");
		await reader.page.mouse.move(...await pointAt(reader, 1, 0.05, await reader.js(() => document.getElementById("frames").clientHeight / 17 - 1)));
		assert.match(await reader.text("#figures"), /^self 130 ms/);
		await reader.shot("html-callers");
	},
	"one search for graph, table and time": async (reader) => {
		await reader.open(file("report"));
		const before = await pixel(reader, "#line", 5.5 / 15, 0.9);
		await reader.keys("/");
		await reader.type("fold|lex");
		assert.strictEqual(await matches(reader), "matched 66.7 % of view, 66.7 % of all");
		assert.deepStrictEqual(await names(reader), ["fold", "lex"]);
		const hit = await fill(reader, "match");
		assert.deepStrictEqual([before === hit, await pixel(reader, "#line", 5.5 / 15, 0.9), await pixel(reader, "#line", 0.5 / 15, 0.9)],
				       [false, hit, await fill(reader, "time")]);
		await reader.shot("html-search");
		await reader.keys("Escape");
		assert.strictEqual((await names(reader)).length, 10);
	},
	"time is selected, by mouse and keys, and linked": async (reader) => {
		await reader.open(file("report"));
		await drag(reader, "#line", 5.2 / 15, 5.8 / 15);
		assert.strictEqual(await reader.text("#selected"), "500 ms to 600 ms of 1.50 s");
		assert.deepStrictEqual((await rows(reader)).map((row) => [row[2], row[0]]).slice(0, 2), [["fold", "60.0 ms \u00b7 85.7 %"], ["lex", "10.0 ms \u00b7 14.3 %"]]);
		assert.match(await reader.text("#figures"), /^total 70\.0 ms \(100\.0 %\)/);
		await reader.shot("html-brushed");
		const hash = await reader.js(() => location.hash);
		await reader.open(file("report"), hash);
		assert.match(await reader.text("#figures"), /^total 70\.0 ms \(100\.0 %\)/);
		await reader.page.locator("#whole").click();
		assert.match(await reader.text("#figures"), /^total 270 ms/);
		await reader.page.goBack();
		assert.match(await reader.text("#figures"), /^total 70\.0 ms/);
		await reader.page.locator("#whole").click();
		await reader.page.locator("#line").focus();
		await reader.keys("ArrowRight", "Shift+ArrowRight");
		assert.match(await reader.text("#figures"), /^total 60\.0 ms/);
		await reader.keys("ArrowRight");
		assert.strictEqual(await reader.text("#selected"), "100 ms to 300 ms of 1.50 s");
	},
	"a zoom stays where it was when another time is selected": async (reader) => {
		await reader.open(file("report"));
		await reader.page.mouse.click(...await pointAt(reader, 2, 0.1, 6));
		await drag(reader, "#line", 5.2 / 15, 9.8 / 15);
		assert.deepStrictEqual(await reader.page.locator("#crumbs button").allTextContents(), ["all", "cc1", "main"]);
		await drag(reader, "#line", 0.2 / 15, 1.8 / 15);
		assert.strictEqual(await reader.page.locator("#reset").isVisible(), false, "cc1 did not run then");
	},
	"marks say what happened": async (reader) => {
		await reader.open(file("report"));
		const marks = reader.page.locator("#marks");
		assert.strictEqual(await marks.locator("summary").textContent(), "2 marks of what happened, 1 of them of something lost or wrong");
		await marks.locator("summary").click();
		assert.deepStrictEqual(await marks.locator("li").allTextContents(), ["+400 ms: ring buffer full: 7 <i>lost</i>", "+900 ms: CPUs came or went: 1 is sampled now, 2 before"]);
		const box = await reader.page.locator("#line").boundingBox();
		await reader.page.mouse.move(box.x + 4.5 / 15 * box.width, box.y + 20);
		assert.match(await reader.page.locator("#line").getAttribute("title"), /\nring buffer full: 7 <i>lost<\/i>$/);
		await reader.page.mouse.move(box.x + 6.5 / 15 * box.width, box.y + 20);
		assert.doesNotMatch(await reader.page.locator("#line").getAttribute("title"), /lost/);
		await reader.shot("html-marks");
	},
	"the map of parts of seconds": async (reader) => {
		await reader.open(file("report"));
		// Half a second past the first second's beginning is the sixth of ten rows from below.
		await drag(reader, "#heat", 0.3 / 30, 0.4 / 30, 1 - 0.55);
		assert.strictEqual(await reader.text("#selected"), "500 ms to 600 ms of 1.50 s");
		await reader.open(file("basic"));
		assert.strictEqual(await reader.page.locator("#line").count(), 0);
		assert.match(await reader.text("#times-panel"), /does not say when/);
	},
	"the times of a perf script become a map": async (reader) => {
		await reader.open(file("times"));
		assert.strictEqual(await reader.text("#selected"), "all 3.00 s, in steps of 20.0 ms");
		assert.deepStrictEqual((await names(reader)), ["early", "late", "main"]);
		await reader.shot("html-times");
		// The upper half of the second column.
		const box = await reader.page.locator("#heat").boundingBox();
		await reader.page.mouse.move(box.x + 1.5 / 30 * box.width, box.y + 0.49 * box.height);
		await reader.page.mouse.down();
		await reader.page.mouse.move(box.x + 1.5 / 30 * box.width, box.y + 1);
		await reader.page.mouse.up();
		assert.strictEqual(await reader.text("#selected"), "1.50 s to 2.00 s of 3.00 s");
		assert.deepStrictEqual((await names(reader)), ["late", "main"]);
	},
	"downloads": async (reader) => {
		await reader.open(file("report"));
		const folded = (await downloaded(reader, "#save-folded")).toString().trim().split("\n").sort();
		assert.deepStrictEqual(folded, fs.readFileSync(path.join(folder, "report.folded"), "utf8").trim().split("\n").sort());
		assert.strictEqual((await downloaded(reader, "#save-png")).subarray(1, 4).toString(), "PNG");
	},
	"names run nothing": async (reader) => {
		await reader.open(file("hostile"));
		assert.strictEqual(await reader.js(() => document.querySelectorAll("script").length), 1);
		const name = "]]><script>alert(4)</script>";
		await reader.page.locator("#functions td button").first().click();
		assert.match(await reader.text("#chosen"), new RegExp("^" + name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")));
		await reader.page.locator("#show").click();
		assert.strictEqual(await status(reader), name);
		await reader.keys("Escape", "v", "i");
		await reader.shot("html-hostile");
		assert.strictEqual(await reader.js(() => document.querySelectorAll("script, [onload], [onerror]").length), 1);
	},
	"names from right to left": async (reader) => {
		await reader.open(file("hostile"));
		const found = (await names(reader)).filter((name) => /[\u0590-\u06ff]/.test(name));
		assert.ok(found.length >= 2, found.join());
		for (const name of found) {
			await reader.page.locator("#functions td button", {hasText: name}).first().click();
			assert.ok((await reader.text("#chosen")).startsWith(name), name);
		}
		const cells = await reader.js(() => [...document.querySelectorAll("#functions tbody tr")].map((row) => [...row.cells].slice(0, 3).map((cell) => cell.getBoundingClientRect().left)));
		for (const [self, total, name] of cells)
			assert.ok(self < total && total < name, "the columns keep their order");
		assert.strictEqual(await reader.js(() => /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.body.textContent)), false, "a character that turns the order of others");
		await reader.shot("html-right-to-left");
	},
	"a name of ten thousand characters": async (reader) => {
		await reader.open(file("long"));
		const name = (await names(reader)).find((one) => one.startsWith("long_"));
		assert.strictEqual(name.length, 200, "what the table shows of it");
		await reader.page.locator("#functions td button", {hasText: "long_"}).first().click();
		assert.ok((await reader.text("#chosen")).startsWith("long_long_"));
		near(await reader.js(() => document.documentElement.scrollWidth), 1400, "width of the page", 16);
		await reader.shot("html-long-name");
	},
	"long names and deep stacks": async (reader) => {
		for (const name of ["long", "deep"]) {
			await reader.open(file(name));
			near(await reader.js(() => document.documentElement.scrollWidth), 1400, "width of the page", 16);
			await reader.shot("html-" + name);
		}
	},
	"what was left out is told": async (reader) => {
		await reader.open(file("crowd"));
		assert.match(await reader.text("#foot"), /^\s*not drawn: 42,000 branches too thin to see, together 4\.20 ms \(2\.44 %\)\s*$/);
		assert.match(await reader.text("#functions-note"), /; without the 2\.44 % of all that is in boxes too thin to be kept$/);
		await reader.keys("v");
		assert.match(await reader.text("#figures"), /^total 172 ms \(100\.0 %\)/);
		await reader.shot("html-crowd-callers");
	},
	"any width": async (reader) => {
		await reader.open(file("report"));
		for (const width of [80, 500, 2000]) {
			await reader.resize(width, 900);
			assert.strictEqual(await reader.js(() => document.querySelector("#frames canvas").width), await reader.js(() => document.getElementById("frames").clientWidth));
			await reader.shot("html-width-" + width);
		}
	},
	"dark for those who want it dark": [{colorScheme: "dark"}, async (reader) => {
		await reader.open(file("report"));
		assert.strictEqual(await reader.js(() => getComputedStyle(document.body).backgroundColor), "rgb(23, 25, 29)");
		const dark = await pixel(reader, "#frames canvas", 0.5, 0.94);
		await reader.shot("html-dark");
		await reader.page.emulateMedia({colorScheme: "light"});
		await reader.settle();
		assert.notStrictEqual(await pixel(reader, "#frames canvas", 0.5, 0.94), dark, "drawn anew when the scheme changes");
		await reader.page.emulateMedia({media: "print"});
		assert.strictEqual(await reader.page.locator("#bar").isVisible(), false);
		await reader.shot("html-print");
	}],
	"says why it is empty without scripts": [{javaScriptEnabled: false}, async (reader) => {
		await reader.open(file("report"));
		assert.strictEqual(await reader.page.locator("noscript").isVisible(), true);
	}],
};

run(tests, folder).then((code) => process.exit(code));
