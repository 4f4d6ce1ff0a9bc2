#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An hour (`make soak MINUTES=60`; half a minute where nothing is said) of a mixed load: storms of
processes, clients that attach and leave at random, settings read again, the log rotated. After
the first sixth memory and descriptors stay where they are, and every sample is accounted for."""

import json
import os
import random
import signal
import statistics
import subprocess
import time

import lib

MINUTES = float(os.environ.get("MINUTES", "0.5"))
LOOK_SECONDS = min(10.0, MINUTES * 60 / 30)


def memory_of(pid):
    """Resident bytes that are its own: pages of files, and of maps it shares with the kernel, come
    and go as they are touched."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")}


def look(perfd, began):
    pid = perfd.process.pid
    status = perfd.ctl_json("status")
    symbols, tables, worker = status["symbols"], status["tables"], status["symbols"]["worker_pid"]
    sample = {"s": time.monotonic() - began, "fds": len(os.listdir(f"/proc/{pid}/fd")),
              "images": symbols["images"], "released": symbols["images_released"],
              "stacks": tables["stacks"], "frames": tables["frames"], "given_up": tables["given_up"],
              "unwind_bytes": status["unwinder"]["memory_bytes"],
              "cpu_ns": status["cost"]["cpu_ns"], "children": len(lib.children(pid)), **memory_of(pid)}
    try:
        sample["worker"] = memory_of(worker)["VmRSS"]
    except (OSError, KeyError):
        sample["worker"] = None  # it was replaced at this moment
    return sample


def storm(_perfd, _place, _target):
    for _ in range(60):
        subprocess.run(["true"], check=True)


def fresh(_perfd, place, _target):
    """Programs that nobody ran before, and nobody will run again: a build's, or a test's."""
    with open(lib.program("exits_at_once"), "rb") as file:
        program = bytearray(file.read())
    note = program.find(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16
    for number in range(20):
        path = os.path.join(place, f"fresh{number}")
        program[note:note + 20] = os.urandom(20)  # its build id
        with open(path, "wb") as file:
            file.write(program)
        os.chmod(path, 0o755)
        subprocess.run([path], check=True)
        os.unlink(path)


def contained(_perfd, place, _target):
    """Its programs are on a disk of its own, which is gone with it."""
    inner = os.path.join(place, "inner")
    os.makedirs(inner, exist_ok=True)
    subprocess.run(["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "sh", "-c",
                    'mount -t tmpfs none "$1" && cp "$2" "$1/own" && "$1/own" 0.3 >/dev/null', "sh",
                    inner, lib.program("shares")], check=True)


def attach(perfd, place, target):
    event = random.choice([[], [], ["-e", "faults"]])
    perfd.ctl("attach", "--pid", target, "-F", random.choice([49, 199, 999]), *event, "-d",
              f"{random.randint(100, 1500)}ms", "-o", os.path.join(place, "x.svg"))


def leave(perfd, place, target):
    """A client that dies."""
    with perfd.start_ctl("attach", "--pid", target, "-o", os.path.join(place, "y.svg")) as client:
        time.sleep(random.random())
        client.kill()


def background(perfd, place, target):
    if perfd.ctl("attach", "--pid", target, "--background").returncode == 0:
        time.sleep(random.random())
        perfd.ctl("detach", "--pid", target, "-o", os.path.join(place, "z.folded"))


def whole(perfd, place, _target):
    perfd.ctl("record", "-a", "-F", 199, "-d", f"{random.randint(100, 900)}ms", "-o",
              os.path.join(place, "a.folded"))


def ask(perfd, _place, _target):
    perfd.ctl("report", "--last", "1m")
    perfd.ctl("windows", "--since", "-5m")
    perfd.ctl("status", "--json")


def command(perfd, place, _target):
    perfd.ctl("record", "-o", os.path.join(place, "c.svg"), "--", "python3", "-c",
              "import json, ssl; sum(range(10**6))")


def reload(perfd, place, _target):
    text = random.choice(["[limits]\nsessions_max = 7\n", "[limits]\nsessions_max = 9\n",
                          "[limits]\nsessions_m = 9\n", "[daemon]\nclients_max = 100\n",
                          "[cpu]\nfrequency_hz = 199\n", "[memory]\nfaults_hz = 0\n"])
    with open(os.path.join(place, "perfd.conf"), "w", encoding="utf-8") as file:
        file.write(text)
    if random.random() < 0.5:
        perfd.process.send_signal(signal.SIGHUP)
    else:
        perfd.ctl("reload")


def rotate(perfd, _place, _target):
    """As logrotate's copytruncate."""
    os.truncate(perfd.log_path, 0)


def flat(samples, key, tolerance):
    """How far the last third's median is from the first's, once it has settled."""
    values = [sample[key] for sample in samples if sample[key] is not None]
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return {"first": first, "last": last, "min": min(values), "max": max(values),
            "drift": last / first - 1, "flat": abs(last / first - 1) <= tolerance}


def an_hour():
    with lib.folder() as place:
        conf = os.path.join(place, "perfd.conf")
        with open(conf, "w", encoding="utf-8"):
            pass
        with lib.Perfd("--config", conf) as perfd, \
                lib.started("sh", "-c", "while :; do sleep 0.1; true; " + lib.program("exits_at_once")
                            + "; done", stdout=subprocess.DEVNULL) as busy:
            began, samples, done, next_look = time.monotonic(), [], {}, 0.0
            acts = [storm, fresh, contained, attach, attach, leave, background, whole, ask, command,
                    reload, rotate]
            while time.monotonic() - began < MINUTES * 60:
                act = random.choice(acts)
                act(perfd, place, busy.pid)
                done[act.__name__] = done.get(act.__name__, 0) + 1
                if time.monotonic() - began >= next_look:
                    samples.append(look(perfd, began))
                    next_look += LOOK_SECONDS
                time.sleep(0.3 * random.random())
            settled = [sample for sample in samples if sample["s"] >= MINUTES * 60 / 6]
            tolerance = 0.05
            told = {key: flat(settled, key, tolerance) for key in ("VmRSS", "RssAnon", "fds", "images",
                                                                   "stacks", "unwind_bytes")}
            told["worker"] = flat(settled, "worker", 1.0)
            perfd.end()
            report = {"minutes": MINUTES, "done": done, "accounts": perfd.accounts(), **told}
            os.makedirs(os.path.join(lib.BUILD, "bench"), exist_ok=True)
            with open(os.path.join(lib.BUILD, "bench", "soak.json"), "w", encoding="utf-8") as file:
                json.dump({**report, "samples": samples}, file)
            print("# " + json.dumps(report))
            for key in ("RssAnon", "fds"):
                # Half a minute is no time to settle in: only what grows without end is seen. That it
                # falls is the end of other work on the machine.
                lib.check(told[key]["drift"] <= tolerance or MINUTES < 20,
                          f"{key} grows: {told[key]}")
            lib.check(told["RssAnon"]["max"] < 256 << 20 or MINUTES >= 20, f"memory: {told['RssAnon']}")
            lib.check(told["fds"]["max"] < 900, f"descriptors: {told['fds']}")
            lib.check(MINUTES < 3 or samples[-1]["released"], "no file was let go of")


lib.main(an_hour)
