#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the kernel's events of processes are lost, their ends are found out all the same."""

import os
import signal
import subprocess

import lib

PROCESSES = 3000  # to fill the buffers of events, which are as small as they can be


def begin_on_each_cpu(*words):
    """Each has a buffer of its own."""
    for cpu in os.sched_getaffinity(0):
        subprocess.run(["taskset", "-c", str(cpu), *words], check=True)


def events_are_lost(perfd):
    """From here on no event of a process reaches the daemon, which is stopped."""
    perfd.process.send_signal(signal.SIGSTOP)
    script = "i=0; while [ $i -lt %d ]; do /bin/true; i=$((i+1)); done" % PROCESSES
    begin_on_each_cpu("sh", "-c", script)


def left_over(perfd):
    """How many more processes perfd takes for alive than there are, but for a few."""
    there = sum(name.isdigit() for name in os.listdir("/proc"))
    return max(0, perfd.ctl_json("status")["processes"]["alive"] - there - 5)


def unheard_of(collected):
    """A process ends, and its event is lost; collected: by its parent, at once."""
    with lib.Perfd("--set", "limits.sideband_bytes=64K") as perfd, lib.folder() as place, \
            lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as target:
        out = os.path.join(place, "x.folded")
        with perfd.start_ctl("attach", "--pid", target.pid, "-o", out) as attach:
            perfd.wait_session(target.pid, samples=True)
            events_are_lost(perfd)
            target.kill()
            lib.wait_for(lambda: lib.status_field(target.pid, "State").startswith("Z"), "its end")
            if collected:
                target.wait()
            perfd.process.send_signal(signal.SIGCONT)
            lib.equal(attach.wait(60), 0, "attach's exit code")
        lib.check(perfd.ctl_json("status")["processes"]["ends_untold"] > 0, "its end was told")
        # The kernel tells of the loss with the next event of the CPU.
        begin_on_each_cpu("/bin/true")
        lib.wait_for(lambda: perfd.ctl_json("status")["samples"]["lost"]["lost_sideband"],
                     "the loss to be told")
        stacks = lib.Folded.load(out)
        lib.check(stacks.within("work_50") > 0, f"its profile: {stacks.stacks[:5]}")
        # Of those that are only known by their samples, thousands, nobody opens what is gone.
        failures = perfd.ctl_json("status")["symbols"]["openers"]["failures"]
        print(f"{failures} files that were not there")
        lib.check(failures < PROCESSES / 10, f"{failures} files of processes that had ended")
        # And those of no session are forgotten.
        lib.wait_for(lambda: not left_over(perfd), "the table to hold only what there is", 60)


def a_session_ends_with_its_process():
    unheard_of(collected=True)


def a_zombie_has_ended():
    unheard_of(collected=False)


lib.main(a_session_ends_with_its_process, a_zombie_has_ended)
