#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make test-deb`: the Debian package, built and looked at by lintian, then installed, run,
installed again over changed settings, removed and purged in a clean tree of this machine's
own release of Debian.

The tree is made once by debootstrap from the archive that this machine's apt uses, in
$(B)/release/SUITE-clean; each run works in an overlay of it in memory, in a mount namespace
that ends with the run, so nothing of the tree or the machine changes. As root; 77: it cannot
be had here.
"""

import glob
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "kernels"), os.path.dirname(HERE)]
import build  # noqa: E402
import packages  # noqa: E402
import run as runner  # noqa: E402

PLACE = os.path.join(runner.ROOT, "build", "release")
NEEDS = {"debootstrap": "debootstrap", "dh": "debhelper", "dpkg-buildpackage": "dpkg-dev",
         "lintian": "lintian"}

# $1: the tree; $2: a folder for the overlay; $3: of packages that were fetched before.
MOUNTS = """set -e
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
root=$2/root
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/srv/deb"
mount --bind "$4" "$root/srv/deb"
mount --bind "$3" "$root/var/cache/apt/archives"
for file in /etc/resolv.conf /etc/hosts; do
	[ ! -e "$file" ] || cp "$file" "$root$file"
done
cp "$5" "$root/srv/inside.sh"
exec chroot "$root" /bin/sh /srv/inside.sh
"""


def suite():
    with open("/etc/os-release") as file:
        for line in file:
            if line.startswith("VERSION_CODENAME="):
                return line.split("=")[1].strip().strip('"')
    raise packages.Unavailable("/etc/os-release names no release")


def make_package():
    done = subprocess.run(["make", "--no-print-directory", "deb"], cwd=runner.ROOT,
                          stdin=subprocess.DEVNULL)
    return done.returncode == 0


def enter(tree):
    folder = os.path.join(PLACE, "overlay")
    archives = os.path.join(PLACE, "archives")
    debs = os.path.join(runner.ROOT, runner.BUILD, "deb")
    for path in (folder, os.path.join(archives, "partial")):
        os.makedirs(path, exist_ok=True)
    environment = {name: value for name, value in os.environ.items()
                   if name.lower().endswith("_proxy")}
    environment.update({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                        "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})
    return subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS,
                           "sh", tree, folder, archives, debs,
                           os.path.join(HERE, "deb_inside.sh")], env=environment,
                          stdin=subprocess.DEVNULL).returncode


def main():
    try:
        if os.geteuid():
            raise packages.Unavailable("a clean tree is made and entered as root only")
        packages.install(NEEDS)
        name = suite()
        tree = os.path.join(PLACE, name + "-clean")
        build.bootstrap(name, tree)
    except (packages.Unavailable, subprocess.TimeoutExpired) as error:
        print(f"skip release/deb: {error}")
        return runner.SKIPPED
    # The machine's own settings of apt (a proxy, a mirror), so that it fetches as that does.
    for path in glob.glob("/etc/apt/apt.conf.d/*proxy*"):
        shutil.copy(path, tree + path)
    return enter(tree) if make_package() else 1


if __name__ == "__main__":
    sys.exit(main())
