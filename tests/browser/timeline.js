// SPDX-License-Identifier: GPL-2.0-or-later
// What a reader does with a time line: timeline.js FOLDER, with the timeline.svg and
// timeline.html that tests/scenario/browser.py makes.
"use strict";
const path = require("node:path");
const {assert, near, run} = require("./harness.js");

const folder = process.argv[2];
const file = path.join(folder, "timeline.svg");
const status = (reader) => reader.text("#status");
const figures = (reader) => reader.js(() => [...document.querySelectorAll("#legend .figure")].map((one) => one.textContent));
// In the page: the drawn part of an area, [left, top, width, height] in shares of the plot.
const area = (i) => {
	const plot = document.querySelector("#plot .ground").getBoundingClientRect();
	const one = document.querySelectorAll("#plot .area")[i].getBoundingClientRect();
	return [(one.left - plot.left) / plot.width, (one.top - plot.top) / plot.height, one.width / plot.width, one.height / plot.height];
};

async function pointAt(reader, share) {
	const box = await reader.page.locator("#plot .ground").boundingBox();
	await reader.page.mouse.move(box.x + box.width * share, box.y + box.height / 2);
}

const tests = {
	"pointing tells what there was": async (reader) => {
		await reader.open(file);
		assert.deepStrictEqual(await figures(reader), ["mean 0.50 CPUs \u00b7 peak 1.00 CPUs", "mean 0.50 CPUs \u00b7 peak 0.50 CPUs"]);
		await reader.shot("timeline-light");
		await pointAt(reader, 0.51);
		assert.match(await status(reader), /^\+2\.00 s \u00b7 all 1\.50 CPUs$/);
		assert.deepStrictEqual(await figures(reader), ["1.00 CPUs", "0.50 CPUs"]);
		await pointAt(reader, 0.99);
		assert.deepStrictEqual(await figures(reader), ["0.00 CPUs", "0.50 CPUs"]);
		await reader.page.mouse.move(5, 5);
		assert.match((await figures(reader))[0], /^mean /);
	},
	"the keyboard walks in time": async (reader) => {
		await reader.open(file);
		await reader.keys("ArrowRight");
		assert.match(await status(reader), /^\+0 ns /);
		await reader.keys("ArrowRight", "ArrowRight", "ArrowLeft");
		assert.match(await status(reader), /^\+100 ms /);
		await reader.keys("End", "ArrowRight");
		assert.match(await status(reader), /^\+3\.90 s /);
		await reader.keys("n");
		assert.match(await status(reader), /^\+1\.00 s .*the most at once: 1\.50 CPUs$/);
		await reader.shot("timeline-mark");
		await reader.keys("Escape");
		assert.match(await status(reader), /^cpu-clock /);
	},
	"a series alone": async (reader) => {
		await reader.open(file);
		const [, top, , height] = await reader.js(area, 1);
		await reader.page.locator("#legend .entry").nth(1).click();
		const alone = await reader.js(area, 1);
		near(alone[1] + alone[3], 1, "it stands on the ground", 0.01);
		assert.ok(alone[3] < height && alone[1] > top, `${alone} after ${[top, height]}`);
		assert.strictEqual(await reader.page.locator("#plot .area").nth(0).isVisible(), false);
		assert.strictEqual(await reader.page.locator("#legend .entry").nth(1).getAttribute("aria-pressed"), "true");
		await reader.shot("timeline-alone");
		await reader.page.locator("#legend .entry").nth(1).focus();
		await reader.keys("Enter");
		assert.deepStrictEqual((await reader.js(area, 1)).slice(1, 2), [top]);
	},
	"names run nothing": async (reader) => {
		for (const form of [file, path.join(folder, "timeline.html")]) {
			await reader.open(form);
			assert.strictEqual(await reader.js(() => document.querySelectorAll("#legend b").length), 0);
			assert.strictEqual(await reader.js(() => document.querySelectorAll("#legend text")[0].textContent), "<b>burst");
		}
	},
	"within a document the keys are the picture's when it has the focus": async (reader) => {
		await reader.open(path.join(folder, "timeline.html"));
		await reader.keys("End");
		assert.match(await status(reader), /^cpu-clock /);
		await reader.page.locator("#plot").focus();
		await reader.keys("End");
		assert.match(await status(reader), /^\+3\.90 s /);
		await reader.shot("timeline-html");
	},
	"dark for those who want it dark": [{colorScheme: "dark"}, async (reader) => {
		await reader.open(file);
		assert.strictEqual(await reader.js(() => getComputedStyle(document.querySelector(".page")).fill), "rgb(23, 25, 29)");
		await reader.shot("timeline-dark");
	}],
	"a whole picture without scripts": [{javaScriptEnabled: false}, async (reader) => {
		await reader.open(file);
		assert.strictEqual(await reader.page.locator("#plot .area").count(), 2);
		assert.match(await status(reader), /^cpu-clock$/);
		await reader.shot("timeline-without-script");
	}],
};

run(tests, folder).then((code) => process.exit(code));
