# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel takes around perfd's events: where the constants RATES_*_NS of
daemon/rates.h are from. Seen from within a program (kernel_cost.c), less what the BPF
program itself ran, perfd on and off in turns."""

import json
import subprocess
import threading

import measure
import stats
import switching
from measure import lib
from switching import Switch

CLOCK_HZ = 4999
DEPTH = 24
SLICE = 0.02  # seconds with the side band, and without
CHILDREN = 20  # a round of `kernel_cost forks`
ROUNDS_LEAST = 4  # in a slice that counts
ALONE = ("--set", "cpu.frequency_hz=0", "--set", "memory.faults_hz=0")


def asked_of(helper, *arguments):
    done = subprocess.run([measure.helper(helper), *map(str, arguments)],
                          capture_output=True, text=True, timeout=120)
    lib.equal(done.returncode, 0, f"exit code of {helper}")
    return json.loads(done.stdout)


def asked(*arguments):
    return asked_of("kernel_cost", *arguments)


def clock(run):
    """A firing of a cpu-clock: all of it, and what is left without the BPF program."""
    with measure.bpf_stats(), lib.Perfd("--set", "memory.faults_hz=0") as perfd:
        measure.gaps(0.5, DEPTH)  # its table comes
        for _ in run.rounds(run["rounds"], 2):
            lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", 1))
            off = measure.gaps(run["gaps"], DEPTH)
            lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", CLOCK_HZ))
            before = measure.bpf_run(perfd.process.pid, measure.PERF_EVENT)
            on = measure.gaps(run["gaps"], DEPTH)
            after = measure.bpf_run(perfd.process.pid, measure.PERF_EVENT)
            whole = (on - off) * 1e9 / CLOCK_HZ
            ran = (after[0] - before[0]) / max(after[1] - before[1], 1)
            run.put("clock_whole", whole)
            run.put("clock_bpf", ran)
            run.put("clock_around", whole - ran)


def per_round(kind, rounds):
    return stats.quantile(asked(kind, rounds)["ns"], 0.1)  # others' turns only make it longer


def fault(run):
    """A page fault that is counted by the system-wide view, where all of the time is looked at."""
    pages = run["faults"] * 500
    with measure.bpf_stats():
        for _ in run.rounds(run["rounds"], 2):
            off = per_round("faults", run["faults"])
            with lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "memory.view_budget=0") as perfd:
                before = measure.bpf_run(perfd.process.pid, measure.RAW_TRACEPOINT)
                on = per_round("faults", run["faults"])
                ran = (measure.bpf_run(perfd.process.pid, measure.RAW_TRACEPOINT)[0]
                       - before[0]) / pages
            run.put("fault_whole", on - off)
            run.put("fault_bpf", ran)
            run.put("fault_around", on - off - ran)


def rounds_in(slices, found, children):
    """(pair, on, median of the rounds that lie within) of each slice with enough of them."""
    rounds, at = list(zip(found["at"], found["ns"])), 0
    for one in slices:
        within = []
        while at < len(rounds) and rounds[at][0] < one.ended:
            began, ns = rounds[at]
            if began >= one.began and began + ns * children < one.ended:
                within.append(ns)
            at += 1
        if len(within) >= ROUNDS_LEAST:
            yield one.pair, one.on, stats.median(within)


def sideband(run):
    """A child that is forked and ends: two events of the side band, which is turned off and on
    all the time, and perfd's programs on fork and exit."""
    with measure.bpf_stats(), lib.Perfd(*ALONE) as perfd, Switch(perfd.process.pid) as switch, \
            lib.started(measure.helper("kernel_cost"), "forks", run["forks"],
                        stdout=subprocess.PIPE, text=True) as process:
        before = measure.bpf_run(perfd.process.pid)
        records = perfd.ctl_json("status")["source"]["records"]
        output = []
        reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
        reader.start()
        slices = switching.slices(switch, SLICE, reader.is_alive)
        reader.join()
        ran = (measure.bpf_run(perfd.process.pid)[0] - before[0]) / (run["forks"] * CHILDREN)
        lib.check(perfd.ctl_json("status")["source"]["records"] - records
                  > run["forks"] * CHILDREN / 2, "the side band did not tell of the children")
    found = switching.differences(rounds_in(slices, json.loads(output[0]), CHILDREN))
    lib.check(len(found) >= 6, f"{len(found)} pairs of slices: this machine is too busy")
    run.put("process_whole", *(ran + one for one in found))
    run.put("process_bpf", ran)
    run.put("sideband_around", *(one / 2 for one in found),
            note=f"{len(found)} pairs of slices, on and off in turns")


def starts(run):
    """A program that is started and ends, with a side band like perfd's and without any
    (tests/bench/sideband.c): what mappings cost does not stop where an event is turned off. No
    perfd runs; another one on the machine, or perf record -a, would have the figure be too low."""
    found = asked_of("sideband", run["pairs"])
    tasks = found["start_events"] - found["start_mappings"]
    task = stats.median(found["fork"]) / found["fork_events"]
    note = (f"{tasks:.1f} events of tasks and {found['start_mappings']:.1f} mappings a start, "
            f"{run['pairs']} pairs of slices")
    run.put("start_around", *found["start"], note=note)
    run.put("task_around", *(one / found["fork_events"] for one in found["fork"]))
    run.put("mapping_around", *((one - tasks * task) / found["start_mappings"]
                                for one in found["start"]))


def constants(run):
    clock(run)
    fault(run)
    sideband(run)
    starts(run)
