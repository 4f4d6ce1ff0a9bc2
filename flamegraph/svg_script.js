/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes the picture answer. It is whole without this.
 */
const ROW = 17; /* px from one level to the next, as format_svg.c has it */
const CELL = 6.65; /* px a character of the labels, at most */
const BAR = 84, TIP_WIDTH = 520, TIP_HEIGHT = 170;

const root = document.currentScript.parentNode;
const profile = new FlameProfile(root.querySelector("#flame").textContent);
const stage = new SvgStage(root, profile);
const control = new FlameControl(profile, stage);

function settle() {
	if (stage.width() !== stage.drawnWidth || stage.alone)
		control.update();
}

if (stage.alone) {
	window.addEventListener("scroll", () => stage.follow(), {passive: true});
	window.addEventListener("resize", settle);
	/* The root is at the bottom: begin there. */
	if (!control.view.icicle)
		window.scrollTo(0, root.getBoundingClientRect().height);
	stage.follow();
}
/* The width may settle later than the event: the observer has the last word. */
new ResizeObserver(() => {
	if (stage.width() !== stage.drawnWidth)
		control.update();
}).observe(root);
