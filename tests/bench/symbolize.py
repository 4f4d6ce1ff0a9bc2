#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of 10,000 random addresses of a program with more than 100 MB of debug
information, from a standing start: time and memory, beside llvm-symbolizer and the
tool of the Rust crate addr2line where they are there (ADDR2LINE_RS says where `cargo
install addr2line --features bin` put it), and with SYMBOLIZE_EU=1 eu-addr2line, which takes minutes. The
program is one C++ source, compiled once, its object copied with other names."""

import os
import random
import re
import resource
import shutil
import subprocess
import time

import result
from result import lib

COPIES, ADDRESSES, ROUNDS = 60, 10_000, 3
SCENARIO = os.path.join(lib.ROOT, "tests", "scenario", "symbolize.py")


def source():
    with open(SCENARIO) as file:
        return re.search(r'CXX_SOURCE = r"""\n(.*?)"""', file.read(), re.S)[1]


def run(command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def build(place):
    """The program; main() is in none of the copies."""
    one, two, path = (os.path.join(place, name) for name in ("one.cc", "main.cc", "program"))
    with open(one, "w") as file:
        file.write(source())
    with open(two, "w") as file:
        file.write("int main() { return 0; }\n")
    run(["g++", "-std=gnu++17", "-O2", "-g", "-c", one, "-o", one + ".o"])
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
    return path


def section(path, name):
    for line in run(["readelf", "-SW", path]).splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) > 5 and words[1] == name:
            return int(words[3], 16), int(words[5], 16)
    raise lib.Skip(f"no {name}")


def debug_size(path):
    return sum(int(line.split()[1]) for line in run(["size", "-A", path]).splitlines()
               if line.startswith(".debug"))


def measure_child(command, addresses, writer):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    subprocess.run(command, input=addresses, stdout=subprocess.DEVNULL, text=True)
    wall = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    os.write(writer, f"{wall} {cpu} {used.ru_maxrss}".encode())


def measure(command, addresses):
    """Wall and CPU seconds of the best round, and the largest memory of any process."""
    best = None
    for _ in range(ROUNDS):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                measure_child(command, addresses, writer)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            got = [float(word) for word in pipe.read().split()]
        os.waitpid(child, 0)
        lib.check(len(got) == 3, f"{command[0]} could not be run")
        best = got if best is None or got[1] < best[1] else best
    return best


def main():
    for tool in ("g++", "nm", "objcopy", "readelf", "size"):
        if not shutil.which(tool):
            raise lib.Skip(f"{tool} is not there")
    with lib.folder() as place:
        path = build(place)
        start, size = section(path, ".text")
        chance = random.Random(1)
        addresses = "".join(f"{start + chance.randrange(size):#x}\n" for _ in range(ADDRESSES))
        tools = {"perfctl symbolize": [lib.PERFCTL, "symbolize", "--no-demangle", path]}
        if shutil.which("llvm-symbolizer"):
            tools["llvm-symbolizer"] = ["llvm-symbolizer", "--no-demangle", f"--obj={path}"]
        rust = shutil.which(os.environ.get("ADDR2LINE_RS", "addr2line-rs"))
        if rust:
            tools["addr2line (Rust)"] = [rust, "-fi", "-e", path]
        if os.environ.get("SYMBOLIZE_EU"):
            tools["eu-addr2line"] = ["eu-addr2line", "-fi", "-e", path]
        print(f"{ADDRESSES} addresses, {debug_size(path) / 1e6:.0f} MB of debug information, "
              f"best of {ROUNDS}:", flush=True)
        figures = {name: measure(command, addresses) for name, command in tools.items()}
    result.table(["", "wall s", "CPU s", "memory MB"],
                 [[name, f"{wall:.2f}", f"{cpu:.2f}", f"{memory / 1024:.0f}"]
                  for name, (wall, cpu, memory) in figures.items()])
    result.save("symbolize", {"seconds": {name: figure[0] for name, figure in figures.items()},
                              "cpu_seconds": {name: figure[1] for name, figure in figures.items()},
                              "memory_kib": {name: figure[2] for name, figure in figures.items()}})


if __name__ == "__main__":
    result.run(main)
