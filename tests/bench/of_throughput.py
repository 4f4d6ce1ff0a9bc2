# SPDX-License-Identifier: GPL-2.0-or-later
"""How much perfd takes in with nothing lost, and what each thing of it costs."""

import contextlib
import os
import subprocess
import time

import measure
from measure import lib

RATE = 100000  # samples a second of the synthetic machine, which is that of history.c
STACKS = 20000
SOURCES = ("forks", "execs", "switches", "mallocs")


@contextlib.contextmanager
def replayed(samples, rate, processes, stacks, depth, *options):
    """A perfd that plays a synthetic recording out of a pipe."""
    with lib.folder() as place, contextlib.ExitStack() as stack:
        pipe = os.path.join(place, "recording")
        os.mkfifo(pipe)
        stack.enter_context(lib.started(measure.helper("synthetic"), pipe, samples, rate,
                                        processes, stacks, depth, **measure.QUIET))
        yield stack.enter_context(lib.Perfd("--replay", pipe, *options, bpf=False))


def played(perfd, samples, seconds, step=1.0):
    """[(wall ns, CPU ns, samples taken)] until all are; the first at the beginning."""
    seen = [(time.monotonic_ns(), 0, 0)]
    until = time.monotonic() + seconds
    while seen[-1][2] < samples:
        lib.check(time.monotonic() < until,
                  f"{seen[-1][2]} of {samples} samples after {seconds:.0f} s")
        time.sleep(step)
        cpu = measure.family_ns(perfd.process.pid)
        taken, lost = measure.lost(perfd)
        lib.equal(lost, 0, "samples lost of the recording")
        seen.append((time.monotonic_ns(), cpu, taken))
    return seen


def synthetic(run):
    samples = run["samples"]
    with replayed(samples, RATE, 40, STACKS, 24) as perfd:
        seen = played(perfd, samples, run.left() + 60)
    wall, cpu, _ = seen[-1]
    rate = samples / (wall - seen[0][0]) * 1e9
    for before, after in zip(seen, seen[1:]):
        if after[2] - before[2] > RATE:
            ns = (after[1] - before[1]) / (after[2] - before[2])
            run.put("sample", ns)
    run.put("cpu", 100 * cpu / samples * RATE / 1e9,
            note=f"{samples:,} samples, at {rate:,.0f} a second")
    run.put("lost", 0)


def held(run):
    """Real samples, of all CPUs, at rates that rise until something is lost."""
    cpus = len(os.sched_getaffinity(0))
    best = 0.0
    with measure.bpf_stats(), \
            lib.Perfd("--set", "cpu.frequency_max_hz=100000", "--set", "memory.faults_hz=0"
                      ) as perfd, measure.busy_cpus():
        time.sleep(1)
        for hz in run["rates"]:
            lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", hz))
            time.sleep(0.3)
            taken, lost = measure.lost(perfd)
            cost, began = measure.Cost(perfd), time.monotonic()
            time.sleep(run["seconds_each"])
            now, gone = measure.lost(perfd)
            used, rate = cost.used(), (now - taken) / (time.monotonic() - began)
            run.tell(f"{hz} Hz: {rate:,.0f} samples a second, {gone - lost} lost")
            if gone > lost:
                run.put("lost_at", rate)
                break
            if rate > 1.05 * best:  # the kernel may throttle: then no more come
                best = rate
                run.put("cpu", used["cpu"] / max(now - taken, 1))
                run.put("bpf", used["bpf"] / max(now - taken, 1))
        else:
            run.put("lost_at", best, note=f"nothing lost up to {run['rates'][-1]} Hz "
                                          f"on {cpus} CPUs")
    run.put("most", best)


def storm_of(kind, seconds, perfd=None, session=None):
    """Things a second, as the program itself counts them; and what perfd took meanwhile."""
    with lib.started(lib.program("storm"), kind, 0, stdout=subprocess.PIPE,
                     text=True) as process:
        if session:
            lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-e", session,
                                   "--background"))
        process.stdout.readline()
        cost, began = measure.Cost(perfd) if perfd else None, time.monotonic()
        counts = [int(process.stdout.readline()) for _ in range(seconds)]
        wall = time.monotonic() - began
        return sum(counts) / wall, cost.used() if cost else None


def events(run):
    """As fast as a program makes them: what perfd costs an event, and what the program loses."""
    with measure.bpf_stats():
        for _ in run.rounds(run["rounds"], 1):
            for kind in SOURCES:
                session = "heap" if kind == "mallocs" else None
                bare, _ = storm_of(kind, run["seconds_each"])
                with lib.Perfd(budget=True) as perfd:
                    time.sleep(0.5)
                    rate, used = storm_of(kind, run["seconds_each"], perfd, session)
                    time.sleep(0.5)
                    run.put(f"{kind}_lost", measure.lost(perfd)[1])
                run.put(f"{kind}_rate", rate)
                run.put(f"{kind}_slower", 100 * (bare / rate - 1))
                run.put(f"{kind}_cost", (used["cpu"] + used["bpf"])
                        / max(rate * used["wall"] / 1e9, 1))
                run.tell(f"{kind}: {rate:,.0f} a second, {bare:,.0f} without perfd")
