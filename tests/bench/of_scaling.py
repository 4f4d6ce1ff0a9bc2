# SPDX-License-Identifier: GPL-2.0-or-later
"""What grows with what: distinct stacks, frames, CPUs, mapped files. (Processes: of_memory.)"""

import itertools
import os
import time

import measure
import of_throughput
from measure import lib


def stacks(run):
    """Distinct ones of a synthetic machine, each of them seen."""
    for _, count in itertools.product(run.rounds(run["rounds"], 1), run["counts"]):
        samples = max(2 * count, run["samples"])
        with of_throughput.replayed(samples, of_throughput.RATE, 100, count, 24, "--set",
                                    f"limits.stacks_max={max(65536, 2 * count)}") as perfd:
            seen = of_throughput.played(perfd, samples, 120 + run.left(), 0.5)
            run.put(f"stacks_{count}_sample", seen[-1][1] / samples)
            run.put(f"stacks_{count}_memory",
                    measure.memory(perfd.process.pid, "Rss") / 1e6)


def frames(run):
    """BPF time of a sample by the depth of its stack; programs on all CPUs, so that no other
    stacks are among them."""
    program = measure.helper("kernel_cost")
    with measure.bpf_stats(), \
            lib.Perfd("--set", "memory.faults_hz=0", "--set", "cpu.frequency_hz=999") as perfd:
        for _ in run.rounds(run["rounds"], 1):
            for depth in run["depths"]:
                with measure.busy_cpus(None, program, "gaps", 3600000, depth):
                    measure.wait_for_tables(perfd)
                    before = measure.bpf_run(perfd.process.pid, measure.PERF_EVENT)
                    time.sleep(run["seconds_each"])
                    after = measure.bpf_run(perfd.process.pid, measure.PERF_EVENT)
                run.put(f"frames_{depth}", (after[0] - before[0]) / (after[1] - before[1]))


def cpus(run):
    """The cost, in percent of one CPU, with one CPU busy and then all."""
    there = sorted(os.sched_getaffinity(0))
    with measure.bpf_stats(), lib.Perfd("--set", "cpu.frequency_hz=999") as perfd:
        for _ in run.rounds(run["rounds"], 1):
            for count in (1, 2):
                if count > len(there):
                    run.skip("cpus_2", "this machine has one CPU")
                    continue
                with measure.busy_cpus(there[:count]):
                    time.sleep(0.5)
                    cost = measure.Cost(perfd)
                    time.sleep(run["seconds_each"])
                    run.put(f"cpus_{count}", cost.used()["percent"])


def opened(perfd):
    """Files that perfd has asked its openers for, so far."""
    return perfd.ctl_json("status")["symbols"]["openers"]["requests"]


def files(run):
    """Mapped as code by one process, each a file of its own, while perfd watches: until it has
    opened all of them, and what that took."""
    for count in run["counts"]:
        with lib.folder() as place, lib.Perfd() as perfd:
            measure.wait_quiet(perfd)
            before, began = measure.family_ns(perfd.process.pid), time.monotonic()
            time.sleep(1)
            idle = (measure.family_ns(perfd.process.pid) - before) / (time.monotonic() - began)
            requests = opened(perfd)
            before, began = measure.family_ns(perfd.process.pid), time.monotonic()
            with measure.ready(measure.helper("crowd"), "files", count, place,
                               lib.program("libplugin.so")):
                lib.wait_for(lambda: opened(perfd) >= requests + count,
                             f"{count} files to be opened", max(run.left(), 30))
                took = time.monotonic() - began
                time.sleep(1)
                used = (measure.family_ns(perfd.process.pid) - before
                        - idle * (time.monotonic() - began))
                run.put(f"files_{count}_cpu", used / count / 1e3)
                run.put(f"files_{count}_known", took * 1e3)
                run.put(f"files_{count}_memory",
                        sum(measure.memory(pid) for pid in
                            measure.family(perfd.process.pid)) / 1e6)
