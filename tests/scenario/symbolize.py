#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl symbolize: what it answers and refuses. No root needed. Whether it agrees with
others is symbolize_peers.py's business."""

import glob
import json
import os
import subprocess

import lib
from lib_peers import need, run, symbolize


def answers():
    """A program whose truth is known: text, JSON, and all the ways to ask."""
    need("gcc")
    with lib.folder() as place:
        source, path = os.path.join(place, "p.c"), os.path.join(place, "p")
        with open(source, "w") as file:
            file.write("static inline __attribute__((always_inline)) int in(int a)\n"
                       '{ __asm__ volatile(".globl mark\\nmark: nop"); return a; }\n'
                       "__attribute__((noinline)) int out(int a)\n{ return in(a) + 1; }\n"
                       "int main(int argc, char **argv) { (void)argv; return out(argc); }\n")
        run(["gcc", "-O2", "-g", source, "-o", path])
        mark = next(int(line.split()[0], 16) for line in run(["nm", path]).splitlines()
                    if line.endswith(" mark"))
        want = f"{mark:#x}\n\tin (inlined) at {source}:2\n\tout at {source}:4\n"
        lib.equal(symbolize(path, hex(mark)).stdout, want, "text")
        lib.equal(symbolize(path, input=f" {mark:x} and more\n\n").stdout, want, "from input")
        lib.equal(symbolize("--no-inlines", path, hex(mark)).stdout,
                  f"{mark:#x}\n\tout at {source}:2\n", "--no-inlines")
        answer = json.loads(symbolize("--json", path, hex(mark), "0").stdout)
        lib.equal(answer["schema"], "perfd.symbolize/1", "schema")
        lib.equal(answer["addresses"][0]["frames"][0],
                  {"name": "in", "file": source, "line": 2, "inlined": True}, "frame")
        lib.equal(answer["addresses"][1]["nameless"], "[p+0x0]", "no name")
        # Where the linker put it in the file: its segment's offset.
        segment = next(words for words in map(str.split, run(["readelf", "-lW", path]).splitlines())
                       if words[:1] == ["LOAD"] and "E" in "".join(words[6:8]))
        offset = mark - int(segment[2], 16) + int(segment[1], 16)
        lib.contains(symbolize("--offsets", path, hex(offset)).stdout, "in (inlined)", "--offsets")


def forms():
    """Demangled in full, in short, not at all; of several functions folded into one place
    the one that its debug information is of, and assembly without sizes."""
    need("g++")
    with lib.folder() as place:
        source, path = os.path.join(place, "p.cc"), os.path.join(place, "p")
        with open(source, "w") as file:
            file.write("template <typename T> struct Box { T value; __attribute__((noinline))\n"
                       "T twice(T more) { return value + value + more; } };\n"
                       'asm(".text\\n.globl raw\\nraw: nop\\n nop\\nraw_too: ret");\n'
                       "int main(int argc, char **) {\n"
                       "return Box<int>{argc}.twice(1) + (int)Box<double>{2.0}.twice(1); }\n")
        run(["g++", "-O1", "-g", source, "-o", path])
        at = {words[2]: int(words[0], 16) for words in
              map(str.split, run(["nm", path]).splitlines()) if len(words) == 3}
        name = "_ZN3BoxIiE5twiceEi"
        for arguments, want in ((["--no-demangle"], name), ([], "Box<int>::twice(int)"),
                                (["--short"], "Box<>::twice")):
            got = json.loads(symbolize("--json", *arguments, path, hex(at[name])).stdout)
            lib.equal(got["addresses"][0]["frames"][0]["name"], want, f"{arguments}")
        got = json.loads(symbolize("--json", path, hex(at["raw"] + 1), hex(at["raw_too"])).stdout)
        lib.equal([item["frames"][0]["name"] for item in got["addresses"]], ["raw", "raw_too"],
                  "symbols without a size")


def folded():
    """--icf=all makes one function of two: its name is that which its lines are of."""
    need("g++", "ld.gold")
    with lib.folder() as place:
        source, path = os.path.join(place, "p.cc"), os.path.join(place, "p")
        with open(source, "w") as file:
            file.write("__attribute__((noinline)) int zebra_first(int a) { return a * 7 + 1; }\n"
                       "__attribute__((noinline)) int ant(int a) { return a * 7 + 1; }\n"
                       "int main(int argc, char **) { return zebra_first(argc) + ant(argc); }\n")
        run(["g++", "-O1", "-g", "-ffunction-sections", "-fno-ipa-icf", "-fuse-ld=gold",
             "-Wl,--icf=all", source, "-o", path])
        at = {words[2]: int(words[0], 16) for words in
              map(str.split, run(["nm", path]).splitlines()) if len(words) == 3}
        lib.equal(at["_Z11zebra_firsti"], at["_Z3anti"], "the linker folds them")
        frame = json.loads(symbolize("--json", path, hex(at["_Z3anti"])).stdout)
        frame = frame["addresses"][0]["frames"][0]
        want = {1: "zebra_first(int)", 2: "ant(int)"}
        lib.equal(frame["name"], want.get(frame["line"]), f"{frame}")


def refusals():
    for arguments, code, part in ((["/no/such/file", "1"], 1, "/no/such/file"),
                                  (["/etc/passwd", "1"], 1, "not an ELF file"),
                                  (["/etc", "1"], 1, "/etc"),
                                  ([lib.PERFCTL, "wrong"], 2, '"wrong" is no hexadecimal'),
                                  ([], 2, "say of what"),
                                  (["--pid", "1", "--offsets", "1"], 2, "--offsets")):
        lib.fails(symbolize(*arguments), code, part)
    lib.fails(symbolize(lib.PERFCTL, input="12\nzz\n"), 1, "line 2")


def code_of_libc(pid):
    with open(f"/proc/{pid}/maps") as maps:
        lines = [line.split() for line in maps]
    return next((int(line[0].split("-")[0], 16) for line in lines
                 if line[1] == "r-xp" and "/libc" in line[-1]), None)


def crashers():
    """Files that abort or hang Debian 12's libdwarf: an answer in time all the same."""
    files = sorted(glob.glob(os.path.join(lib.ROOT, "..", "shared", "crashers", "*.elf")))
    if not files:
        raise lib.Skip("the files that crash libdwarf are not there")
    for path in files:
        answer = symbolize(path, "0x1000", "0x401000")
        lib.check(answer.returncode in (0, 1), f"{path}: {answer.returncode}")
        lib.check("did not survive" not in answer.stdout + answer.stderr,
                  f"{path}: {answer.stdout}{answer.stderr}")


def a_process():
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            start = lib.wait_for(lambda: code_of_libc(process.pid), "sleep's libc")
            answer = json.loads(symbolize("--json", "--pid", str(process.pid),
                                          hex(start + 0x1000), "1").stdout)["addresses"]
            lib.contains(answer[0]["module"], "libc", "module")
            lib.check(answer[0]["frames"] or "nameless" in answer[0], "neither name nor place")
            lib.equal(answer[1]["nameless"], "[unknown]", "no mapping")
        finally:
            process.kill()


lib.main(answers, forms, folded, refusals, a_process, crashers)
