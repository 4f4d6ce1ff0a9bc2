#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Code of the kernel has names: its own, and a BPF program's, which the kernel made after
perfd had read its symbols. (Modules: the unit suite kallsyms; few test machines have any.)"""

import json
import os
import shutil
import subprocess

import lib

SOURCE = """
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
char _license[] SEC("license") = "GPL";
SEC("socket") int burning(struct __sk_buff *skb)
{
	unsigned long sum = skb->len;

	for (unsigned long i = 0; i < 30000; i++)
		__asm__ volatile("%0 += %1" : "+r"(sum) : "r"(i));
	return sum & 1;
}
"""


def clang():
    for name in ["clang"] + [f"clang-{version}" for version in range(22, 13, -1)]:
        if shutil.which(name):
            return name
    raise lib.Skip("no clang")


def compiled(place):
    source, program = os.path.join(place, "burning.bpf.c"), os.path.join(place, "burning.bpf.o")
    with open(source, "w", encoding="utf-8") as file:
        file.write(SOURCE)
    machine = os.uname().machine
    done = subprocess.run([clang(), "-O2", "-target", "bpf",
                           f"-I/usr/include/{machine}-linux-gnu", "-c", source, "-o", program],
                          capture_output=True, text=True)
    lib.check(done.returncode == 0, done.stderr)
    return program


def a_program_that_came_later():
    lib.need_bpf()
    lib.need_root()
    if not shutil.which("unshare"):
        raise lib.Skip("no unshare")
    tool = lib.command("bpftool") if shutil.which("bpftool") else "/usr/sbin/bpftool"
    with open("/proc/sys/net/core/bpf_jit_enable", encoding="utf-8") as file:
        if file.read().strip() == "0":
            raise lib.Skip("BPF programs are interpreted here: net.core.bpf_jit_enable is 0")
    with lib.folder() as place:
        program, packet = compiled(place), os.path.join(place, "packet")
        with open(packet, "wb") as file:
            file.write(bytes(64))
        mount, path = os.path.join(place, "bpf"), os.path.join(place, "out.folded")
        os.mkdir(mount)
        # perfd is there, and has read the kernel's symbols, before the shell begins.
        script = (f"mount -t bpf none {mount} && {tool} prog load {program} {mount}/p type socket && "
                  f"exec timeout 8 {tool} prog run pinned {mount}/p data_in {packet} repeat 150000")
        result = lib.perfctl("record", "-F", 499, "-f", "folded", "-o", path, "--", "unshare",
                             "--mount", "sh", "-c", script)
        lib.check(result.returncode in (0, 124), result.stderr)
        with open(path, encoding="utf-8") as file:
            lines = [line.rsplit(" ", 1) for line in file.read().splitlines()]
        mine = [(stack.split(";"), int(value)) for stack, value in lines if "bpf_test_run_[k]" in stack]
        named = sum(value for frames, value in mine if any(
            frame.startswith("bpf_prog_") and frame.endswith("_burning_[k]") for frame in frames))
        total = sum(value for _, value in mine)
        lib.check(total > 0 and named > 0.8 * total, f"{named} of {total}: {mine[:3]}")


def modules_are_told():
    """The kernel's own frames carry where they are from."""
    lib.need_bpf()
    with lib.folder() as place:
        path = os.path.join(place, "out.json")
        lib.succeeds(lib.perfctl("record", "-F", 997, "-o", path, "--", "sh", "-c",
                                 "dd if=/dev/zero of=/dev/null bs=1M count=20000 2>/dev/null"))
        with open(path, encoding="utf-8") as file:
            text = file.read()
        json.loads(text)
        lib.check('"[kernel]"' in text, "no frame is said to be the kernel's")


lib.main(a_program_that_came_later, modules_are_told)
