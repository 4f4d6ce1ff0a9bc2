#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How whole the stacks are, and what they cost.

  programs  share of whole stacks of real programs, the rest by reason
  peers     beside perf record --call-graph dwarf,65528: wholeness, bytes, CPU
  walk      BPF time a sample beside bpftrace's frame-pointer stacks; time a frame
  memory    kernel memory of the unwind tables, a row
  short     1,000 programs of 10 ms, one after another

unwind.py [PART...] runs all parts or these; ONLY=word chooses programs by name.
Prints markdown (docs/unwinding.md) and writes build/bench/unwind.json. What is not
installed is left out by name.
"""

import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
import lib  # noqa: E402
import result  # noqa: E402

HZ = 499
SECONDS = float(os.environ.get("BENCH_SECONDS", "6"))
ONLY = os.environ.get("ONLY", "")
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PLACE = re.compile(r"^\[.+\+0x[0-9a-f]+\]$")
STATS = "/proc/sys/kernel/bpf_stats_enabled"


def tool(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise lib.Skip(f"{name} is not installed (apt install {package})")
    return path


def write(place, name, text):
    path = os.path.join(place, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def make(*command):
    """Compiles something; what cannot be compiled here is left out."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise lib.Skip(f"{os.path.basename(command[0])}: {done.stderr.strip()[-200:]}")


# --- programs: each yields a pid under load, or a command that ends by itself ---------------

@contextlib.contextmanager
def redis(place):
    tool("redis-benchmark", "redis-tools")
    with lib.redis_under_load(place) as pid:
        yield pid


@contextlib.contextmanager
def postgres(place):
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not folders:
        raise lib.Skip("postgres is not installed (apt install postgresql)")
    binary = {name: os.path.join(folders[-1], name) for name in ("initdb", "postgres", "pgbench")}
    try:
        user = pwd.getpwnam("postgres").pw_uid
    except KeyError:
        user = lib.NOBODY
    data = os.path.join(place, "data")
    os.mkdir(data)
    os.chown(place, user, -1)
    os.chown(data, user, -1)
    identity = {"user": user, "cwd": place, **QUIET}
    subprocess.run([binary["initdb"], "-D", data, "-A", "trust", "-U", "bench", "--no-sync"],
                   check=True, **identity)
    bench = [binary["pgbench"], "-h", place, "-U", "bench"]
    with ended_by(signal.SIGINT, binary["postgres"], "-D", data, "-k", place, "-h", "",
                  **identity) as server:
        lib.wait_for(lambda: os.path.exists(os.path.join(place, ".s.PGSQL.5432"))
                     and subprocess.run([*bench, "-i", "-q", "-s", "5", "postgres"],
                                        **identity).returncode == 0, "postgres to answer", 60)
        with lib.started(*bench, "-c", 4, "-j", 1, "-T", 600, "postgres", **identity):
            yield server.pid


@contextlib.contextmanager
def ended_by(number, *arguments, **options):
    """Servers with children want to be asked."""
    with lib.started(*arguments, **options) as process:
        try:
            yield process
        finally:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def nginx(place):
    server, load = tool("nginx", "nginx-light"), tool("wrk", "wrk")
    port = free_port()
    temporary = "".join(f"{kind}_temp_path {place}/{kind};" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = write(place, "nginx.conf", f"""
daemon off; worker_processes 1; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 200; }}
http {{ access_log off; gzip on; gzip_min_length 1; gzip_types text/plain; {temporary}
 server {{ listen 127.0.0.1:{port}; root {place}; }} }}
""")
    write(place, "page.txt", "a page of text, again and again\n" * 200)
    with ended_by(signal.SIGTERM, server, "-c", config, "-p", place, **QUIET) as process:
        def answers():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
        lib.wait_for(answers, "nginx to answer")
        with lib.started(load, "-t", 1, "-c", 20, "-d", "600s", "-H", "Accept-Encoding: gzip",
                         f"http://127.0.0.1:{port}/page.txt", **QUIET):
            yield process.pid


@contextlib.contextmanager
def gcc_build(place):
    tool("gcc", "gcc")
    gen = os.path.join(lib.ROOT, "build", "gen")
    yield ["sh", "-c", f"cd {lib.ROOT} && for f in flamegraph/*.c; do gcc -O2 -g -std=gnu17 "
           f"-D_GNU_SOURCE -I. -I{gen} -c $f -o {place}/x.o; done"]


PYTHON_WORK = """
import json, re, time
end = time.process_time() + SECONDS
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Node:
    def __init__(self, d): self.kids = [Node(d - 1) for _ in range(3)] if d else []
    def size(self): return 1 + sum(k.size() for k in self.kids)
while time.process_time() < end:
    fib(16); Node(6).size()
    json.loads(json.dumps({str(i): list(range(i)) for i in range(100)}))
    sorted((str(i * 7919 % 1000) for i in range(5000)), key=lambda s: re.sub("1", "2", s))
"""


@contextlib.contextmanager
def python(place):
    path = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else tool("python3", "python3")
    yield [path, write(place, "work.py", PYTHON_WORK.replace("SECONDS", str(SECONDS)))]


NODE_WORK = """
const end = process.cpuUsage().user + SECONDS * 1e6;
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
class Node { constructor(d) { this.kids = d ? [1, 2, 3].map(() => new Node(d - 1)) : []; }
  size() { return 1 + this.kids.reduce((a, k) => a + k.size(), 0); } }
let sink = 0;
while (process.cpuUsage().user < end) {
  sink += fib(20) + new Node(6).size();
  const o = {}; for (let i = 0; i < 300; i++) o['k' + i] = [...Array(i % 50).keys()];
  sink += JSON.parse(JSON.stringify(o)).k7.length;
  sink += [...Array(3000).keys()].map(i => String(i * 7919 % 1000)).sort()
    .filter(s => /1+2?/.test(s)).length;
}
"""


@contextlib.contextmanager
def node(place):
    yield [tool("node", "nodejs"), write(place, "work.js",
                                         NODE_WORK.replace("SECONDS", str(SECONDS)))]


JAVA_WORK = """
import java.util.*;
public class Work {
  static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
  public static void main(String[] a) {
    long end = System.nanoTime() + SECONDS_NS; long sink = 0;
    while (System.nanoTime() < end) {
      sink += fib(20);
      Map<String, Integer> map = new TreeMap<>();
      for (int i = 0; i < 3000; i++) map.merge("k" + i * 7919 % 1000, i, Integer::sum);
      List<String> list = new ArrayList<>(map.keySet());
      Collections.sort(list, Comparator.reverseOrder());
      sink += list.stream().filter(s -> s.contains("1")).mapToInt(String::length).sum();
    }
    System.out.println(sink);
  }
}
"""


def java_with(*options):
    @contextlib.contextmanager
    def java(place):
        virtual, compiler = tool("java", "openjdk-17-jre"), tool("javac", "openjdk-17-jdk")
        make(compiler, "-d", place, write(place, "Work.java", JAVA_WORK.replace(
            "SECONDS_NS", f"{int(SECONDS * 1e9)}L")))
        yield [virtual, *options, "-cp", place, "Work"]
    return java


GO_WORK = """
package main

import ("encoding/json"; "fmt"; "regexp"; "sort"; "strings"; "sync"; "time")

func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }

func work(end time.Time) (sink int) {
	re := regexp.MustCompile("1+2?")
	for time.Now().Before(end) {
		sink += fib(18)
		m := map[string]int{}
		for i := 0; i < 2000; i++ { m[fmt.Sprint("k", i*7919%1000)] += i }
		text, _ := json.Marshal(m)
		_ = json.Unmarshal(text, &m)
		keys := []string{}
		for k := range m { if re.MatchString(k) { keys = append(keys, strings.ToUpper(k)) } }
		sort.Strings(keys)
		sink += len(keys)
	}
	return
}

func main() {
	var group sync.WaitGroup
	end := time.Now().Add(SECONDS_NS * time.Nanosecond)
	for i := 0; i < 2; i++ { group.Add(1); go func() { work(end); group.Done() }() }
	group.Wait()
}
"""


@contextlib.contextmanager
def go(place):
    source = write(place, "work.go", GO_WORK.replace("SECONDS_NS", str(int(SECONDS * 1e9))))
    make(tool("go", "golang-go"), "build", "-o", os.path.join(place, "go_work"), source)
    yield [os.path.join(place, "go_work")]


RUST_WORK = """
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
fn work(end: Instant) -> usize {
    let mut sink = 0;
    while Instant::now() < end {
        sink += fib(18) as usize;
        let mut map: HashMap<String, usize> = HashMap::new();
        for i in 0..2000usize { *map.entry(format!("k{}", i * 7919 % 1000)).or_insert(0) += i; }
        let tree: BTreeMap<_, _> = map.iter().collect();
        let mut keys: Vec<&String> = tree.keys().filter(|k| k.contains('1')).copied().collect();
        keys.sort_by(|a, b| b.cmp(a));
        sink += keys.len();
    }
    sink
}
fn main() {
    let end = Instant::now() + Duration::from_nanos(SECONDS_NS);
    let thread = std::thread::spawn(move || work(end));
    println!("{}", work(end) + thread.join().unwrap());
}
"""


@contextlib.contextmanager
def rust(place):
    source = write(place, "work.rs", RUST_WORK.replace("SECONDS_NS", str(int(SECONDS * 1e9))))
    make(tool("rustc", "rustc"), "-O", "-o", os.path.join(place, "rust_work"), source)
    yield [os.path.join(place, "rust_work")]


MUSL_WORK = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
int main(void)
{
	char *words[2000], text[64];
	double sum = 0;
	while (clock() < SECONDS * CLOCKS_PER_SEC) {
		for (int i = 0; i < 2000; i++) {
			snprintf(text, sizeof(text), "k%d %.17g", i * 7919 % 1000, sqrt(i));
			words[i] = strdup(text);
			sum += strtod(strchr(text, ' '), NULL);
		}
		qsort(words, 2000, sizeof(*words), compare);
		for (int i = 0; i < 2000; i++)
			free(words[i]);
	}
	return sum < 0;
}
"""


@contextlib.contextmanager
def musl(place):
    source = write(place, "work.c", MUSL_WORK.replace("SECONDS", str(SECONDS)))
    make(tool("musl-gcc", "musl-tools"), "-O2", "-static", "-o",
         os.path.join(place, "musl_work"), source, "-lm")
    yield [os.path.join(place, "musl_work")]


PAGE = """<!doctype html><body><canvas id=c width=600 height=400></canvas><ul id=l></ul><script>
const g = c.getContext('2d');
function turn(n) {
  const o = {}; for (let i = 0; i < 300; i++) o['k' + i] = [...Array(i % 50).keys()];
  const t = JSON.stringify(JSON.parse(JSON.stringify(o)));
  l.innerHTML = [...Array(200).keys()].map(i => `<li style="color:rgb(${i},${n % 255},9)">${
    t.substr(i, 20)}</li>`).join('');
  for (let i = 0; i < 200; i++) { g.fillStyle = `hsl(${(n + i) % 360},90%,50%)`;
    g.beginPath(); g.arc(n * i % 600, n * 7 * i % 400, 20, 0, 7); g.fill(); }
  l.getBoundingClientRect();
  setTimeout(turn, 0, n + 1);
}
turn(1);
</script>"""


@contextlib.contextmanager
def chromium(place):
    path = next((path for path in ("/usr/lib/chromium/chromium", "/opt/google/chrome/chrome")
                 if os.path.exists(path)), None) or tool("chromium", "chromium")
    page = write(place, "page.html", PAGE)
    with ended_by(signal.SIGTERM, path, "--headless=new", "--no-sandbox", "--disable-gpu",
                  "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
                  f"--user-data-dir={place}/profile", "file://" + page, **QUIET) as process:
        yield process.pid


PROGRAMS = [("redis + redis-benchmark", redis), ("postgres + pgbench", postgres),
            ("nginx + wrk", nginx), ("gcc build", gcc_build), ("python3", python),
            ("node", node), ("java", java_with()),
            ("java, frame pointers", java_with("-XX:+PreserveFramePointer")),
            ("Go", go), ("Rust", rust), ("static musl", musl), ("headless Chromium", chromium)]


# --- wholeness ------------------------------------------------------------------------------

def marker(frame):
    """A reason in place of the missing callers; "[anon]_[j]" is code that was made in memory."""
    return (frame.startswith("[") and not PLACE.match(frame) and not frame.endswith("_[j]")
            and not frame.startswith("[vd"))


# Where a thread begins, or a stack (of Go: runtime.topofstack() names them). A walk that
# says "complete" at another name has lost its way.
BEGINNINGS = {"_start", "_dl_start_user", "clone", "__clone", "clone3", "__clone3", "goexit",
              "rt0_go", "mstart", "mcall", "morestack", "_rt0_amd64_linux"}


def ends_early(root):
    """A place without a name may be a stripped program's _start: no telling."""
    name = root.removeprefix("runtime.").removesuffix(".abi0")
    return name not in BEGINNINGS and not root.startswith("[") or root.endswith("_[j]")


def wholeness(folded):
    """{"samples_ns", "whole", "reasons": {marker: share}, "roots": {first frame: share}} of
    the stacks that have a user side."""
    total, reasons, roots, ends = 0, {}, {}, {}
    for frames, value in folded.stacks:
        user = [frame for frame in frames[1:] if not frame.endswith("_[k]")]
        if not user:
            continue
        total += value
        found = next((frame for frame in user if marker(frame)), None)
        if not found and ends_early(user[0]):
            found = "[ends early]"
        if found:
            reasons[found] = reasons.get(found, 0) + value
            last = next((frame for frame in user if not marker(frame)), "")
            ends[f"{found} above {last}"] = ends.get(f"{found} above {last}", 0) + value
        else:
            roots[user[0]] = roots.get(user[0], 0) + value

    def shares(values, most):
        ordered = sorted(values.items(), key=lambda item: -item[1])[:most]
        return {name: value / total for name, value in ordered}
    return {"ns": total, "whole": 1 - sum(reasons.values()) / total if total else 0.0,
            "reasons": shares(reasons, 20), "roots": shares(roots, 12), "ends": shares(ends, 12)}


def unwinding(perfd):
    return perfd.ctl_json("status")["samples"]["unwinding"]


def observed(perfd, place, subject, hz=HZ):
    """The folded stacks of a process, or of a command from beginning to end."""
    path = os.path.join(place, "out.folded")
    what = (["-p", subject, "-d", f"{int(SECONDS * 1000)}ms"] if isinstance(subject, int)
            else ["--", *subject])
    lib.succeeds(perfd.ctl("record", "-F", hz, "-o", path, *what, timeout=SECONDS * 4 + 60,
                           stdout=subprocess.DEVNULL), "record")
    return lib.Folded.load(path)


def one_program(name, start):
    """perfd is there before the program, and looks twice: the first time it meets the
    program's files, the second time it knows them."""
    with lib.folder() as place, lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            start(place) as subject:
        first = wholeness(observed(perfd, place, subject))
        before = unwinding(perfd)
        row = wholeness(observed(perfd, place, subject))
        row["by_reason"] = {key: count - before.get(key, 0)
                            for key, count in unwinding(perfd).items()}
        row["tables"] = perfd.ctl_json("status")["unwinder"]
    row["samples"] = sum(row["by_reason"].values())
    row["first"] = first
    print(f"| {name} | {row['samples']} | {row['whole']:.2%} | {reasons_text(row['reasons'])} "
          f"| {first['whole']:.2%} |", flush=True)
    return row


def reasons_text(reasons):
    return ", ".join(f"{why.strip('[]')} {share:.2%}" for why, share in reasons.items())


def part_programs():
    print("| program | samples | whole | the rest, by reason | whole at first sight |\n"
          "|---|--:|--:|---|--:|")
    rows = {}
    for name, start in PROGRAMS:
        if ONLY not in name:
            continue
        try:
            rows[name] = one_program(name, start)
        except lib.Skip as reason:
            rows[name] = {"skipped": str(reason)}
            print(f"| {name} | | | skipped: {reason} | |", flush=True)
        except (AssertionError, subprocess.SubprocessError, OSError) as error:
            rows[name] = {"failed": lib.one_line(error)}
            print(f"| {name} | | | failed: {lib.one_line(error)} | |", flush=True)
    print()
    for name, row in rows.items():
        if row.get("whole", 1) < 0.995:
            print(f"{name}: " + "; ".join(f"{end} {share:.2%}"
                                          for end, share in row["ends"].items()))
    return rows


# --- beside perf record --call-graph dwarf ------------------------------------------------------

ENTRIES = {"_start", "__clone", "clone", "__clone3", "clone3", "_dl_start_user"}


def perf_stacks(script):
    """[[(symbol, module), ... leaf first]] of perf script's text."""
    stacks, frames = [], []
    for line in [*script.splitlines(), ""]:
        fields = line.split()
        if line[:1] in (" ", "\t") and len(fields) >= 2:
            frames.append((" ".join(fields[1:-1]), fields[-1].strip("()")))
        elif not fields and frames:
            stacks.append(frames)
            frames = []
    return stacks


def perf_whole(stacks):
    """(whole, with a user side): the outermost frame is an entry, by its name, or
    in libc or ld.so, whose entries may have none."""
    whole = total = 0
    for frames in stacks:
        user = [frame for frame in frames if "kernel" not in frame[1] and frame[1] != "[k]"]
        if not user:
            continue
        total += 1
        symbol, module = user[-1]
        whole += symbol in ENTRIES or (symbol == "[unknown]" and
                                       re.search(r"/(libc[.-]|ld-linux)", module) is not None)
    return whole, total


def by_perf(place, pid):
    path = os.path.join(place, "perf.data")
    perf = tool("perf", "linux-perf")
    with open(os.path.join(place, "perf.log"), "w+") as log:
        process = subprocess.Popen(
            [perf, "record", "-F", str(HZ), "-e", "cpu-clock", "--call-graph", "dwarf,65528",
             "-p", str(pid), "-o", path, "--", "sleep", str(SECONDS)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    lib.equal(process.returncode, 0, f"exit code of perf record ({text[-300:]})")
    before = os.times()
    script = subprocess.run([perf, "script", "-i", path, "--no-inline", "--max-stack", "512",
                             "--show-lost-events", "-F", "comm,tid,ip,sym,dso"],
                            capture_output=True, text=True, errors="replace", timeout=600).stdout
    after = os.times()
    script_s = (after.children_user + after.children_system
                - before.children_user - before.children_system)
    stacks = perf_stacks(script)
    whole, total = perf_whole(stacks)
    lost = sum(int(count) for count in re.findall(r"PERF_RECORD_LOST\S* .*?(\d+)\s*$", script,
                                                  re.MULTILINE))
    size = os.path.getsize(path)
    os.unlink(path)
    samples = max(len(stacks), 1)
    return {"samples": len(stacks), "lost": lost, "whole": whole / max(total + lost, 1),
            "bytes": size, "bytes_a_sample": size / samples,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "cpu_us_a_sample": (usage.ru_utime + usage.ru_stime) * 1e6 / samples,
            "script_s": script_s,
            "script_us_a_sample": script_s * 1e6 / samples}


def cpu_ns(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def recorder_ns(perfd):
    """perfd and its worker."""
    pids = [perfd.process.pid, *lib.children(perfd.process.pid)]
    return sum(cpu_ns(pid) for pid in pids)


def by_perfd(place, pid):
    """CPU: perfd, its worker and perfctl, from request to file, with the names in it."""
    with lib.Perfd("--set", "cpu.frequency_hz=0") as perfd:
        # It is always there, and has met the program before: as with perf, what is
        # asked is what goes on, not the first acquaintance.
        observed(perfd, place, pid)
        before, sampled = recorder_ns(perfd), sum(unwinding(perfd).values())
        children = os.times()
        row = wholeness(observed(perfd, place, pid))
        used = os.times()
        cpu = (recorder_ns(perfd) - before) / 1e9 + (
            used.children_user + used.children_system
            - children.children_user - children.children_system)
        samples = sum(unwinding(perfd).values()) - sampled
    return {"samples": samples, "lost": 0, "whole": row["whole"], "reasons": row["reasons"],
            "cpu_s": cpu, "cpu_us_a_sample": cpu * 1e6 / max(samples, 1),
            "bytes_a_sample": captured_bytes(place)}


def captured_bytes(place):
    """What the kernel side hands over, a sample: of the whole machine, with all stacks
    and process events, for captures hold the system-wide view."""
    recording = os.path.join(place, "capture")
    with lib.Perfd("--set", f"cpu.frequency_hz={HZ}", "--capture", recording) as perfd:
        time.sleep(SECONDS)
        samples = perfd.ctl_json("status")["samples"]["taken"]
    return os.path.getsize(recording) / max(samples, 1)


def part_peers():
    tool("perf", "linux-perf")
    rows = {}

    @contextlib.contextmanager
    def deep(_place):
        with lib.started(lib.program("hard_O2"), "recursion_150", 600000, **QUIET) as process:
            yield process.pid

    print(f"| program, {SECONDS:g} s at {HZ} Hz | recorder | samples | lost | whole "
          "| bytes a sample | CPU of the recorder | a sample | with `perf script` |\n"
          "|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, start in (("redis", redis), ("150-deep recursion", deep)):
        with lib.folder() as place, start(place) as pid:
            mine = by_perfd(place, pid)
            theirs = by_perf(place, pid)
        rows[name] = {"perfd": mine, "perf dwarf,65528": theirs,
                      "bytes_ratio": mine["bytes_a_sample"] / theirs["bytes_a_sample"],
                      "cpu_ratio": mine["cpu_us_a_sample"] / theirs["cpu_us_a_sample"],
                      "cpu_ratio_with_script": mine["cpu_us_a_sample"] / (
                          theirs["cpu_us_a_sample"] + theirs["script_us_a_sample"])}
        for recorder in ("perfd", "perf dwarf,65528"):
            row = rows[name][recorder]
            print(f"| {name} | {recorder} | {row['samples']} | {row['lost']} | {row['whole']:.2%} "
                  f"| {row['bytes_a_sample']:.0f} | {row['cpu_s']:.3f} s "
                  f"| {row['cpu_us_a_sample']:.0f} µs "
                  f"| {row['cpu_us_a_sample'] + row.get('script_us_a_sample', 0):.0f} µs |",
                  flush=True)
        print(f"| {name} | ratio | | | | 1/{1 / rows[name]['bytes_ratio']:.0f} | "
              f"| 1/{1 / rows[name]['cpu_ratio']:.1f} "
              f"| 1/{1 / rows[name]['cpu_ratio_with_script']:.1f} |", flush=True)
    return rows


# --- BPF time a sample, a frame --------------------------------------------------------------------

@contextlib.contextmanager
def bpf_stats():
    """The kernel counts the run time of BPF programs meanwhile."""
    with open(STATS) as file:
        before = file.read()
    with open(STATS, "w") as file:
        file.write("1")
    try:
        yield
    finally:
        with open(STATS, "w") as file:
            file.write(before)


def perf_event_run(pid):
    """(nanoseconds, runs) of a process's programs on perf events."""
    ns = runs = 0
    for number in lib.bpf_programs(pid):
        shown = json.loads(lib.bpftool("prog", "show", "id", str(number), "--json").stdout)
        if shown.get("type") == "perf_event":
            ns += shown.get("run_time_ns", 0)
            runs += shown.get("run_cnt", 0)
    return ns, runs


def ns_a_sample(pid, seconds):
    before = perf_event_run(pid)
    time.sleep(seconds)
    after = perf_event_run(pid)
    lib.check(after[1] > before[1], f"no BPF program of {pid} ran")
    return (after[0] - before[0]) / (after[1] - before[1])


@contextlib.contextmanager
def on_every_cpu(*command):
    """So that no sample hits an idle CPU, and few hit anybody else."""
    with contextlib.ExitStack() as stack:
        for cpu in sorted(os.sched_getaffinity(0)):
            stack.enter_context(lib.started("nice", "-n", -5, "taskset", "-c", cpu,
                                            *command, **QUIET))
        yield


def wait_for_tables(perfd):
    """Until what is sampled has its tables (other programs that come and go may not)."""
    def nearly_all():
        before = unwinding(perfd)
        time.sleep(0.5)
        after = unwinding(perfd)
        taken = sum(after.values()) - sum(before.values())
        return after["complete"] - before["complete"] > 0.9 * taken
    with contextlib.suppress(AssertionError):
        lib.wait_for(nearly_all, "whole stacks", 15)


def perfd_ns(place, program, frames, seconds):
    """(BPF ns a sample, frames of the stacks, share whole) of all CPUs at this depth."""
    path = os.path.join(place, "walk.folded")
    with on_every_cpu(program, frames - 5, 600000), \
            lib.Perfd("--set", "cpu.frequency_hz=0") as perfd, \
            perfd.start_ctl("record", "-a", "-F", 999, "-o", path) as ctl:
        perfd.wait_session(samples=True)
        wait_for_tables(perfd)
        before = unwinding(perfd)
        ns = ns_a_sample(perfd.process.pid, seconds)
        after = unwinding(perfd)
        ctl.send_signal(signal.SIGINT)
        lib.equal(ctl.wait(60), 0, "exit code of record")
    comm = os.path.basename(program)
    depths = {}
    for stack, value in lib.Folded.load(path).stacks:
        if stack[0] == comm and stack[-1] == "bottom":
            depths[len(stack) - 1] = depths.get(len(stack) - 1, 0) + value
    complete = after["complete"] - before["complete"]
    return {"ns": ns, "frames": max(depths, key=depths.get),
            "whole": complete / (sum(after.values()) - sum(before.values()))}


def bpftrace_ns(program, frames, seconds):
    tracer = tool("bpftrace", "bpftrace")
    with on_every_cpu(program, frames - 5, 600000), \
            lib.started(tracer, "-e", "profile:hz:999 { @[ustack, kstack, comm] = count(); }",
                        **QUIET) as process:
        lib.wait_for(lambda: perf_event_run(process.pid)[1], "bpftrace's program", 30)
        ns = ns_a_sample(process.pid, seconds)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
    return ns


def slope(points):
    """(ns a frame, ns at none) by least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points)
    return rise, mean_y - rise * mean_x


def part_walk():
    tool("taskset", "util-linux")
    with lib.folder() as place, bpf_stats():
        plain = os.path.join(place, "deep_nofp")
        make(tool("gcc", "gcc"), "-std=gnu17", "-D_GNU_SOURCE", "-I" + lib.ROOT, "-O1", "-g",
             "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-inline",
             os.path.join(lib.ROOT, "tests/programs/deep.c"), "-o", plain)
        rows = {depth: perfd_ns(place, plain, depth, SECONDS / 2)
                for depth in (10, 25, 50, 100, 200, 400)}
        pointers = perfd_ns(place, lib.program("deep"), 25, SECONDS / 2)
        try:
            peer = bpftrace_ns(lib.program("deep"), 25, SECONDS / 2)
        except lib.Skip as reason:
            peer = None
            print(f"skip bpftrace: {reason}")
    frame, base = slope([(row["frames"], row["ns"]) for row in rows.values()])
    print("| frames | whole | BPF ns a sample |\n|--:|--:|--:|")
    for row in rows.values():
        print(f"| {row['frames']} | {row['whole']:.2%} | {row['ns']:.0f} |")
    print(f"\n{frame:.1f} ns a frame, {base:.0f} ns at none (no frame pointers)\n")
    print("| 25 frames, a program with frame pointers | BPF ns a sample |\n|---|--:|")
    print(f"| perfd, tables ({pointers['frames']} frames, {pointers['whole']:.2%} whole) "
          f"| {pointers['ns']:.0f} |")
    found = {"depths": list(rows.values()), "ns_a_frame": frame, "ns_at_none": base,
             "perfd_25_frame_pointers": pointers}
    if peer:
        found |= {"bpftrace_25_ns": peer, "ratio_to_bpftrace": pointers["ns"] / peer}
        print(f"| bpftrace, frame pointers: ustack + kstack | {peer:.0f} |")
        print(f"| ratio | {found['ratio_to_bpftrace']:.2f} |")
    print()
    return found


# --- memory of the tables -----------------------------------------------------------------------------

def part_memory():
    """Of what is loaded while real programs run, the biggest libraries with them."""
    with lib.folder() as place, redis(place), lib.Perfd("--set", "cpu.frequency_hz=99") as perfd:
        with lib.started("/usr/bin/python3", "-c", "while True: sum(range(1000))", **QUIET), \
                lib.started(lib.program("hard_O2"), "plain", 600000, **QUIET):
            lib.wait_for(lambda: perfd.ctl_json("status")["unwinder"]["rows"], "tables", 20)
            time.sleep(3)
            found = perfd.ctl_json("status")["unwinder"]
    found["bytes_a_row"] = found["memory_bytes"] / found["rows"] if found["rows"] else None
    print("| tables | rows | kernel memory | bytes a row |\n|--:|--:|--:|--:|")
    print(f"| {found['tables_loaded']} | {found['rows']} | {found['memory_bytes']} "
          f"| {found['bytes_a_row'] and round(found['bytes_a_row'], 2)} |\n")
    return found


# --- short programs --------------------------------------------------------------------------------------

def part_short():
    """By a perfd that runs already, and by `record` alone, which begins with no table."""
    rows = {}
    loop = 'i=0; while [ $i -lt 1000 ]; do "$0" plain 10; i=$((i + 1)); done'
    print("| 1,000 programs of 10 ms | samples' ms | whole | the rest |\n|---|--:|--:|---|")
    for name, warm in (("perfd was running", True), ("record's own perfd", False)):
        with lib.folder() as place, contextlib.ExitStack() as stack:
            path = os.path.join(place, "short.folded")
            perfd = stack.enter_context(lib.Perfd()) if warm else None
            lib.succeeds((perfd.ctl if perfd else lib.perfctl)(
                "record", "-F", 997, "-o", path, "--", "sh", "-c", loop, lib.program("hard_O2"),
                timeout=180), "record")
            folded = lib.Folded.load(path)
        folded.stacks = [one for one in folded.stacks if one[0][0] in ("hard_O2", "plain")]
        rows[name] = row = wholeness(folded)
        print(f"| {name} | {row['ns'] / 1e6:.0f} | {row['whole']:.2%} "
              f"| {reasons_text(row['reasons'])} |", flush=True)
    print()
    return rows


PARTS = {"programs": part_programs, "peers": part_peers, "walk": part_walk,
         "memory": part_memory, "short": part_short}


def main():
    lib.need_bpf()
    wanted = sys.argv[1:] or list(PARTS)
    found = {}
    for name in wanted:
        print(f"### {name}\n")
        try:
            found[name] = PARTS[name]()
        except lib.Skip as reason:
            found[name] = {"skipped": str(reason)}
            print(f"skipped: {reason}\n")
    result.save("unwind", {"frequency_hz": HZ, "seconds": SECONDS, "figures": found})


if __name__ == "__main__":
    result.run(main)
