#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What perfd costs when nobody asks it anything, at its default settings: CPU of the
daemon and its worker, their memory, and the run time of its BPF programs, on the
machine as it is and with every CPU busy. Writes build/bench/idle.json."""

import contextlib
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402
import result  # noqa: E402

SECONDS = int(os.environ.get("BENCH_SECONDS", "30"))
SETTLE_SECONDS = 25  # first names, first windows; tables for what runs already
STATS = "/proc/sys/kernel/bpf_stats_enabled"


@contextlib.contextmanager
def bpf_stats():
    """The kernel counts the run time of BPF programs meanwhile."""
    with open(STATS) as file:
        before = file.read()
    with open(STATS, "w") as file:
        file.write("1")
    try:
        yield
    finally:
        with open(STATS, "w") as file:
            file.write(before)


def cpu_ns(pid):
    """CPU time of all threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def memory_kib(pid, field):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0


def bpf_run(pid):
    """(nanoseconds, runs) of the programs that a process holds."""
    ns = runs = 0
    for number in lib.bpf_programs(pid):
        shown = json.loads(lib.bpftool("prog", "show", "id", str(number), "--json").stdout)
        ns += shown.get("run_time_ns", 0)
        runs += shown.get("run_cnt", 0)
    return ns, runs


def machine_busy():
    """(busy, all) jiffies of all CPUs."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def look(pids):
    return {"cpu": {name: cpu_ns(pid) for name, pid in pids.items()},
            "bpf": bpf_run(pids["perfd"]), "machine": machine_busy(), "time": time.monotonic()}


def measure(pids, seconds):
    time.sleep(SETTLE_SECONDS)
    before = look(pids)
    time.sleep(seconds)
    after = look(pids)
    wall = (after["time"] - before["time"]) * 1e9
    busy, whole = (b - a for a, b in zip(before["machine"], after["machine"]))
    ns, runs = (b - a for a, b in zip(before["bpf"], after["bpf"]))
    row = {"seconds": wall / 1e9, "machine_busy_percent": 100 * busy / whole,
           "bpf_percent": 100 * ns / wall, "bpf_runs": runs,
           "bpf_ns_per_run": ns / runs if runs else 0}
    for name, pid in pids.items():
        row[f"{name}_percent"] = 100 * (after["cpu"][name] - before["cpu"][name]) / wall
        row[f"{name}_rss_mb"] = memory_kib(pid, "Rss") / 1024
        row[f"{name}_pss_mb"] = memory_kib(pid, "Pss") / 1024
    return row


def main():
    lib.need_bpf()
    rows = {}
    with bpf_stats(), lib.Perfd() as perfd:
        pids = {"perfd": perfd.process.pid}
        workers = lib.children(perfd.process.pid)
        if workers:
            pids["worker"] = workers[0]
        rows["as it is"] = measure(pids, SECONDS)
        with contextlib.ExitStack() as stack:
            for _ in range(os.cpu_count()):
                stack.enter_context(lib.started(lib.program("shares"), 10 * SECONDS,
                                                stdout=subprocess.DEVNULL))
            rows["every CPU busy"] = measure(pids, SECONDS)
        settings = perfd.ctl_json("status")
    print(f"perfd at {settings['source']['frequency_hz']} Hz, {SECONDS} s each, "
          f"percent of one CPU")
    columns = [("machine busy", "machine_busy_percent", "%"), ("perfd", "perfd_percent", "%"),
               ("worker", "worker_percent", "%"), ("in BPF", "bpf_percent", "%"),
               ("ns a run", "bpf_ns_per_run", ""), ("perfd RSS", "perfd_rss_mb", "MB"),
               ("worker RSS", "worker_rss_mb", "MB")]
    result.table(["machine", *(head for head, _, _ in columns)],
                 [[what, *(f"{row.get(key, 0):.{0 if key.endswith('run') else 3 if unit == '%' else 1}f} {unit}".strip()
                           for _, key, unit in columns)] for what, row in rows.items()])
    result.save("idle", {"figures": rows})


if __name__ == "__main__":
    result.run(main)
