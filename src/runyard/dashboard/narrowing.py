"""What of a comparison's table is shown: rows and columns by what is in them, and what differs between rows. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from runyard.dashboard.selecting import parameters
from runyard.dashboard.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runyard.dashboard.comparing import Comparison
    from runyard.history import LoggedRun

METRICS_SHOWN = 12


class Columns(StrEnum):
    """Which columns a table has."""

    USUAL = ""
    DIFFERING = "differing"
    ALL = "all"


@dataclass(frozen=True)
class Filter:
    """What a table is asked to show.

    Attributes:
        rows: words that a row has, each of them: in the run's name, its outcome, or a value; NAME=VALUE: in that one.
        columns: words of which a column's name has one or more; empty: all that `show` says.
        show: which columns: parameters that differ in any two of the runs compared and the first twelve metrics, those
            that differ between the rows, or all.

    """

    rows: str = ""
    columns: str = ""
    show: Columns = Columns.USUAL


@dataclass(frozen=True)
class Narrowed:
    """A table as it is shown.

    Attributes:
        runs: the rows.
        metrics: names, in order.
        params: likewise.
        differing: names of parameters that are not the same in all rows.
        of_columns: how many columns there could be.

    """

    runs: Sequence[LoggedRun]
    metrics: Sequence[str]
    params: Sequence[str]
    differing: frozenset[str]
    of_columns: int


def narrow(found: Comparison, wanted: Filter) -> Narrowed:
    """Return what of a comparison's table is shown."""
    words = wanted.rows.lower().split()
    names = frozenset(name.lower() for name in (*found.metrics, *found.params))
    runs = [run for run in found.runs if _has(found, run, words, names)] if words else list(found.runs)
    order, varying = parameters(runs)
    differing = frozenset(order[:varying])
    metrics, params = list(found.metrics), list(found.params)
    parts = wanted.columns.lower().split()
    if wanted.show is Columns.DIFFERING:
        metrics = [name for name in metrics if _is_different(run.metrics.get(name) for run in runs)]
        params = [name for name in params if name in differing]
    elif wanted.show is Columns.USUAL and not parts:
        metrics, params = metrics[:METRICS_SHOWN], params[: found.varying]
    if parts:
        metrics, params = (
            [name for name in of if any(part in name.lower() for part in parts)] for of in (metrics, params)
        )
    return Narrowed(runs, metrics, params, differing, len(found.metrics) + len(found.params))


def _has(found: Comparison, run: LoggedRun, words: Sequence[str], names: frozenset[str]) -> bool:
    """Whether a row has all words; one such as depth=5 is of that column, where there is one."""
    values = {name.lower(): value.lower() for name, value in run.params.items()}
    # What a metric is on the page, it can be found by.
    values |= {name.lower(): shown(value).lower() for name, value in run.metrics.items()}
    told = (found.labels[run.id], run.outcome, run.reason or "", found.left_out.get(run.id, ""))
    texts = [*map(str.lower, told), *values.values()]

    def has(word: str) -> bool:
        name, is_of_one, part = word.partition("=")
        if is_of_one and name in names:
            return name in values and part in values[name]
        return run.id.startswith(word) or any(word in text for text in texts)

    return all(map(has, words))


def _is_different(values: Iterable[float | None]) -> bool:
    """Whether two values are not the same; what is not there is another one than any number, NaN is NaN."""
    return len({"NaN" if value is not None and math.isnan(value) else value for value in values}) > 1
