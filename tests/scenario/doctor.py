#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl doctor: with a perfd and without, as root and as nobody, for people and programs."""

import json
import os
import subprocess

import lib

STATES = ("ok", "degraded", "missing", "unknown")


def examine(*options, code, **more):
    """The checks by name."""
    result = lib.perfctl("doctor", "--json", *options, **more)
    lib.equal(result.returncode, code, f"exit code of doctor ({result.stderr})")
    document = json.loads(result.stdout)
    lib.equal(document["schema"], "perfd.doctor/1", "schema")
    checks = {check["name"]: check for check in document["checks"]}
    for state in STATES:
        lib.equal(document[state], sum(check["state"] == state for check in checks.values()),
                  f"number of {state}")
    for check in checks.values():
        lib.check(check["found"] and check["why"], f"{check} says too little")
        lib.equal("mend" in check, check["state"] != "ok", f"a command to mend {check}")
    lib.equal(code, int(document["missing"] > 0), "exit code")
    return checks


def without_perfd():
    with lib.folder() as place:
        path = os.path.join(place, "none.sock")
        checks = examine("--socket", path, code=1)
        lib.equal(checks["perfd"]["state"], "missing", "a perfd that does not run")
        lib.contains(checks["perfd"]["mend"], "systemctl", "what mends it")
        text = lib.perfctl("doctor", "--socket", path)
        lib.equal(text.returncode, 1, "exit code for people")
        for name, check in checks.items():
            lib.contains(text.stdout, name, "the text")
            lib.contains(text.stdout, check.get("mend", name), "the text")


def with_perfd():
    lib.need_bpf()
    with lib.Perfd() as perfd, lib.folder() as place:
        conf = os.path.join(place, "conf")
        with open(conf, "w") as file:
            print(f"[history]\ndir = {perfd.folder}/history\n"
                  f"[unwind]\ncache_dir = {perfd.folder}/cache", file=file)
        checks = examine("--config", conf, "--socket", perfd.socket, code=0)
        # A perfd that runs is the proof of these.
        for name in ("perfd", "socket", "capabilities", "kernel.btf", "kernel.bpf_loop",
                     "kernel.ring_buffer", "kernel.task_iterator", "kernel.lockdown",
                     "kernel.perf_event_paranoid"):
            lib.equal(checks[name]["state"], "ok", f"{name} of a machine on which perfd runs")


def as_nobody():
    lib.need_root()
    with lib.folder() as place:
        program = lib.for_everybody(lib.PERFCTL, place)
        closed = os.path.join(place, "closed")
        os.mkdir(closed, 0o700)
        conf = os.path.join(place, "conf")
        with open(conf, "w") as file:
            print(f"[history]\ndir = {closed}/history", file=file)
        os.chmod(conf, 0o644)
        result = subprocess.run(
            [program, "doctor", "--json", "--config", conf, "--socket", f"{place}/none.sock"],
            user=lib.NOBODY, group=lib.NOBODY, extra_groups=[], cwd=place, capture_output=True,
            text=True, timeout=60)
        lib.equal(result.returncode, 1, f"exit code ({result.stderr})")
        checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
        for name in ("capabilities", "history.dir"):
            lib.equal(checks[name]["state"], "unknown", f"{name}, to who may not look")


def bad_disk():
    """A folder that is a file; bad settings."""
    with lib.folder() as place:
        conf = os.path.join(place, "conf")
        with open(conf, "w") as file:
            print(f"[history]\ndir = {conf}", file=file)
        checks = examine("--config", conf, "--socket", f"{place}/none.sock", code=1)
        lib.equal(checks["history.dir"]["state"], "missing", "a folder that is a file")
        with open(conf, "a") as file:
            print("sise = 1G", file=file)
        result = lib.perfctl("doctor", "--config", conf)
        lib.equal(result.returncode, 1, "exit code with bad settings")
        lib.contains(result.stderr, "did you mean \"size\"", "the error")


lib.main(without_perfd, with_perfd, as_nobody, bad_disk)
