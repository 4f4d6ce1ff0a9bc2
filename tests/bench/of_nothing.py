# SPDX-License-Identifier: GPL-2.0-or-later
"""Benches that measure nothing, for the suite's own test (tests/scenario/bench_stats.py):
BENCH_SELFTEST puts them in place of the real ones."""

import subprocess
import time

from measure import lib
from row import Bench, Figure


def fails(_run):
    raise AssertionError("failed on purpose")


def skips(_run):
    raise lib.Skip("nothing here")


def hangs(_run):
    time.sleep(3600)


def leaves(run):
    """A process that nobody waits for, in a session of its own."""
    done = subprocess.run(["sh", "-c", "setsid sleep 3600 >/dev/null 2>&1 & echo $!"],
                          capture_output=True, text=True, check=True)
    run.put("pid", int(done.stdout))
    run.put("time", 1, 2, 3)


BENCHES = [Bench("selftest_" + measure.__name__, measure, [
    Figure("time", "ms", "less", "nothing"), Figure("gone", "ms", "", "nothing"),
    Figure("pid", "", "", "of what was left")],
    full={"seconds": 1, "patience": 1}) for measure in (fails, skips, hangs, leaves)]
