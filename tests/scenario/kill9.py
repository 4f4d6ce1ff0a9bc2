#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfd is killed (SIGKILL) at random moments under load, again and again: every window that had been
listed is there, nothing is counted twice, the databases are whole, and the gap is short and stated.
And an end by SIGTERM loses nothing. KILLS: how often (3; `make test-kill9` has 200)."""

import concurrent.futures
import contextlib
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import time

import lib

KILLS = int(os.environ.get("KILLS", "3"))
LANES = int(os.environ.get("LANES", "3"))
HZ = 199


def daemon(where):
    return lib.Perfd("--set", f"history.dir={where}", "--set", f"cpu.frequency_hz={HZ}", "--set",
                     "history.age=168h")


@contextlib.contextmanager
def load():
    with lib.started("sh", "-c", f"while :; do {lib.program('shares')} 1 >/dev/null; true; ls / "
                     ">/dev/null; done", stdout=subprocess.DEVNULL,
                     start_new_session=True) as shell:
        try:
            yield
        finally:
            os.killpg(shell.pid, signal.SIGKILL)  # its child would go on for a second


def listed(perfd):
    return perfd.ctl_json("windows", "--since", "-6h", "--top", "1000000")["windows"]


def sums(windows, until):
    """Samples by event of what ends by then: windows are summed up to wider ones meanwhile."""
    found = {}
    for row in windows:
        if row["end_ns"] <= until.get(row["event"], 0):
            found[row["event"]] = found.get(row["event"], 0) + row["samples"]
    return found


def newest(windows):
    until = {}
    for row in windows:
        until[row["event"]] = max(until.get(row["event"], 0), row["end_ns"])
    return until


PARTS_NS = 1000000  # ends of one window's parts are that near to one another, in any order


def is_all_there(windows, before, what):
    """What had been listed is there, and nothing twice. A question ends a window early; what comes of it
    later is another part, which may end with it and be listed later."""
    until = newest(before)
    known = {(row["event"], row["start_ns"]) for row in before}
    ended = [row for row in windows if (row["event"], row["start_ns"]) in known
             or row["end_ns"] < until.get(row["event"], 0) - PARTS_NS]
    lib.check(sums(ended, until) == sums(before, until),
              f"{what}: {sums(ended, until)}, expected {sums(before, until)}; not listed before: "
              f"{[row for row in ended if (row['event'], row['start_ns']) not in known][-6:]}")


def check_bases(where):
    for name in os.listdir(where):
        lib.check("damaged" not in name, f"a database was set aside: {name}")
        if name.endswith(".db"):
            base = sqlite3.connect(os.path.join(where, name))
            lib.equal(base.execute("PRAGMA integrity_check").fetchall(), [("ok",)], name)
            twice = base.execute("SELECT event, start_ns, count(*) FROM window "
                                 "GROUP BY event, start_ns, end_ns HAVING count(*) > 1").fetchall()
            lib.check(not twice, f"windows that are there twice: {twice}")
            base.close()


def lane(kills, seed):
    """One database, killed again and again: the gaps in seconds, and its windows at the end."""
    random.seed(seed)
    before, gaps = [], []
    with lib.folder() as place:
        where = os.path.join(place, "h")
        for _ in range(kills):
            with daemon(where) as perfd:
                if before:
                    is_all_there(listed(perfd), before, "samples in what had been listed")
                known = set(newest(before).values())
                lib.wait_for(lambda: set(newest(listed(perfd)).values()) - known,
                             "a window of this perfd's", 30)
                time.sleep(random.random() * 1.5)
                before = listed(perfd)
                # What waits to be written is before the next question is answered.
                perfd.ctl_json("windows", "--since", "-1s")
                perfd.process.send_signal(signal.SIGKILL)
                killed = time.time_ns()
                perfd.process.wait()
                gaps.append((killed - newest(before)["cpu-clock"]) / 1e9)
        with daemon(where) as perfd:
            is_all_there(listed(perfd), before, "samples in what was listed")
            told = perfd.ctl_json("report", "--since", "-6h")
            lib.check("gap: perfd was not running" in {count["key"] for count in told["counts"]},
                      "the gap is not stated")
        check_bases(where)
    return gaps, len(before)


def at_random_moments():
    """Many kills are shared by some databases side by side, each with a perfd of its own."""
    lanes = min(LANES, max(1, KILLS // 10))
    shares = [KILLS // lanes + (i < KILLS % lanes) for i in range(lanes)]
    seed = random.randrange(10**9)
    began = time.monotonic()
    with load(), concurrent.futures.ProcessPoolExecutor(lanes) as pool:
        told = list(pool.map(lane, shares, range(seed, seed + lanes)))
    gaps = [gap for mine, _ in told for gap in mine]
    lib.equal(len(gaps), KILLS, "kills")
    print(f"# {KILLS} kills in {lanes} databases in {time.monotonic() - began:.0f} s, seed {seed}, "
          f"{sum(windows for _, windows in told)} windows at the end; from the last listed window's "
          f"end to the kill: median {statistics.median(gaps):.2f} s, at most {max(gaps):.2f} s, "
          f"{sum(gap > 2 for gap in gaps)} above 2 s")
    lib.check(statistics.median(gaps) < 2, f"{statistics.median(gaps)} s were lost, in the median")


def what_nobody_had_asked_for():
    """Windows that were on their way into the database, in the journal, are there, too."""
    with lib.folder() as place, load():
        where = os.path.join(place, "h")
        with daemon(where) as perfd:
            lib.wait_for(lambda: newest(listed(perfd)).get("cpu-clock"), "a window", 30)
            asked = newest(listed(perfd))["cpu-clock"]
            time.sleep(3 + 3 * random.random())
            lib.equal(perfd.ctl_json("status")["history"]["trouble"], "", "trouble")
            perfd.process.send_signal(signal.SIGKILL)
            killed = time.time_ns()
            perfd.process.wait()
        with daemon(where) as perfd:
            windows = [row for row in listed(perfd) if row["event"] == "cpu-clock"
                       and row["end_ns"] <= killed]
            last = max(row["end_ns"] for row in windows)
            later = [row for row in windows if row["start_ns"] >= asked]
            print(f"# {len(later)} windows that nobody had asked for, until {(killed - last) / 1e9:.2f} "
                  "s before the kill")
            lib.check(later and sum(row["samples"] for row in later), "they are lost")
            lib.wait_for(lambda: newest(listed(perfd))["cpu-clock"] > killed, "windows of its own", 30)
            told = perfd.ctl_json("report", "--since", "-10m")
            lib.check("gap: perfd was not running" in {count["key"] for count in told["counts"]},
                      "the gap is not stated")
        check_bases(where)


def an_end_loses_nothing():
    """What the database has is what the daemon says that it stored, to the sample."""
    with lib.folder() as place, load():
        where = os.path.join(place, "h")
        views = {"cpu-clock": "cpu", "faults": "faults", "mmap": "mmap", "munmap": "munmap"}
        took, stored = 0.0, dict.fromkeys(views, 0)
        for _ in range(2):
            with daemon(where) as perfd:
                lib.wait_for(lambda: len(listed(perfd)) >= 4, "windows", 30)
                time.sleep(random.random())
                began = time.monotonic()
                perfd.end()
                took = max(took, time.monotonic() - began)
                told = perfd.accounts()
                for event, view in views.items():
                    stored[event] += told["view_" + view]
        kept = dict.fromkeys(stored, 0)
        for name in os.listdir(where):
            if name.endswith(".db"):
                base = sqlite3.connect(os.path.join(where, name))
                for event, samples in base.execute("SELECT event, sum(samples) FROM windows GROUP BY event"):
                    kept[event] += samples
                base.close()
        print(f"# from SIGTERM until all is gone: {took:.2f} s at most; {kept}")
        lib.equal(kept, stored, "samples in the database, and those that perfd stored")
        check_bases(where)


lib.main(at_random_moments, what_nobody_had_asked_for, an_end_loses_nothing)
