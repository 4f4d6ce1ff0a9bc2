# SPDX-License-Identifier: GPL-2.0-or-later
"""The scripts beside this one, with small sizes: each prints its own table and writes its own
JSON; some of its figures become rows here."""

import glob
import json
import os
import subprocess
import sys

import measure
from measure import lib

HERE = os.path.dirname(os.path.abspath(__file__))


def script(run, name, **env):
    """What a script wrote; Skip if it skipped."""
    path = os.path.join(lib.BUILD, "bench", name + ".json")
    before = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
    done = subprocess.run([sys.executable, os.path.join(HERE, name + ".py")], text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, cwd=lib.ROOT,
                          timeout=max(run.left() + 60, 60),
                          env={**os.environ, "BENCH_AS_IS": "1",
                               **{key: str(value) for key, value in env.items()}})
    for line in done.stdout.splitlines():
        run.tell(line)
    lib.equal(done.returncode, 0, f"exit code of {name}.py ({done.stderr.strip()[-300:]})")
    if done.stdout.startswith("skip "):
        raise lib.Skip(done.stdout.partition(": ")[2].strip())
    lib.check(os.path.exists(path) and os.stat(path).st_mtime_ns > before,
              f"{name}.py wrote no results")
    with open(path) as file:
        return json.load(file)


def history(run):
    found = script(run, "history", HISTORY_SECONDS=run["history"])
    run.put("disk", found["bytes"] / found["seconds"])
    run.put("put", found["put_cpu_ms"])
    run.put("tidy", found["tidy_cpu_ms"])
    run.put("draw_all", found["all_s"] * 1e3)


def convert(run):
    found = script(run, "convert", RUNS=run["runs"], CONVERT_STACKS=run["stacks"])
    for figure, key in (("folded_to_svg", "folded_to_svg"), ("perf_to_folded", "perf_to_folded")):
        runs = found[key]["programs"]["perfctl"]["runs"]
        run.put(figure, *(found[key]["megabytes"] / cpu for _, cpu, _ in runs))


def unwind_build(run):
    """Not the script, which has the largest files there are: two that every machine has."""
    for figure, pattern in (("libc", "/usr/lib/*/libc.so.6"), ("libcrypto",
                                                               "/usr/lib/*/libcrypto.so.3")):
        paths = glob.glob(pattern)
        if not paths:
            run.skip(figure, f"no {pattern}")
        for _ in range(run["rounds"] if paths else 0):
            done = subprocess.run([measure.helper("unwind_build"), os.path.realpath(paths[0])],
                                  capture_output=True, text=True, timeout=120)
            lib.equal(done.returncode, 0, f"exit code of unwind_build ({done.stderr[-200:]})")
            found = json.loads(done.stdout)
            run.put(figure, found["build_ms"] * 1e6 / found["rows"])
            run.put("bytes", found["bytes_a_row"])


def symbolize(run):
    found = script(run, "symbolize", SYMBOLIZE_ROUNDS=run["rounds"])["programs"]["dwarf5"]
    run.put("cold", *(one["cpu"] * 1e3 for one in found["cold"]["perfctl symbolize"]))
    run.put("warm", *(10 * 10000 / one["warm"]["cpu"] for one in found["warm"]["runs"]))


def picture(run):
    figures = script(run, "picture")["figures"]
    run.put("open", *figures["open, complete"])
    run.put("zoom", *figures["first zoom, frame drawn"])
    run.put("search", *figures["first search, frame drawn"])


def heap(run):
    found = script(run, "heap", ROUNDS=run["rounds"], HEAP_ONLY="malloc loop")
    names = {"bare": "bare", "perfd, nobody looks": "library", "perfd, sampling 512 KiB":
             "library_sampling", "heaptrack": "heaptrack", "jemalloc, prof 512 KiB": "jemalloc_prof",
             "bcc memleak": "memleak"}
    for row in found["rows"]:
        if row["program"] == "malloc loop" and row["variant"] in names:
            run.put(names[row["variant"]], *row["values"])
    for figure in run.bench.figures:
        if figure.name not in run.values:
            run.skip(figure.name, found["without_memleak"] if figure.name == "memleak" else
                     "not installed (apt install heaptrack libjemalloc2)")
