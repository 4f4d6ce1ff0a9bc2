#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Code that a process writes into its own memory has the names that it writes to
/tmp/perf-PID.map (its own /tmp, and the process id that it sees itself) or into a dump
that it maps, however late it does so."""

import json
import os
import shutil
import signal
import subprocess

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


def named_late():
    """All of its time is spent before the list says anything."""
    lib.need_bpf()
    with lib.folder() as place:
        stacks = record(place, lib.program("jit"), "late")
        lib.check(share(stacks, FRAME) > 0.9, f"{share(stacks, FRAME):.1%}: {stacks[:5]}")


def out_of_a_dump():
    """Its name at both places: it moves."""
    lib.need_bpf()
    with lib.folder() as place:
        stacks = record(place, lib.program("jit"), "dump", place)
        lib.check(share(stacks, "dumped code_[j]") > 0.9,
                  f"{share(stacks, 'dumped code_[j]'):.1%}: {stacks[:5]}")


def asked_of_a_process():
    """perfctl symbolize --pid names the same code, with its line."""
    with lib.folder() as place:
        child = subprocess.Popen([lib.program("jit"), "dump", place])
        try:
            def dumped():
                with open(f"/proc/{child.pid}/maps", encoding="utf-8") as maps:
                    lines = maps.read().splitlines()
                if not any(line.endswith(f"jit-{child.pid}.dump") for line in lines):
                    return None
                return next(line for line in lines if "rwxp" in line).split("-")[0]

            address = lib.wait_for(dumped, "the dump is mapped")
            result = lib.perfctl("symbolize", "--json", "--pid", child.pid, address)
            lib.check(result.returncode == 0, result.stderr)
            frames = json.loads(result.stdout)["addresses"][0]["frames"]
            lib.check(frames and frames[0]["name"] == "dumped code" and
                      frames[0].get("file") == "/app.src" and frames[0].get("line") == 77,
                      result.stdout)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()


SCRIPT = """
function hotFunction(n) { let s = 0; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s; }
const start = process.cpuUsage().user; // not the clock: a busy machine is slow to start it
let sum = 0;
while (process.cpuUsage().user - start < 1500000) sum += hotFunction(1000000);
if (sum === 0.5) console.log(sum);
"""


def node(option):
    """V8 keeps what it writes in a buffer of megabytes, and empties it at its end."""
    lib.need_bpf()
    if not shutil.which("node"):
        raise lib.Skip("no node")
    with lib.folder() as place:
        script = os.path.join(place, "hot.js")
        with open(script, "w", encoding="utf-8") as file:
            file.write(SCRIPT)
        stacks = record(place, "sh", "-c", f"cd {place} && exec node {option} {script}")
        mine = [(frames, value) for frames, value in stacks if frames[0].startswith("node")]
        total = sum(value for _, value in mine)
        hot = sum(value for frames, value in mine
                  if any("hotFunction" in frame and frame.endswith("_[j]") for frame in frames))
        lib.check(total > 0 and hot > 0.7 * total, f"{hot} of {total}: {mine[:3]}")


def node_with_a_dump():
    node("--perf-prof")


def node_with_a_list():
    node("--perf-basic-prof")


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


lib.main(named, named_late, without_a_list, out_of_a_dump, asked_of_a_process, node_with_a_dump,
         node_with_a_list, in_namespaces_of_its_own)
