#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does perfctl symbolize agree with eu-addr2line, llvm-symbolizer and, if ADDR2LINE_RS names
it, the Rust crate's addr2line? Random code addresses of programs of many kinds: function,
inline chain, file and line. No root needed.

SYMBOLIZE_ADDRESSES: how many of each program (default 500; `make symbolize-peers` takes
10,000 and writes build/bench/symbolize_peers.json). What differs is put down to a cause
where that can be shown (lib_peers.py); what is left must be less than one of a thousand.
docs/symbolizer.md has the figures and tells of each cause."""

import concurrent.futures
import functools
import glob
import json
import os
import random
import re
import shutil

import lib
import lib_peers
from lib_peers import need, run

ADDRESSES = int(os.environ.get("SYMBOLIZE_ADDRESSES", "500"))
# eu-addr2line takes minutes for 10,000 addresses of C++: so many of them it is asked for.
EU_ADDRESSES = int(os.environ.get("SYMBOLIZE_EU_ADDRESSES", "1000000"))
SHOWN = int(os.environ.get("SYMBOLIZE_SHOWN", "2"))  # unexplained differences printed
REPORT = os.environ.get("SYMBOLIZE_REPORT")
AGREE = 0.999  # share of addresses, as llvm-symbolizer, and of all once causes are known

PROGRAMS = os.path.join(lib.ROOT, "tests", "programs")
C_SOURCES = sorted(path for kind in ("symbolizer/cfi", "symbolizer/code_", "symbolizer/dwarf_",
                                     "symbolizer/client", "daemon/base/")
                   for path in glob.glob(os.path.join(lib.ROOT, kind + "*.c")))
if ADDRESSES <= 500:  # the compilers took most of the time; `make symbolize-peers` has all
    C_SOURCES = C_SOURCES[::2]


def at_once(calls):
    """Their results; as many at a time as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


# --- programs ----------------------------------------------------------------

def build_c(place, name, flags, compiler="gcc"):
    """A shared library, so that nothing need be there to link it with. Objects apart from
    each other, so that .dwo files have names of their own."""
    need(compiler)
    path, folder = os.path.join(place, name), os.path.join(place, name + ".objects")
    os.mkdir(folder)
    include = ["-I", lib.ROOT, "-I", os.path.join(lib.BUILD, "gen"), "-I/usr/include/libdwarf"]
    every = ["-std=gnu17", "-D_GNU_SOURCE", "-fPIC", *flags, *include]
    at_once([functools.partial(run, [compiler, *every, "-c", source], cwd=folder)
             for source in C_SOURCES])
    objects = sorted(glob.glob(os.path.join(folder, "*.o")))
    run([compiler, *flags, "-shared", *objects, "-o", path])
    return path


def build_cxx(place, name, flags, compiler="g++"):
    need(compiler)
    path = os.path.join(place, name)
    run([compiler, "-std=gnu++17", *flags, os.path.join(PROGRAMS, "towers.cc"), "-o", path],
        cwd=place)
    return path


def build_rust(place, name, flags):
    need("rustc")
    path = os.path.join(place, name)
    run(["rustc", *flags, os.path.join(PROGRAMS, "shapes.rs"), "-o", path], cwd=place)
    return path


def code(path):
    """(address, size) of the sections with code, without stubs."""
    sections = []
    for line in run(["readelf", "-SW", path]).splitlines():
        words = line.replace("[ ", "[").split()
        if len(words) > 7 and words[0].startswith("[") and "AX" in words[7] and \
                not re.match(r"\.(plt|init|fini)", words[1]):
            sections.append((int(words[3], 16), int(words[5], 16)))
    return sections


def random_addresses(path, count):
    chance, sections = random.Random(os.path.basename(path)), code(path)
    weights = [size for _, size in sections]
    return [start + chance.randrange(size)
            for start, size in chance.choices(sections, weights, k=count)]


# --- comparison --------------------------------------------------------------

def explain(causes, addresses, mine, answers, names):
    """Of each peer: how many differ, and how many for which cause (None: not known)."""
    agree = {peer: [lib_peers.same(a, b, names) for a, b in zip(mine, answer)]
             for peer, answer in answers.items()}
    rows = {}
    for peer, answer in answers.items():
        rows[peer] = {"asked": len(answer), "different": 0, "causes": {}}
        for i, good in enumerate(agree[peer]):
            if good:
                continue
            others = [agree[other][i] for other in answers
                      if other != peer and i < len(answers[other])]
            cause = causes.of(addresses[i], mine[i], answer[i], others)
            rows[peer]["different"] += 1
            rows[peer]["causes"][cause] = rows[peer]["causes"].get(cause, 0) + 1
            if rows[peer]["causes"][cause] <= (SHOWN if cause is None or peer != "eu-addr2line"
                                               else 0):
                print(f"#   {addresses[i]:#x}: {mine[i]}")
                for other in answers:
                    print(f"#     {other}: {answers[other][i:i + 1]}")
    return rows


def tell(name, rows):
    for peer, row in rows.items():
        count = row["asked"]
        open_ = row["causes"].get(None, 0)
        why = ", ".join(f"{n} {cause or 'not known'}"
                        for cause, n in sorted(row["causes"].items(), key=str))
        print(f"# {name}: {1 - row['different'] / count:.2%} of {count} as {peer}"
              f"{f', {1 - open_ / count:.2%} with causes: {why}' if why else ''}", flush=True)
    if REPORT:
        with open(REPORT, "a") as file:
            file.write(json.dumps({"program": name, "peers": {
                peer: {"asked": row["asked"], "different": row["different"],
                       "causes": {str(cause): n for cause, n in row["causes"].items()}}
                for peer, row in rows.items()}}) + "\n")


def compare(path, symbols=None, eu_path=None, llvm_path=None, rust_path=None):
    """symbols: the file with the symbols; *_path: what a peer is asked of that cannot read
    the file as it is, but the same code with its debug information in another form."""
    need("eu-addr2line", lib_peers.LLVM)
    names = lib_peers.Names(symbols or path)
    addresses = random_addresses(symbols or path, ADDRESSES)
    mine = lib_peers.perfd(path, addresses)
    peers = {"llvm-symbolizer": (lib_peers.llvm, llvm_path or path, addresses),
             "eu-addr2line": (lib_peers.elfutils, eu_path or path, addresses[:EU_ADDRESSES])}
    if lib_peers.RUST:
        peers["addr2line (Rust)"] = lib_peers.rust, rust_path or path, addresses
    answers = dict(zip(peers, at_once([functools.partial(*words) for words in peers.values()])))
    names.learn(mine)
    for peer, answer in answers.items():
        lib.equal(len(answer), len(addresses) if peer != "eu-addr2line"
                  else len(addresses[:EU_ADDRESSES]), f"{peer}: answers")
    # Named and with lines: agreeing on nothing is easy.
    lib.check(sum(bool(item and item[0][2]) for item in mine) > len(mine) / 2,
              f"{path}: hardly any lines")
    name = os.path.basename(path)
    causes = lib_peers.Causes(path, names, eu_path, symbols or llvm_path)
    rows = explain(causes, addresses, mine, answers, names)
    tell(name, rows)
    lib.check(1 - rows["llvm-symbolizer"]["different"] / len(mine) >= AGREE,
              f"{name}: llvm-symbolizer says too much that is different")
    for peer, row in rows.items():
        lib.check(1 - row["causes"].get(None, 0) / row["asked"] >= AGREE,
                  f"{name}: {peer}: too many differences without a cause")


# --- cases -------------------------------------------------------------------

def case(name, build, *flags, compiler=None):
    """Of clang's programs eu-addr2line is asked in a twin that has .debug_aranges, without
    which it knows no units."""
    def run_it():
        with lib.folder() as place:
            more = {"compiler": compiler} if compiler else {}
            path, twin = build(place, name, list(flags), **more), None
            if compiler and "clang" in compiler:
                twin = build(place, name + "_aranges", [*flags, "-gdwarf-aranges"], **more)
                lib.equal(code(twin), code(path), "the twin's code")
            compare(path, eu_path=twin)
    run_it.__name__ = name
    return run_it


def c_packed():
    """The same program, whose sections objcopy packs."""
    need("objcopy")
    with lib.folder() as place:
        plain = build_c(place, "c_plain", ["-O2", "-g"])
        # Newer LLVM has forgotten the old way, eu-addr2line 0.188 does not know the new one.
        unread = {"zlib": {}, "zlib-gnu": {"llvm_path": plain},
                  "zstd": {"eu_path": plain, "llvm_path": plain, "rust_path": plain}}
        for kind in unread:
            path = os.path.join(place, "c_" + kind.replace("-", "_"))
            run(["objcopy", f"--compress-debug-sections={kind}", plain, path])
            compare(path, **unread[kind])


def cxx_dwz():
    need("dwz")
    with lib.folder() as place:
        path = build_cxx(place, "cxx_dwz", ["-O2", "-g"])
        run(["dwz", path])
        compare(path)


def cxx_dwz_shared():
    """Two programs with a third file for what they have in common. Of the peers only
    eu-addr2line knows that; the others are asked of what dwz was given."""
    need("dwz")
    with lib.folder() as place:
        first = build_cxx(place, "cxx_dwz_shared", ["-O2", "-g"])
        second = build_cxx(place, "second", ["-O1", "-g"])
        whole = os.path.join(place, "whole")
        shutil.copy(first, whole)
        run(["dwz", "-m", os.path.join(place, "shared.dwz"), first, second])
        lib.contains(run(["readelf", "-SW", first]), ".gnu_debugaltlink", "sections")
        compare(first, llvm_path=whole, rust_path=whole)
        for path in (first, second):
            shutil.copy(whole, path)
        run(["dwz", "-5", "-m", os.path.join(place, "shared.sup"), first, second])
        standard = os.path.join(place, "cxx_dwz_standard")
        os.rename(first, standard)
        if ".debug_sup" in run(["readelf", "-SW", standard]):
            compare(standard, llvm_path=whole, eu_path=whole, rust_path=whole)


def split_case(name, build, compiler, version, packer):
    """First with .dwo files beside it, then with a package alone: of that the peers that
    cannot read it are asked as it was before."""
    def run_it():
        with lib.folder() as place:
            path = build(place, name, ["-O2", f"-gdwarf-{version}", "-gsplit-dwarf"], compiler)
            if lib_peers.LLVM and lib_peers.llvm_version() < 15 and not lib_peers.RUST:
                raise lib.Skip("llvm-symbolizer 14 loses functions of split units")
            compare(path)
            if not packer or not shutil.which(packer):
                return
            packed = os.path.join(place, "away", name + "_dwp")
            os.mkdir(os.path.dirname(packed))
            compiled_in = path + ".objects"
            run([packer, "-e", path, "-o", packed + ".dwp"],
                cwd=compiled_in if os.path.isdir(compiled_in) else place)
            before = lib_peers.perfd(path, random_addresses(path, ADDRESSES))
            shutil.copy(path, packed)
            for dwo in glob.glob(os.path.join(place, "**", "*.dwo"), recursive=True):
                os.rename(dwo, dwo + ".hidden")
            after = lib_peers.perfd(packed, random_addresses(path, ADDRESSES))
            lib.equal(after, before, "the package and what it was made of")
            for dwo in glob.glob(os.path.join(place, "**", "*.hidden"), recursive=True):
                os.rename(dwo, dwo.removesuffix(".hidden"))
    run_it.__name__ = name
    return run_it


def libc():
    library = "/lib/x86_64-linux-gnu/libc.so.6"
    if not os.path.exists(library):
        raise lib.Skip("no libc where Debian has it")
    found = re.search(r"Build ID: ([0-9a-f]+)", run(["readelf", "-nW", library]))
    debug = f"/usr/lib/debug/.build-id/{found[1][:2]}/{found[1][2:]}.debug" if found else ""
    if not os.path.exists(debug):
        raise lib.Skip("no libc6-dbg")
    if lib_peers.LLVM and lib_peers.llvm_version() < 19:
        raise lib.Skip("older llvm-symbolizers tell a relative folder twice")
    compare(library, debug, rust_path=debug)


lib.main(case("c_O2", build_c, "-O2", "-g"), case("c_dwarf4", build_c, "-O2", "-gdwarf-4"),
         case("c_O0", build_c, "-O0", "-g"), case("c_lto", build_c, "-O2", "-g", "-flto"), c_packed,
         case("c_clang5", build_c, "-O2", "-gdwarf-5", compiler="clang"),
         case("c_clang4", build_c, "-O2", "-gdwarf-4", compiler="clang"),
         split_case("c_split5", build_c, "gcc", 5, None),
         split_case("c_split4", build_c, "gcc", 4, "dwp"),
         split_case("c_split_clang5", build_c, "clang", 5, "llvm-dwp"),
         case("cxx_O2", build_cxx, "-O2", "-g"), case("cxx_dwarf4", build_cxx, "-O2", "-gdwarf-4"),
         case("cxx_lto", build_cxx, "-O2", "-g", "-flto"),
         case("cxx_clang", build_cxx, "-O2", "-g", compiler="clang++"),
         split_case("cxx_split", build_cxx, "g++", 4, "dwp"), cxx_dwz, cxx_dwz_shared,
         case("rust", build_rust, "-O", "-g"), libc)
