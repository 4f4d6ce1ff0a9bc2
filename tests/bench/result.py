# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches share: tables, files, and the machine they ran on."""

import json
import os
import platform
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [str(row[0]).ljust(widths[0])]
        cells += [str(cell).rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells))


def machine():
    return {"kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count()}


def save(name, data):
    place = os.path.join(lib.BUILD, "bench")
    os.makedirs(place, exist_ok=True)
    path = os.path.join(place, name + ".json")
    with open(path, "w") as file:
        json.dump({"bench": name, "machine": machine(), **data}, file, indent=1)
        file.write("\n")
    print(f"  {os.path.relpath(path)}\n")


def run(main):
    try:
        main()
    except lib.Skip as reason:
        print(f"skip {os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(0)
