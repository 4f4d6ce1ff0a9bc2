#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Inlined functions are frames of their own in a recording, marked as such, in the
order of their calls; names of C++ are short, and all instances of a template one."""

import os
import shutil
import subprocess

import lib

SOURCE = """
#include <ctime>
template <typename T> static inline __attribute__((always_inline)) T leaf(T x)
{
	for (int i = 0; i < 1000; i++)
		x = x * T(2862933555777941757) + T(3037000493);
	return x;
}
template <typename T> static inline __attribute__((always_inline)) T middle(T x)
{
	return leaf<T>(x) + leaf<T>(x + 1);
}
namespace place {
template <typename T> __attribute__((noinline)) T outer(T x) { return middle<T>(x) + 1; }
}
int main()
{
	unsigned long a = 1;
	unsigned b = 1;
	while (std::clock() < CLOCKS_PER_SEC) {
		a = place::outer<unsigned long>(a);
		b = place::outer<unsigned>(b);
	}
	return int(a + b) & 1;
}
"""


def inlined():
    lib.need_bpf()
    if not shutil.which("g++"):
        raise lib.Skip("no g++")
    with lib.folder() as place:
        source, path, out = (os.path.join(place, name) for name in ("p.cc", "p", "p.folded"))
        with open(source, "w") as file:
            file.write(SOURCE)
        subprocess.run(["g++", "-O2", "-g", source, "-o", path], check=True, timeout=60)
        result = lib.perfctl("record", "-F", 499, "-o", out, "--", path)
        lib.check(result.returncode in (0, 1), result.stderr)
        with open(out) as file:
            stacks = [line.rsplit(" ", 1) for line in file.read().splitlines()]
        total = sum(int(value) for _, value in stacks)
        chain = ";main;place::outer<>;middle<>_[i];leaf<>_[i]"
        got = sum(int(value) for stack, value in stacks if stack.endswith(chain))
        lib.check(got > 0.8 * total, f"{got / total:.1%} of the time ends in {chain}: {stacks}")


lib.main(inlined)
