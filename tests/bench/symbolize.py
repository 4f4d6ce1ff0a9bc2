#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of 10,000 random addresses of programs with more than 100 MB of debug
information: time and memory of perfctl symbolize from a standing start, in turns with
every llvm-symbolizer that is there (llvm-symbolizer-22, ...), the tool of the Rust
crate addr2line (ADDR2LINE_RS says where `cargo install addr2line --features bin` put
it), and eu-addr2line, which gets fewer addresses, for it takes minutes. Each is one
process with one thread, but perfctl, which has a worker; files are in the page cache.
Then what look-ups cost that were asked before, inside the worker (bench_names), through
its socket, and for all tools as the difference between asking once and several times.

The programs are one C++ source full of templates, compiled once by DWARF version, its
object copied with other names. SYMBOLIZE_FILE=PATH is measured too (a kernel's debug
package has vmlinux), SYMBOLIZE_ROUNDS says how many rounds there are (5)."""

import glob
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import time

import result
from result import lib

COPIES, ADDRESSES, EU_ADDRESSES, AGAIN = 60, 10_000, 100, 4
ROUNDS = int(os.environ.get("SYMBOLIZE_ROUNDS", "5"))
ALONE = bool(os.environ.get("BENCH_AS_IS"))  # perfctl only, and little of it: make bench
WARM_ROUNDS = 10 if ALONE else 100  # of bench_names
VERSIONS = (5,) if ALONE else (5, 4)
SOURCE = os.path.join(lib.ROOT, "tests", "programs", "towers.cc")
NAMES = os.path.join(lib.BUILD, "tests", "bench_names")


def run(command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def build(place, version):
    """The program; main() is in none of the copies."""
    one, two = os.path.join(place, "one"), os.path.join(place, "main.cc")
    path = os.path.join(place, f"dwarf{version}")
    with open(two, "w") as file:
        file.write("int main() { return 0; }\n")
    run(["g++", "-std=gnu++17", "-O2", f"-gdwarf-{version}", "-c", SOURCE, "-o", one + ".o"])
    names = {line.split()[2] for line in run(["nm", one + ".o"]).splitlines()
             if len(line.split()) == 3 and line.split()[1] != "U"}
    objects = []
    for copy in range(COPIES):
        renamed = os.path.join(place, "names")
        with open(renamed, "w") as file:
            file.writelines(f"{name} k{copy}_{name}\n" for name in sorted(names))
        objects.append(os.path.join(place, f"{copy}.o"))
        run(["objcopy", f"--redefine-syms={renamed}", one + ".o", objects[-1]])
    run(["g++", two, *objects, "-o", path])
    for item in objects:
        os.unlink(item)
    return path


def sections(path):
    return {words[0]: (int(words[2]), int(words[1])) for words in
            (line.split() for line in run(["size", "-A", "-d", path]).splitlines())
            if len(words) == 3 and words[1].isdigit()}


def random_addresses(path):
    start, size = sections(path)[".text"]
    chance = random.Random(1)
    return [f"{start + chance.randrange(size):#x}\n" for _ in range(ADDRESSES)]


def tools(path):
    """Of each tool its command and how its version is told."""
    found = {"perfctl symbolize": ([lib.PERFCTL, "symbolize", "--no-demangle", path],
                                   [lib.PERFCTL, "--version"])}
    if ALONE:
        return found
    names = {os.path.basename(name) for folder in os.get_exec_path()
             for name in glob.glob(os.path.join(folder, "llvm-symbolizer-[0-9]*"))}
    for name in sorted(names, key=lambda name: int(name.rsplit("-", 1)[1])) or \
            ["llvm-symbolizer"]:
        if shutil.which(name):
            found[name.replace("r-", "r ")] = ([name, "--no-demangle", f"--obj={path}"],
                                               [name, "--version"])
    rust = shutil.which(os.environ.get("ADDR2LINE_RS", "addr2line-rs"))
    if rust:
        found["addr2line (Rust)"] = ([rust, "-fi", "-e", path], [rust, "--version"])
    if shutil.which("eu-addr2line"):
        found["eu-addr2line"] = (["eu-addr2line", "-fi", "-e", path],
                                 ["eu-addr2line", "--version"])
    return found


def version_of(command):
    text = subprocess.run(command, capture_output=True, text=True).stdout
    numbered = [line.strip() for line in text.splitlines() if re.search(r"\d+\.\d+", line)]
    return numbered[0] if numbered else text.strip()


def measure_child(command, addresses, writer):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    begun = time.monotonic()
    subprocess.run(command, input=addresses, stdout=subprocess.DEVNULL, text=True)
    wall = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(writer, json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime,
                                 "kib": used.ru_maxrss}).encode())


def measure(command, addresses):
    """Seconds, and the memory of the largest process, of one run in a child of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            measure_child(command, addresses, writer)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    lib.check(text, f"{command[0]} could not be run")
    return json.loads(text)


def asked(name, addresses):
    return "".join(addresses[:EU_ADDRESSES] if name.startswith("eu-") else addresses)


def median(runs, key):
    return statistics.median(run_[key] for run_ in runs)


def in_turns(commands, addresses, rounds):
    """All tools one after the other, and again; the first time is for the page cache."""
    figures = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, (command, _) in commands.items():
            if name.startswith("eu-") and number > 1:
                continue
            got = measure(command, asked(name, addresses))
            if number:
                figures[name].append(got)
    return figures


def warm_of_tools(commands, addresses, once):
    """Look-ups a second of CPU time when each address is asked for AGAIN more times."""
    rates = {}
    for name, (command, _) in commands.items():
        if name.startswith("eu-"):
            continue
        more = min(measure(command, "".join(addresses) * (1 + AGAIN))["cpu"] for _ in range(2))
        gain = more - min(run_["cpu"] for run_ in once[name])
        rates[name] = AGAIN * len(addresses) / max(gain, 1e-3)
    return rates


def warm_inside(path, addresses):
    runs = [json.loads(run([NAMES, path, str(WARM_ROUNDS), "socket"], input="".join(addresses)))
            for _ in range(ROUNDS)]
    asked_for = len(addresses)

    def rates(key, rounds):
        each = sorted(rounds * asked_for / got[key]["cpu"] for got in runs)
        return {"median": statistics.median(each), "best": each[-1]}

    return {"worker": rates("warm", WARM_ROUNDS), "socket": rates("socket", WARM_ROUNDS),
            "others": rates("others", runs[0]["others_rounds"]),
            "cold_cpu": statistics.median(got["cold"]["cpu"] for got in runs), "runs": runs}


def show(cold, tools_warm, inside):
    rows = []
    for name, runs in cold.items():
        scale = ADDRESSES / EU_ADDRESSES if name.startswith("eu-") else 1
        rate = tools_warm.get(name)
        rows.append([name + (f" ({EU_ADDRESSES} addresses, times {scale:.0f})" if scale > 1 else ""),
                     f"{median(runs, 'cpu') * scale:.3f}", f"{median(runs, 'wall') * scale:.3f}",
                     f"{max(run_['kib'] for run_ in runs) / 1024:.0f}",
                     f"{rate / 1e6:.2f}" if rate else ""])
    result.table(["", "CPU s", "wall s", "memory MB", "warm M/s"], rows)
    for key, text in (("worker", "asked before, in the worker"),
                      ("others", "new ones of units that are read, in the worker"),
                      ("socket", "asked before, through the socket, both processes")):
        print(f"  look-ups a second of CPU time, {text}: {inside[key]['median'] / 1e6:.2f} million "
              f"(best {inside[key]['best'] / 1e6:.2f})")


def ratios(cold):
    """The fastest and the smallest of the others, as multiples of perfctl."""
    ours = cold["perfctl symbolize"]
    others = {name: runs for name, runs in cold.items()
              if name != "perfctl symbolize" and not name.startswith("eu-")}
    if not others:
        return {}
    return {key: min(median(runs, key) for runs in others.values()) / median(ours, key)
            for key in ("cpu", "wall", "kib")}


def compare(label, path):
    debug = sum(size for name, (_, size) in sections(path).items() if name.startswith(".debug"))
    addresses = random_addresses(path)
    commands = tools(path)
    print(f"{label}: {ADDRESSES} addresses, {debug / 1e6:.0f} MB of debug information, "
          f"medians of {ROUNDS}:", flush=True)
    cold = in_turns(commands, addresses, ROUNDS)
    tools_warm = warm_of_tools(commands, addresses, cold)
    inside = warm_inside(path, addresses)
    times = ratios(cold)
    show(cold, tools_warm, inside)
    for key, what in (("cpu", "CPU time"), ("wall", "wall time"), ("kib", "memory")):
        if times:
            print(f"  the best of the others takes {times[key]:.1f} times perfctl's {what}")
    return {"debug_bytes": debug, "cold": cold, "times_ours": times, "warm_tools": tools_warm,
            "warm": inside}


def main():
    for tool in ("g++", "nm", "objcopy", "size"):
        if not shutil.which(tool):
            raise lib.Skip(f"{tool} is not there")
    figures = {}
    with lib.folder() as place:
        for version in VERSIONS:
            path = build(place, version)
            figures[f"dwarf{version}"] = compare(f"C++ templates, DWARF {version}", path)
            versions = {name: version_of(how) for name, (_, how) in tools(path).items()}
            os.unlink(path)
    if os.environ.get("SYMBOLIZE_FILE"):
        figures["file"] = compare(os.environ["SYMBOLIZE_FILE"], os.environ["SYMBOLIZE_FILE"])
    result.save("symbolize", {"versions": versions, "addresses": ADDRESSES, "rounds": ROUNDS,
                              "eu_addresses": EU_ADDRESSES, "programs": figures})


if __name__ == "__main__":
    result.run(main)
