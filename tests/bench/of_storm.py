# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the budget holds when everything happens at once, and whether somebody rare is
still seen."""

import contextlib
import json
import os
import subprocess
import threading
import time

import measure
from measure import lib

# What the issue of it says: the kinds, how many of each, and how many a second of it.
STORM = (("mallocs", 4, 1000000), ("execs", 1, 2000), ("switches", 1, 100000))
GRACE = 3  # seconds after the start until the budget has to hold


class Counter:
    """A storm's own count, a line a second."""

    def __init__(self, stack, kind, rate):
        self.process = stack.enter_context(lib.started(
            lib.program("storm"), kind, rate, stdout=subprocess.PIPE, text=True))
        self.kind, self.lines = kind, [(time.monotonic(), 0)]
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stdout:
                self.lines.append((time.monotonic(), int(line)))

    def rate(self, since, until):
        """A second; lines come when it is behind with its work, so not each second."""
        lines = [line for line in list(self.lines) if since <= line[0] <= until]
        if len(lines) < 2:
            return 0.0
        return sum(count for _, count in lines[1:]) / (lines[-1][0] - lines[0][0])


def rate_of(counters, kind, since, until):
    return sum(one.rate(since, until) for one in counters if one.kind == kind)


def worst(values, width):
    """The largest mean of so many in a row."""
    width = min(width, len(values))
    return max(sum(values[i:i + width]) / width for i in range(len(values) - width + 1))


def observe(run, perfd, began, seconds):
    """(by perfd's own account, by ours), percent of the machine, each second after the grace."""
    cpus, theirs, ours = len(os.sched_getaffinity(0)), [], []
    cost = measure.Cost(perfd)
    while time.monotonic() < began + seconds:
        time.sleep(1)
        rates, used = perfd.ctl_json("rates"), cost.used()
        cost = measure.Cost(perfd)
        if time.monotonic() - began <= GRACE + 1:
            continue
        theirs.append(rates["cost_percent"])
        ours.append(used["percent"] / cpus)
        if len(ours) % 10 == 1:
            run.tell(f"{time.monotonic() - began:4.0f} s: {theirs[-1]:.2f} % by its own account, "
                     f"CPU and BPF {ours[-1]:.2f} %; " + ", ".join(
                         f"{one['event']} {one['rate']:.3g} {one['unit']}"
                         for one in rates["streams"]))
    return theirs, ours


@contextlib.contextmanager
def blowing(counters):
    """The storm; its counters go into the list."""
    with contextlib.ExitStack() as stack:
        counters += [Counter(stack, kind, rate) for kind, count, rate in STORM
                     for _ in range(count)]
        yield


def bare(run):
    """{kind: a second} without perfd."""
    counters, began = [], time.monotonic()  # their first moment is in it
    with blowing(counters):
        time.sleep(run["resting"])
        return {kind: rate_of(counters, kind, began, time.monotonic()) for kind, _, _ in STORM}


def storm(run):
    counters = []
    with measure.bpf_stats():
        spans = [bare(run)]
        with lib.Perfd(budget=True) as perfd:
            time.sleep(run["settle"])
            measure.wait_quiet(perfd)
            with blowing(counters):
                began = time.monotonic()
                for one in counters:
                    if one.kind == "mallocs":
                        lib.succeeds(perfd.ctl("attach", "--pid", one.process.pid, "-e", "heap",
                                               "--background"))
                theirs, ours = observe(run, perfd, began,
                                       run.seconds(run["storm"], 15))
                with_it = {kind: rate_of(counters, kind, began + GRACE, time.monotonic())
                           for kind, _, _ in STORM}
                lost, end_rates = measure.lost(perfd)[1], perfd.ctl_json("rates")
        spans.append(bare(run))
    for kind, count, wished in STORM:
        alone = sum(span[kind] for span in spans) / len(spans)
        if not alone:
            run.skip(f"{kind}_lost", "this machine is too busy for it even without perfd")
            continue
        # Nobody loses what it makes above its rate, to catch up.
        run.put(f"{kind}_lost", 100 * (1 - min(with_it[kind], count * wished)
                                       / min(alone, count * wished)),
                note=f"{with_it[kind]:,.0f} a second, {alone:,.0f} without perfd, "
                     f"{count * wished:,} wished")
    run.put("cost", *theirs, note=f"over the budget and a fifth in "
                                  f"{sum(one > 1.2 for one in theirs)} of {len(theirs)} s")
    run.put("cpu_and_bpf", *ours)
    run.put("worst_10s", worst(theirs, 10))
    run.put("lost", lost, note=f"{end_rates['cuts']} cuts, {end_rates['rises']} rises")


def rare(run):
    """Programs that use a thousandth of a CPU each, on busy CPUs: how many of their minutes
    have a sample."""
    with lib.Perfd(budget=True) as perfd, measure.busy_cpus(), \
            measure.ready(measure.helper("crowd"), "rare", run["processes"]) as crowd:
        pids = set(lib.children(crowd.pid))
        minute = min(60.0, run.left() / run["minutes"])
        if minute < 59:
            run.cut.append(f"minutes of {minute:.0f} s")
        for _ in range(run["minutes"]):
            time.sleep(minute)
            report = json.loads(lib.succeeds(perfd.ctl(
                "report", "--last", f"{minute:.0f}s", "--json")).stdout)
            seen = {one["pid"]: one["samples"] for one in report["processes"]}
            counts = [seen.get(pid, 0) for pid in pids]
            rate = max(one["rate"] for one in perfd.ctl_json("rates")["streams"]
                       if one["event"] == "cpu-clock")
            run.put("seen", 100 * sum(count > 0 for count in counts) / len(counts),
                    note=f"at {rate:.0f} Hz in the end")
            run.put("samples", sum(counts) / len(counts) * 60 / minute)
            run.tell(f"{sum(count > 0 for count in counts)} of {len(counts)} seen")
