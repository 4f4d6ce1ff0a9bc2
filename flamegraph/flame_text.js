/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers and names as people read them. value(), count() and percent() write what
 * text_put_value() and its sisters (text.c) write, so that a figure is the same
 * wherever one meets it.
 */
const flameText = (() => {
	const SCALES = {
		nanoseconds: [[1e9, "s"], [1e6, "ms"], [1e3, "\u00b5s"], [1, "ns"]],
		bytes: [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [1024, "KiB"], [1, "B"]],
		cycles: [[1e12, "Tcycles"], [1e9, "Gcycles"], [1e6, "Mcycles"], [1e3, "kcycles"], [1, "cycles"]],
	};
	const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

	function count(n) {
		return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
	}

	function value(n, unit) {
		const scale = SCALES[unit];
		if (!scale)
			return count(n) + (unit && unit !== "count" ? " " + unit : "");
		for (let i = 0; i + 1 < scale.length; i++) {
			const scaled = n / scale[i][0];
			if (scaled < 0.9995)
				continue;
			if (i === 0 && scaled >= 9999.5)
				return count(scaled) + " " + scale[i][1];
			return scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0) + " " + scale[i][1];
		}
		return Math.round(n) + " " + scale[scale.length - 1][1];
	}

	function percent(part, whole) {
		const share = whole ? 100 * part / whole : 0;
		return share <= 0 ? "0 %" : share < 0.01 ? "< 0.01 %" : share.toFixed(share < 9.995 ? 2 : 1) + " %";
	}

	/* A difference; "=": less than a unit. */
	function signed(delta, unit) {
		return Math.abs(delta) < 1 ? "=" : (delta < 0 ? "-" : "+") + value(Math.abs(delta), unit);
	}

	/* Two amounts beside each other. */
	function change(before, after, unit) {
		const share = 100 * (after - before) / before;
		const part = Math.abs(after - before) < 1 ? "" : !(before > 0) ? " (new)" : !(after > 0) ? " (gone)" :
			" (" + (share < 0 ? "-" : "+") + Math.abs(share).toFixed(1) + " %)";
		return "before " + value(before, unit) + " \u00b7 after " + value(after, unit) + " \u00b7 " + signed(after - before, unit) + part;
	}

	/* As much of a name as goes into so many cells of a fixed-width font, ".." where it
	 * was cut; nothing if fewer than three characters would be left. Wide characters
	 * take two cells. */
	function fit(text, cells) {
		if (text.length <= cells && !/[^\u0000-\u10ff]/.test(text))
			return text;
		let used = 0, cut = "", kept = 0;
		for (const c of text) {
			used += WIDE.test(c) ? 2 : 1;
			if (used > cells)
				return kept >= 3 ? cut + ".." : "";
			if (used + 2 <= cells) {
				cut += c;
				kept++;
			}
		}
		return text;
	}

	return {count, value, percent, signed, change, fit};
})();
