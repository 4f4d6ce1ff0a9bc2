#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How heavy a picture of 10,000 boxes is: the file's size, and how long its first zoom and
first search take in Chromium. Writes build/bench/picture.json."""

import json
import os
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scenario"))
import browser  # noqa: E402
import lib  # noqa: E402
import result  # noqa: E402

ROUNDS = 10


def one(form, node, env):
    """[size, boxes, answers of bench.js] of the picture in a format."""
    path = os.path.join(browser.PLACE, "bench." + form)
    browser.render("bench", browser.wide(10000), form)
    with open(path, encoding="utf-8") as file:
        boxes = int(re.search(r"^boxes (\d+)$", file.read(), re.MULTILINE).group(1))
    if form == "html":  # its canvas has no labels to look for
        return os.path.getsize(path), boxes, None
    out = subprocess.run([node, os.path.join(browser.SOURCE, "bench.js"), path, str(ROUNDS)],
                         env=env, capture_output=True, text=True, check=True, timeout=300)
    return os.path.getsize(path), boxes, json.loads(out.stdout)


def main():
    try:
        chromium, node = browser.tools()
    except SystemExit:
        raise lib.Skip("no browser, or no playwright-core")
    env = {**os.environ, "BROWSER": chromium,
           "NODE_PATH": os.path.join(browser.PLACE, "node_modules")}
    size, boxes, answers = one("svg", node, env)
    html_size = one("html", node, env)[0]
    rows = [["open, complete", answers["open"]]]
    for what in ("zoom", "search"):
        for key, text in (("script", "script done"), ("drawn", "frame drawn"),
                          ("thread", "CPU of the page's thread")):
            rows.append([f"first {what}, {text}", [answer[key] for answer in answers[what]]])
    print(f"{boxes} boxes: SVG {size / 1e6:.2f} MB, HTML {html_size / 1e6:.2f} MB; "
          f"{ROUNDS} new pages each, milliseconds")
    result.table(["", "median", "min", "max"],
                 [[text, *(f"{figure(values):.1f}" for figure in (statistics.median, min, max))]
                  for text, values in rows])
    result.save("picture", {"boxes": boxes, "svg_bytes": size, "html_bytes": html_size,
                            "figures": dict(rows)})


if __name__ == "__main__":
    result.run(main)
