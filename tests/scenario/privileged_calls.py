#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The privileged daemon's own system calls while it profiles programs: none opens, maps
or reads a file that has an ELF header. strace(1) tells the path behind each descriptor."""

import os
import re
import signal
import subprocess

import lib

CALLS = ("open,openat,openat2,creat,mmap,read,readv,pread64,preadv,preadv2,sendfile,splice,"
         "copy_file_range,tee,io_uring_setup,process_vm_readv,pidfd_getfd")
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
PATH = re.compile(r"<([^<>]*)>")


def strace(pid, path):
    """strace on all threads of a process and on what they start, once it is attached."""
    process = subprocess.Popen(
        [lib.command("strace"), "-f", "-y", "-s", "0", "-o", path, "-e", "trace=" + CALLS, "-p",
         str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lib.wait_for(lambda: lib.status_field(pid, "TracerPid") == str(process.pid)
                 or process.poll() is not None, "strace to attach")
    if process.poll() is not None:
        raise lib.Skip(f"strace cannot attach: {process.stderr.read().decode().strip()}")
    return process


def stop(process):
    process.send_signal(signal.SIGINT)
    process.wait(10)
    process.stderr.close()


def is_elf(path):
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def threads(pid):
    return {int(name) for name in os.listdir(f"/proc/{pid}/task")}


def offences(path, mine):
    """Calls of these threads that have to do with an ELF file, and how many there were."""
    found, count = [], 0
    with open(path, errors="replace") as file:
        for line in file:
            match = LINE.match(line)
            if not match or int(match.group(1)) not in mine:
                continue
            count += 1
            call, rest = match.group(2), match.group(3)
            if call in ("io_uring_setup", "process_vm_readv", "pidfd_getfd"):
                found.append(line.strip())
                continue
            paths = PATH.findall(rest)
            if call.startswith("open") and "O_PATH" not in rest:
                paths += re.findall(r'"(/[^"]*)"', rest)
            if any(part.startswith("/") and is_elf(part.removesuffix(" (deleted)"))
                   for part in paths):
                found.append(line.strip())
    return found, count


def while_it_profiles():
    lib.need_bpf()
    lib.command("strace")
    with lib.folder() as place, lib.Perfd() as perfd:
        trace = os.path.join(place, "trace")
        mine = threads(perfd.process.pid)
        tracer = strace(perfd.process.pid, trace)
        try:
            for number, words in enumerate((
                    [lib.program("shares"), 2], [lib.program("threads")], [lib.program("jit")],
                    [lib.program("dlopener"), os.path.join(lib.BUILD, "programs/libplugin.so")],
                    [lib.command("python3"), "-c", "import json, ssl\nfor i in range(3 * 10**6): pass"])):
                out = os.path.join(place, f"{number}.folded")
                lib.perfctl("record", "--socket", perfd.socket, "-F", 499, "-o", out, "--", *words)
            mine |= threads(perfd.process.pid)
            named = perfd.ctl_json("status")["symbols"]["named"]
        finally:
            stop(tracer)
        found, count = offences(trace, mine)
        lib.check(count > 50, f"only {count} calls of perfd were seen")
        lib.check(named > 50, f"only {named} addresses have a name: nothing was read by anybody")
        print(f"# {count} calls of the daemon, {len(found)} on ELF files; {named} names")
        lib.check(not found, f"the daemon itself touches ELF files: {found[:5]}")


def the_test_can_fail():
    """A process that does read and map a program is found out."""
    lib.need_root()
    lib.command("strace")
    reader = ("import mmap, os, sys\n"
              "sys.stdin.readline()\n"
              "fd = os.open('/bin/true', os.O_RDONLY)\n"
              "os.pread(fd, 16, 0)\n"
              "mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)\n"
              "sys.stdin.readline()\n")
    with lib.folder() as place, \
            lib.started(lib.command("python3"), "-c", reader, stdin=subprocess.PIPE) as child:
        trace = os.path.join(place, "trace")
        tracer = strace(child.pid, trace)
        mine = threads(child.pid)
        child.stdin.write(b"\n\n")
        child.stdin.flush()
        child.wait(20)
        tracer.wait(10)
        tracer.stderr.close()
        found, _ = offences(trace, mine)
        for call in ("open", "pread64", "mmap"):
            lib.check(any(call in line for line in found), f"no {call} among {found}")


lib.main(while_it_profiles, the_test_can_fail)
