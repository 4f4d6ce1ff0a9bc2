#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The one test runner: run.py KIND... with KIND unit, scenario or fuzz.

One line a test, "ok", "FAIL" or "skip", and at the end "N passed, N failed, N
skipped"; exit 1 if anything failed or if there was nothing to run.

A test program says what it did in TAP lines ("ok 1 - name", "not ok 2 - name:
why", "ok 3 - name # SKIP why"): the unit suites through Check's own TAP log,
the scenarios on stdout. A program that prints none of them is one test, judged
by its exit code: 0 passed, 77 skipped, anything else failed. The output of a
program that failed is shown in full.

Environment: B (build folder), ONLY (run what contains this word), TEST_TIMEOUT
(seconds a program, 300), FUZZ_SECONDS (10).
"""

import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("B", "build")
ONLY = os.environ.get("ONLY", "")
TIMEOUT = int(os.environ.get("TEST_TIMEOUT", "300"))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "10"))
SKIPPED = 77  # exit code
SLOWEST = 12  # programs that are named at the end

TAP = re.compile(r"^(not ok|ok) +\d+ *(?:- *)?(.*)$")
TAP_SKIP = re.compile(r"(.*?)\s*# *SKIP\b[: ]*(.*)$", re.IGNORECASE)


class Totals:
    def __init__(self):
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


def run(command, env=None):
    """(exit code or None at the time limit, output, seconds). The program gets a
    process group of its own, so that nothing of it is left behind."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **(env or {})})
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)
            raise
        if code is None:
            # SIGTERM first: a scenario then ends its daemon and puts CPUs back.
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                    process.wait(10)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError):
                    continue
        out.seek(0)
        return code, out.read(), time.monotonic() - started


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


def run_unit(totals):
    for path in sorted(glob.glob(os.path.join(ROOT, BUILD, "tests", "test_*"))):
        name = "unit/" + os.path.basename(path)[len("test_"):]
        source = os.path.join(ROOT, "tests", "unit", os.path.basename(path) + ".c")
        if ONLY not in name or not os.access(path, os.X_OK) or not os.path.exists(source):
            continue
        with tempfile.NamedTemporaryFile("r", suffix=".tap", errors="replace") as tap:
            # A bound for what hangs, not for what is slow on a busy machine.
            code, output, seconds = run([path], {"CK_TAP_LOG_FILE_NAME": tap.name,
                                                 "CK_DEFAULT_TIMEOUT": "60"})
            results = [(verdict, check_name(case), detail) for verdict, case, detail
                       in split_check(tap.read())]
        # What a suite cannot do here it says on its stdout; the log has what ran.
        results += [result for result in parse_tap(output) if result[0] == "skip"]
        report(totals, name, results, code, output, seconds)


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


def run_scenario(totals):
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "scenario", "*.py"))):
        name = "scenario/" + os.path.basename(path)[:-len(".py")]
        if ONLY not in name or name.startswith("scenario/lib") or \
                name in ("scenario/tracer", "scenario/fuse"):
            continue
        code, output, seconds = run([sys.executable, path])
        report(totals, name, parse_tap(output), code, output, seconds)


def run_fuzz(totals):
    for path in sorted(glob.glob(os.path.join(ROOT, BUILD, "tests", "fuzz_*"))):
        word = os.path.basename(path)[len("fuzz_"):]
        if ONLY not in word or not os.access(path, os.X_OK):
            continue
        with tempfile.TemporaryDirectory(prefix="perfd-fuzz-") as scratch:
            command = [path, f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=2048",
                       "-timeout=10", "-print_final_stats=1", f"-artifact_prefix={BUILD}/",
                       scratch]
            corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", word)
            if os.path.isdir(corpus):
                command.append(corpus)
            code, output, _ = run(command)
        runs = re.search(r"stat::number_of_executed_units: (\d+)", output)
        if code == 0:
            totals.ok(f"fuzz/{word}: {runs.group(1) if runs else '?'} inputs")
        else:
            totals.fail(f"fuzz/{word}", f"exit code {code}")
            show(output)


KINDS = {"unit": run_unit, "scenario": run_scenario, "fuzz": run_fuzz}


def main(arguments):
    if not arguments or any(kind not in KINDS for kind in arguments):
        print(f"usage: run.py {'|'.join(KINDS)}...", file=sys.stderr)
        return 2
    totals = Totals()
    for kind in arguments:
        KINDS[kind](totals)
    if totals.failed:
        print("failed: " + "; ".join(totals.failed))
    if len(totals.seconds) > SLOWEST:
        slowest = sorted(totals.seconds.items(), key=lambda item: -item[1])[:SLOWEST]
        print(f"{sum(totals.seconds.values()):.0f} s, most of it: "
              + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in slowest))
    print(f"{totals.passed} passed, {len(totals.failed)} failed, {len(totals.skipped)} skipped")
    return 0 if totals.passed + len(totals.skipped) and not totals.failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
