// SPDX-License-Identifier: GPL-2.0-or-later
// A Chromium, pages in it, and tests as TAP lines. What a page throws, or a dialog that
// it opens, fails the test that was running.
"use strict";
const assert = require("node:assert");
const path = require("node:path");
const {chromium} = require("playwright-core");

const SIZE = {width: 1400, height: 900};
const WAIT = 30000; // ms for anything the browser has to answer

class Reader {
	constructor(page, shots) {
		this.page = page;
		this.shots = shots;
		this.complaints = [];
		page.setDefaultTimeout(WAIT);
		page.on("pageerror", (error) => this.complaints.push(String(error)));
		page.on("dialog", (dialog) => {
			this.complaints.push("a dialog opened: " + dialog.message());
			dialog.dismiss();
		});
		page.on("request", (request) => {
			if (!/^(file|data|blob|about):/.test(request.url()))
				this.complaints.push("asked the network for " + request.url());
		});
	}

	async open(file, hash = "") {
		await this.page.goto("about:blank"); // a new hash alone would not load anew
		await this.page.goto("file://" + file + hash);
	}

	js(what, argument) {
		return this.page.evaluate(what, argument);
	}

	text(selector) {
		return this.page.locator(selector).textContent();
	}

	async keys(...keys) {
		for (const key of keys)
			await this.page.keyboard.press(key);
	}

	type(text) {
		return this.page.keyboard.insertText(text);
	}

	// Until the page has answered what came with the frame, and has drawn that.
	settle() {
		return this.js(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
	}

	async resize(width, height) {
		await this.page.setViewportSize({width, height});
		await this.settle();
	}

	shot(name) {
		return this.page.screenshot({path: path.join(this.shots, name + ".png")});
	}
}

function near(got, want, what, within = 0.01) {
	assert.ok(Math.abs(got - want) <= within, `${what}: got ${got}, want ${want}`);
}

async function launch() {
	return chromium.launch({executablePath: process.env.BROWSER, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"]});
}

async function inPage(browser, options, shots, what) {
	const context = await browser.newContext({viewport: SIZE, ...options});
	try {
		const reader = new Reader(await context.newPage(), shots);
		await what(reader);
		assert.deepStrictEqual(reader.complaints, []);
	} finally {
		await context.close();
	}
}

// tests: {name: [options of the context, function of a reader] or the function alone}.
async function run(tests, shots) {
	const browser = await launch();
	let number = 0, failed = 0;
	console.log("1.." + Object.keys(tests).length);
	for (const [name, test] of Object.entries(tests)) {
		const [options, what] = Array.isArray(test) ? test : [{}, test];
		number++;
		try {
			await inPage(browser, options, shots, what);
			console.log(`ok ${number} - ${name}`);
		} catch (error) {
			failed++;
			console.log(`not ok ${number} - ${name}: ${String(error.message).replace(/\n/g, " | ")}`);
		}
	}
	await browser.close();
	return failed ? 1 : 0;
}

module.exports = {assert, near, launch, run, Reader, SIZE};
