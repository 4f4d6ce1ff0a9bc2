#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks of code whose return address a return probe has changed, as perfd's own probes do with
allocations that are samples: they are whole all the same."""

import os
import signal
import subprocess

import lib

SETTINGS = ("--set", "memory.heap_interval=4096", "--set", "memory.heap_budget=1000",
            "--set", "memory.patterns=off", "--set", "budget.machine=0")


def inside_of_sampled_calls():
    lib.need_bpf()
    with lib.Perfd(*SETTINGS) as perfd, lib.folder() as place:
        heap, cpu = os.path.join(place, "heap.perfd"), os.path.join(place, "cpu.folded")
        with lib.started(lib.program("clears"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True) as process:
            lib.equal(process.stdout.readline(), "ready\n", "what it says")
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 heap) as client:
                perfd.wait_session(process.pid, samples=True)
                why = perfd.ctl_json("status")["memory"]["heap"]["frees_why_not"]
                if why:
                    client.send_signal(signal.SIGINT)
                    client.wait(30)
                    raise lib.Skip(f"no return probes here: {why}")
                with perfd.start_ctl("attach", "--pid", process.pid, "-F", 997, "-o",
                                     cpu) as sampler:
                    lib.wait_cpu(process.pid, 1.5)
                    sampler.send_signal(signal.SIGINT)
                    lib.equal(sampler.wait(30), 0, f"exit code of attach ({sampler.stderr.read()})")
                client.send_signal(signal.SIGINT)
                lib.equal(client.wait(30), 0, f"exit code of attach -e heap ({client.stderr.read()})")
        inside = whole = 0
        for frames, value in lib.Folded.load(cpu).stacks:
            # While the kernel sets up the probe, the address is nowhere for a moment.
            # calloc() ends with a jump to what clears.
            if frames[-1].endswith("_[k]") or not any(
                    word in frame for frame in frames for word in ("calloc", "memset")):
                continue
            inside += value
            at = frames.index("zeroes") if "zeroes" in frames else 0
            whole += value if at and frames[at - 1] == "main" else 0
            if not at:
                print(";".join(frames), value)
        print(f"{whole / 1e9:.3f} of {inside / 1e9:.3f} s inside of calloc have main;zeroes")
        lib.check(inside > 0.1e9, "it is not inside of calloc")
        lib.check(whole > 0.99 * inside, "stacks inside of sampled calls end there")


lib.main(inside_of_sampled_calls)
