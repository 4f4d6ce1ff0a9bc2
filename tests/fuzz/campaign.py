#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make fuzz-campaign`: the fuzzers in turns until all have run FUZZ_RUNS inputs together.

Each turn is one fuzzer for FUZZ_SLICE seconds, at low priority and one at a time; the
next is the one that has had the least time. What they found new stays in
$(B)/campaign/NAME, the counts in $(B)/campaign/counts.json, so that a campaign which was
stopped goes on. What the worker's fuzzer tells of real workers that ended is summed up, and
their files are found/worker-death-*. An input that a fuzzer does not survive is kept as $(B)/campaign/found/NAME-*:
to be mended, and then put into tests/fuzz/corpus/NAME. At the end, or after Ctrl-C, a
table of what was run; exit code 1 if anything was found.

Environment: B (build folder), FUZZ_RUNS (10,000,000), FUZZ_SLICE (60), ONLY (fuzzers whose
name contains this word).
"""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build/fuzz"))
PLACE = os.path.join(BUILD, "campaign")
COUNTS = os.path.join(PLACE, "counts.json")
GOAL = int(os.environ.get("FUZZ_RUNS", "10000000"))
SLICE = int(os.environ.get("FUZZ_SLICE", "60"))
ONLY = os.environ.get("ONLY", "")
GRACE_SECONDS = 60
RUNS = re.compile(r"^stat::number_of_executed_units: +(\d+)", re.MULTILINE)
SEEN = re.compile(r"^#(\d+)\t", re.MULTILINE)
DEATHS = re.compile(r"^fuzz_worker: (\d+) workers ended", re.MULTILINE)


def load():
    try:
        with open(COUNTS, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def save(counts):
    with open(COUNTS + ".new", "w", encoding="utf-8") as file:
        json.dump(counts, file, indent=1, sort_keys=True)
    os.replace(COUNTS + ".new", COUNTS)


def one_turn(path, name, mine, seconds):
    folder, found = os.path.join(PLACE, name), os.path.join(PLACE, "found")
    os.makedirs(folder, exist_ok=True)
    os.makedirs(found, exist_ok=True)
    command = [path, f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-timeout=10",
               "-print_final_stats=1", f"-artifact_prefix={found}/{name}-", folder]
    corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
    if os.path.isdir(corpus):
        command.append(corpus)
    before = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
                               errors="replace", stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True,
                               env={**os.environ, "FUZZ_DEATHS": found})
    try:
        output, _ = process.communicate(timeout=seconds + GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(error, KeyboardInterrupt):
            raise
        output += "\ndid not end in time"
    runs = RUNS.findall(output) or SEEN.findall(output)
    mine["runs"] = mine.get("runs", 0) + (int(runs[-1]) if runs else 0)
    mine["seconds"] = mine.get("seconds", 0) + time.monotonic() - before
    mine["deaths"] = mine.get("deaths", 0) + sum(map(int, DEATHS.findall(output)[-1:]))
    if process.returncode:
        mine["findings"] = mine.get("findings", 0) + 1
        with open(os.path.join(found, f"{name}-{mine['findings']}.log"), "w",
                  encoding="utf-8") as log:
            log.write(output)
        print(f"{name}: a finding, see {os.path.relpath(found, ROOT)}", flush=True)


def report(counts):
    print(f"{'fuzzer':<20}{'inputs':>12}{'seconds':>9}{'findings':>10}  workers that ended")
    for name in sorted(counts):
        mine = counts[name]
        print(f"{name:<20}{mine.get('runs', 0):>12,}{mine.get('seconds', 0):>9.0f}"
              f"{mine.get('findings', 0):>10}  {mine.get('deaths', 0) or ''}")
    total = sum(mine.get("runs", 0) for mine in counts.values())
    print(f"{'all':<20}{total:>12,}{sum(m.get('seconds', 0) for m in counts.values()):>9.0f}"
          f"{sum(m.get('findings', 0) for m in counts.values()):>10}", flush=True)
    return total


def main():
    paths = {os.path.basename(path)[len("fuzz_"):]: path
             for path in sorted(glob.glob(os.path.join(BUILD, "tests", "fuzz_*")))
             if os.access(path, os.X_OK) and ONLY in os.path.basename(path)}
    if not paths:
        print("no fuzzers: see make fuzz", file=sys.stderr)
        return 1
    os.makedirs(PLACE, exist_ok=True)
    os.nice(15)
    counts = load()
    for name in paths:
        counts.setdefault(name, {})
    try:
        while sum(mine.get("runs", 0) for mine in counts.values()) < GOAL:
            name = min(paths, key=lambda each: counts[each].get("seconds", 0))
            one_turn(paths[name], name, counts[name], SLICE)
            save(counts)
    except KeyboardInterrupt:
        pass
    report(counts)
    return 1 if any(counts[name].get("findings") for name in paths) else 0


if __name__ == "__main__":
    sys.exit(main())
