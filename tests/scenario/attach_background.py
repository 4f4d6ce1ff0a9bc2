#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions that outlive the perfctl that began them."""

import contextlib
import json
import os
import re
import subprocess

import lib


def target():
    return lib.started(lib.program("shares"), 120, stdout=subprocess.DEVNULL)


def begin(perfd, pid):
    result = lib.succeeds(perfd.ctl("attach", "--pid", pid, "-F", 499, "--background"))
    match = re.search(r"\d+", result.stdout)
    lib.check(match, f"attach --background printed no session id: {result.stdout!r}")
    return int(match.group())


def by_pid_and_by_session():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as one, target() as two:
        first, second = begin(perfd, one.pid), begin(perfd, two.pid)
        lib.check(first != second, "two sessions with one id")
        listed = {session["id"]: session["pid"] for session in perfd.sessions()}
        lib.equal(listed, {first: one.pid, second: two.pid}, "sessions")
        lib.contains(lib.succeeds(perfd.ctl("sessions")).stdout, str(one.pid), "sessions")
        perfd.wait_session(one.pid, samples=True)
        perfd.wait_session(two.pid, samples=True)
        path = os.path.join(place, "one.folded")
        lib.succeeds(perfd.ctl("detach", "--pid", one.pid, "-o", path))
        lib.check(lib.Folded.load(path).within("main") > 0, "no main in one.folded")
        path = os.path.join(place, "two.svg")
        lib.succeeds(perfd.ctl("detach", "--session", second, "-o", path))
        lib.check(os.path.getsize(path) > 1000, "two.svg is too small")
        lib.equal(perfd.sessions(), [], "sessions at the end")


def twice_on_one_process():
    """They do not disturb one another: each sees all of the process's time."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, contextlib.ExitStack() as stack, \
            lib.started("sh", "-c", f"read x; exec {lib.program('shares')} 2", text=True,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        both = {rate: os.path.join(place, f"{rate}.folded") for rate in (499, 199)}
        clients = [stack.enter_context(perfd.start_ctl(
            "attach", "--pid", str(process.pid), "-F", str(rate), "-o", path))
            for rate, path in both.items()]
        perfd.wait_session(process.pid, count=len(both))
        with lib.Wall() as wall:
            out, _ = process.communicate("go\n", timeout=60)
        for client in clients:
            lib.equal(client.wait(30), 0, f"exit code of attach ({client.stderr.read()})")
        for rate, path in both.items():
            lib.off_by(lib.Folded.load(path).total, json.loads(out)["cpu_ns"], rate, wall.seconds,
                       0.05, f"the session of {rate} Hz")


def nothing_to_detach():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as process:
        path = os.path.join(place, "x.svg")
        lib.fails(perfd.ctl("detach", "--session", 4000, "-o", path), 1, "4000")
        lib.fails(perfd.ctl("detach", "--pid", process.pid, "-o", path), 1, str(process.pid))
        lib.check(not os.listdir(place), f"left behind: {os.listdir(place)}")


def target_ends_first():
    """The session ends with its process, and its samples wait."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd:
        with target() as process:
            number = begin(perfd, process.pid)
            perfd.wait_session(process.pid, samples=True)
        lib.wait_for(lambda: perfd.sessions()[0]["state"] == "exit", "the session to end")
        path = os.path.join(place, "x.folded")
        lib.succeeds(perfd.ctl("detach", "--session", number, "-o", path))
        lib.check(lib.Folded.load(path).within("main") > 0, "no main in the file")


def too_many():
    lib.need_bpf()
    with lib.Perfd("--set", "limits.sessions_max=2") as perfd, target() as process:
        begin(perfd, process.pid)
        begin(perfd, process.pid)
        lib.fails(perfd.ctl("attach", "--pid", process.pid, "--background"), 1, "sessions_max")
        lib.equal(len(perfd.sessions()), 2, "number of sessions")


lib.main(by_pid_and_by_session, twice_on_one_process, nothing_to_detach, target_ends_first,
         too_many)
