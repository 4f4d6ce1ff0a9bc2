# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as a file (schema perfd.bench/1, docs/benchmarks.md), as lines on the terminal, and
beside those of an earlier run."""

import json
import os
import platform
import subprocess
import time

import stats
from measure import lib

SCHEMA = "perfd.bench/1"
VERSIONS = {"gcc": ["gcc", "--version"], "clang": ["clang", "--version"],
            "perf": ["perf", "--version"], "bpftrace": ["bpftrace", "--version"],
            "heaptrack": ["heaptrack", "--version"], "redis": ["redis-benchmark", "--version"],
            "pgbench": ["pgbench", "--version"], "python": ["python3", "--version"]}


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    return ((done.stdout or done.stderr).strip().splitlines() or [None])[0]


def field(path, name):
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return None


def machine():
    memory = field("/proc/meminfo", "MemTotal")
    flags = field("/proc/cpuinfo", "flags") or ""
    return {"kernel": platform.release(), "machine": platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "model": field("/proc/cpuinfo", "model name"),
            "virtual": "hypervisor" in flags.split(),
            "memory_bytes": int(memory.split()[0]) * 1024 if memory else None,
            "load_before": list(os.getloadavg())}


def versions():
    found = {"perfd": first_line([lib.PERFD, "--version"]),
             "commit": first_line(["git", "-c", f"safe.directory={lib.ROOT}", "-C", lib.ROOT,
                                   "describe", "--always", "--dirty"])}
    found |= {name: first_line(command) for name, command in VERSIONS.items()}
    return {name: text for name, text in found.items() if text}


def empty(mode):
    return {"schema": SCHEMA, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "mode": mode, "machine": machine(), "versions": versions(), "seconds": 0.0,
            "rows": []}


def row(bench, figure, outcome):
    """A figure's row, of what a bench's process handed back."""
    found = {"name": f"{bench.name}.{figure.name}", "what": figure.what, "unit": figure.unit,
             "better": figure.better, "status": "ok", "reason": None,
             "cut": ", ".join(outcome.get("cut", [])) or None,
             "note": outcome.get("notes", {}).get(figure.name), "limit": figure.limit,
             "met": None, "effect": figure.effect, "values": []}
    values = outcome.get("values", {}).get(figure.name)
    if values:
        found["values"] = [float(f"{value:.7g}") for value in values]
        found |= stats.summary(values)
        found["met"] = figure.met(*(found[key] for key in ("median", "low", "high", "coverage")))
    elif figure.name in outcome.get("skipped", {}):
        found |= {"status": "skipped", "reason": outcome["skipped"][figure.name]}
    else:
        found |= {"status": outcome.get("status", "failed"),
                  "reason": outcome.get("reason") or "the bench did not tell"}
        if found["status"] == "ok":
            found |= {"status": "failed", "reason": "the bench did not measure it"}
    return found


def load(path):
    with open(path) as file:
        results = json.load(file)
    if results.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not results of make bench ({SCHEMA})")
    return results


def save(results, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


# --- for people ---------------------------------------------------------------------------------

MET = {True: "kept", False: "NOT KEPT", None: "cannot be said"}


def number(value):
    """Three figures that count, or whole."""
    if value is None:
        return "-"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def line(row_):
    if row_["status"] != "ok":
        return f"{row_['status']}: {row_['reason']}"
    text = f"{number(row_['median'])} {row_['unit']}"
    if row_["n"] > 1:
        text += (f"  [{number(row_['low'])}, {number(row_['high'])}] n={row_['n']} "
                 f"min {number(row_['min'])} p95 {number(row_['p95'])} "
                 f"p99 {number(row_['p99'])} max {number(row_['max'])}")
    if row_["limit"] is not None:
        word = "at most" if row_["better"] == "less" else "at least"
        text += f"  ({MET[row_['met']]}: {word} {number(row_['limit'])})"
    if row_["note"]:
        text += f"  ({row_['note']})"
    return text + (f"  (cut: {row_['cut']})" if row_["cut"] else "")


# --- beside an earlier run ---------------------------------------------------------------------

def verdict_of(row_, old):
    """Of a row that has a better side, beside the same of an earlier run."""
    if row_["status"] != "ok":
        return {"verdict": "gone" if row_["status"] == "failed" else "skipped",
                "change": None, "p": None}
    points = row_["unit"] == "%"
    return stats.compare(row_["values"], old["values"], row_["better"], effect=row_["effect"],
                         points=points) | {"points": points}


def agreed(verdicts):
    """What all of them say; else the first that says nothing."""
    first, words = verdicts[0], {one["verdict"] for one in verdicts}
    if len(words) == 1:
        return first
    return next((one for one in verdicts if one["verdict"] in ("same", "few")),
                first | {"verdict": "same"})


def compared(results, *baselines):
    """[(name, verdict dict)] of the figures that all have and that have a better side; a row
    that was measured then and is not now is "gone". Beside several earlier runs, a row is
    worse if it is worse than in each of them: what lies between them is the machine's own
    wavering from run to run."""
    before = [{one["name"]: one for one in baseline["rows"]} for baseline in baselines]
    found = []
    for one in results["rows"]:
        old = [rows[one["name"]] for rows in before
               if one["name"] in rows and rows[one["name"]]["status"] == "ok"]
        if one["better"] and old and len(old) == len(before):
            found.append((one["name"], agreed([verdict_of(one, row_) for row_ in old])))
    return found


def comparison_text(verdicts):
    lines = []
    order = ("worse", "gone", "better", "same", "few", "skipped")
    for name, verdict in sorted(verdicts, key=lambda item: order.index(item[1]["verdict"])):
        if verdict["change"] is None:
            lines.append(f"  {verdict['verdict']:<8}{name}")
        else:
            change = (f"{verdict['change']:+.1f} points" if verdict["points"]
                      else f"{verdict['change']:+.1%}")
            lines.append(f"  {verdict['verdict']:<8}{name:<48}{change:>16}  "
                         f"p {verdict['p']:.3g}")
    return "\n".join(lines)


def is_regression(verdicts):
    return any(verdict["verdict"] in ("worse", "gone") for _, verdict in verdicts)
