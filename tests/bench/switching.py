# SPDX-License-Identifier: GPL-2.0-or-later
"""perfd off and on within microseconds, many times a second, so that what it costs can be
seen as differences of neighbours, in which nothing of the machine's drift is.

Off: the clocks that sample and the side band stand still (the perf events themselves, through
descriptors taken from the daemon: it has no part in it and does not know). The daemon lives
on, warm, with its tables; so do its programs at tracepoints, which nobody can turn off
from outside. What that leaves in both halves is known otherwise: by CPU clocks and the run
time of those programs (of_overhead.py adds it).
"""

import contextlib
import ctypes
import fcntl
import math
import os
import time
from dataclasses import dataclass

from measure import lib

PIDFD_GETFD = 438
PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_DISABLE = 0x2400, 0x2401


class Switch:
    """The perf events of a process, on and off; on again at the end.

        with Switch(pid) as switch: switch.turn(False)
    """

    def __init__(self, pid):
        self.events = []
        libc = ctypes.CDLL(None, use_errno=True)
        process = os.pidfd_open(pid)
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/{pid}/fd/{name}") == "anon_inode:[perf_event]":
                        self.events.append(libc.syscall(PIDFD_GETFD, process, int(name), 0))
        finally:
            os.close(process)
        lib.check(self.events and min(self.events) >= 0,
                  "the daemon's perf events cannot be had (pidfd_getfd: Linux 5.6, root)")

    def turn(self, on):
        for event in self.events:
            fcntl.ioctl(event, PERF_EVENT_IOC_ENABLE if on else PERF_EVENT_IOC_DISABLE, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.turn(True)
        for event in self.events:
            os.close(event)


@dataclass
class Slice:
    pair: int
    on: bool
    began: int  # CLOCK_MONOTONIC, ns
    ended: int = 0


def order(count):
    """(pair, on) of so many pairs: on and off, off and on, and so on, so that what drifts is
    against perfd once and once for it."""
    for pair in range(count):
        for on in (pair % 2 == 0, pair % 2 == 1):
            yield pair, on


def slices(switch, seconds, going):
    """[Slice] of so many seconds each, while something goes on (`going()`)."""
    found = []
    for pair, on in order(1 << 30):
        if len(found) == 2 * pair and not going():
            return found
        switch.turn(on)
        found.append(Slice(pair, on, time.monotonic_ns()))
        time.sleep(seconds)
        found[-1].ended = time.monotonic_ns()


def halves(values):
    """(on, off) of each pair that has both; values are (pair, on, value)."""
    found = {}
    for pair, on, value in values:
        found.setdefault(pair, {})[on] = value
    return [(half[True], half[False]) for half in found.values() if len(half) == 2]


def differences(values):
    """On less off of each pair."""
    return [on - off for on, off in halves(values)]


def logs(values):
    """The logarithm of on / off of each pair: noise is as often above as below."""
    return [math.log(on / off) for on, off in halves(values)]
