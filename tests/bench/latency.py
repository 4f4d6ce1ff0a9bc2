#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a person waits: from attach to the first sample in the daemon, and from
Ctrl-C to the finished SVG. Ten rounds on redis-server under load, or on a bundled
program where there is no redis. Writes build/bench/latency.json."""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402
import result  # noqa: E402

ROUNDS = 10
HZ = 499
SAMPLES = 500  # before Ctrl-C


@contextlib.contextmanager
def target(place):
    """(name, pid) of something that is busy."""
    if lib.shutil.which("redis-benchmark"):
        with lib.redis_under_load(place) as pid:
            yield "redis-server", pid
    else:
        with lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as process:
            yield "shares", process.pid


def one_round(perfd, pid, path, samples=SAMPLES):
    """Milliseconds to the first sample, and from Ctrl-C to the end of perfctl, which
    has the SVG in its place before it ends."""
    with perfd.start_ctl("attach", "--pid", str(pid), "-F", str(HZ), "-o", path) as ctl:
        session = lib.wait_for(lambda: next(
            (one for one in perfd.sessions() if one["samples"] >= samples), None), "samples")
        began = time.monotonic()
        ctl.send_signal(signal.SIGINT)
        code = ctl.wait(60)
        took = time.monotonic() - began
        lib.equal(code, 0, f"exit code of attach ({ctl.stderr.read()})")
    lib.check(os.path.getsize(path) > 1000, "the SVG is too small")
    os.unlink(path)
    return session["first_sample_ns"] / 1e6, took * 1e3


def main():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target(place) as (name, pid):
        rounds = [one_round(perfd, pid, os.path.join(place, "x.svg")) for _ in range(ROUNDS)]
    rows = {"attach to first sample": [first for first, _ in rounds],
            "Ctrl-C to finished SVG": [last for _, last in rounds]}
    figures = {what: {"median_ms": statistics.median(values), "min_ms": min(values),
                      "max_ms": max(values), "rounds": values} for what, values in rows.items()}
    print(f"{ROUNDS} rounds on {name} at {HZ} Hz, milliseconds")
    result.table(["", "median", "min", "max"],
                 [[what, *(f"{row[key]:.1f}" for key in ("median_ms", "min_ms", "max_ms"))]
                  for what, row in figures.items()])
    result.save("latency", {"target": name, "frequency_hz": HZ, "figures": figures})


if __name__ == "__main__":
    result.run(main)
