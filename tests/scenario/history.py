#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The history on disk: asked by time and by whom, over restarts, a SIGKILL, a full disk (for
FULL_SECONDS: `make test-disk` has a minute and three), a read-only one and clocks that are set."""

import contextlib
import json
import os
import signal
import sqlite3
import struct
import subprocess
import time
import typing
from unittest import mock

import lib

HZ = 199
FULL_SECONDS = float(os.environ.get("FULL_SECONDS", "0"))


@contextlib.contextmanager
def daemon(place, *options):
    with lib.Perfd("--set", f"history.dir={place}", "--set", f"cpu.frequency_hz={HZ}",
                   *options) as perfd:
        yield perfd


class Burnt(typing.NamedTuple):
    cpu_ns: int
    seconds: float  # on the wall


def is_told(cpu_ns, burnt, what):
    lib.off_by(cpu_ns, burnt.cpu_ns, HZ, burnt.seconds, 0.15, what)


def burn(seconds, name, place):
    """The shares program under another name; what it says itself of its CPU time."""
    copy = os.path.join(place, name)
    if not os.path.exists(copy):
        os.symlink(lib.program("shares"), copy)
    with lib.Wall() as wall:
        done = subprocess.run([copy, str(seconds)], capture_output=True, text=True, timeout=60)
    return Burnt(json.loads(done.stdout)["cpu_ns"], wall.seconds)


def cpu_of(perfd, *filters):
    told = perfd.ctl_json("report", "--since", "-10m", *filters)
    return told["total"]


def stored(perfd):
    return perfd.ctl_json("windows", "--since", "-10m")["windows"]


def asked_by_whom_and_when():
    with lib.folder() as place, daemon(os.path.join(place, "h")) as perfd:
        begin = time.time_ns()
        one = burn(1, "first", place)
        middle = time.time_ns()
        two = burn(2, "second", place)
        for name, truth in (("first", one), ("second", two)):
            is_told(cpu_of(perfd, "--comm", name), truth, name)
        told = perfd.ctl_json("services", "--since", f"@{begin // 10**9}")["services"]
        lib.check({"first", "second"} <= {row["comm"] for row in told}, f"services: {told}")
        lib.fails(perfd.ctl("report", "--since", f"@{begin // 10**9 - 2}", "--until",
                            f"@{middle // 10**9 - 1}", "--comm", "second"), 1, "nothing")
        lib.fails(perfd.ctl("report", "--comm", "nobody"), 1, "nothing of that name")
        lib.fails(perfd.ctl("report", "--since", "-3h", "--until", "-2h"), 1,
                  "nothing is kept of that time")
        lib.fails(perfd.ctl("report", "--since", "soon"), 2, "is no time")
        lib.fails(perfd.ctl("services", "--since", "-1m", "--until", "-2m"), 2, "not before")
        picture = os.path.join(place, "second.svg")
        lib.succeeds(perfd.ctl("flamegraph", "--comm", "sec*", "-o", picture))
        with open(picture, encoding="utf-8") as file:
            lib.contains(file.read(), "work_50", "the picture")
        lib.succeeds(perfd.ctl("timeline", "--comm", "second"))
        lib.succeeds(perfd.ctl("windows"))
        lib.succeeds(perfd.ctl("services"))


def sqlite3_reads_it():
    with lib.folder() as place:
        where = os.path.join(place, "h")
        with daemon(where) as perfd:
            burn(1, "reader", place)
            lib.wait_for(lambda: stored(perfd), "windows")
        days = [name for name in os.listdir(where) if name.endswith(".db")]
        samples = 0
        for day in days:
            base = sqlite3.connect(os.path.join(where, day))
            samples += base.execute(
                "SELECT coalesce(sum(samples), 0) FROM services WHERE comm = 'reader'").fetchone()[0]
            for view in ("windows", "losses", "marks", "gaps"):
                base.execute(f"SELECT * FROM {view}").fetchall()
            base.close()
        lib.check(samples > HZ // 2, f"{samples} samples of the program in the database")


def a_restart_loses_nothing():
    with lib.folder() as place:
        where = os.path.join(place, "h")
        with daemon(where) as perfd:
            truth = burn(1, "before", place)
        with daemon(where) as perfd:  # ended by SIGTERM, at once after the program
            lib.wait_for(lambda: stored(perfd), "windows")
            is_told(cpu_of(perfd, "--comm", "before"), truth, "before")
            burn(1, "after", place)
            told = perfd.ctl_json("report", "--since", "-10m")
            keys = {count["key"] for count in told["counts"]}
            lib.check("gap: perfd was not running" in keys, f"the pause is not told: {keys}")


def by_event(rows):
    """Those of several events begin together."""
    return {(row["event"], row["start_ns"]): row["samples"] for row in rows}


def killed_it_keeps_what_was_stored():
    with lib.folder() as place:
        where = os.path.join(place, "h")
        with contextlib.suppress(AssertionError), daemon(where) as perfd:
            burn(1, "victim", place)
            lib.wait_for(lambda: len(stored(perfd)) >= 2, "two windows")
            asked = time.time_ns()
            kept = by_event(stored(perfd))
            # The newest may be one that only waits to be written: it is before the next question
            # is answered.
            stored(perfd)
            perfd.process.send_signal(signal.SIGKILL)
            perfd.process.wait()
        with daemon(where) as perfd:
            now = by_event(stored(perfd))
            lost = {start: n for start, n in kept.items() if now.get(start) != n}
            lib.check(not lost, f"windows that had been listed are gone or differ: {lost}")
            last = max(row["end_ns"] for row in stored(perfd)
                       if (row["event"], row["start_ns"]) in kept)
            lib.check(asked - last < 2 * 10**9, f"{(asked - last) / 1e9} s were lost")


@contextlib.contextmanager
def small_disk(place):
    where = os.path.join(place, "h")
    os.mkdir(where)
    lib.succeeds(subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", where],
                                capture_output=True, text=True), "mount")
    try:
        yield where
    finally:
        lib.succeeds(subprocess.run(["umount", where], capture_output=True, text=True), "umount")


def fill(where):
    with contextlib.suppress(OSError), \
            open(os.path.join(where, "fill"), "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def writes_again(perfd):
    def ask():
        told = perfd.ctl_json("status")["history"]
        return not told["trouble"] and not told["waiting"]
    lib.wait_for(ask, "windows to be written again", 60)


def goes_on(perfd, place, target):
    """The views sample, and a session does."""
    before = perfd.ctl_json("status")["samples"]["stored"]
    lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-d", "500ms", "-o",
                           os.path.join(place, "x.svg")))
    lib.check(perfd.ctl_json("status")["samples"]["stored"] > before, "sampling stands still")


def a_full_disk_is_waited_out():
    lib.need_root()
    with lib.folder() as place, small_disk(place) as where, daemon(where) as perfd, \
            lib.started(lib.program("shares"), 3600, stdout=subprocess.DEVNULL) as busy:
        fill(where)
        lib.wait_for(lambda: perfd.ctl_json("status")["history"]["trouble"],
                     "perfd to say that the disk is full", 30)
        full = time.monotonic()
        truth, looks = burn(1, "meanwhile", place), 0
        is_told(cpu_of(perfd, "--comm", "meanwhile"), truth, "what waits")
        while not looks or time.monotonic() < full + FULL_SECONDS:
            goes_on(perfd, place, busy)
            looks += 1
        lib.contains(perfd.ctl_json("status")["history"]["trouble"], "full", "the trouble")
        dropped = perfd.ctl_json("status")["history"]["dropped"]
        os.unlink(os.path.join(where, "fill"))
        writes_again(perfd)
        told = perfd.ctl_json("report", "--since", "-1h")
        gaps = [count for count in told["counts"] if count["key"].startswith("gap: ")]
        print(f"# full for {time.monotonic() - full:.0f} s: {looks} sessions, {dropped} windows "
              f"given up, gaps: {gaps}")
        # A second is given up only after ten minutes' worth of them, and then the gap is told.
        lib.equal(bool(gaps), bool(dropped), "a gap, where windows were given up")
        if not dropped:
            is_told(cpu_of(perfd, "--comm", "meanwhile"), truth, "what waited")
        newest = max(row["end_ns"] for row in stored(perfd))
        lib.wait_for(lambda: max(row["end_ns"] for row in stored(perfd)) > newest, "newer windows")


def a_read_only_disk():
    lib.need_root()
    with lib.folder() as place, small_disk(place) as where, daemon(where) as perfd, \
            lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as busy:
        lib.wait_for(lambda: stored(perfd), "windows")
        perfd.end()
        lib.succeeds(subprocess.run(["mount", "-o", "remount,ro", where], capture_output=True,
                                    text=True), "remount")
        with daemon(where) as again:
            goes_on(again, place, busy)
            lib.wait_for(lambda: again.ctl_json("status")["history"]["trouble"]
                         or not again.ctl_json("status")["history"]["kept"],
                         "perfd to say that nothing is kept", 30)
            lib.contains(again.log(), "its file system is read-only", "log")


def set_clock(path, hours):
    with open(path, "r+b") as file:
        file.write(struct.pack("=q", hours * 3600 * 10**9))


def a_clock_that_is_set():
    """A day ahead and back again, while it runs: answers go by the clock as it is, and nothing that
    was there goes. The clock is the programs' alone (tests/programs/libclock.c)."""
    with lib.folder() as place:
        ahead = os.path.join(place, "ahead")
        with open(ahead, "wb") as file:
            file.write(bytes(8))
        with mock.patch.dict(os.environ, {"LD_PRELOAD": lib.program("libclock.so"),
                                          "CLOCK_AHEAD": ahead}), \
                daemon(os.path.join(place, "h")) as perfd:
            def newest():
                return max([row["end_ns"] for row in stored(perfd)], default=0) / 1e9

            told = {"today": burn(1, "today", place)}
            lib.check(cpu_of(perfd, "--comm", "today"), "nothing of today")
            for day, hours in (("tomorrow", 24), ("yesterday", -24), ("later", 0)):
                set_clock(ahead, hours)
                begin = time.time() + hours * 3600
                lib.wait_for(lambda: perfd.log().count("the clock was set") == len(told),
                             "perfd to notice the clock", 30)
                lib.wait_for(lambda: newest() > begin, f"windows of {day}", 30)
                told[day] = burn(1, day, place)
                is_told(cpu_of(perfd, "--comm", day), told[day], day)
            lib.contains(perfd.log(), "the clock was set ahead by 86400", "log")
            lib.contains(perfd.log(), "the clock was set back by 172800", "log")
            ever = ("--since", "-3d", "--until", f"@{int(time.time()) + 3 * 86400}")
            whole = perfd.ctl_json("report", *ever)
            lib.check(any(mark["key"] == "clock" for mark in whole["marks"]), "no mark tells of it")
            for day, truth in told.items():
                is_told(perfd.ctl_json("report", *ever, "--comm", day)["total"], truth,
                        f"{day}, in the end")


def without_a_folder_it_goes_on():
    with lib.folder() as place, daemon("") as perfd:
        burn(1, "memory", place)
        lib.succeeds(perfd.ctl("report", "--last", "1m"))
        lib.fails(perfd.ctl("report", "--comm", "memory"), 1, "keeps no history on disk")
        lib.fails(perfd.ctl("windows"), 1, "keeps no history on disk")
    with lib.folder() as place:
        where = os.path.join(place, "h")
        with daemon(where) as first, daemon(where) as second:
            lib.check(first.ctl_json("status")["history"]["kept"], "the first has no history")
            lib.check(not second.ctl_json("status")["history"]["kept"], "both have it")
            lib.contains(second.log(), "in use by another perfd", "the second's log")


lib.main(asked_by_whom_and_when, sqlite3_reads_it, a_restart_loses_nothing,
         killed_it_keeps_what_was_stored, a_full_disk_is_waited_out, a_read_only_disk,
         a_clock_that_is_set, without_a_folder_it_goes_on)
