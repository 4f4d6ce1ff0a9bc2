#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocations of a program that counts its own: by libperfd-heap.so's probes, with what is
in use, and by probes on its allocator."""

import json
import os
import subprocess

import lib
import lib_heap

LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
PLACES = ("churn", "grow", "keep")


def values(path, place, name):
    """Sum by place in the program of one of the profile's values."""
    folded = lib_heap.by_value(path, place, name)
    return {function: folded.within(function) for function in PLACES}, folded.total


def check_sum(what, got, want, samples):
    """Within four standard errors of so many samples."""
    off = got / want - 1
    print(f"{what}: {got} of {want}: {off:+.2%}, {samples:.0f} samples")
    lib.check(abs(off) < 4 / samples ** 0.5, f"{what} is off by {off:+.2%}")


def by_the_library():
    lib.need_bpf()
    with lib.Perfd() as perfd, lib.folder() as place:
        path = os.path.join(place, "x.pb.gz")
        env = {**os.environ, "LD_PRELOAD": LIBRARY, "PERFD_HEAP_INTERVAL": "32768"}
        with lib.started(lib.program("allocs"), 1500, 2000, "wait", env=env, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 path) as attached:
                perfd.wait_session(process.pid)
                lib_heap.wait_for_probes(perfd, 2, "the library's probes")
                out, _ = process.communicate("go\n", timeout=60)
                _, errors = attached.communicate(timeout=60)
                lib.equal(attached.returncode, 0, f"exit code of attach ({errors})")
        truth = json.loads(out)
        wanted = sum(truth[name]["bytes"] for name in PLACES)
        space, whole = values(path, place, "alloc_space")
        objects, _ = values(path, place, "alloc_objects")
        live, _ = values(path, place, "inuse_space")
        counts, _ = values(path, place, "inuse_objects")
        check_sum("all bytes", whole, wanted, wanted / 32768)
        for name in PLACES:
            samples = truth[name]["bytes"] / 32768
            check_sum(f"bytes of {name}", space[name], truth[name]["bytes"], samples)
            # Small ones are rarely seen, and stand for many then.
            check_sum(f"objects of {name}", objects[name], truth[name]["objects"], samples / 3)
        check_sum("live bytes", live["keep"], truth["keep"]["live_bytes"],
                  truth["keep"]["live_bytes"] / 32768)
        check_sum("live objects", counts["keep"], truth["keep"]["live_objects"],
                  truth["keep"]["live_bytes"] / 32768 / 3)
        lib.equal(live["churn"] + live["grow"], 0, "bytes in use of what was freed")


def of_a_command():
    """From its beginning: all is over before perfd could look, did the library not wait."""
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "x.pb.gz")
        env = {**os.environ, "PERFD_HEAP_INTERVAL": "32768"}
        result = lib.succeeds(lib.perfctl("record", "--heap", "-o", path, "--",
                                          lib.program("allocs"), 1500, 0, env=env))
        truth = json.loads(result.stdout)
        space, _ = values(path, place, "alloc_space")
        live, _ = values(path, place, "inuse_space")
        for name in PLACES:
            check_sum(f"bytes of {name}, of a command", space[name], truth[name]["bytes"],
                      truth[name]["bytes"] / 32768)
        check_sum("live bytes, of a command", live["keep"], truth["keep"]["live_bytes"],
                  truth["keep"]["live_bytes"] / 32768)
        # Whether that has a sample is chance.
        result = lib.perfctl("record", "--heap", "-o", path, "--", "sh", "-c", "exec env")
        lib.contains(result.stdout, "PERFD_HEAP_WAIT=0000", "what a program of it executes has")


def by_probes_on_the_allocator():
    """Nothing is in the program: a share of the time is seen, and what it cost is known."""
    lib.need_bpf()
    settings = ("--set", "memory.heap_interval=4K", "--set", "memory.heap_budget=1000",
                "--set", "memory.patterns=off")
    with lib.Perfd(*settings) as perfd, lib.folder() as place:
        path = os.path.join(place, "x.pb.gz")
        with lib.started(lib.program("allocs"), 1500, 2000, "wait", text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 path) as attached:
                perfd.wait_session(process.pid)
                lib_heap.wait_for_probes(perfd, 3)
                out, _ = process.communicate("go\n", timeout=60)
                _, errors = attached.communicate(timeout=60)
                lib.equal(attached.returncode, 0, f"exit code of attach ({errors})")
        truth = json.loads(out)
        space, _ = values(path, place, "alloc_space")
        for name in PLACES:
            check_sum(f"bytes of {name}", space[name], truth[name]["bytes"],
                      truth[name]["bytes"] / 16384)


def probes_that_come_and_go():
    """Within a budget, probes are in for a moment, again and again. What was in use when they
    went is not known to be freed by what is freed at the same address later."""
    if not lib_heap.sees_frees():
        raise lib.Skip("frees are not followed on this kernel")
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0", "--set",
                                          "memory.heap_interval=4K", "--set",
                                          "memory.patterns=off") as perfd, \
            lib.started(lib.program("heap_churn"), "strings", 1000000000) as churn:
        path = os.path.join(place, "x.perfd")
        lib.succeeds(perfd.ctl("attach", "--pid", churn.pid, "-e", "heap", "-d", "8s", "-o", path))
        told = perfd.ctl_json("report", path)
        counts = {count["key"]: count["count"] for count in told["counts"]}
        print(counts)
        lib.check(counts["sampled"] > 200, "hardly anything was sampled")
        lib.check(1000 < counts["heap_unseen"] < 9000, "how long the probes were out is not told")
        # Beside other work some are told after their turn's end was; a quarter of all samples where
        # what is freed later at the same address counts.
        lib.check(counts.get("heap_unknown_frees", 0) < counts["sampled"] / 10,
                  "frees of what was not in use")


def of_the_view(perfd):
    """Bytes by place of the program, of the last minutes."""
    path = os.path.join(perfd.folder, "view.folded")
    if perfd.ctl("report", "-e", "heap", "--since", "-5m", "-o", path).returncode:
        return {}, set()
    folded = lib.Folded.load(path)
    return ({name: folded.within(name) for name in PLACES},
            {frames[0] for frames, _ in folded.stacks})


def by_name():
    """Programs of a name are looked at without a session, from the settings; others are not."""
    lib.need_bpf()
    settings = ("--set", "memory.heap_probes=nothing alloc*", "--set", "memory.heap_interval=4K",
                "--set", "memory.heap_budget=1000", "--set", "memory.patterns=off",
                "--set", "history.window=1s",
                "--set", "cpu.frequency_hz=0")
    with lib.Perfd(*settings) as perfd:
        both = [lib.started(lib.program(name), 1500, 2000, "wait", text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                for name in ("allocs", "two_allocators")]
        with both[0] as process, both[1] as other:
            lib_heap.wait_for_probes(perfd, 3)
            for one in (other, process):
                one.stdin.write("go\n")
                one.stdin.flush()
            out, _ = process.communicate(timeout=120)
            other.communicate(timeout=120)
        truth = json.loads(out)
        wanted = sum(truth[name]["bytes"] for name in PLACES)
        lib.wait_for(lambda: sum(of_the_view(perfd)[0].values()) > wanted / 2, "the view of it")
        # The last of it is on its way still.
        lib.wait_for(lambda: perfd.ctl_json("status")["memory"]["heap"]["probes"] == 0,
                     "the probes to be out with the end of the program")
        space, programs = of_the_view(perfd)
        for name in PLACES:
            check_sum(f"bytes of {name}, by name", space[name], truth[name]["bytes"],
                      truth[name]["bytes"] / 16384)
        lib.equal(programs, {"allocs"}, "programs that were looked at")
        heap = perfd.ctl_json("heap", "--since", "-5m")
        lib.equal((heap["view"], heap["frees"]), ("alloc", False), "view and frees of a history")
        got = {row["function"]: row["views"]["alloc"]["bytes"] for row in heap["rows"]}
        for name in PLACES:
            check_sum(f"bytes of {name}, of the history", got[name], truth[name]["bytes"],
                      truth[name]["bytes"] / 16384)


def what_is_refused():
    lib.need_bpf()
    with lib.Perfd() as perfd:
        lib.fails(perfd.ctl("report", "-e", "heap"), 1, "memory.heap_probes")
    lib.fails(lib.perfctl("record", "-a", "-e", "heap", "-d", 1), 1, "-e heap is of one process")


lib.main(by_the_library, of_a_command, by_probes_on_the_allocator, probes_that_come_and_go, by_name,
         what_is_refused)
