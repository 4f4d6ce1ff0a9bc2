#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that cannot be profiled: a clear error, and the daemon goes on."""

import os
import subprocess

import lib


def attach(perfd, pid, place, **options):
    return perfd.ctl("attach", "--pid", pid, "-d", "1s", "-o", os.path.join(place, "x.svg"),
                     **options)


def refused(pid, part):
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd:
        lib.fails(attach(perfd, pid, place), 1, part)
        lib.equal(os.listdir(place), [], "files left behind")
        lib.equal(perfd.sessions(), [], "sessions left behind")
        perfd.alive()


def no_such_process():
    with lib.started("/bin/true") as process:
        process.wait()
    refused(process.pid, f"no process {process.pid}")
    refused(2**22 + 1, str(2**22 + 1))  # above any pid_max


def kernel_thread():
    with open("/proc/2/comm") as file:
        if file.read().strip() != "kthreadd":
            raise lib.Skip("pid 2 is no kernel thread here")
    refused(2, "kernel thread")


def zombie():
    process = subprocess.Popen(["/bin/true"])  # waited for at the end only
    try:
        lib.wait_for(lambda: lib.status_field(process.pid, "State").startswith("Z"), "a zombie")
        refused(process.pid, "zombie")
    finally:
        process.wait()


def another_users():
    """nobody may profile its own processes, and no others."""
    lib.need_bpf()
    identity = {"user": lib.NOBODY, "group": lib.NOBODY, "extra_groups": []}
    with lib.folder() as place, lib.Perfd() as perfd:
        os.chmod(place, 0o777)
        ctl = lib.for_everybody(lib.PERFCTL, place)
        mine = lib.for_everybody(lib.program("shares"), place)
        with lib.started(mine, 60, stdout=subprocess.DEVNULL) as roots:
            result = attach(perfd, roots.pid, place, binary=ctl, **identity)
            lib.fails(result, 1, "not to you")
        with lib.started(mine, 60, stdout=subprocess.DEVNULL, **identity) as own:
            lib.succeeds(attach(perfd, own.pid, place, binary=ctl, **identity))
        result = perfd.ctl("report", binary=ctl, **identity)
        lib.fails(result, 1, "root")


def sessions_of_others():
    """nobody neither sees nor ends root's sessions."""
    lib.need_bpf()
    identity = {"user": lib.NOBODY, "group": lib.NOBODY, "extra_groups": []}
    with lib.folder() as place, lib.Perfd() as perfd, \
            lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL) as process:
        os.chmod(place, 0o777)
        ctl = lib.for_everybody(lib.PERFCTL, place)
        lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "--background"))
        number = perfd.wait_session(process.pid)["id"]
        listed = lib.succeeds(perfd.ctl("sessions", "--json", binary=ctl, **identity)).stdout
        lib.equal(lib.json.loads(listed)["sessions"], [], "what nobody sees")
        result = perfd.ctl("detach", "--session", number, "-o", os.path.join(place, "x.svg"),
                           binary=ctl, **identity)
        lib.check(result.returncode == 1, f"nobody ended root's session: {result}")
        lib.equal([session["id"] for session in perfd.sessions()], [number], "sessions")


def exits_at_once():
    """Ends right after attach has found it: a short profile or a reason, no hanging."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, \
            lib.started("/bin/sh", "-c", f"read x; exec {lib.program('exits_at_once')}",
                        stdin=subprocess.PIPE) as process:
        path = os.path.join(place, "x.svg")
        with perfd.start_ctl("attach", "--pid", str(process.pid), "-o", path) as ctl:
            perfd.wait_session(process.pid)
            process.stdin.close()
            process.wait()
            code = ctl.wait(15)
            if code:
                lib.equal(code, 1, "exit code of attach")
                lib.contains(ctl.stderr.read(), "no samples", "attach")
        perfd.alive()


lib.main(no_such_process, kernel_thread, zombie, another_users, sessions_of_others, exits_at_once)
