#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged files: each kind of damage is told with the file, the section and the offset, by
perfctl symbolize (text and JSON) and by a running perfd (log, status); and no name is wrong:
each address has the name and place it has in the whole file, or less of it."""

import json
import lzma
import os
import re
import signal
import struct
import subprocess

import lib
from lib_peers import need, run, symbolize

SOURCE = """
static inline __attribute__((always_inline)) int in(int a)
{ __asm__ volatile(".globl mark\\nmark: nop"); return a * 3; }
__attribute__((noinline, section(".text.other"))) int other(int a) { return in(a) + 2; }
static __attribute__((noinline)) int out(int a)
{ if (a > 3) { a += other(a); } volatile int i = a; return i + 1; }
int main(int argc, char **argv) { (void)argv; do argc = out(argc & 7); while (argc + 1); return 0; }
"""


# --- files -------------------------------------------------------------------

def build(place, *flags):
    need("gcc", "objcopy", "readelf")
    path, source = os.path.join(place, "p"), os.path.join(place, "p.c")
    with open(source, "w") as file:
        file.write(SOURCE)
    run(["gcc", "-O2", "-g", *flags, source, "-o", path], cwd=place)
    return path


def section(path, name):
    """(file offset, size) of a section."""
    for line in run(["readelf", "-SW", path]).splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) > 6 and words[1] == name:
            return int(words[4], 16), int(words[5], 16)
    raise AssertionError(f"{path} has no section {name}")


def patch(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def read(path, at, size):
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(size)


def addresses(path):
    """All of the program's own functions, byte by byte."""
    found = []
    for words in map(str.split, run(["nm", "-S", path]).splitlines()):
        if len(words) == 4 and words[3] in ("main", "out", "other"):
            start, size = (int(word, 16) for word in words[:2])
            found += range(start, start + size)
    return found


# --- damage ------------------------------------------------------------------

def program_headers(path):
    patch(path, 32, struct.pack("<Q", 1 << 40))
    return "program headers, offset 0x10000000000"


def unit_length(path):
    patch(path, section(path, ".debug_info")[0], b"\xf0\xff\xff\x7f")
    return "section .debug_info, offset 0x0"


def unit_abbreviations(path):
    """Of the last unit, whose header has nothing else after it to be hurt."""
    at, _ = section(path, ".debug_info")
    version = struct.unpack("<H", read(path, at + 4, 2))[0]
    patch(path, at + (8 if version >= 5 else 6), b"\xff\xff\xff\x00")
    return "section .debug_abbrev, offset 0xffffff"


def entry_code(path):
    """The first entry below the unit's own has an abbreviation that is none."""
    text = run(["readelf", "--debug-dump=info", path])
    place = int(re.search(r"<1><([0-9a-f]+)>", text)[1], 16)
    patch(path, section(path, ".debug_info")[0] + place, b"\x7f")
    return f"section .debug_info, offset {place:#x}"


def abbreviations(path):
    at, size = section(path, ".debug_abbrev")
    patch(path, at, b"\xff" * size)
    return "section .debug_abbrev, offset 0x0"


def line_header(path):
    patch(path, section(path, ".debug_line")[0] + 4, b"\x77\x00")
    return "section .debug_line, offset 0x0"


def line_length(path):
    patch(path, section(path, ".debug_line")[0], b"\xf0\xff\xff\x7f")
    return "section .debug_line, offset 0x0"


def line_program(path):
    """Its last instruction (the end of a sequence: 00 01 01) wants more than there is."""
    at, size = section(path, ".debug_line")
    lib.equal(read(path, at + size - 3, 3), b"\x00\x01\x01", "the program's end")
    patch(path, at + size - 2, b"\x7f")
    return f"section .debug_line, offset {size - 3:#x}"


def ranges(path):
    """The unit's list: of two sections."""
    at, size = section(path, ".debug_rnglists")
    patch(path, at + 12, b"\xee" * (size - 12))
    return "section .debug_rnglists, offset 0xc"


def old_ranges(path):
    at, size = section(path, ".debug_ranges")
    patch(path, at, b"\x01" * size)
    return "section .debug_ranges, offset 0x"


def strings(path):
    """What is left of them is too short for the names that the entries mean."""
    short = path + ".short"
    with open(short, "wb") as file:
        file.write(b"\0")
    run(["objcopy", "--update-section", ".debug_str=" + short, path])
    return "section .debug_str, offset 0x"


def silent_aranges(path):
    """A unit that does not say where it is (its DW_AT_ranges is made something unknown),
    so that .debug_aranges is asked."""
    at, _ = section(path, ".debug_abbrev")
    text = run(["readelf", "--debug-dump=abbrev", path])
    unit = re.search(r"(\d+)\s+DW_TAG_compile_unit.*?DW_AT value: 0", text, re.S)[0]
    lib.contains(unit, "DW_AT_ranges", "the unit's entry")
    table = read(path, at, 4096)
    # The unit's own abbreviation: its number, its tag, children.
    code = int(re.search(r"\d+", unit)[0])
    entry = table.index(bytes([code, 0x11, 1]))
    place = table.index(b"\x55\x17", entry)
    patch(path, at + place, b"\x04")
    patch(path, section(path, ".debug_aranges")[0], b"\xf0\xff\xff\x7f")
    return "section .debug_aranges, offset 0"


def packed(kind, way):
    def damage(path):
        need("objcopy")
        run(["objcopy", f"--compress-debug-sections={way}", path])
        name = ".zdebug_info" if way == "zlib-gnu" else ".debug_info"
        at, size = section(path, name)
        patch(path, at + 24, b"\x55" * (size - 24))
        return f"section .debug_info, offset .*damaged {kind} data"
    damage.__name__ = "packed_" + way.replace("-", "_")
    return damage


def bomb(path):
    """It says that it unpacks to 2 TiB."""
    run(["objcopy", "--compress-debug-sections=zlib", path])
    patch(path, section(path, ".debug_info")[0] + 8, struct.pack("<Q", 1 << 41))
    return "section .debug_info: .* bytes unpacked"


def mini_debug(path):
    run(["strip", path])
    added = path + ".xz"
    with open(added, "wb") as file:
        data = bytearray(lzma.compress(b"\x7fELF" + bytes(4000)))
        data[30] ^= 0xff
        file.write(data)
    run(["objcopy", "--add-section", ".gnu_debugdata=" + added, path])
    return "section .gnu_debugdata, offset [0-9]+: damaged xz data"


def mini_debug_of_no_elf(path):
    run(["strip", path])
    added = path + ".xz"
    with open(added, "wb") as file:
        file.write(lzma.compress(b"no ELF file" * 100))
    run(["objcopy", "--add-section", ".gnu_debugdata=" + added, path])
    return "section .gnu_debugdata: not an ELF file"


def split_unit(path):
    """The .dwo file's entries."""
    dwo = next(os.path.join(os.path.dirname(path), name)
               for name in os.listdir(os.path.dirname(path)) if name.endswith(".dwo"))
    at, size = section(dwo, ".debug_abbrev.dwo")
    patch(dwo, at, b"\xff" * size)
    return "a split unit's file, section .debug_abbrev, offset 0x0"


def shared_file(path):
    """The file that dwz made for several."""
    need("dwz")
    folder = os.path.dirname(path)
    second = os.path.join(folder, "second")
    run(["gcc", "-O1", "-g", os.path.join(folder, "p.c"), "-o", second])
    run(["dwz", "-m", os.path.join(folder, "shared"), path, second])
    shared = os.path.join(folder, "shared")
    patch(shared, section(shared, ".debug_info")[0], b"\xf0\xff\xff\x7f")
    return "section .debug_info"


def debug_link(path):
    """A debug file of another build."""
    run(["objcopy", "--only-keep-debug", path, path + ".debug"])
    run(["objcopy", "--strip-all", "--remove-section=.note.gnu.build-id",
         "--add-gnu-debuglink=" + path + ".debug", path])
    with open(path + ".debug", "ab") as file:
        file.write(b"more")
    return "the debug file is of another build"


# name, how it is compiled, what is done to it
DAMAGE = [(program_headers, []), (unit_length, []), (unit_abbreviations, []), (entry_code, []),
          (abbreviations, []), (line_header, []), (line_length, []), (line_program, []),
          (ranges, ["-gdwarf-5"]), (old_ranges, ["-gdwarf-4"]), (strings, []),
          (silent_aranges, ["-gdwarf-4"]), (packed("zlib", "zlib"), []),
          (packed("zlib", "zlib-gnu"), []), (packed("zstd", "zstd"), []), (bomb, []),
          (mini_debug, []), (mini_debug_of_no_elf, []), (split_unit, ["-gsplit-dwarf"]),
          (shared_file, []), (debug_link, [])]


# --- what is said ------------------------------------------------------------

def asked(path, places):
    answer = symbolize("--json", path, input="\n".join(map(hex, places)))
    return answer, json.loads(answer.stdout) if answer.returncode == 0 else None


def not_wrong(damaged, whole):
    """Frame by frame from the outermost one, whose name may be the symbol's; inner frames
    and places may be missing."""
    got, want = damaged["frames"][::-1], whole["frames"][::-1]
    if not got:
        return True
    names = [frame["name"] for frame in want]
    if len(got) > len(want) or any(frame["name"] not in names + ["mark"] for frame in got):
        return False
    return all("file" not in frame or frame["file"] in [other.get("file") for other in want]
               for frame in got)


def damaged_file(damage, flags):
    def case():
        with lib.folder() as place:
            path = build(place, *flags)
            places = addresses(path)
            whole = asked(path, places)[1]["addresses"]
            lib.check(sum("file" in item["frames"][0] for item in whole) > len(whole) / 2,
                      "hardly any lines in the whole file")
            want = damage(path)
            answer, found = asked(path, places)
            lib.check(re.search(re.escape(path) + ".*" + (want if "[" in want or "*" in want else
                                                          re.escape(want)), answer.stderr),
                      f"{want!r} is not in {answer.stderr!r}")
            if found is None: # nothing can be told of it at all
                lib.equal(answer.returncode, 1, "exit code")
                return
            lib.equal(len(found["addresses"]), len(places), "answers")
            for item, other in zip(found["addresses"], whole):
                lib.check(not_wrong(item, other), f"{item} instead of {other}")
            told = [item["why"] for item in found["damaged"]]
            lib.equal([item["file"] for item in found["damaged"]], [path] * len(told), "files")
            lib.check(any(re.search(want if "[" in want or "*" in want else re.escape(want), why)
                          for why in told), f"{want!r} is not in {told}")
    case.__name__ = damage.__name__
    return case


def whole_files():
    """Nothing is said of what is not damaged."""
    with lib.folder() as place:
        for flags in ([], ["-gdwarf-4"], ["-gsplit-dwarf"], ["-flto"]):
            path = build(place, *flags)
            answer, found = asked(path, addresses(path))
            lib.equal((answer.stderr, found["damaged"]), ("", []), f"{flags}")


def seen_by_perfd():
    """The same of a program that runs, and its call frame information too: log, status."""
    lib.need_bpf()
    with lib.folder() as place, lib.Perfd() as perfd:
        path = build(place)
        line_header(path)
        at, size = section(path, ".eh_frame")
        # An entry that reaches out of the section.
        patch(path, at, struct.pack("<I", size + 1000))
        other = build_named(place, "cut")
        program_headers_of(other)
        process = subprocess.Popen([path])
        try:
            answer = perfd.ctl("attach", "--pid", process.pid, "-d", "1s", "-o",
                               os.path.join(place, "x.folded"))
            lib.succeeds(answer, "attach")

            # The worker is asked for either first; both are told.
            def damage():
                status = perfd.ctl_json("status")
                told = {item["what"]: item["why"] for item in status["damaged"]
                        if item["file"] == path}
                return (told, status) if len(told) > 1 else None

            told, status = lib.wait_for(damage, "both kinds of damage to be told", 60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        lib.contains(told["unwind table"], "section .eh_frame, offset 0x", "status")
        lib.contains(told["names of a file"], "section .debug_line, offset 0x", "status")
        lib.check(status["symbols"]["damaged"] >= 1, f"{status['symbols']}")
        lib.contains(perfd.log(), f"{path}: section .", "log")
        lib.contains(perfd.ctl("status").stdout, "section .eh_frame, offset", "status as text")
        for key in ("further_files", "further_files_absent", "further_files_refused"):
            lib.check(key in status["symbols"], key)


def build_named(place, name):
    path = os.path.join(place, name)
    run(["gcc", "-O2", "-g", os.path.join(place, "p.c"), "-o", path])
    return path


def program_headers_of(path):
    program_headers(path)


lib.main(whole_files, *(damaged_file(*row) for row in DAMAGE), seen_by_perfd)
