# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels, by apt, from the archive this machine's own apt uses: with a list of
sources and a state of their own in the build folder, so that nothing of the machine's
package state is touched or asked. No root needed."""

import glob
import os
import re
import shutil
import subprocess
import time

META = "linux-image-cloud-amd64"
PARTS = re.compile(r"Depends: (linux-(?:image|binary)-[0-9]\S*)")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
FRESH_SECONDS = 7 * 24 * 3600
APT_SECONDS = 120


class Unavailable(Exception):
    """A kernel or a tool cannot be had here; the text says why."""


def command(*arguments, cwd=None):
    try:
        result = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=APT_SECONDS)
    except FileNotFoundError:
        raise Unavailable(f"there is no {arguments[0]} here") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{arguments[0]} took more than {APT_SECONDS} s") from None
    if result.returncode:
        words = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Unavailable(f"{arguments[0]}: {words[-1] if words else 'failed without a word'}")
    return result.stdout


def archive_uri():
    """Where this machine's apt has Debian itself from."""
    for line in command("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
                        "Created-By: Packages").splitlines():
        origin, label, uri = line.split("|", 2)
        if origin == label == "Debian":
            return uri
    raise Unavailable("this machine's apt has no Debian archive among its sources "
                      "(or apt-get update has never run)")


class Suite:
    """A suite of the archive with apt's files for it in a folder."""

    def __init__(self, name, place):
        self.name, self.place = name, place

    def write_settings(self):
        """Read after the machine's own (its proxies and such hold), so that what the
        machine does after an update can be struck out."""
        place = self.place
        settings = {"Dir::State": place, "Dir::State::lists": f"{place}/lists",
                    "Dir::State::status": "/dev/null", "Dir::Cache": f"{place}/cache",
                    "Dir::Etc::sourcelist": f"{place}/sources.list",
                    "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::Etc::preferences": "/dev/null",
                    "Dir::Etc::preferencesparts": "/dev/null",
                    "Acquire::Languages": "none", "APT::Sandbox::User": ""}
        with open(os.path.join(place, "apt.conf"), "w") as file:
            file.write("#clear APT::Update;\n#clear DPkg::Post-Invoke;\n")
            file.writelines(f'{key} "{value}";\n' for key, value in settings.items())

    def apt(self, tool, *arguments):
        return command(tool, "-c", os.path.join(self.place, "apt.conf"), *arguments,
                       cwd=self.place)

    def write_sources(self):
        keys = f"signed-by={KEYS} " if os.path.exists(KEYS) else ""
        # Only the index of packages: not what else the machine's apt would fetch with it.
        with open(os.path.join(self.place, "sources.list"), "w") as file:
            file.write(f"deb [{keys}arch=amd64 target=Packages] {archive_uri()} {self.name} main\n")

    def parts(self, package):
        """What a package's kernel is made of: from the meta package to the one with the
        image in it, which newer suites have apart."""
        return PARTS.findall(self.apt("apt-cache", "depends", package))

    def download(self):
        for folder in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.place, folder), exist_ok=True)
        self.write_settings()
        self.write_sources()
        self.apt("apt-get", "-q", "update")
        packages, wanted = [], self.parts(META)
        while wanted:
            package = wanted.pop()
            if package not in packages:
                packages.append(package)
                wanted += self.parts(package)
        if not packages:
            raise Unavailable(f"{self.name} has no {META}")
        self.apt("apt-get", "-q", "download", *packages)

    def extract(self):
        """The image of the packages that were downloaded, as place/vmlinuz-RELEASE."""
        folder = os.path.join(self.place, "root")
        for package in glob.glob(os.path.join(self.place, "*.deb")):
            # All of it, and then away with the modules: dpkg-deb takes no patterns.
            command("dpkg-deb", "-x", package, folder)
            os.unlink(package)
        for image in glob.glob(os.path.join(folder, "boot", "vmlinuz-*")):
            shutil.move(image, os.path.join(self.place, os.path.basename(image)))
        for image in glob.glob(os.path.join(folder, "usr", "lib", "modules", "*", "vmlinuz")):
            release = os.path.basename(os.path.dirname(image))
            shutil.move(image, os.path.join(self.place, "vmlinuz-" + release))
        shutil.rmtree(folder, ignore_errors=True)

    def image(self):
        """The path of the suite's newest image; Unavailable if it cannot be had. One of
        the last days is used again, and an older one where there is no network."""
        have = glob.glob(os.path.join(self.place, "vmlinuz-*"))
        if have and time.time() - os.path.getmtime(self.stamp()) < FRESH_SECONDS:
            return have[0]
        try:
            self.download()
        except Unavailable:
            if have:
                return have[0]
            raise
        for image in have:
            os.unlink(image)
        self.extract()
        have = glob.glob(os.path.join(self.place, "vmlinuz-*"))
        if not have:
            raise Unavailable(f"no image in the packages of {self.name}")
        with open(self.stamp(), "w"):
            pass
        return have[0]

    def stamp(self):
        return os.path.join(self.place, "downloaded")


def install(needs):
    """Installs what is missing, as root: {command: Debian's package}."""
    missing = [package for name, package in needs.items() if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise Unavailable(f"missing: {' '.join(missing)} (as root on Debian: installed by itself)")
    print(f"deps: installing {' '.join(missing)}", flush=True)
    arguments = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    try:
        subprocess.run(arguments, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=2 * APT_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    missing = [package for name, package in needs.items() if not shutil.which(name)]
    if missing:
        raise Unavailable(f"apt-get could not install {' '.join(missing)}")
