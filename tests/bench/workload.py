# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs with a fixed piece of work: each a context manager of a function that does it
once and gives (wall ns, CPU ns of it and its server)."""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import time

import measure
from measure import QUIET, lib

PYTHON = """
import json, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Node:
    def __init__(self, d): self.kids = [Node(d - 1) for _ in range(3)] if d else []
    def size(self): return 1 + sum(k.size() for k in self.kids)
for _ in range(TURNS):
    fib(16); Node(6).size()
    json.loads(json.dumps({str(i): list(range(i)) for i in range(100)}))
    sorted((str(i * 7919 % 1000) for i in range(5000)), key=lambda s: re.sub("1", "2", s))
"""


@contextlib.contextmanager
def python3(place, size):
    path = os.path.join(place, "work.py")
    with open(path, "w") as file:
        file.write(PYTHON.replace("TURNS", str(round(40 * size))))
    program = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else shutil.which("python3")
    yield lambda: measure.run([program, path])


@contextlib.contextmanager
def gcc(place, size):
    """Files of perfd itself, one after the other."""
    compiler = shutil.which("gcc", path="/usr/bin:/bin") or measure.tool("gcc", "gcc")
    files = sorted(glob.glob(os.path.join(lib.ROOT, "daemon", "base", "*.c")))
    files = files[:max(2, round(6 * size))]
    gen = os.path.join(lib.ROOT, "build", "gen")
    script = "set -e; for f; do %s -O2 -g -std=gnu17 -D_GNU_SOURCE -I%s -I%s -c $f -o %s/x.o; done" % (
        compiler, lib.ROOT, gen, place)
    yield lambda: measure.run(["sh", "-c", script, "sh", *files])


@contextlib.contextmanager
def redis(place, size):
    client, path = measure.tool("redis-benchmark", "redis-tools"), os.path.join(place, "r.sock")
    with lib.started(lib.redis_server(place), "--port", 0, "--unixsocket", path, "--save", "",
                     "--appendonly", "no", "--dir", place, **QUIET) as server:
        lib.wait_for(lambda: lib.redis_answers(path), "redis to answer")

        def work():
            before = measure.cpu_ns(server.pid)
            wall, cpu = measure.run([client, "-s", path, "-q", "-n", round(40000 * size), "-c", 20,
                                     "-t", "set,get", "-d", 64, "-r", 10000])
            return wall, cpu + measure.cpu_ns(server.pid) - before
        yield work


@contextlib.contextmanager
def pgbench(place, size):
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not folders:
        raise lib.Skip("postgres is not installed (apt install postgresql)")
    binary = {name: os.path.join(folders[-1], name) for name in ("initdb", "postgres", "pgbench")}
    try:
        user = pwd.getpwnam("postgres").pw_uid
    except KeyError:
        user = lib.NOBODY
    home = os.path.join(place, "pg")
    os.mkdir(home)
    os.chown(home, user, -1)
    identity = {"user": user, "cwd": home, **QUIET}
    subprocess.run([binary["initdb"], "-D", home + "/data", "-A", "trust", "-U", "bench",
                    "--no-sync"], check=True, timeout=120, **identity)
    bench = [binary["pgbench"], "-h", home, "-U", "bench"]
    with lib.started(binary["postgres"], "-D", home + "/data", "-k", home, "-h", "", "-F",
                     **identity) as server:
        try:
            lib.wait_for(lambda: os.path.exists(os.path.join(home, ".s.PGSQL.5432"))
                         and subprocess.run([*bench, "-i", "-q", "-s", "2", "postgres"],
                                            **identity).returncode == 0, "postgres to answer", 60)

            def work():
                before = measure.family_ns(server.pid)
                wall, cpu = measure.run([*bench, "-n", "-S", "-c", "4", "-j", "1", "-t",
                                         str(round(2500 * size)), "postgres"], **identity)
                time.sleep(0.05)  # the four that served it end
                return wall, cpu + measure.family_ns(server.pid) - before
            yield work
        finally:
            server.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)


PROGRAMS = {"redis": redis, "gcc": gcc, "pgbench": pgbench, "python3": python3}
