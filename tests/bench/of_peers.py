# SPDX-License-Identifier: GPL-2.0-or-later
"""The others beside perfd, on the same programs in the same run: a program with frame
pointers, so that all of them see whole stacks, DEPTH calls deep, on every CPU; all
processes, 999 Hz. What one costs is its own CPU time, from start to file, and what it takes
from the program in the kernel (kernel_cost.c sees that); and the bytes it writes."""

import contextlib
import os
import signal
import subprocess
import time

import measure
from measure import lib

HZ = 999
DEPTH = 24
KEYS = ("kernel", "cpu", "all", "bytes")
BPFTRACE = "profile:hz:%d { @[ustack, kstack, comm] = count(); }" % HZ


def ended(process, patience=60):
    """CPU ns of a process and what it waited for, once it has been asked to end."""
    process.send_signal(signal.SIGINT)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return int((usage.ru_utime + usage.ru_stime) * 1e9)
        time.sleep(0.01)
    raise AssertionError(f"{process.args[0]} did not end within {patience} s")


def recorded(command, output, seconds, settle):
    """(share of time in the kernel, CPU ns, bytes) of a recorder that is a program."""
    with open(output + ".out", "w") as out, open(output + ".err", "w") as errors:
        with lib.started(*command, stdin=subprocess.DEVNULL, stdout=out,
                         stderr=errors) as process:
            time.sleep(settle)
            if process.poll() is not None:
                raise lib.Skip(f"{os.path.basename(str(command[0]))} does not work here: "
                               + measure.complaint(output + ".out", output + ".err"))
            began = time.monotonic()
            share = measure.gaps(seconds, DEPTH)
            spent = time.monotonic() - began
            cpu = ended(process)
    size = os.path.getsize(output) if os.path.exists(output) else os.path.getsize(output + ".out")
    lib.check(size, f"{command[0]} wrote nothing")
    return share, cpu * seconds / (spent + settle), size * seconds / (spent + settle)


class Recorders:
    """The commands of those that are here."""

    def __init__(self, place):
        self.place = place
        self.output = os.path.join(place, "output")

    def perf(self, *how):
        return [measure.tool("perf", "linux-perf"), "record", "-q", "-a", "-F", HZ, "-e",
                "cpu-clock", *how, "-o", self.output]

    def perf_fp(self):
        return self.perf("-g"), 0.5

    def perf_dwarf(self):
        return self.perf("--call-graph", "dwarf"), 0.5

    def bpftrace(self):
        return [measure.tool("bpftrace", "bpftrace"), "-e", BPFTRACE], 2.0

    def bcc_profile(self):
        return [measure.tool("profile-bpfcc", "bpfcc-tools"), "-F", HZ, "-f", "3600"], 6.0


def by_perfd(perfd, place, seconds):
    path = os.path.join(place, "mine.perfd")
    before = measure.family_ns(perfd.process.pid)
    began = time.monotonic()
    with perfd.start_ctl("record", "-a", "-F", HZ, "-o", path) as ctl:
        perfd.wait_session()
        share = measure.gaps(seconds, DEPTH)
        client = ended(ctl)
    spent = time.monotonic() - began
    cpu = measure.family_ns(perfd.process.pid) - before + client
    return share, cpu * seconds / spent, os.path.getsize(path) * seconds / spent


def one_peer(run, name, perfd, recorders, base, seconds):
    """Puts a peer's figures, or why there are none."""
    try:
        if name == "perfd":
            found = by_perfd(perfd, recorders.place, seconds)
        else:
            command, settle = getattr(recorders, name)()
            found = recorded(command, recorders.output, seconds, settle)
    except (lib.Skip, AssertionError, OSError, ValueError) as reason:
        for key in KEYS:
            run.skip(f"{name}_{key}", lib.one_line(reason))
        return
    finally:
        with contextlib.suppress(OSError):
            os.unlink(recorders.output)
    share, cpu, size = found
    samples = HZ * len(os.sched_getaffinity(0)) * seconds
    kernel = (share - base) * 1e9 / HZ
    run.put(f"{name}_kernel", kernel)
    run.put(f"{name}_cpu", cpu / samples)
    run.put(f"{name}_all", kernel + cpu / samples)
    run.put(f"{name}_bytes", size / samples)


def profilers(run):
    """perfd and perf record -g in each round, for that is promised; of the others one."""
    seconds, others = run["seconds_each"], run["others"]
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0", "--set",
                                          "memory.faults_hz=0") as perfd:
        recorders = Recorders(place)
        by_perfd(perfd, place, 1)  # meets what runs, as it has where it is always on
        measure.wait_quiet(perfd)
        for number in run.rounds(run["rounds"], 1):
            base = measure.gaps(seconds, DEPTH)
            for name in ("perfd", "perf_fp", *others[number:number + 1]):
                one_peer(run, name, perfd, recorders, base, seconds)
    for name in others:
        if f"{name}_all" not in run.values and f"{name}_all" not in run.skipped:
            for key in KEYS:
                run.skip(f"{name}_{key}", "no time left for it (MINUTES)")
    for key in ("all", "bytes"):
        mine, theirs = run.values.get(f"perfd_{key}"), run.values.get(f"perf_fp_{key}")
        if mine and theirs:
            run.put(f"ratio_{key}", *(one / other for one, other in zip(mine, theirs)))
        else:
            run.skip(f"ratio_{key}", run.skipped.get(f"perf_fp_{key}", "one of both is missing"))
