#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A process with 100,000 executable mappings that goes on mapping: its stacks are whole,
and what the kernel side is told of a change is what changed."""

import contextlib
import os
import subprocess

import lib

MAPPINGS = 100000
CPU_MS = 2000
BETWEEN_MS = 10
LEAF = 32  # UNWIND_LEAF_MAPPINGS
MAX_MAP_COUNT = "/proc/sys/vm/max_map_count"


@contextlib.contextmanager
def map_limit(count):
    """vm.max_map_count at least so high, and back."""
    with open(MAX_MAP_COUNT, encoding="ascii") as file:
        before = int(file.read())
    if before < count:
        with open(MAX_MAP_COUNT, "w", encoding="ascii") as file:
            file.write(str(count))
    try:
        yield
    finally:
        with open(MAX_MAP_COUNT, "w", encoding="ascii") as file:
            file.write(str(before))


def unwinder(perfd):
    return perfd.ctl_json("status")["unwinder"]


def a_change_costs_what_changed():
    with map_limit(MAPPINGS * 2 + 65530), lib.folder() as place, \
            subprocess.Popen([lib.program("many_maps"), str(MAPPINGS), str(CPU_MS)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            lib.equal(process.stdout.readline(), "ready\n", "what many_maps says")
            with lib.Perfd("--set", "cpu.frequency_hz=0", mappings="told") as perfd:
                path = os.path.join(place, "out.folded")
                with perfd.start_ctl("attach", "--pid", str(process.pid), "-F", "199",
                                     "-o", path) as attach:
                    perfd.wait_session(process.pid)
                    lib.wait_for(lambda: unwinder(perfd)["mapping_leaves"] >= MAPPINGS // LEAF,
                                 "the mappings to be known", 30)
                    before = unwinder(perfd)["mapping_leaves"]
                    process.stdin.write("\n")
                    process.stdin.flush()
                    lib.equal(attach.wait(60), 0, "exit code of attach")
                written = unwinder(perfd)["mapping_leaves"] - before
                lib.equal(unwinder(perfd)["mapping_sets_refused"], 0, "sets refused")
            stacks = lib.Folded.load(path).stacks
        finally:
            process.kill()
    burnt = [(frames, value) for frames, value in stacks if "burn" in frames]
    total = sum(value for _, value in burnt)
    whole = sum(value for frames, value in burnt
                if frames[1:3] == ["_start", "__libc_start_main_impl"] or frames[1] == "_start"
                if any(frames[i:i + 3] == ["main", "plugin_call", "burn"]
                       for i in range(len(frames))))
    lib.check(total > CPU_MS * 1e6 / 2, f"only {total} ns in burn: {stacks[:3]}")
    lib.check(whole >= 0.99 * total,
              f"{whole / total:.1%} whole: {[frames for frames, _ in burnt][:5]}")
    # Each change is a leaf, or two when one is full; the whole is three thousand.
    changes = CPU_MS / BETWEEN_MS
    lib.check(written <= 3 * changes, f"{written} leaves written for {changes:.0f} changes")


lib.main(a_change_costs_what_changed)
