#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two ordinary users and root: each sees and attaches to own processes only, by every command,
over set-user-id programs, processes that hide, and user namespaces. What is not to be seen is
work in secret_work(), under the name "secret" (tests/programs/identity.c)."""

import contextlib
import os
import re
import shutil
import subprocess
import time

import lib

A, B = 61001, 61002
SECRET = ("secret",)  # in names of processes and of functions


def identity(uid):
    return {"user": uid, "group": uid, "extra_groups": []}


@contextlib.contextmanager
def place_of(*uids):
    """A folder each where the user may write, and programs that all may execute."""
    with lib.folder() as place:
        for uid in uids:
            os.mkdir(os.path.join(place, str(uid)))
            os.chown(os.path.join(place, str(uid)), uid, uid)
        yield place


def programs(place):
    """The program, and a copy that is root's wherever it is executed."""
    plain = lib.for_everybody(lib.program("identity"), place)
    risen = os.path.join(place, "risen")
    shutil.copy(plain, risen)
    os.chown(risen, 0, 0)
    os.chmod(risen, 0o4755)
    return plain, risen


def begun(uid, *steps, **options):
    who = identity(uid) if uid else {}
    return lib.started(*steps, stdin=subprocess.PIPE, **who, **options)


def tell(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


def result_of(perfd, place, process, uid=A, finish=True):
    """Ends the session on a process, as whoever opened it; the folded text."""
    who = identity(uid) if uid else {}
    out = os.path.join(place, str(uid), "x.folded") if uid else os.path.join(place, "x.folded")
    if finish:
        process.wait(30)
    result = perfd.ctl("detach", "--pid", process.pid, "-o", out, **who)
    lib.succeeds(result, "detach")
    with open(out, encoding="utf-8", errors="replace") as file:
        return file.read()


def attach(perfd, process, uid=A):
    who = identity(uid) if uid else {}
    return perfd.ctl("attach", "--pid", process.pid, "-F", 999, "--background", **who)


def no_secret(text, what):
    for word in SECRET:
        # (The kernel has functions of secretmem, which are in many a stack.)
        lib.check(word not in text.replace("secretmem", ""), f"{what}: it has {word!r}: {text[:600]}")


# --- by every command -------------------------------------------------------------

# What another user's try must come to: (code, a part of the error). A command that is new
# must be put in here, with what it may show.
DENIED = "belongs to uid"


def tries(pid, session, mine):
    """command -> [(arguments, code, part of the error)], tried by a stranger."""
    all_of_them = [([], 1, "only root and the group")]
    return {
        "record": [(["-p", pid, "-d", "100ms", "-o", "-"], 1, DENIED),
                   (["--heap", "-p", pid, "-d", "100ms", "-o", "-"], 1, DENIED)],
        "attach": [(["--pid", pid, "-d", "100ms", "-o", "-"], 1, DENIED),
                   (["--pid", pid, "--background"], 1, DENIED),
                   (["-e", "heap", "--pid", pid, "-d", "100ms", "-o", "-"], 1, DENIED),
                   (["-e", "faults", "--pid", pid, "-d", "100ms", "-o", "-"], 1, DENIED),
                   (["--heap", "--pid", pid, "-d", "100ms", "-o", "-"], 1, DENIED)],
        "detach": [(["--pid", pid, "-o", "-"], 1, "no background session"),
                   (["--session", session, "-o", "-"], 1, DENIED)],
        "sessions": [(["--json"], 0, None)],
        "status": [(["--json"], 0, None), ([], 0, None)],
        "top": [(["--once"], 0, None), (["--once", "--json"], 0, None)],  # own processes
        "rates": [([], 0, None), (["--session", session, "-F", 5], 1, DENIED)],
        "report": all_of_them + [(["--session", session], 1, DENIED), (["--pid", pid], 1, "only root")],
        "flamegraph": [(["@-1m", "-o", "-"], 1, "only root"),
                       (["--session", session, "-o", "-"], 1, DENIED)],
        "convert": [(["@-1m"], 1, "only root"), ([f"session:{session}"], 1, DENIED)],
        "diff": [(["@-2m..-1m", "@-1m"], 1, "only root"),
                 ([f"session:{session}", f"session:{session}"], 1, DENIED)],
        "timeline": all_of_them + [(["--session", session], 1, DENIED)],
        "services": all_of_them,
        "windows": all_of_them,
        "symbolize": [(["--pid", pid, "0x1000"], 1, "")],  # with the user's own rights
        "config": [(["show"], 1, "only root"), (["explain", "cpu.frequency_hz"], 0, None)],
        "reload": [([], 1, "only root")],
        "doctor": [([], None, None)],
        "version": [([], 0, None)],
        "help": [([], 0, None)],
    }


def every_command():
    """User B tries all on a process and a session of A's, with A's and root's secrets there."""
    with place_of(A, B) as place, lib.Perfd() as perfd:
        plain, _ = programs(place)
        copy = lib.for_everybody(lib.PERFCTL, place)
        with begun(A, plain, "secret", 60000) as theirs, begun(0, plain, "secret", 60000):
            lib.succeeds(attach(perfd, theirs, A), "attach")
            session = perfd.wait_session(theirs.pid, samples=True)["id"]
            listed = re.findall(r"^  ([a-z]+) ", lib.perfctl("help").stdout, re.MULTILINE)
            table = tries(theirs.pid, session, None)
            missing = set(listed) - set(table)
            lib.check(not missing - OTHERS, f"commands that no second user has tried: {missing}")
            for name, rows in table.items():
                if name not in listed and name != "help":
                    continue
                for arguments, code, part in rows:
                    where = [] if name in ("symbolize", "version", "help") \
                        else ["--socket", perfd.socket]
                    result = lib.perfctl(name, *where, *arguments, binary=copy, cwd=place,
                                         **identity(B))
                    words = f"{name} {' '.join(map(str, arguments))}"
                    if code is not None:
                        lib.equal(result.returncode, code, f"exit code of {words} ({result.stderr})")
                    if part:
                        lib.contains(result.stderr, part, words)
                    no_secret(result.stdout, words)
                    lib.check(not re.search(rf"\b{theirs.pid}\b", result.stdout),
                              f"{words} tells of the process")
            # The owner sees it, and root.
            lib.check("secret_work" in result_of(perfd, place, theirs, A, finish=False), "A's own")


OTHERS = {"heap", "export"}  # of files, or as report


def the_whole_machine_is_ones_own():
    """record -a of an ordinary user: own processes only, those that live for moments too."""
    with place_of(A, B) as place, lib.Perfd() as perfd:
        plain, risen = programs(place)
        out = os.path.join(place, str(A), "x.folded")
        quiet = {"stdout": subprocess.DEVNULL}
        with begun(0, plain, "secret", 60000), begun(B, plain, "secret", 60000), \
                begun(A, plain, "own", 60000), \
                lib.started("sh", "-c", f"while :; do {plain} own 3; {risen} secret 3; done",
                            **identity(A), **quiet), \
                lib.started("sh", "-c", f"while :; do {plain} secret 3; done", **quiet):
            result = lib.perfctl("record", "--socket", perfd.socket, "-a", "-F", 999, "-d", "3s",
                                 "-o", out, cwd=place, **identity(A))
        lib.succeeds(result, "record -a")
        with open(out, encoding="utf-8") as file:
            text = file.read()
        no_secret(text, "record -a")
        folded = lib.Folded(text)
        lib.check(folded.of_comm("plain") > 0.3 * folded.total, "little of one's own is there")


# --- who changes ------------------------------------------------------------------

def own_and_no_more():
    with place_of(A, B) as place, lib.Perfd() as perfd:
        plain, _ = programs(place)
        with begun(A, plain, "wait", "own", 300) as process:
            lib.fails(attach(perfd, process, B), 1, DENIED)
            lib.succeeds(attach(perfd, process))
            tell(process)
            lib.contains(result_of(perfd, place, process), "own_work", "A's own")
        with begun(A, plain, "hide", "own", 60000) as process:
            lib.wait_for(lambda: os.stat(f"/proc/{process.pid}/mem").st_uid == 0, "it to hide")
            lib.fails(attach(perfd, process), 1, "not dumpable")
            lib.succeeds(attach(perfd, process, 0))
        with begun(0, plain, "become", A, "own", 60000) as process:  # dumpable only after an exec
            lib.wait_for(lambda: lib.status_field(process.pid, "Uid").split()[0] == str(A), "it")
            lib.fails(attach(perfd, process), 1, "not dumpable")


def a_set_user_id_program_is_left_out():
    """And root, who looks at it, goes on."""
    with place_of(A) as place, lib.Perfd() as perfd:
        plain, risen = programs(place)
        with begun(A, plain, "wait", "own", 300, "exec", risen, "secret", 500, "exec", plain,
                   "secret", 100) as process:
            lib.succeeds(attach(perfd, process))
            lib.succeeds(attach(perfd, process, 0))
            tell(process)
            process.wait(30)
            roots = os.path.join(place, "root.folded")
            lib.wait_for(lambda: all(session["state"] == "exit" for session in perfd.sessions()),
                         "both sessions to end with the process")
            sessions = perfd.sessions()
            of_root = [session["id"] for session in sessions if session["owner_uid"] == 0][0]
            of_a = [session["id"] for session in sessions if session["owner_uid"] == A][0]
            lib.succeeds(perfd.ctl("detach", "--session", of_root, "-o", roots))
            seen = lib.Folded.load(roots)
            # The set-user-id program is the same process, and no exit of it was believed.
            lib.check(seen.within("secret_work") > 0.45 * seen.total,
                      f"{seen.within('secret_work')} of {seen.total} is the set-user-id program's")
            out = os.path.join(place, str(A), "x.folded")
            lib.succeeds(perfd.ctl("detach", "--session", of_a, "-o", out, **identity(A)))
            with open(out, encoding="utf-8") as file:
                text = file.read()
            lib.contains(text, "own_work", "A's")
            no_secret(text, "A's, over a set-user-id program")


def quick_changes():
    """What was another's for a moment is not judged by what it is when the daemon reads it."""
    with place_of(A) as place, lib.Perfd() as perfd:
        plain, risen = programs(place)
        steps = ["wait", "own", 20]
        for _ in range(20):
            steps += ["exec", risen, "secret", 5, "become", A, "exec", plain, "secret", 1]
        # Once executed as another's, a process is followed no more; its brothers are.
        script = f"read x; for i in $(seq 40); do {plain} own 5; {plain} exec {risen} secret 5 " \
                 f"become {A} exec {plain} secret 5; done; {plain} own 50"
        for words in ([plain, *steps], ["sh", "-c", script]):
            with begun(A, *words) as process:
                lib.succeeds(attach(perfd, process))
                tell(process)
                text = result_of(perfd, place, process)
                lib.contains(text, "own_work", "A's")
                no_secret(text, f"A's, of {words[:2]}")
        with begun(A, plain, "wait", *(["own", 5, "hide", "secret", 5, "show"] * 40)) as process:
            lib.succeeds(attach(perfd, process))
            tell(process)
            text = result_of(perfd, place, process)
            # What is hidden while it is sampled is not seen, though it is not when it is read.
            lib.contains(text, "own_work", "A's")
            lib.check("secret_work" not in text, f"what was hidden is seen: {text[:600]}")


def children_that_rise():
    """A child that executes a set-user-id program is left out, the others are not; of page
    faults and of allocations likewise."""
    with place_of(A) as place, lib.Perfd() as perfd:
        plain, risen = programs(place)
        script = f"read x; {risen} secret 300; {plain} own 300; {plain} fork exec {risen} secret 200"
        for event in ("cpu-clock", "faults"):
            with begun(A, "sh", "-c", script) as process:
                lib.succeeds(perfd.ctl("attach", "--pid", process.pid, "-e", event, "-F", 999,
                                       "--background", **identity(A)))
                tell(process)
                text = result_of(perfd, place, process)
                no_secret(text, f"A's {event}")
        # A command that begins as another's.
        result = lib.perfctl("record", "--socket", perfd.socket, "-F", 999, "-o", "-", "--", risen,
                             "secret", 200, cwd=os.path.join(place, str(A)), **identity(A))
        no_secret(result.stdout, "record -- a set-user-id program")
        lib.check(result.returncode, "there are samples")


def user_namespaces():
    """Who is root in a namespace of one's own is still oneself; and so for the others."""
    with place_of(A, B) as place, lib.Perfd() as perfd:
        plain, _ = programs(place)
        with begun(A, plain, "namespace", "show", "wait", "own", 300) as process:
            ours = os.readlink("/proc/self/ns/user")
            lib.wait_for(lambda: os.readlink(f"/proc/{process.pid}/ns/user") != ours, "its namespace")
            lib.fails(attach(perfd, process, B), 1, DENIED)
            lib.succeeds(attach(perfd, process))
            tell(process)
            lib.contains(result_of(perfd, place, process), "own_work", "A's own in its namespace")
        # perfctl inside of one: whoever is root there is user A to perfd.
        unshare = lib.command("unshare")
        with begun(B, plain, "secret", 60000) as theirs, begun(0, plain, "secret", 60000) as roots:
            for other in (theirs, roots):
                result = subprocess.run(
                    [unshare, "-Ur", lib.for_everybody(lib.PERFCTL, place), "attach", "--socket",
                     perfd.socket, "--pid", str(other.pid), "-d", "100ms", "-o", "-"],
                    capture_output=True, text=True, timeout=60, cwd=place, **identity(A))
                lib.fails(result, 1, DENIED)


lib.main(every_command, the_whole_machine_is_ones_own, own_and_no_more,
         a_set_user_id_program_is_left_out, quick_changes, children_that_rise, user_namespaces)
