#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Short sessions by probes that are in for some moments only, as the budget has it: what a
session of some seconds says of all that a program allocated meanwhile, beside the program's own
count. One session is off by half mostly; the mean of many must not be: by three standard errors in
the long form, and four times in the short one, which has too few for these to mean much.

HEAP_SESSIONS: how many (16; `make test-heap-truth`: 200, two at a time)."""

import contextlib
import gzip
import math
import os
import signal
import struct
import time

import lib
import lib_heap

SESSIONS = int(os.environ.get("HEAP_SESSIONS", "16"))
LONG = SESSIONS >= 100
AT_A_TIME = 2 if LONG else 4
SECONDS = 4
PLACES = ("small", "middle", "large")
VALUES = ("alloc_space", "alloc_objects")
ROW = struct.Struct("8Q")  # the time, bytes and objects of each place


def rows_of(path):
    with open(path, "rb") as file:
        for row in ROW.iter_unpack(file.read()):
            if not row[0]:
                return
            yield row[:7]


def counted(rows, time):
    """What it had allocated by then."""
    before = (rows[0][0],) + (0,) * 6
    for row in rows:
        if row[0] >= time:
            share = (time - before[0]) / max(row[0] - before[0], 1)
            return [old + share * (new - old) for old, new in zip(before[1:], row[1:])]
        before = row
    raise AssertionError("the program ended before its session")


def told_by(path, place):
    told = []
    for value in VALUES:
        folded = lib_heap.by_value(path, place, value)
        told += [folded.within(name) if folded else 0 for name in PLACES]
    return told


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            return value, at


def time_of(path):
    """When a session began and ended, by the clock that goes on from boot: time_nanos and
    duration_nanos of pprof's profile.proto are fields 9 and 10."""
    data, at, found = gzip.open(path).read(), 0, {}
    while at < len(data):
        key, at = varint(data, at)
        lib.check(key & 7 in (0, 2), f"a field of an unknown kind: {key}")
        value, at = varint(data, at)
        if key & 7 == 2:
            at += value
        else:
            found[key >> 3] = value
    begin = found[9] - time.time_ns() + time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return begin, begin + found[10]


def some(perfd, place, first, count):
    """[(told, truth)] of so many sessions at once."""
    with contextlib.ExitStack() as stack:
        running = []
        for number in range(first, first + count):
            rows = os.path.join(place, f"rows{number}")
            process = stack.enter_context(lib.started(lib.program("heap_phases"), rows, number + 1))
            running.append((process, rows, os.path.join(place, f"x{number}.pb.gz")))
        for _, rows, _ in running:
            lib.wait_for(lambda rows=rows: os.path.exists(rows) and any(rows_of(rows)),
                         "a program that allocates")
        attached = [stack.enter_context(perfd.start_ctl(
            "attach", "-e", "heap", "--pid", process.pid, "--duration", f"{SECONDS}s", "-o", out))
            for process, _, out in running]
        for ctl in attached:
            _, errors = ctl.communicate(timeout=120)
            lib.equal(ctl.returncode, 0, f"exit code of attach ({errors})")
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for _, rows, _ in running:
            lib.wait_for(lambda rows=rows: list(rows_of(rows))[-1][0] > now, "another phase")
    result = []
    for _, path, out in running:
        begin, end = time_of(out)
        rows = list(rows_of(path))
        before, after = counted(rows, begin), counted(rows, end)
        result.append((told_by(out, place), [new - old for old, new in zip(before, after)]))
        os.unlink(path)
    return result


def warm_up(perfd, place):
    """The first session has its programs loaded, which takes long where the machine is busy."""
    with lib.started(lib.program("heap_phases"), os.path.join(place, "warm"), 1) as process, \
            perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                            os.path.join(place, "warm.folded")) as attached:
        lib_heap.wait_for_probes(perfd, 1)
        perfd.wait_session(process.pid, samples=True)
        attached.send_signal(signal.SIGINT)
        attached.communicate(timeout=60)


def short_sessions():
    results = []
    # The budget of each process holds; perfd's own is another matter (docs/rates.md).
    with lib.Perfd("--set", "cpu.frequency_hz=0", "--set", "memory.faults_hz=0", "--set",
                   "memory.mmap_hz=0") as perfd, lib.folder() as place:
        warm_up(perfd, place)
        while len(results) < SESSIONS:
            results += some(perfd, place, len(results), min(AT_A_TIME, SESSIONS - len(results)))
        status = perfd.ctl_json("status")["memory"]["heap"]
        print(f"{status['observed']:.2%} of the time was looked at, {status['hits']} hits")
        lib.check(status["observed"] < 0.5, "the probes were in for most of the time")
    for number in range(len(PLACES) * len(VALUES)):
        name = f"{VALUES[number // len(PLACES)]} of {PLACES[number % len(PLACES)]}"
        errors = [told[number] - truth[number] for told, truth in results]
        whole = sum(truth[number] for _, truth in results)
        mean = sum(errors) / len(errors)
        deviation = math.sqrt(sum((error - mean) ** 2 for error in errors) / (len(errors) - 1))
        score = mean / (deviation / math.sqrt(len(errors)))
        print(f"{name}: {len(errors)} sessions, {sum(errors) / whole:+.2%}, {score:+.2f} standard errors; "
              f"one session is off by {deviation * len(errors) / whole:.0%}")
        if LONG:
            lib.check(abs(score) < 3, f"{name}: {score:+.2f} standard errors")
    said = sum(sum(told[:3]) for told, _ in results) / sum(sum(truth[:3]) for _, truth in results)
    lib.check(0.25 < said < 4, f"all of them say {said:.2f} of what was allocated")


lib.main(short_sessions)
