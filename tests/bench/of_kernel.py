# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel takes around perfd's events: where the constants RATES_*_NS of
daemon/rates.h are from. Seen from within a program (kernel_cost.c), less what the BPF
program itself ran, perfd on and off in turns."""

import json
import os
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
FAULT_SLICE = 0.06  # likewise with the view of faults, which takes a word to perfd
PAGES = 500  # a round of `kernel_cost faults`
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


def rounds_in(slices, found, things):
    """(pair, on, median of the rounds that lie within) of each slice with enough of them."""
    rounds, at = list(zip(found["at"], found["ns"])), 0
    for one in slices:
        within = []
        while at < len(rounds) and rounds[at][0] < one.ended:
            began, ns = rounds[at]
            if began >= one.began and began + ns * things < one.ended:
                within.append(ns)
            at += 1
        if len(within) >= ROUNDS_LEAST:
            yield one.pair, one.on, stats.median(within)


def in_turns(kind, rounds, things, switch, seconds):
    """What so many rounds of `kernel_cost KIND`, of so many things each, lose by what is switched
    meanwhile: ns a thing, of each pair of slices."""
    output = []
    with lib.started(measure.helper("kernel_cost"), kind, rounds, stdout=subprocess.PIPE,
                     text=True) as process:
        reader = threading.Thread(target=lambda: output.append(process.stdout.read()))
        reader.start()
        slices = switching.slices(switch, seconds, reader.is_alive)
        reader.join()
    found = switching.differences(rounds_in(slices, json.loads(output[0]), things))
    lib.check(len(found) >= 6, f"{len(found)} pairs of slices: this machine is too busy")
    return found


class FaultView:
    """The system-wide view of page faults, on and off, where all of the time is looked at."""

    def __init__(self, place):
        self.path, self.perfd = os.path.join(place, "perfd.conf"), None
        self.write(True)

    def write(self, on):
        with open(self.path, "w") as file:
            file.write(f"[memory]\nfaults_hz = {97 if on else 0}\n")

    def turn(self, on):
        self.write(on)
        lib.succeeds(self.perfd.ctl("reload"))


def fault(run):
    """A page fault that is counted by the system-wide view."""
    with measure.bpf_stats(), lib.folder() as place:
        view = FaultView(place)
        with lib.Perfd("--config", view.path, "--set", "cpu.frequency_hz=0", "--set",
                       "memory.mmap_hz=0", "--set", "memory.view_budget=0") as view.perfd:
            found = in_turns("faults", run["faults"], PAGES, view, FAULT_SLICE)
            view.turn(True)
            before = measure.bpf_run(view.perfd.process.pid, tracepoint="page_fault")
            asked("faults", run["faults"] // 10)
            now = measure.bpf_run(view.perfd.process.pid, tracepoint="page_fault")
    ran = (now[0] - before[0]) / max(now[1] - before[1], 1)
    run.put("fault_whole", *found)
    run.put("fault_bpf", ran)
    run.put("fault_around", *(one - ran for one in found))


def sideband(run):
    """A child that is forked and ends: two events of the side band, which is turned off and on
    all the time, and perfd's programs on fork and exit."""
    children = run["forks"] * CHILDREN
    with measure.bpf_stats(), lib.Perfd(*ALONE) as perfd, Switch(perfd.process.pid) as switch:
        before = measure.bpf_run(perfd.process.pid)
        records = perfd.ctl_json("status")["source"]["records"]
        found = in_turns("forks", run["forks"], CHILDREN, switch, SLICE)
        ran = (measure.bpf_run(perfd.process.pid)[0] - before[0]) / children
        lib.check(perfd.ctl_json("status")["source"]["records"] - records > children / 2,
                  "the side band did not tell of the children")
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
    found = asked_of("sideband", run["pairs"], "tasks")
    run.put("start_around_sampled", *found["start"],
            note=f"{found['start_events']:.1f} events of tasks a start, and no mappings")


def constants(run):
    clock(run)
    fault(run)
    sideband(run)
    starts(run)
