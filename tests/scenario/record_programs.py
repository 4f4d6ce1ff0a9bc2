#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl record over programs that make a profiler's life hard."""

import os

import lib

HZ = 999


def record(*command):
    with lib.folder() as place:
        path = os.path.join(place, "out.folded")
        lib.succeeds(lib.perfctl("record", "-F", HZ, "-o", path, "--", *command))
        return lib.Folded.load(path)


def about(got_ns, want_ms, what):
    lib.check(abs(got_ns - want_ms * 1e6) <= 0.1 * want_ms * 1e6 + 10e6,
              f"{what}: {got_ns / 1e6:.0f} ms, expected about {want_ms} ms")


def deep_recursion():
    lib.need_bpf()
    folded = record(lib.program("deep"), 100, 500)
    frames = max((frames for frames, _ in folded.stacks if "bottom" in frames), key=len)
    lib.equal(frames.count("descend"), 100, "calls of descend in a stack")
    lib.check("main" in frames, "main is missing")


def deeper_than_the_limit():
    """Says so in the stack, and keeps the leaf."""
    lib.need_bpf()
    folded = record(lib.program("deep"), 5000, 500)
    cut = sum(value for frames, value in folded.stacks
              if "[truncated]" in frames and "bottom" in frames)
    lib.check(cut >= 0.9 * folded.total,
              f"only {cut / folded.total:.1%} of the stacks say that they were cut short")


def children_of_children():
    lib.need_bpf()
    folded = record(lib.program("spawner"), 2, 300)
    about(folded.within("parent_work"), 300, "parent_work")
    about(folded.within("child_work"), 600, "child_work of two children")
    about(folded.within("grandchild_work"), 600, "grandchild_work of two grandchildren")


def exec_in_place():
    lib.need_bpf()
    folded = record(lib.program("exec_chain"), 3, 200)
    about(folded.within("before_exec"), 600, "before_exec, three times")
    about(folded.within("after_exec"), 200, "after_exec")


def loaded_and_unloaded():
    lib.need_bpf()
    folded = record(lib.program("dlopener"), 100, 5)
    about(folded.within("plugin_work"), 500, "plugin_work, five times loaded")


def deleted_file():
    lib.need_bpf()
    folded = record(lib.program("deleted"), 500)
    about(folded.within("deleted_work"), 500, "deleted_work")


def named_threads():
    lib.need_bpf()
    folded = record(lib.program("threads"), 4, 200)
    for number in range(4):
        about(folded.of_comm(f"t-{number}"), 200, f"thread t-{number}")
    about(folded.within("even_work"), 400, "even_work")
    about(folded.within("odd_work"), 400, "odd_work")


lib.main(deep_recursion, deeper_than_the_limit, children_of_children, exec_in_place,
         loaded_and_unloaded, deleted_file, named_threads)
