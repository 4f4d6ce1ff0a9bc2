#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C ends and writes; a second one gives up."""

import contextlib
import os
import signal
import subprocess

import lib


def pending(pid, number):
    """Whether a signal waits to be taken, by any thread."""
    masks = [int(lib.status_field(pid, name), 16) for name in ("SigPnd", "ShdPnd")]
    return any(mask >> (number - 1) & 1 for mask in masks)


def target():
    return lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL)


def first_writes():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as process:
        path = os.path.join(place, "x.folded")
        with perfd.start_ctl("attach", "--pid", str(process.pid), "-F", "499", "-o", path) as ctl:
            perfd.wait_session(process.pid, samples=True)
            lib.check(not os.path.exists(path), "the file is there before the end")
            ctl.send_signal(signal.SIGINT)
            lib.equal(ctl.wait(20), 0, f"exit code after Ctrl-C ({ctl.stderr.read()})")
        lib.check(lib.Folded.load(path).within("main") > 0, "no main in the file")
        lib.equal(perfd.sessions(), [], "sessions left behind")
        lib.check(process.poll() is None, "the target ended, too")


def second_gives_up():
    """perfd is stopped, so that the result does not come in between."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as process:
        path = os.path.join(place, "x.folded")
        with perfd.start_ctl("attach", "--pid", str(process.pid), "-F", "499", "-o", path) as ctl:
            perfd.wait_session(process.pid, samples=True)
            perfd.process.send_signal(signal.SIGSTOP)
            try:
                ctl.send_signal(signal.SIGINT)
                lib.wait_for(lambda: not pending(ctl.pid, signal.SIGINT), "the first Ctrl-C")
                lib.check(ctl.poll() is None, "it ended without the result")
                ctl.send_signal(signal.SIGINT)
                code = ctl.wait(30)
            finally:
                perfd.process.send_signal(signal.SIGCONT)
            lib.check(code in (1, 130, -signal.SIGINT), f"exit code {code} after the second")
        lib.equal(os.listdir(place), [], "files left behind")
        lib.wait_for(lambda: not perfd.sessions(), "the session to end with its client")
        perfd.alive()


def record_of_a_command():
    """As on a terminal: both get the signal. The command's end decides the code."""
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "x.folded")
        with lib.started(lib.PERFCTL, "record", "-F", 499, "-o", path, "--",
                         lib.program("shares"), 60, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, start_new_session=True) as ctl:
            def burning():
                for child in lib.children(ctl.pid):
                    with contextlib.suppress(OSError):  # one that has just ended
                        if lib.status_field(child, "Name") == "shares" and \
                                lib.cpu_seconds(child) >= 0.2:
                            return True
                return False
            lib.wait_for(burning, "the command to run")
            os.killpg(ctl.pid, signal.SIGINT)
            code = ctl.wait(30)
            lib.check(code in (0, 130), f"exit code {code} ({ctl.stderr.read()})")
        lib.check(lib.Folded.load(path).within("main") > 0, "no main in the file")


def progress_only_on_a_terminal():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as process:
        result = lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-d", "1500ms",
                                        "-o", os.path.join(place, "x.svg")))
        lib.check("\r" not in result.stderr and "\x1b" not in result.stderr,
                  f"a progress line although this is no terminal: {result.stderr!r}")
        lib.equal(result.stdout, "", "standard output")


lib.main(first_writes, second_gives_up, record_of_a_command, progress_only_on_a_terminal)
