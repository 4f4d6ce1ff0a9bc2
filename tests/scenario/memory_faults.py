#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Page faults: a program that knows how many it had and where, in a session and in the
system-wide view."""

import json
import os
import subprocess

import lib

ROUNDS = 60


def agrees(folded, truth, tolerance):
    whole = folded.of_comm("faults")
    off = whole / truth["faults"] - 1
    most, rest = folded.within("touch_three_quarters"), folded.within("touch_a_quarter")
    # On a busy machine the first stacks may come before their unwind tables.
    lib.check(most + rest > whole / 2, f"{most + rest} of {whole} faults in the two functions")
    share = most / (most + rest)
    print(f"{whole} faults, by the kernel's count {truth['faults']}: {off:+.2%}; "
          f"{share:.4f} of them where three quarters are")
    lib.check(abs(off) < tolerance, f"the total is off by {off:+.2%}")
    lib.check(abs(share - 0.75) < tolerance, f"{share:.4f} where three quarters are")


def a_command():
    """Each sample stands for the faults since the last one: the sum is the truth."""
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "x.folded")
        result = lib.succeeds(lib.perfctl("record", "-e", "faults", "-o", path, "--",
                                          lib.program("faults"), ROUNDS))
        agrees(lib.Folded.load(path), json.loads(result.stdout), 0.03)
        lib.contains(result.stderr, " 0 lost", "what record says")


def the_machine():
    """Of a window of the kept history, with the value and its unit."""
    with lib.Perfd("--set", "history.window=1s", "--set", "memory.view_budget=0", "--set",
                   "memory.faults_hz=97") as perfd:
        with lib.started(lib.program("faults"), 4 * ROUNDS, stdout=subprocess.PIPE,
                         text=True) as process:
            out, _ = process.communicate(timeout=60)
        truth = json.loads(out)
        lib.succeeds(perfd.ctl("report", "-e", "faults", "-o",
                               os.path.join(perfd.folder, "x.folded")))
        folded = lib.Folded.load(os.path.join(perfd.folder, "x.folded"))
        mine = [(frames, value) for frames, value in folded.stacks if frames[0] == "faults"]
        whole = sum(value for _, value in mine)
        print(f"{whole} faults of {truth['faults']}")
        # About 97 samples a second and CPU, each of some thousand faults.
        lib.check(0.7 < whole / truth["faults"] < 1.3, "faults of the program")
        report = perfd.ctl_json("report", "-e", "faults")
        lib.equal(report["event"], "faults", "event")
        lib.equal(report["lost"], 0, "lost")


def seen(perfd, event):
    """In percent of the time."""
    return next(stream["observed_percent"] for stream in perfd.ctl_json("rates")["streams"]
                if stream["event"] == event and not stream["session"])


def a_storm_within_its_budget():
    """A storm is looked at in slices, which stand for the whole of it."""
    with lib.Perfd("--set", "history.window=1s", "--set", "memory.view_budget=3") as perfd:
        with lib.started(lib.program("faults"), 2000, 0, stdout=subprocess.PIPE,
                         text=True) as process:
            lib.wait_for(lambda: seen(perfd, "faults") < 50, "a part of the time", 30)
            out, _ = process.communicate(timeout=120)
        print(f"{seen(perfd, 'faults'):.1f} % of the time at the end of the storm")
        truth = json.loads(out)
        path = os.path.join(perfd.folder, "x.folded")
        lib.succeeds(perfd.ctl("report", "-e", "faults", "--since", "-2m", "-o", path))
        whole = lib.Folded.load(path).of_comm("faults")
        # A frame of two seconds has its slice in the storm or behind its end.
        print(f"{whole} faults of {truth['faults']}: {whole / truth['faults']:.3f}")
        lib.check(0.5 < whole / truth["faults"] < 1.6, "faults of the program")


def a_view_that_goes_and_comes():
    """While it looks at slices of the time: nothing looks any more when it has gone."""
    with lib.folder() as place:
        conf = os.path.join(place, "perfd.conf")

        def settings(hz):
            with open(conf, "w", encoding="utf-8") as file:
                file.write(f"[memory]\nfaults_hz = {hz}\n")

        settings(97)
        with lib.Perfd("--config", conf) as perfd, \
                lib.started(lib.program("faults"), 1000000, 0, stdout=subprocess.DEVNULL):
            def streams():
                return [stream for stream in perfd.ctl_json("rates")["streams"]
                        if stream["event"] == "faults"]

            lib.wait_for(lambda: seen(perfd, "faults") < 50, "a part of the time", 30)
            settings(0)
            lib.succeeds(perfd.ctl("reload"))
            lib.wait_for(lambda: not streams(), "the view to go")
            # Longer than from one slice to the next.
            ended = perfd.ctl_json("status")["uptime_ns"]
            lib.wait_for(lambda: perfd.ctl_json("status")["uptime_ns"] > ended + 8 * 10**9,
                         "slices that are none", 30)
            settings(97)
            lib.succeeds(perfd.ctl("reload"))
            lib.wait_for(lambda: streams() and seen(perfd, "faults") < 50, "a part again", 30)


def what_is_refused():
    with lib.Perfd("--set", "memory.faults_hz=0") as perfd:
        lib.fails(perfd.ctl("report", "-e", "faults"), 1, "memory.faults_hz")
        lib.fails(perfd.ctl("report", "-e", "nonsense"), 1, "cpu-clock, cycles, faults")
        lib.fails(perfd.ctl("report", "-e", "cycles"), 1, "cpu.event")
        lib.succeeds(perfd.ctl("report"))


lib.main(a_command, the_machine, a_storm_within_its_budget, a_view_that_goes_and_comes,
         what_is_refused)
