#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPU that goes and comes back is sampled again."""

import contextlib
import json
import os
import subprocess

import lib

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
    """The CPU time that shares spent, all of it on cpu1."""
    result = subprocess.run([lib.program("shares"), "1"], capture_output=True, text=True,
                            check=True, timeout=60,
                            preexec_fn=lambda: os.sched_setaffinity(0, {1}))
    return json.loads(result.stdout)["cpu_ns"]


def shares_sum(perfd):
    report = perfd.ctl_json("report")
    return sum(process["weight"] for process in report["processes"]
               if process["comm"] == "shares")


def off_and_on():
    need_hotplug()
    with put_back(), lib.Perfd("--set", "cpu.frequency_hz=499") as perfd:
        spent = burn_on_cpu1()
        write_online("0")
        perfd.alive()
        write_online("1")
        # The CPU is sampled again as soon as perfd has heard of it: tried a few
        # times, each run is compared with its own clock.
        before = lib.wait_for(lambda: shares_sum(perfd), "samples of the first run")
        lib.check(abs(before - spent) < 0.05 * spent, f"{before} ns of {spent} ns before")

        def whole_run():
            was = shares_sum(perfd)
            spent = burn_on_cpu1()
            return abs(shares_sum(perfd) - was - spent) < 0.1 * spent
        lib.wait_for(whole_run, "cpu1 to be sampled again", 30)


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
