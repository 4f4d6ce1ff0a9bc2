#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a perfd that runs: shown, explained, read again by SIGHUP and `perfctl
reload`, and left as they were where something is wrong. And the line in the log for whoever
did something."""

import json
import os
import re
import signal
import subprocess

import lib

OTHER = 61234  # a uid of nobody


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def keys(perfd):
    return {key["key"]: key for key in perfd.ctl_json("config", "show")["keys"]}


def config(place, text):
    path = os.path.join(place, "perfd.conf")
    write(path, text)
    return path


def shown_and_explained():
    with lib.folder() as place:
        path = config(place, "[limits]\n# mine\nsessions_max = 5\n")
        with lib.Perfd("--config", path, "--set", "cpu.frequency_hz=49") as perfd:
            shown = keys(perfd)
            lib.equal(shown["limits.sessions_max"]["value"], "5", "sessions_max")
            lib.equal((shown["limits.sessions_max"]["file"], shown["limits.sessions_max"]["line"]),
                      (path, 3), "where it was set")
            lib.equal(shown["cpu.frequency_hz"]["option"], "--set", "who set the rate")
            lib.equal(shown["history.age"]["set_by"], "default", "who set the age")
            text = lib.succeeds(perfd.ctl("config", "show")).stdout
            lib.contains(text, f"default 31; set by {path}:3", "config show")
            text = lib.succeeds(perfd.ctl("config", "explain", "sessions_max")).stdout
            for part in ("limits.sessions_max = 5", "1 to 31", "default   31", f"{path}:3", "since 2",
                         "perfctl reload"):
                lib.contains(text, part, "config explain")
            lib.fails(perfd.ctl("config", "explain", "session_max"), 2,
                      'did you mean "limits.sessions_max"?')
            lib.fails(perfd.ctl("config", "show", "me"), 2, "explain KEY")
            # Others learn what a key means, not what it is.
            result = perfd.ctl("config", "show", user=OTHER, group=OTHER, extra_groups=[])
            lib.fails(result, 1, "only root and the group")
    text = lib.succeeds(lib.perfctl("config", "explain", "history.window", "--socket", "/no/such",
                                    "--config", "/dev/null")).stdout
    lib.contains(text, "history.window = 1s", "config explain without a perfd")
    lib.contains(text, "no perfd that could be asked runs", "config explain without a perfd")


def reloaded():
    with lib.folder() as place:
        path = config(place, "[cpu]\nfrequency_max_hz = 500\n")
        with lib.Perfd("--config", path) as perfd, \
                lib.started(lib.program("idle"), stdout=subprocess.DEVNULL) as target:
            high = ("attach", "--pid", target.pid, "-F", 900, "-d", "100ms", "-o",
                    os.path.join(place, "x.svg"))
            lib.fails(perfd.ctl(*high), 1, "cpu.frequency_max_hz")
            write(path, "[cpu]\nfrequency_max_hz = 1000\n[limits]\nring_bytes = 2M\n")
            told = perfd.ctl_json("reload")
            lib.equal([row["key"] for row in told["now"]], ["cpu.frequency_max_hz"], "now")
            lib.equal([(row["key"], row["from"], row["to"]) for row in told["restart"]],
                      [("limits.ring_bytes", "1M", "2M")], "after a restart")
            lib.check("cpu.frequency_max_hz" not in perfd.ctl(*high).stderr, "the limit is the old one")
            lib.equal(keys(perfd)["limits.ring_bytes"]["after_restart"], "2M", "config show")
            # By signal, and said in the log.
            write(path, "[cpu]\nfrequency_max_hz = 700\n[limits]\nring_bytes = 2M\n")
            perfd.process.send_signal(signal.SIGHUP)
            lib.wait_for(lambda: keys(perfd)["cpu.frequency_max_hz"]["value"] == "700", "SIGHUP")
            lib.contains(perfd.log(), "cpu.frequency_max_hz = 700, until now 1000: holds now", "log")
            lib.fails(perfd.ctl(*high), 1, "cpu.frequency_max_hz")


def rate_of(perfd, event):
    """Of the system-wide view; None: there is none."""
    rates = [stream["rate"] for stream in perfd.ctl_json("rates")["streams"]
             if stream["event"] == event and not stream["session"]]
    return rates[0] if rates else None


def rates_hold_at_once():
    """A program runs while the rates of the views change: it is told with its whole CPU time."""
    with lib.folder() as place:
        text = "[cpu]\nfrequency_hz = {}\n[memory]\nfaults_hz = {}\n"
        path = config(place, text.format(99, 97))
        burner = os.path.join(place, "burner")
        os.symlink(lib.program("shares"), burner)
        with lib.Perfd("--config", path) as perfd:
            lib.equal((rate_of(perfd, "cpu-clock"), rate_of(perfd, "faults")), (99, 97), "rates")
            with lib.started(burner, 3, stdout=subprocess.PIPE, text=True) as program:
                told = []
                for cpu, faults in ((499, 0), (49, 0), (999, 50), (199, 97)):
                    write(path, text.format(cpu, faults))
                    told.append([row["key"] for row in perfd.ctl_json("reload")["now"]])
                    lib.equal(rate_of(perfd, "cpu-clock"), cpu, "rate of CPU time")
                    lib.equal(rate_of(perfd, "faults"), faults or None, "rate of page faults")
                lib.equal(told[:2], [["cpu.frequency_hz", "memory.faults_hz"],
                                     ["cpu.frequency_hz"]], "what was told")
                truth = json.loads(program.communicate(timeout=60)[0])["cpu_ns"]
            cpu = perfd.ctl_json("report", "--since", "-10m", "--comm", "burner")["total"]
            lib.check(abs(cpu / truth - 1) < 0.2, f"{cpu} ns told, {truth} in truth")
            # And without a view of CPU time, until there is one again.
            write(path, text.format(0, 97))
            lib.succeeds(perfd.ctl("reload"))
            lib.equal(rate_of(perfd, "cpu-clock"), None, "a view without a rate")
            lib.equal(perfd.ctl_json("report", "--since", "-10m", "--comm", "burner")["total"], cpu,
                      "what was sampled before")
            write(path, text.format(99, 97))
            lib.succeeds(perfd.ctl("reload"))
            lib.equal(rate_of(perfd, "cpu-clock"), 99, "rate")
            fired = perfd.ctl_json("status")["samples"]["stored"]
            lib.wait_for(lambda: perfd.ctl_json("status")["samples"]["stored"] > fired, "samples")


def wrong_settings_change_nothing():
    with lib.folder() as place:
        path = config(place, "[cpu]\nfrequency_max_hz = 500\n")
        with lib.Perfd("--config", path) as perfd:
            before = keys(perfd)
            for text, part in (
                    ("[cpu]\nfrequency_max_hz = 600\nfrequency_hz = 1 Hz\n", ":3: frequency_hz"),
                    ("[cpu]\nfrequency_max_hz = 600\nfrequ", ":3: "),  # half written
                    ("[cpu]\nfrequency_max_hz = 50\n", "expected at most"),
                    ("\x00\x01\x02", ":1: ")):
                write(path, text)
                lib.fails(perfd.ctl("reload"), 1, path + part if part[0] == ":" else part)
                lib.contains(perfd.log(), "the settings stay as they were", "log")
            os.unlink(path)
            lib.fails(perfd.ctl("reload"), 1, path)
            perfd.process.send_signal(signal.SIGHUP)
            lib.wait_for(lambda: perfd.log().count("stay as they were") >= 6, "SIGHUP's error")
            lib.equal(keys(perfd), before, "settings")
            result = perfd.ctl("reload", user=OTHER, group=OTHER, extra_groups=[])
            lib.fails(result, 1, "only root may")


LINE = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def audit(perfd):
    """The lines, taken apart."""
    return [dict(LINE.findall(line.split("audit: ", 1)[1])) for line in perfd.log().splitlines()
            if "audit: " in line]


def audit_lines():
    with lib.folder() as place, lib.Perfd("--set", "daemon.log_level=error") as perfd:
        os.chmod(place, 0o777)
        liar = os.path.join(place, 'evil" op=x\n\x1b[31m')
        os.symlink(lib.for_everybody(lib.PERFCTL, place), liar)
        mine = lib.for_everybody(lib.program("shares"), place)
        other = {"user": OTHER, "group": OTHER, "extra_groups": []}
        with lib.started(mine, 60, stdout=subprocess.DEVNULL) as target, \
                lib.started(mine, 60, stdout=subprocess.DEVNULL, **other) as theirs:
            out = os.path.join(place, "x.svg")
            lib.succeeds(perfd.ctl("attach", "--pid", target.pid, "-d", "200ms", "-o", out))
            refused = lib.perfctl("attach", "--socket", perfd.socket, "--pid", target.pid, "-d", "200ms",
                                  "-o", "-", binary=liar, cwd=place, **other)
            lib.fails(refused, 1, "belongs to uid 0")
            lib.succeeds(perfd.ctl("attach", "--pid", theirs.pid, "--background", **other))
            perfd.wait_session(theirs.pid, samples=True)
            lib.succeeds(perfd.ctl("detach", "--pid", theirs.pid, "-o", out))
            lib.fails(perfd.ctl("report", **other), 1, "only root")
            lib.fails(perfd.ctl("reload", **other), 1, "only root")
            lib.succeeds(perfd.ctl("reload"))
            lib.succeeds(perfd.ctl("record", "-a", "-d", "200ms", "-o", out))
            lines = audit(perfd)
            for want in (
                    {"op": "attach", "result": "ok", "uid": "0", "target_pid": str(target.pid),
                     "target_uid": "0", "target_comm": '"shares"'},
                    {"op": "attach", "result": "refused", "uid": str(OTHER), "error": "EPERM",
                     "target_pid": str(target.pid)},
                    {"op": "attach", "result": "ok", "uid": str(OTHER), "target_uid": str(OTHER)},
                    {"op": "detach", "result": "ok", "uid": "0", "target_pid": str(theirs.pid)},
                    {"op": "recent", "result": "refused", "uid": str(OTHER)},
                    {"op": "reload", "result": "refused", "uid": str(OTHER)},
                    {"op": "reload", "result": "ok", "uid": "0"},
                    {"op": "record", "result": "ok", "uid": "0"}):
                lib.check(any(want.items() <= line.items() for line in lines),
                          f"no line for {want} among {json.dumps(lines)}")
            lib.check("\x1b" not in perfd.log(), "a name steers the terminal")
            lib.check(not any(line["op"] == "x" for line in lines), "a name made a field")


def refusals_do_not_fill_the_log():
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        flood = ("import socket, struct, sys\n"
                 "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                 "for i in range(500):\n"
                 "    s.sendall(struct.pack('<IHHI', 10, 9, 1, i) + struct.pack('<HII', 8, 4, 1))\n"
                 "    s.recv(65536)\n")
        lib.succeeds(subprocess.run(["python3", "-c", flood, perfd.socket], user=OTHER, group=OTHER,
                                    extra_groups=[], capture_output=True, text=True, timeout=60))
        lines = [line for line in audit(perfd) if line["op"] == "recent"]
        lib.check(20 <= len(lines) < 400, f"{len(lines)} lines for 500 refusals")


lib.main(shown_and_explained, reloaded, rates_hold_at_once, wrong_settings_change_nothing,
         audit_lines, refusals_do_not_fill_the_log)
