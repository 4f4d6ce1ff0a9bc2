#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: what perfd costs, how much it holds and how long one waits for it. See
docs/benchmarks.md for how to read what comes out.

Each bench runs in a process and a folder of its own: one that fails, hangs or leaves
something behind does not take the others along. Results go to build/bench/results.json.
"""

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import benches
import measure
import of_nothing
import report
from measure import lib
from row import Run

PR_SET_CHILD_SUBREAPER = 36
MINUTES = {"quick": 2, "full": 15}
OVERHEAD = 0.93  # of the minutes: the rest is for ends and beginnings


def arguments():
    parser = argparse.ArgumentParser(description="perfd's benchmarks", epilog=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: two minutes")
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES") or 0),
                        help="how long it may take (15, or 2); storms get longer with more")
    parser.add_argument("--only", default=os.environ.get("ONLY", ""),
                        help="benches with one of these words in their name")
    parser.add_argument("--baseline", default=os.environ.get("BASELINE", ""),
                        help="earlier results: exit code 1 if a figure got worse; of several, "
                             "if it is worse than in each of them")
    parser.add_argument("--compare", metavar="RESULTS",
                        help="run nothing: compare these results with the baseline")
    parser.add_argument("--output", default=os.path.join(lib.BUILD, "bench", "results.json"))
    parser.add_argument("--list", action="store_true", help="the benches and what they take")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--allowance", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def table():
    return of_nothing.BENCHES if os.environ.get("BENCH_SELFTEST") else benches.BENCHES


def wanted(args):
    words = args.only.replace(",", " ").split()
    return [bench for bench in table()
            if (not words or any(word in bench.name for word in words))
            and bench.sizes(args.quick) is not None]


# --- one bench, in its own process ------------------------------------------------------------

def run_one(args):
    """Prints what goes on, and writes the outcome to the output."""
    bench = next(one for one in table() if one.name == args.one)
    run = Run(bench, bench.sizes(args.quick), args.allowance,
              tell=lambda text: print(f"      {text}", flush=True))
    outcome = {"status": "ok", "reason": None}

    def end(_signal, _frame):
        raise TimeoutError(f"not done after {time.monotonic() - run.began:.0f} s")

    signal.signal(signal.SIGTERM, end)
    try:
        bench.measure(run)
    except lib.Skip as reason:
        outcome = {"status": "skipped", "reason": lib.one_line(reason)}
    except Exception as error:  # whatever it is, the suite goes on
        traceback.print_exc(file=sys.stdout)
        outcome = {"status": "failed", "reason": lib.one_line(error)}
    outcome |= {"values": run.values, "notes": run.notes, "skipped": run.skipped, "cut": run.cut}
    with open(args.output, "w") as file:
        json.dump(outcome, file)


# --- the suite ------------------------------------------------------------------------------------

def remains():
    """Children that a bench left to us, ended by their ids."""
    left = [pid for pid in measure.family(os.getpid())
            if pid != os.getpid() and lib.status_field(pid, "State")[:1] not in ("", "Z")]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, 0 if left else os.WNOHANG)[0]:
            pass
    return left


def outcome_of(bench, args, allowance):
    """Of a process of its own; killed when it does not end."""
    place = tempfile.mkdtemp(prefix="perfd-bench-")
    os.chmod(place, 0o755)
    path = os.path.join(place, "outcome.json")
    command = [sys.executable, os.path.abspath(__file__), "--one", bench.name, "--allowance",
               str(allowance), "--output", path, *(["--quick"] if args.quick else [])]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=lib.ROOT,
                               env={**os.environ, "TMPDIR": place, "ONLY": ""})
    # One that is asked to end takes its perfds with it.
    late = bench.sizes(args.quick).get("patience", 30 + bench.sizes(args.quick)["seconds"])
    try:
        for number, patience in ((signal.SIGTERM, allowance + late), (signal.SIGKILL, 30),
                                 (None, 10)):
            try:
                process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        return {"status": "failed", "reason": f"its process ended with code "
                                              f"{process.returncode}: {error}"}
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        left = remains()
        if left:
            print(f"      {len(left)} processes were left behind, ended now", flush=True)
        shutil.rmtree(place, ignore_errors=True)


def allowance_of(bench, args, rest, until):
    """Its share of the time that is left, or a little more; None: none is left."""
    planned = bench.sizes(args.quick)["seconds"]
    left = until - time.monotonic()
    if left < planned * 0.4:
        return None
    whole = sum(one.sizes(args.quick)["seconds"] for one in rest)
    # On a slow or loaded machine it may take what the others leave, as may what can go on for
    # any time.
    most = bench.sizes(args.quick).get("seconds_max", planned * 4)
    others = (whole - planned) * 1.05
    return max(min(most, left - others), planned * min(1, left / whole))


def run_all(args):
    mode = "quick" if args.quick else "full"
    chosen = wanted(args)
    minutes = args.minutes or MINUTES[mode]
    began = time.monotonic()
    until = began + minutes * 60 * OVERHEAD
    results = report.empty(mode)
    print(f"{len(chosen)} benches, {mode}, at most {minutes:g} minutes; load "
          f"{results['machine']['load_before'][0]:.2f}", flush=True)
    for number, bench in enumerate(chosen):
        allowance = allowance_of(bench, args, chosen[number:], until)
        print(f"[{number + 1}/{len(chosen)}] {bench.name}"
              f" ({allowance or 0:.0f} s)", flush=True)
        started = time.monotonic()
        if allowance is None:
            outcome = {"status": "skipped", "reason": f"cut: no time left of {minutes:g} minutes"}
        else:
            with measure.bpf_stats_kept():  # also where its process was killed
                outcome = outcome_of(bench, args, allowance)
        took = time.monotonic() - started
        for figure in bench.figures_of(args.quick):
            row = {**report.row(bench, figure, outcome), "bench_seconds": round(took, 1)}
            results["rows"].append(row)
            print(f"   {figure.name:<34} {report.line(row)}", flush=True)
        results["seconds"] = round(time.monotonic() - began, 1)
        report.save(results, args.output)
    return results


def judge(args, results):
    """The exit code."""
    rows = results["rows"]
    count = {status: sum(row["status"] == status for row in rows)
             for status in ("ok", "failed", "skipped")}
    print(f"\n{count['ok']} figures, {count['failed']} failed, {count['skipped']} skipped, in "
          f"{results['seconds'] / 60:.1f} minutes: {os.path.relpath(args.output)}")
    for row in rows:
        if row["status"] == "failed" or row["met"] is False:
            print(f"  {'failed' if row['status'] == 'failed' else 'not kept'} {row['name']}: "
                  f"{report.line(row)}")
    if not args.baseline:
        return 0 if count["ok"] else 1
    verdicts = report.compared(results, *map(report.load, args.baseline.split()))
    print(f"\nbeside {args.baseline}:\n{report.comparison_text(verdicts)}")
    if report.is_regression(verdicts):
        print("something got worse (p and effect: docs/benchmarks.md)")
        return 1
    return 0


def main():
    args = arguments()
    if args.one:
        return run_one(args)
    if args.list:
        for bench in wanted(args):
            print(f"{bench.name:<24} {bench.sizes(args.quick)['seconds']:>4} s  "
                  + ", ".join(f"{figure.name} [{figure.unit}]" for figure in bench.figures_of(args.quick)))
        return 0
    if args.compare:
        args.output = args.compare
        return judge(args, report.load(args.compare))
    if args.baseline:
        list(map(report.load, args.baseline.split()))  # not found after a quarter of an hour
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    return judge(args, run_all(args))


if __name__ == "__main__":
    sys.exit(main())
