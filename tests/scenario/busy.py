#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Of a process that the system-wide clock hits often so many firings become one sample, which
stands for all of them; not where somebody set the rate by hand (docs/rates.md)."""

import json
import os
import resource
import subprocess
import time

import lib

ONE_IN = 5
HZ = 999
SECONDS = 4
# Enough that no rate is ever cut; without a budget nothing is thinned out.
SETTINGS = ("--set", "budget.machine=1000", "--set", "budget.process=0", "--set",
            f"cpu.frequency_hz={HZ}", "--set", "memory.faults_hz=0", "--set", "memory.mmap_hz=0")


def cpu_of_children():
    """Of those that have ended, ns."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e9


def one_in(perfd):
    return next(stream["busy_one_in"] for stream in perfd.ctl_json("rates")["streams"]
                if stream["event"] == "cpu-clock" and not stream["session"])


def counted(perfd):
    samples = perfd.ctl_json("status")["samples"]
    return samples["fired"] - samples["idle"], samples["thinned"]


def looked_at(perfd, place, name):
    """A program that knows its own CPU time: (of the firings meanwhile, those that became no
    sample; its report; the truth)."""
    program = os.path.join(place, name)
    os.symlink(lib.program("shares"), program)
    before, began = counted(perfd), time.monotonic()
    with lib.started(program, SECONDS, stdout=subprocess.PIPE, text=True) as process:
        truth = json.loads(process.communicate(timeout=120)[0])
    wall = time.monotonic() - began
    after = counted(perfd)
    part = (after[1] - before[1]) / (after[0] - before[0])
    report = perfd.ctl_json("report", "--since", "-10m", "--comm", name)
    lib.equal(report["lost"], 0, "lost")
    return part, report, truth, wall


def told(perfd, key):
    """What the view's output says of thinning: its marks' texts, or the values of its series."""
    profile = json.loads(lib.succeeds(perfd.ctl("report", "--since", "-10m", "-f", "json")).stdout)
    if key == "marks":
        return [mark["text"] for mark in profile["marks"] if mark["key"] == "thinning"]
    return {value for series in profile["series"] if series["name"] == "thinning"
            for value in series["values"] if value is not None}


def a_busy_process():
    with lib.folder() as place, lib.Perfd(*SETTINGS, budget=True) as perfd:
        lib.wait_for(lambda: one_in(perfd) == ONE_IN, "busy processes to be thinned out")
        part, report, truth, wall = looked_at(perfd, place, "thinned")
        print(f"{part:.1%} of the firings became no sample")
        lib.check(part > 0.5, "hardly anything was thinned out")
        lib.off_by(report["total"], truth["cpu_ns"], HZ / ONE_IN, wall, 0.03, "the total")
        for function in report["functions"]:
            if function["name"] not in truth["functions"]:
                continue
            want = truth["functions"][function["name"]] / truth["cpu_ns"]
            share = function["total"] / report["total"]
            error = (want * (1 - want) / (truth["cpu_ns"] / 1e9 * HZ / ONE_IN)) ** 0.5
            print(f"{function['name']}: {share:.4f}, in truth {want:.4f} (standard error "
                  f"{error:.4f})")
            lib.check(abs(share - want) < 5 * error, f"share of {function['name']}")
        # And where somebody wants all of them.
        lib.succeeds(perfd.ctl("rates", "--session", 0, "-F", HZ))
        lib.wait_for(lambda: one_in(perfd) == 1, "each firing to be a sample")
        part, report, truth, wall = looked_at(perfd, place, "whole")
        lib.equal(part, 0, "the part that became no sample")
        lib.off_by(report["total"], truth["cpu_ns"], HZ, wall, 0.03, "the total")
        lib.equal(told(perfd, "marks"), ["of firings on busy processes each becomes a sample now, "
                                         "one in 5 before: the rate is set by hand"], "marks")
        lib.equal(told(perfd, "series"), {ONE_IN, 1}, "the series of how it was")


def marked():
    """Each reason that may come and go while perfd runs."""
    def settings(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    with lib.folder() as place:
        path = os.path.join(place, "perfd.conf")
        settings("")
        with lib.Perfd("--config", path, budget=True) as perfd:
            lib.equal(one_in(perfd), ONE_IN, "firings to a sample, from the beginning")
            for text, want in (("[budget]\nprecision = 10\n", 1), ("", ONE_IN),
                               ("[budget]\nmachine = 0\n", 1), ("[budget]\nthin = 9\n", 9)):
                settings(text)
                lib.succeeds(perfd.ctl("reload"))
                lib.wait_for(lambda n=want: one_in(perfd) == n, f"{want} firings to a sample")
            lib.equal([text.split(" busy processes ")[1] for text in told(perfd, "marks")], [
                "each becomes a sample now, one in 5 before: budget.precision is set",
                "one in 5 becomes a sample now, each before: the budget goes further (budget.thin)",
                "each becomes a sample now, one in 5 before: there is no budget (budget.machine is 0)",
                "one in 9 becomes a sample now, each before: the budget goes further (budget.thin)"],
                "marks")


def short_lives_of_one_name():
    """Each is hit a few times only; all of them are a busy program."""
    with lib.folder() as place, lib.Perfd(*SETTINGS, budget=True) as perfd:
        lib.wait_for(lambda: one_in(perfd) == ONE_IN, "busy processes to be thinned out")
        program = os.path.join(place, "young")
        os.symlink(lib.program("spawner"), program)
        before, began, used = counted(perfd), time.monotonic(), cpu_of_children()
        for _ in range(6):
            subprocess.run([program, "50", "6"], check=True, timeout=60)
        used, wall, after = cpu_of_children() - used, time.monotonic() - began, counted(perfd)
        part = (after[1] - before[1]) / (after[0] - before[0])
        report = perfd.ctl_json("report", "--since", "-10m", "--comm", "young")
        lives = len(report["processes"])
        print(f"{part:.1%} of the firings became no sample; {lives} processes have one")
        lib.check(part > 0.5, "hardly anything was thinned out")
        lib.off_by(report["total"], used, HZ / ONE_IN, wall, 0.05, "the total")
        of = {function["name"]: function["total"] for function in report["functions"]}
        both = of["child_work"] + of["grandchild_work"]
        error = (0.25 / (both / 1e9 * HZ / ONE_IN)) ** 0.5
        lib.check(abs(of["child_work"] / both - 0.5) < 5 * error, f"{of}: not one half each")


def without_a_budget():
    with lib.Perfd() as perfd:
        lib.equal(one_in(perfd), 1, "firings to a sample")


lib.main(a_busy_process, marked, short_lives_of_one_name, without_a_budget)
