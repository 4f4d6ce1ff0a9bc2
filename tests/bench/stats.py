# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benches' numbers say, and what they do not: quantiles, intervals, tests. Knows
no bench; no package is needed. tests/scenario/bench_stats.py holds it to known values.

Intervals are at 95 % where nothing else is said:
  a median's  by order statistics (binomial, no distribution assumed); below 6 values no
              interval reaches 95 %: then it is the whole range, with its own coverage
  a mean's    Student's t, of differences within interleaved pairs; trimmed where there are many
Two sets of values are compared by Mann and Whitney's rank test, exactly (all ways to part
the values) where there are few, by the normal approximation with ties corrected above.
"""

import itertools
import math

EXACT_WAYS_MAX = 20000  # of parting two sets: 8 and 8 have 12,870


def quantile(values, part):
    """By linear interpolation between order statistics (Hyndman and Fan's type 7)."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * part
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values):
    return quantile(values, 0.5)


def median_interval(values, confidence=0.95):
    """(low, high, coverage) of the median: the narrowest pair of order statistics, as far from
    either end, that covers it with at least this confidence; else the range."""
    ordered, n = sorted(values), len(values)
    covered = 1.0
    best = (ordered[0], ordered[-1], 1 - 2 * 0.5 ** n if n > 1 else 0.0)
    for outside in range(n // 2):
        # Fewer than outside + 1 values below the median, or above it.
        covered -= 2 * math.comb(n, outside) * 0.5 ** n
        if covered < confidence:
            break
        best = (ordered[outside], ordered[n - 1 - outside], covered)
    return best


def summary(values):
    """What a row shows of its values."""
    low, high, coverage = median_interval(values)
    return {"n": len(values), "min": min(values), "median": median(values),
            "p95": quantile(values, 0.95), "p99": quantile(values, 0.99), "max": max(values),
            "mean": math.fsum(values) / len(values), "low": low, "high": high,
            "coverage": coverage}


NORMAL_95 = 1.959964


def share_interval(hit, n):
    """(low, high) of a share of which `hit` of n were seen, at 95 % (Wilson)."""
    z = NORMAL_95 ** 2
    centre = (hit + z / 2) / (n + z)
    half = NORMAL_95 / (n + z) * math.sqrt(hit * (n - hit) / n + z / 4)
    return centre - half, centre + half


# --- Student -------------------------------------------------------------------------------

def beta_fraction(a, b, x):
    """Of the incomplete beta function, by Lentz's way (Abramowitz and Stegun 26.5.8)."""
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 300):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                     -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return found


def incomplete_beta(a, b, x):
    """Regularised."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
                     + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * beta_fraction(a, b, x) / a
    return 1 - front * beta_fraction(b, a, 1 - x) / b


def student_quantile(part, freedom):
    """Of Student's t: 0.975 and 10 give 2.228."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        below = 1 - incomplete_beta(freedom / 2, 0.5, freedom / (freedom + middle ** 2)) / 2
        low, high = (middle, high) if below < part else (low, middle)
    return (low + high) / 2


def mean_interval(values, confidence=0.95):
    """(mean, low, high); with one value nothing is known: infinite bounds."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, -math.inf, math.inf
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    half = student_quantile(0.5 + confidence / 2, n - 1) * spread
    return mean, mean - half, mean + half


def trimmed_interval(values, part=0.2, confidence=0.95):
    """(mean, low, high) of the middle of the values, this part left out at either end; Tukey
    and McLaughlin's interval, of Student's t and the winsorised spread. For many values of which
    some are far out: then as sure as a mean of well-behaved ones."""
    ordered, n = sorted(values), len(values)
    out = math.floor(n * part)
    middle = ordered[out:n - out]
    mean = math.fsum(middle) / len(middle)
    if len(middle) < 2:
        return mean, -math.inf, math.inf
    winsorised = [middle[0]] * out + middle + [middle[-1]] * out
    centre = math.fsum(winsorised) / n
    spread = math.sqrt(math.fsum((value - centre) ** 2 for value in winsorised) / (n - 1) / n)
    half = student_quantile(0.5 + confidence / 2, len(middle) - 1) * spread * n / len(middle)
    return mean, mean - half, mean + half


def ratio_interval(pairs, confidence=0.95):
    """(ratio, low, high) of (value, base) pairs that were measured side by side: Student's
    interval of the logarithms, so a geometric mean."""
    logs = [math.log(value / base) for value, base in pairs]
    return tuple(math.exp(bound) if bound < 700 else math.inf
                 for bound in mean_interval(logs, confidence))


# --- two sets ----------------------------------------------------------------------------------

def ranks(values):
    """Each value's, from 1; equal ones share their mean."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    for _, group in itertools.groupby(enumerate(order), key=lambda item: values[item[1]]):
        group = list(group)
        for _, index in group:
            found[index] = (group[0][0] + group[-1][0]) / 2 + 1
    return found


def greater_p(new, old):
    """The chance to see `new` rank so high, or higher, if both were of one distribution
    (one-sided)."""
    together = ranks([*new, *old])
    n, m = len(new), len(old)
    seen = math.fsum(together[:n])
    if math.comb(n + m, n) <= EXACT_WAYS_MAX:
        ways = [math.fsum(chosen) for chosen in itertools.combinations(together, n)]
        return sum(way >= seen - 1e-9 for way in ways) / len(ways)
    ties = sum(count ** 3 - count for count in
               (len(list(group)) for _, group in itertools.groupby(sorted(together))))
    all_of = n + m
    variance = n * m / 12 * (all_of + 1 - ties / (all_of * (all_of - 1)))
    if variance <= 0:
        return 1.0
    u = seen - n * (n + 1) / 2
    return 0.5 * math.erfc((u - n * m / 2 - 0.5) / math.sqrt(2 * variance))


LEVEL = 0.01  # one-sided, each figure
EFFECT = 0.10  # of the median


def compare(new, old, better, level=LEVEL, effect=EFFECT, points=False):
    """{"verdict", "change", "p"}: "worse" or "better" only with both a p-value below the level
    and a change of the median above the effect; "same"; "few" where so few values cannot
    give such a p-value. better: "less" or "more". points: values are differences themselves,
    around nothing, so the change is not a ratio but a difference, in their unit."""
    worse, bettered = greater_p(new, old), greater_p(old, new)
    if better == "more":
        worse, bettered = bettered, worse
    before, after = median(old), median(new)
    if points:
        change = after - before
    elif before:
        change = after / before - 1
    else:
        change = 0.0 if after == before else math.copysign(math.inf, after)
    harm = change if better == "less" else -change
    p = min(worse, bettered)
    verdict = "same"
    if 1 / math.comb(len(new) + len(old), len(new)) >= level:
        verdict = "few"
    elif worse < level and harm > effect:
        verdict = "worse"
    elif bettered < level and harm < -effect:
        verdict = "better"
    return {"verdict": verdict, "change": change, "p": p}
