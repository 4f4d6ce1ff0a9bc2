#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What memory's three tiers cost the programs they look at, in turns, medians of ROUNDS (5):

	1	page faults and mappings of the whole machine: a storm of each, with and without the
		views, in all and from the fourth second on, by perfd's own count
	2	probes on the allocator of a malloc loop: nanoseconds a pair, from the fourth second on
	3	libperfd-heap.so, sampling: the same loop
"""

import os
import resource
import statistics
import subprocess
import time

from result import lib, run, save, table

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = 12  # of a loop: the first three are not counted
LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
OFF = ("--set", "cpu.frequency_hz=0", "--set", "memory.faults_hz=0", "--set", "memory.mmap_hz=0",
       "--set", "memory.rss_interval=0s")
TIER_1 = ("--set", "cpu.frequency_hz=0")


def cpu_time(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, timeout=300, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def tier_1():
    """In turns: under a perfd that looks at nothing, and under one that does."""
    storms = {"page-fault storm": [lib.program("faults"), "1500", "0"],
              "mmap and munmap storm": [lib.program("mappings"), "100000"]}
    times = {}
    for _ in range(ROUNDS):
        for how, options in (("off", OFF), ("on", TIER_1)):
            with lib.Perfd(*options):
                for name, command in storms.items():
                    times.setdefault((name, how), []).append(cpu_time(command))
    return {name: (statistics.median(times[name, "off"]), statistics.median(times[name, "on"]),
                   min(times[name, "off"]), min(times[name, "on"])) for name in storms}


def counted():
    """What tier 1 took during a storm on one CPU, by perfd's own count (the programs' run time and
    what the kernel adds around it), in percent of a CPU, and how much of the time it saw: means
    from the fourth second on."""
    found = {}
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        for events, command in ((("faults",), [lib.program("faults"), "100000", "0"]),
                                (("mmap", "munmap"), [lib.program("mappings"), "100000000"])):
            with lib.started(*command, stdout=subprocess.DEVNULL):
                time.sleep(3)
                looks = []
                until = time.monotonic() + 16
                while time.monotonic() < until:
                    time.sleep(0.5)
                    looks.append({stream["event"]: stream
                                  for stream in perfd.ctl_json("rates")["streams"]
                                  if not stream["session"]})
            for event in events:
                found[event] = [statistics.mean(look[event][key] for look in looks)
                                for key in ("cost_percent", "observed_percent")]
                found[event][0] *= os.cpu_count()
    return found


def pairs(env=None, perfd=None):
    """Median nanoseconds a pair from the fourth second on."""
    with lib.started(lib.program("heap_churn"), "rate", SECONDS, stdout=subprocess.PIPE, text=True,
                     env={**os.environ, **(env or {})}) as process:
        if perfd:
            time.sleep(0.2)
            lib.succeeds(perfd.ctl("attach", "-e", "heap", "--pid", process.pid, "--background"))
        out, _ = process.communicate(timeout=120)
        if perfd:
            status = perfd.ctl_json("status")["memory"]["heap"]
            perfd.ctl("detach", "--pid", process.pid, "-o", "-", "-f", "folded")
            print(f"  tier 2: {status}")
    lines = [float(line) for line in out.split()]
    return statistics.mean(lines[3:]), min(lines[3:])


def main():
    lib.need_bpf()
    rows, data = [], {}
    for name, (off, on, best_off, best_on) in tier_1().items():
        rows.append([name, "tier 1", f"{off:.3f} s", f"{on:.3f} s", f"{(on / off - 1) * 100:+.2f} %",
                     f"{(best_on / best_off - 1) * 100:+.2f} %"])
        data[name] = {"off_s": off, "on_s": on, "best_off_s": best_off, "best_on_s": best_on}
    for event, (percent, observed) in counted().items():
        rows.append([f"{event}, a storm on one CPU", "tier 1", "", f"{percent:.3f} % of it",
                     f"sees {observed:.1f} %", ""])
        data[f"{event}, by its own count"] = {"percent_of_a_cpu": percent,
                                              "observed_percent": observed}
    loops = {}
    for _ in range(ROUNDS):
        loops.setdefault("bare", []).append(pairs())
        loops.setdefault("tier 3", []).append(pairs({"LD_PRELOAD": LIBRARY, "PERFD_HEAP_MODE": "2"}))
        with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
            loops.setdefault("tier 2", []).append(pairs(None, perfd))
    bare, bare_best = (statistics.median(run[i] for run in loops["bare"]) for i in (0, 1))
    for how in ("tier 2", "tier 3"):
        mean, best = (statistics.median(run[i] for run in loops[how]) for i in (0, 1))
        rows.append(["malloc loop", how, f"{bare:.2f} ns", f"{mean:.2f} ns",
                     f"{(mean / bare - 1) * 100:+.2f} %", f"{best - bare_best:+.2f} ns"])
        data["malloc loop, " + how] = {"bare_ns": bare, "with_ns": mean, "best_bare_ns": bare_best,
                                       "best_with_ns": best}
    table(["program", "with", "without", "with", "more", "best of each"], rows)
    save("memory", {"rounds": ROUNDS, "figures": data})


if __name__ == "__main__":
    run(main)
