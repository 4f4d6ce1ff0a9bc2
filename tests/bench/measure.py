# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured while something runs: CPU time of processes and of BPF programs, memory,
kernel maps, the machine's own load. Times in ns, sizes in bytes. Nothing here prints."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402

QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
STATS = "/proc/sys/kernel/bpf_stats_enabled"
PERF_EVENT, RAW_TRACEPOINT = 7, 17  # enum bpf_prog_type
CPUCLOCK_SCHED = 2  # linux/posix-timers.h: a process's clock, as clock_getcpuclockid(3) makes it


def tool(name, package):
    """The path of a program that is measured beside perfd."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise lib.Skip(f"{name} is not installed (apt install {package})")
    return path


def helper(name):
    path = os.path.join(lib.BUILD, "tests", "bench_" + name)
    if not os.access(path, os.X_OK):
        raise lib.Skip(f"{os.path.relpath(path)} is not built: make bench builds it")
    return path


def complaint(*paths):
    """What a program that did not start wrote of it, in a line; bcc's write much more."""
    lines = []
    for path in paths:
        with open(path, errors="replace") as file:
            lines += [line.strip() for line in file if line.strip()]
    return next((line.partition(". ")[0] for line in lines if "kernel headers" in line),
                lines[-1][-200:] if lines else "it said nothing")


# --- CPU time ------------------------------------------------------------------------------

def cpu_ns(pid):
    """User and system time of all threads of a process, also of those that ended."""
    try:
        return time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return 0


def family(pid):
    """A process and its living descendants."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(OSError), open(
                        f"/proc/{one}/task/{task}/children") as file:
                    found += [int(word) for word in file.read().split()]
    return found


def reaped_ns(pid):
    """CPU time of children that ended and were waited for, to a tick."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) * 10 ** 9 // os.sysconf("SC_CLK_TCK")
    return 0


def family_ns(pid):
    return sum(cpu_ns(one) + reaped_ns(one) for one in family(pid))


def children_ns():
    """Of our own that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def run(command, **options):
    """(wall ns, CPU ns) of a command and all it waited for; AssertionError if it failed."""
    options = {**QUIET, **options}
    process = subprocess.Popen([str(word) for word in command], **options)
    began = time.monotonic_ns()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    lib.equal(process.returncode, 0, f"exit code of {os.path.basename(str(command[0]))}")
    return (time.monotonic_ns() - began, int((usage.ru_utime + usage.ru_stime) * 1e9))


# --- BPF -----------------------------------------------------------------------------------

@contextlib.contextmanager
def bpf_stats_kept():
    """Whatever happens meanwhile, the kernel's switch is then what it was."""
    try:
        with open(STATS) as file:
            before = file.read()
    except OSError:  # no BPF here: nor will anybody turn it
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError), open(STATS, "w") as file:
            file.write(before)


@contextlib.contextmanager
def bpf_stats():
    """The kernel counts the run time of BPF programs meanwhile."""
    with bpf_stats_kept():
        with open(STATS, "w") as file:
            file.write("1")
        yield


def fdinfo(pid):
    """Of each descriptor of a process the fields that /proc tells of it."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fdinfo"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/fdinfo/{name}") as file:
                yield dict((part.strip() for part in line.split(":", 1))
                           for line in file if ":" in line)


def bpf_run(pid, kind=None, tracepoint=None):
    """(ns, runs) of the programs that a process holds, of a type (PERF_EVENT, …), of those that are
    at tracepoints of such a name now, or of all."""
    programs, linked = {}, set()
    for fields in fdinfo(pid):
        if tracepoint and tracepoint in fields.get("tp_name", ""):
            linked.add(fields["prog_id"])
        elif "run_time_ns" in fields and kind in (None, int(fields["prog_type"])):
            programs[fields["prog_id"]] = int(fields["run_time_ns"]), int(fields["run_cnt"])
    found = [one for number, one in programs.items() if not tracepoint or number in linked]
    return sum(ns for ns, _ in found), sum(runs for _, runs in found)


def map_bytes(pid):
    """Kernel memory of the BPF maps that a process holds, each once."""
    maps = {fields["map_id"]: int(fields.get("memlock", "0")) for fields in fdinfo(pid)
            if "map_id" in fields and "prog_id" not in fields}
    return sum(maps.values())


# --- memory --------------------------------------------------------------------------------

def memory(pid, field="Pss"):
    """Bytes: Pss shares what is shared, Rss does not."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def written(pid):
    """Bytes that a process and its children wrote to files, pipes and sockets."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError), open(f"/proc/{one}/io") as file:
            total += int(dict(line.split(": ") for line in file)["wchar"])
    return total


def folder_bytes(path):
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(path) for name in names)


# --- the machine ------------------------------------------------------------------------------

def machine_ns():
    """(busy, stolen) of all CPUs since the boot, to a tick."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    tick = 10 ** 9 // os.sysconf("SC_CLK_TCK")
    return (sum(fields[:3]) + sum(fields[5:7])) * tick, fields[7] * tick


@contextlib.contextmanager
def busy_cpus(cpus=None, *command):
    """Something that burns on each of these CPUs (all of them)."""
    command = command or (lib.program("shares"), 3600)
    with contextlib.ExitStack() as stack:
        for cpu in cpus if cpus is not None else sorted(os.sched_getaffinity(0)):
            stack.enter_context(lib.started("taskset", "-c", cpu, *command, **QUIET))
        yield


@contextlib.contextmanager
def ready(*command):
    """A program that says "ready" when it is, and ends with its input."""
    with lib.started(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                     text=True) as process:
        lib.equal(process.stdout.readline().strip(), "ready", f"first line of {command[0]}")
        yield process
        process.stdin.close()
        process.wait(60)


WARM_MS = 400  # until perfd has a new process's mappings and tables


def gaps(seconds, depth):
    """Share of their own time that programs on all CPUs, so deep in calls, lost to interrupts."""
    command = [helper("kernel_cost"), "gaps", str(round(seconds * 1000)), str(depth),
               str(WARM_MS)]
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(lib.started(
            "taskset", "-c", cpu, *command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            text=True)) for cpu in sorted(os.sched_getaffinity(0))]
        seen = [json.loads(process.communicate(timeout=seconds * 5 + 60)[0])
                for process in processes]
    mine = sum(one["ran_ns"] - one["away_ns"] for one in seen)
    return sum(one["gap_ns"] for one in seen) / max(mine, 1)


# --- perfd ------------------------------------------------------------------------------------

class Cost:
    """What a perfd costs between two moments: CPU time of it and all its children, and the run
    time of its BPF programs (within bpf_stats()).

        cost = Cost(perfd); ...; used = cost.used()
    """

    def __init__(self, perfd):
        self.pid = perfd.process.pid
        self.before = self.look()

    def look(self):
        return {"wall": time.monotonic_ns(), "cpu": family_ns(self.pid),
                "bpf": bpf_run(self.pid)[0]}

    def used(self):
        """{"wall", "cpu", "bpf", "percent"}: the last, of one CPU, of CPU and BPF together."""
        now = self.look()
        used = {key: now[key] - self.before[key] for key in now}
        used["percent"] = 100 * (used["cpu"] + used["bpf"]) / max(used["wall"], 1)
        return used


def wait_for_tables(perfd):
    """Until nearly all stacks are whole: what runs has its mappings and tables. At most 10 s."""
    def nearly_all():
        seen = [perfd.ctl_json("status")["samples"]["unwinding"]]
        time.sleep(0.2)
        seen.append(perfd.ctl_json("status")["samples"]["unwinding"])
        whole = seen[1]["complete"] - seen[0]["complete"]
        return whole > 0.9 * (sum(seen[1].values()) - sum(seen[0].values()))
    with contextlib.suppress(AssertionError):
        lib.wait_for(nearly_all, "whole stacks", 10)


def wait_quiet(perfd, seconds=15):
    """Until perfd has met what runs: its tables are made, its names known. A machine where
    programs come and go all the time never gets there: then after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = family_ns(perfd.process.pid)
        time.sleep(0.5)
        if family_ns(perfd.process.pid) - before < 0.02 * 0.5e9:
            return


def lost(perfd):
    """(samples taken, samples and events lost) so far."""
    samples = perfd.ctl_json("status")["samples"]
    return samples["taken"], samples["lost_total"] + samples["lost"]["lost_sideband"]
