// SPDX-License-Identifier: GPL-2.0-or-later
// How long the first zoom and the first search of a picture take: bench.js FILE ROUNDS.
// From the event until the script is done, and until the next frame has been drawn, and the
// CPU time that the page's own thread used for it, which other programs' load does not
// bend. One JSON line. Each round is a new page: nothing is warm.
"use strict";
const {launch, SIZE} = require("./harness.js");

// In the page: does it, and waits for the frame that shows it.
const timed = (what) => new Promise((done) => {
	const begin = performance.now();
	if (what === "zoom") {
		const area = document.getElementById("frames").getBoundingClientRect();
		const rows = document.getElementById("labels").querySelectorAll("text");
		const row = [...rows].find((text) => text.textContent.startsWith("queue_read")) || rows[rows.length >> 1];
		const at = row.getBoundingClientRect();
		document.getElementById("frames").dispatchEvent(new MouseEvent("click", {bubbles: true, clientX: Math.max(at.left, area.left) + 2, clientY: at.top + 5}));
	} else {
		const input = document.getElementById("search");
		input.value = "read|table_(insert|update)";
		input.dispatchEvent(new Event("input", {bubbles: true}));
	}
	const script = performance.now() - begin;
	requestAnimationFrame(() => {
		const channel = new MessageChannel();
		channel.port1.onmessage = () => done({script, drawn: performance.now() - begin});
		channel.port2.postMessage(null); // comes after the frame
	});
});

async function main(file, rounds) {
	const browser = await launch(), results = {open: [], zoom: [], search: []};
	for (let i = 0; i < rounds; i++) {
		for (const what of ["zoom", "search"]) {
			const page = await browser.newPage({viewport: SIZE});
			await page.goto("file://" + file);
			const session = await page.context().newCDPSession(page);
			await session.send("Performance.setTimeDomain", {timeDomain: "threadTicks"});
			await session.send("Performance.enable");
			const used = async () => (await session.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration").value;
			const before = await used(), times = await page.evaluate(timed, what);
			results[what].push({...times, thread: (await used() - before) * 1000});
			if (what === "zoom")
				results.open.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].domComplete));
			await page.close();
		}
	}
	await browser.close();
	console.log(JSON.stringify(results));
}

main(process.argv[2], Number(process.argv[3]));
