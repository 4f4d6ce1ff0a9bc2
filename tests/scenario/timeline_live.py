#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that burns CPU for two seconds, in the time line of a running perfd."""

import json
import os
import subprocess

import lib


def a_program_comes_and_goes():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=199") as perfd:
        with lib.started(lib.program("shares"), 2, stdout=subprocess.PIPE, text=True) as process:
            out, _ = process.communicate(timeout=60)
        truth, name = json.loads(out)["cpu_ns"], f"shares ({process.pid})"

        def seen():
            line = perfd.ctl_json("timeline", "--top", "9")
            ends = [mark for mark in line["marks"] if mark["text"] == name + " ends"]
            return line if ends else None

        line = lib.wait_for(seen, f"the end of {name} in the time line")
        series = [one for one in line["series"] if one["name"] == name]
        lib.equal(len(series), 1, f"series of {name}")
        lib.equal(sum(series[0]["values"]), series[0]["total"], "sum of the values")
        lib.check(abs(series[0]["total"] / truth - 1) < 0.2,
                  f"{series[0]['total']} ns in the time line, {truth} ns in truth")
        keys = {mark["key"] for mark in line["marks"]
                if mark["text"].startswith(name) or mark["key"] == "peak"}
        lib.equal(keys, {"start", "exit", "peak"}, "marks")
        path = os.path.join(place, "x.svg")
        lib.succeeds(perfd.ctl("timeline", "--last", "1m", "-o", path))
        with open(path, encoding="utf-8") as file:
            lib.contains(file.read(), name, "the picture")


lib.main(a_program_comes_and_goes)
