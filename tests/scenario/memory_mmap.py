#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who takes address space and who gives it back: mmap, mremap, brk and munmap of a program
that counts its own, all of them and thinned out to a rate, in a session and system-wide."""

import json
import os
import subprocess

import lib

TAKEN = ("take_many", "take_large", "grow_mapping", "grow_heap")
GIVEN = ("give_back", "shrink_heap")


def recorded(event, places, rounds, rate, tolerance):
    with lib.Perfd("--set", "memory.mmap_hz=0") as perfd, lib.folder() as place:
        path = os.path.join(place, "x.folded")
        result = lib.succeeds(perfd.ctl("record", "-e", event, "-F", rate, "-o", path, "--",
                                        lib.program("mappings"), rounds, 500))
        truth, folded = json.loads(result.stdout), lib.Folded.load(path)
        lib.contains(result.stderr, " 0 lost", "what record says")
        # What the loader and main() do is in the sum, too; and on a busy machine the first
        # stacks may come before their unwind tables: those have no names, but they are there.
        whole, want = folded.of_comm("mappings"), sum(truth[name]["bytes"] for name in places)
        print(f"-e {event} -F {rate}: {whole} in all, {want} of its places")
        if not tolerance:
            lib.check(want <= whole < want + (8 << 20) + rounds * (64 << 10),
                      f"{whole} bytes, but the program counted {want}")
        else:
            lib.check(abs(whole / want - 1) < tolerance, f"{whole} of {want} bytes")
        for name in places:
            got, want = folded.within(name), truth[name]["bytes"]
            print(f"  {name} {got} of {want}: {got / want - 1:+.2%}")
            lib.check(tolerance or got <= want, f"{name} has more than there was")
        lib.equal(folded.within("fails"), 0, "bytes of calls that do nothing")
        return folded, truth, result.stderr


def every_call():
    """Below the rate each call is a sample: exact, to a byte."""
    lib.need_bpf()
    recorded("mmap", TAKEN, 20, 5000, None)
    recorded("munmap", GIVEN, 20, 5000, None)


def thinned():
    """Far above it one of many is, and stands for them: 20,000 rounds, four standard errors or
    more by a wide margin."""
    lib.need_bpf()
    _, truth, said = recorded("mmap", TAKEN, 20000, 400, 0.5)
    samples = int(said.split("perfctl: ")[1].split()[0])
    calls = sum(truth[name]["calls"] for name in TAKEN)
    lib.check(samples < calls / 4, f"{samples} samples of {calls} calls: not thinned out")
    recorded("munmap", GIVEN, 20000, 400, 0.5)


def of_the_program(perfd, event):
    """Bytes in the view of the machine, with the few of its start and of main() itself; 0 as
    long as there are none."""
    path = os.path.join(perfd.folder, event + ".folded")
    if perfd.ctl("report", "-e", event, "-o", path).returncode:
        return 0
    return sum(value for frames, value in lib.Folded.load(path).stacks
               if frames[0] == "mappings")


def the_machine():
    with lib.Perfd("--set", "history.window=1s", "--set", "memory.view_budget=0", "--set",
                   "memory.mmap_hz=97") as perfd:
        if "6.14" in perfd.log():
            raise lib.Skip("an older kernel: sessions only")
        with lib.started(lib.program("mappings"), 4000, 300, stdout=subprocess.PIPE,
                         text=True) as process:
            out, _ = process.communicate(timeout=60)
        truth = json.loads(out)
        for event, places in (("mmap", TAKEN), ("munmap", GIVEN)):
            want = sum(truth[name]["bytes"] for name in places)
            # The rings are read now and then.
            got = lib.wait_for(lambda: of_the_program(perfd, event) > 0.5 * want
                               and of_the_program(perfd, event), f"what it did, by {event}")
            print(f"{event}, machine: {got} of {want}: {got / want - 1:+.2%}")
            lib.check(got / want < 1.6, f"bytes of the program by {event}")
            report = perfd.ctl_json("report", "-e", event)
            lib.equal(report["event"], event, "event")
            lib.equal(report["lost"], 0, "lost")


def what_is_refused():
    with lib.Perfd("--set", "memory.mmap_hz=0") as perfd:
        lib.fails(perfd.ctl("report", "-e", "mmap"), 1, "memory.mmap_hz")
        lib.fails(perfd.ctl("report", "-e", "munmap"), 1, "memory.mmap_hz")
        lib.succeeds(perfd.ctl("report"))


lib.main(every_call, thinned, the_machine, what_is_refused)
