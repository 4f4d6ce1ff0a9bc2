#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make demo`: profiles redis-server under redis-benchmark (or a bundled program where
there is no redis) for ten seconds, writes demo.svg and demo.folded, and says what to
look at. Everything it starts is ended again."""

import contextlib
import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenario"))
import lib  # noqa: E402

SECONDS = 10
HZ = 499
TOP = 10


@contextlib.contextmanager
def target(place):
    """(what, pid) of a real program that is busy."""
    if lib.shutil.which("redis-benchmark"):
        with lib.redis_under_load(place) as pid:
            yield "redis-server under redis-benchmark", pid
    else:
        with lib.started(lib.program("shares"), 10 * SECONDS, stdout=subprocess.DEVNULL) as one:
            yield "a bundled program (there is no redis here)", one.pid


def attach(perfd, pid, path):
    return perfd.start_ctl("attach", "--pid", str(pid), "-d", f"{SECONDS}s", "-F", str(HZ),
                           "-o", path)


def profile(place):
    """Three sessions side by side, one a format; the report of one of them."""
    paths = [os.path.join(lib.ROOT, "demo.svg"), os.path.join(lib.ROOT, "demo.folded"),
             os.path.join(place, "demo.json")]
    with lib.Perfd() as perfd, target(place) as (what, pid):
        print(f"profiling {what}, pid {pid}, {SECONDS} s at {HZ} Hz")
        print(f"  perfctl attach --pid {pid} -d {SECONDS}s -F {HZ} -o demo.svg", flush=True)
        with contextlib.ExitStack() as stack:
            sessions = [stack.enter_context(attach(perfd, pid, path)) for path in paths]
            for session in sessions:
                code = session.wait(SECONDS + 60)
                lib.equal(code, 0, f"exit code of attach ({session.stderr.read().strip()})")
    with open(paths[-1]) as file:
        return json.load(file)


def show(report):
    print(f"\n{report['samples']} samples, {report['lost']} lost, "
          f"{report['total'] / 1e9:.2f} s of CPU time in {report['duration_ns'] / 1e9:.1f} s")
    print(f"\nthe top {TOP} functions by their own time:\n")
    print(f"  {'self':>7} {'total':>7}  function")
    for row in report["functions"][:TOP]:
        name = row["name"] if len(row["name"]) <= 60 else row["name"][:57] + "..."
        print(f"  {row['self_percent']:6.1f}% {row['total_percent']:6.1f}%  {name}")
    print("\nof the samples:\n")
    for count in report["counts"]:
        if count["count"]:
            print(f"  {count['count']:7}  {count['text']}")
    print("\nlook at\n")
    print(f"  {os.path.join(lib.ROOT, 'demo.svg')}: in a browser; click to zoom, Ctrl-F to search")
    print(f"  {os.path.join(lib.ROOT, 'demo.folded')}: one line a stack, for grep and other tools")


def main():
    obstacle = "it needs root" if os.geteuid() else lib.bpf_obstacle()
    if obstacle:
        print(f"demo: {obstacle}", file=sys.stderr)
        return 1
    with lib.folder() as place:
        show(profile(place))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, lib.Skip) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(1)
