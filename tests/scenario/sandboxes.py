#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The real worker and the real opener, told to do what they must not: each such system
call is made inside the running process (tracer.py), by perfd itself as it is built."""

import ctypes
import os
import platform
import signal
import socket
import subprocess

import lib
import tracer

AT_FDCWD = -100
PROT_READ, PROT_WRITE, PROT_EXEC, MAP_PRIVATE_ANONYMOUS = 1, 2, 4, 0x22
SIGCHLD = 17


def need():
    lib.need_root()
    if platform.machine() != "x86_64":
        raise lib.Skip("sets the registers of x86-64")


class Child:
    """perfd as the daemon starts it for this, waiting at its socket."""

    def __init__(self, role):
        self.role = role

    def __enter__(self):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def place():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        self.process = subprocess.Popen([lib.PERFD, self.role], pass_fds=(3,), preexec_fn=place,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        theirs.close()
        self.pid = self.process.pid
        # In its last wait, after the sandbox: seccomp is in force.
        lib.wait_for(lambda: lib.status_field(self.pid, "Seccomp") == "2"
                     and tracer.waits_in_call(self.pid), f"{self.role} to wait")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        self.process.stderr.close()
        self.ours.close()

    def refuses(self, name, *arguments):
        came = tracer.call(self.pid, name, *arguments)
        lib.check(came == ("died", signal.SIGSYS),
                  f"{self.role}: {name}{arguments} gave {came}, not its death by SIGSYS")


def path_address():
    """A text that lies at the same address there: this test's own memory does not, but
    the call dies before it would be looked at."""
    return ctypes.addressof(ctypes.create_string_buffer(b"/etc/passwd"))


# Each in a process of its own, for it dies of it.
FORBIDDEN = [
    ("open", path_address(), os.O_RDONLY), ("openat", AT_FDCWD, path_address(), os.O_RDONLY),
    ("openat2", AT_FDCWD, path_address(), path_address(), 24),
    ("socket", socket.AF_INET, socket.SOCK_STREAM, 0), ("socketpair", socket.AF_UNIX, 1, 0),
    ("connect", 3, path_address(), 16), ("bind", 3, path_address(), 16),
    ("fork",), ("vfork",), ("clone", SIGCHLD), ("clone3", path_address(), 88),
    ("execve", path_address(), 0, 0), ("execveat", AT_FDCWD, path_address(), 0, 0, 0),
    ("kill", 1, 0), ("ptrace", 16, 1), ("process_vm_readv", 1, 0, 0, 0, 0, 0),
    ("pidfd_open", 1, 0), ("mount", 0, 0, 0, 0, 0), ("unlink", path_address()),
    ("mkdir", path_address(), 0o700), ("chmod", path_address(), 0o777),
    ("readlink", path_address(), path_address(), 1), ("ioctl", 3, 0, 0),
    ("setuid", 0), ("unshare", 0x10000000), ("bpf", 0, 0, 0), ("perf_event_open", 0, 0, 0, 0),
    ("io_uring_setup", 1, path_address()), ("userfaultfd", 0), ("memfd_create", path_address(), 0),
    ("prctl", 4, 1), ("setrlimit", 9, path_address()),
    ("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE_ANONYMOUS, -1, 0),
    ("mprotect", 4096, 4096, PROT_READ | PROT_EXEC),
]


def a_process_without_a_sandbox():
    """What the other cases would see if perfd's children had none."""
    need()
    with lib.started(lib.command("cat"), stdin=subprocess.PIPE,
                     stdout=subprocess.DEVNULL) as cat:
        for call in (("getpid",), ("socket", socket.AF_INET, socket.SOCK_STREAM, 0)):
            lib.check(tracer.call(cat.pid, *call) > 0, f"{call} does not work even there")
            tracer.trace(tracer.DETACH, cat.pid)


def the_worker():
    need()
    with Child("--worker") as worker:  # that the way of asking works at all
        lib.equal(tracer.call(worker.pid, "getpid"), worker.pid, "the worker's own pid")
    with Child("--worker") as worker:
        for kind in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"):
            lib.equal(int(lib.status_field(worker.pid, kind), 16), 0, f"{kind} of the worker")
        lib.equal(lib.status_field(worker.pid, "NoNewPrivs"), "1", "no_new_privs")
        lib.equal(lib.status_field(worker.pid, "Uid").split(), ["65534"] * 4, "its user")
        with open(f"/proc/{worker.pid}/limits") as file:
            limits = file.read()
        for name in ("Max core file size", "Max file size"):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            lib.equal(line[len(name):].split()[:2], ["0", "0"], name)
        line = next(line for line in limits.splitlines() if line.startswith("Max cpu time"))
        lib.check("unlimited" not in line.split()[3], f"CPU time without a limit: {line}")
    for forbidden in FORBIDDEN:
        with Child("--worker") as worker:
            worker.refuses(*forbidden)


def the_opener():
    need()
    with Child("--opener") as opener:
        lib.equal(tracer.call(opener.pid, "getpid"), opener.pid, "the opener's own pid")
    with Child("--opener") as opener:
        # SYS_PTRACE, DAC_READ_SEARCH, and CHECKPOINT_RESTORE or SYS_ADMIN
        allowed = 1 << 19 | 1 << 2 | 1 << 40 | 1 << 21
        has = int(lib.status_field(opener.pid, "CapPrm"), 16)
        lib.equal(has & ~allowed, 0, f"capabilities of the opener ({has:#x}) beyond its own")
        lib.check(not (has & 1 << 40 and has & 1 << 21), "CAP_SYS_ADMIN beside the smaller one")
        lib.equal(int(lib.status_field(opener.pid, "CapBnd"), 16), 0, "its bounding set")
        lib.equal(lib.status_field(opener.pid, "NoNewPrivs"), "1", "no_new_privs")
    may = {"openat2", "readlink", "socketpair"}
    for name, *arguments in FORBIDDEN:
        if name in may or name == "openat":
            continue
        with Child("--opener") as opener:
            opener.refuses(name, *arguments)
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC):
        with Child("--opener") as opener:
            opener.refuses("openat", AT_FDCWD, path_address(), flags, 0o600)
    with Child("--opener") as opener:
        opener.refuses("socketpair", socket.AF_INET, socket.SOCK_STREAM, 0)


lib.main(a_process_without_a_sandbox, the_worker, the_opener)
