# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the budget holds when everything happens at once, whether somebody rare is
still seen, and a share known in time."""

import contextlib
import json
import os
import subprocess
import threading
import time

import measure
import stats
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


def seen_in(perfd, pids, minute):
    """[samples] of each of these processes in so many seconds up to now."""
    report = json.loads(lib.succeeds(perfd.ctl(
        "report", "--last", f"{minute:.0f}s", "--json")).stdout)
    samples = {one["pid"]: one["samples"] for one in report["processes"]}
    return [samples.get(pid, 0) for pid in pids]


def rare(run):
    """Programs that use a thousandth of a CPU each, a tenth of all CPUs together, on busy CPUs:
    how many of their minutes have a sample."""
    cpus, every = len(os.sched_getaffinity(0)), []
    with lib.Perfd(budget=True) as perfd, measure.busy_cpus(), \
            measure.ready(measure.helper("crowd"), "rare", run["a_cpu"] * cpus) as crowd:
        pids = lib.children(crowd.pid)
        time.sleep(2)
        before, began = sum(map(measure.cpu_ns, pids)), time.monotonic()
        minute = min(60.0, max(run.left() - 4, 5))
        if minute < 60:
            run.cut.append(f"a minute of {minute:.0f} s")
        while not every or run.left() > minute + 2:
            time.sleep(minute)
            counts = seen_in(perfd, pids, minute)
            every += counts
            run.put("seen", 100 * sum(count > 0 for count in counts) / len(counts))
            run.put("samples", sum(counts) / len(counts) * 60 / minute)
            run.tell(f"{sum(count > 0 for count in counts)} of {len(counts)} seen")
        used = sum(map(measure.cpu_ns, pids)) - before
        rate = max(one["rate"] for one in perfd.ctl_json("rates")["streams"]
                   if one["event"] == "cpu-clock")
        each = used / len(pids) / (time.monotonic() - began) / 1e9
    hit = sum(count > 0 for count in every)
    low, high = stats.share_interval(hit, len(every))
    run.notes["seen"] = (f"{hit} of {len(every)}, so {100 * low:.2f} to {100 * high:.2f} %; at "
                         f"{rate:.0f} Hz in the end, each used {100 * each:.3f} % of a CPU")


# --- a wished precision -----------------------------------------------------------------------

WISHED = 0.01  # to either side, at 95 %
SAMPLES = (stats.NORMAL_95 / 2 / WISHED) ** 2  # docs/rates.md: 9,604


def widest(report):
    """Half of the widest interval of a function's share, in percent."""
    return max(one["total_high"] - one["total_low"] for one in report["functions"]) / 2


def of_session(run, perfd, place):
    """attach --precision ends by itself."""
    path = os.path.join(place, "x.perfd")
    with lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as target:
        before, began = measure.cpu_ns(target.pid), time.monotonic()
        lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", run["hz"], "--precision",
                               f"{100 * WISHED:g}%", "-o", path, timeout=run.left() + 60))
        took = time.monotonic() - began
        ran = (measure.cpu_ns(target.pid) - before) / 1e9 / took  # of a CPU
    wanted = SAMPLES / run["hz"] / ran
    report = perfd.ctl_json("report", path, "--ci")
    run.put("session_off", 100 * abs(took / wanted - 1),
            note=f"{took:.1f} s, by the formula {wanted:.1f} s")
    run.put("session_width", widest(report), note=f"{report['samples']} samples")


def of_view(run):
    """The system-wide view with a wish takes the rate that the formula says."""
    within = run["within"]
    with lib.Perfd("--set", f"budget.precision={1000 * WISHED:.0f}", "--set", "memory.faults_hz=0",
                   "--set", f"budget.precision_time={within}s", "--set",
                   "cpu.frequency_hz=4999") as perfd, measure.busy_cpus():
        lib.wait_for(lambda: any(one["why"] == "precision" for one in
                                 perfd.ctl_json("rates")["streams"]), "the rate to follow")
        time.sleep(1 + within)
        report = json.loads(lib.succeeds(perfd.ctl("report", "--last", f"{within}s", "--ci",
                                                   "--json")).stdout)
    reached = SAMPLES / (report["samples"] / within)
    run.put("view_off", 100 * abs(reached / within - 1),
            note=f"{reached:.1f} s, by the formula {within} s")
    run.put("view_width", widest(report), note=f"{report['samples']} samples")


def precision(run):
    """A share known to one percent, in the time that it should take."""
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        for _ in run.rounds(run["rounds"], 1):
            of_session(run, perfd, place)
    of_view(run)
