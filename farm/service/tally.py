"""What a process has counted and measured: added up here, told elsewhere.

A value has a name of its own: `<metric>|<label>|…` for a counter, with `|<upper bound>` or `|sum` behind it for the
parts of a histogram. Values only grow, so those of any number of processes are added up by adding what came new.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from threading import Lock
from typing import NamedTuple

from farm.domain.metrics import Metric

_BETWEEN = "|"
SUM = "sum"
ABOVE_ALL = "+Inf"


class Tally:
    """Counts of one process. Safe for threads; a count costs a microsecond."""

    def __init__(self, process: str = "other") -> None:
        """
        Args:
            process: `worker`, `api` or `other`: a label of what every process does.
        """
        self.process = process
        self._all: defaultdict[str, float] = defaultdict(float)
        self._new: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    def add(self, metric: Metric, *labels: str, by: float = 1.0) -> None:
        """Count."""
        with self._lock:
            self._add(_name(metric, labels), by)

    def observe(self, metric: Metric, *labels: str, value: float, times: int = 1) -> None:
        """Measure a value of a histogram, seen `times` times."""
        at = bisect_left(metric.buckets, value)
        bound = f"{metric.buckets[at]:g}" if at < len(metric.buckets) else ABOVE_ALL
        with self._lock:
            self._add(_name(metric, (*labels, bound)), times)
            self._add(_name(metric, (*labels, SUM)), value * times)

    def _add(self, name: str, by: float) -> None:
        self._all[name] += by
        self._new[name] += by

    def totals(self) -> dict[str, float]:
        """All that was counted since the process began."""
        with self._lock:
            return dict(self._all)

    def take(self) -> dict[str, float]:
        """What was counted since it was last taken."""
        with self._lock:
            found, self._new = dict(self._new), defaultdict(float)
            return found

    def give_back(self, increments: Mapping[str, float]) -> None:
        """What was taken could not be told: it is taken again the next time."""
        with self._lock:
            for name, by in increments.items():
                self._new[name] += by


class Series(NamedTuple):
    """One metric with one set of labels."""

    labels: tuple[str, ...]
    parts: Mapping[str, float]
    """Upper bound, or `sum`, -> value; of a counter: "" -> value."""


def series(metric: Metric, values: Mapping[str, float]) -> Iterator[Series]:
    """All that `values` hold of a metric; what does not fit its labels is of another version, and left out."""
    found: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for name, value in values.items():
        first, *words = name.split(_BETWEEN)
        if first != metric.name:
            continue
        part = words.pop() if metric.buckets and words else ""
        if len(words) == len(metric.labels):
            found[tuple(words)][part] = value
    for labels in sorted(found):
        yield Series(labels, found[labels])


def _name(metric: Metric, words: tuple[str, ...]) -> str:
    return _BETWEEN.join((metric.name, *(word.replace(_BETWEEN, "/") for word in words)))
