# SPDX-License-Identifier: GPL-2.0-or-later
"""What real programs lose by perfd, with its always-on set as it is by default ("auto", with
its budget) and at fixed rates, to a fraction of a percent on a machine that wavers by ten.

One perfd, warm, whose events are turned off and on all the time (switching.py), some twenty
times a second; what is compared are neighbours, on and off, off and on. A machine's
wavering is slow beside that, or it hits few pairs, which are left out of the mean.

    longer = ln(time of a piece of work, on / off) + (cost - difference)

for each pair. The second term is what turning the events off does not turn off: `cost` is
the share of the machine that perfd's processes, its BPF programs at tracepoints and what the kernel
does with mappings take where everything is on all the time, by their CPU clocks, and `difference` what of it is in this pair's
difference already. (So a burst of the daemon's work, which hits few pairs, is in it, too.)

That says what a program loses, whatever perfd does to it, but never to a tenth of a percent in minutes.
`account` does: the sum of all that perfd is known to take, each part by its own clock or counter
(its CPU time, its BPF programs, firings by what one was measured to take, tasks, mappings, runs at
tracepoints). What it does to caches besides is in the other only.

Programs and rates take turns, by segments of some seconds. A value of a row is a segment's: the
mean of its pairs without the fifth at either end.
"""

import collections
import contextlib
import itertools
import os
import random
import time

import measure
import stats
import switching
from measure import lib
from switching import Switch
import workload

RATES = (19, 99, 499, 999)
# What a mapping of code takes of whoever makes it (kernel.mapping_around): the kernel does that as
# long as somebody has a side band, on or off.
MAPPING_NS = 4800
TASK_NS = 900  # likewise of a task's event (kernel.task_around)
RUN_NS = 50  # around a program at a tracepoint: the way to it, and bpf_stats' own
PROMISED = ("redis", "gcc", "pgbench")  # half a percent: what time there is goes to these
PAIRS_LEAST = 3  # of a segment that counts
CPUS = len(os.sched_getaffinity(0))


def started(stack, place, run):
    """{name: work} of the programs that are here; the others are skipped by name."""
    works = {}
    for name, program in workload.PROGRAMS.items():
        if name not in run["programs"]:
            continue
        try:
            works[name] = stack.enter_context(program(place))
            for _ in go_on(works[name], run["warm"], run["slice"]):
                pass
            works[name].stop()
        except (lib.Skip, AssertionError, OSError) as reason:
            works.pop(name, None)
            for figure in run.bench.figures:
                if figure.name.startswith(name + "_"):
                    run.skip(figure.name, lib.one_line(reason))
    return works


def go_on(work, seconds, each, begun=False):
    """Slices for so long; those who ask get each one's number."""
    if not begun:
        work.start()
    until = time.monotonic() + seconds
    for number in itertools.count():
        if time.monotonic() >= until:
            return
        work.slice(0, each)
        yield number


class Perfd:
    """The one that is switched, with what is asked of it between slices at little cost."""

    def __init__(self, perfd):
        self.perfd, self.pid = perfd, perfd.process.pid
        self.pids = measure.family(self.pid)
        self.firing_ns = perfd.ctl_json("rates")["firing_ns"]

    def set_rate(self, variant):
        how = ["--auto"] if variant == "auto" else ["-F", variant]
        lib.succeeds(self.perfd.ctl("rates", "--session", 0, *how))

    def cpu(self):
        return sum(map(measure.cpu_ns, self.pids))

    def account(self):
        """{"wall", "cpu", "bpf", "bpf_left": of programs that are not switched}, in ns, and how many
        there were of what the kernel does around."""
        self.pids = measure.family(self.pid)
        source = self.perfd.ctl_json("status")["source"]
        return {"wall": time.monotonic_ns(), "cpu": measure.family_ns(self.pid),
                "bpf": measure.bpf_run(self.pid)[0],
                **dict(zip(("bpf_left", "runs"),
                           measure.bpf_run(self.pid, measure.RAW_TRACEPOINT))),
                "firings": measure.bpf_run(self.pid, measure.PERF_EVENT)[1],
                "tasks": source["records_tasks"], "mappings": source["records_mappings"]}


def percent(part, wall):
    return 100 * part / wall / CPUS


def steady(work, mine, run):
    """({"all", "left", "account"} in percent of the machine, firings a second), all of it on."""
    before = mine.account()
    for _ in go_on(work, run["steady"], run["slice"], True):
        pass
    after = mine.account()
    used = {key: after[key] - before[key] for key in after}
    # Of one that does one thing after the other nobody else pays for its tracepoints.
    alone = CPUS if work.serial else 1
    kernel = (used["bpf_left"] + used["mappings"] * MAPPING_NS) * alone
    around = (used["tasks"] * TASK_NS + used["runs"] * RUN_NS) * alone
    clocks = used["bpf"] - used["bpf_left"] + used["firings"] * mine.firing_ns
    return ({"all": percent(used["cpu"] + used["bpf"], used["wall"]),
             "left": percent(used["cpu"] + kernel, used["wall"]),
             "account": percent(used["cpu"] + kernel + around + clocks, used["wall"])},
            used["firings"] / used["wall"] * 1e9)


def in_turns(work, mine, switch, seconds, each):
    """[(pair, on, perfd's CPU in percent of the machine)] of slices, in their order."""
    found, until = [], time.monotonic() + seconds
    for pair, on in switching.order(1 << 30):
        if len(found) == 2 * pair and time.monotonic() >= until:
            return found
        switch.turn(on)
        began, before = time.monotonic_ns(), mine.cpu()
        work.slice(pair, each)
        found.append((pair, on, percent(mine.cpu() - before, time.monotonic_ns() - began)))
    return found


def segment(run, name, work, variant, mine, seconds):
    """Some seconds of a program at one rate, and its figures; how many pairs there were."""
    key = f"{name}_{variant}"
    mine.set_rate(variant)
    for _ in go_on(work, run["warm"], run["slice"]):
        pass
    cost, firings = steady(work, mine, run)
    before = mine.account()
    with Switch(mine.pid) as switch:
        found = in_turns(work, mine, switch, seconds - run["warm"] - run["steady"], run["slice"])
    turned = mine.account()
    half = (turned["firings"] - before["firings"]) / (turned["wall"] - before["wall"]) * 1e9
    lib.check(half < 0.8 * firings + 30, f"{half:.0f} firings a second where half the time has "
                                         f"none, {firings:.0f} where all has them")
    done = work.stop()[-len(found):]
    both = [(pair, on, piece, cpu) for (pair, on, cpu), piece in zip(found, done) if piece]
    times = switching.logs((pair, on, piece[0]) for pair, on, piece, _ in both)
    works = switching.logs((pair, on, piece[1]) for pair, on, piece, _ in both)
    own = switching.differences((pair, on, cpu) for pair, on, _, cpu in both)
    if len(times) < PAIRS_LEAST:
        run.tell(f"{key}: {len(times)} pairs are too few")
        return 0
    longer = [100 * one + cost["left"] - mine_ for one, mine_ in zip(times, own)]
    run.put(f"{key}_time", stats.trimmed_interval(longer)[0])
    run.put(f"{key}_work", 100 * stats.trimmed_interval(works)[0])
    run.put(f"{key}_cost", cost["all"])
    run.put(f"{key}_account", cost["account"])
    run.tell(f"{key}: {len(times)} pairs, {run.values[key + '_time'][-1]:+.2f} %, perfd "
             f"{cost['all']:.2f} % of the machine, {firings:.0f} firings a second, {half:.0f} in "
             "turns")
    return len(times)


def segments(run, works):
    """(name, variant, seconds, whether it has to be) without an end."""
    fixed = [(name, variant) for name in works for variant in run["variants"] if variant != "auto"]
    for name in works:
        yield name, "auto", run["auto"], True
    for name, variant in random.sample(fixed, len(fixed)):
        yield name, variant, run["fixed"], True
    while True:
        yield from ((name, "auto", run["auto"], False) for name in PROMISED if name in works)


def remark(values, pairs):
    """Of a row: Student's interval of the mean over its segments, and what that says."""
    mean, low, high = stats.mean_interval(values)
    what = "seen" if low > 0 else f"nothing seen above {max(high, 0):.2f} %"
    return f"{pairs} pairs: mean {mean:+.2f} % [{low:+.2f}, {high:+.2f}], {what}"


def overhead(run):
    pairs = collections.Counter()
    with lib.folder() as place, contextlib.ExitStack() as stack, measure.bpf_stats():
        works = started(stack, place, run)
        lib.check(works, "none of the programs is here")
        mine = Perfd(stack.enter_context(
            lib.Perfd("--set", f"unwind.cache_dir={place}/tables", budget=True)))
        for work in works.values():  # it meets them
            for _ in go_on(work, run["warm"], run["slice"]):
                pass
            work.stop()
        measure.wait_quiet(mine.perfd, run["quiet"])
        for name, variant, seconds, needed in segments(run, works):
            if run.left() < seconds:
                if needed:
                    run.cut.append("not all rates")
                break
            pairs[f"{name}_{variant}"] += segment(run, name, works[name], variant, mine, seconds)
    for figure in run.bench.figures:
        values, key = run.values.get(figure.name, ()), figure.name.rpartition("_")[0]
        if figure.name.endswith(("_time", "_work")) and len(values) > 1:
            run.notes[figure.name] = remark(values, pairs[key])
        elif figure.name.endswith("_account") and len(values) > 1:
            run.notes[figure.name] = ("mean {:.2f} % [{:.2f}, {:.2f}]"
                                      .format(*stats.mean_interval(values)))
        elif not values and figure.name not in run.skipped:
            run.skip(figure.name, "no time left for it (MINUTES)")
