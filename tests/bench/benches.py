# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of all benches, in the order in which they run: those that take as long as they
are let come last. `python3 tests/bench/suite.py --list` prints it."""

import of_kernel
import of_memory
import of_overhead
import of_peers
import of_scaling
import of_scripts
import of_storm
import of_throughput
import of_waiting
from row import Bench, Figure

LESS, MORE, TOLD = "less", "more", ""


def kernel_figures():
    for event, what, bpf, around in (
            ("clock", "a firing of a cpu-clock", "its BPF program, 24 calls deep", "RATES_CLOCK_NS"),
            ("fault", "a counted page fault", "its BPF program", "RATES_FAULT_NS"),
            ("process", "a process that forks and ends", "perfd's programs on it", None)):
        yield Figure(event + "_whole", "ns", LESS, f"{what}: all that the program loses", effect=0.3)
        yield Figure(event + "_bpf", "ns", LESS, f"{what}: of these, {bpf}", effect=0.2)
        if around:
            yield Figure(event + "_around", "ns", TOLD, f"{what}: the rest ({around})")
    yield Figure("sideband_around", "ns", TOLD,
                 "a task's event of the side band, turned off and on")
    yield Figure("start_around", "ns", LESS, "a start of a program: all that the side band takes",
                 effect=0.3)
    yield Figure("task_around", "ns", TOLD, "of these, an event of a task (RATES_TASK_NS)")
    yield Figure("mapping_around", "ns", TOLD, "of these, a mapping of code (RATES_MAPPING_NS)")
    yield Figure("start_around_sampled", "ns", LESS,
                 "a start of a program where mappings are not told (budget.mappings)")


def event_figures():
    for kind, what in (("forks", "child that ends at once"), ("execs", "program started"),
                       ("switches", "context switch"),
                       ("mallocs", "malloc() and free(), with -e heap on it")):
        yield Figure(kind + "_rate", "1/s", MORE, f"{what}: as many as one program makes",
                     effect=0.2)
        yield Figure(kind + "_cost", "ns", LESS, f"{what}: perfd's CPU and BPF time for it",
                     effect=0.2)
        yield Figure(kind + "_slower", "%", LESS, f"{what}: what the program loses by it",
                     effect=10)
        yield Figure(kind + "_lost", "events", LESS, f"{what}: lost by perfd", limit=0)


# What perfd holds and does at rest follows what else the machine runs, and the values of a run
# are of one perfd: hence the effects of a half.
def resting_figures():
    for state in ("rest", "busy"):
        yield Figure("cpu_" + state, "% of a CPU", LESS, f"perfd and its helpers, machine {state}",
                     effect=0.5)
        yield Figure("bpf_" + state, "% of a CPU", LESS, f"in BPF programs, machine {state}",
                     effect=0.5)
    yield from memory_figures("")


def memory_figures(suffix):
    where = f", {suffix[1:]} more processes" if suffix else ", machine at rest"
    for name, what in (("daemon", "resident, daemon"), ("worker", "resident, worker"),
                       ("openers", "resident, openers (and the worker for slow files)"),
                       ("together", "of all three, shared pages counted once"),
                       ("maps", "BPF maps in the kernel")):
        yield Figure(name + suffix, "MB", LESS, what + where, effect=0.5)


def crowded_figures(counts):
    for count in counts:
        suffix = f"_{count}"
        yield Figure("start" + suffix, "ms", LESS, f"start of perfd beside {count} processes",
                     effect=0.5)
        yield Figure("cpu" + suffix, "% of a CPU", LESS, f"perfd beside {count} processes",
                     effect=0.5)
        yield Figure("bpf" + suffix, "% of a CPU", LESS, f"BPF beside {count} processes",
                     effect=0.5)
        yield from memory_figures(suffix)


def scaling_figures(name, counts, figures):
    for count in counts:
        for key, unit, what in figures:
            yield Figure(f"{name}_{count}{key}", unit, LESS, what % count, effect=0.2)


def overhead_figures():
    for program in ("redis", "gcc", "pgbench", "python3"):
        for variant in ("auto", *of_overhead.RATES):
            how = "as it is by default" if variant == "auto" else f"at {variant} Hz"
            limit = 0.5 if variant == "auto" and program != "python3" else None
            yield Figure(f"{program}_{variant}_time", "%", LESS,
                         f"{program} takes longer with perfd {how}", limit=limit, sure=True,
                         effect=3)
            yield Figure(f"{program}_{variant}_work", "%", LESS,
                         f"{program}'s own CPU time grows with perfd {how}", effect=3)
            yield Figure(f"{program}_{variant}_cost", "% of the machine", LESS,
                         f"perfd's CPU and BPF time meanwhile, {how}", effect=0.25)
            yield Figure(f"{program}_{variant}_account", "% of the machine", LESS,
                         f"that, and what the kernel does around it, {how}", limit=limit,
                         sure=True, effect=0.25)


def peer_figures():
    for name, what in (("perfd", "perfd, whole stacks by tables"),
                       ("perf_fp", "perf record -g (frame pointers)"),
                       ("perf_dwarf", "perf record --call-graph dwarf"),
                       ("bpftrace", "bpftrace (frame pointers)"),
                       ("bcc_profile", "bcc's profile (frame pointers)")):
        better = LESS if name == "perfd" else TOLD
        yield Figure(name + "_kernel", "ns", better, f"{what}: taken from the program, a sample")
        yield Figure(name + "_cpu", "ns", better, f"{what}: the recorder's own, a sample",
                     effect=0.2)
        yield Figure(name + "_all", "ns", better, f"{what}: both", effect=0.2)
        yield Figure(name + "_bytes", "bytes", better, f"{what}: written, a sample")
    yield Figure("ratio_all", "times", LESS, "perfd's CPU beside perf record -g's", limit=1,
                 effect=0.2)
    yield Figure("ratio_bytes", "times", LESS, "perfd's bytes beside perf record -g's", limit=1)


DEPTHS = (10, 50, 100, 200, 500)
STACKS = (1000, 10000, 100000, 1000000)
COUNTS = (10, 100, 1000, 10000)

BENCHES = [
    Bench("kernel", of_kernel.constants, list(kernel_figures()),
          full={"seconds": 48, "rounds": 5, "gaps": 1, "faults": 12000, "forks": 8000,
                "pairs": 200},
          quick={"seconds": 16, "rounds": 2, "gaps": 0.4, "faults": 3000, "forks": 2000,
                 "pairs": 100}),
    Bench("synthetic", of_throughput.synthetic, [
        Figure("sample", "ns", LESS, "perfd's CPU a sample, 20,000 stacks of 24 frames"),
        Figure("cpu", "% of a CPU", LESS, "100,000 samples a second would take so much", limit=30),
        Figure("lost", "samples", LESS, "lost of the recording", limit=0)],
        full={"seconds": 18, "samples": 6000000}, quick={"seconds": 8, "samples": 1000000}),
    Bench("held", of_throughput.held, [
        Figure("most", "samples/s", MORE, "real samples, all CPUs, nothing lost", effect=0.2),
        Figure("lost_at", "samples/s", TOLD, "the rate at which some were lost"),
        Figure("cpu", "ns", LESS, "perfd's CPU a sample, at each rate", effect=0.2),
        Figure("bpf", "ns", LESS, "BPF time a sample, at each rate", effect=0.2)],
        full={"seconds": 25, "rates": (2000, 5000, 10000, 20000, 30000, 40000, 50000),
              "seconds_each": 2},
        quick={"seconds": 7, "rates": (5000, 20000), "seconds_each": 1}),
    Bench("events", of_throughput.events, list(event_figures()),
          full={"seconds": 48, "rounds": 4, "seconds_each": 0.8, "switched": 7, "sessions": 4}),
    Bench("attach", of_waiting.attach, [
        Figure("attach_to_sample", "ms", LESS, "from attach to the first sample", effect=0.25),
        Figure("stop_to_file", "ms", LESS, "from Ctrl-C to the finished SVG", effect=0.25)],
        full={"seconds": 15, "rounds": 10, "samples": 300},
        quick={"seconds": 6, "rounds": 5, "samples": 100}),
    Bench("visible", of_waiting.visible, [
        Figure("visible", "ms", LESS, "an unknown program starts, until report has its function",
               effect=0.25)],
        full={"seconds": 12, "rounds": 10}, quick={"seconds": 6, "rounds": 5}),
    Bench("resting", of_memory.resting, list(resting_figures()),
          full={"seconds": 35, "settle": 4, "windows": 5, "seconds_each": 2.5},
          quick={"seconds": 13, "settle": 2, "windows": 5, "seconds_each": 0.8}),
    Bench("crowded", of_memory.crowded, list(crowded_figures(COUNTS)),
          full={"seconds": 37, "counts": COUNTS, "settle": 2, "windows": 5, "seconds_each": 0.8}),
    Bench("stacks", of_scaling.stacks, list(scaling_figures("stacks", STACKS, (
        ("_sample", "ns", "perfd's CPU a sample, %d distinct stacks"),
        ("_memory", "MB", "the daemon's, %d distinct stacks")))),
        full={"seconds": 24, "rounds": 3, "counts": STACKS, "samples": 500000}),
    Bench("frames", of_scaling.frames, list(scaling_figures("frames", DEPTHS, (
        ("", "ns", "BPF time of a sample, %d calls deep"),))),
        full={"seconds": 30, "rounds": 5, "depths": DEPTHS, "seconds_each": 0.7},
        quick={"seconds": 6, "rounds": 1, "depths": DEPTHS, "seconds_each": 0.4}),
    Bench("cpus", of_scaling.cpus, list(scaling_figures("cpus", (1, 2), (
        ("", "% of a CPU", "perfd and BPF at 999 Hz, %d CPUs busy"),))),
        full={"seconds": 18, "rounds": 5, "seconds_each": 1}),
    Bench("files", of_scaling.files, list(scaling_figures("files", COUNTS, (
        ("_cpu", "µs", "perfd's CPU a file, %d mapped"),
        ("_known", "ms", "until perfd has opened all %d"),
        ("_memory", "MB", "perfd and its helpers, %d files")))),
        full={"seconds": 31, "counts": COUNTS}),
    Bench("profilers", of_peers.profilers, list(peer_figures()),
          full={"seconds": 110, "rounds": 4, "seconds_each": 4,
                "others": ("perf_dwarf", "bpftrace", "bcc_profile")},
          quick={"seconds": 10, "rounds": 2, "seconds_each": 1.5, "others": (),
                 "figures": ("perfd_", "perf_fp_", "ratio_")}),
    Bench("heap", of_scripts.heap, [
        Figure("bare", "ns", TOLD, "malloc() and free()"),
        Figure("library", "ns", LESS, "with libperfd-heap.so, nobody looks"),
        Figure("library_sampling", "ns", LESS, "with libperfd-heap.so, a sample each 512 KiB"),
        Figure("heaptrack", "ns", TOLD, "with heaptrack"),
        Figure("jemalloc_prof", "ns", TOLD, "jemalloc with its profiler, 512 KiB"),
        Figure("memleak", "ns", TOLD, "with bcc's memleak")],
        full={"seconds": 25, "rounds": 6}),
    Bench("history", of_scripts.history, [
        Figure("disk", "bytes/s", LESS, "history on disk, a second of a busy machine"),
        Figure("put", "ms", LESS, "CPU to write a second", effect=0.2),
        Figure("tidy", "ms", LESS, "CPU to sum a second up later", effect=0.2),
        Figure("draw_all", "ms", LESS, "CPU of a flame graph of all of it", effect=0.2)],
        full={"seconds": 16, "history": 3600}),
    Bench("convert", of_scripts.convert, [
        Figure("folded_to_svg", "MB/s", MORE, "folded to SVG, of CPU time"),
        Figure("perf_to_folded", "MB/s", MORE, "perf script's text to folded, of CPU time")],
        full={"seconds": 7, "runs": 5, "stacks": 30000}),
    Bench("unwind_build", of_scripts.unwind_build, [
        Figure("libc", "ns", LESS, "an unwind table made, a row, of the C library", effect=0.2),
        Figure("libcrypto", "ns", LESS, "likewise, of libcrypto", effect=0.2),
        Figure("bytes", "bytes", LESS, "an unwind table, a row")],
        full={"seconds": 5, "rounds": 6}),
    Bench("symbolize", of_scripts.symbolize, [
        Figure("cold", "ms", LESS, "CPU of perfctl symbolize, 10,000 addresses of C++", effect=0.2),
        Figure("warm", "1/s", MORE, "addresses named by the worker, of CPU time", effect=0.2)],
        full={"seconds": 24, "rounds": 5}),
    Bench("picture", of_scripts.picture, [
        Figure("open", "ms", LESS, "a browser opens an SVG of 10,000 boxes", effect=0.25),
        Figure("zoom", "ms", LESS, "first zoom, until the frame is drawn", effect=0.25),
        Figure("search", "ms", LESS, "first search, until the frame is drawn", effect=0.25)],
        full={"seconds": 14}),
    Bench("overhead", of_overhead.overhead, list(overhead_figures()),
          full={"seconds": 150, "seconds_max": 1500, "slice": 0.03, "quiet": 5, "warm": 1.0,
                "steady": 2.0, "auto": 7, "fixed": 4,
                "programs": ("redis", "gcc", "pgbench", "python3"),
                "variants": ("auto", *of_overhead.RATES)},
          quick={"seconds": 20, "slice": 0.03, "quiet": 2, "warm": 0.25, "steady": 0.45,
                 "auto": 1.6, "programs": ("redis", "gcc"), "variants": ("auto",),
                 "figures": ("redis_auto", "gcc_auto")}),
    Bench("precision", of_storm.precision, [
        Figure("session_off", "%", LESS, "attach --precision 1%: how far the time it takes is from "
               "the formula's", limit=20, effect=10),
        Figure("session_width", "%", LESS, "half of the widest interval then"),
        Figure("view_off", "%", LESS, "likewise of the system-wide view, budget.precision = 10",
               limit=20, effect=10),
        Figure("view_width", "%", LESS, "half of the widest interval then")],
        full={"seconds": 26, "rounds": 1, "hz": 999, "within": 10}),
    Bench("rare", of_storm.rare, [
        Figure("seen", "%", MORE, "programs with a thousandth of a CPU: their minutes with a "
               "sample", limit=99, effect=5),
        Figure("samples", "samples", TOLD, "of such a program in a minute")],
        full={"seconds": 66, "seconds_max": 320, "a_cpu": 100}),
    Bench("storm", of_storm.storm, [
        Figure("cost", "% of the machine", LESS, "perfd by its own account, from 3 s on", limit=1.2,
               effect=0.3),
        Figure("worst_10s", "% of the machine", LESS, "likewise, the worst ten seconds",
               limit=1.2, effect=0.3),
        Figure("cpu_and_bpf", "% of the machine", LESS, "perfd's CPU and BPF time alone", limit=1.2,
               effect=0.3),
        *(Figure(kind + "_lost", "%", LESS, f"{kind}: fewer than without perfd", effect=3)
          for kind, _, _ in of_storm.STORM),
        Figure("lost", "events", TOLD, "samples and events that perfd lost")],
        full={"seconds": 60, "seconds_max": 640, "storm": 600, "resting": 6, "settle": 5},
        quick={"seconds": 20, "seconds_max": 50, "storm": 30, "resting": 4, "settle": 2}),
]
