#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make install and uninstall into a folder: what is there, that it runs, that man pages and
completions are whole, that the service is hardened, and that nothing of ours is left."""

import contextlib
import os
import re
import shutil
import subprocess

import lib

def make(*arguments):
    done = subprocess.run(["make", "-C", lib.ROOT, f"B={os.environ.get('B', 'build')}", *arguments], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, _, names in os.walk(folder) for name in names)


def check_programs(place):
    for program in ("sbin/perfd", "bin/perfctl"):
        done = subprocess.run([f"{place}/usr/{program}", "--version"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.strip(), program


def check_pages(place):
    """A page for each command, without troff's complaints."""
    perfctl = f"{place}/usr/bin/perfctl"
    text = subprocess.run([perfctl, "help"], capture_output=True, text=True).stdout
    commands = re.findall(r"^ {2}([a-z]+) ", text, re.MULTILINE)
    pages = f"{place}/usr/share/man"
    for name in commands:
        if name not in ("help", "version"):
            assert os.path.exists(f"{pages}/man1/perfctl-{name}.1"), name
    for page in [f"{pages}/{name}" for name in files(pages)]:
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True,
                              text=True)
        assert done.returncode == 0 and not done.stderr, f"{page}: {done.stderr}"


def complete(place, *words):
    """What bash offers for the last of the words."""
    script = (f"source {place}/usr/share/bash-completion/completions/perfctl\n"
              f"COMP_WORDS=({' '.join(words) or ' '} ''); COMP_CWORD={len(words)}\n"
              "_perfctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{place}/usr/bin:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def check_completions(place):
    assert {"record", "attach", "report"} <= set(complete(place, "perfctl"))
    assert str(os.getpid()) in complete(place, "perfctl", "attach", "--pid")
    assert {"svg", "pprof"} <= set(complete(place, "perfctl", "record", "-f"))


def check_service(place):
    unit = f"{place}/usr/lib/systemd/system/perfd.service"
    with open(unit) as file:
        text = file.read()
    assert "ExecStart=/usr/sbin/perfd\n" in text and "@" not in re.sub("@[a-z-]+", "", text)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit],
                          capture_output=True, text=True)
    level = float(re.search(r"exposure level for .*: ([0-9.]+)", done.stdout + done.stderr).group(1))
    assert level <= 3.0, f"systemd-analyze security: {level}, above 3.0"


@contextlib.contextmanager
def installed():
    with lib.folder() as place:
        where = (f"DESTDIR={place}", "PREFIX=/usr")
        make("install", *where)
        yield place, where


def programs_run():
    with installed() as (place, _):
        check_programs(place)


def pages_are_whole():
    if not shutil.which("groff"):
        raise lib.Skip("groff is not there")
    with installed() as (place, _):
        check_pages(place)


def completions_complete():
    with installed() as (place, _):
        check_completions(place)


def service_is_hardened():
    if not shutil.which("systemd-analyze"):
        raise lib.Skip("systemd-analyze is not there")
    with installed() as (place, _):
        check_service(place)


def all_goes_but_settings():
    with installed() as (place, where):
        with open(f"{place}/etc/perfd/perfd.conf", "a") as file:
            file.write("# mine\n")
        make("install", *where)
        with open(f"{place}/etc/perfd/perfd.conf") as file:
            assert file.read().endswith("# mine\n"), "settings were overwritten"
        make("uninstall", *where)
        assert files(place) == ["etc/perfd/perfd.conf"], files(place)


lib.main(programs_run, pages_are_whole, completions_complete, service_is_hardened,
         all_goes_but_settings)
