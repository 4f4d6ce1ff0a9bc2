#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rates that change: nothing of the time is lost or doubled by it, and everybody can see
what they are and why.

RATES_RUNS: so many runs of intervals_under_change (default 8; 200 and more judge how often
the intervals hold the truth)."""

import json
import math
import os
import random
import re
import signal
import socket
import struct
import subprocess
import time

import lib

RUNS = int(os.environ.get("RATES_RUNS", "8"))
QUANTILE = 1.96
# Short beside the time between samples: what a program with few, long ones did in truth is
# nearer to what samples of it say than samples alone can be.
QUANTUM_US = 50


class Control:
    """Speaks to perfd without a process for each request (daemon/protocol.h)."""

    FREQUENCY, SESSION = 10, 7
    RATES = 15

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.serial = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            lib.check(part, "perfd closed the connection")
            data += part
        return data

    def set_rate(self, session, hz):
        payload = b"".join(struct.pack("<HII", tag, 4, value) for tag, value in
                           ((self.SESSION, session), (self.FREQUENCY, hz)))
        self.serial += 1
        self.socket.sendall(struct.pack("<IHHI", len(payload), self.RATES, 1, self.serial) +
                            payload)
        length, kind, _, _ = struct.unpack("<IHHI", self.receive(12))
        answer = self.receive(length)
        over = b"has ended" in answer or b"no session" in answer
        lib.check(kind == 67 or over, f"answer {kind}: {answer[:200]!r}")


def stream(perfd, session=0, event="cpu-clock"):
    rates = perfd.ctl_json("rates")
    lib.equal(rates["schema"], "perfd.rates/1", "schema")
    return next((one for one in rates["streams"]
                 if one["session"] == session and one["event"] == event), None)


def jump(control, session, process, bounds=(19, 999), probes=None):
    """The rate at random, until the process has ended; and, a turn in so many, the probes."""
    while process.poll() is None:
        control.set_rate(session, random.randint(*bounds))
        if probes and random.random() < 0.2:
            probes.turn()
        time.sleep(random.uniform(0.01, 0.2))


class Probes:
    """On a process's allocator, and off it: a session that comes and goes."""

    def __init__(self, perfd, pid):
        self.perfd, self.pid, self.session, self.turns = perfd, pid, None, 0

    def end(self):
        if self.session is not None:
            self.turn()

    def turn(self):
        if self.session is None:
            done = self.perfd.ctl("attach", "--pid", self.pid, "-e", "heap", "--background")
            found = re.search(r"\d+", done.stdout)
            # The process may have ended meanwhile.
            self.session = int(found.group()) if done.returncode == 0 and found else None
        else:
            self.perfd.ctl("detach", "--session", self.session, "-o", "-")
            self.session = None
        self.turns += 1


class Shares:
    """How far a function's share is from its truth, in runs: in standard errors, by the interval."""

    def __init__(self):
        self.errors, self.low, self.high = [], 0, 0

    def add(self, got, want, low, high):
        self.errors.append((got - want) / ((high - low) / 2 / QUANTILE))
        self.low += high < want
        self.high += low > want
        return low <= want <= high

    def mean(self):
        return sum(self.errors) / len(self.errors)

    def spread(self):
        return math.sqrt(sum((error - self.mean()) ** 2 for error in self.errors) /
                         len(self.errors))

    def __str__(self):
        count = len(self.errors)
        return (f"{count - self.low - self.high} of {count} hold the truth, {self.low} are too low, "
                f"{self.high} too high; off by {self.mean():+.3f} standard errors on average "
                f"(chance: {1 / math.sqrt(count):.3f}), spread {self.spread():.3f}")


def intervals_under_change():
    """Rates that jump at random, and probes on its allocator that come and go: the total is the
    program's own, and the intervals of its functions' shares hold the truth as often as they
    should, and miss it on either side."""
    held = looked = turns = 0
    shares, totals, named = {}, [], []
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            Control(perfd.socket) as control:
        for run in range(RUNS):
            path = os.path.join(place, "draws.perfd")
            with perfd.start_ctl("record", "-F", "499", "-o", path, "--",
                                 lib.program("draws"), "2", QUANTUM_US) as record:
                session = perfd.wait_session(samples=True)
                probes = Probes(perfd, session["pid"])
                # What comes before the first change has one more weight.
                jump(control, session["id"], record, probes=probes)
                probes.end()
                turns += probes.turns
                truth = json.loads(record.stdout.read())
                lib.equal(record.wait(30), 0, "record's exit code")
            report = perfd.ctl_json("report", path, "--ci")
            off = report["total"] / truth["cpu_ns"] - 1
            lib.check(abs(off) < 0.15, f"the total is off by {off:+.2%}")
            totals.append(off)
            named.append(0)
            for function in report["functions"]:
                if function["name"] not in truth["functions"]:
                    continue
                want = truth["functions"][function["name"]] / truth["cpu_ns"]
                low, high = function["total_low"] / 100, function["total_high"] / 100
                lib.check(high - low < 0.25, f"{function}: an interval that says nothing")
                got = function["total_percent"] / 100
                named[-1] += got
                looked += 1
                held += shares.setdefault(function["name"], Shares()).add(got, want, low, high)
                if RUNS <= 10 or not low <= want <= high:
                    print(f"run {run}: {function['name']} {want:.4f} in [{low:.4f}, {high:.4f}]"
                          f" total {off:+.2%}")
    for name, one in shares.items():
        print(f"{name}: {one}")
        lib.check(abs(one.mean()) <= 4 / math.sqrt(RUNS), f"the share of {name} is biased: {one}")
    print(f"the totals are off by {sum(totals) / RUNS:+.3%} on average, {1 - sum(named) / RUNS:.3%} "
          "of them is no function's")
    share = held / looked
    # Three functions of a run are not independent of one another: as one and a half are.
    spread = math.sqrt(0.95 * 0.05 / (looked / 2))
    print(f"{held} of {looked} intervals hold the truth: {share:.3f} (95 % wanted, 3 more or less "
          f"of 200 runs); {RUNS} runs, probes {turns} times on or off")
    lib.check(share >= 0.95 - 3 * spread, f"{share:.1%} of the intervals hold the truth")
    if RUNS >= 200:
        lib.check(abs(share - 0.95) <= 0.03, f"{share:.1%} of the intervals hold the truth")


def nothing_is_lost_or_doubled():
    """The sum of weights is the CPU time, over dozens of changes."""
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            Control(perfd.socket) as control:
        path = os.path.join(place, "shares.folded")
        with lib.Wall() as wall, \
                perfd.start_ctl("record", "-F", "499", "-o", path, "--", lib.program("shares"),
                                "6") as record:
            perfd.wait_session(samples=True)
            jump(control, perfd.sessions()[-1]["id"], record, (199, 4999))
            truth = json.loads(record.stdout.read())
            lib.equal(record.wait(30), 0, "record's exit code")
        lib.off_by(lib.Folded.load(path).total, truth["cpu_ns"], 1000, wall.seconds, 0.02, "the total")


def what_is_lost_is_carried():
    """A daemon that is away for a moment loses samples: those that come after stand for
    them, and the total stays. On the same CPU, and where the program goes to another."""
    cpus = sorted(os.sched_getaffinity(0))
    for after in dict.fromkeys((cpus[0], cpus[-1])):
        with lib.folder() as place, \
                lib.Perfd("--set", "cpu.frequency_hz=0", "--set",
                          "limits.ring_bytes=64K") as perfd:
            path = os.path.join(place, "shares.perfd")
            with lib.Wall() as wall, \
                    perfd.start_ctl("record", "-F", "4999", "-o", path, "--", "taskset", "-c",
                                    cpus[0], lib.program("shares"), "5") as record:
                pid = perfd.wait_session(samples=True)["pid"]
                # Half of a second is lost, as a fifth of one has room: it is to be carried within
                # five on the wall, a tenth of which the program has beside much else.
                perfd.process.send_signal(signal.SIGSTOP)
                lib.wait_cpu(pid, 0.7)
                os.sched_setaffinity(pid, {after})
                perfd.process.send_signal(signal.SIGCONT)
                truth = json.loads(record.stdout.read())
                lib.equal(record.wait(30), 0, "record's exit code")
            report = perfd.ctl_json("report", path)
            samples = perfd.ctl_json("status")["samples"]
            print(f"from {cpus[0]} to {after}: {report['lost']} lost of {report['samples']}, "
                  f"{samples['carried_weight'] / 1e9:.2f} s carried")
            lib.check(report["lost"] > 0, "nothing was lost: nothing was tried")
            lib.check(samples["carried_weight"] > 0, "nothing was carried")
            lib.off_by(report["total"], truth["cpu_ns"], 1000, wall.seconds, 0.03, "the total")


def set_by_hand():
    with lib.Perfd() as perfd, lib.started(lib.program("shares"), 60,
                                           stdout=subprocess.DEVNULL) as target:
        lib.equal(stream(perfd)["why"], "wished", "why the view's rate is so")
        result = lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", 49))
        lib.contains(result.stdout, "set by hand", "rates")
        lib.equal(stream(perfd)["rate"], 49, "the view's rate")
        lib.succeeds(perfd.ctl("rates", "--session", 0, "--auto"))
        lib.wait_for(lambda: stream(perfd)["rate"] == 99, "the view's own rate")
        lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", 199, "--background"))
        session = perfd.wait_session(target.pid, samples=True)["id"]
        lib.succeeds(perfd.ctl("rates", "--session", session, "-F", 777))
        lib.equal(stream(perfd, session)["rate"], 777, "the session's rate")
        lib.fails(perfd.ctl("rates", "--session", session, "-F", 99999), 1, "frequency_max_hz")
        lib.fails(perfd.ctl("rates", "--session", 4000, "-F", 99), 1, "4000")
        lib.fails(perfd.ctl("rates", "-F", 99), 2, "--session")
        lib.fails(perfd.ctl("rates", "--session", session), 2, "--auto")
        lib.fails(perfd.ctl("rates", "--session", session, "-F", 9, "--auto"), 2, "--auto")
        with lib.folder() as place:
            path = os.path.join(place, "x.json")
            lib.succeeds(perfd.ctl("detach", "--session", session, "-f", "json", "-o", path))
            with open(path) as file:
                profile = json.load(file)
        marks = [mark["text"] for mark in profile["marks"] if mark["key"] == "rate"]
        lib.check(any("777" in text for text in marks), f"no mark of the change: {marks}")
        rates = [series for series in profile["series"] if series["name"] == "rate"]
        lib.check(rates, "no series of rates")


def the_budget_is_kept():
    """One that is a tenth of what sampling would cost: rates fall, to their floors at most,
    and each output says so."""
    with lib.folder() as place, \
            lib.Perfd("--set", "cpu.frequency_hz=4999", "--set", "budget.machine=1", "--set",
                      "budget.floor_hz=29", budget=True) as perfd, \
            lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL):
        lib.wait_for(lambda: stream(perfd)["rate"] < 1000, "the rate to fall")
        view = stream(perfd)
        lib.equal((view["why"], view["wished"], view["floor"]), ("budget", 4999, 29), "the view")
        lib.check(view["rate"] >= 29, f"{view['rate']} Hz is below the floor")
        lib.contains(lib.succeeds(perfd.ctl("rates")).stdout, "budget would not hold", "rates")
        lib.check(perfd.ctl_json("status")["rates"]["cuts"] > 0, "no cut in status")
        path = os.path.join(place, "x.json")
        lib.succeeds(perfd.ctl("report", "-f", "json", "-o", path))
        with open(path) as file:
            marks = json.load(file)["marks"]
        lib.check(any(mark["key"] == "rate" for mark in marks), f"no mark of the cut: {marks}")


def the_wished_precision():
    """The rate is what it takes, and no more; a session ends when it is reached, in the
    time that the formula says."""
    with lib.Perfd("--set", "cpu.frequency_hz=999", "--set", "budget.precision=50", "--set",
                   "budget.precision_time=10s") as perfd:
        lib.wait_for(lambda: stream(perfd)["why"] == "precision", "the view's rate to follow")
        cpus = perfd.ctl_json("status")["source"]["cpus"]
        want = (QUANTILE / 2 / 0.05) ** 2 / 10 / cpus
        lib.check(abs(stream(perfd)["rate"] - want) < 1, f"{stream(perfd)['rate']}, not {want}")
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL) as target:
        path = os.path.join(place, "x.perfd")
        result = lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", 499,
                                        "--precision", "3%", "-o", path))
        report = perfd.ctl_json("report", path, "--ci")
        want = (QUANTILE / 2 / 0.03) ** 2  # samples: 1,067
        # It is looked at every second at the least; a busy machine adds to that.
        lib.check(want <= report["samples"] < want + 2 * 499,
                  f"{report['samples']} samples, not {want:.0f} ({result.stderr})")
        time_of_it, said = report["total"] / 1e9, report["samples"] / 499
        lib.check(abs(time_of_it / said - 1) <= 0.2,
                  f"{time_of_it:.2f} s of CPU time, by the formula {said:.2f}")
        widths = [one["total_high"] - one["total_low"] for one in report["functions"]]
        lib.check(max(widths) <= 6.1, f"an interval of {max(widths):.1f} percent")


def what_a_process_does():
    """A session that names no rate looks more often at what is seldom on the CPU, and less
    often when it is busy; one that names a rate has it."""
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            lib.started("sleep", 60) as idle, \
            lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL) as busy:
        ids = {}
        for name, target, options in (("idle", idle, ()), ("busy", busy, ()),
                                      ("named", idle, ("-F", 99))):
            result = lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "--background",
                                            *options))
            ids[name] = int(re.search(r"\d+", result.stdout).group())
        lib.wait_for(lambda: stream(perfd, ids["idle"])["pattern"] == "rare", "rare")
        # Beside much else it has not even a quarter of a CPU.
        factors = {"light": 5, "busy": 1}
        lib.wait_for(lambda: stream(perfd, ids["busy"])["pattern"] in factors, "busy")
        lib.wait_for(lambda: stream(perfd, ids["idle"])["rate"] == 990, "a higher rate")
        lib.equal(stream(perfd, ids["idle"])["why"], "pattern", "why it is higher")
        lib.wait_for(lambda: (lambda one: one["rate"] == 99 * factors.get(one["pattern"], 0))(
            stream(perfd, ids["busy"])), "the busy one's rate")
        lib.equal(stream(perfd, ids["named"])["rate"], 99, "the rate that was named")
        for session in ids.values():
            lib.equal(perfd.ctl("detach", "--session", session, "-o", "-").returncode in (0, 1),
                      True, "detach")


lib.main(intervals_under_change, nothing_is_lost_or_doubled, what_is_lost_is_carried,
         set_by_hand, the_budget_is_kept, the_wished_precision, what_a_process_does)
