#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Unwind tables on disk: a restart finds them again; what happened to them meanwhile,
and a folder that cannot be used, cost tables made anew and nothing else."""

import contextlib
import glob
import os

import lib

SPIN = "import itertools\nfor i in itertools.count(): sum(range(1000))"


@contextlib.contextmanager
def place():
    lib.need_bpf()
    with lib.folder() as folder:
        yield os.path.join(folder, "tables")


def look(tables, *options):
    """What status says of the cache after a look at a process, and the log."""
    with lib.Perfd("--set", f"unwind.cache_dir={tables}", "--set", "cpu.frequency_hz=0",
                   *options) as perfd, lib.started("python3", "-c", SPIN) as process:
        output = os.path.join(perfd.folder, "x.folded")
        lib.succeeds(perfd.ctl("record", "--pid", process.pid, "--duration", "500ms", "-o",
                               output))
        whole = [value for frames, value in lib.Folded.load(output).stacks
                 if frames[-1] != "[unwind table not loaded]"]
        lib.check(whole, "no stack by a table")

        def settled():
            now = perfd.ctl_json("status")["unwinder"]
            done = now["cache"]["stored"] + now["cache"]["failed"] >= now["cache"]["misses"]
            return now if done or not now["cache"]["used"] else None
        unwinder = lib.wait_for(settled, "tables to be kept")
        lib.check(unwinder["tables_loaded"] > 3, f"{unwinder['tables_loaded']} tables")
        return unwinder["cache"], perfd.log()


def kept(tables):
    return glob.glob(os.path.join(tables, "*.table"))


def found_again():
    with place() as tables:
        first, _ = look(tables)
        lib.equal((first["damaged"], first["failed"]), (0, 0), "first look")
        lib.check(first["stored"] > 3, f"{first['stored']} kept")
        lib.equal(os.stat(tables).st_mode & 0o777, 0o700, "mode of the folder")
        second, _ = look(tables)
        lib.check(second["hits"] > 3, f"{second['hits']} hits at the second look")
        lib.equal(second["damaged"], 0, "damaged")
        lib.check(second["bytes"] <= second["limit_bytes"], "more bytes than the limit")


def torn_and_forged():
    """Every file is damaged in one of three ways; leftovers of writers lie about."""
    with place() as tables:
        look(tables)
        spoiled = sorted(kept(tables))
        for number, path in enumerate(spoiled):
            with open(path, "r+b") as file:
                if number % 3 == 0:
                    file.truncate(os.path.getsize(path) // 2)
                elif number % 3 == 1:
                    file.seek(200)
                    file.write(b"forged")
                else:
                    file.truncate(0)
        leftover = os.path.join(tables, "new-1-1")
        with open(leftover, "w") as file:
            file.write("half a tab")
        after, _ = look(tables)
        lib.check(after["damaged"] > 3, f"{after['damaged']} damaged")
        # A file that is met in two ways may find what was made anew for the first; one of the
        # three kinds of damage, taken for sound, would be a third of all.
        lib.check(after["hits"] * 6 < after["damaged"], f"{after['hits']} hits: {after}")
        lib.check(not os.path.exists(leftover), "a leftover is still there")
        again, _ = look(tables)
        # Of a program that has come and gone only now nobody had asked.
        lib.check(again["hits"] > 3 and
                  again["damaged"] <= len(spoiled) - after["damaged"], f"at the third look: {again}")


def folders_of_others():
    """One warning with the way to mend it, and the work goes on."""
    with place() as tables:
        os.mkdir(tables)
        os.chmod(tables, 0o777)
        cache, log = look(tables)
        lib.equal(cache["used"], False, "used a folder that others write to")
        lib.equal(log.count("not kept on disk"), 1, f"warnings in {log!r}")
        lib.contains(log, "chmod 700", "the warning")
        lib.equal(os.listdir(tables), [], "in the folder")
        os.chmod(tables, 0o700)
        os.rename(tables, tables + ".real")
        os.symlink(tables + ".real", tables)
        cache, log = look(tables)
        lib.equal(cache["used"], False, "followed a symbolic link")
        lib.contains(log, "symbolic link", "the warning")


def switched_off():
    with place() as tables:
        cache, log = look(tables, "--set", "unwind.cache_size=0")
        lib.equal((cache["used"], os.path.exists(tables)), (False, False), "cache_size=0")
        cache, log = look("", "--log-level", "info")
        lib.equal((cache["used"], "not kept" in log), (False, False), "no cache_dir")


def small_limit():
    with place() as tables:
        cache, _ = look(tables, "--set", "unwind.cache_size=128K")
        lib.check(cache["bytes"] <= 128 << 10, f"{cache['bytes']} bytes")
        lib.check(sum(os.path.getsize(path) for path in kept(tables)) <= 128 << 10, "on disk")
        lib.check(cache["evicted"] or cache["failed"], f"nothing had to go: {cache}")


lib.main(found_again, torn_and_forged, folders_of_others, switched_off, small_limit)
