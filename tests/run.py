#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The one test runner: run.py KIND... with KIND unit, scenario or fuzz.

One line a test, "ok", "FAIL" or "skip", and at the end "N passed, N failed, N
skipped"; exit 1 if anything failed or if there was nothing to run.

Two programs run at a time where that changes nothing: see STEADY and ASIDE.

A test program says what it did in TAP lines ("ok 1 - name", "not ok 2 - name:
why", "ok 3 - name # SKIP why"): the unit suites through Check's own TAP log,
the scenarios on stdout. A program that prints none of them is one test, judged
by its exit code: 0 passed, 77 skipped, anything else failed. The output of a
program that failed is shown in full.

Environment: B (build folder), ONLY (run what contains this word), TEST_TIMEOUT
(seconds a program, 600), FUZZ_SECONDS (10).
"""

import concurrent.futures
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("B", "build")
ONLY = os.environ.get("ONLY", "")
TIMEOUT = int(os.environ.get("TEST_TIMEOUT", "600"))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "10"))
SKIPPED = 77  # exit code
SLOWEST = 12  # programs that are named at the end

# Scenarios that need no perfd of the whole machine: a lane of their own, behind the unit suites.
ASIDE = ("symbolize_peers", "format_clients", "browser", "convert", "symbolize", "install",
         "config_errors", "bench_stats")
# Scenarios that are about names, stacks, words and who may do what: they run beside that lane.
# All others judge figures of the whole machine, or change it, and have it for themselves.
STEADY = ("hard_stacks", "heap_attach", "history", "java_stacks", "go_stacks", "metrics",
          "two_users", "kill9", "debuginfod", "doctor", "symbolize_damaged", "table_cache", "replay",
          "hung_file_system", "full_disk", "privileges", "privileged_calls", "sandboxes", "watchdog",
          "bad_pid", "bad_socket", "status", "record_exit_codes", "record_inlined", "kernel_names",
          "code_32_bit", "attach_background", "ctrl_c", "jit_names")

TAP = re.compile(r"^(not ok|ok) +\d+ *(?:- *)?(.*)$")
TAP_SKIP = re.compile(r"(.*?)\s*# *SKIP\b[: ]*(.*)$", re.IGNORECASE)


class Totals:
    def __init__(self):
        self.lock = threading.Lock()  # over what is told of a program
        self.passed, self.failed, self.skipped = 0, [], []
        self.seconds = {}  # of each program

    def line(self, verdict, name, text="", seconds=None):
        took = f" ({seconds:.1f} s)" if seconds is not None and seconds >= 0.1 else ""
        print(f"{verdict:<5}{name}{took}{': ' + text if text else ''}", flush=True)

    def ok(self, name, seconds=None):
        self.passed += 1
        self.line("ok", name, seconds=seconds)

    def fail(self, name, text, seconds=None):
        self.failed.append(name)
        self.line("FAIL", name, text, seconds)

    def skip(self, name, text, seconds=None):
        self.skipped.append((name, text))
        self.line("skip", name, text or "no reason given", seconds)


def parse_tap(text):
    """[(verdict, name, detail)] of the TAP lines in text."""
    results = []
    for line in text.splitlines():
        match = TAP.match(line)
        if not match:
            continue
        verdict, rest = match.groups()
        skipped = TAP_SKIP.match(rest)
        if skipped:
            results.append(("skip", skipped.group(1), skipped.group(2)))
            continue
        name, _, detail = rest.partition(": ")
        results.append((verdict, name, detail))
    return results


def check_name(name):
    """Check's log says "file.c:case:test"; a reader needs the test."""
    return name.split(":")[-1].strip()


running = set()  # processes of both lanes
stopped = threading.Event()  # somebody interrupts


def run(command, env=None):
    """(exit code or None at the time limit, output, seconds). The program gets a
    process group of its own, so that nothing of it is left behind."""
    if stopped.is_set():
        raise KeyboardInterrupt
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **(env or {})})
        running.add(process)
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
        if code is None:
            # SIGTERM first: a scenario then ends its daemon and puts CPUs back.
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError):
                    continue
        running.discard(process)
        out.seek(0)
        return code, out.read(), time.monotonic() - started


def interrupted():
    """Ends what runs in both lanes."""
    stopped.set()
    for process in list(running):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


def show(output):
    for line in output.rstrip().splitlines()[-200:]:
        print(f"     | {line}")


def reason(output):
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def report(totals, program, results, code, output, seconds):
    """Turns one program's results and exit code into lines."""
    totals.seconds[program] = seconds
    if code == SKIPPED and not results:
        totals.skip(program, reason(output), seconds)
        return
    failed = False
    for verdict, name, detail in results:
        full = f"{program}: {name}"
        if verdict == "ok":
            totals.ok(full)
        elif verdict == "skip":
            totals.skip(full, detail)
        else:
            failed = True
            totals.fail(full, detail)
    if code is None:
        failed = True
        totals.fail(program, f"did not end within {TIMEOUT} s")
    elif code not in (0, SKIPPED) and not failed:
        failed = True
        totals.fail(program, f"signal {-code}" if code < 0 else f"exit code {code}", seconds)
    elif not results:
        totals.ok(program, seconds)
    if failed:
        show(output)


def run_unit(totals, path):
    name = "unit/" + os.path.basename(path)[len("test_"):]
    with tempfile.NamedTemporaryFile("r", suffix=".tap", errors="replace") as tap:
        # A bound for what hangs, not for what is slow on a busy machine.
        code, output, seconds = run([path], {"CK_TAP_LOG_FILE_NAME": tap.name,
                                             "CK_DEFAULT_TIMEOUT": "60"})
        results = [(verdict, check_name(case), detail) for verdict, case, detail
                   in split_check(tap.read())]
    # What a suite cannot do here it says on its stdout; the log has what ran.
    results += [result for result in parse_tap(output) if result[0] == "skip"]
    with totals.lock:
        report(totals, name, results, code, output, seconds)


def unit_suites():
    """The programs there are, of those that are asked for."""
    return [path for path in sorted(glob.glob(os.path.join(ROOT, BUILD, "tests", "test_*")))
            if ONLY in "unit/" + os.path.basename(path)[len("test_"):] and os.access(path, os.X_OK)
            and os.path.exists(os.path.join(ROOT, "tests", "unit", os.path.basename(path) + ".c"))]


def split_check(text):
    """Check writes "not ok 3 - file.c:case:test: message"; keep the message whole."""
    results = []
    for line in text.splitlines():
        match = TAP.match(line)
        if not match:
            continue
        verdict, rest = match.groups()
        parts = rest.split(":", 3)
        name = ":".join(parts[:3]) if len(parts) > 3 else rest
        results.append((verdict, name, parts[3].strip() if len(parts) > 3 else ""))
    return results


def run_scenario(totals, name):
    code, output, seconds = run(
        [sys.executable, os.path.join(ROOT, "tests", "scenario", name + ".py")])
    with totals.lock:
        report(totals, f"scenario/{name}", parse_tap(output), code, output, seconds)


def scenarios():
    """Those that are asked for: (beside each other: aside, steady; alone)."""
    names = [os.path.basename(path)[:-len(".py")]
             for path in sorted(glob.glob(os.path.join(ROOT, "tests", "scenario", "*.py")))]
    lost = set(ASIDE + STEADY) - set(names)
    if lost:
        sys.exit(f"{__file__}: there is no scenario {', '.join(sorted(lost))}")
    names = [name for name in names if ONLY in "scenario/" + name and not name.startswith("lib")
             and name not in ("tracer", "fuse")]
    return ([name for name in ASIDE if name in names], [name for name in STEADY if name in names],
            [name for name in names if name not in ASIDE + STEADY])


def run_suites(totals, kinds):
    """Unit suites and scenarios, in two lanes as long as both have something, and what wants the
    machine for itself behind them."""
    aside, steady, alone = scenarios() if "scenario" in kinds else ([], [], [])
    suites = unit_suites() if "unit" in kinds else []

    def lane():
        for path in suites:
            run_unit(totals, path)
        for name in aside:
            run_scenario(totals, name)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            other = pool.submit(lane)
            for name in steady:
                run_scenario(totals, name)
            other.result()
        except KeyboardInterrupt:
            interrupted()
            raise
    for name in alone:
        run_scenario(totals, name)


KINDS = ("unit", "scenario", "fuzz")


def main(arguments):
    if not arguments or any(kind not in KINDS for kind in arguments):
        print(f"usage: run.py {'|'.join(KINDS)}...", file=sys.stderr)
        return 2
    totals, began = Totals(), time.monotonic()
    run_suites(totals, arguments)
    if "fuzz" in arguments:
        run_fuzz(totals)
    if totals.failed:
        print("failed: " + "; ".join(totals.failed))
    if len(totals.seconds) > SLOWEST:
        slowest = sorted(totals.seconds.items(), key=lambda item: -item[1])[:SLOWEST]
        print(f"{time.monotonic() - began:.0f} s; the longest: "
              + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in slowest))
    print(f"{totals.passed} passed, {len(totals.failed)} failed, {len(totals.skipped)} skipped")
    return 0 if totals.passed + len(totals.skipped) and not totals.failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        interrupted()
        sys.exit(130)
