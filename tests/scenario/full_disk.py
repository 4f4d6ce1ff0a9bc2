#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Nowhere to write: an error that says so, and what was there stays."""

import contextlib
import os
import subprocess

import lib


@contextlib.contextmanager
def small_disk(place):
    """A file system of one page."""
    path = os.path.join(place, "small")
    os.mkdir(path)
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=0755", "none", path],
                            capture_output=True, text=True)
    if result.returncode:
        raise lib.Skip(f"no tmpfs can be mounted: {result.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def target():
    return lib.started(lib.program("shares"), 60, stdout=subprocess.DEVNULL)


def dev_full():
    lib.need_bpf()
    with lib.Perfd() as perfd, target() as process:
        for form in ("svg", "folded", "json"):
            result = perfd.ctl("attach", "--pid", process.pid, "-F", 499, "-d", "500ms",
                               "-f", form, "-o", "/dev/full")
            lib.fails(result, 1, "no space left", f"attach -f {form}")
            lib.contains(result.stderr, "/dev/full", "error")
        perfd.alive()


def small_file_system():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, target() as process, \
            small_disk(place) as disk:
        path = os.path.join(disk, "x.svg")
        with open(path, "w") as file:
            file.write("old\n")
        result = perfd.ctl("attach", "--pid", process.pid, "-F", 499, "-d", "500ms", "-o", path)
        lib.fails(result, 1, "no space left", "attach")
        with open(path) as file:
            lib.equal(file.read(), "old\n", "the file that was there")
        lib.equal(os.listdir(disk), ["x.svg"], "files on the small disk")


def record_of_a_command():
    """perfctl's failure, not the command's: 125."""
    lib.need_bpf()
    result = lib.perfctl("record", "-F", 499, "-f", "svg", "-o", "/dev/full", "--",
                         lib.program("shares"), 1)
    lib.fails(result, 125, "no space left", "record")


def stdout_is_full():
    lib.need_bpf()
    with lib.Perfd() as perfd, target() as process, open("/dev/full", "w") as full:
        result = perfd.ctl("attach", "--pid", process.pid, "-F", 499, "-d", "500ms",
                           "-f", "folded", "-o", "-", stdout=full)
        lib.fails(result, 1, "no space left", "attach")


lib.main(dev_full, small_file_system, record_of_a_command, stdout_is_full)
