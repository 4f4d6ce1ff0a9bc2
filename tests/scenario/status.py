#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl status: for people, for programs, and when there is nobody."""

import os

import lib


def not_running():
    with lib.folder() as place:
        path = os.path.join(place, "none.sock")
        for options in ([], ["--json"]):
            result = lib.perfctl("status", "--socket", path, *options)
            lib.equal(result.returncode, 3, "exit code of status without a perfd")
            lib.contains(result.stderr + result.stdout, "not running", "status")


def stale_socket():
    """A socket that a killed perfd left is nobody's, too."""
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "perfd.sock")
        with lib.Perfd(socket_path=path) as perfd:
            helpers = lib.children(perfd.process.pid)
            perfd.process.kill()
            perfd.process.wait()
            lib.equal(lib.perfctl("status", "--socket", path).returncode, 3, "exit code of status")
            for helper in helpers:
                lib.wait_for(lambda: lib.is_gone(helper), "the worker to end with its perfd")
        with lib.Perfd(socket_path=path) as perfd:
            perfd.alive()


def for_programs():
    lib.need_bpf()
    with lib.Perfd() as perfd:
        status = perfd.ctl_json("status")
        print(status)
        lib.contains(status["schema"], "perfd.status/", "schema")
        for key in ("version", "uptime_ns", "pid"):
            lib.check(key in status, f"status has no {key}")
        lib.equal(status["pid"], perfd.process.pid, "pid")


def every_firing_is_accounted_for():
    lib.need_bpf()
    with lib.Perfd() as perfd:
        with lib.started(lib.program("shares"), 60, stdout=lib.subprocess.DEVNULL):
            lib.wait_for(lambda: perfd.ctl_json("status")["samples"]["taken"] > 50, "samples")
            status = perfd.ctl_json("status")
        samples = status["samples"]
        told = (samples["idle"] + samples["filtered"] + samples["thinned"]
                + samples["taken"] + samples["lost"]["lost_ring"])
        # A program that runs on a CPU while the counters are read has not told yet.
        lib.check(0 <= samples["fired"] - told <= status["source"]["cpus"],
                  f"{samples['fired']} fired, {told} accounted for")


def for_people():
    lib.need_bpf()
    with lib.Perfd() as perfd:
        with lib.started(lib.program("shares"), 60, stdout=lib.subprocess.DEVNULL):
            lib.wait_for(lambda: perfd.ctl_json("status")["samples"]["taken"], "samples")
            text = lib.succeeds(perfd.ctl("status")).stdout
        for word in ("version", "uptime", "samples", "lost", "processes"):
            lib.contains(text.lower(), word, "status")
        lib.check("\x1b" not in text, "colours although this is no terminal")


def as_nobody():
    """Everybody may ask how it is."""
    lib.need_bpf()
    with lib.Perfd() as perfd:
        ctl = lib.for_everybody(lib.PERFCTL, perfd.folder)
        lib.succeeds(perfd.ctl("status", binary=ctl, user=lib.NOBODY, group=lib.NOBODY,
                               extra_groups=[]))


lib.main(not_running, stale_socket, for_programs, every_firing_is_accounted_for, for_people, as_nobody)
