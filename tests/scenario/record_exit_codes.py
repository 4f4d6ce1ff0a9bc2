#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What perfctl record -- CMD ends with: the command's own code, or its own."""

import os

import lib

HZ = 999


def record(place, *command, output="out.folded", options=()):
    return lib.perfctl("record", "-F", HZ, "-o", os.path.join(place, output), *options, "--",
                       *command)


def shell(script):
    """A command that is on the CPU for a while before it ends."""
    return ["/bin/sh", "-c", f"{lib.program('threads')} 1 100; {script}"]


def the_commands_own():
    lib.need_bpf()
    with lib.folder() as place:
        for code in (0, 7, 255):
            result = record(place, *shell(f"exit {code}"))
            lib.equal(result.returncode, code, f"exit code ({result.stderr.strip()})")
            lib.Folded.load(os.path.join(place, "out.folded"))


def killed_by_a_signal():
    lib.need_bpf()
    with lib.folder() as place:
        for name, number in (("TERM", 15), ("KILL", 9), ("SEGV", 11)):
            result = record(place, *shell(f"ulimit -c 0; kill -{name} $$"))
            lib.equal(result.returncode, 128 + number,
                      f"exit code after SIG{name} ({result.stderr.strip()})")


def no_such_command():
    lib.need_bpf()
    with lib.folder() as place:
        for command in ("/no/such/command", "perfd-test-no-such-command"):
            lib.fails(record(place, command), 127, command)
        lib.check(not os.listdir(place), f"left behind: {os.listdir(place)}")


def not_executable():
    lib.need_bpf()
    with lib.folder() as place:
        lib.fails(record(place, "/etc/passwd"), 126, "/etc/passwd")
        lib.fails(record(place, "/"), 126, "/")


def perfctl_itself():
    """Before the command has begun: it must not have run."""
    lib.need_bpf()
    with lib.folder() as place:
        mark = os.path.join(place, "mark")
        result = record(place, "/bin/sh", "-c", f"touch {mark}", output="no/such/folder/x.svg")
        lib.fails(result, 125, "no/such/folder")
        lib.check(not os.path.exists(mark), "the command ran although perfctl could not write")


def no_samples():
    """Too short for its rate: a failure that says why, and no file."""
    lib.need_bpf()
    with lib.folder() as place:
        result = lib.perfctl("record", "-F", 1, "-o", os.path.join(place, "x.svg"), "--",
                             lib.program("exits_at_once"))
        lib.fails(result, 125, "no samples")
        lib.check(not os.listdir(place), f"left behind: {os.listdir(place)}")


def usage():
    lib.equal(lib.perfctl("record", "--no-such-option").returncode, 2, "unknown option")
    # Before a command, the code says whose failure it is.
    lib.equal(lib.perfctl("record", "-F", "fast", "--", "true").returncode, 125, "bad rate")
    lib.equal(lib.perfctl("record", "-d", "-1s", "-a").returncode, 2, "bad duration")
    lib.equal(lib.perfctl("record").returncode, 2, "nothing to record")
    lib.equal(lib.perfctl("record", "-a", "-p", "1").returncode, 2, "two things to record")
    lib.equal(lib.perfctl("recrod").returncode, 2, "unknown command")
    lib.equal(lib.perfctl("help").returncode, 0, "help")


lib.main(the_commands_own, killed_by_a_signal, no_such_command, not_executable, perfctl_itself,
         no_samples, usage)
