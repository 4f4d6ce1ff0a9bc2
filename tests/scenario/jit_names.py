#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Code that a process writes into its own memory has the names that it writes to
/tmp/perf-PID.map: its own /tmp, and the process id that it sees itself."""

import os
import shutil

import lib

FRAME = "hot code /app.js:1_[j]"


def record(place, *program):
    path = os.path.join(place, "out.folded")
    result = lib.perfctl("record", "-F", 499, "-o", path, "--", *program)
    lib.check(result.returncode in (0, 1), result.stderr)
    with open(path, encoding="utf-8") as file:
        stacks = [line.rsplit(" ", 1) for line in file.read().splitlines()]
    return [(stack.split(";"), int(value)) for stack, value in stacks]


def share(stacks, frame):
    mine = [(frames, value) for frames, value in stacks if frames[0].startswith("jit")]
    total = sum(value for _, value in mine)
    lib.check(total > 0, f"no samples of the program: {stacks[:5]}")
    return sum(value for frames, value in mine if frame in frames) / total


def named():
    lib.need_bpf()
    with lib.folder() as place:
        stacks = record(place, lib.program("jit"))
        lib.check(share(stacks, FRAME) > 0.9, f"{share(stacks, FRAME):.1%}: {stacks[:5]}")


def without_a_list():
    lib.need_bpf()
    with lib.folder() as place:
        stacks = record(place, lib.program("jit"), "silent")
        lib.check(share(stacks, "[anon]_[j]") > 0.9, f"{stacks[:5]}")


def in_namespaces_of_its_own():
    lib.need_bpf()
    if not shutil.which("unshare"):
        raise lib.Skip("no unshare")
    with lib.folder() as place:
        script = f"mount -t tmpfs none /tmp && exec {lib.program('jit')}"
        # Its program may be below the /tmp that is hidden: it is opened before.
        if os.path.realpath(lib.program("jit")).startswith("/tmp/"):
            script = f"exec 9<{lib.program('jit')} && mount -t tmpfs none /tmp && exec /proc/self/fd/9"
        stacks = record(place, "unshare", "--mount", "--pid", "--fork", "--mount-proc",
                        "sh", "-c", script)
        mine = sum(value for frames, value in stacks if FRAME in frames)
        total = sum(value for _, value in stacks)
        lib.check(mine > 0.8 * total, f"{mine} of {total}: {stacks[:5]}")


lib.main(named, without_a_list, in_namespaces_of_its_own)
