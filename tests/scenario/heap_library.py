#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libperfd-heap.so, preloaded: what it needs and shows, that programs run as without
it, and that each call of each function is seen once, under glibc, musl and jemalloc."""

import os
import re
import shutil
import subprocess
import sys

import lib

LIBRARY = os.path.join(lib.BUILD, "libperfd-heap.so")
LATE = os.path.join(lib.BUILD, "libperfd-heap-late.so")
EVERY = {"PERFD_HEAP_MODE": "2", "PERFD_HEAP_INTERVAL": "0"}
PRELOADED = 1  # enum heap_state


def jemalloc():
    for path in ("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "/usr/lib64/libjemalloc.so.2"):
        if os.path.exists(path):
            return path
    raise lib.Skip("libjemalloc2 is not installed")


def run(command, preload, settings=None, **options):
    env = {**os.environ, **(settings or {})}
    env.pop("LD_PRELOAD", None)
    if preload:
        env["LD_PRELOAD"] = preload
    return subprocess.run([str(word) for word in command], env=env, capture_output=True,
                          timeout=120, stdin=subprocess.DEVNULL, **options)


def it_needs_no_library_and_shows_its_probes():
    for path in (LIBRARY, LATE):
        names = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True,
                               text=True, check=True).stdout.split()
        wanted = {"dl_iterate_phdr", "environ", "getauxval"}
        if path == LATE:
            wanted.add("__tls_get_addr")
        lib.equal({name for name in names if len(name) > 1}, wanted, f"what {path} needs")
        dynamic = subprocess.run(["readelf", "-d", path], capture_output=True, text=True,
                                 check=True).stdout
        lib.check("NEEDED" not in dynamic, f"{path} needs a library:\n{dynamic}")
        notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True,
                               check=True).stdout
        found = re.findall(r"Provider: (\S+)\s+Name: (\S+)\s+Location: (\S+), Base: \S+ "
                           r"Semaphore: (\S+)\s+Arguments: (.*)", notes)
        lib.equal(sorted(probe[:2] for probe in found),
                  [("otel_memory", "alloc"), ("otel_memory", "free"), ("perfd", "alloc"),
                   ("perfd", "free")], "probes")
        lib.equal(len({probe[2:] for probe in found}), 2, "places of four probes")
        lib.check(all(int(probe[3], 16) for probe in found), f"a semaphore each: {found}")


def counted(program, preload, settings=EVERY):
    done = run([program], preload, settings)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return done, {words[0]: [int(word) for word in words[1:]] for words in lines}


WANT = {"malloc": 1000, "calloc": 1000, "realloc": 2000, "reallocarray": 1000, "memalign": 1000,
        "aligned_alloc": 1000, "posix_memalign": 1000, "valloc": 1000, "strdup": 1000,
        "large": 1000, "fork": 1000}


def check_counts(counts, without=()):
    lib.equal(counts["state"], [PRELOADED], "state")
    for name, want in WANT.items():
        if name not in without:
            lib.equal(counts.get(name), [want, want], f"allocations and frees by {name}")
    # Threads have structures of their own that are allocated.
    lib.check(4000 <= counts["threads"][0] <= 4020 and 4000 <= counts["threads"][1] <= 4020,
              f"threads: {counts['threads']}")
    lib.equal(counts["untracked"], [0], "untracked")


def each_call_is_seen_once_under_glibc():
    for path in (LIBRARY, LATE):
        done, counts = counted(lib.program("heap_calls"), path)
        lib.equal(done.returncode, 0, "exit code")
        check_counts(counts)


def each_call_is_seen_once_under_jemalloc():
    # pvalloc() is glibc's even then, and jemalloc dies of freeing that, with us or without.
    done, counts = counted(lib.program("heap_calls"), f"{LIBRARY}:{jemalloc()}")
    for name in ("malloc", "calloc", "reallocarray", "memalign", "aligned_alloc", "valloc"):
        lib.equal(counts.get(name), [1000, 1000], f"allocations and frees by {name}")
    lib.equal(counts.get("rallocx"), [2000, 2000], "allocations and frees by rallocx")
    # The other way round it does not come first, sees a part, and tells nothing.
    done, counts = counted(lib.program("heap_calls"), f"{jemalloc()}:{LIBRARY}")
    lib.equal(counts["state"], [0], "state behind jemalloc")
    for name in ("malloc", "reallocarray"):
        lib.equal(counts.get(name), [0, 0], f"{name} behind jemalloc")


def each_call_is_seen_once_under_musl():
    compiler = lib.command("musl-gcc")
    with lib.folder() as place:
        program = os.path.join(place, "heap_calls")
        subprocess.run([compiler, "-I.", "-D_GNU_SOURCE", "-O1", "-fno-builtin",
                        "tests/programs/heap_calls.c", "-o", program], cwd=lib.ROOT, check=True)
        for path in (LIBRARY, LATE):
            done, counts = counted(program, path)
            lib.equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
            check_counts(counts)


CXX = r"""
#include <cstdint>
#include <cstdio>
#include <dlfcn.h>
#include <new>
#include <string>
#include "daemon/heap/control.h"
struct alignas(128) Wide { char bytes[128]; };
int main()
{
	auto *control = static_cast<heap_control *>(dlsym(RTLD_DEFAULT, "perfd_heap_control"));
	if (!control)
		return 2;
	heap_control before = *control;
	for (int i = 0; i < 1000; i++) {
		auto *one = new int(i);
		asm volatile("" : "+r"(one) : : "memory");
		delete one;
		auto *many = new char[100];
		asm volatile("" : "+r"(many) : : "memory");
		delete[] many;
		auto *wide = new Wide;
		asm volatile("" : "+r"(wide) : : "memory");
		delete wide;
		auto *nothrow = new (std::nothrow) long;
		asm volatile("" : "+r"(nothrow) : : "memory");
		delete nothrow;
	}
	std::printf("new %llu %llu\n", (unsigned long long)(control->sampled - before.sampled),
		    (unsigned long long)(control->freed - before.freed));
	try {
		volatile size_t size = SIZE_MAX / 4;
		char *lost = new char[size];
		std::printf("impossible %p\n", static_cast<void *>(lost));
	} catch (const std::bad_alloc &) {
		std::printf("bad_alloc 1\n");
	}
}
"""


def operators_of_cxx_are_seen_once():
    compiler = lib.command("g++")
    with lib.folder() as place:
        source, program = os.path.join(place, "new.cc"), os.path.join(place, "new")
        with open(source, "w") as file:
            file.write(CXX.replace("_Static_assert", "static_assert"))
        subprocess.run([compiler, "-std=gnu++17", "-O1", "-I.", "-D_Static_assert=static_assert",
                        "-D_GNU_SOURCE", source, "-o", program], cwd=lib.ROOT, check=True)
        preloads = [LIBRARY]
        try:
            preloads.append(f"{LIBRARY}:{jemalloc()}")
        except lib.Skip:
            pass
        for preload in preloads:
            done, counts = counted(program, preload)
            lib.equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
            lib.equal(counts["new"], [4000, 4000], f"operators under {preload}")
            lib.equal(counts["bad_alloc"], [1], "exceptions through the library")


def programs_run_as_without_it():
    with lib.folder() as place:
        commands = [
            [sys.executable, "-c", "import json, re, sqlite3, threading, hashlib\n"
             "db = sqlite3.connect(':memory:')\ndb.execute('create table t (a)')\n"
             "db.executemany('insert into t values (?)', [(str(i),) for i in range(20000)])\n"
             "print(db.execute('select count(*), sum(length(a)) from t').fetchall())\n"
             "print(hashlib.sha1(json.dumps(list(range(50000))).encode()).hexdigest())"],
            ["gcc", "-O2", "-I.", "-D_GNU_SOURCE", "-S", "-o", "-", "daemon/base/strbuf.c"],
            ["sh", "-c", "seq 100000 | sort -r | gzip -n | md5sum; (exec sh -c 'echo $0 inner')"],
        ]
        if shutil.which("node"):
            commands.append(["node", "-e", "console.log(JSON.stringify([...Array(9999).keys()]))"])
        if shutil.which("git"):
            commands.append(["git", "-c", "safe.directory=*", "log", "--oneline", "-5"])
        for command in commands:
            plain = run(command, None, cwd=lib.ROOT)
            for interval in ("0", "5000"):
                ours = run(command, LIBRARY, {**EVERY, "PERFD_HEAP_INTERVAL": interval},
                           cwd=lib.ROOT)
                lib.equal(ours.returncode, plain.returncode,
                          f"exit code of {command[0]} ({ours.stderr[-300:]})")
                lib.equal(ours.stdout, plain.stdout, f"output of {command[0]}")
        del place


def privileged_and_static_programs_are_left_alone():
    lib.need_root()
    with lib.folder() as place:
        # The loader ignores the path for a set-user-id program; the library would, too.
        program = lib.for_everybody(lib.program("heap_calls"), place)
        os.chmod(program, 0o4755)
        done = subprocess.run([program], env={**EVERY, "LD_PRELOAD": LIBRARY}, timeout=60,
                              capture_output=True, user=lib.NOBODY, group=lib.NOBODY)
        lib.equal(done.returncode, 0, "exit code of a set-user-id program")
        lib.check(b"malloc 0 0" in done.stdout, f"it was sampled: {done.stdout}")
    done = run([lib.program("hard_static"), "--help"], LIBRARY, EVERY)
    lib.check(done.returncode >= 0, f"a static program died of signal {-done.returncode}")


if __name__ == "__main__":
    lib.main(it_needs_no_library_and_shows_its_probes, each_call_is_seen_once_under_glibc,
             each_call_is_seen_once_under_jemalloc, each_call_is_seen_once_under_musl,
             operators_of_cxx_are_seen_once, programs_run_as_without_it,
             privileged_and_static_programs_are_left_alone)
