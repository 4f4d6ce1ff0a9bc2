#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Includes point down the layers, are written from the root, and go in no circle.

    0  daemon/heap/: the preloadable library, which sees nothing but itself
    0  daemon/base/, and what kernel and user side share: bpf/abi.h, jvm.h, pid_mark.h, unwind.h
    1  symbolizer/
    2  flamegraph/
    3  daemon/

flamegraph/ is pure: it sees layer 0 only, so neither it nor symbolizer/ may know
the other. bpf/ sees its own headers. tests/ may see everything."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
FOLDERS = ("bpf", "daemon", "symbolizer", "flamegraph", "tests")

SHARED = ("bpf/abi.h", "bpf/jvm.h", "bpf/pid_mark.h", "bpf/unwind.h")

BASE, HEAP, BPF, SYMBOLIZER, FLAMEGRAPH, DAEMON, TESTS = (
    "base", "heap", "bpf", "symbolizer", "flamegraph", "daemon", "tests")
MAY_SEE = {
    BASE: {BASE},
    HEAP: {HEAP},
    BPF: {BASE, BPF},
    SYMBOLIZER: {BASE, SYMBOLIZER},
    FLAMEGRAPH: {BASE, FLAMEGRAPH},
    DAEMON: {BASE, HEAP, SYMBOLIZER, FLAMEGRAPH, DAEMON},
    TESTS: {BASE, HEAP, BPF, SYMBOLIZER, FLAMEGRAPH, DAEMON, TESTS},
}


# The walk runs as host code too.
HOST_CODE = ("daemon/host_walk.c",)


def layer(name):
    if name in SHARED or name.startswith("daemon/base/"):
        return BASE
    if name.startswith("daemon/heap/"):
        return HEAP
    return name.split("/")[0]


def sources():
    for folder in FOLDERS:
        for path, _, files in os.walk(os.path.join(ROOT, folder)):
            for file in files:
                if file.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(path, file), ROOT)


def read_graph():
    """{file: [files it includes]} and complaints about what is not in the tree."""
    graph, bad = {}, []
    for name in sources():
        with open(os.path.join(ROOT, name), errors="replace") as file:
            included = INCLUDE.findall(file.read())
        graph[name] = []
        for target in included:
            if target.endswith((".skel.h", ".inc", ".embed.h")) and "/" not in target:
                continue  # made by the build
            if os.path.exists(os.path.join(ROOT, target)):
                graph[name].append(target)
            else:
                bad.append(f'{name}: "{target}" is no path from the root of the tree')
    return graph, bad


def upward(graph):
    for name, targets in graph.items():
        for target in targets:
            if name in HOST_CODE and layer(target) == BPF:
                continue
            if layer(target) not in MAY_SEE.get(layer(name), set()):
                yield f"{name}: includes {target}: {layer(name)} may not see {layer(target)}"


def circles(graph):
    """Depth-first; an edge to a file still on the path closes a circle."""
    done, path, found = set(), [], []

    def visit(name):
        if name in path:
            found.append("circle: " + " -> ".join(path[path.index(name):] + [name]))
            return
        if name in done:
            return
        path.append(name)
        for target in graph.get(name, []):
            visit(target)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)
    return found


def main():
    graph, bad = read_graph()
    bad += sorted(upward(graph)) + circles(graph)
    print("\n".join(bad), end="\n" if bad else "", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
