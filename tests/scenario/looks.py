#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at what a running perfd has: a session that goes on, a time that has passed,
parts of seconds, and the marks of what went wrong."""

import contextlib
import datetime
import json
import os
import re
import signal
import subprocess
import time

import lib


@contextlib.contextmanager
def session(perfd, pid, hz=199):
    result = lib.succeeds(perfd.ctl("attach", "--pid", pid, "-F", hz, "--background"))
    yield int(re.search(r"\d+", result.stdout).group())


def target(seconds):
    return lib.started(lib.program("shares"), seconds, stdout=subprocess.PIPE, text=True)


def moment(ns):
    """As RFC 3339 has it, a millisecond exact."""
    when = datetime.datetime.fromtimestamp(ns // 10**6 / 1000, datetime.timezone.utc)
    return when.isoformat(timespec="milliseconds")


def a_session_goes_on():
    with lib.folder() as place, lib.Perfd() as perfd, target(60) as process:
        with session(perfd, process.pid) as number:
            perfd.wait_session(process.pid, samples=True)
            seen = []

            def grew():
                seen.append(perfd.ctl_json("report", f"session:{number}")["samples"])
                return seen[-1] > 250

            lib.wait_for(grew, "250 samples in the session, looked at", 60)
            lib.equal(seen, sorted(seen), "samples of one look after the other")
            told = perfd.ctl_json("report", "--session", str(number))
            lib.check({"work_50", "work_30", "work_20"}
                      <= {one["name"] for one in told["functions"]}, "functions of the session")
            lib.contains(told["title"], "shares", "title")
            lib.check(told["windows"]["width_ns"] == 10**9, f"windows: {told['windows']}")
            # A report of it has parts of seconds.
            page = os.path.join(place, "x.html")
            lib.succeeds(perfd.ctl("flamegraph", f"session:{number}", "-o", page))
            with open(page, encoding="utf-8") as file:
                lib.contains(file.read(), "\nbucket 20000000\n", "the report")
            line = perfd.ctl_json("timeline", f"session:{number}", "--step", "100ms")
            lib.equal(line["step_ns"], 10**8, "step of the time line")
            lib.fails(perfd.ctl("report", "session:9999"), 1, "there is no session 9999")
            lib.fails(perfd.ctl("report", "session:x"), 2, "expected session: and an id")
            lib.fails(perfd.ctl("report", f"session:{number}", "--last", "1m"), 2, "exclude")
            path = os.path.join(place, "end.json")
            lib.succeeds(perfd.ctl("detach", "--session", number, "-o", path, "-f", "json"))
            with open(path, encoding="utf-8") as file:
                lib.check(json.load(file)["samples"] >= told["samples"], "the result at the end")


def two_times_are_compared():
    with lib.folder(), lib.Perfd("--set", "history.window=500ms",
                                 "--set", "cpu.frequency_hz=199") as perfd:
        begin = time.time_ns()
        lib.wait_for(lambda: time.time_ns() - begin > 2 * 10**9, "two seconds without it")
        middle = time.time_ns()
        # Windows go whole to the side on which their middle is: half of one, and it is the other's.
        lib.wait_for(lambda: time.time_ns() - middle > 3 * 10**8, "more than half a window")
        with target(2) as process:
            out, _ = process.communicate(timeout=60)
        truth, end = json.loads(out)["cpu_ns"], time.time_ns()
        before = f"@{moment(begin)}..{moment(middle)}"
        after = f"@{moment(middle)}..{moment(end)}"
        told = perfd.ctl_json("diff", before, after, "--by", "value")
        rows = {row["name"]: row for row in told["functions"]}
        lib.equal(rows["work_50"]["change"], "new", "work_50")
        lib.equal(rows["work_50"]["total"]["before"], 0, "work_50 before")
        parts = sum(rows[name]["total"]["after"] for name in ("work_50", "work_30", "work_20"))
        # Up to a window's half is in the other range.
        lib.check(abs(parts / truth - 1) < 0.35, f"{parts} ns after, {truth} ns in truth")
        told = perfd.ctl_json("report", "--since", moment(middle), "--until", moment(end))
        lib.check(abs(told["duration_ns"] / (end - middle) - 1) < 0.5,
                  f"duration {told['duration_ns']}, asked for {end - middle}")
        lib.succeeds(perfd.ctl("report", "@-1m.."))
        lib.succeeds(perfd.ctl("timeline", "@-1m"))
        lib.fails(perfd.ctl("report", "@-3h..-2h"), 1, "nothing is kept of that time")
        lib.fails(perfd.ctl("report", "@-1m..-2m"), 2, "-1m is not before -2m")
        lib.fails(perfd.ctl("report", "@soon"), 2, "soon")
        lib.fails(perfd.ctl("diff", "@2099-01-01..", "@-1m"), 2, "yet to come")


def what_goes_wrong_is_marked():
    with lib.folder() as place, lib.Perfd("--set", "limits.ring_bytes=64K",
                                          "--set", "cpu.frequency_hz=0") as perfd:
        with target(60) as process, session(perfd, process.pid, 9999) as number:
            perfd.wait_session(process.pid, samples=True)
            worker = perfd.ctl_json("status")["symbols"]["worker_pid"]
            os.kill(worker, signal.SIGKILL)
            # Nobody reads the ring: it fills up.
            perfd.process.send_signal(signal.SIGSTOP)
            lib.wait_cpu(process.pid, 1)
            perfd.process.send_signal(signal.SIGCONT)

            def marks():
                told = perfd.ctl_json("report", "--session", str(number))
                keys = {mark["key"]: mark for mark in told["marks"]}
                return told if {"lost_ring", "worker_restart"} <= set(keys) else None

            told = lib.wait_for(marks, "marks of the loss and of the worker's end")
            lost = sum(mark["value"] for mark in told["marks"] if mark["key"] == "lost_ring")
            lib.equal(lost, sum(count["count"] for count in told["counts"]
                                if count["key"] == "lost_ring"), "what the marks say was lost")
            line = perfd.ctl_json("timeline", "--session", str(number))
            lib.check(any(mark["alarm"] and mark["key"] == "lost_ring"
                          for mark in line["marks"]), f"alarms: {line['marks']}")
            path = os.path.join(place, "x.svg")
            lib.succeeds(perfd.ctl("timeline", "--session", number, "-o", path))
            with open(path, encoding="utf-8") as file:
                lib.contains(file.read(), "ring buffer full", "the picture")


lib.main(a_session_goes_on, two_times_are_compared, what_goes_wrong_is_marked)
