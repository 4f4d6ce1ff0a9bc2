#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording, played again by a perfd without any privilege, gives the same profile."""

import json
import os
import subprocess

import lib


def of_process(report, pid):
    """(comm, samples, weight) of a process; others may come and go meanwhile."""
    return [(process["comm"], process["samples"], process["weight"])
            for process in report["processes"] if process["pid"] == pid]


def same_totals_without_root():
    lib.need_bpf()
    with lib.folder() as place:
        recording = os.path.join(place, "recording")
        with lib.Perfd("--set", "cpu.frequency_hz=499", "--capture", recording) as perfd:
            with lib.started(lib.program("shares"), 2, stdout=subprocess.DEVNULL) as process:
                lib.equal(process.wait(60), 0, "exit code of shares")
            pid = process.pid

            def reported():
                report = perfd.ctl_json("report")
                ended = [one for one in report["processes"]
                         if one["pid"] == pid and one["end_ns"]]
                return report if ended else None
            live = lib.wait_for(reported, "the end of shares in the report")
        lib.check(os.path.getsize(recording) > 1000, "the recording is empty")
        os.chmod(recording, 0o644)
        binary = lib.for_everybody(lib.PERFD, place)
        with lib.Perfd("--replay", recording, binary=binary, bpf=False,
                       user=lib.NOBODY) as perfd:
            def replayed():
                result = perfd.ctl("report", "--json")
                if result.returncode:
                    return None
                seen[:] = of_process(json.loads(result.stdout), pid)
                return seen == of_process(live, pid)
            seen = []
            try:
                lib.wait_for(replayed, "the same samples from the recording", 30)
            finally:
                print(f"live {of_process(live, pid)}, replayed {seen}")


def damaged_recordings():
    """Cut off, or no recording at all: an error, or what was whole of it; never a crash."""
    lib.need_bpf()
    with lib.folder() as place:
        recording = os.path.join(place, "recording")
        with lib.Perfd("--set", "cpu.frequency_hz=499", "--capture", recording):
            subprocess.run([lib.program("shares"), "1"], check=True, stdout=subprocess.DEVNULL)
        with open(recording, "rb") as file:
            whole = file.read()
        binary = lib.for_everybody(lib.PERFD, place)
        for name, data in (("empty", b""), ("text", b"this is no recording\n" * 100),
                           ("head", whole[:8]), ("cut", whole[:len(whole) // 2 + 3])):
            path = os.path.join(place, name)
            with open(path, "wb") as file:
                file.write(data)
            try:
                with lib.Perfd("--replay", path, binary=binary, bpf=False,
                               user=lib.NOBODY) as perfd:
                    perfd.alive()
            except AssertionError as error:
                # It may refuse: with exit code 1 and the file's name.
                lib.contains(str(error), "code 1", f"replay of {name}")
                lib.contains(str(error), path, f"replay of {name}")
                print(f"{name}: {error}")


def not_together():
    result = subprocess.run([lib.PERFD, "--replay", "a", "--capture", "b"], capture_output=True,
                            text=True, timeout=30)
    lib.fails(result, 2, "exclude each other", "perfd")


lib.main(same_totals_without_root, damaged_recordings, not_together)
