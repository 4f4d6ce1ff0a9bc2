# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's file system: a cpio archive of the "newc" kind (see the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst), not compressed: an emulated
processor unpacks slowly. It is written here because the archive needs a device node,
which only root could put into a folder for a cpio command to pick up."""

import os
import re
import shutil
import stat
import subprocess

PASSWD = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
CONSOLE = (5, 1)  # major, minor


class Archive:
    def __init__(self, file):
        self.file, self.inode, self.seen = file, 0, set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        if name in self.seen:
            return
        self.seen.add(name)
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        self.padded(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self.padded(data)

    def padded(self, data):
        self.file.write(data + bytes(-len(data) % 4))

    def parents(self, name):
        parts = name.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            self.entry("/".join(parts[:count]), stat.S_IFDIR | 0o755)

    def text(self, name, text, mode=0o644):
        self.parents(name)
        self.entry(name, stat.S_IFREG | mode, text.encode())

    def copy(self, path, name, mode=0o755):
        self.parents(name)
        with open(path, "rb") as file:
            self.entry(name, stat.S_IFREG | mode, file.read())

    def end(self):
        self.entry("TRAILER!!!", 0)


def libraries(program):
    """The shared libraries of a program, the loader among them, by the names they are
    asked for."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True)
    if "not a dynamic executable" in listing.stderr + listing.stdout:
        return []
    if listing.returncode or "not found" in listing.stdout:
        raise RuntimeError(f"ldd {program}: {listing.stdout}{listing.stderr}")
    return re.findall(r"(/\S+) \(0x", listing.stdout)


def write(path, init, programs, busybox):
    """An archive with init, busybox and the programs, which go to /perfd."""
    partial = path + ".partial"
    with open(partial, "wb") as file:
        archive = Archive(file)
        archive.parents("dev/x")
        archive.entry("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE)
        archive.copy(busybox, "bin/busybox")
        archive.copy(init, "init")
        archive.text("etc/passwd", PASSWD)
        archive.text("etc/group", GROUP)
        for program in programs:
            archive.copy(program, "perfd/" + os.path.basename(program))
            for library in libraries(program):
                archive.copy(library, library.lstrip("/"))
        archive.end()
    shutil.move(partial, path)
