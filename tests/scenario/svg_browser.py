#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens flame graphs in a real browser: zoom, search, keys, window sizes, colours.

    svg_browser.py                                      the test, as TAP
    svg_browser.py --screenshot OUT.png [--dark] [--search REGEX] [--click NAME] FILE.svg

The pictures are the golden files of the SVG suite, with style and script put in as
format_svg.c does it (the suite checks that). Chromium is driven through its debugging
pipe, with Python's standard library alone; without Chromium: exit 77, skipped."""

import argparse
import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--remote-debugging-pipe", "--window-size=1400,900"]
PATIENCE = 30  # seconds for one answer of the browser


class Browser:
    """One Chromium with one page. Commands and events are JSON with a NUL after each, on
    file descriptors 3 and 4 of the browser."""

    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()

        def take_fds():
            read, write = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_read, to_write))
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, "--user-data-dir=" + profile, "about:blank"], preexec_fn=take_fds,
            close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self.call(domain + ".enable")

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)

    def message(self, deadline):
        while b"\0" not in self.rest:
            if not select.select([self.back], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError("the browser does not answer")
            more = os.read(self.back, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self.rest += more
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, **params):
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.message(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)
                if answer["method"] == "Page.javascriptDialogOpening":
                    raise RuntimeError("a dialog opened: a name was run as a script")

    def js(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            message = self.message(deadline)
            if "method" in message:
                self.events.append(message)

    def settle(self):
        """Until the browser has laid out and drawn what was asked for."""
        self.js("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def exceptions(self):
        return [event["params"]["exceptionDetails"].get("exception", {}).get("description", "?")
                for event in self.events if event["method"] == "Runtime.exceptionThrown"]

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        # The resize event comes with a later frame, and the page answers in the next.
        deadline = time.monotonic() + PATIENCE
        while self.js("[innerWidth, innerHeight].join()") != f"{width},{height}":
            if time.monotonic() > deadline:
                raise RuntimeError("the window does not take its new size")
            self.settle()
        self.settle()

    def mouse(self, x, y, click=False):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                          clickCount=1)
        self.settle()

    def key(self, key, code, control=False):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                      modifiers=2 if control else 0)
        self.settle()

    def type(self, text):
        self.call("Input.insertText", text=text)
        self.settle()

    def escape(self):
        self.key("Escape", 27)

    def slash(self):
        self.key("/", 191)


HELPERS = """
window.all = () => Array.from(document.querySelectorAll("#frames g"));
window.nameOf = (g) => g.querySelector("title").textContent.split("\\n")[0];
window.named = (name) => window.all().filter((g) => window.nameOf(g) === name);
window.box = (name) => {
    const g = window.named(name)[0], r = g.querySelector("rect"), at = r.getBoundingClientRect();
    return {x: parseFloat(r.getAttribute("x")), width: parseFloat(r.getAttribute("width")),
            shown: g.style.display !== "none", up: g.classList.contains("up"),
            hit: g.classList.contains("hit"), label: (g.querySelector("text") || {}).textContent || "",
            cx: at.left + at.width / 2, cy: at.top + at.height / 2, fill: getComputedStyle(r).fill};
};
window.geometry = () => window.all().map((g) => {
    const r = g.querySelector("rect");
    return [parseFloat(r.getAttribute("x")), parseFloat(r.getAttribute("width")), g.style.display].join();
}).join(" ");
window.text = (id) => document.getElementById(id).textContent;
window.spilled = () => window.all().filter((g) => {
    const t = g.querySelector("text"), r = g.querySelector("rect");
    return g.style.display !== "none" && t && t.textContent &&
        t.getComputedTextLength() + 4 > r.getBoundingClientRect().width;
}).map(window.nameOf);
"""


def whole(golden, folder):
    """The golden picture with style and script, as a file; its address."""
    def read(path):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            return file.read()
    svg = read(f"tests/golden/{golden}/want")
    svg = svg.replace("<style></style>", "<style>\n%s</style>" % read("flamegraph/svg_style.css"))
    head, tail = svg.rsplit("<script><![CDATA[]]></script>", 1)
    svg = head + "<script><![CDATA[\n%s]]></script>" % read("flamegraph/svg_script.js") + tail
    path = os.path.join(folder, golden + ".svg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg)
    return "file://" + path


def same(got, want, what):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def near(got, want, what, within=0.01):
    assert abs(got - want) < within, f"{what}: got {got}, want {want}"


def click(page, name):
    box = page.js(f"box({json.dumps(name)})")
    page.mouse(box["cx"], box["cy"], click=True)


def load(page, url):
    page.open(url)
    page.settle()
    page.js(HELPERS)


def test_opens_fluid(page, urls):
    load(page, urls["basic"])
    same(page.exceptions(), [], "exceptions")
    same(page.js("document.documentElement.hasAttribute('viewBox')"), False, "viewBox")
    same(page.js("text('name')"), "all", "status line")
    near(page.js("document.getElementById('frames').getBoundingClientRect().width"),
         0.98 * 1400, "width of the boxes")
    same(page.js("box('main').label"), "main", "label")


def test_labels_fit_any_window(page, urls):
    load(page, urls["basic"])
    for width in (1400, 900, 500, 2200):
        page.resize(width, 900)
        same(page.js("spilled()"), [], f"labels wider than their boxes at {width} px")
    same(page.js("box('processCommand').label"), "processCommand", "label in a wide window")
    page.resize(1400, 900)


def test_status_line_follows_the_mouse(page, urls):
    load(page, urls["basic"])
    box = page.js("box('tcp_recvmsg')")
    page.mouse(box["cx"], box["cy"])
    same(page.js("text('name')"), "tcp_recvmsg", "name")
    same(page.js("text('place')"), "kernel", "place")
    same(page.js("text('figures')"), "total 882 ms (19.6 %) \u00b7 self 882 ms (19.6 %)", "figures")
    page.mouse(5, 5)
    same(page.js("text('name')"), "all", "name when nothing is under the mouse")


def test_zoom_by_click_and_back(page, urls):
    load(page, urls["basic"])
    before = page.js("geometry()")
    share = page.js("box('read').width / box('readQueryFromClient').width") * 100
    click(page, "readQueryFromClient")
    zoomed = page.js("box('readQueryFromClient')")
    near(zoomed["x"], 0, "x of the box clicked")
    near(zoomed["width"], 100, "width of the box clicked")
    near(page.js("box('read').width"), share, "width of a child")
    same([page.js(f"box('{name}').up") for name in ("all", "aeMain", "readQueryFromClient")],
         [True, True, False], "faded")
    near(page.js("box('aeMain').width"), 100, "width of an ancestor")
    same(page.js("box('writeToClient').shown"), False, "a sibling is shown")
    same(page.js("spilled()"), [], "labels wider than their boxes")
    box = page.js("box('call')")
    page.mouse(box["cx"], box["cy"])
    assert "of view" in page.js("text('figures')"), page.js("text('figures')")
    click(page, "aeMain")  # an ancestor: out again, one part of the way
    same(page.js("box('writeToClient').shown"), True, "shown again")
    page.js("document.getElementById('reset').click()")
    same(page.js("geometry()"), before, "boxes after the reset")
    same(page.js("document.getElementById('reset').hidden"), True, "reset hidden")


def test_search_counts_what_it_finds(page, urls):
    load(page, urls["basic"])
    page.slash()
    same(page.js("document.activeElement.id"), "search", "focus after /")
    page.type("^rehash$")
    same(page.js("named('rehash').map((g) => g.classList.contains('hit')).join()"),
         "true,true,true", "hits")
    same(page.js("document.querySelectorAll('#frames .hit').length"), 3, "number of hits")
    same(page.js("text('matches')"), "matched 1.78 % of view, 1.78 % of all", "recursion counted once")
    page.escape()
    same(page.js("document.querySelectorAll('#frames .hit').length"), 0, "hits after Escape")
    same(page.js("text('matches')"), "", "matches after Escape")


def test_search_looks_at_names_only(page, urls):
    load(page, urls["basic"])
    for word in ("total", "self", r"libc\.so", r"\d ms"):
        page.js("document.getElementById('search').focus()")
        page.type(word)
        same(page.js("text('matches')"), "no match", f"search for {word}")
        page.escape()


def test_search_within_a_zoom(page, urls):
    load(page, urls["basic"])
    click(page, "readQueryFromClient")
    page.key("f", 70, control=True)
    same(page.js("document.activeElement.id"), "search", "focus after Ctrl-F")
    page.type("DO_syscall|do_SYSCALL")
    same(page.js("text('matches')"), "no match", "capitals ask for capitals")
    page.js("document.getElementById('search').select()")
    page.type("do_syscall")
    read = page.js("box('read').width")
    got = page.js("text('matches')")
    want = f"matched {read:.1f} % of view, 62.8 % of all"
    same(got, want, "matches")
    page.escape()
    same(page.js("box('aeMain').up"), True, "the first Escape ends the search only")
    page.escape()
    same(page.js("box('aeMain').up"), False, "the second one ends the zoom")


def test_bad_patterns_are_told(page, urls):
    load(page, urls["basic"])
    page.slash()
    page.type("(")
    same(page.js("text('matches')"), "not a regular expression", "message")
    page.type("main)")
    assert page.js("text('matches')").startswith("matched "), page.js("text('matches')")
    same(page.exceptions(), [], "exceptions")


def test_bar_stays_in_sight(page, urls):
    load(page, urls["basic"])
    page.resize(1000, 260)
    for y in (0, 100, 10000):
        page.js(f"window.scrollTo(0, {y})")
        page.settle()
        near(page.js("document.getElementById('bar').getBoundingClientRect().bottom"), 260,
             f"bottom of the bar, scrolled to {y}")
    foot = page.js("document.querySelector('#foot text:last-child').getBoundingClientRect().bottom")
    bar = page.js("document.getElementById('bar').getBoundingClientRect().top")
    assert foot <= bar, "the bar hides the foot"
    page.resize(1400, 900)


def test_names_run_nothing(page, urls):
    load(page, urls["hostile"])
    same(page.exceptions(), [], "exceptions")
    same(page.js("document.querySelectorAll('script').length"), 1, "scripts")
    same(page.js("named(']]><script>alert(4)</script>').length"), 1, "the name as text")
    click(page, "]]><script>alert(4)</script>")
    near(page.js("box(']]><script>alert(4)</script>').width"), 100, "zoomed")
    same(page.js("document.querySelectorAll('#bar script').length"), 0, "scripts in the bar")
    page.slash()
    page.type("<script>")
    assert page.js("text('matches')").startswith("matched 100.0 % of view"), "search"


def test_dark_and_light(page, urls):
    fills = {}
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        load(page, urls["basic"])
        fills[scheme] = [page.js("getComputedStyle(document.querySelector('.page')).fill"),
                         page.js("box('main').fill"), page.js("box('vfs_read').fill")]
    same(len(set(fills["light"] + fills["dark"])), 6, f"colours {fills}")
    page.call("Emulation.setEmulatedMedia", features=[])


def test_a_picture_without_scripts(page, urls):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(urls["basic"])
        page.js(HELPERS)
        same(page.js("document.documentElement.getAttribute('width')"), "1200", "width")
        same(page.js("document.getElementById('bar')"), None, "bar")
        same(page.js("box('processCommand').label"), "processCommand", "label")
        same(page.js("spilled()"), [], "labels wider than their boxes")
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    with open(urls["folder"] + "/page.html", "w", encoding="utf-8") as file:
        file.write("<!DOCTYPE html><img id='i' src='svg_basic.svg' style='width:600px'>")
    page.open("file://" + urls["folder"] + "/page.html")
    same(page.js("document.getElementById('i').naturalWidth"), 1200, "natural width as an image")
    near(page.js("document.getElementById('i').height"),
         page.js("document.getElementById('i').naturalHeight") / 2, "height of the half-size image",
         within=1)


TESTS = [value for name, value in list(globals().items()) if name.startswith("test_")]


def run_tests(program):
    failed = 0
    with tempfile.TemporaryDirectory(prefix="perfd-svg-") as folder:
        urls = {"basic": whole("svg_basic", folder), "hostile": whole("svg_hostile", folder),
                "folder": folder}
        page = Browser(program, os.path.join(folder, "profile"))
        try:
            page.resize(1400, 900)
            print(f"1..{len(TESTS)}")
            for number, test in enumerate(TESTS, 1):
                name = test.__name__[len("test_"):].replace("_", " ")
                try:
                    test(page, urls)
                    print(f"ok {number} - {name}", flush=True)
                except (AssertionError, RuntimeError) as error:
                    failed += 1
                    print(f"not ok {number} - {name}: {error}", flush=True)
        finally:
            page.close()
    return 1 if failed else 0


def take_screenshot(program, args):
    with tempfile.TemporaryDirectory(prefix="perfd-svg-") as folder:
        page = Browser(program, folder)
        try:
            page.resize(1400, 900)
            page.call("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme",
                                 "value": "dark" if args.dark else "light"}])
            load(page, "file://" + os.path.abspath(args.file))
            if args.click:
                click(page, args.click)
            if args.search:
                page.slash()
                page.type(args.search)
            shot = page.call("Page.captureScreenshot", format="png")["data"]
            with open(args.screenshot, "wb") as file:
                file.write(base64.b64decode(shot))
        finally:
            page.close()
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--screenshot")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--search")
    parser.add_argument("--click")
    parser.add_argument("file", nargs="?")
    args = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not program:
        print("no browser: install the package chromium")
        return 77
    return take_screenshot(program, args) if args.screenshot else run_tests(program)


if __name__ == "__main__":
    sys.exit(main())
