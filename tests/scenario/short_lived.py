#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand processes of 10 ms under record -a: none missed, none mixed up."""

import json
import os
import signal
import subprocess

import lib

COUNT = 1000
HZ = 499


def run_recorded(perfd, folded_path, json_path):
    """Two sessions side by side: stacks from one, processes from the other."""
    with perfd.start_ctl("record", "-a", "-F", str(HZ), "-o", folded_path) as first, \
            perfd.start_ctl("record", "-a", "-F", str(HZ), "-o", json_path) as second:
        perfd.wait_session(samples=True, count=2)
        done = subprocess.run([lib.program("short_lived"), str(COUNT), "4"], check=True,
                              capture_output=True, text=True, timeout=120)
        for recorder in (first, second):
            recorder.send_signal(signal.SIGINT)
        for recorder in (first, second):
            code = recorder.wait(60)
            lib.equal(code, 0, f"exit code of record -a ({recorder.stderr.read()})")
    return json.loads(done.stdout)["pids"]


def each_one_is_counted(mappings=None):
    lib.need_bpf()
    with lib.folder() as place, \
            lib.Perfd("--set", "cpu.frequency_hz=0", mappings=mappings) as perfd:
        folded_path, json_path = os.path.join(place, "x.folded"), os.path.join(place, "x.json")
        pids = run_recorded(perfd, folded_path, json_path)
        with open(json_path) as file:
            report = json.load(file)
        comms = {process["pid"]: process["comm"] for process in report["processes"]}
        missing = [pid for pid in pids if pid not in comms]
        wrong = {pid: comms[pid] for index, pid in enumerate(pids)
                 if pid in comms and comms[pid] != f"w{index:04d}"}
        lib.check(not missing, f"{len(missing)} of {COUNT} processes are not in the list")
        lib.check(not wrong, f"{len(wrong)} have another comm, such as {list(wrong.items())[:5]}")
        lib.equal(report["lost"], 0, "lost samples")
        samples = {process["pid"]: process["samples"] for process in report["processes"]}
        seen = sum(samples[pid] > 0 for pid in pids)
        print(f"{seen} of {COUNT} processes have samples")
        lib.check(seen > 0.98 * COUNT, f"only {seen} of {COUNT} processes have samples")
        stay_in_their_own_function(lib.Folded.load(folded_path))


def stay_in_their_own_function(folded):
    total = named = 0
    for frames, value in folded.stacks:
        if not (len(frames[0]) == 5 and frames[0][0] == "w" and frames[0][1:].isdigit()):
            continue
        spins = {frame for frame in frames if frame.startswith("spin_")}
        own = f"spin_{int(frames[0][1:]) % 8}"
        lib.check(spins <= {own}, f"{frames[0]} has samples in {spins}, expected {own}")
        total += value
        named += value if spins else 0
    print(f"{total / 1e9:.2f} s in the processes, {named / total:.1%} of it in their function")
    lib.check(named > 0.9 * total, f"only {named / total:.1%} of the time is in their functions")
    lib.check(abs(total - COUNT * 0.01e9) < 0.15 * COUNT * 0.01e9,
              f"{total / 1e9:.2f} s in all, expected about {COUNT * 0.01:.0f} s")


def each_one_is_looked_at():
    """Likewise where nobody is told of their mappings."""
    each_one_is_counted("sampled")


lib.main(each_one_is_counted, each_one_is_looked_at)
