# SPDX-License-Identifier: GPL-2.0-or-later
"""Who else tells addresses by name, what each answers, and whether two answers are the same.

An answer is a list of frames, leaf first: (name, file, line), file None and line 0
where they are not known."""

import bisect
import json
import os
import re
import shutil
import subprocess

import lib

# The newest: 14 loses functions of split units that have ranges.
LLVM = next((tool for tool in [f"llvm-symbolizer-{n}" for n in range(30, 13, -1)] +
             ["llvm-symbolizer"] if shutil.which(tool)), None)
# The Rust crate's program (`cargo install addr2line --features bin`): a third judge.
RUST = os.environ.get("ADDR2LINE_RS") or ""


def llvm_version():
    return int(re.search(r"LLVM version (\d+)", run([LLVM, "--version"]))[1])


def need(*tools):
    for tool in tools:
        if not tool or not shutil.which(tool):
            raise lib.Skip(f"{tool or 'llvm-symbolizer'} is not there")


def run(command, codes=(0,), **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, **more)
    lib.check(done.returncode in codes, f"{' '.join(command)[:200]}: {done.stderr[-500:]}")
    return done.stdout


def symbolize(*arguments, **more):
    return subprocess.run([lib.PERFCTL, "symbolize", *arguments], capture_output=True, text=True,
                          timeout=lib.PERFCTL_SECONDS, **more)


# --- answers -----------------------------------------------------------------

def normal(path):
    """A path in one way to write it; None where it is not known."""
    return None if not path or path.startswith("??") else os.path.normpath(path)


def perfd(path, addresses):
    answer = symbolize("--json", "--no-demangle", path, input="\n".join(map(hex, addresses)))
    lib.equal(answer.returncode, 0, f"symbolize: {answer.stderr}")
    return [[(frame["name"], normal(frame.get("file")), frame.get("line", 0))
             for frame in item["frames"]] for item in json.loads(answer.stdout)["addresses"]]


def paired(text):
    """Of eu-addr2line and addr2line: a line with the address, then two lines a frame."""
    answers, lines = [], text.splitlines()
    at = 0
    while at < len(lines):
        if re.fullmatch(r"0x[0-9a-f]+", lines[at]):
            answers.append([])
            at += 1
            continue
        name = re.split(r" inlined (?:at|from|in) ", lines[at])[0]
        place = re.fullmatch(r"(.*?):(\d+|\?)(:\d+)?( \(.*\))?", lines[at + 1])
        file, line = (place[1], place[2]) if place else (lines[at + 1], "")
        at += 2
        answers[-1].append((name, normal(file), int(line) if line.isdigit() else 0))
    return answers


def elfutils(path, addresses):
    # Its exit code is 1 if one address was unknown.
    return paired(run(["eu-addr2line", "-fia", "-e", path], (0, 1),
                      input="\n".join(map(hex, addresses)) + "\n"))


def rust(path, addresses):
    return paired(run([RUST, "-fia", "-e", path], input="\n".join(map(hex, addresses)) + "\n"))


def llvm(path, addresses):
    text = run([LLVM, "--output-style=JSON", "--no-demangle", f"--obj={path}"],
               input="\n".join(map(hex, addresses)) + "\n")
    return [[(frame["FunctionName"], normal(frame["FileName"]), frame["Line"])
             for frame in json.loads(line).get("Symbol", [])] for line in text.splitlines() if line]


# --- comparison --------------------------------------------------------------

class Names:
    """What names one function of a program has: aliases at one address, and what it is
    called in the source."""

    def __init__(self, symbols):
        at, self.alias, self.plain = {}, {}, {}
        for line in run(["nm", symbols]).splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "tTwWiVvuU":
                at.setdefault(words[0], set()).add(words[2].split("@")[0])
        for group in at.values():
            for name in group:
                self.alias[name] = self.alias.get(name, set()) | group

    def learn(self, answers):
        names = sorted({frame[0] for item in answers for frame in item
                        if frame[0].startswith(("_Z", "_R"))} - self.plain.keys())
        text = run(["c++filt", "-p"], input="\n".join(names) + "\n")
        self.plain.update((name, plain(line)) for name, line in zip(names, text.splitlines()))

    def same(self, mine, other):
        return mine == other or base(mine) == base(other) or \
            other in self.alias.get(mine, ()) or mine in self.alias.get(other, ()) or \
            self.plain.get(mine) == plain(other)


def plain(name):
    """The last word of a demangled name, without template arguments."""
    depth, kept = 0, ""
    for letter in name.replace("operator<", "operator\1").replace("operator>", "operator\2"):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        kept += "" if depth or letter == ">" else letter
    return kept.split("::")[-1]


def base(name):
    """A name without what the compiler put behind it for a part or a copy."""
    name = re.sub(r"@@?[A-Z][\w.]*$", "", name).removeprefix("__GI_")  # a version; hidden
    return re.sub(r"\.(cold|part|isra|constprop|llvm|lto_priv|localalias)(\.\d+)*", "", name)


def same_frame(mine, other, names):
    (name, file, line), (other_name, other_file, other_line) = mine, other
    if other_name not in ("", "??") and not names.same(name, other_name):
        return False
    return (file, line) == (other_file, other_line) or (not line and not other_line)


def same(mine, other, names):
    """Where there is no debug information, which symbol is a matter of taste."""
    if len(mine) == len(other) == 1 and not mine[0][1] and not other[0][1]:
        return True
    if not mine or not other:
        return not mine and (not other or other[0][0] in ("", "??"))
    return len(mine) == len(other) and \
        all(same_frame(a, b, names) for a, b in zip(mine, other))


# --- why not -----------------------------------------------------------------

def aranges(path):
    """[start, end) of all that .debug_aranges has, sorted."""
    ranges = []
    for line in run(["readelf", "--debug-dump=aranges", path], (0, 1)).splitlines():
        words = line.split()
        if len(words) == 2 and all(re.fullmatch("[0-9a-f]{16}", word) for word in words):
            start, size = (int(word, 16) for word in words)
            ranges.append((start, start + size))
    return sorted(ranges)


def holds(ranges, address):
    return any(start <= address < end for start, end in ranges)


def row_addresses(path):
    """Where the rows of the line tables begin, sorted."""
    text = run([LLVM.replace("symbolizer", "dwarfdump"), "--debug-line", path])
    return sorted({int(address, 16)
                   for address in re.findall(r"^(0x[0-9a-f]{16}) ", text, re.MULTILINE)})


def folder_once(answer):
    """An answer with libio/genops.c where it has libio/libio/genops.c."""
    return [(name, re.sub(r"^([^/]+)/(?=\1/)", "", file) if file else file, line)
            for name, file, line in answer]


class Causes:
    """Why a peer differs from perfd, as far as it can be shown: by the program's sections and
    by what the peer says of another address. And only where another peer is of one mind with
    perfd. docs/symbolizer.md tells what is behind each."""

    def __init__(self, path, names, eu_path=None, lines=None):
        """lines: the file with the line tables, if that is yet another."""
        self.path, self.names, self.eu_path = path, names, eu_path or path
        self.lines = lines or self.eu_path
        self.ranges = self.rows = None

    def of(self, address, mine, other, others_agree):
        """other: the peer's answer; others_agree: whether each other peer has perfd's."""
        if not any(others_agree):
            return None
        if not any(frame[1] for frame in other):
            if self.ranges is None:
                self.ranges = aranges(self.eu_path)
            return None if holds(self.ranges, address) else "unit not in .debug_aranges"
        once = folder_once(other)
        if once != other:
            why = "" if same(mine, once, self.names) else self.of(address, mine, once, [True])
            return None if why is None else "relative folder told twice" + (why and ", " + why)
        if len(other) == 1 and self.names.same(mine[-1][0], other[0][0]) and \
                mine[0][1:] == other[0][1:]:
            return "no functions, only the symbol"
        if len(mine) == len(other) and all(a[1:] == b[1:] for a, b in zip(mine, other)):
            return "another of the names there" # versions of a symbol
        if self.is_of_its_row(address, mine, other):
            return "inline chain of the row's beginning"
        return None

    def is_of_its_row(self, address, mine, other):
        """eu-addr2line -i takes the chain from where the line's row begins: asked about
        that address it says the same, and perfd agrees there."""
        if self.rows is None:
            self.rows = row_addresses(self.lines)
        at = bisect.bisect_right(self.rows, address) - 1
        if at < 0 or self.rows[at] == address:
            return False
        there = folder_once(elfutils(self.eu_path, [self.rows[at]])[0])
        return there[1:] == other[1:] and \
            same_frame(mine[0], other[0], self.names) and \
            same(perfd(self.path, [self.rows[at]])[0], there, self.names)
