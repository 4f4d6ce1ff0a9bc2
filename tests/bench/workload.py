# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs that are looked at slice by slice, a tenth of a second or less each. Each is a
context manager of a work:

    work.start()
    work.slice(pair, seconds)       again and again
    work.stop()                     [(wall ns, CPU ns)] of a piece of work, for each slice;
                                    None where nothing can be said of it

redis and pgbench run all the time: a slice is so many seconds of them, and a piece of work a
request, a transaction. A compiler and python3 are begun anew: a slice is one of their runs,
the same one in both halves of a pair, and that is the piece of work. CPU time is that of the
program, its server and its children.
"""

import array
import bisect
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

import measure
from measure import QUIET, lib

CONNECTIONS = 20
ENDLESS = 2000000000
PYTHON = """
import json, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Node:
    def __init__(self, d): self.kids = [Node(d - 1) for _ in range(3)] if d else []
    def size(self): return 1 + sum(k.size() for k in self.kids)
for _ in range(3):
    fib(16); Node(6).size()
    json.loads(json.dumps({str(i): list(range(i)) for i in range(100)}))
    sorted((str(i * 7919 % 1000) for i in range(3000)), key=lambda s: re.sub("1", "2", s))
"""


class Runs:
    """Commands that are begun anew, each for two pairs, so that it is first once and once last."""
    serial = True  # one CPU's work, whatever the machine has

    def __init__(self, commands):
        self.commands, self.found = commands, []

    def start(self):
        self.found = []

    def slice(self, pair, _seconds):
        self.found.append(measure.run(self.commands[pair // 2 % len(self.commands)]))

    def stop(self):
        return self.found


@contextlib.contextmanager
def python3(place):
    path = os.path.join(place, "work.py")
    with open(path, "w") as file:
        file.write(PYTHON)
    program = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else shutil.which("python3")
    yield Runs([[program, "-S", path]])


@contextlib.contextmanager
def gcc(place):
    """Files of perfd itself, as perfd compiles them, one after the other."""
    compiler = shutil.which("gcc", path="/usr/bin:/bin") or measure.tool("gcc", "gcc")
    base = os.path.join(lib.ROOT, "daemon", "base")
    files = [path for path in sorted(glob.glob(os.path.join(base, "*.c")))
             if os.path.getsize(path) < 8192]
    yield Runs([[compiler, "-O2", "-g", "-std=gnu17", "-D_GNU_SOURCE", f"-I{lib.ROOT}",
                 f"-I{lib.ROOT}/build/gen", "-c", path, "-o", os.path.join(place, "x.o")]
                for path in files])


class Stream:
    """What runs all the time. look() gives (ns, pieces of work so far, CPU ns so far)."""
    serial = False

    def __init__(self):
        self.looks = []

    def slice(self, _pair, seconds):
        before = self.look()
        time.sleep(seconds)
        self.looks.append((before, self.look()))

    def done(self):
        """[(wall, CPU)] of a piece of work, of the looks, which are forgotten."""
        looks, self.looks = self.looks, []
        return [((after[0] - before[0]) / (after[1] - before[1]),
                 (after[2] - before[2]) / (after[1] - before[1]))
                if after[1] > before[1] else None for before, after in looks]


class Redis(Stream):
    """A server and its benchmark; the server counts what it has done."""
    KINDS = ("set", "get")

    def __init__(self, server, path, stack):
        super().__init__()
        self.server, self.path, self.stack = server, path, stack
        self.client, self.clients, self.turn = None, None, 0
        self.asker = socket.socket(socket.AF_UNIX)
        stack.callback(self.asker.close)
        self.asker.connect(path)

    def start(self):
        kind = self.KINDS[self.turn % len(self.KINDS)]
        self.turn += 1
        self.clients = contextlib.ExitStack()
        self.client = self.clients.enter_context(lib.started(
            measure.tool("redis-benchmark", "redis-tools"), "-s", self.path, "-q", "-n", ENDLESS,
            "-c", CONNECTIONS, "-t", kind, "-d", 64, "-r", 10000, **QUIET))
        first = self.look()[1]
        lib.wait_for(lambda: self.look()[1] > first + 1000, "redis-benchmark to begin")

    def look(self):
        self.asker.sendall(b"INFO stats\r\n")
        text = b""
        while b"total_commands_processed:" not in text or not text.endswith(b"\r\n"):
            text += self.asker.recv(65536)
        count = int(text.partition(b"total_commands_processed:")[2].split(b"\r")[0])
        return (time.monotonic_ns(), count,
                measure.cpu_ns(self.server.pid) + measure.cpu_ns(self.client.pid))

    def stop(self):
        self.clients.close()
        return self.done()


@contextlib.contextmanager
def redis(place):
    path = os.path.join(place, "r.sock")
    measure.tool("redis-benchmark", "redis-tools")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(lib.started(
            lib.redis_server(place), "--port", 0, "--unixsocket", path, "--save", "",
            "--appendonly", "no", "--dir", place, **QUIET))
        lib.wait_for(lambda: lib.redis_answers(path), "redis to answer")
        yield Redis(server, path, stack)


class Pgbench(Stream):
    """Four connections that look rows up. pgbench logs when each transaction ended, so a slice's
    are counted afterwards."""

    def __init__(self, command, identity, server, home):
        super().__init__()
        self.command, self.identity, self.server = command, identity, server
        self.prefix = os.path.join(home, "transactions")
        self.client, self.clients, self.pids = None, None, []

    def log(self):
        return f"{self.prefix}.{self.client.pid}"

    def start(self):
        self.clients = contextlib.ExitStack()
        self.client = self.clients.enter_context(lib.started(
            *self.command, "-n", "-S", "-c", 4, "-j", 1, "-T", 36000, "-l", "--log-prefix",
            self.prefix, "postgres", **self.identity))
        lib.wait_for(lambda: os.path.exists(self.log()) and os.path.getsize(self.log()),
                     "pgbench to begin")
        self.pids = [*measure.family(self.server.pid), self.client.pid]

    def look(self):
        return time.time_ns(), 0, sum(map(measure.cpu_ns, self.pids))

    def ends(self):
        """When transactions ended, by CLOCK_REALTIME; the last, partial line does not count."""
        with open(self.log()) as file:
            text = file.read()
        found = array.array("q", (int(words[4]) * 10 ** 9 + int(words[5]) * 1000 for words in
                                  map(str.split, text[:text.rfind("\n") + 1].splitlines())))
        return sorted(found)

    def stop(self):
        self.clients.close()
        ends = self.ends()
        os.unlink(self.log())
        # What the log's last block would have told nobody knows.
        self.looks = [tuple((at, bisect.bisect(ends, at) if ends and at <= ends[-1] else 0, cpu)
                            for at, _, cpu in pair) for pair in self.looks]
        return self.done()


@contextlib.contextmanager
def pgbench(place):
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
            yield Pgbench(bench, identity, server, home)
        finally:
            server.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(20)


PROGRAMS = {"redis": redis, "gcc": gcc, "pgbench": pgbench, "python3": python3}
