# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory and CPU of a perfd that nobody asks, on a machine at rest, a busy one, and one with
many processes. As perfd runs by default, with its budget."""

import time

import measure
from measure import lib

MB = 1e6


def put_memory(run, perfd, suffix=""):
    symbols = perfd.ctl_json("status")["symbols"]
    rest = [pid for pid in measure.family(perfd.process.pid)
            if pid not in (perfd.process.pid, symbols["worker_pid"])]
    run.put("daemon" + suffix, measure.memory(perfd.process.pid, "Rss") / MB)
    run.put("worker" + suffix, measure.memory(symbols["worker_pid"], "Rss") / MB)
    run.put("openers" + suffix, sum(measure.memory(pid, "Rss") for pid in rest) / MB)
    run.put("together" + suffix, sum(measure.memory(pid) for pid in
                                     measure.family(perfd.process.pid)) / MB)
    run.put("maps" + suffix, measure.map_bytes(perfd.process.pid) / MB)


def put_cost(run, perfd, suffix, windows, seconds):
    for _ in range(windows):
        cost = measure.Cost(perfd)
        time.sleep(seconds)
        used = cost.used()
        run.put("cpu" + suffix, 100 * used["cpu"] / used["wall"])
        run.put("bpf" + suffix, 100 * used["bpf"] / used["wall"])


def resting(run):
    with measure.bpf_stats(), lib.Perfd(budget=True) as perfd:
        time.sleep(run["settle"])  # first names, first windows
        measure.wait_quiet(perfd)
        put_cost(run, perfd, "_rest", run["windows"], run["seconds_each"])
        for _ in range(5):
            put_memory(run, perfd)
            time.sleep(0.2)
        with measure.busy_cpus():
            put_cost(run, perfd, "_busy", run["windows"], run["seconds_each"])


def crowded(run):
    """Processes that do nothing, from few to many: how long perfd takes to begin, what it
    costs then, and its memory."""
    with measure.bpf_stats():
        for count in run["counts"]:
            with measure.ready(measure.helper("crowd"), "processes", count):
                began = time.monotonic()
                with lib.Perfd(budget=True) as perfd:
                    run.put(f"start_{count}", (time.monotonic() - began) * 1e3)
                    time.sleep(run["settle"])
                    measure.wait_quiet(perfd, 5)
                    put_cost(run, perfd, f"_{count}", run["windows"], run["seconds_each"])
                    for _ in range(5):
                        put_memory(run, perfd, f"_{count}")
                    lib.check(perfd.ctl_json("status")["processes"]["alive"] >= count,
                              "perfd does not know all processes")
