#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libperfd-heap.so put into programs that run, and taken out of the way: real ones under
load, again and again, with every answer checked; and all those that it must not touch.

ATTACH_TIMES: how often each (3; `make test-attach`: 100)."""

import contextlib
import ctypes
import functools
import http.client
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import lib

TIMES = int(os.environ.get("ATTACH_TIMES", "3"))
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
PATCHED, DETACHED = 2, 3  # enum heap_state
CONTROL = "<4I2Q2I6Q"  # struct heap_control


# --- the library in a process ------------------------------------------------------------

@functools.cache
def symbol_offset(name):
    out = subprocess.run(["nm", LIBRARY], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^(\w+) \w {name}$", out, re.MULTILINE).group(1), 16)


def library_base(pid):
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            if "libperfd-heap" in line:
                return int(line.split("-")[0], 16)
    return None


def read_memory(pid, address, size):
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        file.seek(address)
        return file.read(size)


class Control:
    def __init__(self, pid):
        base = library_base(pid)
        lib.check(base, f"pid {pid} has no libperfd-heap.so")
        fields = struct.unpack(CONTROL, read_memory(pid, base + symbol_offset("perfd_heap_control"),
                                                    struct.calcsize(CONTROL)))
        (_, _, self.mode, self.state, self.interval, _, _, _, self.sampled, self.freed,
         self.untracked, _, self.slots, self.objects) = fields
        self.watchers = [struct.unpack("<H", read_memory(pid, base + symbol_offset(name), 2))[0]
                         for name in ("heap_alloc_semaphore", "heap_free_semaphore")]


def in_and_out(perfd, pid, times):
    """Attaches and detaches, and looks each time that it is in, and then out."""
    for _ in range(times):
        done = perfd.ctl("attach", "--heap", "--pid", pid, "--background")
        lib.equal(done.returncode, 0, f"attach to {pid} ({done.stderr.strip()})")
        control = Control(pid)
        lib.equal(control.state, PATCHED, "state after attach")
        lib.check(control.slots > 0, "no call of the allocator was found")
        perfd.ctl("detach", "--pid", pid, "-o", "-", "-f", "folded")
        lib.wait_for(lambda: Control(pid).state == DETACHED, f"pid {pid} to be left")
        control = Control(pid)
        lib.equal(control.slots, 0, "slots that still lead to the library")
        lib.wait_for(lambda: Control(pid).watchers == [0, 0], "the probes to be left alone")


# --- programs under load ------------------------------------------------------------------

class Load:
    """Calls `request` in a thread until the block ends; each answer must be right."""

    def __init__(self, request):
        self.request, self.count, self.failures, self.ended = request, 0, [], False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended and len(self.failures) < 10:
            try:
                self.request(self.count)
                self.count += 1
            except Exception as error:  # whatever it is, it is a failed request
                self.failures.append(repr(error))

    def __enter__(self):
        self.thread.start()
        lib.wait_for(lambda: self.count > 10 or self.failures, "the first answers", 30)
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(60)
        if sys.exc_info()[0] is None:
            lib.check(not self.thread.is_alive(), "a request hangs")
            lib.equal(self.failures, [], f"failed requests, beside {self.count} good ones")


def perfd():
    return lib.Perfd("--set", "cpu.frequency_hz=0")


def redis_under_load():
    with perfd() as daemon, lib.folder() as place:
        path = os.path.join(place, "redis.sock")
        with lib.started(lib.redis_server(place), "--port", 0, "--unixsocket", path, "--save", "",
                         "--dir", place, **QUIET) as server:
            lib.wait_for(lambda: lib.redis_answers(path), "redis to answer")
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(path)

                def request(number):
                    value = f"value-{number}-{'x' * (number % 5000)}"
                    client.sendall(f"SET key:{number % 999} {value}\r\n"
                                   f"GET key:{number % 999}\r\n".encode())
                    want = f"+OK\r\n${len(value)}\r\n{value}\r\n".encode()
                    got = b""
                    while len(got) < len(want):
                        part = client.recv(65536)
                        lib.check(part, "redis closed the connection")
                        got += part
                    lib.equal(got, want, "redis's answer")

                with Load(request):
                    in_and_out(daemon, server.pid, TIMES)


def get(port, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        lib.equal(answer.status, 200, f"status of {path}")
        return body
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return get(port)


def nginx_under_load():
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not nginx:
        raise lib.Skip("nginx is not installed")
    with perfd() as daemon, lib.folder() as place:
        port = free_port()
        page = b"0123456789abcdef" * 4000
        with open(os.path.join(place, "page"), "wb") as file:
            file.write(page)
        with open(os.path.join(place, "conf"), "w") as file:
            file.write(f"daemon off; error_log {place}/error.log; pid {place}/pid; user root;\n"
                       "worker_processes 1; events {}\n"
                       "http { access_log off; gzip on; gzip_types *;\n"
                       f"client_body_temp_path {place}/1; proxy_temp_path {place}/2;\n"
                       f"fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4;\n"
                       f"scgi_temp_path {place}/5;\n"
                       f"server {{ listen 127.0.0.1:{port}; root {place}; "
                       "location / { default_type text/plain; try_files /page =404; } } }\n")
        with lib.started(nginx, "-c", os.path.join(place, "conf"), **QUIET) as master:
            try:
                lib.wait_for(lambda: answers(port), "nginx to answer")
                worker = lib.wait_for(lambda: lib.children(master.pid), "nginx's worker")[0]
                with Load(lambda _: lib.equal(len(get(port)), len(page), "size of a page")):
                    in_and_out(daemon, worker, TIMES)
                    in_and_out(daemon, master.pid, 1)
            finally:
                master.terminate()
                master.wait(10)


PYTHON = """
import http.server, json, threading, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        body = json.dumps({str(i): [i] * 3 for i in range(500)}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
def spin():
    while True:
        if sum(json.loads(json.dumps(list(range(300))))) != 44850: sys.exit(9)
threading.Thread(target=spin, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def python_under_load():
    with perfd() as daemon:
        port = free_port()
        with lib.started(sys.executable, "-c", PYTHON, port, **QUIET) as server:
            size = len(lib.wait_for(lambda: answers(port), "python to answer"))
            with Load(lambda _: lib.equal(len(get(port)), size, "size of an answer")):
                in_and_out(daemon, server.pid, TIMES)


NODE = """
const server = require('http').createServer((request, answer) => {
  const rows = []; for (let i = 0; i < 500; i++) rows.push({i, text: 'row ' + i});
  require('zlib').deflate(JSON.stringify(rows), (error, packed) => {
    require('zlib').inflate(packed, (error, plain) => answer.end(plain)); });
});
server.listen(Number(process.argv[1]), '127.0.0.1');
"""


def node_under_load():
    node = lib.command("node")
    with perfd() as daemon:
        port = free_port()
        with lib.started(node, "-e", NODE, port, **QUIET) as server:
            size = len(lib.wait_for(lambda: answers(port), "node to answer"))
            with Load(lambda _: lib.equal(len(get(port)), size, "size of an answer")):
                in_and_out(daemon, server.pid, TIMES)


JAVA = """
import com.sun.net.httpserver.*;
import java.net.*;
import java.util.zip.*;
public class Server {
  public static void main(String[] args) throws Exception {
    HttpServer server = HttpServer.create(
        new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 0);
    server.createContext("/", exchange -> {
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < 2000; i++) text.append("row ").append(i);
      byte[] body = text.toString().getBytes(), packed = new byte[100000];
      Deflater deflater = new Deflater();
      deflater.setInput(body); deflater.finish();
      int n = deflater.deflate(packed); deflater.end();
      Inflater inflater = new Inflater();
      inflater.setInput(packed, 0, n);
      byte[] plain = new byte[body.length];
      try { inflater.inflate(plain); } catch (DataFormatException e) { plain = new byte[0]; }
      inflater.end();
      exchange.sendResponseHeaders(200, plain.length);
      exchange.getResponseBody().write(plain); exchange.close();
    });
    server.setExecutor(java.util.concurrent.Executors.newFixedThreadPool(4));
    server.start();
  }
}
"""


def java_under_load():
    java = lib.command("java")
    with perfd() as daemon, lib.folder() as place:
        source = os.path.join(place, "Server.java")
        with open(source, "w") as file:
            file.write(JAVA)
        subprocess.run([lib.command("javac"), "-d", place, source], check=True, timeout=120,
                       **QUIET)
        port = free_port()
        with lib.started(java, "-Xmx128m", "-cp", place, "Server", port, **QUIET) as server:
            size = len(lib.wait_for(lambda: answers(port), "java to answer", 60))
            with Load(lambda _: lib.equal(len(get(port)), size, "size of an answer")):
                in_and_out(daemon, server.pid, TIMES)


def postgres_programs():
    folders = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir(
        "/usr/lib/postgresql") else []
    for name in reversed(folders):
        found = os.path.join("/usr/lib/postgresql", name, "bin")
        if all(os.path.exists(os.path.join(found, tool)) for tool in ("initdb", "psql")):
            return found
    raise lib.Skip("postgresql is not installed")


def postgres_under_load():
    programs = postgres_programs()
    import pwd
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise lib.Skip("there is no user postgres") from None
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    with perfd() as daemon, lib.folder() as place:
        os.chown(place, user.pw_uid, user.pw_gid)
        data = os.path.join(place, "data")
        subprocess.run([os.path.join(programs, "initdb"), "-D", data, "-A", "trust", "-N"],
                       check=True, timeout=120, cwd=place, **QUIET, **identity)
        with lib.started(os.path.join(programs, "postgres"), "-D", data, "-k", place, "-c",
                         "listen_addresses=", "-F", cwd=place, **QUIET, **identity) as server:
            client = [os.path.join(programs, "psql"), "-h", place, "-U", "postgres", "-qAt"]

            def ask(text):
                return subprocess.run([*client, "-c", text], capture_output=True, text=True,
                                      timeout=60, cwd=place).stdout.strip()

            lib.wait_for(lambda: ask("select 1") == "1", "postgres to answer", 60)
            # One connection that asks without end: its backend is the target.
            with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  cwd=place) as talk:

                def request(number):
                    talk.stdin.write(f"select {number}, md5(string_agg(i::text, ',')) from "
                                     f"generate_series(1, {100 + number % 50}) i;\n")
                    talk.stdin.flush()
                    answer = talk.stdout.readline()
                    lib.check(answer.startswith(f"{number}|") and len(answer.strip()) > 32,
                              f"answer {answer!r}")

                try:
                    talk.stdin.write("select pg_backend_pid();\n")
                    talk.stdin.flush()
                    backend = int(talk.stdout.readline())
                    with Load(request):
                        in_and_out(daemon, backend, TIMES)
                        in_and_out(daemon, server.pid, 1)
                    lib.equal(ask("select 1"), "1", "a new connection after all that")
                finally:
                    talk.stdin.close()
                    talk.wait(10)
                    server.send_signal(signal.SIGINT)
                    server.wait(30)


# --- what is seen, and what is not disturbed -------------------------------------------------

def every_call_is_seen_while_it_is_in():
    env = {**os.environ, "PERFD_HEAP_MODE": "2", "PERFD_HEAP_INTERVAL": "0",
           "HEAP_LIBRARY": "libperfd-heap.so"}
    with perfd() as daemon, lib.started(lib.program("heap_calls"), "wait", stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=env) as target:

        def run():
            target.stdin.write("go\n")
            target.stdin.flush()
            counts = {}
            for line in target.stdout:
                if line.startswith("done"):
                    return counts
                name, *numbers = line.split()
                counts[name] = [int(number) for number in numbers]
            raise AssertionError("it ended")

        lib.equal(run()["malloc"], [0, 0], "seen before")
        for _ in range(2):
            done = daemon.ctl("attach", "--heap", "--pid", target.pid, "--background")
            lib.equal(done.returncode, 0, f"attach ({done.stderr.strip()})")
            counts = run()
            for name in ("malloc", "calloc", "reallocarray", "memalign", "strdup", "large"):
                lib.equal(counts[name], [1000, 1000], f"calls of {name}")
            lib.equal(counts["realloc"], [2000, 2000], "calls of realloc")
            daemon.ctl("detach", "--pid", target.pid, "-o", "-", "-f", "folded")
            lib.wait_for(lambda: Control(target.pid).state == DETACHED, "it to be left")
            lib.equal(run()["malloc"], [0, 0], "seen after")


# Until it is told to end.
TIMED = """
import time, select, sys
while not select.select([sys.stdin], [], [], 0)[0]:
    before = time.monotonic()
    select.select([], [], [], 0.05); time.sleep(0.05)
    select.epoll().poll(0.05)
    if time.monotonic() - before < 0.145: sys.exit(3)
print("whole", flush=True)
"""


def timed():
    return lib.started(sys.executable, "-c", TIMED, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       text=True)


def is_whole(target, what):
    out, _ = target.communicate("end\n", timeout=60)
    lib.equal((target.returncode, out), (0, "whole\n"), what)


SLEEPS_S, MOST_S = 6, 60


def sleeps_are_whole():
    with perfd() as daemon, timed() as target:
        began, times = time.monotonic(), 0
        while target.poll() is None and (not times or time.monotonic() - began < SLEEPS_S):
            done = daemon.ctl("attach", "--heap", "--pid", target.pid, "--background")
            if done.returncode == 0:
                times += 1
                daemon.ctl("detach", "--pid", target.pid, "-o", "-", "-f", "folded")
        is_whole(target, f"one that measures its sleeps, after {times} times in and out")


def a_dead_injector_leaves_a_sound_process():
    with perfd() as daemon, timed() as target:
        killed, began = 0, time.monotonic()
        while target.poll() is None and time.monotonic() - began < (
                SLEEPS_S if killed > 3 else MOST_S):
            attach = subprocess.Popen([lib.PERFCTL, "attach", "--socket", daemon.socket, "--heap",
                                       "--pid", str(target.pid), "--background"], **QUIET)
            while attach.poll() is None and target.poll() is None:
                for child in lib.children(daemon.process.pid):
                    with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline") as file:
                        if "--inject" in file.read():
                            time.sleep((killed % 40) * 0.0005)
                            os.kill(child, signal.SIGKILL)
                            killed += 1
            attach.wait(30)
            daemon.ctl("detach", "--pid", target.pid, "-o", "-", "-f", "folded")
        is_whole(target, f"the process after {killed} dead injectors")
        lib.check(killed > 3, f"only {killed} injectors could be killed")


# --- what it must not touch --------------------------------------------------------------------

def refused(daemon, pid, part, code=1):
    began = time.monotonic()
    done = daemon.ctl("attach", "--heap", "--pid", pid, "--background")
    lib.fails(done, code, part, f"attach --heap --pid {pid}")
    lib.check(time.monotonic() - began < 30, "a refusal took half a minute")


def programs_without_a_c_library():
    with perfd() as daemon, lib.folder() as place:
        source = os.path.join(place, "alone.c")
        with open(source, "w") as file:
            file.write("void _start(void) { for (;;) __asm__ volatile(\"pause\"); }\n")
        program = os.path.join(place, "alone")
        subprocess.run(["gcc", "-nostdlib", "-static", source, "-o", program], check=True)
        with lib.started(program) as target:
            refused(daemon, target.pid, "no C library")
            lib.equal(target.poll(), None, "its exit code")
        with lib.started(lib.program("idle")) as target:
            in_and_out(daemon, target.pid, 1)
        stripped = lib.for_everybody(lib.program("idle"), place)
        subprocess.run(["strip", stripped], check=True)
        with lib.started(stripped) as target:
            in_and_out(daemon, target.pid, 1)


def a_traced_or_stopped_process():
    libc = ctypes.CDLL(None, use_errno=True)
    with perfd() as daemon, lib.started(lib.program("idle")) as target:
        lib.equal(libc.ptrace(0x4206, target.pid, 0, 0), 0, "PTRACE_SEIZE")
        refused(daemon, target.pid, "is traced by")
        lib.equal(libc.ptrace(0x4207, target.pid, 0, 0), 0, "PTRACE_INTERRUPT")
        os.waitpid(target.pid, 0)
        refused(daemon, target.pid, "is traced by")
        libc.ptrace(17, target.pid, 0, 0)
        target.send_signal(signal.SIGSTOP)
        lib.wait_for(lambda: "T" in lib.status_field(target.pid, "State"), "it to stop")
        refused(daemon, target.pid, "kill -CONT")
        lib.check("T" in lib.status_field(target.pid, "State"), "it goes on")
        target.send_signal(signal.SIGCONT)
        in_and_out(daemon, target.pid, 1)


SECCOMP = """
import ctypes, struct, time
libc = ctypes.CDLL(None)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(allow)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
print("ready", flush=True)
time.sleep(60)
"""


def a_process_under_seccomp():
    with perfd() as daemon, lib.started(sys.executable, "-c", SECCOMP, stdout=subprocess.PIPE,
                                        text=True) as target:
        lib.equal(target.stdout.readline(), "ready\n", "the target")
        refused(daemon, target.pid, "seccomp")
        lib.equal(target.poll(), None, "its exit code")


def privileged_programs():
    with lib.folder() as place:
        program = lib.for_everybody(lib.program("idle"), place)
        os.chmod(program, 0o4755)
        # It is there before perfd: of its exec the kernel says that it has ended.
        with lib.started(program, user=lib.NOBODY, group=lib.NOBODY) as target:
            lib.wait_for(lambda: lib.status_field(target.pid, "Uid").split()[:2] ==
                         [str(lib.NOBODY), "0"], "its exec")
            lib.wait_for(lambda: "S" in lib.status_field(target.pid, "State"), "its sleep")
            with perfd() as daemon:
                refused(daemon, target.pid, "set-user-id")
                lib.equal(target.poll(), None, "its exit code")


def other_users():
    with perfd() as daemon, lib.folder() as place:
        os.chmod(daemon.folder, 0o755)
        perfctl = lib.for_everybody(lib.PERFCTL, place)
        program = lib.for_everybody(lib.program("idle"), place)
        with lib.started(program) as roots, \
                lib.started(program, user=lib.NOBODY, group=lib.NOBODY) as own:
            # root's process is not nobody's business; its own is, and root puts it in.
            done = subprocess.run([perfctl, "attach", "--socket", daemon.socket, "--heap", "--pid",
                                   str(roots.pid), "--background"], capture_output=True, text=True,
                                  user=lib.NOBODY, group=lib.NOBODY, extra_groups=[], timeout=60)
            lib.check(done.returncode == 1 and library_base(roots.pid) is None,
                      f"nobody got into root's process: {done}")
            done = subprocess.run([perfctl, "attach", "--socket", daemon.socket, "--heap", "--pid",
                                   str(own.pid), "--background"], capture_output=True, text=True,
                                  user=lib.NOBODY, group=lib.NOBODY, extra_groups=[], timeout=60)
            lib.equal(done.returncode, 0, f"attach to its own ({done.stderr.strip()})")
            lib.equal(Control(own.pid).state, PATCHED, "state")


def another_mount_namespace():
    unshare = lib.command("unshare")
    with perfd() as daemon, lib.folder() as place:
        # The library's folder is not there; the program sees an empty one in its place.
        program = lib.for_everybody(lib.program("idle"), place)
        hide = f"mount -t tmpfs none {lib.BUILD} && exec {program}"
        with lib.started(unshare, "-m", "sh", "-c", hide) as target:
            lib.wait_for(lambda: os.readlink(f"/proc/{target.pid}/exe") == program, "its exec")
            in_and_out(daemon, target.pid, 2)


def an_allocator_inside():
    with perfd() as daemon, lib.folder() as place:
        source, program = os.path.join(place, "own.c"), os.path.join(place, "own")
        with open(source, "w") as file:
            file.write("#include <stddef.h>\n#include <unistd.h>\n"
                       "static char arena[1 << 20]; static size_t used;\n"
                       "void *malloc(size_t n) { void *p = arena + used; "
                       "used += (n + 15) & ~15UL; return p; }\n"
                       "void free(void *p) { (void)p; }\n"
                       "void *calloc(size_t a, size_t b) { return malloc(a * b); }\n"
                       "void *realloc(void *p, size_t n) { (void)p; return malloc(n); }\n"
                       "int main(void) { for (;;) { free(malloc(10)); usleep(1000); } }\n")
        subprocess.run(["gcc", "-rdynamic", "-fno-builtin", source, "-o", program], check=True)
        with lib.started(program) as target:
            refused(daemon, target.pid, "an allocator inside")
            lib.equal(target.poll(), None, "its exit code")


def processes_that_die_meanwhile():
    with perfd() as daemon:
        for after in (0.02, 0.05, 0.1, 0.2):
            with lib.started("sleep", after) as target:
                began = time.monotonic()
                done = daemon.ctl("attach", "--heap", "--pid", target.pid, "--background")
                lib.check(time.monotonic() - began < 15, f"attach took long: {done}")
                lib.check(done.returncode in (0, 1) and len(done.stderr) < 1000, f"{done}")
                lib.equal(target.wait(10), 0, "exit code of sleep")
        lib.equal(daemon.ctl("status").returncode, 0, "status after all that")


if __name__ == "__main__":
    lib.need_bpf()
    lib.main(every_call_is_seen_while_it_is_in, sleeps_are_whole,
             a_dead_injector_leaves_a_sound_process, redis_under_load, nginx_under_load,
             python_under_load, node_under_load, java_under_load, postgres_under_load,
             programs_without_a_c_library, a_traced_or_stopped_process, a_process_under_seccomp,
             privileged_programs, other_users, another_mount_namespace, an_allocator_inside,
             processes_that_die_meanwhile)
