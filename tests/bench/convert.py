#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Converting beside others, in one run: folded to SVG, and perf's text to folded.

The inputs come from a seeded generator: 285,000 different stacks in 120 MB of folded
lines, walks over a call graph of 20,000 functions, in the order of chance; and the same
kind of stacks as `perf script` prints them. Each program runs on one thread, in turns, best
of three. Compared is the CPU time (user and system), which others on the machine disturb
least; memory is the peak of the resident set, as wait4() has it.

inferno (crate, installed by cargo into build/clients) and flamegraph.pl (if it is on the
PATH) are compared where they can be had. A 1 GB file goes through a pipe as well. Writes
build/bench/convert.json.

    convert.py [--generate folded|perf OUT [STACKS]]
"""

import os
import random
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import result  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
PERFCTL = os.path.join(BUILD, "perfctl")
PEERS = os.path.join(BUILD, "clients")
FOLDER = os.path.join(BUILD, "bench")
STACKS = 285_000
FUNCTIONS = 20_000
RUNS = 3
WORDS = ("read write parse find insert remove hash table list tree node buffer stream socket "
         "lock queue event loop timer file page cache index key value row column query plan "
         "scan join sort merge encode decode compress copy alloc free init reset update commit "
         "check validate format print log error state context worker thread task pool").split()


class Graph:
    """Who calls whom, the same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = [self.name(i) for i in range(FUNCTIONS)]
        self.callees = [[self.random.randrange(FUNCTIONS) for _ in range(1 + i % 7)]
                        for i in range(FUNCTIONS)]

    def name(self, number):
        pick = self.random.choice
        name = f"{pick(WORDS)}_{pick(WORDS)}_{number}"
        if number % 3 == 0:
            name = f"{pick(WORDS)}::{pick(WORDS).capitalize()}::{name}"
        if number % 11 == 0:
            name = f"std::vector<{pick(WORDS)}>::{name}"
        return name

    def stacks(self, count):
        """Lists of function numbers, root first, each once."""
        seen = set()
        roots = self.random.sample(range(FUNCTIONS), 12)
        while len(seen) < count:
            at = self.random.choice(roots)
            stack = [at]
            for _ in range(self.random.randrange(3, 30)):
                at = self.random.choice(self.callees[at])
                stack.append(at)
            stack = tuple(stack)
            if stack not in seen:
                seen.add(stack)
                yield stack


def write_folded(path, count):
    graph = Graph(1)
    with open(path, "w", encoding="utf-8") as out:
        for stack in graph.stacks(count):
            frames = ";".join(graph.names[number] for number in stack)
            out.write(f"server;{frames} {graph.random.randrange(1, 1000)}\n")


def write_perf(path, count):
    graph = Graph(2)
    with open(path, "w", encoding="utf-8") as out:
        for number, stack in enumerate(graph.stacks(count)):
            out.write(f"server 1234/{1234 + number % 8} [000] {100 + number * 1e-4:.6f}: "
                      f"{graph.random.randrange(1, 3) * 1010101} cpu-clock:\n")
            for function in reversed(stack):
                out.write(f"\t{0x400000 + function * 64:16x} {graph.names[function]}+0x"
                          f"{function % 60:x} (/usr/bin/server)\n")
            out.write("\n")


def made(name, write, count):
    path = os.path.join(FOLDER, f"{name}-{count}.txt")
    if not os.path.exists(path):
        write(path + ".part", count)
        os.rename(path + ".part", path)
    return path


def run(command, path=None, feed=None):
    """(seconds, CPU seconds, MB at the peak) of one run, its output thrown away."""
    with open(os.devnull, "wb") as nowhere, open(path or os.devnull, "rb") as source:
        started = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.PIPE if feed else source,
                                   stdout=nowhere, stderr=subprocess.DEVNULL)
        if feed:
            feed(process.stdin)
            process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed: {process.returncode}")
    return (time.monotonic() - started, usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024)


def inferno(program):
    path = os.path.join(PEERS, "inferno", "bin", program)
    if not os.path.exists(path) and shutil.which("cargo"):
        print("installing inferno by cargo ...", flush=True)
        subprocess.run(["cargo", "install", "--quiet", "inferno", "--root",
                        os.path.join(PEERS, "inferno")], check=False)
    return path if os.path.exists(path) else None


def compare(what, path, commands):
    """A table of the commands over one file; the first is ours."""
    size = os.path.getsize(path) / 1e6
    print(f"\n{what} ({size:.0f} MB)")
    runs = {name: [] for name, command in commands if command}
    for _ in range(RUNS):
        for name, command in commands:
            if command:
                runs[name].append(run(command, path))
    rows, ours = [], None
    for name, command in commands:
        if not command:
            print(f"  {name}: not to be had here")
            continue
        wall, cpu, memory = (min(run[i] for run in runs[name]) for i in range(3))
        ours = ours or (cpu, memory)
        rows.append([name, f"{wall:.2f}", f"{cpu:.2f}", f"{size / cpu:.0f}", f"{memory:.0f}",
                     f"{cpu / ours[0]:.2f}", f"{memory / ours[1]:.2f}"])
    result.table(["", "s", "CPU s", "MB/CPU s", "MB", "x our CPU", "x our MB"], rows)
    return {"megabytes": size, "rows": rows}


def stream(path, target=1_000_000_000):
    """The file again and again through a pipe, until it was 1 GB."""
    with open(path, "rb") as source:
        block = source.read()
    times = -(-target // len(block))

    def feed(pipe):
        for _ in range(times):
            pipe.write(block)

    wall, cpu, memory = run([PERFCTL, "flamegraph", "-", "-o", "-"], feed=feed)
    print(f"\n{times * len(block) / 1e9:.2f} GB of folded lines through a pipe: {wall:.1f} s, "
          f"{cpu:.1f} CPU s, {memory:.0f} MB at the peak")
    return {"bytes": times * len(block), "seconds": wall, "cpu_seconds": cpu, "megabytes": memory}


def main():
    os.makedirs(FOLDER, exist_ok=True)
    if len(sys.argv) > 3 and sys.argv[1] == "--generate":
        write = {"folded": write_folded, "perf": write_perf}[sys.argv[2]]
        write(sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else STACKS)
        return
    folded = made("folded", write_folded, STACKS)
    perf = made("perf", write_perf, STACKS // 5)
    flamegraph, collapse = inferno("inferno-flamegraph"), inferno("inferno-collapse-perf")
    perl = shutil.which("flamegraph.pl")
    svg = compare("folded to SVG", folded, [
        ("perfctl", [PERFCTL, "flamegraph", "-", "-o", "-"]),
        ("inferno", flamegraph and [flamegraph]),
        ("flamegraph.pl", perl and [perl])])
    text = compare("perf script to folded", perf, [
        ("perfctl", [PERFCTL, "convert", "-", "-o", "-"]),
        ("inferno", collapse and [collapse, "--nthreads", "1"])])
    result.save("convert", {"folded_to_svg": svg, "perf_to_folded": text,
                            "stream": stream(folded)})


if __name__ == "__main__":
    main()
