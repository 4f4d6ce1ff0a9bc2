#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make test-trixie`: perfd built, and its unit suites run, with the compiler and the
libraries of another release of Debian: build.py SUITE.

The release is a tree of its own, $(B)/release/SUITE, made once by debootstrap from the
archive that this machine's apt uses; a copy of the sources in it is built by
inside.sh, with every warning an error. /proc and /dev are mounted in a mount namespace
that ends with the run, so nothing of the machine changes. As root; 77: it cannot be
had here.
"""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "kernels"), os.path.dirname(HERE)]
import packages  # noqa: E402
import run as runner  # noqa: E402

PLACE = os.path.join(runner.ROOT, "build", "release")
NEEDS = {"debootstrap": "debootstrap"}
BOOTSTRAP_SECONDS = 1200
INSIDE = "/srv/perfd"


def bootstrap(suite, tree):
    """The release's smallest tree; one that was not finished is made anew."""
    ready = tree + ".ready"
    if os.path.exists(ready):
        return
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree)
    print(f"release: {suite} into {os.path.relpath(tree, runner.ROOT)}", flush=True)
    done = subprocess.run(["debootstrap", "--variant=minbase", suite, tree,
                           packages.archive_uri()], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=BOOTSTRAP_SECONDS)
    if done.returncode:
        raise packages.Unavailable("debootstrap: " + (done.stdout + done.stderr).strip()[-300:])
    with open(ready, "w"):
        pass


def copy_sources(tree):
    """What git knows or would take, with its times, so that make goes on where it was."""
    target = tree + INSIDE
    os.makedirs(target, exist_ok=True)
    names = subprocess.run(["git", "-c", f"safe.directory={runner.ROOT}", "ls-files", "-z", "-co",
                            "--exclude-standard"], cwd=runner.ROOT, capture_output=True,
                           text=True, check=True).stdout.split("\0")
    names = {name for name in names if name and os.path.isfile(os.path.join(runner.ROOT, name))}
    for folder, folders, files in os.walk(target):
        folders[:] = [name for name in folders if name != "build"]
        for file in files:
            if os.path.relpath(os.path.join(folder, file), target) not in names:
                os.unlink(os.path.join(folder, file))
    for name in names:
        source, copy = os.path.join(runner.ROOT, name), os.path.join(target, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.exists(copy) or os.path.getmtime(copy) != os.path.getmtime(source):
            shutil.copy2(source, copy)
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        if os.path.exists(name):
            shutil.copy(name, tree + name)


def enter(tree):
    """The build inside, in a mount namespace of its own."""
    # Bound to itself: for those inside "/" is a mount, as on any machine.
    mounts = ('mount --bind "$1" "$1" && mount -t proc proc "$1/proc" && '
              'mount --rbind /dev "$1/dev" && '
              'mount -t tmpfs tmpfs "$1/tmp" && mount --rbind /sys "$1/sys" && '
              f'exec chroot "$1" /bin/sh {INSIDE}/tests/release/inside.sh')
    environment = {name: value for name, value in os.environ.items()
                   if name.lower().endswith("_proxy") or name in ("ONLY", "TERM")}
    environment.update({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"})
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts,
                           "sh", tree], env=environment, stdin=subprocess.DEVNULL).returncode


def main(arguments):
    if len(arguments) != 1:
        print("usage: build.py SUITE", file=sys.stderr)
        return 2
    suite = arguments[0]
    tree = os.path.join(PLACE, suite)
    try:
        if os.geteuid():
            raise packages.Unavailable("another release's tree is entered as root only")
        packages.install(NEEDS)
        bootstrap(suite, tree)
    except (packages.Unavailable, subprocess.TimeoutExpired) as error:
        print(f"skip release/{suite}: {error}")
        return runner.SKIPPED
    copy_sources(tree)
    return enter(tree)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
