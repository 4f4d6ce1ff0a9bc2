#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that knows its own CPU time by function, and what perfctl says of it."""

import json
import os
import xml.etree.ElementTree

import lib

HZ = 499
SECONDS = 8


def record(place, name, *options):
    """Profiles shares; its own JSON and the file that perfctl wrote."""
    path = os.path.join(place, name)
    result = lib.succeeds(lib.perfctl("record", "-F", HZ, "-o", path, *options, "--",
                                      lib.program("shares"), SECONDS))
    return json.loads(result.stdout), path


def shares_agree():
    lib.need_bpf()
    with lib.folder() as place:
        with lib.Wall() as wall:
            truth, path = record(place, "shares.folded")
        folded = lib.Folded.load(path)
        samples = folded.total / (1e9 / HZ)
        for function, spent in truth["functions"].items():
            want = spent / truth["cpu_ns"]
            got = folded.within(function) / folded.total
            error = (want * (1 - want) / samples) ** 0.5
            print(f"{function}: {got:.4f}, by its own clock {want:.4f}, "
                  f"standard error {error:.4f}")
            lib.check(abs(got - want) <= 4 * error,
                      f"{function} has {got:.4f}, expected {want:.4f} within 4 x {error:.4f}")
        # Nothing before the exec, nothing of others.
        lib.equal({frames[0] for frames, _ in folded.stacks}, {"shares"}, "comms in the file")
        lib.off_by(folded.total, truth["cpu_ns"], HZ, wall.seconds, 0.02, "the total")


def stacks_are_whole():
    """From main to the leaf, functions under main only; the few that are not whole (of the
    program's first moment, before its mappings and tables are known) say so."""
    lib.need_bpf()
    with lib.folder() as place:
        _, path = record(place, "shares.folded")
        folded = lib.Folded.load(path)
        lib.check(folded.within("main") >= 0.99 * folded.total,
                  f"main is in {folded.within('main') / folded.total:.2%} of the stacks")
        for frames, _ in folded.stacks:
            for function in ("work_50", "work_30", "work_20"):
                if function in frames:
                    caller = frames[frames.index(function) - 1]
                    lib.check(caller == "main" or caller[0] == "[", f"{caller} calls {function}")


def formats_by_extension():
    lib.need_bpf()
    with lib.folder() as place:
        for name in ("shares.svg", "shares.json", "shares.txt"):
            path = os.path.join(place, name)
            lib.succeeds(lib.perfctl("record", "-F", HZ, "-o", path, "--",
                                     lib.program("shares"), 1))
            with open(path) as file:
                text = file.read()
            if name.endswith(".svg"):
                root = xml.etree.ElementTree.fromstring(text)
                lib.check(root.tag.endswith("svg"), f"root element is {root.tag}")
            elif name.endswith(".json"):
                report = json.loads(text)
                lib.equal(report["schema"], "perfd.report/1", "schema")
                lib.equal(report["lost"], 0, "lost")
            lib.contains(text, "work_50", name)


def stdout_and_format():
    lib.need_bpf()
    with lib.folder() as place, open(os.path.join(place, "out"), "w+") as out:
        with lib.Wall() as wall:
            lib.succeeds(lib.perfctl("record", "-F", HZ, "-f", "folded", "-o", "-", "--",
                                     lib.program("threads"), 2, 300, stdout=out))
        out.seek(0)
        folded = lib.Folded(out.read())
        lib.check({"t-0", "t-1"} <= {frames[0] for frames, _ in folded.stacks},
                  "not each thread under its own name")
        lib.off_by(folded.of_comm("t-0"), 300e6, HZ, wall.seconds, 0.1, "t-0")


lib.main(shares_agree, stacks_are_whole, formats_by_extension, stdout_and_format)
