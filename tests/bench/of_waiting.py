# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a person waits, in milliseconds."""

import os
import shutil
import subprocess
import time

import latency
from measure import lib


def attach(run):
    """To the first sample, and from Ctrl-C to the finished SVG."""
    with lib.folder() as place, lib.Perfd() as perfd, latency.target(place) as (_, pid):
        for _ in run.rounds(run["rounds"], 2):
            first, last = latency.one_round(perfd, pid, os.path.join(place, "x.svg"),
                                            run["samples"])
            run.put("attach_to_sample", first)
            run.put("stop_to_file", last)


def visible(run):
    """A program that nobody has seen: until `report` has its function by name."""
    with lib.folder() as place, lib.Perfd() as perfd:
        for number in run.rounds(run["rounds"], 2):
            name = f"newcomer{number}"
            path = os.path.join(place, name)
            shutil.copy(lib.program("shares"), path)
            began = time.monotonic()
            with lib.started(path, 600, stdout=subprocess.DEVNULL):
                lib.wait_for(lambda: "work_" in perfd.ctl(
                    "report", "--last", "10s", "--comm", name, "-f", "folded", "-o",
                    "-").stdout, f"{name}'s function in the report", 20)
                run.put("visible", (time.monotonic() - began) * 1e3)
