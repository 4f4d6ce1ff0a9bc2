#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree as the design has it: known names at the top level, nothing generated
under version control, a licence line in each source, no source of more than 600
lines outside tests/."""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOP = {"daemon", "bpf", "symbolizer", "flamegraph", "tests", "configs", "docs", "man", "Makefile",
       "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"}
GENERATED = re.compile(r"(^|/)(build/|vmlinux\.h$|__pycache__/)|\.(o|d|a|so|pyc|skel\.h)$")
SOURCE = re.compile(r"\.(c|h|py|sh|js)$")
LINES_MAX = 600


def tracked():
    listing = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files"], cwd=ROOT,
                             capture_output=True, text=True)
    if listing.returncode == 0 and listing.stdout:
        return [name for name in listing.stdout.splitlines()
                if os.path.exists(os.path.join(ROOT, name))]
    # An unpacked archive: everything but what the build makes.
    names = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("build", "__pycache__", ".git")]
        names += [os.path.relpath(os.path.join(folder, name), ROOT) for name in files]
    return names


def complaints(name):
    top = name.split("/")[0]
    if top not in TOP and not top.startswith("."):
        yield f"{top}: not one of the names the top level has"
    if GENERATED.search(name):
        yield f"{name}: made by the build, does not belong under version control"
    if not SOURCE.search(name):
        return
    with open(os.path.join(ROOT, name), errors="replace") as file:
        lines = file.read().splitlines()
    if not any("SPDX-License-Identifier: GPL-2.0-or-later" in line for line in lines[:3]):
        yield f"{name}: no SPDX-License-Identifier line at its head"
    if top != "tests" and len(lines) > LINES_MAX:
        yield f"{name}: {len(lines)} lines; above {LINES_MAX} it asks to be two files"


def main():
    found = sorted({text for name in tracked() if not name.startswith("tests/golden/")
                    for text in complaints(name)})
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
