#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What perfd says of allocations, beside a program that counts them itself: bytes and
objects, by place, in total and in use, for many seeds of one run.

HEAP_TRUTH_SEEDS: how many (24; `make test-heap-truth`: 400). The mean error of a figure over
the seeds is judged by the standard error that the sampling has (the program adds it up, by the interval
that held for each allocation), or passes if it is below a thousandth: none of the sums over all
places may be above 3 of them, none by place above 4.5, and above 3 no more than chance would bring
(of 64 figures 0.17). The short form, which runs often, has too few hits for what is in use by
place, and allows 4.5: few rare samples, each of which stands for many, are not distributed
normally, and an error in bytes is one in objects too."""

import json
import math
import os
import re
import subprocess

import lib
import lib_heap

SEEDS = int(os.environ.get("HEAP_TRUTH_SEEDS", "24"))
LONG = SEEDS >= 200
STEPS = int(os.environ.get("HEAP_TRUTH_STEPS", "4000" if LONG else "2000"))
LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
FIGURES = ("objects", "bytes", "live objects", "live bytes")
VALUES = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space")
SITES = 8
CHILD = 500  # the first seed of a child


def told_by(path, place):
    """{(seed, site): [figure, …]} of a profile."""
    told = {}
    for number, value in enumerate(VALUES):
        folded = lib_heap.by_value(path, place, value)
        for frames, amount in folded.stacks if folded else ():
            found = re.search(r"hundreds_(\d);.*tens_(\d);.*ones_(\d);.*site_(\d)", ";".join(frames))
            if found:
                digits = [int(digit) for digit in found.groups()]
                key = digits[0] * 100 + digits[1] * 10 + digits[2], digits[3]
                told.setdefault(key, [0] * 4)[number] += amount
    return told


def truth_of(text):
    lib.check(text.endswith("end\n"), f"the program ended early: {text[-200:]!r}")
    truth = {}
    for line in text.splitlines()[:-1]:
        seed, site, *figures = line.split()
        truth[int(seed), int(site)] = [int(word) for word in figures[:4]] + \
            [float(word) for word in figures[4:]]
    return truth


ROUNDING = 1e-6  # of a sum: figures in a profile are whole numbers


def z_score(pairs):
    """(mean error in standard errors, relative error of the sum) of [(told, exact, variance)]. The
    standard error is that of the sampling itself, where the program knows it; that of the errors
    elsewhere: where few samples stand for most, it is too small just when these are missing."""
    errors = [told - exact for told, exact, _ in pairs]
    mean = sum(errors) / len(errors)
    variance = sum((error - mean) ** 2 for error in errors) / (len(errors) - 1)
    known = sum(one for _, _, one in pairs) / len(pairs)
    whole = sum(exact for _, exact, _ in pairs)
    lib.check(whole > 0, "a figure without anything in it")
    if abs(sum(errors)) < ROUNDING * whole:
        return 0.0, sum(errors) / whole
    if known:
        return mean / math.sqrt(known / len(errors)), sum(errors) / whole
    lib.check(variance > 0, f"each is off by {mean}")
    return mean / math.sqrt(variance / len(errors)), sum(errors) / whole


EXACT = 0.001  # of the sum: nobody would notice


def judge(what, told, truth, figures, least):
    """`least`: bytes of a place. Of one with less a longest interval hits hardly any, and each
    stands for more than all: what is seen then is far too little mostly, and far too much at times,
    and no standard error says so."""
    scores = []
    judged = [site for site in range(SITES)
              if sum(row[1] for (_, where), row in truth.items() if where == site) >= least]
    lib.check(judged, f"no place has {least} bytes")

    def score(seeds, number, sites):
        return z_score([(sum(told.get((seed, site), [0] * 4)[number] for site in sites),
                         sum(truth[seed, site][number] for site in sites),
                         sum(truth[seed, site][4 + number] for site in sites)) for seed in seeds])

    for child in (False, True):
        seeds = sorted({seed for seed, _ in truth if (seed >= CHILD) == child})
        for number in figures if seeds else ():
            name = f"{what}, {'child' if child else 'parent'}'s {FIGURES[number]}"
            by_place = [score(seeds, number, [site]) for site in judged]
            z, off = score(seeds, number, judged)
            print(f"{name}: {len(seeds)} seeds, {len(judged)} places {off:+.3%}, {z:+.2f} standard errors; "
                  f"by place {' '.join(f'{z:+.1f} ({off:+.2%})' for z, off in by_place)}")
            lib.check(abs(z) < (3 if LONG else 4.5) or abs(off) < EXACT,
                      f"{name} are biased: {z:+.2f} standard errors, {off:+.3%}")
            if LONG or number < 2:
                scores += [abs(z) for z, off in by_place if abs(off) >= EXACT]
    many = 3 if LONG else 4
    above = sum(score > many for score in scores)
    print(f"{what}: of {len(scores)} figures by place that are not exact to a thousandth {above} are "
          f"above {many} standard errors, the largest {max(scores):.2f}")
    lib.check(max(scores) < (4.5 if LONG else 6) and above <= 2, f"{what}: figures by place are biased")


def run(perfd, first, seeds, words, env, probes):
    """A session of some seeds: (told, truth)."""
    with lib.folder() as place:
        path = os.path.join(place, "x.pb.gz")
        with lib.started(lib.program("heap_truth"), first, seeds, STEPS, *words, text=True,
                         env={**os.environ, **env}, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE) as process:
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 path) as attached:
                perfd.wait_session(process.pid)
                lib_heap.wait_for_probes(perfd, probes)
                out, _ = process.communicate("go\n", timeout=600)
                _, errors = attached.communicate(timeout=60)
                lib.equal(attached.returncode, 0, f"exit code of attach ({errors})")
        lib.contains(errors, " 0 lost", "what attach says")
        truth, told = truth_of(out), told_by(path, place)
        print(f"{len(truth) // SITES} runs, {sum(row[0] for row in truth.values())} allocations of "
              f"{sum(row[1] for row in truth.values()) >> 20} MiB; {errors.strip()}")
        named = sum(row[1] for row in told.values())
        whole = lib_heap.by_value(path, place, "alloc_space").of_comm("heap_truth")
        lib.check(named > 0.98 * whole, f"{named} of {whole} bytes have whole stacks")
        return told, truth


SESSION = 100  # seeds: a session follows 8,192 stacks


def campaign(what, settings, words, env, probes, figures, least=0, children=True):
    options = [word for key in settings for word in ("--set", key)]
    told, truth = {}, {}
    with lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "limits.stacks_max=400000",
                   *options) as perfd:
        for first in range(0, SEEDS, SESSION):
            part = run(perfd, first, min(SESSION, SEEDS - first), words, env, probes)
            told.update(part[0])
            truth.update(part[1])
    if not children:
        truth = {key: row for key, row in truth.items() if key[0] < CHILD}
    judge(what, told, truth, figures, least)


def the_library():
    """Tier 3: with failing resizes, rates that change in mid-run, and a child."""
    lib.need_bpf()
    campaign("library", (), ("fail", "rates", "fork"),
             {"LD_PRELOAD": LIBRARY, "PERFD_HEAP_INTERVAL": "512"}, 2, range(4))


def probes_on_the_allocator():
    """Tier 2, without a limit of cost: with frees, and resizes that fail, where the kernel can.
    A child that begins in mid-run has probes of its own a moment later, so only its parent is
    judged: what a child allocates and frees at the same addresses is not the parent's."""
    lib.need_bpf()
    with_frees = lib_heap.sees_frees()
    campaign("probes", ("memory.heap_interval=512", "memory.heap_budget=1000",
                        "memory.patterns=off"),
             ("every", "512", "fork", *(["fail"] if with_frees else [])), {}, 3,
             range(4 if with_frees else 2), children=False)


def probes_by_pattern():
    """The same with an interval that follows from what is sampled, a band, and a grant: up to 64
    times 64 times the usual one, so bytes only (a number of small objects is then one of a few
    large figures or nothing), of what has 50 samples then."""
    lib.need_bpf()
    if not LONG:
        raise lib.Skip("make test-heap-truth does it; heap_patterns.py is of seconds")
    campaign("by pattern", ("memory.heap_interval=4K", "memory.heap_budget=1000"), (), {}, 3,
             range(1, 2), 50 * (4096 << 12))


OBJECTS = 2000  # sampled, and so many more than may be followed


def capped(what, settings, env, probes):
    """More are in use than may be followed: it is counted, and no figure is wrong."""
    limit = 300
    options = [word for key in (*settings, f"memory.heap_objects={limit}")
               for word in ("--set", key)]
    with lib.Perfd("--set", "cpu.frequency_hz=0", *options) as perfd, lib.folder() as place:
        path = os.path.join(place, "x.perfd")
        # 64 KiB each, at a sample every 512 bytes: each of them is one, and stands for itself.
        with lib.started(lib.program("heap_capped"), OBJECTS, 65536, text=True,
                         env={**os.environ, **env}, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE) as process:
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 path) as attached:
                perfd.wait_session(process.pid)
                lib_heap.wait_for_probes(perfd, probes)
                process.stdin.write("go\n")
                process.stdin.flush()
                lib.equal(process.stdout.readline(), "all are in use\n", "the program's first line")
                lib.wait_for(lambda: perfd.ctl_json("status")["memory"]["heap"]["objects"] >= limit,
                             "objects that are followed", 30)
                process.communicate("free\n", timeout=60)
                _, errors = attached.communicate(timeout=60)
                lib.equal(attached.returncode, 0, f"exit code of attach ({errors})")
        heap = json.loads(lib.succeeds(lib.perfctl("heap", path, "--view", "alloc",
                                                   "--json")).stdout)
    counts = {count["key"]: count["count"] for count in heap["counts"]}
    taken = [row for row in heap["rows"] if row["function"] == "take"]
    lib.equal(len(taken), 1, "rows of the function that allocates")
    views, whole = taken[0]["views"], OBJECTS * 65536
    print(f"{what}: {views['alloc']['sampled']} sampled, {counts}, unknown {heap['unknown']}")
    lib.equal(views["alloc"]["sampled"], OBJECTS, "sampled allocations")
    lib.check(abs(views["alloc"]["bytes"] / whole - 1) < 1e-3, f"bytes: {views['alloc']}")
    # Some are the program's and the C library's own.
    untracked = counts["heap_untracked"]
    lib.check(OBJECTS - limit <= untracked <= OBJECTS - limit + 10, f"untracked: {untracked}")
    lib.check("heap_lost_frees" not in counts, f"no free was lost: {counts}")
    # All that was followed has been freed; of the others nobody says that they are in use.
    lib.equal(views["inuse"]["bytes"], 0, "bytes in use")
    lib.check(abs(heap["totals"]["peak"]["bytes"] / (limit * 65536) - 1) < 0.05,
              f"the peak: {heap['totals']['peak']}")


def a_full_table_by_probes():
    lib.need_bpf()
    if not lib_heap.sees_frees():
        raise lib.Skip("frees are seen from Linux 6.14 on")
    capped("probes", ("memory.heap_interval=512", "memory.heap_budget=1000", "memory.patterns=off"),
           {}, 3)


def a_full_table_by_the_library():
    lib.need_bpf()
    capped("library", (), {"LD_PRELOAD": LIBRARY, "PERFD_HEAP_INTERVAL": "512"}, 2)


lib.main(the_library, probes_on_the_allocator, probes_by_pattern, a_full_table_by_probes,
         a_full_table_by_the_library)
