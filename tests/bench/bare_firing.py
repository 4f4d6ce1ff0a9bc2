#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What one firing of a clock takes a real program, with nothing behind it: no perfd, no BPF, no
buffer; what is left is the interrupt, and what it does to the program's caches.

    bare_firing.py gcc 1000 4000        (a program of workload.py, rates in Hz)

A clock on each CPU, on and off in turns (switching.py); the difference of the program's CPU time
by the rate is a firing's. It is more than the time that the interrupt itself lasts, which
perfctl rates --json has as firing_ns. BENCH_SECONDS: of each rate, 25.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import sys
import time

import measure
import stats
import switching
import workload
from measure import lib

SECONDS = float(os.environ.get("BENCH_SECONDS", "25"))
SLICE = 0.1
PERF_EVENT_OPEN = lib.SYSCALLS[platform.machine()][1]
PERF_ATTR_SIZE, DISABLED, CLOEXEC = 128, 1, 8  # linux/perf_event.h


def clock(cpu, period):
    """A descriptor of a cpu-clock on a CPU, standing still; ns between two firings."""
    fields = [lib.PERF_TYPE_SOFTWARE.to_bytes(4, "little"),
              PERF_ATTR_SIZE.to_bytes(4, "little"),
              lib.PERF_COUNT_SW_CPU_CLOCK.to_bytes(8, "little"), period.to_bytes(8, "little"),
              bytes(16), DISABLED.to_bytes(8, "little")]
    event = ctypes.create_string_buffer(b"".join(fields), PERF_ATTR_SIZE)
    fd = ctypes.CDLL(None, use_errno=True).syscall(PERF_EVENT_OPEN, event, -1, cpu, -1, CLOEXEC)
    lib.check(fd >= 0, f"no clock on CPU {cpu}: {os.strerror(ctypes.get_errno())}")
    return fd


@contextlib.contextmanager
def clocks(hertz):
    """A function that turns one on each CPU on and off."""
    fds = [clock(cpu, 10 ** 9 // hertz) for cpu in sorted(os.sched_getaffinity(0))]

    def turn(on):
        for fd in fds:
            fcntl.ioctl(fd, switching.PERF_EVENT_IOC_ENABLE if on
                        else switching.PERF_EVENT_IOC_DISABLE, 0)
    try:
        yield turn
    finally:
        for fd in fds:
            os.close(fd)


def longer(work, turn):
    """Mean and interval of how much more CPU time a piece of work took with the clocks on."""
    found, until = [], time.monotonic() + SECONDS
    work.start()
    for pair, on in switching.order(1 << 30):
        if len(found) == 2 * pair and time.monotonic() >= until:
            break
        turn(on)
        work.slice(pair, SLICE)
        found.append((pair, on))
    turn(False)
    done = work.stop()[-len(found):]
    cpu = [(pair, on, piece[1]) for (pair, on), piece in zip(found, done) if piece]
    return stats.trimmed_interval(switching.logs(cpu))


def main(name, *rates):
    lib.need_root()
    with lib.folder() as place, workload.PROGRAMS[name](place) as work:
        for hertz in map(int, rates):
            with clocks(hertz) as turn:
                part, low, high = longer(work, turn)
            print(f"{name} at {hertz} Hz: {100 * part:+.2f} % [{100 * low:.2f}, {100 * high:.2f}]; "
                  f"a firing {part / hertz * 1e6:.1f} us "
                  f"[{low / hertz * 1e6:.1f}, {high / hertz * 1e6:.1f}]", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
