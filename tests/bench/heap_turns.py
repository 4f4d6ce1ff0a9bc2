# SPDX-License-Identifier: GPL-2.0-or-later
"""What libperfd-heap.so costs real programs, to a fraction of a percent on a machine that wavers
by ten: hundreds of short turns, without the library and with it, with it and without, each
pair on one CPU. Its sampling is on (512 KiB), as it is while somebody looks; nobody takes the
stacks.

A value is a pair's ln(with / without) of CPU time, user and system, in percent; of loops the
difference in ns. A machine's wavering is slow beside a pair, or hits few, which the trimmed
mean leaves out. Programs are begun anew each turn. Of redis two servers live side by side and
get the same requests in turns; how its memory happens to lie stays with a server, so each
pair of servers is one value, and there are several. Both halves have an environment
of the same size, as that moves the stack.
"""

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile

import measure
import stats
from measure import QUIET, lib
from row import Figure

LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
BOTH = {"PERFD_HEAP_MODE": "2", "PYTHONHASHSEED": "0"}  # python3's tables lie alike in all runs
WITH = {"LD_PRELOAD": LIBRARY, **BOTH}
WITHOUT = {"LD_PRELOAX": LIBRARY, **BOTH}
PAIR_NS, PROGRAM_PERCENT = 3, 1  # promised
LIVES = 12  # pairs of redis servers, each of a part of the pairs
ASKED = ["redis-benchmark", "-n", "1500", "-c", "20", "-q", "-t", "set,get,incr,lpush,lpop,sadd,hset",
         "-d", "200", "-r", "10000"]
PYTHON = ("import json\nfor _ in range(5): json.loads(json.dumps("
          "{str(i): [i] * 5 for i in range(6000)}))")
SOURCE = "symbolizer/probe_points.c"
WORDS = {True: "kept", False: "not kept", None: "cannot be said"}


def compiler():
    """Not by way of ccache."""
    found = shutil.which("gcc", path="/usr/bin:/bin") or measure.tool("gcc", "gcc")
    if "ccache" in os.path.realpath(found):
        raise lib.Skip("gcc is ccache here: put the compiler itself into /usr/bin")
    return found


@contextlib.contextmanager
def on_cpu(number):
    """What is started meanwhile stays on one CPU."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[number % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def order(pairs):
    """(pair, with the library) by turns: without, with, with, without."""
    for pair in range(pairs):
        for preloaded in (False, True) if pair % 2 == 0 else (True, False):
            yield pair, preloaded


def in_turns(pairs, turn):
    """[(ns without, ns with)] of turn(pair, preloaded)."""
    found = [[0, 0] for _ in range(pairs)]
    for pair, preloaded in order(pairs):
        found[pair][preloaded] = turn(pair, preloaded)
    return found


def percents(found):
    return [100 * math.log(after / before) for before, after in found]


def command_turn(command):
    def turn(pair, preloaded):
        with on_cpu(pair):
            env = {**os.environ, **(WITH if preloaded else WITHOUT)}
            return measure.run(command, cwd=lib.ROOT, env=env)[1]
    turn(0, False)  # files are in memory from here on
    turn(0, True)
    return turn


def loop(command, times, pairs):
    found = in_turns(pairs, command_turn(command))
    return [(after - before) / times for before, after in found], found


def program(command, pairs):
    found = in_turns(pairs, command_turn(command))
    return percents(found), found


# --- redis ---------------------------------------------------------------------------------

@contextlib.contextmanager
def server(place, executable, preloaded):
    """(pid, socket)"""
    own = tempfile.mkdtemp(dir=place)
    path = os.path.join(own, "sock")
    with on_cpu(0):
        started = lib.started(executable, "--port", 0, "--unixsocket", path, "--save", "",
                              "--dir", own, env={**os.environ, **(WITH if preloaded else WITHOUT)},
                              **QUIET)
    with started as process:
        lib.wait_for(lambda: lib.redis_answers(path), "redis to answer")
        yield process.pid, path


def life(place, executable, pairs):
    """The pairs of two servers."""
    with contextlib.ExitStack() as stack:
        servers = {}
        # Who is first has other addresses: by turns.
        for preloaded in (pairs % 2 == 0, pairs % 2 == 1):
            servers[preloaded] = stack.enter_context(server(place, executable, preloaded))

        def turn(_pair, preloaded):
            pid, path = servers[preloaded]
            before = measure.cpu_ns(pid)
            with on_cpu(1):
                subprocess.run([*ASKED, "-s", path], check=True, timeout=120, **QUIET)
            return measure.cpu_ns(pid) - before

        in_turns(2, turn)  # warm: tables have grown
        return in_turns(pairs, turn)


def redis(pairs):
    measure.tool("redis-benchmark", "redis-tools")
    means, all_found = [], []
    with tempfile.TemporaryDirectory(prefix="perfd-bench-") as place:
        executable = lib.redis_server(place)
        for number in range(LIVES):
            found = life(place, executable, max(pairs // LIVES, 4) + number % 2)
            means.append(stats.trimmed_interval(percents(found))[0])
            all_found += found
    return means, all_found


# --- all of them -----------------------------------------------------------------------------

def programs(place):
    """(name, limit, unit, measure(pairs))"""
    churn = lib.program("heap_churn")
    yield "malloc loop", PAIR_NS, "ns", lambda pairs: loop([churn, "loop", "2000000"], 2e6, pairs)
    yield ("string churn", PAIR_NS, "ns",
           lambda pairs: loop([churn, "strings", "500000"], 5e5, pairs))
    yield ("gcc", PROGRAM_PERCENT, "%",
           lambda pairs: program([compiler(), "-O2", "-g", "-D_GNU_SOURCE", f"-I{lib.ROOT}", "-c",
                                  SOURCE, "-o", os.path.join(place, "x.o")], pairs))
    yield ("python3", PROGRAM_PERCENT, "%",
           lambda pairs: program([sys.executable, "-c", PYTHON], pairs))
    yield "redis", PROGRAM_PERCENT, "%", redis


def judge(name, limit, unit, values, found):
    """A row, and what it says of its promise."""
    if name == "redis":  # few values, and each a mean already
        mean, low, high = stats.mean_interval(values)
    else:
        mean, low, high = stats.trimmed_interval(values)
    figure = Figure(name, unit, "less", name, limit, sure=True)
    return {"program": name, "unit": unit, "limit": limit, "mean": mean, "low": low, "high": high,
            "verdict": WORDS[figure.met(mean, low, high, 0.95)], "pairs": len(found),
            "without_ns": stats.median([before for before, _ in found]), "values": values}


def measured(pairs, only=""):
    """Rows, one a program; what cannot be measured here says so."""
    with tempfile.TemporaryDirectory(prefix="perfd-bench-") as place:
        for name, limit, unit, take in programs(place):
            if only not in name:
                continue
            try:
                yield judge(name, limit, unit, *take(pairs))
            except lib.Skip as reason:
                yield {"program": name, "skipped": str(reason)}


def cells(one):
    if "skipped" in one:
        return [one["program"], "skipped", one["skipped"], "", "", ""]
    return [one["program"], f"{one['without_ns'] / 1e6:.1f} ms",
            f"{one['mean']:+.2f} {one['unit']}", f"{one['low']:+.2f} … {one['high']:+.2f}",
            f"≤ {one['limit']} {one['unit']}: {one['verdict']}", one["pairs"]]


HEAD = ["program", "a turn", "more with it", "95 %", "promised", "pairs"]
