#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Resident memory by kind beside the kernel's own exact count (smaps_rollup), for large and
for small processes; a process that the kernel kills for want of memory leaves its profile."""

import os
import signal
import struct
import subprocess

import lib
import lib_cgroup

HEAD = 16  # of a recording, see daemon/capture.h
ABI_RSS, ABI_OOM = 11, 12  # enum abi_type of bpf/abi.h


def records(path, kind, pid):
    """(exact, {kind of memory: bytes}) of each record of a process, oldest first."""
    with open(path, "rb") as file:
        data = file.read()
    found, at = [], HEAD
    while at + 16 <= len(data):
        size, number = struct.unpack_from("<HB", data, at)
        if size < 16 or at + size > len(data):
            break
        if number == kind:
            owner, exact, file_, anon, swap, shmem = struct.unpack_from("<IIQQQQ", data, at + 16)
            if owner == pid:
                found.append((exact, {"file": file_, "anon": anon, "swap": swap, "shmem": shmem}))
        at += size
    return found


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        lines = [line.split() for line in file][1:]
    return {line[0].rstrip(":"): int(line[1]) << 10 for line in lines}


def agrees_with_the_kernel():
    lib.need_bpf()
    with lib.folder() as place:
        mapped, recording = os.path.join(place, "mapped"), os.path.join(place, "recording")
        with open(mapped, "wb") as file:
            file.write(os.urandom(1 << 20) * 3)
        with lib.Perfd("--set", "memory.rss_interval=250ms", "--capture", recording) as perfd:
            seen = {}
            for anon, shmem in ((0, 0), (100, 0), (3000, 700), (65536, 9000)):
                with lib.started(lib.program("resident"), mapped, anon, shmem, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                    lib.equal(process.stdout.readline(), "ready\n", "what it says")
                    before = perfd.ctl_json("status")["memory"]["looks"]
                    # One look may be under way: the second began after "ready".
                    lib.wait_for(lambda: perfd.ctl_json("status")["memory"]["looks"] > before + 1,
                                 "two looks")
                    seen[process.pid] = (anon, shmem, rollup(process.pid))
        for pid, (anon, shmem, truth) in seen.items():
            found = records(recording, ABI_RSS, pid)
            lib.check(found, f"no record of {pid}")
            exact, kinds = found[-1]
            resident = kinds["file"] + kinds["anon"] + kinds["shmem"]
            off = resident / truth["Rss"] - 1
            print(f"{anon} + {shmem} KiB: {resident >> 10} KiB, smaps_rollup {truth['Rss'] >> 10}:"
                  f" {off:+.3%}; anonymous {kinds['anon'] >> 10} and {truth['Anonymous'] >> 10}")
            lib.equal(exact, 1, "exact")
            lib.check(abs(off) <= 0.01, f"resident memory is off by {off:+.3%}")
            lib.check(abs(kinds["shmem"] - (shmem << 10)) <= 0.01 * (shmem << 10) + 4096,
                      f"shared memory: {kinds['shmem']}")


def killed_for_want_of_memory():
    """In a cgroup with a limit; its profile and a mark are there after."""
    lib.need_bpf()
    with lib_cgroup.with_memory(24 << 20) as join:
        with lib.folder() as place:
            mapped, recording = os.path.join(place, "mapped"), os.path.join(place, "recording")
            with open(mapped, "wb") as file:
                file.write(bytes(4096))
            with lib.Perfd("--set", "history.window=1s", "--set", "memory.view_budget=0",
                           "--capture", recording) as perfd:
                with lib.started(lib.program("resident"), mapped, 200 << 10, preexec_fn=join,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                    lib.equal(process.wait(60), -signal.SIGKILL, "how it ended")
                    pid = process.pid
                lib.wait_for(lambda: perfd.ctl_json("status")["memory"]["oom_kills"], "the kill")
                path = os.path.join(place, "x.folded")
                lib.succeeds(perfd.ctl("report", "-e", "faults", "-o", path))
                lib.check(lib.Folded.load(path).of_comm("resident"), "no faults of the killed one")
                lib.contains(perfd.log(), f"resident (pid {pid})", "the log")
            found = records(recording, ABI_OOM, pid)
            lib.equal(len(found), 1, "records of the kill")
            lib.check(20 << 20 < found[0][1]["anon"] <= 24 << 20,
                      f"it had {found[0][1]['anon']} bytes")


lib.main(agrees_with_the_kernel, killed_for_want_of_memory)
