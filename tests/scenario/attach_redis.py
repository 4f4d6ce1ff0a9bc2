#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on a real program: redis-server under redis-benchmark for ten seconds."""

import json
import os

import lib

SECONDS = 10


def attach_ten_seconds(pid, perfd, place):
    """A folded profile and a JSON report of the same ten seconds."""
    folded_path, json_path = os.path.join(place, "x.folded"), os.path.join(place, "x.json")
    with perfd.start_ctl("attach", "--pid", str(pid), "-d", f"{SECONDS}s", "-F", "499",
                         "-o", json_path) as second:
        lib.succeeds(perfd.ctl("attach", "--pid", pid, "-d", f"{SECONDS}s", "-F", 499,
                               "-o", folded_path))
        lib.equal(second.wait(30), 0, f"exit code ({second.stderr.read()})")
    with open(json_path) as file:
        return lib.Folded.load(folded_path), json.load(file)


def share_of_named_leaves(folded):
    unnamed = folded.unnamed_leaves()
    share = 1 - sum(value for value, _ in unnamed) / folded.total
    print(f"{share:.3%} of {folded.total / 1e9:.2f} s have a named leaf; others: {unnamed[:10]}")
    return share


def leaves_are_named():
    lib.need_bpf()
    server = lib.redis_with_symbols()
    with lib.folder() as place, lib.Perfd() as perfd, \
            lib.redis_under_load(place, server) as pid:
        folded, report = attach_ten_seconds(pid, perfd, place)
        lib.check(share_of_named_leaves(folded) >= 0.99, "less than 99 % of the leaves are named")
        kernel = sum(value for frames, value in folded.stacks if frames[-1].endswith("_[k]"))
        lib.check(kernel > 0.05 * folded.total, "no kernel frames under a server of sockets")
        lib.equal(report["lost"], 0, "lost samples")
        lib.check(pid in [process["pid"] for process in report["processes"]],
                  "redis is not in the list of processes")
        lib.check(folded.total > 0.1 * SECONDS * 1e9, "redis was on the CPU")
        lib.equal({frames[0] for frames, _ in folded.stacks} - {"redis-server", "bio_close_file",
                  "bio_aof", "bio_aof_fsync", "bio_lazy_free", "jemalloc_bg_thd"}, set(),
                  "threads that are not redis's")


def stripped_functions_are_one_frame_each():
    """Debian's redis-server is stripped: its static functions have no name anywhere. What is
    left without one is told by its file and its function's beginning."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, lib.redis_under_load(place) as pid:
        folded, report = attach_ten_seconds(pid, perfd, place)
        lib.check(share_of_named_leaves(folded) >= 0.90, "less than 90 % of the leaves are named")
        places = {frames[-1] for frames, _ in folded.stacks if frames[-1].startswith("[")}
        lib.check(len(places) < 100, f"{len(places)} places: not one a function")
        lib.equal(report["lost"], 0, "lost samples")


lib.main(leaves_are_named, stripped_functions_are_one_frame_each)
