# SPDX-License-Identifier: GPL-2.0-or-later
"""A bench and the figures it gives, and what a running bench is handed.

A figure is one row of the results: "latency.stop_to_file". A bench measures several that
belong together; it is a function of a Run, put into the table of benches.py.
"""

import time
from dataclasses import dataclass, field
from typing import Callable

COVERAGE_LEAST = 0.9  # of an interval that decides: five values
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789_"


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    better: str  # "less", "more"; "": neither, told only
    what: str  # a sentence for people
    limit: float | None = None  # what was promised: at most, or at least, as `better` has it
    # A change of the median that is worth a word: a part of it; of what is in "%" (of
    # something lost or gained), so many points.
    effect: float = 0.10
    # The limit is kept or not only where all of the interval is on one side of it, and there are
    # enough values for one.
    sure: bool = False

    def __post_init__(self):
        assert self.better in ("less", "more", "")
        assert self.better or self.limit is None, "a limit of what?"

    def met(self, median, low, high, coverage):
        """Whether the limit is kept; None: there is none, or it cannot be said."""
        if self.limit is None:
            return None
        if not self.sure:
            return self.within(median)
        if coverage < COVERAGE_LEAST:
            return None
        best, worst = (low, high) if self.better == "less" else (high, low)
        if self.within(worst):
            return True
        return None if self.within(best) else False

    def within(self, value):
        return value <= self.limit if self.better == "less" else value >= self.limit


@dataclass(frozen=True)
class Bench:
    name: str
    measure: Callable  # of a Run
    figures: list
    full: dict  # its sizes; "seconds": what it takes, about; "figures": only those that begin so
    quick: dict | None = None  # None: in the full suite only

    def __post_init__(self):
        assert set(self.name) <= set(ALPHABET), self.name

    def sizes(self, quick):
        return self.quick if quick else self.full

    def figures_of(self, quick):
        """Those that these sizes measure."""
        return [figure for figure in self.figures
                if figure.name.startswith(self.sizes(quick).get("figures", ""))]


@dataclass
class Run:
    """What a bench gets: its sizes, how long it may take, and where its figures go."""
    bench: Bench
    sizes: dict
    allowance: float  # seconds
    began: float = field(default_factory=time.monotonic)
    values: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)
    skipped: dict = field(default_factory=dict)
    cut: list = field(default_factory=list)
    tell: Callable = print

    def __getitem__(self, size):
        return self.sizes[size]

    def left(self):
        return self.allowance - (time.monotonic() - self.began)

    def rounds(self, count, least=1):
        """0, 1, …: as many as wished, or fewer where time runs out."""
        for number in range(count):
            spent = time.monotonic() - self.began
            # Not begun what would not end in time, judging by those before.
            if number >= least and spent + spent / number > self.allowance:
                self.cut.append(f"{number} of {count} rounds")
                return
            yield number

    def seconds(self, wished, least=1.0):
        """How long something may go on that can be of any length."""
        given = max(min(wished, self.left()), least)
        if given < wished * 0.99:
            self.cut.append(f"{given:.0f} of {wished:.0f} s")
        return given

    def put(self, figure, *values, note=None):
        assert figure in {one.name for one in self.bench.figures}, figure
        self.values.setdefault(figure, []).extend(float(value) for value in values)
        if note:
            self.notes[figure] = note

    def skip(self, figure, reason):
        """What cannot be measured here, with the way to mend it."""
        assert figure in {one.name for one in self.bench.figures}, figure
        self.skipped[figure] = str(reason)
