#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that allocate in their own ways: each gets its pattern and its rule, sums are those of
the programs' own counts, and what is large is all there."""

import contextlib
import json
import os
import subprocess

import lib
import lib_heap

KINDS = ("little", "bursts", "small", "heavy")
PLACES = ("take_little", "take_large", "take_small", "take_heavy")
USUAL = 64 << 10
SETTINGS = ("--set", "memory.heap_budget=1000", "--set", "cpu.frequency_hz=0")


class Run:
    """A program of a kind, and a session that looks at its allocations."""

    def __init__(self, perfd, place, stack, kind, **env):
        self.path = os.path.join(place, kind + ".perfd")
        self.kind, self.perfd, self.place = kind, perfd, place
        self.process = stack.enter_context(lib.started(
            lib.program("alloc_kinds"), kind, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, **env}))
        self.attached = stack.enter_context(perfd.start_ctl(
            "attach", "-e", "heap", "--pid", self.process.pid, "-o", self.path))
        perfd.wait_session(self.process.pid)

    def begin(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def row(self):
        rows = self.perfd.ctl_json("rates")["allocations"]
        return next((row for row in rows if row["pid"] == self.process.pid), None)

    def end(self):
        """(its own counts by place, bytes told by place, objects told by place)"""
        out, _ = self.process.communicate("stop\n", timeout=60)
        _, errors = self.attached.communicate(timeout=60)
        lib.equal(self.attached.returncode, 0, f"exit code of attach ({errors})")
        lib.contains(errors, " 0 lost", "what attach says")
        told = []
        for value in ("alloc_space", "alloc_objects"):
            folded = lib_heap.by_value(self.path, self.place, value)
            told.append({place: folded.within(place) for place in PLACES})
        return json.loads(out), *told

    def timeline(self, *options):
        return json.loads(lib.succeeds(
            lib.perfctl("timeline", self.path, "--json", *options)).stdout)


def check_sum(what, got, want, samples):
    """Within four and a half standard errors of so many samples."""
    off = got / want - 1
    print(f"{what}: {got} of {want}: {off:+.2%}, {samples:.0f} samples")
    lib.check(abs(off) < 4.5 / samples ** 0.5, f"{what} is off by {off:+.2%}")


def check_sums(kind, own, space, objects, interval):
    """`interval`: no rule that it had was above that."""
    place = f"take_{kind if kind != 'bursts' else 'little'}"
    samples = own[place]["bytes"] / interval
    check_sum(f"{kind}: bytes", space[place], own[place]["bytes"], samples)
    # Pieces are of sizes that differ by 25 times and less.
    check_sum(f"{kind}: objects", objects[place], own[place]["objects"], samples / 4)


# Pattern; the interval lies between, in usual ones.
RULES = {
    "little": ("rare", 1 / 64, 1 / 8),
    "bursts": ("bursts", 1 / 64, 1 / 4),
    "small": ("many small", 1 / 16, 1 / 2),
    "heavy": ("heavy", 2, 64),
}


def has_its_rule(run, rules, usual):
    row = run.row()
    pattern, low, high = rules[run.kind]
    return row and row["pattern"] == pattern and \
        usual * low <= row["interval_bytes"] <= usual * high


def check_large(run, own, space, objects):
    """All are there. Each size is known to a thousandth of it."""
    large = own["take_large"]
    lib.equal(objects["take_large"], large["objects"], f"{run.kind}: large pieces")
    if large["objects"]:
        off = space["take_large"] / large["bytes"] - 1
        print(f"{run.kind}: bytes of {large['objects']} large pieces {off:+.4%}")
        lib.check(abs(off) < 1e-3, f"large pieces are off by {off:+.3%}")


def check_time_line(run, pattern, usual):
    """Marks of what changed, and the interval beside the samples."""
    marks = [mark["text"] for mark in run.timeline()["marks"] if mark["key"] == "alloc_pattern"]
    lib.check(any(f": {pattern}; a sample in" in mark for mark in marks),
              f"no mark of the rule of {run.kind} in {marks}")
    values = run.timeline("--value", "heap interval")["series"][0]["values"]
    lib.check(usual in values and len(set(values) - {0}) > 1,
              f"{run.kind}: the interval on its time line: {values}")


def each_kind_has_its_rule():
    """All at the same time, by probes on the allocator, which change while they run."""
    lib.need_bpf()
    with lib.Perfd(*SETTINGS) as perfd, lib.folder() as place, contextlib.ExitStack() as stack:
        runs = [Run(perfd, place, stack, kind) for kind in KINDS]
        lib_heap.wait_for_probes(perfd, 3 * len(runs))
        for run in runs:
            run.begin()
        for run in runs:
            lib.wait_for(lambda run=run: has_its_rule(run, RULES, USUAL),
                         f"the rule of {run.kind}", 60)
            row = run.row()
            lib.equal((row["comm"], row["by"], row["usual_bytes"], row["band_bytes"]),
                      ("alloc_kinds", "probes", USUAL, 128 << 10), f"row of {run.kind}")
        text = perfd.ctl("rates").stdout
        for pattern, _, _ in RULES.values():
            lib.contains(text, pattern, "perfctl rates")
        longest = {run.kind: max(row["interval_bytes"], USUAL)
                   for run in runs for row in [run.row()]}
        for run in runs:
            own, space, objects = run.end()
            # The heavy one was sampled less, where that was more than it was granted.
            check_sums(run.kind, own, space, objects, longest[run.kind] * 4)
            check_large(run, own, space, objects)
            check_time_line(run, RULES[run.kind][0], USUAL)


# The library's own interval is eight times as long.
LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
LIBRARY_USUAL = 512 << 10
LIBRARY_RULES = {
    "little": ("rare", 1 / 64, 1 / 32),
    "bursts": ("bursts", 1 / 64, 1 / 4),
    "small": ("many small", 1 / 16, 1 / 2),
}


def the_library_is_told():
    """Rules are written into the programs that have libperfd-heap.so; not where the environment names
    an interval, and its own is back when the session is over."""
    lib.need_bpf()
    with lib.Perfd(*SETTINGS) as perfd, lib.folder() as place, contextlib.ExitStack() as stack:
        runs = [Run(perfd, place, stack, kind, LD_PRELOAD=LIBRARY) for kind in LIBRARY_RULES]
        fixed = Run(perfd, place, stack, "small", LD_PRELOAD=LIBRARY, PERFD_HEAP_INTERVAL="4096")
        for run in runs + [fixed]:
            lib.wait_for(lambda run=run: (run.row() or {}).get("by") == "library",
                         f"the library's probes in {run.kind}", 30)
            run.begin()
        for run in runs:
            lib.wait_for(lambda run=run: has_its_rule(run, LIBRARY_RULES, LIBRARY_USUAL),
                         f"the rule of {run.kind}", 60)
            lib.equal(run.row()["band_bytes"], 128 << 10, f"band of {run.kind}")
        row = fixed.row()
        lib.equal((row["interval_bytes"], row["band_bytes"], row["changes"] and 0),
                  (4096, 0, 0), "rule that the environment names")
        lib.contains(row["why_text"], "PERFD_HEAP_INTERVAL", "why")
        for run in runs:
            own, space, objects = run.end()
            if run.kind == "small":
                check_sums(run.kind, own, space, objects, LIBRARY_USUAL)
            check_large(run, own, space, objects)
            check_time_line(run, LIBRARY_RULES[run.kind][0], LIBRARY_USUAL)
        own, space, objects = fixed.end()
        check_sums("small", own, space, objects, 4096)


def off_is_as_before():
    """One interval for all, no size from which all are taken."""
    lib.need_bpf()
    with lib.Perfd(*SETTINGS, "--set", "memory.patterns=off") as perfd, lib.folder() as place, \
            contextlib.ExitStack() as stack:
        run = Run(perfd, place, stack, "heavy")
        lib_heap.wait_for_probes(perfd, 3)
        run.begin()
        lib.wait_for(lambda: (run.row() or {}).get("pattern") == "heavy", "the pattern", 30)
        row = run.row()
        lib.equal((row["interval_bytes"], row["band_bytes"], row["changes"],
                   row["coarse_samples"]), (USUAL, 0, 0, 0), "rule without patterns")
        lib.contains(row["why_text"], "off", "why")
        own, space, objects = run.end()
        check_sums("heavy", own, space, objects, USUAL)
        lib.equal([mark for mark in run.timeline()["marks"] if mark["key"] == "alloc_pattern"],
                  [], "marks of rules")


lib.main(each_kind_has_its_rule, the_library_is_told, off_is_as_before)
