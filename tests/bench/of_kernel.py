# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel takes around perfd's events: where the constants RATES_*_NS of
daemon/rates.h are from. Seen from within a program (kernel_cost.c), less what the BPF
program itself ran, perfd on and off in turns."""

import json
import subprocess

import measure
import stats
from measure import lib

CLOCK_HZ = 4999
DEPTH = 24
ALONE = ("--set", "cpu.frequency_hz=0", "--set", "memory.faults_hz=0")


def asked(*arguments):
    done = subprocess.run([measure.helper("kernel_cost"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=120)
    lib.equal(done.returncode, 0, "exit code of kernel_cost")
    return json.loads(done.stdout)


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


def sideband(run):
    """A child that is forked and ends: two events of the side band, and perfd's programs on
    fork and exit."""
    children = run["forks"] * 20
    with measure.bpf_stats():
        for _ in run.rounds(run["rounds"], 2):
            off = per_round("forks", run["forks"])
            with lib.Perfd(*ALONE) as perfd:
                before, ran = (perfd.ctl_json("status")["source"]["records"],
                               measure.bpf_run(perfd.process.pid))
                on = per_round("forks", run["forks"])
                ran = (measure.bpf_run(perfd.process.pid)[0] - ran[0]) / children
                lib.wait_for(lambda: perfd.ctl_json("status")["source"]["records"] - before
                             >= children, "the events of the children")
            run.put("process_whole", on - off)
            run.put("process_bpf", ran)
            run.put("sideband_around", (on - off - ran) / 2)


def constants(run):
    clock(run)
    fault(run)
    sideband(run)
