#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker is killed again and again, at random moments under load: every sample is in
the profile all the same, at worst without its name. PERFD_KILLS: how often (100; `make
test-kills` has 1000)."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import lib

KILLS = int(os.environ.get("PERFD_KILLS", "100"))


def worker_of(pid):
    for child in lib.children(pid):
        with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as file:
            if b"--worker" in file.read().split(b"\0"):
                return child
    return None


def load(stop):
    """Programs that come and go, with libraries to be read for the first time."""
    commands = [["true"], ["ls", "/"], ["python3", "-c", "import json, socket, ssl"],
                ["gcc", "--version"], ["perl", "-e", "1"], ["git", "--version"]]
    while not stop.is_set():
        for words in commands:
            with contextlib.suppress(OSError):
                subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False)
            if stop.is_set():
                return


def kill_workers(perfd):
    chance = random.Random(1)
    last, kills = None, 0
    until = time.monotonic() + 60 + KILLS
    while kills < KILLS:
        lib.check(time.monotonic() < until, f"only {kills} workers to kill in time")
        worker = worker_of(perfd.process.pid)
        if not worker or worker == last:
            time.sleep(0.001)
            continue
        time.sleep(chance.uniform(0, 0.05))
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
            kills += 1
        last = worker
    return kills


def at_random_under_load():
    lib.need_bpf()
    stop = threading.Event()
    other = threading.Thread(target=load, args=(stop,))
    with lib.folder() as place, lib.Perfd() as perfd, \
            lib.started(lib.program("shares"), 600, stdout=subprocess.DEVNULL) as target:
        path = os.path.join(place, "x.json")
        lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", 499, "--background"))
        perfd.wait_session(target.pid, samples=True)
        other.start()
        try:
            began, cpu_before = time.monotonic(), lib.cpu_seconds(target.pid)
            kills = kill_workers(perfd)
            took, cpu_after = time.monotonic() - began, lib.cpu_seconds(target.pid)
        finally:
            stop.set()
            other.join()
        session = perfd.wait_session(target.pid)
        status = perfd.ctl_json("status")
        lib.succeeds(perfd.ctl("detach", "--pid", target.pid, "-o", path))
        with open(path, encoding="utf-8") as file:
            profile = json.load(file)
        symbols, samples = status["symbols"], status["samples"]
        print(f"# {kills} kills in {took:.1f} s: {symbols['worker_restarts']} workers replaced, "
              f"{profile['samples']} samples in the profile, {profile['lost']} lost, "
              f"{symbols['quarantined']} files quarantined, "
              f"{symbols['named']} of {symbols['addresses']} addresses named")
        lib.check(symbols["worker_restarts"] >= kills * 0.9,
                  f"{symbols['worker_restarts']} workers were replaced after {kills} kills")
        lib.equal(samples["fired"], samples["idle"] + samples["filtered"] + samples["thinned"]
                  + samples["taken"] + samples["lost"]["lost_ring"], "samples fired, and what became of them")
        lib.check(profile["samples"] >= session["samples"],
                  f"{profile['samples']} samples in the profile, {session['samples']} in the "
                  "session before its end")
        lib.equal(profile["lost"], 0, "samples lost")
        # And the CPU time that they stand for is what the program really had meanwhile.
        had = cpu_after - cpu_before
        lib.check(profile["total"] / 1e9 > 0.85 * had,
                  f"{profile['total'] / 1e9:.2f} s in the profile of {had:.2f} s of CPU time")
        # And names come again when the killing is over.
        folded = os.path.join(place, "x.folded")
        lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-F", 499, "-d", "2s", "-o", folded))
        lib.check(lib.Folded.load(folded).within("work_50") > 0, "no names after the last kill")


lib.main(at_random_under_load)
