#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings that are wrong stop perfd at once and say where; no root needed."""

import os
import subprocess

import lib


def perfd(*options):
    return subprocess.run([lib.PERFD, *options], capture_output=True, text=True, timeout=30)


def refused(text, part):
    with lib.folder() as place:
        path = os.path.join(place, "perfd.conf")
        with open(path, "w") as file:
            file.write(text)
        for options in (["--config", path], ["--config", path, "--check-config"]):
            lib.fails(perfd(*options), 1, f"{path}:{part}", "perfd")


def unknown_key():
    refused("[cpu]\nfrequency = 5\n",
            '2: unknown key "frequency" in [cpu]; did you mean "frequency_hz"?')


def unknown_section():
    refused("\n[cpus]\n", "2: unknown section [cpus]; did you mean [cpu]?")


def bad_value():
    refused("[history]\n# a comment\nwindow = soon\n",
            '3: window = "soon": expected a time from 100ms to 1h')


def missing_file():
    lib.fails(perfd("--config", "/no/such/file"), 1, "/no/such/file", "perfd")


def bad_set():
    lib.fails(perfd("--config", "/dev/null", "--set", "cpu.frequency_hz=-1"), 1,
              "expected a number from 0 to 100000", "perfd")
    lib.fails(perfd("--config", "/dev/null", "--set", "cpu.frequency_hz"), 1,
              "section.key=value", "perfd")


def bad_together():
    """Each setting is good by itself; the check comes after the last --set, not between."""
    lib.fails(perfd("--config", "/dev/null", "--set", "cpu.frequency_hz=5000",
                    "--set", "cpu.frequency_max_hz=1000"), 1,
              "cpu.frequency_hz = 5000: expected at most cpu.frequency_max_hz = 1000", "perfd")
    lib.succeeds(perfd("--config", "/dev/null", "--set", "cpu.frequency_max_hz=10",
                       "--set", "cpu.frequency_hz=10", "--set", "cpu.session_frequency_hz=10",
                       "--check-config"), "perfd --check-config")


def shipped_file():
    path = os.path.join(lib.ROOT, "configs", "perfd.conf")
    lib.succeeds(perfd("--config", path, "--check-config"), "perfd --check-config")
    with open(path) as file:
        lib.equal(perfd("--print-config").stdout, file.read(), "perfd --print-config")


def in_force():
    text = lib.succeeds(perfd("--config", "/dev/null", "--set", "history.keep=90m",
                              "--help-config"), "perfd --help-config").stdout
    lib.contains(text, "history.keep = 90m\n", "perfd --help-config")
    lib.contains(text, "Default: 5m\n", "perfd --help-config")


def usage():
    lib.equal(perfd("--no-such-option").returncode, 2, "unknown option")
    lib.equal(perfd("word").returncode, 2, "a word that is no option")
    lib.succeeds(perfd("--help"), "perfd --help")
    lib.succeeds(perfd("--version"), "perfd --version")


lib.main(unknown_key, unknown_section, bad_value, missing_file, bad_set, bad_together, shipped_file,
         in_force, usage)
