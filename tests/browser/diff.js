// SPDX-License-Identifier: GPL-2.0-or-later
// What a reader does with the picture of a difference: diff.js FOLDER, with the
// diff.svg that tests/scenario/browser.py makes.
"use strict";
const path = require("node:path");
const {assert, run} = require("./harness.js");

const folder = process.argv[2];
const file = path.join(folder, "diff.svg");
const place = (name) => {
	const text = [...document.querySelectorAll("#labels text")].find((one) => one.textContent === name);
	const box = text.getBoundingClientRect();
	return [box.left + 3, box.top + 5];
};
// In the page: the fill and the stroke of the box that a label is on.
const look = (name) => {
	const text = [...document.querySelectorAll("#labels text")].find((one) => one.textContent === name);
	const left = Math.round((text.getAttribute("x") - 4) * 10), top = text.getAttribute("y") - 12;
	const path = [...document.querySelectorAll("#boxes path:not(.hit)")].find((one) => one.getAttribute("d").includes(`M${left} ${top}h`));
	const style = getComputedStyle(path);
	return {fill: style.fill, stroke: style.stroke, dashes: style.strokeDasharray};
};

async function over(reader, name) {
	await reader.page.mouse.move(...await reader.js(place, name));
	return reader.text("#figures");
}

const tests = {
	"each box says what it was and is": async (reader) => {
		await reader.open(file);
		assert.strictEqual(await over(reader, "decode"), "before 300 \u00b7 after 90 \u00b7 -210 (-70.0 %) \u00b7 self -210");
		assert.strictEqual(await reader.text("#tip div:last-child"), await reader.text("#figures"));
		assert.strictEqual(await over(reader, "alike"), "before 100 \u00b7 after 100 \u00b7 = \u00b7 self =");
		assert.strictEqual(await over(reader, "serve"), "before 550 \u00b7 after 730 \u00b7 +180 (+32.7 %) \u00b7 self =");
		assert.strictEqual(await over(reader, "new_path"), "before 0 \u00b7 after 340 \u00b7 +340 (new) \u00b7 self =");
		assert.strictEqual(await over(reader, "old_path"), "before 250 \u00b7 after 0 \u00b7 -250 (gone) \u00b7 self =");
		await reader.shot("diff-light");
	},
	"colours tell the direction, frames what is new or gone": async (reader) => {
		await reader.open(file);
		const [less, more, alike, fresh, gone] = await Promise.all(["decode", "hash", "alike", "new_path", "old_path"].map((name) => reader.js(look, name)));
		assert.strictEqual(new Set([less, more, alike, fresh, gone].map((one) => one.fill)).size, 5);
		assert.deepStrictEqual([fresh.stroke, gone.stroke], ["rgb(25, 26, 28)", "rgb(25, 26, 28)"]);
		assert.deepStrictEqual([fresh.dashes, gone.dashes], ["none", "3px, 2px"]);
		assert.notStrictEqual(less.stroke, fresh.stroke);
	},
	"a search sums up both sides": async (reader) => {
		await reader.open(file);
		await reader.keys("/");
		await reader.type("_path$");
		assert.strictEqual(await reader.text("#matches"), "matched 29.5 % of view, 29.5 % of all \u00b7 before 250 \u00b7 after 340 \u00b7 +90 (+36.0 %)");
		await reader.shot("diff-search");
		await reader.keys("Escape");
	},
	"turned over, functions have their sums": async (reader) => {
		await reader.open(file);
		await reader.keys("v");
		assert.strictEqual(await over(reader, "lookup"), "self before 250 \u00b7 after 340 \u00b7 +90 (+36.0 %)");
		assert.strictEqual(await over(reader, "old_path"), "self before 250 \u00b7 after 0 \u00b7 -250 (gone) of lookup");
		assert.strictEqual((await reader.js(look, "old_path")).dashes, "3px, 2px");
		await reader.shot("diff-callers");
	},
	"zoom, keys and links": async (reader) => {
		await reader.open(file);
		await reader.page.mouse.click(...await reader.js(place, "parse"));
		assert.strictEqual(await reader.page.locator("#crumbs button").count(), 4);
		const hash = await reader.js(() => location.hash);
		await reader.open(file, hash);
		assert.strictEqual(await reader.text("#crumbs [aria-current]"), "parse");
		await reader.keys("Escape", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp");
		assert.strictEqual(await reader.text("#name"), "serve");
		assert.match(await reader.page.locator("#cursor").getAttribute("aria-label"), /^serve, .*before 550 \u00b7 after 730/);
	},
	"dark for those who want it dark": [{colorScheme: "dark"}, async (reader) => {
		await reader.open(file);
		assert.strictEqual((await reader.js(look, "new_path")).stroke, "rgb(255, 255, 255)");
		assert.strictEqual(await reader.js(() => getComputedStyle(document.querySelector(".page")).fill), "rgb(23, 25, 29)");
		await reader.shot("diff-dark");
	}],
	"names run nothing": async (reader) => {
		await reader.open(file);
		assert.strictEqual(await reader.js(() => document.querySelectorAll("script").length), 1);
	},
	"a whole picture without scripts": [{javaScriptEnabled: false}, async (reader) => {
		await reader.open(file);
		const labels = await reader.page.locator("#labels text").allTextContents();
		assert.ok(labels.includes("old_path") && labels.includes("new_path"), labels.join());
		await reader.shot("diff-without-script");
	}],
};

run(tests, folder).then((code) => process.exit(code));
