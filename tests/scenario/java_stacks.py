#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Java stacks without frame pointers: whole under many loads and ways to run Java, and
true: a known chain of calls, frame by frame beside the machine's own map of its code.

    java_stacks.py --table [JAVA]   the share of whole stacks, of more loads
"""

import contextlib
import glob
import os
import re
import shutil
import struct
import subprocess
import sys
import time

import lib

HZ = 997
WHOLE = 0.995
SLACK = 4  # samples: a load has some thousand, and half a per cent of them is few
WARM_SECONDS, SECONDS = 1.5, 1.5  # the first: CPU time of the machine
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../programs/JavaStacks.java")
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
BEGINNINGS = ("_start", "clone", "__clone", "clone3", "__clone3")
PLACE = re.compile(r"^\[.+\+0x[0-9a-f]+\]$")

# Load, options of the machine. Several loads: a thread each.
LOADS = [
    ("exceptions", []), ("contended,contended,contended", []),
    ("deep,streams,collections,exceptions,regex,virtual,copies", []),
    ("collections", ["-Xint"]), ("streams", ["-XX:TieredStopAtLevel=1"]),
    ("collections", ["-XX:+UseZGC"]), ("regex", ["-XX:-SegmentedCodeCache"]),
]
MORE_LOADS = [
    ("chain", []), ("deep", []), ("streams", []), ("collections", []), ("regex", []),
    ("virtual", []), ("copies", []), ("exceptions", ["-Xint"]),
    ("exceptions", ["-XX:TieredStopAtLevel=1"]), ("collections", ["-XX:-TieredCompilation"]),
    ("collections", ["-XX:+UseSerialGC"]), ("collections", ["-XX:+UseParallelGC"]),
    ("deep", ["-XX:+PreserveFramePointer"]),
]
# What each sample of the load "chain" is a beginning of, outermost first.
CHAIN = ["run", "once", "chain", "first", "second", "third", "leaf"]


def javas():
    """The commands "java" of all machines here, each once."""
    found = {}
    for path in [shutil.which("java"), *sorted(glob.glob("/usr/lib/jvm/*/bin/java"))]:
        if path and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), None)
    if not found or not shutil.which("javac"):
        raise lib.Skip("no Java is installed (apt install openjdk-17-jdk-headless)")
    return list(found)


@contextlib.contextmanager
def classes():
    with lib.folder() as place:
        done = subprocess.run(["javac", "--release", "11", "-nowarn", "-d", place, SOURCE],
                              capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise lib.Skip(f"javac: {done.stderr.strip()[-200:]}")
        yield place


@contextlib.contextmanager
def running(java, place, load, options):
    """A machine under that load, warm."""
    with lib.started(java, *options, "-cp", place, "JavaStacks", load, 120000,
                     **QUIET) as process:
        lib.wait_cpu(process.pid, WARM_SECONDS)
        yield process


# --- are they whole? -----------------------------------------------------------------

def is_whole(frames):
    marks = [frame for frame in frames if frame.startswith("[") and not PLACE.match(frame)
             and not frame.endswith("_[j]") and not frame.startswith("[vd")]
    return not marks and frames[0] in BEGINNINGS


def wholeness(path):
    """(whole, all, [(value, frames) of the others])"""
    whole, total, others = 0, 0, []
    for frames, value in lib.Folded.load(path).stacks:
        user = [frame for frame in frames[1:] if not frame.endswith("_[k]")]
        if not user:
            continue
        total += value
        if is_whole(user):
            whole += value
        else:
            others.append((value, user))
    return whole, total, sorted(others, reverse=True)


def one_load(perfd, java, place, load, options):
    """Looks twice: the first time perfd meets the machine's files."""
    path = os.path.join(perfd.folder, "out.folded")
    with running(java, place, load, options) as process:
        for seconds in (0.3, SECONDS):
            lib.succeeds(perfd.ctl("record", "-p", process.pid, "-F", HZ, "-d",
                                   f"{int(seconds * 1000)}ms", "-o", path), "record")
    return wholeness(path)


def whole_under_load():
    java = javas()[0]
    with classes() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        for load, options in LOADS:
            whole, total, others = one_load(perfd, java, place, load, options)
            text = f"{load} {' '.join(options)}: {whole / total:.2%} whole"
            print(text, flush=True)
            lib.check(whole >= WHOLE * total - SLACK * 1e9 / HZ,
                      f"{text}; others: {[(value, user[:3]) for value, user in others[:5]]}")


# --- are they true? ------------------------------------------------------------------

def captured(path, pid, since):
    """[(samples, [frame, outermost first])] of a process from a time on; frames as
    bpf/abi.h has them."""
    with open(path, "rb") as file:
        data = file.read()
    stacks, samples, at = {}, {}, 16
    while at + 16 <= len(data):
        size, kind, _, _, when = struct.unpack_from("<HBBIQ", data, at)
        if size < 16 or at + size > len(data):
            break
        if kind == 1:  # ABI_SAMPLE
            owner, _, _, _, user = struct.unpack_from("<IIQQQ", data, at + 16)
            if owner == pid and when >= since:
                samples[user] = samples.get(user, 0) + 1
        elif kind == 2:  # ABI_STACK
            number, owner, count = struct.unpack_from("<QIH", data, at + 16)
            if owner == pid:
                stacks[number] = struct.unpack_from(f"<{count}Q", data, at + 32)[::-1]
        at += size
    return [(count, stacks[number]) for number, count in samples.items() if number in stacks]


def code_map(java, pid):
    """[(start, end, name)] that the machine itself tells; None if it cannot."""
    path = f"/tmp/perf-{pid}.map"
    jcmd = os.path.join(os.path.dirname(java), "jcmd")
    if not os.path.exists(jcmd):
        return None
    try:
        subprocess.run([jcmd, str(pid), "Compiler.perfmap"], timeout=60, check=False, **QUIET)
        if not os.path.exists(path):
            return None
        with open(path) as file:
            lines = [line.split(None, 2) for line in file]
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    found = [(int(start, 16), int(size, 16), name.strip()) for start, size, name in lines]
    return sorted((start, start + size, name) for start, size, name in found)


def java_names(frames, code):
    """Names of the frames that are a Java machine's code: methods by their short names."""
    names = []
    for frame in frames:
        if frame >> 48:
            continue  # a place in a file
        name = next((name for start, end, name in code if start <= frame < end), "?")
        match = re.search(r"JavaStacks\.(\w+)\(", name)
        names.append(match.group(1) if match else name)
    return names


def is_true(names):
    """The call stub, main (interpreted), then the chain as far as it had come; under
    run() the clock is asked too, which is no part of the chain."""
    if len(names) < 2 or not names[0].startswith("StubRoutines") or names[1] != "Interpreter":
        return False
    rest = names[2:]
    if len(rest) > 1 and rest[0] == "run" and rest[1] not in CHAIN:
        return True
    return rest == CHAIN[:len(rest)]


def one_truth(java, place):
    options = ["-XX:CompileCommand=quiet", "-XX:CompileCommand=dontinline,JavaStacks::*"]
    with lib.folder() as folder:
        recording = os.path.join(folder, "recording")
        with lib.Perfd("--set", "cpu.frequency_hz=499", "--capture", recording) as perfd, \
                running(java, place, "chain", options) as process:
            lib.wait_for(lambda: perfd.ctl_json("status")["unwinder"]["java"]["known"],
                         "perfd to know the machine", 60)
            since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            lib.wait_cpu(process.pid, 2)
            perfd.end()
            code = code_map(java, process.pid)
        if not code:
            raise lib.Skip(f"{java} has no jcmd Compiler.perfmap")
        stacks = captured(recording, process.pid, since)
    right, whole_chain, wrong = 0, 0, {}
    for count, frames in stacks:
        names = java_names(frames, code)
        # Without "run" it is the machine's own thread, or its beginning and end.
        if not set(CHAIN) & set(names):
            continue
        if is_true(names):
            right += count
            whole_chain += count * (names[-1] == "leaf" and len(names) == len(CHAIN) + 2)
        else:
            wrong[tuple(names)] = wrong.get(tuple(names), 0) + count
    total = right + sum(wrong.values())
    print(f"{java}: {right} of {total} stacks true, {whole_chain} the whole chain")
    lib.check(total > 300, f"{total} samples of the chain: not enough to tell")
    first = sorted(wrong.items(), key=lambda item: -item[1])[:5]
    lib.check(right >= WHOLE * total - SLACK, f"wrong: {first}")
    lib.check(whole_chain > 0.8 * total, f"only {whole_chain} of {total} reach the leaf")


def frame_by_frame():
    with classes() as place:
        told = 0
        for java in javas():
            try:
                one_truth(java, place)
                told += 1
            except lib.Skip as reason:
                print(reason)
        if not told:
            raise lib.Skip("no Java here tells where its code is (jcmd PID Compiler.perfmap)")


def table(java):
    with classes() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        print("| load | options | samples | whole |\n|---|---|--:|--:|")
        for load, options in LOADS + MORE_LOADS:
            try:
                whole, total, others = one_load(perfd, java, place, load, options)
            except AssertionError as error:  # an option that this machine does not know
                print(f"| {load} | {' '.join(options)} | | {lib.one_line(error)} |")
                continue
            print(f"| {load} | {' '.join(options)} | {round(total * HZ / 1e9)} "
                  f"| {whole / total:.2%} |", flush=True)
            for value, user in others[:3]:
                print(f"    {value} {';'.join(user[:3])} … {';'.join(user[-2:])}",
                      file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--table"]:
        table(sys.argv[2] if len(sys.argv) > 2 else javas()[0])
    else:
        lib.main(frame_by_frame, whole_under_load)
