# SPDX-License-Identifier: GPL-2.0-or-later
"""What real programs lose: the same work without perfd, with its always-on set as it is by
default ("auto", with its budget), and at fixed rates, in turns within each round."""

import contextlib
import random
import time

import measure
import stats
import workload
from measure import lib

RATES = (19, 99, 499, 999)


def started(stack, place, run):
    """{name: work} of the programs that are here; the others are skipped by name."""
    works = {}
    for name, program in workload.PROGRAMS.items():
        if name not in run["programs"]:
            continue
        try:
            works[name] = stack.enter_context(program(place, run["size"]))
            works[name]()  # warm: files, caches, the server's tables
        except (lib.Skip, AssertionError) as reason:
            for figure in run.bench.figures:
                if figure.name.startswith(name + "_"):
                    run.skip(figure.name, lib.one_line(reason))
    return works


def once(works, perfd=None):
    """{name: (wall, CPU of the work, what perfd took of the machine's time in percent)}."""
    done = {}
    for name, work in works.items():
        cost = measure.Cost(perfd) if perfd else None
        wall, cpu = work()
        used = cost.used() if cost else {"percent": 0.0}
        done[name] = (wall, cpu, used["percent"] / len(lib.os.sched_getaffinity(0)))
    return done


def with_perfd(works, variants, settle, place):
    """{variant: once()}: one perfd, its rate changed in a random order; auto is first. It has
    met the programs, and has their tables from the round before: what is always on has."""
    done = {}
    with lib.Perfd("--set", f"unwind.cache_dir={place}/tables", budget=True) as perfd:
        once(works)
        time.sleep(settle)
        if "auto" in variants:
            done["auto"] = once(works, perfd)
        for hz in random.sample([one for one in variants if one != "auto"],
                                len([one for one in variants if one != "auto"])):
            lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", hz))
            done[hz] = once(works, perfd)
    return done


def overhead(run):
    pairs = {}
    with lib.folder() as place, contextlib.ExitStack() as stack, measure.bpf_stats():
        works = started(stack, place, run)
        lib.check(works, "none of the programs is here")
        for number in run.rounds(run["rounds"], 2):
            # What drifts over a round is against perfd once, and once for it.
            off = once(works) if number % 2 == 0 else None
            done = with_perfd(works, run["variants"], run["settle"], place)
            off = off or once(works)
            for variant, found in done.items():
                for name, (wall, cpu, cost) in found.items():
                    key = f"{name}_{variant}"
                    pairs.setdefault(key, []).append((wall, off[name][0]))
                    run.put(f"{key}_time", 100 * (wall / off[name][0] - 1))
                    run.put(f"{key}_work", 100 * (cpu / off[name][1] - 1))
                    run.put(f"{key}_cost", cost)
            run.tell(f"round {number + 1}: " + ", ".join(
                f"{key} {100 * (wall / base - 1):+.1f} %" for key, pair in pairs.items()
                for wall, base in pair[-1:]))
    for key, pair in pairs.items():
        if len(pair) > 1:
            mean, low, high = (100 * (one - 1) for one in stats.ratio_interval(pair))
            run.notes[f"{key}_time"] = f"mean {mean:+.2f} % [{low:+.2f}, {high:+.2f}], Student"
