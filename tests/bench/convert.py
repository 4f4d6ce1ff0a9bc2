#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Converting beside others, in one run: folded to SVG, and perf's text to folded.

The inputs come from a seeded generator: 285,000 different stacks in 120 MB of folded
lines, walks over a call graph of 20,000 functions, in the order of chance; and the same
kind of stacks as `perf script` prints them. So that nothing is made for this generator only,
the same folded lines sorted, and few and deep stacks many times over, are read as well.

Each program runs on one thread, in turns. Compared are CPU times (user and system), which
others on the machine disturb less than the clock: the median of all runs, the best, and the
median of the ratios of each turn. Memory is the peak of the resident set, as wait4() has it.

inferno (crate, installed by cargo into build/clients) and flamegraph.pl (on the PATH, or
that of Debian's libdevel-nytprof-perl, once) are compared where they can be had. A 1 GB file
goes through a pipe as well. Writes build/bench/convert.json.

    convert.py [--generate folded|perf OUT [STACKS]]
"""

import os
import random
import shutil
import statistics
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
STACKS = int(os.environ.get("CONVERT_STACKS", "285000"))
FUNCTIONS = 20_000
RUNS = int(os.environ.get("RUNS", "7"))
PERL = "/usr/share/perl5/Devel/NYTProf/flamegraph.pl"
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


def write_sorted(path, count):
    """The same lines in the order of their bytes, as `sort` or a collapser leaves them."""
    with open(made("folded", count), "rb") as source, open(path, "wb") as out:
        out.writelines(sorted(source))


def write_deep(path, count):
    """A hundredth of the stacks, up to 200 frames deep, each ten times."""
    graph = Graph(3)
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(10):
            graph.random.seed(4)
            for stack in graph.stacks(count // 100):
                frames = ";".join(graph.names[number] for number in stack * 8)
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


def made(name, count):
    path = os.path.join(FOLDER, f"{name}-{count}.txt")
    if not os.path.exists(path):
        # Elsewhere: a child's peak begins with what its parent has.
        subprocess.run([sys.executable, __file__, "--generate", name, path + ".part",
                        str(count)], check=True)
        os.rename(path + ".part", path)
    return path


WRITERS = {"folded": write_folded, "sorted": write_sorted, "deep": write_deep,
           "perf": write_perf}


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
    if not (os.path.exists(path) or os.environ.get("BENCH_AS_IS")) and shutil.which("cargo"):
        print("installing inferno by cargo ...", flush=True)
        subprocess.run(["cargo", "install", "--quiet", "inferno", "--root",
                        os.path.join(PEERS, "inferno")], check=False)
    return path if os.path.exists(path) else None


def compare(what, path, commands):
    """A table of the commands over one file; the first is ours."""
    size = os.path.getsize(path) / 1e6
    print(f"\n{what} ({size:.0f} MB)", flush=True)
    runs = {name: [] for name, command in commands if command}
    for turn in range(RUNS):
        for name, command in commands:
            if command and not (turn and name == "flamegraph.pl"):  # takes half a minute
                runs[name].append(run(command, path))
    rows, numbers, ours = [], {}, runs[commands[0][0]]
    for name, command in commands:
        if not command:
            print(f"  {name}: not to be had here")
            continue
        wall, cpu, memory = (statistics.median(run[i] for run in runs[name]) for i in range(3))
        best = min(run[1] for run in runs[name])
        ratio, fewer = (statistics.median(theirs[i] / mine[i] for theirs, mine in
                                          zip(runs[name], ours)) for i in (1, 2))
        best_ratio = best / min(run[1] for run in ours)
        rows.append([name, f"{wall:.2f}", f"{cpu:.2f}", f"{best:.2f}", f"{memory:.0f}",
                     f"{ratio:.2f}", f"{best_ratio:.2f}", f"{fewer:.2f}"])
        numbers[name] = {"runs": runs[name], "wall": wall, "cpu": cpu, "best_cpu": best,
                         "megabytes": memory, "cpu_ratio": ratio, "best_cpu_ratio": best_ratio,
                         "memory_ratio": fewer}
    result.table(["", "s", "CPU s", "best", "MB", "x our CPU", "x our best", "x our MB"], rows)
    return {"megabytes": size, "programs": numbers}


def stream(path, target=1_000_000_000 * STACKS // 285_000):
    """The file again and again through a pipe, until it was 1 GB (with as many stacks as by default)."""
    size = os.path.getsize(path)
    times = -(-target // size)

    def feed(pipe):
        for _ in range(times):
            with open(path, "rb") as source:
                shutil.copyfileobj(source, pipe, 1 << 20)

    wall, cpu, memory = run([PERFCTL, "flamegraph", "-", "-o", "-"], feed=feed)
    print(f"\n{times * size / 1e9:.2f} GB of folded lines through a pipe: {wall:.1f} s, "
          f"{cpu:.1f} CPU s, {memory:.0f} MB at the peak")
    return {"bytes": times * size, "seconds": wall, "cpu_seconds": cpu, "megabytes": memory}


def main():
    os.makedirs(FOLDER, exist_ok=True)
    if len(sys.argv) > 3 and sys.argv[1] == "--generate":
        WRITERS[sys.argv[2]](sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else STACKS)
        return
    folded, perf = made("folded", STACKS), made("perf", STACKS)
    flamegraph, collapse = inferno("inferno-flamegraph"), inferno("inferno-collapse-perf")
    perl = shutil.which("flamegraph.pl") or (os.path.exists(PERL) and PERL)
    svg = compare("folded to SVG", folded, [
        ("perfctl", [PERFCTL, "flamegraph", "-", "-o", "-"]),
        ("inferno", flamegraph and [flamegraph]),
        ("flamegraph.pl", perl and ["perl", perl])])
    shapes = {name: compare(what, made(name, STACKS), [
        ("perfctl", [PERFCTL, "flamegraph", "-", "-o", "-"]),
        ("inferno", flamegraph and [flamegraph])])
        for name, what in (("sorted", "sorted folded to SVG"),
                           ("deep", "few deep stacks to SVG"))}
    text = compare("perf script to folded", perf, [
        ("perfctl", [PERFCTL, "convert", "-", "-o", "-"]),
        ("inferno", collapse and [collapse, "--nthreads", "1"])])
    result.save("convert", {"folded_to_svg": svg, **shapes, "perf_to_folded": text,
                            "stream": stream(folded)})


if __name__ == "__main__":
    main()
