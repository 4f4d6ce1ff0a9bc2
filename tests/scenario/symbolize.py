#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""perfctl symbolize: what it answers and refuses, and whether it agrees with
eu-addr2line and llvm-symbolizer on random addresses of programs of many kinds. No
root needed. SYMBOLIZE_ADDRESSES says how many addresses (default 2000)."""

import glob
import json
import os
import random
import re
import shutil
import subprocess

import lib

ADDRESSES = int(os.environ.get("SYMBOLIZE_ADDRESSES", "2000"))
AGREE = 0.999  # share of addresses
SHOWN = int(os.environ.get("SYMBOLIZE_SHOWN", "3"))  # differences that are printed

C_SOURCES = sorted(glob.glob(os.path.join(lib.ROOT, "symbolizer", "*.c")) +
                   glob.glob(os.path.join(lib.ROOT, "daemon", "base", "*.c")))

CXX_SOURCE = r"""
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {
template <typename T, int N> struct Tower {
	Tower<T, N - 1> below;
	std::vector<T> values;
	template <typename F> auto walk(F &&f) const
	{
		auto sum = below.walk(f);
		for (const auto &value : values)
			sum += f(value);
		return sum;
	}
	void fill(int n)
	{
		below.fill(n + 1);
		for (int i = 0; i < n; i++)
			values.push_back(T(i * N));
	}
};
template <typename T> struct Tower<T, 0> {
	template <typename F> auto walk(F &&f) const { return f(T()); }
	void fill(int) {}
};
struct Base {
	virtual ~Base() = default;
	virtual std::string name(int n) const = 0;
};
template <int N> struct Kind : Base {
	std::string name(int n) const override
	{
		std::ostringstream out;
		out << "kind " << N << ' ' << n;
		return out.str();
	}
};
using Value = std::variant<int, double, std::string>;
}

static const auto shout = [](const std::string &text) {
	std::string loud;
	std::transform(text.begin(), text.end(), std::back_inserter(loud),
		       [](char c) { return char(std::toupper(c)); });
	return loud;
};

static int parse(const std::string &text)
{
	std::regex expression("([a-z]+)([0-9]*)");
	std::smatch match;
	return std::regex_match(text, match, expression) ? int(match.size()) : 0;
}

int main(int argc, char **argv)
{
	Tower<double, 6> tower;
	tower.fill(argc * 3);
	double sum = tower.walk([argc](double value) { return value * argc; });
	std::map<std::string, std::vector<int>> map;
	std::unordered_map<int, std::string> names;
	std::vector<std::unique_ptr<Base>> kinds;
	kinds.push_back(std::make_unique<Kind<1>>());
	kinds.push_back(std::make_unique<Kind<2>>());
	for (int i = 0; i < 100 * argc; i++) {
		names[i] = kinds[i % 2]->name(i);
		map[names[i]].push_back(i);
	}
	std::vector<Value> values{argc, 2.5, std::string("three")};
	for (auto &value : values)
		std::visit([&](auto &&what) { std::cout << what << '\n'; }, value);
	std::vector<std::string> sorted;
	for (auto &[key, list] : map)
		sorted.push_back(key + std::to_string(std::accumulate(list.begin(), list.end(), 0)));
	std::sort(sorted.begin(), sorted.end(), std::greater<>());
	std::stable_sort(sorted.begin(), sorted.end());
	std::function<int(int)> twice = [&](int n) { return n ? twice(n - 1) * 2 : parse(argv[0]); };
	std::cout << shout(argv[0]) << sum << sorted.front() << twice(5) << '\n';
}
"""

RUST_SOURCE = r"""
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

trait Shape { fn area(&self) -> f64; }
struct Square(f64);
struct Circle<T>(T);
impl Shape for Square { fn area(&self) -> f64 { self.0 * self.0 } }
impl<T: Into<f64> + Copy> Shape for Circle<T> {
    fn area(&self) -> f64 { let r: f64 = self.0.into(); r * r * 3.14 }
}
fn show<T: Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("<{}>", item)).collect::<Vec<_>>().join(",")
}
fn main() {
    let shapes: Vec<Box<dyn Shape>> = vec![Box::new(Square(2.0)), Box::new(Circle(1.5f32))];
    let total: f64 = shapes.iter().map(|shape| shape.area()).sum();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut lengths: HashMap<usize, Vec<String>> = HashMap::new();
    for argument in std::env::args() {
        for word in argument.split('/') {
            *counts.entry(word.to_string()).or_insert(0) += 1;
            lengths.entry(word.len()).or_default().push(word.to_uppercase());
        }
    }
    let mut keys: Vec<_> = lengths.keys().cloned().collect();
    keys.sort_by(|a, b| b.cmp(a));
    println!("{} {} {:?} {}", total, counts.len(), keys, show(&keys));
}
"""


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise lib.Skip(f"{tool} is not there")


def run(command, codes=(0,), **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **more)
    lib.check(done.returncode in codes, f"{' '.join(command)[:200]}: {done.stderr[-500:]}")
    return done.stdout


def symbolize(*arguments, **more):
    return subprocess.run([lib.PERFCTL, "symbolize", *arguments], capture_output=True, text=True,
                          timeout=lib.PERFCTL_SECONDS, **more)


# --- answers -----------------------------------------------------------------

def normal(path):
    """A path in one way to write it; None where it is not known."""
    return None if not path or path.startswith("??") else os.path.normpath(path)


def ours(path, addresses):
    answer = symbolize("--json", "--no-demangle", path, input="\n".join(map(hex, addresses)))
    lib.equal(answer.returncode, 0, f"symbolize: {answer.stderr}")
    return [[(frame["name"], normal(frame.get("file")), frame.get("line", 0))
             for frame in item["frames"]] for item in json.loads(answer.stdout)["addresses"]]


def elfutils(path, addresses):
    # Its exit code is 1 if one address was unknown.
    text = run(["eu-addr2line", "-fia", "-e", path], (0, 1),
               input="\n".join(map(hex, addresses)) + "\n")
    answers, lines = [], text.splitlines()
    at = 0
    while at < len(lines):
        if re.fullmatch(r"0x[0-9a-f]+", lines[at]):
            answers.append([])
            at += 1
            continue
        name = lines[at].split(" inlined at ")[0]
        place = lines[at + 1].split(" (")[0].split(":")
        at += 2
        line = int(place[1]) if len(place) > 1 and place[1].isdigit() else 0
        answers[-1].append((name, normal(place[0]), line))
    return answers


def llvm(path, addresses):
    tool = shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14")
    text = run([tool, "--output-style=JSON", "--no-demangle", f"--obj={path}"],
               input="\n".join(map(hex, addresses)) + "\n")
    return [[(frame["FunctionName"], normal(frame["FileName"]), frame["Line"])
             for frame in json.loads(line).get("Symbol", [])] for line in text.splitlines() if line]


# --- comparison --------------------------------------------------------------

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


def aliases(path):
    """Of each symbol's name the names at the same address."""
    at, of = {}, {}
    for line in run(["nm", path]).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTwWiVvuU":
            at.setdefault(words[0], set()).add(words[2].split("@")[0])
    for group in at.values():
        for name in group:
            of[name] = of.get(name, set()) | group
    return of


def demangled(names):
    """Of each name the last part of what it is called in the source."""
    text = run(["c++filt", "-p"], input="\n".join(names) + "\n")
    return {name: re.sub(r"<.*?>(?=::|$)", "", line).split("::")[-1]
            for name, line in zip(names, text.splitlines())}


def base(name):
    """A name without what the compiler put behind it for a part or a copy."""
    name = re.sub(r"@@?[A-Z][\w.]*$", "", name).removeprefix("__GI_")  # a version; hidden
    return re.sub(r"\.(cold|part|isra|constprop|llvm|lto_priv|localalias)(\.\d+)*", "", name)


def same_name(mine, other, alias, plain):
    """One function has several names: aliases, parts, and the source's own name where
    there is no linkage name in its DWARF, but a symbol."""
    return mine == other or base(mine) == base(other) or other in alias.get(mine, ()) or \
        mine in alias.get(other, ()) or plain.get(mine) == other


def same(mine, other, alias, plain):
    """Where there is no debug information, which symbol is a matter of taste."""
    if len(mine) == len(other) == 1 and not mine[0][1] and not other[0][1]:
        return True
    if not mine or not other:
        return not mine and (not other or other[0][0] in ("", "??"))
    if len(mine) != len(other):
        return False
    for (name, file, line), (other_name, other_file, other_line) in zip(mine, other):
        if other_name not in ("", "??") and not same_name(name, other_name, alias, plain):
            return False
        if (file, line) != (other_file, other_line) and not (not line and not other_line):
            return False
    return True


# eu-addr2line (0.188) does not follow references between units (LTO), knows no
# units without .debug_aranges (clang, Rust), loses what encloses a lambda of gcc's,
# and takes another one of two inlined calls that claim the same instruction:
# docs/symbolizer.md. It must agree at least so far.
EU_C, EU_CXX, EU_LITTLE = 0.997, 0.97, 0.0


def compare(path, symbols=None, eu=EU_C):
    alias = aliases(symbols or path)
    addresses = random_addresses(path if symbols is None else symbols, ADDRESSES)
    got = ours(path, addresses)
    plain = demangled(sorted({frame[0] for item in got for frame in item
                              if frame[0].startswith("_Z")}))
    for name, tool, least in (("eu-addr2line", elfutils, eu), ("llvm-symbolizer", llvm, AGREE)):
        want = tool(path, addresses)
        lib.equal(len(want), len(got), f"{name}: answers")
        different = [i for i in range(len(got)) if not same(got[i], want[i], alias, plain)]
        share = 1 - len(different) / len(got)
        print(f"# {os.path.basename(path)}: {share:.2%} of {len(got)} as {name}")
        for i in different[:SHOWN if least else 0]:
            print(f"#   {addresses[i]:#x}: {got[i]}\n#     {name}: {want[i]}")
        # Named and with lines: agreeing on nothing is easy.
        lib.check(sum(bool(item and item[0][2]) for item in got) > len(got) / 2,
                  f"{path}: hardly any lines")
        lib.check(share >= least, f"{path}: only {share:.2%} as {name}")


def c_program(place, name, flags, compiler="gcc"):
    need(compiler, "eu-addr2line")
    if not (shutil.which("llvm-symbolizer") or shutil.which("llvm-symbolizer-14")):
        raise lib.Skip("llvm-symbolizer is not there")
    path = os.path.join(place, name)
    include = ["-I", lib.ROOT, "-I", os.path.join(lib.BUILD, "gen"), "-I/usr/include/libdwarf"]
    main = os.path.join(place, "main.c")
    with open(main, "w") as file:
        file.write('#include "symbolizer/client.h"\n'
                   "int main(void) { return symbolizer_worker_main(3, 0); }\n")
    run([compiler, "-std=gnu17", "-D_GNU_SOURCE", *flags, *include, *C_SOURCES, main, "-o", path,
         "-lelf", "-ldwarf", "-lZydis", "-lZycore", "-liberty", "-llzma", "-lxxhash",
         "-lseccomp", "-lcap", "-lz", "-lzstd", "-lm"])
    return path


def cxx_program(place, name, flags, compiler="g++"):
    need(compiler, "eu-addr2line", "llvm-symbolizer")
    source, path = os.path.join(place, name + ".cc"), os.path.join(place, name)
    with open(source, "w") as file:
        file.write(CXX_SOURCE)
    run([compiler, "-std=gnu++17", *flags, source, "-o", path])
    return path


def c_case(name, flags, compiler="gcc", eu=EU_C):
    def case():
        with lib.folder() as place:
            compare(c_program(place, name, flags, compiler), eu=eu)
    case.__name__ = f"c_{name}"
    return case


def cxx_case(name, flags, compiler="g++", eu=EU_CXX):
    def case():
        with lib.folder() as place:
            compare(cxx_program(place, name, flags, compiler), eu=eu)
    case.__name__ = f"cxx_{name}"
    return case


def cxx_dwz():
    need("dwz")
    with lib.folder() as place:
        path = cxx_program(place, "dwz", ["-O2", "-g"])
        run(["dwz", path])
        compare(path, eu=EU_CXX)


def rust():
    need("rustc", "eu-addr2line", "llvm-symbolizer")
    with lib.folder() as place:
        source, path = os.path.join(place, "program.rs"), os.path.join(place, "program")
        with open(source, "w") as file:
            file.write(RUST_SOURCE)
        run(["rustc", "-O", "-g", source, "-o", path], cwd=place)
        compare(path, eu=EU_LITTLE)


def libc():
    need("eu-addr2line", "llvm-symbolizer")
    library = "/lib/x86_64-linux-gnu/libc.so.6"
    if not os.path.exists(library):
        raise lib.Skip("no libc where Debian has it")
    found = re.search(r"Build ID: ([0-9a-f]+)", run(["readelf", "-nW", library]))
    debug = f"/usr/lib/debug/.build-id/{found[1][:2]}/{found[1][2:]}.debug" if found else ""
    if not os.path.exists(debug):
        raise lib.Skip("no libc6-dbg")
    compare(library, debug)


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


lib.main(answers, refusals, a_process, crashers, c_case("O2", ["-O2", "-g"]), c_case("dwarf4", ["-O2", "-gdwarf-4"]),
         c_case("O0", ["-O0", "-g"]), c_case("lto", ["-O2", "-g", "-flto"], eu=EU_LITTLE),
         c_case("compressed", ["-O2", "-g", "-gz=zlib"]),
         c_case("clang5", ["-O2", "-gdwarf-5"], "clang", EU_LITTLE),
         c_case("clang4", ["-O2", "-gdwarf-4"], "clang", EU_LITTLE),
         cxx_case("O2", ["-O2", "-g"]), cxx_case("dwarf4", ["-O2", "-gdwarf-4"]),
         cxx_case("lto", ["-O2", "-g", "-flto"], eu=EU_LITTLE),
         cxx_case("clang", ["-O2", "-g"], "clang++", EU_LITTLE), cxx_dwz, rust, libc)
