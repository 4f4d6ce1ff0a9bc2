#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""abi_layout.py CC CLANG: bpf/abi.h means the same bytes on both sides.

Hidden padding is an error for each compiler (-Wpadded), and clang's own listing
of every struct (offsets, size, alignment) is the same for this machine and for
BPF."""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = "bpf/abi.h"
STRICT = ["-Wall", "-Wextra", "-Wpadded", "-Werror", "-fsyntax-only"]


def compile_probe(command, probe):
    result = subprocess.run(command + ["-I", ROOT, "-x", "c", probe], capture_output=True,
                            text=True)
    return result.returncode, result.stdout, result.stderr


def layouts(clang, target, probe):
    """{struct: its lines in the listing}."""
    code, out, err = compile_probe([clang, *target, "-fsyntax-only", "-Xclang",
                                    "-fdump-record-layouts"], probe)
    if code:
        sys.exit(err)
    found = {}
    for block in out.split("*** Dumping AST Record Layout")[1:]:
        match = re.search(r"\| struct (abi_\w+)\n", block)
        if match:
            found[match.group(1)] = [line.rstrip() for line in block.splitlines() if "|" in line]
    return found


def main():
    cc, clang = sys.argv[1:3]
    machine = os.uname().machine
    bpf = ["-target", "bpf", "-I", f"/usr/include/{machine}-linux-gnu"]
    with open(os.path.join(ROOT, HEADER)) as file:
        structs = re.findall(r"^struct (abi_\w+) \{", file.read(), re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".c") as probe:
        probe.write(f'#include "{HEADER}"\n')
        for name in structs:
            probe.write(f"unsigned long size_{name}(void);\n"
                        f"unsigned long size_{name}(void) {{ return sizeof(struct {name}); }}\n")
        probe.flush()
        for command in ([cc], [clang], [clang, *bpf]):
            code, _, err = compile_probe(command + STRICT, probe.name)
            if code:
                print(f"{HEADER} by {' '.join(command)}:\n{err}", file=sys.stderr)
                return 1
        here, there = layouts(clang, [], probe.name), layouts(clang, bpf, probe.name)
    bad = [name for name in structs if not here.get(name) or here[name] != there.get(name)]
    for name in bad:
        print(f"struct {name}: not alike here and on BPF", *here.get(name, ["(not listed)"]),
              *there.get(name, ["(not listed)"]), sep="\n", file=sys.stderr)
    return 1 if bad or not structs else 0


if __name__ == "__main__":
    sys.exit(main())
