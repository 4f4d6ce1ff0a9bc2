#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A real file system that takes requests and answers none (FUSE): a program of it, and a
program whose /tmp it is, are profiled. perfd answers as ever, others have their names,
and status says what gave no answer."""

import contextlib
import json
import os
import signal
import subprocess
import time

import lib

STATUS_SECONDS = 5  # each status; what hangs would hang for good


class HungFs:
    """Mounted over a folder; gone at the end, whoever hangs in it."""

    def __init__(self, folder, program):
        self.folder, self.program = folder, program

    def __enter__(self):
        self.process = subprocess.Popen([lib.program("hang_fs"), self.folder, self.program],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("mounted "):
            text = self.process.communicate()[1].strip()
            raise lib.Skip(f"FUSE cannot be mounted here: {text}")
        self.connection = f"/sys/fs/fuse/connections/{line.split()[1]}"
        os.stat(self.folder)  # known to the kernel from now on
        return self

    def hang(self):
        """From now on it answers nothing."""
        self.process.send_signal(signal.SIGUSR1)
        lib.equal(self.process.stdout.readline(), "hangs\n", "what hang_fs says")

    def abort(self):
        """Whoever waits for it gets an error: by the kernel's own switch, where it is mounted,
        and by the server's end."""
        with contextlib.suppress(OSError), open(f"{self.connection}/abort", "w") as file:
            file.write("1")
        self.process.kill()

    def __exit__(self, kind, error, trace):
        self.abort()
        subprocess.run(["umount", "--lazy", self.folder], check=False)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            lib.check(self.folder not in mounts.read(), "the file system is mounted still")


@contextlib.contextmanager
def aborted(hung):
    """Before processes are waited for that may hang in it."""
    try:
        yield
    finally:
        hung.abort()


def need_fuse():
    lib.need_bpf()
    if not os.path.exists("/dev/fuse"):
        raise lib.Skip("no /dev/fuse")


def ask_until(perfd, told):
    """Asks for the status until told() says yes: (status, the longest it took)."""
    longest = 0

    def ask():
        nonlocal longest
        began = time.monotonic()
        status = perfd.ctl("status", "--json", timeout=STATUS_SECONDS)
        longest = max(longest, time.monotonic() - began)
        lib.equal(status.returncode, 0, f"exit code of status ({status.stderr})")
        status = json.loads(status.stdout)
        return status if told(status) else None

    return lib.wait_for(ask, "status to tell what hangs", 30), longest


def quarantined(status, part):
    return [entry for entry in status["quarantine"]
            if part in entry["file"] and "gave no answer" in entry["why"]]


def ends(perfd, hung):
    """perfd's end waits for nobody: the opener that hangs is left to init, and goes when
    the file system does."""
    helpers = lib.children(perfd.process.pid)
    perfd.process.send_signal(signal.SIGTERM)
    lib.equal(perfd.process.wait(20), 0, "exit code of perfd after SIGTERM")
    hung.abort()
    for helper in helpers:
        lib.wait_for(lambda: not os.path.exists(f"/proc/{helper}"), f"helper {helper} to end")


def a_mapped_file():
    """A program of it runs, and is mapped, when it stops to answer."""
    need_fuse()
    with lib.folder() as place:
        folder = os.path.join(place, "mounted")
        os.mkdir(folder)
        with HungFs(folder, lib.program("shares")) as hung, \
                lib.started(os.path.join(folder, "program"), 600, stdout=subprocess.DEVNULL) as stuck, \
                lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as other, \
                aborted(hung):
            lib.wait_for(lambda: lib.cpu_seconds(stuck.pid) > 0.3, "the program to have run")
            hung.hang()
            with lib.Perfd() as perfd, aborted(hung):
                paths = [os.path.join(place, name) for name in ("stuck.folded", "other.folded")]
                with perfd.start_ctl("attach", "--pid", stuck.pid, "-F", 199, "-d", "5s", "-o",
                                     paths[0]) as first, \
                        perfd.start_ctl("attach", "--pid", other.pid, "-F", 199, "-d", "5s", "-o",
                                        paths[1]) as second:
                    status, longest = ask_until(perfd, lambda s: quarantined(s, "program"))
                    for attached in (first, second):
                        lib.equal(attached.wait(40), 0, f"exit code of attach ({attached.stderr})")
                stacks = lib.Folded.load(paths[1])
                lib.check(stacks.within("work_50") > 0.3 * stacks.total,
                          f"{stacks.within('work_50')} of {stacks.total}: {stacks.stacks[:5]}")
                # Nobody can have its names, but every sample is there, by its place.
                stacks = lib.Folded.load(paths[0])
                placed = sum(value for frames, value in stacks.stacks
                             if any(frame.startswith("[program+0x") for frame in frames))
                lib.check(placed > 0.8 * stacks.total, f"{placed} of {stacks.total}: {stacks.stacks[:5]}")
                openers = status["symbols"]["openers"]
                lib.check(openers["timeouts"] >= 1, f"{openers}")
                print(f"# the longest status took {longest:.2f} s; openers: {openers}; "
                      f"{quarantined(status, 'program')[0]['why']}")
                ends(perfd, hung)


def a_compilers_list():
    """A program that makes its code itself has it as its /tmp, where its list would be."""
    need_fuse()
    lib.command("unshare")
    with lib.folder() as place:
        folder = os.path.join(place, "mounted")
        os.mkdir(folder)
        program = lib.program("jit")
        script = f"exec 9<{program} && mount --bind {folder} /tmp && echo mounted && read go && " \
                 "exec /proc/self/fd/9 silent"
        with HungFs(folder, program) as hung, \
                lib.started("unshare", "--mount", "--propagation", "private", "sh", "-c", script,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as jit, \
                lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as other, \
                aborted(hung):
            lib.equal(jit.stdout.readline(), "mounted\n", "what the program's shell says")
            hung.hang()
            with lib.Perfd() as perfd, aborted(hung):
                paths = [os.path.join(place, name) for name in ("jit.folded", "other.folded")]
                with perfd.start_ctl("attach", "--pid", jit.pid, "-F", 199, "-d", "5s", "-o",
                                     paths[0]) as first, \
                        perfd.start_ctl("attach", "--pid", other.pid, "-F", 199, "-d", "5s", "-o",
                                        paths[1]) as second:
                    perfd.wait_session(jit.pid)
                    jit.stdin.write("go\n")
                    jit.stdin.flush()
                    status, longest = ask_until(
                        perfd, lambda s: quarantined(s, f"process {jit.pid}"))
                    for attached in (first, second):
                        lib.equal(attached.wait(40), 0, f"exit code of attach ({attached.stderr})")
                stacks = lib.Folded.load(paths[1])
                lib.check(stacks.within("work_50") > 0.3 * stacks.total,
                          f"{stacks.within('work_50')} of {stacks.total}: {stacks.stacks[:5]}")
                stacks = lib.Folded.load(paths[0])
                lib.check(stacks.within("[anon]_[j]") > 0.5 * stacks.total, f"{stacks.stacks[:5]}")
                print(f"# the longest status took {longest:.2f} s; openers: {status['symbols']['openers']}; "
                      f"{quarantined(status, 'process')[0]['why']}")
                ends(perfd, hung)


lib.main(a_mapped_file, a_compilers_list)
