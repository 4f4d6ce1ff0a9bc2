# SPDX-License-Identifier: GPL-2.0-or-later
"""What scenarios of allocations share: probes that are in, and sums of a profile's values."""

import os

import lib


def sees_frees():
    """Probes on functions tell of frees from Linux 6.14 on."""
    major, minor = (int(word) for word in os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 14)


def wait_for_probes(perfd, least, what="probes on malloc and its kin"):
    """So many are in, and the unwind tables of whoever has them are there: without those stacks
    have no names."""
    def are_in():
        status = perfd.ctl_json("status")
        return (status["memory"]["heap"]["probes"] >= least
                and not status["unwinder"]["tables_awaited"])
    lib.wait_for(are_in, what, 60)


def by_value(path, place, value):
    """The folded stacks of one of a profile's values; None: nothing has any of it."""
    out = os.path.join(place, value + ".folded")
    done = lib.perfctl("convert", path, "--value", value, "-o", out)
    if done.returncode:
        lib.fails(done, 1, f'no sample has a value of "{value}"', "convert")
        return None
    return lib.Folded.load(out)
