#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl over files, as a person uses it: convert, flamegraph, report, diff and timeline, from files
and pipes, with what is said and with which exit code when it cannot be. No perfd is needed."""

import gzip
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402

FOLDED = "app;main;read_[k] 3\napp;main;work 12\n"
PERF = ("app 7/8 [000] 1.000000: 1000 cpu-clock:\n\t10 work+0x1 (/bin/app)\n\t20 main (/bin/app)"
        "\n\napp 7/8 [000] 2.500000: 3000 cpu-clock:\n\t20 main (/bin/app)\n\n")


def perfctl(*args, data=None, place=None, code=0):
    done = subprocess.run([lib.PERFCTL, *args], input=data, capture_output=True, cwd=place,
                          timeout=lib.PERFCTL_SECONDS, check=False)
    lib.equal(done.returncode, code, f"exit code of {args} ({done.stderr.decode()})")
    return done.stdout.decode(), done.stderr.decode()


def from_standard_input():
    for data in (FOLDED.encode(), gzip.compress(FOLDED.encode())):
        lib.equal(perfctl("convert", data=data)[0], FOLDED, "folded from a pipe")
        lib.equal(perfctl("convert", "-", "-f", "folded", data=data)[0], FOLDED, "with -")
        svg, _ = perfctl("flamegraph", data=data)
        lib.contains(svg, "<svg", "flamegraph's standard output")
    report, _ = perfctl("report", "-", data=PERF.encode())
    lib.contains(report, "in 2 windows of 1.00 s: min 1.00 µs", "windows of time")
    folded, _ = perfctl("convert", "--annotate", "tid", data=PERF.encode())
    lib.equal(folded, "app-7/8;main 3000\napp-7/8;main;work 1000\n", "--annotate tid")


def from_files():
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "x.folded")
        with open(path, "w", encoding="utf-8") as file:
            file.write(FOLDED)
        # Options may stand behind the file, and the extension chooses the format.
        for name in ("x.pb.gz", "x.perf", "x.speedscope.json", "x.csv", "x.callgrind"):
            _, said = perfctl("convert", path, "-o", name, place=place)
            lib.contains(said, f"perfctl: wrote {name}", "what is said")
        lib.equal(perfctl("convert", "x.pb.gz", place=place)[0], FOLDED, "pprof read again")
        lib.equal(perfctl("convert", "x.perf", place=place)[0],
                  FOLDED.replace("app", "unknown;app"), "perf's text, which names threads, again")
        perfctl("flamegraph", "x.folded", place=place)
        lib.check(os.path.exists(os.path.join(place, "perfd-x.svg")), "no perfd-x.svg")
        report = json.loads(perfctl("report", path, "--json")[0])
        lib.equal([report["total"], report["title"]], [15, "x.folded"], "report --json")
        for form in ("tree", "chart"):
            lib.contains(perfctl("report", path, "-f", form)[0], "work", form)


def malformed_lines_are_told():
    out, said = perfctl("convert", data=b"a;b 1\nnonsense\na;c 2\n")
    lib.equal(out, "a;b 1\na;c 2\n", "what was read")
    lib.contains(said, "standard input: not understood and skipped: line 2", "what is said")


def differences():
    with tempfile.TemporaryDirectory() as place:
        for name, text in (("a", FOLDED), ("b", "app;main;work 30\napp;main;new 9\n")):
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write(text)
        table, _ = perfctl("diff", "a", "b", "--by", "value", place=place)
        for part in ("+18", "read", "(gone)", "new", "(new)"):
            lib.contains(table, part, "the table")
        lib.contains(perfctl("diff", "a", "a", place=place)[0], "no difference", "diff a a")
        both, _ = perfctl("diff", "a", "b", "-f", "folded", place=place)
        lib.equal(both, "app;main;new 0 9\napp;main;read_[k] 3 0\napp;main;work 12 30\n",
                  "two columns")
        with open(os.path.join(place, "both"), "w", encoding="utf-8") as file:
            file.write(both)
        again = json.loads(perfctl("diff", "both", "--json", place=place)[0])
        lib.equal([again["all"]["before"], again["all"]["after"]], [15, 39], "diff of one file")
        perfctl("diff", "a", "b", "-o", "d.svg", "--widths", "after", place=place)
        with open(os.path.join(place, "d.svg"), encoding="utf-8") as file:
            lib.contains(file.read(), "1 boxes without a width in this view", "the foot")


def time_lines():
    with tempfile.TemporaryDirectory() as place:
        with open(os.path.join(place, "in.perf"), "w", encoding="utf-8") as file:
            file.write(PERF)
        table, _ = perfctl("timeline", "in.perf", "--step", "1s", place=place)
        lib.contains(table, "in 2 steps of 1.00 s", "the table")
        line = json.loads(perfctl("timeline", "in.perf", "--json", "--by", "kind", "--step", "1s",
                                  place=place)[0])
        lib.equal(line["schema"], "perfd.timeline/1", "schema")
        lib.equal([(one["name"], one["values"]) for one in line["series"]],
                  [("user", [1000, 3000])], "series")
        for name, begin in (("t.svg", "<?xml"), ("t.html", "<!DOCTYPE html>")):
            perfctl("timeline", "in.perf", "-o", name, place=place)
            with open(os.path.join(place, name), encoding="utf-8") as file:
                lib.check(file.read().startswith(begin), f"{name} does not begin with {begin}")


def errors():
    with tempfile.TemporaryDirectory() as place:
        for args, data, code, text in (
                (["convert"], b"", 1, "standard input: it is empty"),
                (["convert"], b"Dear reader,\n", 1, "none of the formats that can be read"),
                (["convert", "--from", "svg"], b"a 1\n", 2, "no format that can be read"),
                (["convert", "--annotate", "x"], b"a 1\n", 2, "expected pid, tid"),
                (["convert", "-f", "x"], b"a 1\n", 2, "no such format"),
                (["convert", "none"], b"", 1, "none: No such file"),
                (["convert", "/"], b"", 1, "/ is a directory"),
                (["convert", "a", "b"], b"", 2, 'takes no argument "b"'),
                (["convert", "--value", "x"], b"a 1\n", 1, 'no value "x"'),
                (["diff"], b"", 2, "name two files"),
                (["diff", "-"], b"a 1\n", 2, "has one column"),
                (["report", "-", "--last", "1m"], b"a 1\n", 2, "not of a file"),
                (["timeline", "-"], b"a 1\n", 1, "says nothing of time"),
                (["timeline", "-", "--by", "x"], b"a 1\n", 2, "expected process, thread"),
                (["timeline", "-", "--top", "50"], b"a 1\n", 2, "at most 9"),
                (["timeline", "-", "-f", "x"], b"a 1\n", 2, "can be table, json, svg or html"),
                (["timeline", "-", "--last", "1m"], b"a 1\n", 2, "not of a file"),
                (["convert", "--from", "pprof"], b"\x0a\x7f", 1, "damaged at byte 2")):
            _, said = perfctl(*args, data=data, place=place, code=code)
            lib.contains(said, text, f"what is said of {args}")
        lib.equal(os.listdir(place), [], "files left behind")


lib.main(from_standard_input, from_files, malformed_lines_are_told, differences, time_lines,
         errors)
