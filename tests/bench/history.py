#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of a busy day: what it takes on the disk, what a second costs, how long an hour
and a day take to be drawn. Minutes; HISTORY_SECONDS=7200 for a part of the day."""

import json
import os
import subprocess
import tempfile

import result

lib = result.lib


def main():
    seconds = os.environ.get("HISTORY_SECONDS", "86400")
    with tempfile.TemporaryDirectory(dir=os.path.join(lib.BUILD)) as folder:
        done = subprocess.run([os.path.join(lib.BUILD, "tests", "bench_history"), folder, seconds],
                              capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    print(f"history: {figures['seconds']} seconds of a busy machine")
    result.table(["", "figure"], [
        ["on disk, MB", f"{figures['bytes'] / 1e6:.0f}"],
        ["a second, written: CPU ms", f"{figures['put_cpu_ms']:.2f}"],
        ["a second, summed up later: CPU ms", f"{figures['tidy_cpu_ms']:.2f}"],
        ["flame graph of the first hour, CPU s", f"{figures['first_hour_s']:.2f}"],
        ["flame graph of the last hour, CPU s", f"{figures['last_hour_s']:.2f}"],
        ["flame graph of all, CPU s", f"{figures['all_s']:.2f}"],
        ["peak memory, MB", f"{figures['rss_kb'] / 1e3:.0f}"]])
    result.save("history", figures)


if __name__ == "__main__":
    result.run(main)
