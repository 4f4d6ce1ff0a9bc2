# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup in which memory is short."""

import contextlib
import os

import lib


@contextlib.contextmanager
def with_memory(limit):
    """Gives what a child is to call before it executes (preexec_fn), to be in a cgroup of its own
    that may have so many bytes."""
    old = os.path.isdir("/sys/fs/cgroup/memory")  # version 1
    group = f"/sys/fs/cgroup/{'memory/' if old else ''}perfd-test-{os.getpid()}"
    try:
        os.mkdir(group)
        with open(os.path.join(group, "memory.limit_in_bytes" if old else "memory.max"),
                  "w") as file:
            file.write(str(limit))
    except OSError as error:
        if os.path.isdir(group):
            os.rmdir(group)
        raise lib.Skip(f"no cgroup with a limit of memory can be made here: {error}") from None

    def join():
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write("0")

    def remove():
        try:
            os.rmdir(group)
        except OSError:
            return False
        return True

    try:
        yield join
    finally:
        lib.wait_for(remove, "the cgroup to be empty")
