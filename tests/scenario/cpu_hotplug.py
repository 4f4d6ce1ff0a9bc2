#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPU that goes and comes back is sampled again."""

import contextlib
import json
import os
import subprocess

import lib

HZ = 499
ONLINE = "/sys/devices/system/cpu/cpu1/online"


def write_online(value):
    with open(ONLINE, "w") as file:
        file.write(value)


def read_online():
    with open(ONLINE) as file:
        return file.read().strip()


@contextlib.contextmanager
def put_back():
    try:
        yield
    finally:
        if read_online() != "1":
            write_online("1")


def need_hotplug():
    lib.need_bpf()
    if not os.path.exists(ONLINE) or read_online() != "1":
        raise lib.Skip("there is no second CPU that can be taken offline")
    with put_back():
        try:
            write_online("0")
        except OSError as error:
            raise lib.Skip(f"cpu1 cannot be taken offline: {error.strerror}") from None


def burn_on_cpu1():
    """(pid, CPU time, wall time) of a run of shares, all of it on cpu1."""
    with lib.Wall() as wall, \
            lib.started(lib.program("shares"), 1, stdout=subprocess.PIPE, text=True,
                        preexec_fn=lambda: os.sched_setaffinity(0, {1})) as process:
        out, _ = process.communicate(timeout=60)
    return process.pid, json.loads(out)["cpu_ns"], wall.seconds


def sampled(perfd, pid):
    """What perfd has of a process that has ended; None while it still comes in."""
    for process in perfd.ctl_json("report")["processes"]:
        if process["pid"] == pid and process["end_ns"]:
            return process["weight"]
    return None


def off_and_on():
    need_hotplug()
    with put_back(), lib.Perfd("--set", f"cpu.frequency_hz={HZ}") as perfd:
        pid, *spent = burn_on_cpu1()
        got = lib.wait_for(lambda: sampled(perfd, pid), "the first run in the report")
        lib.off_by(got, spent[0], HZ, spent[1], 0.05, "the run before")
        write_online("0")
        perfd.alive()
        write_online("1")

        # Sampled again as soon as perfd has heard of it: a run that began before is
        # short of samples, or not known at all.
        def whole_run():
            pid, *spent = burn_on_cpu1()
            try:
                got = lib.wait_for(lambda: sampled(perfd, pid), "a later run", 2)
                lib.off_by(got, spent[0], HZ, spent[1], 0.05, "a run after")
            except AssertionError as error:
                print(error)
                return False
            return True
        lib.wait_for(whole_run, "cpu1 to be sampled again", 60)


def session_goes_on():
    """attach follows a thread that moves to the CPU that came back."""
    need_hotplug()
    with put_back(), lib.folder() as place, lib.Perfd() as perfd, \
            lib.started(lib.program("shares"), 120, stdout=subprocess.DEVNULL) as process:
        lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-F", 499, "--background"))
        perfd.wait_session(process.pid, samples=True)
        write_online("0")
        write_online("1")

        def samples():
            return perfd.sessions()[0]["samples"]
        os.sched_setaffinity(process.pid, {1})
        had = samples()
        lib.wait_for(lambda: samples() > had + 100, "samples from cpu1", 20)
        path = os.path.join(place, "x.folded")
        lib.succeeds(perfd.ctl("detach", "--pid", process.pid, "-o", path))
        lib.check(lib.Folded.load(path).within("main") > 0, "no main in the file")


lib.main(off_and_on, session_goes_on)
