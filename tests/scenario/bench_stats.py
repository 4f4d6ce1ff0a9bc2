#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmarks' own arithmetic: known values, a regression that must be found, noise that
must not be, and a suite that outlives its benches."""

import contextlib
import io
import math
import os
import random
import sys

import lib

sys.path.insert(0, os.path.join(lib.ROOT, "tests", "bench"))
import benches  # noqa: E402
import heap_turns  # noqa: E402
import of_throughput  # noqa: E402
import page  # noqa: E402
import report  # noqa: E402
import row  # noqa: E402
import stats  # noqa: E402
import suite  # noqa: E402
import switching  # noqa: E402
import workload  # noqa: E402


def near(got, want, what, off=1e-3):
    lib.check(abs(got - want) <= off * max(1, abs(want)), f"{what}: {got}, expected {want}")


def quantiles():
    near(stats.quantile([1, 2, 3, 4], 0.5), 2.5, "median of four")
    near(stats.quantile([3, 1, 2], 0.5), 2, "median of three")
    near(stats.quantile(range(1, 101), 0.95), 95.05, "p95 of 1..100")
    near(stats.quantile([7], 0.99), 7, "p99 of one")
    found = stats.summary([5, 1, 3])
    lib.equal((found["min"], found["median"], found["max"], found["n"]), (1, 3, 5, 3), "summary")


def intervals_of_medians():
    """Tables of the sign test: of 10 values the 2nd and 9th (97.9 %), of 20 the 6th and 15th
    (95.9 %); 5 cannot give 95 %."""
    low, high, coverage = stats.median_interval(range(1, 11))
    lib.equal((low, high), (2, 9), "interval of ten")
    near(coverage, 0.9785, "its coverage")
    low, high, coverage = stats.median_interval(range(1, 21))
    lib.equal((low, high), (6, 15), "interval of twenty")
    near(coverage, 0.9586, "its coverage")
    low, high, coverage = stats.median_interval([1, 2, 3, 4, 5])
    lib.equal((low, high), (1, 5), "interval of five")
    near(coverage, 0.9375, "its coverage")


def student():
    for part, freedom, want in ((0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.975, 10, 2.2281),
                                (0.975, 100, 1.9840), (0.95, 5, 2.0150), (0.995, 30, 2.7500)):
        near(stats.student_quantile(part, freedom), want, f"t({part}, {freedom})")
    mean, low, high = stats.mean_interval([1, 2, 3, 4, 5])
    near(mean, 3, "mean")
    near(high - mean, 2.7764 * math.sqrt(2.5 / 5), "half-width")
    near(mean - low, high - mean, "symmetry")
    lib.equal(stats.mean_interval([1])[1:], (-math.inf, math.inf), "interval of one")
    ratio, low, high = stats.ratio_interval([(11, 10), (22, 20), (5.5, 5)])
    near(ratio, 1.1, "ratio")
    near(high - low, 0, "interval of equal ratios", 1e-6)


def student_covers():
    """95 % of the intervals hold the truth, of normal values (4 standard errors)."""
    chance = random.Random(1)
    held = 0
    for _ in range(1000):
        _, low, high = stats.mean_interval([chance.gauss(10, 3) for _ in range(6)])
        held += low <= 10 <= high
    lib.check(abs(held / 1000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000), f"{held} of 1000")


def trimmed_means():
    """Of 10 values, 20 % trimmed, by hand; where a tenth of the values is far out the interval
    still holds the middle in 95 % of cases, and is a third as wide as the mean's."""
    mean, low, high = stats.trimmed_interval([3, 1, 2, 4, 5, 6, 7, 8, 100, -50])
    near(mean, 4.5, "mean of the middle six")
    # Winsorised: 2, 2, 2, 3, ..., 7, 7, 7 with a variance of 42.5 / 9; t(0.975, 5) = 2.5706.
    near(high - mean, 2.5706 * math.sqrt(42.5 / 9) / (0.6 * math.sqrt(10)), "half-width")
    near(mean - low, high - mean, "symmetry")
    lib.equal(stats.trimmed_interval([7])[1:], (-math.inf, math.inf), "interval of one")
    chance, held, widths = random.Random(5), 0, [0.0, 0.0]
    for _ in range(1000):
        values = [chance.gauss(0.3, 50 if chance.random() < 0.1 else 5) for _ in range(60)]
        _, low, high = stats.trimmed_interval(values)
        held += low <= 0.3 <= high
        widths[0] += high - low
        widths[1] += stats.mean_interval(values)[2] - stats.mean_interval(values)[1]
    lib.check(abs(held / 1000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000), f"{held} of 1000")
    lib.check(widths[0] < 0.4 * widths[1], f"no narrower than a mean's: {widths}")


def shares():
    """Wilson's interval, as in his tables."""
    low, high = stats.share_interval(8, 10)
    near(low, 0.4902, "8 of 10")
    near(high, 0.9433, "8 of 10")
    low, high = stats.share_interval(100, 100)
    near(low, 0.9630, "all of 100")
    near(high, 1, "all of 100")


def medians_cover():
    """At least 95 %, of values far from normal."""
    chance = random.Random(2)
    held = 0
    for _ in range(1000):
        low, high, _ = stats.median_interval([chance.expovariate(1) for _ in range(12)])
        held += low <= math.log(2) <= high
    lib.check(held / 1000 > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 1000), f"{held} of 1000")


def rank_tests():
    """Exact ones as in Mann and Whitney's tables; the normal approximation near them."""
    near(stats.greater_p([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]), 1 / 252, "five above five")
    near(stats.greater_p([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 1, "five below five")
    near(stats.greater_p([1, 4], [2, 3]), 4 / 6, "two around two")
    near(stats.greater_p([5, 5, 5], [5, 5, 5]), 1, "all alike")
    # Of 10 and 10 the one-sided 2.5 % point is U = 77.
    new, old = list(range(12, 22)), [*range(2, 12)]
    near(stats.greater_p(new, old), 1 / math.comb(20, 10), "ten above ten", 2e-3)
    near(stats.greater_p([5] * 20, [5] * 20), 1, "alike, by the approximation")
    chance = random.Random(3)
    false = sum(stats.greater_p([chance.random() for _ in range(6)],
                                [chance.random() for _ in range(6)]) < 0.05
                for _ in range(500))
    lib.check(false / 500 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 500), f"{false} of 500 by chance")


def verdicts():
    old = [100, 101, 99, 102, 100, 98]
    slower = [value * 1.25 for value in old]
    lib.equal(stats.compare(slower, old, "less")["verdict"], "worse", "a quarter slower")
    lib.equal(stats.compare(old, slower, "less")["verdict"], "better", "a fifth faster")
    lib.equal(stats.compare(slower, old, "more")["verdict"], "better", "a quarter more")
    lib.equal(stats.compare(old, slower, "more")["verdict"], "worse", "a fifth less")
    certain = [value * 1.05 for value in old]
    found = stats.compare(certain, old, "less")
    lib.check(found["p"] < 0.01 and found["verdict"] == "same", f"sure, but small: {found}")
    wild = [60, 180, 100, 150, 90, 140]
    found = stats.compare(wild, old, "less")
    lib.check(found["change"] > 0.1 and found["verdict"] == "same", f"large, but unsure: {found}")
    lib.equal(stats.compare([200, 201], [100, 101], "less")["verdict"], "few", "two and two")
    lib.equal(stats.compare([1, 2, 1, 2, 1], [0] * 5, "less")["verdict"], "worse", "from nothing")
    lib.equal(stats.compare([0] * 5, [0] * 5, "less")["verdict"], "same", "nothing and nothing")
    around = [-0.3, 0.1, 0.2, -0.1, 0.0, 0.1]
    found = stats.compare([value + 0.4 for value in around], around, "less", effect=3, points=True)
    lib.equal(found["verdict"], "same", f"half a point more than nothing: {found}")
    found = stats.compare([value + 5 for value in around], around, "less", effect=3, points=True)
    lib.equal(found["verdict"], "worse", f"five points more than nothing: {found}")


def noise_is_no_regression():
    """Two runs of the same thing with 8 % of noise: hardly ever a verdict; a third slower:
    nearly always."""
    chance = random.Random(4)
    seen = {"same": 0, "worse": 0, "better": 0}
    found = 0
    for _ in range(300):
        old, new = ([chance.gauss(100, 8) for _ in range(8)] for _ in range(2))
        seen[stats.compare(new, old, "less")["verdict"]] += 1
        found += stats.compare([one * 1.33 for one in new], old, "less")["verdict"] == "worse"
    lib.check(seen["worse"] + seen["better"] <= 9, f"verdicts on noise: {seen}")
    lib.check(found >= 290, f"{found} of 300 regressions found")


def pairs_of_slices():
    """What drifts is in no difference, whatever it is; a pair with one half only is none."""
    seen = list(switching.order(100))
    lib.equal(seen[:4], [(0, True), (0, False), (1, False), (1, True)], "their order")
    found = switching.differences((pair, on, 7 * number + (3 if on else 0))
                                  for number, (pair, on) in enumerate(seen))
    near(math.fsum(found) / len(found), 3, "on less off, beside a drift")
    found = switching.differences([(0, True, 5), (0, False, 1), (1, True, 9), (2, False, 2)])
    lib.equal(found, [4], "pairs that have both")


def promises_of_the_heap_library():
    """Turns are without, with, with, without; what drifts is in no verdict, one percent more is
    found, and where noise is too large for that, it is said."""
    lib.equal([preloaded for _, preloaded in heap_turns.order(3)],
              [False, True, True, False, False, True], "the order of turns")
    generator = random.Random(6)

    def verdict(pairs, more, noise, limit=1):
        state = [1e8]

        def turn(_pair, preloaded):
            state[0] *= 1.001
            return state[0] * (1 + more * preloaded) * math.exp(generator.gauss(0, noise))
        found = heap_turns.in_turns(pairs, turn)
        return heap_turns.judge("made", limit, "%", heap_turns.percents(found), found)["verdict"]

    lib.equal(verdict(300, 0.002, 0.03), "kept", "a fifth of a percent")
    lib.equal(verdict(300, 0.03, 0.03), "not kept", "three percent")
    lib.equal(verdict(20, 0.01, 0.1), "cannot be said", "few pairs and much noise")


def pieces_of_work():
    """What a slice has done, of what programs count themselves."""
    counted = of_throughput.Counted.__new__(of_throughput.Counted)
    counted.times, counted.counts = [1000, 2000, 4000, 5000], [0, 100, 200, 400]
    near(counted.at(1500), 50, "between two lines")
    near(counted.at(3000), 150, "between the next two")
    near(counted.apart(1500, 3000), 15, "ns between two of them")
    near(counted.at(5500), 500, "after the last line, as before it")
    with lib.folder() as place:
        bench = workload.Pgbench([], {}, None, place)
        bench.clients = contextlib.ExitStack()
        bench.log = lambda: os.path.join(place, "log")
        with open(bench.log(), "w") as file:
            for number in range(1, 11):  # one each ten microseconds
                file.write(f"0 {number} 77 0 1700000000 {10 * number}\n")
            file.write("0 11 77 0 17000")  # as a program that is ended leaves it
        zero = 1700000000 * 10 ** 9
        bench.looks = [((zero, 0, 0), (zero + 50000, 0, 20000)),
                       ((zero + 50000, 0, 20000), (zero + 90000, 0, 40000)),
                       ((zero + 90000, 0, 0), (zero + 300000, 0, 40000))]
        found = bench.stop()
        lib.equal(found, [(10000, 4000), (10000, 5000), None],
                  "wall and CPU ns a transaction; none where the log has ended")


def bench_of(measure, name="made"):
    return row.Bench(name, measure, [row.Figure("time", "ms", "less", "how long", limit=5),
                                     row.Figure("gone", "ms", "", "never measured")],
                     full={"seconds": 5})


def results_of(values, status="ok"):
    bench = bench_of(None)
    results = report.empty("full")
    outcome = {"values": {"time": values, "gone": [1]}, "status": status}
    results["rows"] = [report.row(bench, figure, outcome) for figure in bench.figures]
    return results


def results_and_baselines():
    with lib.folder() as place:
        path = os.path.join(place, "sub", "results.json")
        report.save(results_of([4, 4, 4, 5, 4]), path)
        before = report.load(path)
        lib.equal(before["rows"][0]["met"], True, "the limit")
        lib.check(before["machine"]["kernel"] and before["date"], "machine and date")
        same = report.compared(results_of([4, 5, 4, 4, 4]), before)
        lib.equal([verdict["verdict"] for _, verdict in same], ["same"], "the same again")
        worse = report.compared(results_of([6, 7, 6, 6, 7]), before)
        lib.check(report.is_regression(worse) and not report.is_regression(same), "regressions")
        lib.contains(report.comparison_text(worse), "worse   made.time", "text of a comparison")
        lib.check(not report.is_regression(report.compared(
            results_of([6, 7, 6, 6, 7]), before, results_of([7, 6, 6, 7, 6]))),
            "worse than in one of two earlier runs only")
        lib.check(report.is_regression(report.compared(
            results_of([6, 7, 6, 6, 7]), before, results_of([4, 4, 5, 4, 4]))),
            "worse than in both")
        failed = report.compared(results_of([], status="failed"), before)
        lib.check(report.is_regression(failed), "a row that fails now is a regression")
        with open(path, "w") as file:
            file.write('{"schema": "another"}')
        try:
            report.load(path)
        except ValueError as error:
            lib.contains(str(error), path, "error of another schema")
        else:
            raise AssertionError("another schema was read")


def limits_and_doubt():
    """A limit is judged by the median, or, where it has to be sure, by the interval."""
    def met(sure, better, *range_, coverage=0.95):
        return row.Figure("x", "%", better, "", limit=0.5, sure=sure).met(*range_, coverage)
    lib.equal([met(False, "less", 0.4, 0, 9), met(False, "less", 0.6, 0, 9)], [True, False],
              "by the median")
    lib.equal([met(True, "less", 0.2, 0.1, 0.4), met(True, "less", 0.4, 0.1, 0.9),
               met(True, "less", 0.6, 0.4, 0.8), met(True, "less", 0.9, 0.6, 1.2)],
              [True, None, None, False], "at most, by the interval")
    lib.equal([met(True, "more", 0.7, 0.6, 0.9), met(True, "more", 0.6, 0.4, 0.9),
               met(True, "more", 0.3, 0.1, 0.4)], [True, None, False], "at least, by the interval")
    lib.equal(met(True, "less", 0.2, 0.1, 0.4, coverage=0.75), None, "of three values")
    doubtful = results_of([4, 4, 4, 5, 4])
    doubtful["rows"][0]["met"] = None
    lib.contains(page.tables([doubtful]), "≤ 5 (cannot be said)", "the page")
    lib.contains(report.line(doubtful["rows"][0]), "cannot be said: at most 5", "the terminal")


def the_exit_code_of_a_comparison():
    """By the suite itself: the same figures again and such as noise makes are no regression,
    ones that are half as long again are."""
    chance = random.Random(6)
    def drawn(factor):
        return results_of([4 * factor * (1 + chance.gauss(0, 0.05)) for _ in range(10)])
    with lib.folder() as place:
        paths = {name: os.path.join(place, name + ".json") for name in ("old", "new", "slow")}
        for name, path in paths.items():
            report.save(drawn(1.5 if name == "slow" else 1), path)
        for now, before, want in (("old", "old", 0), ("new", "old", 0), ("slow", "old", 1),
                                  ("old", "slow", 0)):
            sys.argv = ["suite.py", "--compare", paths[now], "--baseline", paths[before]]
            with contextlib.redirect_stdout(io.StringIO()) as out:
                lib.equal(suite.main(), want, f"exit code of {now} beside {before}")
            if want:
                lib.contains(out.getvalue(), "something got worse", "what is said")


def the_table_of_the_page():
    text = page.tables([results_of([4, 4, 4, 5, 4])])
    lib.contains(text, "| `made.time` | how long | 4 ms | 4 … 5 |", "the table")
    lib.contains(text, "≤ 5 |", "the limit")
    with open(page.PAGE) as file:
        kept = file.read()
    lib.check(page.BEGIN in kept and page.END in kept, "the page has lost its markers")


def times_and_rounds():
    run = row.Run(bench_of(None), {"seconds": 5}, allowance=1000)
    lib.equal(list(run.rounds(4)), [0, 1, 2, 3], "rounds with time")
    run.began -= 10000
    lib.equal(list(run.rounds(4, least=2)), [0, 1], "rounds without")
    lib.equal(run.cut, ["2 of 4 rounds"], "what was cut")
    lib.equal(run.seconds(60, 15), 15, "seconds without time")


def the_suite_goes_on():
    """A bench that fails, one that skips, one that leaves a process and one that forgets a
    figure: each is told, the next one runs, and nothing stays."""
    def asked(*options):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = suite.main()
        return code, out.getvalue()

    table = [one.name for one in benches.BENCHES]
    lib.equal(len(set(table)), len(table), "benches with a name of their own")
    for bench in benches.BENCHES:
        names = [figure.name for figure in bench.figures]
        lib.equal(len(set(names)), len(names), f"figures of {bench.name} with names of their own")
    lib.check(sum(one.quick["seconds"] for one in benches.BENCHES if one.quick) <= 120,
              "the quick suite is planned for more than two minutes")
    lib.check(sum(one.full["seconds"] for one in benches.BENCHES) <= 900,
              "the suite is planned for more than fifteen minutes")
    sys.argv = ["suite.py", "--list", "--quick", "--only", ""]
    code, text = asked()
    lib.equal(code, 0, "exit code of --list")
    lib.contains(text, "storm", "the list")
    with lib.folder() as place:
        output = os.path.join(place, "results.json")
        sys.argv = ["suite.py", "--only", "selftest", "--output", output, "--minutes", "5"]
        os.environ["BENCH_SELFTEST"] = "1"
        try:
            done = lib.subprocess.run(
                [sys.executable, os.path.join(lib.ROOT, "tests", "bench", "suite.py"),
                 *sys.argv[1:]], capture_output=True, text=True, timeout=120)
        finally:
            del os.environ["BENCH_SELFTEST"]
        print(done.stdout + done.stderr)
        lib.equal(done.returncode, 0, "exit code of the suite")
        rows = {one["name"]: one for one in report.load(output)["rows"]}
        lib.equal(rows["selftest_fails.time"]["status"], "failed", "a bench that fails")
        lib.contains(rows["selftest_fails.time"]["reason"], "on purpose", "its reason")
        lib.equal(rows["selftest_skips.time"]["reason"], "nothing here", "one that skips")
        lib.equal(rows["selftest_hangs.time"]["status"], "failed", "one that hangs")
        lib.contains(rows["selftest_hangs.time"]["reason"], "not done after", "its reason")
        lib.equal(rows["selftest_leaves.time"]["median"], 2, "one that goes well")
        lib.equal(rows["selftest_leaves.gone"]["reason"], "the bench did not measure it",
                  "a figure that was forgotten")
        left = int(rows["selftest_leaves.pid"]["median"])
        lib.check(lib.is_gone(left), "the process that a bench left is still there")
        lib.contains(done.stdout, "left behind", "what is said of it")


lib.main(quantiles, intervals_of_medians, student, student_covers, trimmed_means, shares,
         medians_cover, rank_tests, verdicts, noise_is_no_regression, pairs_of_slices,
         promises_of_the_heap_library, pieces_of_work, results_and_baselines,
         limits_and_doubt, the_exit_code_of_a_comparison, the_table_of_the_page,
         times_and_rounds, the_suite_goes_on)
