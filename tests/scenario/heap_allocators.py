#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Probes on the allocator that a program really uses: jemalloc, tcmalloc, mimalloc and musl's, one
that is linked in, two at once, C++'s operators. Each program counts its own."""

import json
import os
import shutil
import subprocess

import lib
import lib_heap

ROUNDS, WAIT_US = 800, 1000
SETTINGS = ("--set", "memory.heap_interval=4K",
            "--set", "memory.heap_budget=1000",
            "--set", "cpu.frequency_hz=0", "--set", "memory.patterns=off")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
SOURCES = os.path.join(lib.ROOT, "tests", "programs")


def compiled(place, compiler, source, *options):
    """A test program, built in another way."""
    if not shutil.which(compiler):
        raise lib.Skip(f"{compiler} is not there")
    path = os.path.join(place, os.path.splitext(source)[0])
    result = subprocess.run([compiler, "-O2", "-g", f"-I{lib.ROOT}", *options, "-o", path,
                             os.path.join(SOURCES, source)], capture_output=True, text=True,
                            check=False)
    if result.returncode and "-static" in options:
        raise lib.Skip(f"{compiler} cannot link without shared libraries: {result.stderr[-200:]}")
    lib.equal(result.returncode, 0, f"{compiler}'s exit code ({result.stderr[-500:]})")
    return path


def preload(name):
    path = os.path.join(LIBRARIES, name)
    if not os.path.exists(path):
        raise lib.Skip(f"{path} is not there")
    return {**os.environ, "LD_PRELOAD": path}


def check_in_use(what, path, place, truth):
    """What was kept is in use, and nothing of what was freed."""
    folded = lib_heap.by_value(path, place, "inuse_space")
    for name, counted in truth.items():
        got, want = folded.within(name) if folded else 0, counted["live_bytes"]
        print(f"{what}, bytes of {name} in use: {got} of {want}")
        if not want:
            lib.equal(got, 0, f"bytes of {name} in use")
        else:
            lib.check(abs(got / want - 1) < 4 / (want / 4096) ** 0.5,
                      f"bytes of {name} in use: {got} of {want}")


def check_places(what, program, least=1, env=None, fates=True, refused=0):
    """Bytes and objects of each place are what the program counted; so many probes could not be
    put in."""
    lib.need_bpf()
    with lib.Perfd(*SETTINGS) as perfd, lib.folder() as place:
        path = os.path.join(place, "x.pb.gz")
        with lib.started(program, ROUNDS, WAIT_US, "wait", text=True, env=env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            with perfd.start_ctl("attach", "-e", "heap", "--pid", process.pid, "-o",
                                 path) as attached:
                perfd.wait_session(process.pid)
                lib_heap.wait_for_probes(perfd, least, "probes on the allocator")
                lib.equal(perfd.ctl_json("status")["memory"]["heap"]["probes_failed"], refused,
                          "probes that the kernel refused")
                out, _ = process.communicate("go\n", timeout=120)
                _, errors = attached.communicate(timeout=60)
                lib.equal(attached.returncode, 0, f"exit code of attach ({errors})")
        truth = json.loads(out)
        for value, key, interval in (("alloc_space", "bytes", 16384), ("alloc_objects", "objects",
                                                                       None)):
            folded = lib_heap.by_value(path, place, value)
            for name, counted in truth.items():
                got, want = folded.within(name), counted[key]
                # Small ones are rarely seen, and stand for many then.
                samples = counted["bytes"] / (interval or 65536)
                print(f"{what}, {key} of {name}: {got} of {want}: {got / want - 1:+.2%}")
                lib.check(abs(got / want - 1) < 4 / samples ** 0.5, f"{key} of {name}: {got} "
                          f"of {want}")
        if fates and lib_heap.sees_frees():
            check_in_use(what, path, place, truth)


def jemalloc():
    check_places("jemalloc", lib.program("allocs"), 3, preload("libjemalloc.so.2"))


def tcmalloc():
    check_places("tcmalloc", lib.program("allocs"), 3, preload("libtcmalloc_minimal.so.4"))


def mimalloc():
    check_places("mimalloc", lib.program("allocs"), 3, preload("libmimalloc.so"))


def musl():
    with lib.folder() as place:
        check_places("musl", compiled(place, "musl-gcc", "allocs.c"), 3)


def linked_in():
    """Static ones: the C library's, and musl's."""
    with lib.folder() as place:
        check_places("static glibc", compiled(place, "gcc", "allocs.c", "-static"), 3)
    with lib.folder() as place:
        check_places("static musl", compiled(place, "musl-gcc", "allocs.c", "-static"), 3)


def two_at_once():
    # Its own gives nothing back. One of its functions can have no probe; all others have theirs
    # nevertheless, where those of a file are one link, too.
    check_places("its own and the C library's", lib.program("two_allocators"), 6, fates=False,
                 refused=1)


# Says how many modules that are files of their own it has, and waits.
MODULES = """
import glob, importlib, os, sysconfig
for path in glob.glob(os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload", "*.so")):
    try:
        importlib.import_module(os.path.basename(path).split(".")[0])
    except Exception:
        pass
with open("/proc/self/maps") as maps:
    print(len({line.split()[-1] for line in maps if ".so" in line and "r-xp" in line}), flush=True)
input()
"""


def a_file_that_was_let_go_of():
    """The worker's files are limited, and the program is not among those asked for last when
    somebody wants its probes: it is opened again."""
    with lib.folder() as place, \
            lib.Perfd("--set", "limits.worker_images_max=4", *SETTINGS) as perfd, \
            lib.started(compiled(place, "gcc", "allocs.c", "-static"), 100, 0, "wait", text=True,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process, \
            lib.started("python3", "-c", MODULES, text=True, stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE) as other:
        files = int(other.stdout.readline())
        if files < 20:
            raise lib.Skip(f"python3 maps {files} files only, of which 16 are kept")

        for pid in (process.pid, other.pid):
            lib.succeeds(perfd.ctl("attach", "--pid", pid, "--background"))
            perfd.wait_session(pid)
            lib.wait_for(lambda: not perfd.ctl_json("status")["unwinder"]["tables_awaited"],
                         "tables of all its files")
        lib.succeeds(perfd.ctl("attach", "-e", "heap", "--pid", process.pid, "--background"))
        lib_heap.wait_for_probes(perfd, 3)
        process.communicate("go\n", timeout=60)
        other.communicate("\n", timeout=60)


def operators():
    """By way of malloc, and of an allocator that brings its own along."""
    with lib.folder() as place:
        program = compiled(place, "g++", "operators.cc", "-std=c++17")
        check_places("operators", program, 3)
        # Those that throw have no probe at their return: nobody knows what becomes of theirs.
        check_places("operators of jemalloc", program, 3, preload("libjemalloc.so.2"), False)


lib.main(jemalloc, tcmalloc, mimalloc, musl, linked_in, two_at_once, a_file_that_was_let_go_of,
         operators)
