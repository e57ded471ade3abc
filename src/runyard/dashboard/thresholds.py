"""How models would treat groups of people at other thresholds of their scores, as evaluations logged it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from runyard.dashboard.answers import Cell, Column, Figure, Kind
from runyard.dashboard.runs import cut
from runyard.dashboard.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.dashboard.artifacts import Table
    from runyard.history import LoggedRun

# Eight colours, solid, dashed and dotted: more lines cannot be told apart.
MOST_LINES = 24
_MOST_GROUPS = 50
# 0, 0.01 … 1, and the model's own.
_MOST_THRESHOLDS = 102
_LONGEST_GROUP = 100
_FEWEST = 2
_OF_RUN = [Column(name="run", title="run"), Column(name="name", title="Name")]


class Rate(StrEnum):
    """What is compared between groups."""

    SELECTION = "selection_rate"
    TRUE_POSITIVE = "true_positive_rate"
    FALSE_POSITIVE = "false_positive_rate"
    ACCURACY = "accuracy"

    @property
    def words(self) -> str:
        """What it is called."""
        return self.value.replace("_", " ")


_MEANINGS = {
    Rate.SELECTION: "The share of each group that would be called positive",
    Rate.TRUE_POSITIVE: "The share of each group's positives that would be called positive",
    Rate.FALSE_POSITIVE: "The share of each group's negatives that would be called positive",
    Rate.ACCURACY: "The share of each group that would be called right",
}
_AT_THE_ENDS = " At both ends all are called alike: no gap, and no use."


class NotLogged(ValueError):
    """A table is none that an evaluation logs; the text says in what."""


@dataclass(frozen=True)
class Gap:
    """Between the groups that are furthest apart."""

    low_group: str
    low: float
    high_group: str
    high: float

    @property
    def width(self) -> float:
        """How far they are apart."""
        return self.high - self.low


@dataclass(frozen=True)
class Logged:
    """What one run logged.

    Attributes:
        score: of what the thresholds are: probability or decision.
        thresholds: in order.
        own: the place of the model's own among them; None where it is not known.
        counts: how many rows each group has.
        rates: of each group and rate the value at each threshold; None where it is not defined.

    """

    score: str
    thresholds: tuple[float, ...]
    own: int | None
    counts: Mapping[str, int]
    rates: Mapping[tuple[str, Rate], tuple[float | None, ...]]

    def nearest(self, threshold: float | None) -> int | None:
        """Return the place of the threshold that is nearest to one; unless one is given, of the model's own."""
        if threshold is None:
            return self.own
        return min(range(len(self.thresholds)), key=lambda place: abs(self.thresholds[place] - threshold))

    def gap(self, rate: Rate, place: int) -> Gap | None:
        """Return how far groups are apart at a threshold; None where fewer than two have the rate."""
        found = [(value, group) for group in self.counts if (value := self.rates[group, rate][place]) is not None]
        if len(found) < _FEWEST:
            return None
        (low, low_group), (high, high_group) = min(found), max(found)
        return Gap(low_group, low, high_group, high)


def read(table: Table) -> Logged:
    """Read a table that an evaluation logged, or anybody.

    Raises:
        NotLogged: it is something else.

    """
    missing = [
        name for name in ("group", "threshold", "own", "score", "count", *Rate) if table.columns.count(name) != 1
    ]
    if missing:
        raise NotLogged(f"it has not one column {missing[0]}")
    scores = set(table.column("score"))
    if len(scores) != 1 or not scores <= {"probability", "decision"}:
        raise NotLogged("its score is not probability or decision throughout")
    of_groups: dict[str, list[int]] = {}
    for place, group in enumerate(table.column("group")):
        of_groups.setdefault(cut(str(group or ""), _LONGEST_GROUP), []).append(place)
    if len(of_groups) > _MOST_GROUPS:
        raise NotLogged(f"it has {len(of_groups):,} groups, and {_MOST_GROUPS} are the most")
    columns = {name: table.column(name) for name in ("threshold", "own", "count", *Rate)}

    def of(name: str, group: str) -> list[Cell]:
        return [columns[name][place] for place in of_groups[group]]

    first = next(iter(of_groups))
    thresholds = tuple(_finite(cell) for cell in of("threshold", first))
    if len(thresholds) > _MOST_THRESHOLDS:
        raise NotLogged(f"it has {len(thresholds):,} thresholds of a group, and {_MOST_THRESHOLDS} are the most")
    if any(one >= other for one, other in pairwise(thresholds)):
        raise NotLogged("its thresholds are not in order")
    own = of("own", first)
    for group in of_groups:
        if tuple(of("threshold", group)) != thresholds or of("own", group) != own:
            raise NotLogged("its groups have not the same thresholds")
    return Logged(
        score=str(scores.pop()),
        thresholds=thresholds,
        own=own.index(1.0) if own.count(1.0) == 1 else None,
        counts={group: _count(of("count", group)) for group in of_groups},
        rates={(group, rate): tuple(map(_share, of(rate, group))) for group in of_groups for rate in Rate},
    )


def _finite(cell: Cell) -> float:
    if not isinstance(cell, float) or not math.isfinite(cell):
        raise NotLogged("a threshold is no number")
    return cell


def _count(cells: Sequence[Cell]) -> int:
    first = cells[0]
    if not isinstance(first, float) or not first.is_integer() or first < 1 or set(cells) != {first}:
        raise NotLogged("a count is not one of a group's rows")
    return int(first)


def _share(cell: Cell) -> float | None:
    if cell is None:
        return None
    if not isinstance(cell, float) or not 0 <= cell <= 1:
        raise NotLogged("a rate is not from 0 to 1")
    return cell


@dataclass(frozen=True)
class Side:
    """One of the runs beside each other."""

    run: LoggedRun
    name: str
    logged: Logged


@dataclass(frozen=True)
class Sides:
    """Runs beside each other.

    Attributes:
        by: by what their rows are grouped.
        sides: those that can be compared.
        of: how many there are.
        told: why the others cannot, in sentences.

    """

    by: str
    sides: Sequence[Side]
    of: int
    told: Sequence[str]

    @property
    def drawn(self) -> str:
        """How many are drawn; empty where all are."""
        return f"{len(self.sides)} of {self.of} runs are drawn." if self.told else ""

    @property
    def says(self) -> str:
        """How many are drawn, and why there are no more; empty where all are."""
        return " ".join([self.drawn, *self.told]).strip()

    @property
    def empty(self) -> str:
        """Why there is nothing to draw, and what to do; empty where there is."""
        return "" if self.sides else " ".join(self.told) or "There is no run."


def beside(by: str, called: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Sides:
    """Put runs beside each other that have thresholds of the same kind: of probabilities, or of decisions.

    The kind is that which most of them have.
    """
    found: list[Side] = []
    lacking: list[str] = []
    told: list[str] = []
    for run, table in tables:
        name = called[run.id]
        if table is None:
            lacking.append(name)
            continue
        try:
            found.append(Side(run, name, read(table)))
        except NotLogged as reason:
            told.append(f"The table thresholds_{by}.csv of {name} is none that an evaluation logs: {reason}.")
    kinds = Counter(side.logged.score for side in found)
    kind = max(kinds, key=lambda each: kinds[each], default="")
    if others := [side.name for side in found if side.logged.score != kind]:
        told.append(f"The thresholds of {listed(others)} are not of a {kind}, as those of the others are.")
    if lacking:
        how = f'`runyard.evaluation.log(model, (X_test, y_test), groups={{"{by}": …}})`'
        have = "has" if len(lacking) == 1 else "have"
        what = f"{have} no table thresholds_{by}.csv, or none that can be read: {how} logs it"
        told.append(f"{listed(lacking)} {what}, for two classes and a model with scores.")
    return Sides(by, [side for side in found if side.logged.score == kind], len(tables), told)


def rates(found: Sides, rate: Rate, threshold: float | None, most_lines: int | None = MOST_LINES) -> Figure:
    """Draw a rate of each group by threshold; of very many groups the largest."""
    rows: list[list[Cell]] = []
    each = max(_FEWEST, most_lines // max(len(found.sides), 1)) if most_lines else _MOST_GROUPS
    most = max((len(side.logged.counts) for side in found.sides), default=0)
    for side in found.sides:
        logged = side.logged
        chosen = logged.nearest(threshold)
        largest = sorted(logged.counts, key=lambda group: (-logged.counts[group], group))[:each]
        for group in [each for each in logged.counts if each in largest]:
            name = group if len(found.sides) == 1 else f"{side.name}: {group}"
            rows += [
                [side.run.id, name, group, logged.counts[group], at, value, *_marks(logged, place, chosen, threshold)]
                for place, (at, value) in enumerate(zip(logged.thresholds, logged.rates[group, rate], strict=True))
            ]
    titles = {"group": "group", "count": "rows", "threshold": _across(found), "rate": rate.words}
    cut_short = f" Of {most} groups the {each} largest are drawn." if most > each else ""
    return _lines(
        f"thresholds_{found.by}",
        f"{rate.words.capitalize()} by threshold",
        f"{_MEANINGS[rate]} at each threshold.{cut_short}",
        found,
        [*titles.items(), *_marked(threshold)],
        rows,
        "rate",
    )


def gaps(found: Sides, rate: Rate, threshold: float | None) -> Figure:
    """Draw how far groups are apart by threshold."""
    rows: list[list[Cell]] = []
    widest = 0.0
    for side in found.sides:
        logged = side.logged
        chosen = logged.nearest(threshold)
        for place, at in enumerate(logged.thresholds):
            gap = logged.gap(rate, place)
            widest = max(widest, gap.width if gap else 0)
            cells: list[Cell] = [gap.width, gap.low_group, gap.high_group] if gap else [None, None, None]
            rows.append([side.run.id, side.name, at, *cells, *_marks(logged, place, chosen, threshold)])
    titles = {"threshold": _across(found), "gap": "gap", "lowest": "lowest group", "highest": "highest group"}
    return _lines(
        f"threshold_gaps_{found.by}",
        f"Gap of the {rate.words} by threshold",
        f"How far apart the two groups are that differ most.{'' if rate is Rate.ACCURACY else _AT_THE_ENDS}",
        found,
        [*titles.items(), *_marked(threshold)],
        rows,
        "gap",
        # A gap that is narrow is to be seen too, and two pages of like gaps have one axis.
        max(1, math.ceil(10 * widest)) / 10,
    )


def at_threshold(found: Sides, threshold: float | None, most: float) -> Figure:
    """Draw the gaps of all rates at one threshold, or at each model's own."""
    rows: list[list[Cell]] = [
        [
            side.run.id,
            side.name,
            side.logged.thresholds[place],
            rate.words,
            gap.width if gap else None,
            gap.low_group if gap else None,
            gap.low if gap else None,
            gap.high_group if gap else None,
            gap.high if gap else None,
            int(gap.width > most) if gap else None,
        ]
        for side in found.sides
        if (place := side.logged.nearest(threshold)) is not None
        for rate in Rate
        for gap in [side.logged.gap(rate, place)]
    ]
    unknown = [side.name for side in found.sides if side.logged.nearest(threshold) is None]
    titles = {
        "threshold": "at threshold",
        "measure": "rate",
        "gap": "gap",
        "lowest": "lowest group",
        "low": "its rate",
        "highest": "highest group",
        "high": "its rate",
        "wide": f"wider than {most:g}",
    }
    wide = sum(row[-1] == 1 for row in rows)
    where = "each model's own threshold" if threshold is None else f"the threshold logged nearest to {threshold:g}"
    told = [
        f"At {where} {wide} of {len(rows)} gaps are wider than {most:g}.",
        *([f"The own threshold of {listed(unknown)} is not known."] if unknown else []),
        found.says,
    ]
    return Figure(
        name=f"threshold_gaps_at_{found.by}",
        title="Gaps at a threshold",
        says=" ".join(told).rstrip(),
        kind=Kind.BARS,
        columns=[*_OF_RUN, *(Column(name=name, title=title) for name, title in titles.items())],
        rows=rows,
        x="gap",
        y="measure",
        series="name",
        empty=found.empty or ("" if rows else "No model's own threshold is known: choose one."),
    )


def _marks(logged: Logged, place: int, chosen: int | None, threshold: float | None) -> list[Cell]:
    own = int(place == logged.own)
    return [own] if threshold is None else [own, int(place == chosen)]


def _marked(threshold: float | None) -> list[tuple[str, str]]:
    own = ("own", "the model's own")
    return [own] if threshold is None else [own, ("chosen", "chosen")]


def _across(found: Sides) -> str:
    return f"threshold of the {found.sides[0].logged.score}" if found.sides else "threshold"


def _lines(  # noqa: PLR0913, PLR0917 what a figure is made of
    name: str,
    title: str,
    says: str,
    found: Sides,
    titles: Sequence[tuple[str, str]],
    rows: list[list[Cell]],
    up: str,
    highest: float = 1,
) -> Figure:
    is_probability = bool(found.sides) and found.sides[0].logged.score == "probability"
    return Figure(
        name=name,
        title=title,
        says=f"{says} {found.drawn}".rstrip(),
        kind=Kind.LINES,
        columns=[*_OF_RUN, *(Column(name=each, title=words) for each, words in titles)],
        rows=rows,
        x="threshold",
        y=up,
        series="name",
        mark="own",
        chosen="chosen" if ("chosen", "chosen") in titles else "",
        x_limits=(0, 1) if is_probability else None,
        y_limits=(0, highest),
        empty=found.empty,
    )
