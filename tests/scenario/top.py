#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl top on a pseudo-terminal of 80 by 24, as a table and as NDJSON, by root and by
somebody else."""

import contextlib
import json
import os
import signal
import subprocess

import lib
import lib_screen

SECONDS = 60  # of the program that is watched: longer than any case
HEAD = r"CPU%\s+RSS\s+FAULTS/S"


@contextlib.contextmanager
def busy(user=None):
    identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with lib.folder() as place:
        program = lib.for_everybody(lib.program("shares"), place)
        with lib.started(program, SECONDS, stdout=subprocess.DEVNULL, **identity) as process:
            yield process.pid


@contextlib.contextmanager
def shown(perfd, *options, **more):
    command = [lib.PERFCTL, "top", "--socket", perfd.socket, "-d", "250ms", *options]
    with lib_screen.Screen(command, **more) as screen:
        screen.wait(HEAD)
        yield screen


def from_processes_to_callers_and_back():
    with lib.Perfd() as perfd, busy() as pid, shown(perfd) as screen:
        screen.wait(rf"^ +{pid} +\d+\.\d .* shares$")
        lib.check(all(len(line) <= 80 for line in screen.text().split("\n")), "too wide")
        screen.type("/", "sha", "enter")
        screen.wait(r'filter "sha"')
        # A frame may come in pieces.
        lib.wait_for(lambda: screen.read() or "shares" in (screen.selected() or ""),
                     "the row to be selected")
        screen.type("enter")
        screen.wait(rf"^shares \({pid}\)  functions .*by self")
        screen.wait(r"^ +\d+\.\d +\d+\.\d .*work_50")
        screen.type("/", "work_50", "enter")
        screen.wait(r'filter "work_50"')
        screen.wait(r"work_50 +shares$")
        screen.type("enter")
        screen.wait(r"callers of work_50")
        screen.wait(r"^ +\d+\.\d .* main ")
        screen.type("/", "^main$", "enter")  # not what was sampled before its tables were there
        screen.wait(r'filter "\^main\$"')
        screen.wait(r"CALLER\n +\d+\.\d .* main ")
        screen.type("enter")
        screen.wait(r"callers of work_50 < main")
        screen.type("back")
        screen.wait(r"callers of work_50 +\(")
        screen.type("left", "back")
        screen.wait(r"^processes ")
        screen.wait(HEAD)
        screen.type("f")
        screen.wait(r"^all processes  functions")
        screen.type("q")
        lib.equal(screen.end(), 0, "exit code")
        screen.is_restored()
        lib.wait_for(lambda: not perfd.sessions(), "its sessions to end")


def orders_help_and_pause():
    with lib.Perfd() as perfd, busy() as pid, shown(perfd) as screen:
        screen.type("M")
        screen.wait(r"by memory")
        screen.type("r")
        screen.wait(r"by memory, reversed")
        screen.type("C", "r")
        screen.wait(r"by cpu$")
        screen.type("h")
        screen.wait(r"^perfctl top: what runs now")
        screen.wait(r"^Any key goes back")
        screen.type("x")
        screen.wait(HEAD)
        screen.type("p")
        screen.wait(r"PAUSED")
        screen.type("p")
        lib.wait_for(lambda: screen.read() or "PAUSED" not in screen.text(), "it to go on")
        screen.wait(rf"^ +{pid} ")


def resizes():
    with lib.Perfd() as perfd, busy() as pid, shown(perfd) as screen:
        screen.wait(rf"^ +{pid} ")
        for columns, lines in ((120, 40), (40, 8), (80, 24)):
            screen.resize(columns, lines)
            lib.wait_for(lambda: screen.read() or screen.line(lines - 1).startswith("q quit"),
                         f"the foot of {columns} by {lines}")
            screen.wait(r"^processes ")
        screen.wait(rf"^ +{pid} ")
        screen.resize(20, 3)  # no room for rows: still there afterwards
        screen.read()
        screen.resize(80, 24)
        screen.wait(rf"^ +{pid} ")
        screen.type("q")
        lib.equal(screen.end(), 0, "exit code")
        screen.is_restored()


def terminal_is_put_back():
    """By Ctrl-C, by a signal for either process, and when the one that draws is killed."""
    def ctrl_c(screen):
        screen.type("ctrl-c")

    def terminated(screen):
        os.kill(screen.process.pid, signal.SIGTERM)

    def crashed(screen):
        screen.kill(signal.SIGSEGV)

    def killed(screen):
        screen.kill(signal.SIGKILL)

    with lib.Perfd() as perfd:
        for end, code in ((ctrl_c, 0), (terminated, 143), (crashed, 139), (killed, 137)):
            with shown(perfd) as screen:
                screen.child()
                end(screen)
                lib.equal(screen.end(), code, f"exit code after {end.__name__}")
                screen.is_restored()


def colors_are_left_out():
    with lib.Perfd() as perfd:
        for environment, want in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
            with shown(perfd, environment={"TERM": "screen-256color", **environment}) as screen:
                lib.equal(screen.colors() != {"default"}, want, f"colours with {environment}")


def perfd_goes_and_comes_back():
    with lib.folder() as place, busy() as pid:
        path = os.path.join(place, "perfd.sock")
        with lib.Perfd(socket_path=path) as perfd:
            screen = lib_screen.Screen([lib.PERFCTL, "top", "--socket", path, "-d", "250ms"])
            with contextlib.ExitStack() as stack:
                stack.enter_context(screen)
                screen.wait(rf"^ +{pid} ")
                perfd.end()
                screen.wait(r"trying again")
                with lib.Perfd(socket_path=path):
                    screen.wait(rf"^ +{pid} +\d+\.\d ", 20)
                    lib.wait_for(lambda: screen.read() or "samples" in screen.line(0),
                                 "rows of the new perfd", 20)
                    screen.type("q")
                    lib.equal(screen.end(), 0, "exit code")


def one_table():
    with lib.Perfd() as perfd, busy() as pid:
        done = lib.succeeds(perfd.ctl("top", "--once", "--sort", "self", "--top", 5))
        lib.contains(done.stdout, "COMMAND\n", "the table")
        lib.check(done.stdout.count("\n") < 25, "more than --top lines")
        done = lib.succeeds(perfd.ctl("top", "--once", "--filter", "^shares$|work_"))
        lib.contains(done.stdout, f"{pid} ", "the process")
        lib.contains(done.stdout, "work_50", "its function")
        lib.check("\x1b" not in done.stdout, "control characters in a table")


def follows_schema(value, rules, where="top"):
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
             "null": type(None)}
    if "const" in rules:
        lib.equal(value, rules["const"], where)
    if "enum" in rules:
        lib.check(value in rules["enum"], f"{where}: {value!r}")
    if "type" in rules:
        names = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
        lib.check(any(isinstance(value, kinds[name]) for name in names), f"{where}: {value!r}")
    if isinstance(value, (int, float)):
        lib.check(rules.get("minimum", value) <= value <= rules.get("maximum", value),
                  f"{where}: {value}")
    if isinstance(value, dict):
        lib.equal(set(rules.get("required", ())) - set(value), set(), f"missing in {where}")
        for key, item in value.items():
            follows_schema(item, rules.get("properties", {}).get(key, {}), f"{where}.{key}")
    if isinstance(value, list):
        for item in value:
            follows_schema(item, rules.get("items", {}), where + "[]")


def lines_of_json():
    with open(os.path.join(lib.ROOT, "docs/schemas/perfd.top-1.json")) as file:
        rules = json.load(file)
    with lib.Perfd() as perfd, busy() as pid:
        def memory():
            done = lib.succeeds(perfd.ctl("top", "--json", "-n", 1, "-d", "100ms"))
            return any(row["rss_bytes"] for row in json.loads(done.stdout)["processes"]
                       if row["pid"] == pid)
        lib.wait_for(memory, "its memory to be known")  # which is looked at once a second
        done = lib.succeeds(perfd.ctl("top", "--json", "-n", 3, "-d", "400ms"))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        lib.equal(len(lines), 3, "lines of JSON")
        for told in lines:
            follows_schema(told, rules)
            lib.check(3e8 < told["interval_ns"] < 10e9, f"interval {told['interval_ns']}")
            lib.equal(sum(row["cpu_ns"] for row in told["processes"]), told["cpu_ns"],
                      "CPU time of the processes together")
            lib.equal(sum(row["self_ns"] for row in told["functions"]), told["cpu_ns"],
                      "CPU time of the functions together")
            lib.check(told["busy_percent"] <= 115, f"{told['busy_percent']} % busy")
        rows = [row for told in lines for row in told["processes"] if row["pid"] == pid]
        lib.check(any(row["cpu_ns"] for row in rows), "shares has no CPU time")
        lib.check(all(row["rss_bytes"] for row in rows), "shares has no memory")


def faults_are_counted():
    with lib.Perfd("--set", "memory.view_budget=0") as perfd, \
            lib.started(lib.program("faults"), 1000000, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL) as process:
        def some():
            done = lib.succeeds(perfd.ctl("top", "--json", "-n", 1, "-d", "300ms"))
            return [row for row in json.loads(done.stdout)["processes"]
                    if row["pid"] == process.pid and row["faults_per_second"]]
        lib.wait_for(some, "page faults of its own")


def others_see_their_own():
    with lib.Perfd() as perfd, busy() as roots, busy(lib.NOBODY) as own, lib.folder() as place:
        ctl = lib.for_everybody(lib.PERFCTL, place)
        def seen():
            told = json.loads(lib.succeeds(lib.perfctl(
                "top", "--socket", perfd.socket, "--json", "-n", 1, "-d", "500ms", binary=ctl,
                user=lib.NOBODY, group=lib.NOBODY, extra_groups=[])).stdout)
            return told if any(row["pid"] == own for row in told["processes"]) and any(
                row["name"] == "work_50" for row in told["functions"]) else None
        told = lib.wait_for(seen, "nobody's own process, and its function")
        pids = {row["pid"] for row in told["processes"]}
        lib.check(own in pids and roots not in pids, f"nobody sees {pids}")
        for pid in pids:
            with contextlib.suppress(OSError):
                lib.equal(os.stat(f"/proc/{pid}").st_uid, lib.NOBODY, f"owner of {pid}")


def said_clearly():
    with lib.folder() as place:
        nowhere = os.path.join(place, "none.sock")
        lib.fails(lib.perfctl("top", "--once", "--socket", nowhere), 3, "perfd is not running")
    for options, part in ((("--socket", "/x"), "--once"), (("--once", "--sort", "x"), "expected cpu"),
                          (("--once", "-d", "1ms"), "100ms"), (("--once", "-n", "2"), "exclude"),
                          (("--once", "x"), "no argument")):
        lib.fails(lib.perfctl("top", *options), 2, part)
    with lib.Perfd() as perfd, lib_screen.Screen(
            [lib.PERFCTL, "top", "--socket", perfd.socket], environment={"TERM": "nothing"}) as screen:
        lib.equal(screen.end(), 2, "exit code with an unknown terminal")
        lib.contains(screen.text(), "--once", "the error")


lib.main(from_processes_to_callers_and_back, orders_help_and_pause, resizes,
         terminal_is_put_back, colors_are_left_out, perfd_goes_and_comes_back, one_table,
         lines_of_json, faults_are_counted, others_see_their_own, said_clearly)
