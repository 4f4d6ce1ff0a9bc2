#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens flame graphs and reports in a real browser and does what a reader does:
tests/browser/*.js, driven by playwright-core (npm, with a lock file; installed here, into
build/browser) and Debian's Chromium. The pictures and screenshots stay in build/browser.
Without Chromium, Node or the package: exit 77, skipped."""

import os
import random
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
PLACE = os.path.join(BUILD, "browser")
SOURCE = os.path.join(ROOT, "tests", "browser")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 240  # seconds for npm, and for all tests of one kind


BEFORE = """app;main;parse;decode 300
app;main;parse;read 120
app;main;serve;alike 100
app;main;serve;hash 200
app;main;serve;old_path;lookup 250
app;main;<script>alert(1)</script> 30
"""
AFTER = """app;main;parse;decode 90
app;main;parse;read 160
app;main;serve;alike 100
app;main;serve;hash 290
app;main;serve;new_path;lookup 340
app;main;<script>alert(1)</script> 20
"""


def skip(why):
    print(why)
    sys.exit(77)


def tools():
    """(browser, node), with playwright-core where node finds it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    node, npm = shutil.which("node"), shutil.which("npm")
    if not browser:
        skip("no browser: install the package chromium")
    if not node or not npm:
        skip("no node: install the packages nodejs and npm")
    os.makedirs(PLACE, exist_ok=True)
    lock = os.path.join(PLACE, "package-lock.json")
    wanted = os.path.join(SOURCE, "package-lock.json")
    installed = os.path.join(PLACE, "node_modules", "playwright-core", "package.json")
    if not os.path.exists(installed) or open(lock).read() != open(wanted).read():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(SOURCE, name), PLACE)
        try:
            done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                                  cwd=PLACE, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            skip("npm ci: no answer")
        if done.returncode:
            skip("npm ci: " + (done.stderr.strip().splitlines() or ["failed"])[-1])
    return browser, node


def golden(name):
    with open(os.path.join(ROOT, "tests", "golden", name, "in"), encoding="utf-8") as file:
        return file.read()


def deep():
    """A stack of 190 frames and a flat part beside it."""
    chain = ";".join(f"level_{i:03}" for i in range(190))
    flat = "".join(f"stack app;flat_{i} 700\n" for i in range(60))
    return f"title deep\nvalue cpu nanoseconds\ncount truncated 1\nstack app;{chain} 90000\n{flat}"


def wide(boxes=10000):
    """About so many boxes of at least a tenth of a pixel, with names of real lengths."""
    chance = random.Random(5)
    words = ["alloc", "buffer", "client", "decode", "event", "flush", "handle", "insert", "parse",
             "queue", "read", "resolve", "socket", "table", "update", "write"]
    names = ["_".join(chance.choice(words) for _ in range(chance.randint(2, 5))) + f"_{i}"
             for i in range(2500)]
    lines, count = [], 0
    while count < boxes:
        depth = chance.randint(20, 34)
        stack = [names[(len(lines) // 2 ** (12 - min(i, 12)) * 31 + i * 7) % 2500]
                 for i in range(depth)]
        lines.append("stack app;" + ";".join(stack) + f" {chance.randint(900, 1100)}\n")
        count += depth - 11
    return "title wide\nvalue cpu nanoseconds\n" + "".join(lines)


def long_name():
    return ("title " + "t" * 100 + "\nvalue cpu nanoseconds\nstack app;" + "long_" * 2000 +
            "@" + "m" * 3000 + " 5\n")


def render(name, text, form, palette="kind"):
    """PLACE/name.form, from a profile as text (tests/unit/profile_text.h)."""
    source = os.path.join(PLACE, name + ".text")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(PLACE, f"{name}.{form}"), "wb") as out:
        subprocess.run([os.path.join(BUILD, "tests", "test_format_svg"), "--render", form, palette,
                        source], cwd=ROOT, stdout=out, check=True, timeout=PATIENCE)


def perf_script():
    """Three seconds of perf's text; the second halves of seconds are somebody else's."""
    samples = []
    for step in range(300):
        name = "early" if step % 100 < 50 else "late"
        samples.append(f"app 7 {100 + step / 100:.6f}: 10000000 cpu-clock:\n"
                       f"\t1000 {name}+0x1 (/bin/app)\n\t2000 main+0x2 (/bin/app)\n\n")
    return "".join(samples)


def two_programs():
    """Four seconds of perf's text in steps of 100 ms: one works all the time, another one
    twice as much from second 1 to 3."""
    samples = []
    for step in range(80):
        for name, works in (("steady", step % 2 == 0), ("<b>burst", 20 <= step < 60)):
            if works:
                samples.append(f"{name} 7 {100 + step / 20:.6f}: 50000000 cpu-clock:\n"
                               "\t1000 work+0x1 (/bin/app)\n\n")
    return "".join(samples)


def crowd():
    """More boxes than a report keeps: 210,000, of which a part is smaller than the rest."""
    lines = "".join(f"stack app;outer_{i // 700};inner_{i % 700} {1000 if i % 5 else 100}\n"
                    for i in range(210000))
    return "title crowd\nvalue cpu nanoseconds\n" + lines


def make_pictures():
    basic = golden("svg_basic")
    for form in ("svg", "html"):
        for name, text in (("basic", basic), ("hostile", golden("svg_hostile")), ("deep", deep()),
                           ("wide", wide()), ("long", long_name()), ("lines", golden("svg_lines"))):
            render(name, text, form)
    for form in ("html", "json", "folded"):
        render("report", golden("html_basic"), form)
    render("kernel", "value cpu nanoseconds\nstack app;schedule_[k]@[kernel] 5\n", "svg")
    render("crowd", crowd(), "html")
    source = os.path.join(PLACE, "times.perf")
    with open(source, "w", encoding="utf-8") as file:
        file.write(perf_script())
    subprocess.run([os.path.join(BUILD, "perfctl"), "convert", source, "-o",
                    os.path.join(PLACE, "times.html")], check=True, timeout=PATIENCE,
                   stderr=subprocess.DEVNULL)
    for name, text in (("before", BEFORE), ("after", AFTER)):
        with open(os.path.join(PLACE, name + ".folded"), "w", encoding="utf-8") as file:
            file.write(text)
    subprocess.run([os.path.join(BUILD, "perfctl"), "diff", "before.folded", "after.folded",
                    "--by", "value", "-o", "diff.svg"], cwd=PLACE, check=True, timeout=PATIENCE,
                   stderr=subprocess.DEVNULL)
    with open(os.path.join(PLACE, "two.perf"), "w", encoding="utf-8") as file:
        file.write(two_programs())
    for form in ("svg", "html"):
        subprocess.run([os.path.join(BUILD, "perfctl"), "timeline", "two.perf",
                        "--step", "100ms", "-o", "timeline." + form],
                       cwd=PLACE, check=True, timeout=PATIENCE, stderr=subprocess.DEVNULL)
    for palette in ("hot", "module", "memory", "name", "colour-blind"):
        render(palette, basic, "svg", palette)


def main():
    browser, node = tools()
    make_pictures()
    env = {**os.environ, "BROWSER": browser, "NODE_PATH": os.path.join(PLACE, "node_modules")}
    failed = 0
    for script in ("svg.js", "diff.js", "timeline.js", "html.js"):
        failed |= subprocess.run([node, os.path.join(SOURCE, script), PLACE], env=env,
                                 timeout=PATIENCE).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
