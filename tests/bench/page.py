#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""page.py RESULTS...: writes the tables of docs/benchmarks.md anew, between its markers, of
results of make bench; of several, a row is taken of the last one that measured it."""

import os
import re
import sys

import report
from measure import lib

PAGE = os.path.join(lib.ROOT, "docs", "benchmarks.md")
MET = {True: "", False: " **not kept**", None: " (cannot be said)"}
BEGIN, END = "<!-- results: written by make bench-table -->", "<!-- end of results -->"


def gibibytes(value):
    return f"{value / 2 ** 30:.0f} GiB" if value else "?"


def heading(results):
    machine, versions = results["machine"], results["versions"]
    kind = "virtual machine" if machine["virtual"] else "machine"
    told = "; ".join(f"{name}: {text}" for name, text in versions.items() if name != "commit")
    return [f"{results['date'][:10]}, perfd of {versions.get('commit', '?')}, "
            f"{results['mode']} suite in {results['seconds'] / 60:.1f} minutes: {kind} with "
            f"{machine['cpus']} CPUs ({machine['model']}), {gibibytes(machine['memory_bytes'])}, "
            f"Linux {machine['kernel']}, load before it {machine['load_before'][0]:.2f}.", "",
            f"{told}.", ""]


def limit_text(row):
    if row["limit"] is None or row["status"] != "ok":
        return ""
    sign = "≤" if row["better"] == "less" else "≥"
    return f"{sign} {report.number(row['limit'])}{MET[row['met']]}"


def cells(row):
    what = row["what"].replace("|", "/")
    if row["status"] != "ok":
        return [f"`{row['name']}`", what, f"{row['status']}: {row['reason']}".replace("|", "/"),
                "", "", "", "", "", ""]
    several = row["n"] > 1
    remarks = [text for text in (row["note"], f"cut: {row['cut']}" if row["cut"] else None) if text]
    return [f"`{row['name']}`", what + (f" ({'; '.join(remarks)})" if remarks else ""),
            f"{report.number(row['median'])} {row['unit']}",
            f"{report.number(row['low'])} … {report.number(row['high'])}" if several else "",
            *(report.number(row[key]) if several else "" for key in ("min", "p95", "p99", "max")),
            limit_text(row)]


def merged(every):
    rows = {}
    for results in every:
        for row in results["rows"]:
            if row["status"] == "ok" or row["name"] not in rows:
                rows[row["name"]] = row
    return list(rows.values())


def tables(every):
    lines = []
    for results in every:
        lines += heading(results)
    lines += ["| row | what | median | 95 % | min | p95 | p99 | max | promised |",
              "|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in merged(every)]
    return "\n".join(lines)


def main():
    every = [report.load(path) for path in sys.argv[1:]]
    if not every:
        sys.exit("usage: page.py RESULTS...")
    with open(PAGE) as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        sys.exit(f"{PAGE}: the markers of the results are not there")
    text = re.sub(re.escape(BEGIN) + ".*" + re.escape(END),
                  lambda _: f"{BEGIN}\n\n{tables(every)}\n\n{END}", text, flags=re.DOTALL)
    with open(PAGE + ".new", "w") as file:
        file.write(text)
    os.replace(PAGE + ".new", PAGE)


if __name__ == "__main__":
    main()
