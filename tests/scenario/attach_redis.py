#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on a real program: redis-server under redis-benchmark for ten seconds."""

import json
import os

import lib

SECONDS = 10


def leaves_are_named():
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd, lib.redis_under_load(place) as pid:
        folded_path, json_path = os.path.join(place, "x.folded"), os.path.join(place, "x.json")
        with perfd.start_ctl("attach", "--pid", str(pid), "-d", f"{SECONDS}s", "-F", "499",
                             "-o", json_path) as second:
            lib.succeeds(perfd.ctl("attach", "--pid", pid, "-d", f"{SECONDS}s", "-F", 499,
                                   "-o", folded_path))
            lib.equal(second.wait(30), 0, f"exit code ({second.stderr.read()})")
        folded = lib.Folded.load(folded_path)
        unnamed = folded.unnamed_leaves()
        share = 1 - sum(value for value, _ in unnamed) / folded.total
        print(f"{share:.3%} of {folded.total / 1e9:.2f} s have a named leaf; others: {unnamed[:10]}")
        lib.check(share >= 0.99, f"{share:.3%} of the leaves are named; others: {unnamed[:5]}")
        kernel = sum(value for frames, value in folded.stacks if frames[-1].endswith("_[k]"))
        lib.check(kernel > 0.05 * folded.total, "no kernel frames under a server of sockets")
        with open(json_path) as file:
            report = json.load(file)
        lib.equal(report["lost"], 0, "lost samples")
        lib.check(pid in [process["pid"] for process in report["processes"]],
                  "redis is not in the list of processes")
        lib.check(folded.total > 0.1 * SECONDS * 1e9, "redis was hardly on the CPU")
        lib.equal({frames[0] for frames, _ in folded.stacks} - {"redis-server", "bio_close_file",
                  "bio_aof", "bio_aof_fsync", "bio_lazy_free", "jemalloc_bg_thd"}, set(),
                  "threads that are not redis's")


lib.main(leaves_are_named)
