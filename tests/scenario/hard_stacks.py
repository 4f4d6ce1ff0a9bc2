#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A catalogue of stacks that are hard to unwind (tests/programs/hard.h), in many
builds: is each sample's stack whole, and does it say the truth?

As a scenario: all cases at -O2, and of each other build those that its flags change.
    hard_stacks.py --table [BUILD...]   the share of whole stacks, case by case, and
                                        where the other walks ended
    hard_stacks.py BUILD CASE [MS]      one case, each wrong stack in full
"""

import contextlib
import functools
import json
import os
import re
import subprocess
import sys

import lib

HZ = 997
WHOLE = 0.995
SLACK = 6  # samples: a case has some hundred, and half a per cent of them is few

# What is known not to reach WHOLE: {case: (how far it must get, why)}. See docs/unwinding.md.
KNOWN = {}
FIRST_SIGHT = 0.95
LEAVES = 0.7  # of the samples; else the case has not shown what it is for
ALL_MS, FEW_MS = 700, 500
SECONDS = 30
COMM = 15  # TASK_COMM_LEN, without the NUL
KERNEL = "_[k]"
PLACE = re.compile(r"^\[(.+)\+0x([0-9a-f]+)\]$")
LIBC = re.compile(r"^\[(libc[.\-]|ld-|libpthread|hard_)")
ENTRIES = {"_start", "_dl_start_user"}
THREADS = {"clone", "__clone", "clone3", "__clone3"}
CONTEXTS = {"__start_context"}

# Of every build but -O2, which has all.
FEW = ["alloca", "aligned", "realigned", "big_hot", "saved", "red_zone", "recursion_400",
       "signal", "noreturn", "thread"]
BUILDS = {"O0": FEW, "O1": FEW, "O3": FEW, "Os": FEW, "fp": FEW, "nopie": FEW + ["plt", "dlopen"],
          "static": FEW + ["plt", "fork"], "staticpie": FEW + ["plt", "vfork"],
          "musl": FEW + ["plt", "altstack", "fork"], "lld": ["plt", "syscall", "thread"],
          "muslstripped": ["alloca", "saved", "signal", "noreturn", "thread", "qsort"],
          "clang": FEW + ["split", "plt"],
          "hardened": FEW + ["alloca_hot", "aligned_hot", "big", "plt"],
          "debugframe": FEW, "stripped": FEW + ["dlopen", "plt"]}


def case_list(build):
    """{case: (leaf, [pattern])} as the program itself says."""
    path = lib.program("hard_" + build)
    if not os.path.exists(path):
        raise lib.Skip(f"there is no build {build} here")
    listing = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout
    cases = {}
    for line in listing.splitlines():
        name, leaf, patterns = line.split("\t")
        cases[name] = (leaf, [words(pattern) for pattern in patterns.split(" / ")])
    return cases


def words(pattern):
    """A frame a word; "*" any number of them."""
    found = []
    for word in pattern.split():
        times, _, name = word.rpartition(":")
        found += [name] * int(times or 1)
    return found


# --- names ---------------------------------------------------------------------------

TWINS = {"stripped": "O2", "muslstripped": "musl"}  # with symbols, else the same


@functools.lru_cache(None)
def symbols(build):
    """[(address, size, name)] of the unstripped build; assembly has no sizes: as far as
    the next one."""
    path = lib.program("hard_" + TWINS.get(build, build))
    found = []
    for line in subprocess.run(["nm", "-S", "--defined-only", path], capture_output=True,
                               text=True, check=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tTwW":
            found.append((int(fields[0], 16), int(fields[1], 16), fields[3]))
        elif len(fields) == 3 and fields[1] in "tT":
            found.append((int(fields[0], 16), 0, fields[2]))
    found.sort()
    nexts = [symbol[0] for symbol in found[1:]] + [0]
    return [(address, size or max(following - address, 0), name)
            for (address, size, name), following in zip(found, nexts)]


@functools.lru_cache(None)
def name_of(build, frame):
    """The function's name; where its program is stripped, by the twin that is not.
    File offsets and addresses are the same in the code of these programs."""
    match = PLACE.match(frame)
    if not match or not match.group(1).startswith("hard_"):
        return frame
    place = int(match.group(2), 16)
    base = 0x400000 if symbols(build)[0][0] >= 0x400000 and place < 0x400000 else 0
    for address, size, name in symbols(build):
        if address <= place + base < address + size:
            return name
    return frame


def plain(name):
    """Without parameters, and as the whole function, whichever piece of it it is."""
    return name.split("(")[0].removesuffix(".cold")


def is_one_of(frame, names):
    """These functions are in libc, whose symbol table may lack them."""
    return frame in names or bool(LIBC.match(frame))


def matches(frames, pattern):
    """Do the frames begin as the pattern says? What follows is free."""
    if not pattern:
        return True
    word, rest = pattern[0], pattern[1:]
    if word == "*":
        return any(matches(frames[i:], rest) for i in range(min(len(frames), 24)))
    if word == "@main":
        return bool(frames) and frames[0] in ENTRIES and any(
            matches(frames[i:], ["main", "hard_main", *rest]) for i in range(1, 5))
    if word == "@thread":
        return len(frames) > 2 and is_one_of(frames[0], THREADS) and matches(frames[2:], rest)
    if word == "@context":
        return bool(frames) and is_one_of(frames[0], CONTEXTS) and matches(frames[1:], rest)
    # Not by recursion: there are patterns of 400 words.
    for i, word in enumerate(pattern):
        if word in ("*",) or word.startswith("@"):
            return matches(frames[i:], pattern[i:])
        if i >= len(frames) or word != "?" and plain(frames[i]) not in word.split("|"):
            return False
    return True


# --- one case --------------------------------------------------------------------------

class Verdict:
    """What became of one case's samples: stacks is [(frames from the root, weight)]."""

    def __init__(self, stacks, build, leaf, patterns):
        self.total = self.whole = self.leaves = 0
        self.bad = {}  # (why, stack): weight
        for frames, weight in stacks:
            frames = [name_of(build, frame) for frame in frames]
            user = [frame for frame in frames if not frame.endswith(KERNEL)]
            if not user:
                continue  # in exec, or exiting: there is no user stack
            self.total += weight
            named = any(plain(frame) in leaf.split("|") for frame in user)
            self.leaves += weight if named else 0
            why = self.fault(user, named, patterns)
            if why:
                key = (why, ";".join(user))
                self.bad[key] = self.bad.get(key, 0) + weight
            else:
                self.whole += weight

    @staticmethod
    def fault(user, named, patterns):
        for frame in user:
            if frame.startswith("[") and not PLACE.match(frame) and frame[1:4] != "vds" \
                    and not frame.endswith("_[j]"):
                return frame
        if named:
            return None if any(matches(user, pattern) for pattern in patterns) else "wrong chain"
        if not is_one_of(user[0], ENTRIES | THREADS | CONTEXTS):
            return "ends early"
        return None

    @property
    def share(self):
        return self.whole / self.total if self.total else 0.0

    def reasons(self):
        """"why 3.2%, ..." of what is not whole."""
        sums = {}
        for (why, _), weight in self.bad.items():
            sums[why] = sums.get(why, 0) + weight
        return ", ".join(f"{why} {weight / self.total:.1%}" for why, weight
                         in sorted(sums.items(), key=lambda item: -item[1]))

    def worst(self, count=3):
        """The commonest wrong stacks, in their innermost frames too."""
        return sorted(((weight, why, stack) for (why, stack), weight in self.bad.items()),
                      reverse=True)[:count]


def record(ctl, build, names, ms):
    """{case: [(frames from the root, weight)]}: one recording of all of them, each
    a process that goes by its case's name."""
    with lib.folder() as place:
        path = os.path.join(place, "x.folded")
        lib.succeeds(ctl("record", "-F", HZ, "-o", path, "--", "sh", "-c",
                         'ms=$1; shift; for case; do "$0" $case $ms; done',
                         lib.program("hard_" + build), ms, *names,
                         timeout=SECONDS + len(names) * ms // 250), f"record of {build}")
        stacks = {}
        for frames, weight in lib.Folded.load(path).stacks:
            stacks.setdefault(frames[0], []).append((frames[1:], weight))
        return {name: stacks.get(name[:COMM], []) for name in names}


@contextlib.contextmanager
def at_home(build):
    """The ctl() of a perfd that has seen the build before, with what it may load:
    what is judged is the walk, not how soon a new file's table is there."""
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        first = {"plain", "dlopen", "thread", "std_thread", "throws"} & set(case_list(build))
        record(perfd.ctl, build, sorted(first), 200)
        yield perfd.ctl


def verdicts(build, names, ms):
    """[(case, Verdict)] of these, or of all."""
    cases = case_list(build)
    names = [name for name in names or cases if name in cases]
    with at_home(build) as ctl:
        stacks = record(ctl, build, names, ms)
        met = trouble(ctl)
    found = [(name, Verdict(stacks[name], build, *cases[name])) for name in names]
    for _, verdict in found:
        verdict.trouble = met
    return found


def trouble(ctl):
    """What perfd says itself of tables and files that it has not got."""
    status = json.loads(ctl("status", "--json").stdout)
    kinds = {"symbols": ("worker_restarts", "quarantined", "images_failed", "openers"),
             "unwinder": ("tables_loaded", "tables_failed", "tables_evicted")}
    told = [f"{key}: {status[kind][key]}" for kind, keys in kinds.items() for key in keys]
    return "; ".join(told + [str(status[key]) for key in ("quarantine", "damaged") if status[key]])


def missed(verdict):
    """Samples that are not whole."""
    return (1 - verdict.share) * verdict.total * HZ / 1e9


def judge(build, names, ms):
    """Asserts that all of these cases are whole."""
    lib.need_bpf()
    wrong = []
    for name, verdict in verdicts(build, names, ms):
        if verdict.leaves < LEAVES * verdict.total or not verdict.total:
            wrong.append(f"{name}: only {verdict.leaves}/{verdict.total} in it")
        elif verdict.share < WHOLE and missed(verdict) > SLACK:
            floor, why = KNOWN.get(name) or (WHOLE, "")
            if verdict.share >= floor and why:
                print(f"{build} {name}: known gap, {verdict.share:.1%}: {why}")
                continue
            wrong.append(f"{name} {verdict.share:.1%} ({verdict.reasons()})")
            for weight, why, stack in verdict.worst():
                print(f"{build} {name}: {weight} {why}: {shorten(stack)}")
            print(f"{build}: {verdict.trouble}")
    lib.check(not wrong, f"{build}: {len(wrong)} cases are not whole: " + "; ".join(wrong))


def shorten(stack):
    frames = stack.split(";")
    return stack if len(frames) <= 24 else ";".join([*frames[:10], "...", *frames[-10:]])


def table(builds):
    """As markdown, for docs/unwinding.md."""
    print("| build | case | samples | whole | the rest |\n|---|---|--:|--:|---|")
    details, lowest = [], 1.0
    for build in builds or ["O2", "cxx_O2", *BUILDS, "cxx_O0", "cxx_static"]:
        try:
            found = verdicts(build, None if builds else BUILDS.get(build), 1000)
        except lib.Skip as reason:
            print(f"| {build} | | | | {reason} |")
            continue
        for name, verdict in found:
            lowest = min(lowest, verdict.share)
            few = "" if verdict.leaves >= LEAVES * verdict.total else " (few in it)"
            print(f"| {build} | {name} | {round(verdict.total * HZ / 1e9)} "
                  f"| {verdict.share:.2%}{few} | {verdict.reasons()} |", flush=True)
            if verdict.share < WHOLE:
                details += [(build, name, *one) for one in verdict.worst()]
    print(f"\nlowest: {lowest:.2%}")
    for build, name, weight, why, stack in details:
        print(f"{build} {name}: {weight / 1e6:.0f} ms {why}: {shorten(stack)}")


def show(build, name, ms):
    verdict = verdicts(build, [name], ms)[0][1]
    print(f"{build} {name}: {verdict.share:.2%} of {verdict.total / 1e6:.0f} ms whole, "
          f"{verdict.leaves / max(verdict.total, 1):.1%} with the leaf; {verdict.reasons()}")
    for weight, why, stack in verdict.worst(12):
        print(f"  {weight / 1e6:.0f} ms {why}: {stack}")


# --- the scenario ------------------------------------------------------------------------

def build_O2():
    judge("O2", None, ALL_MS)


def build_cxx():
    judge("cxx_O2", None, ALL_MS)


def build_cxx_O0():
    judge("cxx_O0", ["catch", "destructor", "throws"], FEW_MS)


def build_cxx_static():
    judge("cxx_static", ["catch", "throws", "std_thread"], FEW_MS)


def first_sight():
    """record with a perfd of its own, which has no table when the program begins."""
    lib.need_bpf()
    verdict = Verdict(record(lib.perfctl, "O3", ["saved"], 2000)["saved"], "O3",
                      *case_list("O3")["saved"])
    lib.check(verdict.share >= FIRST_SIGHT, f"{verdict.share:.1%} whole: {verdict.reasons()}")


def of_build(build, names):
    def case():
        judge(build, names, FEW_MS)
    case.__name__ = "build_" + build
    return case


if __name__ == "__main__":
    if sys.argv[1:2] == ["--table"]:
        lib.need_bpf()
        table(sys.argv[2:])
    elif len(sys.argv) > 2:
        lib.need_bpf()
        show(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1000)
    else:
        lib.main(first_sight, build_O2, build_cxx, build_cxx_O0, build_cxx_static,
                 *(of_build(build, names) for build, names in BUILDS.items()))
