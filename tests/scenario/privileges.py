#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Each process of a perfd that runs has the capabilities of the table in docs/privileges.md,
and no other; the unit's bounding set is the same list; and with these all goes on: sessions,
probes, openers and workers that end and hang."""

import os
import re
import shutil
import signal
import subprocess

import lib
import lib_heap

NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
           "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYSLOG": 34, "CAP_PERFMON": 38,
           "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}


def documented():
    """{process: set of names}, of the document's table."""
    with open(os.path.join(lib.ROOT, "docs", "privileges.md"), encoding="utf-8") as file:
        lines = [line.strip("| \n").split(" | ") for line in file if line.startswith("| ")]
    head = next(line for line in lines if line[0] == "capability")
    table = {process: set() for process in head[1:5]}
    for line in lines:
        for name in line[0].split(", "):
            if not name.startswith("CAP_"):
                continue
            for process, word in zip(head[1:5], line[1:5]):
                if word == "yes":
                    table[process].add(name)
    return table


def mask(names):
    return sum(1 << NUMBERS[name] for name in names)


def own():
    """What root has here: a container may lack some."""
    return int(lib.status_field("self", "CapPrm"), 16)


def threads(pid):
    return [f"{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]


def check_process(pid, what, names, bounds):
    want = mask(names) & own()
    for thread in threads(pid):
        for kind in ("CapPrm", "CapEff"):
            lib.equal(int(lib.status_field(thread, kind), 16), want, f"{kind} of the {what}")
        for kind in ("CapInh", "CapAmb"):
            lib.equal(int(lib.status_field(thread, kind), 16), 0, f"{kind} of the {what}")
        beyond = int(lib.status_field(thread, "CapBnd"), 16) & ~bounds
        lib.equal(beyond, 0, f"bounding set of the {what} beyond the daemon's")
        lib.equal(lib.status_field(thread, "NoNewPrivs"), "1", f"no_new_privs of the {what}")


def child(pid, word):
    for number in lib.children(pid):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if word in file.read().split(b"\0"):
                    return number
        except OSError:
            continue
    return None


def sandboxed(pid, word):
    """The child, once it is what it will be."""
    def ask():
        number = child(pid, word)
        return number if number and lib.status_field(number, "Seccomp") == "2" else None
    return lib.wait_for(ask, f"the {word} child")


def as_documented():
    lib.need_root()
    table = documented()
    lib.check(len(table["daemon"]) >= 9, f"the table was not understood: {table}")
    with lib.Perfd() as perfd:
        pid = perfd.process.pid
        bounds = mask(table["daemon"]) & own()
        check_process(pid, "daemon", table["daemon"], bounds)
        lib.check(len(threads(pid)) > 1, "the daemon has one thread only: not all is looked at")
        check_process(sandboxed(pid, b"--worker"), "worker", set(), bounds)
        check_process(sandboxed(pid, b"--opener"), "opener", table["opener"], bounds)


def execute_new(place):
    """A file that perfd has not seen yet: there is an opener when there is something to open."""
    path = os.path.join(place, "new")
    shutil.copy(lib.program("exits_at_once"), path)
    subprocess.run([path], check=True)
    os.unlink(path)


def all_goes_on():
    """What needs a capability, after they were let go of."""
    with lib.folder() as place, lib.Perfd("--set", "limits.worker_deadline=500ms") as perfd:
        pid = perfd.process.pid
        out = os.path.join(place, "x.folded")
        table = documented()
        with lib.started(lib.for_everybody(lib.program("shares"), place), 60, user=61001,
                         group=61001, extra_groups=[], stdout=subprocess.DEVNULL) as target:
            lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", 499, "-d", "500ms", "-o", out))
            lib.check(lib.Folded.load(out).within("work_50"), "another user's program has no names")
            lib.check(any(frame.endswith("_[k]") for frames, _ in
                          lib.Folded.load(record_kernel(perfd, place)).stacks for frame in frames),
                      "the kernel's functions have no names")
            # New ones, and those that hang are ended: they are another user's by now.
            for word in (b"--worker", b"--opener"):
                first = sandboxed(pid, word)
                os.kill(first, signal.SIGKILL)
                lib.wait_for(lambda: execute_new(place) or child(pid, word) not in (None, first),
                             f"a new {word} child", 20)
                check_process(sandboxed(pid, word), str(word), table["opener"]
                              if word == b"--opener" else set(), mask(table["daemon"]))
            worker = sandboxed(pid, b"--worker")
            os.kill(worker, signal.SIGSTOP)
            with lib.started(lib.program("threads"), stdout=subprocess.DEVNULL) as other:
                lib.wait_for(lambda: perfd.ctl("attach", "--pid", other.pid, "-d", "200ms", "-o",
                                               out).returncode in (0, 1)
                             and lib.is_gone(worker), "a worker that hangs to be ended", 30)
            probes_go_in(perfd, place)


def probes_go_in(perfd, place):
    """Into a program that runs; no file was blamed for a worker that somebody stopped."""
    out = os.path.join(place, "x.folded")
    lib.equal(perfd.ctl_json("status").get("quarantine", []), [], "files in quarantine")
    with lib.started(lib.program("allocs"), 1500, 2000, "wait", stdin=subprocess.PIPE,
                     stdout=subprocess.DEVNULL) as target:
        with perfd.start_ctl("attach", "-e", "heap", "--pid", target.pid, "-o", out) as client:
            perfd.wait_session(target.pid)
            lib_heap.wait_for_probes(perfd, 1)
            target.stdin.write(b"\n")
            target.stdin.flush()
            perfd.wait_session(target.pid, samples=True)
            client.send_signal(signal.SIGINT)
            lib.equal(client.wait(30), 0, f"exit code of attach -e heap ({client.stderr.read()})")


def record_kernel(perfd, place):
    out = os.path.join(place, "k.folded")
    lib.succeeds(perfd.ctl("record", "-F", 999, "-o", out, "--", "sh", "-c",
                           "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/dev/null bs=1M count=200; done",
                           stdout=subprocess.DEVNULL))
    return out


def the_units_list():
    with open(os.path.join(lib.ROOT, "configs", "perfd.service.in"), encoding="utf-8") as file:
        line = re.search(r"^CapabilityBoundingSet=(.*)$", file.read(), re.MULTILINE).group(1)
    lib.equal(set(line.split()), set(NUMBERS), "CapabilityBoundingSet, and the table")


lib.main(as_documented, all_goes_on, the_units_list)
