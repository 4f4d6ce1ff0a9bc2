#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What other programs make of the files that perfctl writes, and of those it reads: Go's
pprof, npm's pprof-format, speedscope (its schema, and the page itself in Chromium),
callgrind_annotate, inferno. Totals must be ours, to the last digit.

No perfd is needed. Clients are installed by this test, into build/clients; what cannot be
had is skipped by name."""

import csv
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402

PLACE = os.path.join(lib.BUILD, "clients")
SOURCE = os.path.join(lib.ROOT, "tests", "clients")
PPROF = "github.com/google/pprof@v0.0.0-20260906184651-6331bc6350fe"
INFERNO = "0.12.8"
PATIENCE = 280  # seconds for an installation
# A minute of a program that leaks, as sites and snapshots.
HEAP = os.path.join(lib.ROOT, "tests", "fuzz", "corpus", "profile_wire", "heap_sites")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=lib.PERFCTL_SECONDS,
                          check=False, **more)
    lib.check(done.returncode == 0, f"{command[0]} exits with {done.returncode}: {done.stderr}")
    return done.stdout


def perfctl(*args):
    return run(lib.PERFCTL, *args)


def install(command, what, **more):
    """Skips if it fails: no network, no such version."""
    os.makedirs(PLACE, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE,
                              check=False, **more)
    except subprocess.TimeoutExpired:
        raise lib.Skip(f"{what}: no answer") from None
    if done.returncode:
        raise lib.Skip(f"{what}: " + (done.stderr.strip().splitlines() or ["failed"])[-1])


def tool(name, package):
    path = shutil.which(name)
    if not path:
        raise lib.Skip(f"no {name}: install the package {package}")
    return path


@functools.cache
def go_pprof():
    go, path = tool("go", "golang"), os.path.join(PLACE, "go", "pprof")
    if not os.path.exists(path):
        install([go, "install", PPROF], "go install",
                env={**os.environ, "GOBIN": os.path.dirname(path)})
    return path


@functools.cache
def npm():
    """node's environment, with the packages of tests/clients."""
    tool("node", "nodejs")
    npm_path, wanted = tool("npm", "npm"), os.path.join(SOURCE, "package-lock.json")
    lock = os.path.join(PLACE, "package-lock.json")
    installed = os.path.join(PLACE, "node_modules", "speedscope", "package.json")
    if not os.path.exists(installed) or open(lock).read() != open(wanted).read():
        os.makedirs(PLACE, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(SOURCE, name), PLACE)
        install([npm_path, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci",
                cwd=PLACE)
    return {**os.environ, "NODE_PATH": os.path.join(PLACE, "node_modules")}


@functools.cache
def inferno(program):
    cargo, root = tool("cargo", "cargo"), os.path.join(PLACE, "inferno")
    path = os.path.join(root, "bin", program)
    if not os.path.exists(path):
        install([cargo, "install", "--quiet", "--locked", "--version", INFERNO, "inferno",
                 "--root", root], "cargo install inferno")
    return path


def check_js(*args):
    return json.loads(run("node", os.path.join(SOURCE, "check.js"), *args, env=npm()))


# --- the profile ---------------------------------------------------------------

NAMES = ["main", "parse", "foo", "foo-bar", "operator new", "std::map<int, a>::find", "<b>&\"'",
         "ünïcode", "a.b.c", "[truncated]", "loop_1", "loop_2"]


def perf_text(seed, samples=300):
    """perf's text: kernel, inlined, JIT and unknown frames, recursion, two threads, and
    periods that a float would lose digits of."""
    pick = random.Random(seed)
    out = []
    for number in range(samples):
        out.append(f"{pick.choice(['web', 'db pool'])} 12/{12 + number % 3} [000] "
                   f"{100 + number / 50:.6f}: {10**9 + pick.randrange(10**9)} cpu-clock:")
        if pick.random() < 0.4:
            out.append("\tffffffff81000010 vfs_read+0x10 ([kernel.kallsyms])")
            out.append("\tffffffff81000020 do_syscall_64 ([kernel.kallsyms])")
        for _ in range(pick.randrange(1, 9)):
            name = pick.randrange(len(NAMES))
            module = ["/usr/bin/app", "/lib/libx.so", "/tmp/perf-12.map"][name % 3]
            out.append(f"\t{0x1000 + name:x} {NAMES[name]} ({module})")
        out.append("\t2000 _start (/usr/bin/app)")
        out.append("")
    return "\n".join(out) + "\n"


class Case:
    """A folder with the text, and our own table of it."""

    def __init__(self, place, seed=1, name="in"):
        self.place = place
        self.text = os.path.join(place, f"{name}.perf")
        with open(self.text, "w", encoding="utf-8") as file:
            file.write(perf_text(seed))
        self.rows = {}
        for row in csv.DictReader(perfctl("convert", self.text, "-f", "csv").splitlines()):
            self_total = self.rows.setdefault(row["function"].lstrip("'"), [0, 0])
            self_total[0] += int(row["self"])
            self_total[1] += int(row["total"])
        self.total = json.loads(perfctl("report", self.text, "--json"))["total"]

    def convert(self, form, *options):
        path = os.path.join(self.place, f"{os.path.basename(self.text)}.{form}")
        perfctl("convert", self.text, "-f", form, "-o", path, *options)
        return path


def with_case(test):
    @functools.wraps(test)
    def run_it():
        with tempfile.TemporaryDirectory() as place:
            test(Case(place))
    return run_it


# --- Go's pprof ------------------------------------------------------------------

TOP = re.compile(r"^ *(\d+)(?:ns)? +[\d.]+% +[\d.]+% +(\d+)(?:ns)? +[\d.]+% +(.*?)(?: \(inline\))?$")


def pprof_top(path, *options):
    """{function: [flat, cum]} and the total, all in nanoseconds."""
    text = run(go_pprof(), "-top", "-nodecount=0", "-nodefraction=0", "-edgefraction=0",
               "-unit=nanoseconds", *options, path)
    rows = {}
    for line in text.splitlines():
        match = TOP.match(line)
        if match:
            rows[match.group(3)] = [int(match.group(1)), int(match.group(2))]
    return rows, text


def self_by_function(case):
    """Of names with self, without those that pprof shortens: templates and arguments."""
    plain = re.compile(r"^[\w.-]+$")
    return {name: row for name, row in case.rows.items() if plain.match(name)}


@with_case
def go_pprof_top_and_tree(case):
    path = case.convert("pprof")
    rows, text = pprof_top(path)
    total = re.search(r"of (\d+)ns total", text)
    lib.check(total is not None, f"no total in {text[:300]}")
    lib.equal(int(total.group(1)), case.total, "pprof's total")
    for name, (flat, cum) in self_by_function(case).items():
        lib.check(name in rows, f"{name} is not in pprof's table")
        lib.equal(rows[name][0], flat, f"flat of {name}")
    lib.equal(rows["_start"][1], case.rows["_start"][1], "cum of _start")
    tree = run(go_pprof(), "-tree", "-unit=nanoseconds", "-nodecount=0", path)
    lib.contains(tree, "vfs_read", "pprof -tree")


@with_case
def go_pprof_diff_base(case):
    other = Case(case.place, seed=2, name="other")
    base, path = case.convert("pprof"), other.convert("pprof")
    rows, _ = pprof_top(path, f"-diff_base={base}")
    same, text = pprof_top(path, f"-diff_base={path}")
    lib.check(all(row == [0, 0] for row in same.values()), f"a difference from itself: {text}")
    want = other.rows["vfs_read"][0] - case.rows["vfs_read"][0]
    found = run(go_pprof(), "-top", "-nodecount=0", "-nodefraction=0", "-unit=nanoseconds",
                f"-diff_base={base}", path)
    lib.check(re.search(rf"^ *{want}ns .* vfs_read$", found, re.M),
              f"no {want} ns of vfs_read in {found}")
    lib.check(rows is not None, "no table")


def go_pprof_heap():
    """The types that pprof knows heaps by, in its order, what is in use first; totals are ours."""
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "heap.pb.gz")
        perfctl("heap", HEAP, "-o", path)
        lib.contains(run(go_pprof(), "-raw", path),
                     "alloc_objects/count alloc_space/bytes inuse_objects/count "
                     "inuse_space/bytes[dflt]", "pprof's sample types")
        for name, suffix in (("alloc_objects", ""), ("alloc_space", "B"), ("inuse_objects", ""),
                             ("inuse_space", "B")):
            text = run(go_pprof(), "-top", f"-sample_index={name}",
                       f"-unit={'bytes' if suffix else 'count'}", path)
            total = sum(int(line.rsplit(" ", 1)[1])
                        for line in perfctl("convert", HEAP, "--value", name).splitlines())
            lib.contains(text, f"Type: {name}\n", "pprof's head")
            lib.contains(text, f"Total samples = {total}{suffix} ", f"total of {name}")


@with_case
def npm_pprof_format(case):
    found = check_js("pprof", case.convert("pprof"))
    lib.equal(found["totals"], {"samples": "300", "cpu_clock": str(case.total)}, "totals")
    for name in ("_start", "ünïcode", "<b>&\"'", "[truncated]"):
        lib.check(name in found["functions"], f"{name} is no function of {found['functions']}")


# --- speedscope --------------------------------------------------------------------

@with_case
def speedscope_schema(case):
    path = case.convert("speedscope")
    npm()
    found = check_js("schema", os.path.join(PLACE, "node_modules", "speedscope", "dist",
                                            "release", "file-format-schema.json"), path)
    lib.check(found["good"], f"not as the schema has it: {found['errors']}")
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)["profiles"][0]
    lib.equal(sum(profile["weights"]), case.total, "sum of weights")


ROW = re.compile(r'<td[^>]*>[^<]*<div[^>]*><div[^>]*style="width: ([\d.]+)%;"></div></div></td>'
                 r'<td[^>]*>[^<]*<div[^>]*><div[^>]*style="width: ([\d.]+)%;"></div></div></td>'
                 r'<td[^>]*>(.*?)</td>')


def speedscope_table(case, path, name):
    """{function: self percent} of the page's sandwich view after it loaded the file."""
    import base64
    import html
    npm()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise lib.Skip("no browser: install the package chromium")
    script = os.path.join(case.place, "load.js")
    with open(path, "rb") as file, open(script, "w", encoding="utf-8") as out:
        data = base64.b64encode(file.read()).decode()
        out.write(f'speedscope.loadFileFromBase64("{name}", "{data}")')
    page = os.path.join(PLACE, "node_modules", "speedscope", "dist", "release", "index.html")
    dom = run(browser, "--headless", "--no-sandbox", "--disable-gpu",
              "--allow-file-access-from-files", "--virtual-time-budget=8000",
              "--user-data-dir=" + os.path.join(case.place, "chromium"), "--dump-dom",
              f"file://{page}#localProfilePath={script}&view=sandwich")
    table = {}
    for total, own, cell in ROW.findall(dom):
        label = html.unescape(re.sub(r"<[^>]*>", "", cell)).split(" {")[0]
        table.setdefault(label, []).append((float(own), float(total)))
    lib.check(table, f"speedscope shows no table of {os.path.basename(path)}")
    return table


def check_speedscope(case, path, name, tolerance=1e-3):
    table = speedscope_table(case, path, name)
    seen = 0
    for function in ("vfs_read", "loop_1", "ünïcode"):
        want = 100 * case.rows[function][0] / case.total
        lines = [label for label in table if label == function or
                 label.startswith(function + "_[")]
        got = sum(own for label in lines for own, _ in table[label])
        seen += bool(lines)
        lib.check(not lines or abs(got - want) < tolerance,
                  f"{name}: {function} is {got} % in speedscope, {want} % here")
    lib.check(seen > 0, f"{name}: none of our functions in speedscope's table: {list(table)}")


@with_case
def speedscope_imports_its_own(case):
    check_speedscope(case, case.convert("speedscope"), "in.speedscope.json")


@with_case
def speedscope_imports_pprof(case):
    check_speedscope(case, case.convert("pprof"), "in.pb.gz")


@with_case
def speedscope_imports_folded(case):
    check_speedscope(case, case.convert("folded"), "in.folded.txt")


@with_case
def speedscope_imports_chrome(case):
    # Where a box ends at the moment when one of the same name begins, speedscope guesses
    # which comes first, and is wrong where functions are recursive.
    check_speedscope(case, case.convert("chrome"), "in.trace.json", tolerance=1)


# --- our own JSON ---------------------------------------------------------------------

@with_case
def json_is_as_documented(case):
    """Each document against its schema in docs/schemas, and a spoilt one against it."""
    other = Case(case.place, seed=2, name="other")
    documents = {
        "report": ("report", case.text),
        "timeline": ("timeline", case.text),
        "diff": ("diff", case.text, other.text),
        "heap": ("heap", HEAP),
        "heap-diff": ("heap", HEAP, "--diff", "10s..40s"),
    }
    for name, command in documents.items():
        rules = os.path.join(lib.ROOT, "docs", "schemas", f"perfd.{name}-1.json")
        path = os.path.join(case.place, name + ".json")
        text = perfctl(*command, "--json")
        for spoilt in (False, True):
            told = json.loads(text)
            if spoilt:
                del told[sorted(told)[0]]
            with open(path, "w", encoding="utf-8") as out:
                json.dump(told, out)
            found = check_js("schema", rules, path)
            lib.equal(found["good"], not spoilt, f"{name} as its schema has it: {found['errors']}")


# --- callgrind_annotate ---------------------------------------------------------------

def annotate(path, *options):
    text = run(tool("callgrind_annotate", "valgrind"), "--threshold=100", *options, path)
    rows = {}
    for line in text.splitlines():
        match = re.match(r"^ *([\d,]+) \([ \d.]+%\)  (?:\?\?\?:(.*) \[.*\]|(PROGRAM TOTALS))$",
                         line)
        if match:
            name = match.group(2) or match.group(3)
            rows[name] = rows.get(name, 0) + int(match.group(1).replace(",", ""))
    return rows


@with_case
def callgrind_annotate(case):
    path = case.convert("callgrind")
    own, all_of_it = annotate(path), annotate(path, "--inclusive=yes")
    lib.equal(own["PROGRAM TOTALS"], case.total, "callgrind_annotate's total")
    lib.equal(all_of_it["all"], case.total, "inclusive cost of the root")
    for name, (flat, total) in case.rows.items():
        lib.equal(own.get(name, 0), flat, f"self of {name}")
        lib.equal(all_of_it.get(name, 0), total, f"inclusive of {name}")


# --- inferno ------------------------------------------------------------------------

ANNOTATIONS = {"none": [], "kernel": ["--kernel"], "kernel,jit": ["--all"], "pid": ["--pid"],
               "tid": ["--tid"], "address": ["--addrs"], "jit,tid": ["--jit", "--tid"]}


@with_case
def inferno_collapses_alike(case):
    program = inferno("inferno-collapse-perf")
    for ours, theirs in ANNOTATIONS.items():
        got = perfctl("convert", case.text, "-f", "folded", "--annotate", ours)
        want = run(program, *theirs, case.text)
        lib.equal(sorted(got.splitlines()), sorted(want.splitlines()), f"--annotate {ours}")


@with_case
def inferno_collapses_what_perf_prints_alike(case):
    """Real text: stacks by frame pointer, and by DWARF with inlined functions."""
    perf, program = tool("perf", "linux-perf"), inferno("inferno-collapse-perf")
    data, text = (os.path.join(case.place, name) for name in ("perf.data", "real.perf"))
    loads = {"fp": ["sh", "-c", "for i in 1 2 3 4 5 6; do ls -lR /usr/share >/dev/null; done"],
             "dwarf": [lib.program("shares"), "1"]}
    for how, load in loads.items():
        done = subprocess.run([perf, "record", "-q", "-e", "cpu-clock", "-F", "499",
                               "--call-graph", how, "-o", data, "--", *load],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise lib.Skip(f"perf record: {done.stderr.strip()}")
        with open(text, "w", encoding="utf-8") as out:
            # Theirs takes the vDSO for the kernel, which it is not: docs/formats.md.
            out.write(run(perf, "script", "-i", data).replace("[vdso]", "vdso"))
        for ours, theirs in ANNOTATIONS.items():
            got = perfctl("convert", text, "-f", "folded", "--annotate", ours).splitlines()
            want = run(program, *theirs, text).splitlines()
            lib.check(len(want) > 3, f"{how}: {len(want)} stacks")
            lib.equal(sorted(got), sorted(want), f"{how}: --annotate {ours}")


@with_case
def inferno_reads_folded(case):
    svg = run(inferno("inferno-flamegraph"), case.convert("folded"))
    lib.contains(svg, f'total_samples="{case.total}"', "inferno's picture")


@with_case
def inferno_reads_two_columns(case):
    other = Case(case.place, seed=2, name="other")
    path = os.path.join(case.place, "both.folded")
    perfctl("diff", case.text, other.text, "-f", "folded", "-o", path)
    svg = run(inferno("inferno-flamegraph"), path)
    lib.contains(svg, f'total_samples="{other.total}"', "inferno's picture of a difference")
    before, after = case.convert("folded"), other.convert("folded")
    theirs = os.path.join(case.place, "theirs.folded")
    with open(theirs, "w", encoding="utf-8") as out:
        out.write(run(inferno("inferno-diff-folded"), before, after))
    table = json.loads(perfctl("diff", theirs, "--json"))
    lib.equal([table["all"]["before"], table["all"]["after"]], [case.total, other.total],
              "totals of inferno's two columns")


def firefox_importer():
    raise lib.Skip("profiler.firefox.com's importer is in no registry: the unit suite looks at "
                   "the tables")


lib.main(json_is_as_documented, go_pprof_top_and_tree, go_pprof_diff_base, go_pprof_heap, npm_pprof_format, speedscope_schema,
         speedscope_imports_its_own, speedscope_imports_pprof, speedscope_imports_folded,
         speedscope_imports_chrome, callgrind_annotate,
         inferno_collapses_alike, inferno_collapses_what_perf_prints_alike, inferno_reads_folded, inferno_reads_two_columns,
         firefox_importer)
