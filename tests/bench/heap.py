#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What libperfd-heap.so costs the programs it is in: first what decides whether it keeps to what
is promised (heap_turns.py), PAIRS of each program, 60 a round; then beside heaptrack, jemalloc's
own profiler and bcc's memleak: CPU time (user and system), in turns, medians of ROUNDS (5)."""

import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import heap_turns
import measure
from result import lib, run, save, table

ROUNDS = int(os.environ.get("ROUNDS", "5"))
TURNS = int(os.environ.get("PAIRS", str(60 * ROUNDS)))
ONLY = os.environ.get("HEAP_ONLY", "")  # of the programs, by name
LIBRARY = heap_turns.LIBRARY
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
PROFILE = "prof:true,prof_active:true,lg_prof_sample:19,prof_prefix:/dev/null"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PAIRS, REPLACED = 5_000_000, 1_000_000


def cpu_time(command, env, cwd):
    """Of a command and its children, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **env}, cwd=cwd, check=True, timeout=600, **QUIET)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def redis_cpu_time(env, place, server):
    """Of the server, while a benchmark asks it a fixed number of things."""
    path = os.path.join(place, "bench.sock")
    with lib.started(server, "--port", 0, "--unixsocket", path, "--save", "", "--dir", place,
                     env={**os.environ, **env}, **QUIET) as process:
        lib.wait_for(lambda: lib.redis_answers(path), "redis to answer")
        subprocess.run(["redis-benchmark", "-s", path, "-n", "20000", "-c", "20", "-q", "-t",
                        "set,get,lpush,sadd,hset", "-d", "200", "-r", "10000"], check=True,
                       timeout=300, **QUIET)
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def workloads(place):
    churn = lib.program("heap_churn")
    yield "malloc loop", [churn, "loop", str(PAIRS)], PAIRS
    yield "string churn", [churn, "strings", str(REPLACED)], REPLACED
    yield "gcc -O2, two files", ["sh", "-c", "for f in strbuf hashmap; do "
                                 f"{heap_turns.compiler()} -O2 -I. -D_GNU_SOURCE "
                                 f"-c daemon/base/$f.c -o {place}/$f.o; done"], None
    yield "python3", [sys.executable, "-c", "import json\nfor _ in range(8): json.loads(json.dumps("
                      "{str(i): [i] * 5 for i in range(8000)}))"], None


def variants(place):
    yield "bare", [], {}
    yield "perfd, nobody looks", [], {"LD_PRELOAD": LIBRARY}
    yield "perfd, sampling 512 KiB", [], {"LD_PRELOAD": LIBRARY, "PERFD_HEAP_MODE": "2"}
    if shutil.which("heaptrack"):
        yield "heaptrack", ["heaptrack", "-o", os.path.join(place, "heaptrack")], {}
    if os.path.exists(JEMALLOC):
        yield "jemalloc", [], {"LD_PRELOAD": JEMALLOC}
        yield "jemalloc, prof 512 KiB", [], {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": PROFILE}


# What bcc's memleak is called, and what it says first: that of libbpf-tools (Debian 13) when its
# probes are in, that of bpfcc-tools before it is compiled, for which it then needs the kernel's headers.
MEMLEAKS = {"memleak-libbpf": ("Tracing outstanding", 1), "memleak-bpfcc": ("Attaching to pid", 15)}


def memleak_command():
    """(command, what it says first, how many seconds from then on), or None. MEMLEAK: the one of
    libbpf-tools, where it is not in PATH."""
    chosen = shlex.split(os.environ.get("MEMLEAK", ""))
    if chosen:
        return chosen, *MEMLEAKS["memleak-libbpf"]
    for name, how in MEMLEAKS.items():
        for found in filter(None, map(shutil.which, (name, f"/usr/sbin/{name}"))):
            return [found], *how
    return None


def memleak(place):
    """(ns a pair under bcc's memleak, None), or (None, why there is none). It is too slow for
    more than a short loop."""
    command = memleak_command()
    if not command:
        return None, "memleak is not installed (libbpf-tools of Debian 13, or bpfcc-tools)"
    tool, first, settle = command
    name = os.path.basename(tool[-1])
    pairs = 200_000
    script = os.path.join(place, "slow.sh")
    with open(script, "w") as file:
        file.write(f"read go; exec {lib.program('heap_churn')} loop {pairs}\n")
    said = os.path.join(place, "memleak.said")
    with open(said, "w") as output, \
            lib.started("sh", script, stdin=subprocess.PIPE) as target, \
            lib.started("stdbuf", "-oL", *tool, "-p", target.pid, "60", stdin=subprocess.DEVNULL,
                        stdout=output, stderr=output) as tracer:
        def ready():
            with open(said) as file:
                return tracer.poll() is not None or first in file.read()
        lib.wait_for(ready, f"{name} to begin", 60)
        until = time.monotonic() + settle
        while tracer.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        if tracer.poll() is not None:
            return None, f"{name} does not work here: {measure.complaint(said)}"
        target.stdin.write(b"go\n")
        target.stdin.flush()
        _, _, usage = os.wait4(target.pid, 0)
        target.returncode = 0
    return (usage.ru_utime + usage.ru_stime) / pairs * 1e9, None


def decide():
    """Rows of heap_turns.py, told one by one, as they take minutes."""
    rows = []
    for one in heap_turns.measured(TURNS, ONLY):
        rows.append(one)
        print(f"  measured: {one['program']}", flush=True)
    table(heap_turns.HEAD, [heap_turns.cells(one) for one in rows])
    return rows


def main():
    decided = decide()
    results = {}
    with tempfile.TemporaryDirectory(prefix="perfd-bench-") as place:
        lines = [(name, variant, [*prefix, *command], env, per)
                 for name, command, per in workloads(place) if ONLY in name
                 for variant, prefix, env in variants(place)
                 if not (variant == "heaptrack" and name.startswith("gcc"))]
        redis = None
        if shutil.which("redis-benchmark") and ONLY in "redis":
            redis = lib.redis_server(place)
        for _ in range(ROUNDS):
            for name, variant, command, env, per in lines:
                seconds = cpu_time(command, env, lib.ROOT)
                results.setdefault((name, variant), []).append(seconds / per * 1e9 if per
                                                                else seconds)
            for variant, prefix, env in variants(place) if redis else ():
                # Debian's redis brings jemalloc along: its own allocator is the bare one.
                if not prefix and "jemalloc" not in variant:
                    results.setdefault(("redis", variant), []).append(
                        redis_cpu_time(env, place, redis))
        slow, without = memleak(place) if ONLY in "malloc loop" else (None, "not asked for")
    if slow:
        results[("malloc loop", "bcc memleak")] = [slow]
    else:
        print(f"no bcc memleak: {without}")
    rows = []
    for (name, variant), values in results.items():
        base = statistics.median(results[(name, "bare")])
        value = statistics.median(values)
        unit = "ns" if name in ("malloc loop", "string churn") else "s"
        rows.append([name, variant, f"{value:.2f} {unit}",
                     f"{value - base:+.2f} {unit}" if unit == "ns" else "",
                     f"{(value / base - 1) * 100:+.1f} %", f"{min(values):.2f}", len(values),
                     values])
    rows.sort(key=lambda row: row[0])
    print()
    table(["program", "with", "CPU time", "more", "", "best", "runs"], [row[:-1] for row in rows])
    keys = ["program", "variant", "median", "more", "percent", "best", "runs", "values"]
    save("heap", {"decided": decided, "rows": [dict(zip(keys, row)) for row in rows],
                  "without_memleak": without})


if __name__ == "__main__":
    run(main)
