# SPDX-License-Identifier: GPL-2.0-or-later
"""How much perfd takes in with nothing lost, and what each thing of it costs."""

import bisect
import contextlib
import os
import subprocess
import threading
import time

import measure
import stats
import switching
from measure import lib

RATE = 100000  # samples a second of the synthetic machine, which is that of history.c
STACKS = 20000
SLICE = 0.03  # seconds with the events, and without
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


class Counted:
    """A storm that tells how many there have been, each few milliseconds: asked afterwards."""
    MS = 3

    def __init__(self, kind, stack):
        self.process = stack.enter_context(lib.started(
            lib.program("storm"), kind, 0, self.MS, stdout=subprocess.PIPE, text=True))
        self.times, self.counts = [], []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        lib.wait_for(lambda: len(self.times) > 100, f"{kind} to begin")

    def read(self):
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stdout:
                at, count = map(int, line.split())
                self.times.append(at)
                self.counts.append(count)

    def at(self, moment):
        """Between two lines as many as the time has it."""
        after = min(max(bisect.bisect(self.times, moment), 1), len(self.times) - 1)
        (t0, t1), (c0, c1) = self.times[after - 1:after + 1], self.counts[after - 1:after + 1]
        return c0 + (c1 - c0) * (moment - t0) / max(t1 - t0, 1)

    def apart(self, began, ended):
        """ns between two of them."""
        return (ended - began) / max(self.at(ended) - self.at(began), 1e-3)


def steady_event(run, kind, perfd, counted):
    """All of perfd on: what there is of it a second, and what it costs. Percent of the time that
    goes to programs at tracepoints, which a switch leaves on."""
    shares = []
    for _ in range(run["rounds"]):
        left = measure.bpf_run(perfd.process.pid, measure.RAW_TRACEPOINT)[0]
        cost, began = measure.Cost(perfd), time.monotonic_ns()
        time.sleep(run["seconds_each"])
        ended, used = time.monotonic_ns(), cost.used()
        left = measure.bpf_run(perfd.process.pid, measure.RAW_TRACEPOINT)[0] - left
        time.sleep(0.1)
        apart = counted.apart(began, ended)
        run.put(f"{kind}_rate", 1e9 / apart)
        run.put(f"{kind}_cost", (used["cpu"] + used["bpf"]) / used["wall"] * apart)
        shares.append(100 * left / used["wall"])
    return stats.median(shares)


def by_switch(run, kind, perfd, stack):
    """What the program loses, by slices with the events off and on."""
    counted = Counted(kind, stack)
    time.sleep(1)
    left = steady_event(run, kind, perfd, counted)
    until = time.monotonic() + run["switched"]
    with switching.Switch(perfd.process.pid) as switch:
        slices = switching.slices(switch, SLICE, lambda: time.monotonic() < until)
    time.sleep(0.1)
    found = switching.logs((one.pair, one.on, counted.apart(one.began, one.ended))
                           for one in slices)
    run.put(f"{kind}_slower", *(100 * one + left for one in found))


def by_session(run, kind, perfd, stack):
    """Likewise, by a heap session on it that comes and goes."""
    counted, halves = Counted(kind, stack), []
    time.sleep(1)
    for pair, on in switching.order(run["sessions"]):
        if on:
            lib.succeeds(perfd.ctl("attach", "--pid", counted.process.pid, "-e", "heap",
                                   "--background"))
            lib.wait_for(lambda: perfd.ctl_json("status")["memory"]["heap"]["probes"],
                         "probes on it")
            time.sleep(0.3)
        began, cost = time.monotonic_ns(), measure.Cost(perfd)
        time.sleep(run["seconds_each"])
        ended, used = time.monotonic_ns(), cost.used()
        if on:
            session = perfd.sessions()[-1]["id"]
            perfd.ctl("detach", "--session", session, "-o", "-")
        time.sleep(0.1)
        apart = counted.apart(began, ended)
        halves.append((pair, on, apart))
        if on:
            run.put(f"{kind}_rate", 1e9 / apart)
            run.put(f"{kind}_cost", (used["cpu"] + used["bpf"]) / used["wall"] * apart)
    run.put(f"{kind}_slower", *(100 * one for one in switching.logs(halves)))


def events(run):
    """As fast as a program makes them: what perfd costs an event, and what the program loses."""
    with measure.bpf_stats(), lib.Perfd(budget=True) as perfd:
        time.sleep(0.5)
        for kind in SOURCES:
            lost = measure.lost(perfd)[1]
            with contextlib.ExitStack() as stack:
                (by_session if kind == "mallocs" else by_switch)(run, kind, perfd, stack)
            time.sleep(0.5)
            run.put(f"{kind}_lost", measure.lost(perfd)[1] - lost)
            run.tell(f"{kind}: {run.values[kind + '_rate'][-1]:,.0f} a second")
