"""Which runs a list shows, and in which order: pure, on runs in memory."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from runyard.api import when
from runyard.dashboard.runs import cut
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runyard.dashboard.runs import Runs
    from runyard.history import LoggedRun

STARTED = "started"
# Texts and names of a condition; none of them has its own quotation mark in it.
_QUOTED = re.compile(r""""[^"\r\n]*"|'[^'\r\n]*'|`[^`\r\n]*`""")
_METRIC, _PARAM = "metrics.", "params."
# How many answers are kept of one state of the runs: leafing through pages asks for the same one again.
_ANSWERS_KEPT = 32


class WrongChoice(RunyardError):
    """What runs are to be chosen or sorted by is nothing that they have."""

    exit_code = 2


@dataclass(frozen=True)
class Choice:
    """What a list is asked to show.

    Attributes:
        experiment: its name; None: all.
        text: a part of the name, or the beginning of the ID.
        where: a condition as `promote` takes it: metrics.recall >= 0.9 && params.depth == "5".
        outcome: what became of them; None: whatever did.
        sort: started, took, name, outcome, experiment, metrics.NAME or params.NAME.
        descending: whether the largest comes first.

    """

    experiment: str | None = None
    text: str = ""
    where: str = ""
    outcome: str | None = None
    sort: str = STARTED
    descending: bool = True


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Attributes:
        runs: in order.
        metrics: names that they have, the commonest first.
        params: names whose values are not the same in all, the commonest first; then the others.
        varying: how many of `params` vary.

    """

    runs: Sequence[LoggedRun]
    metrics: tuple[str, ...]
    params: tuple[str, ...]
    varying: int


def choose(runs: Runs, choice: Choice) -> Chosen:
    """Return what a list is asked to show.

    Raises:
        WrongCondition: `where` is no condition.
        WrongChoice: `sort` is nothing to sort by.

    """
    kept = runs.answers.get(choice)
    if isinstance(kept, Chosen):
        return kept
    found = in_order(_chosen(runs, choice), choice.sort, descending=choice.descending)
    names = Counter(name for run in found for name in run.metrics)
    params, varying = parameters(found)
    chosen = Chosen(found, tuple(_commonest(names)), params, varying)
    if len(runs.answers) >= _ANSWERS_KEPT:
        runs.answers.clear()
    runs.answers[choice] = chosen
    return chosen


def parameters(runs: Sequence[LoggedRun]) -> tuple[tuple[str, ...], int]:
    """Return the names of runs' parameters, those that vary first, and how many these are."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    varying: set[str] = set()
    for run in runs:
        counts.update(run.params.keys())
        for name, value in run.params.items():
            if first.setdefault(name, value) != value:
                varying.add(name)
    varying |= {name for name, count in counts.items() if count < len(runs)}
    names = _commonest(counts)
    return (*(name for name in names if name in varying), *(name for name in names if name not in varying)), len(
        varying
    )


def _commonest(counts: Counter[str]) -> list[str]:
    # Names with parts are of something in particular: a group of people, a layer, the machine.
    return sorted(counts, key=lambda name: (-counts[name], "." in name or "/" in name, name))


def _chosen(runs: Runs, choice: Choice) -> list[LoggedRun]:
    found: Iterable[LoggedRun] = (
        runs.every if choice.experiment is None else runs.by_experiment.get(choice.experiment, [])
    )
    if choice.outcome:
        found = [run for run in found if run.outcome == choice.outcome]
    if choice.text:
        text = choice.text.lower()
        found = [run for run in found if text in run.name.lower() or run.id.startswith(text)]
    if choice.where.strip():
        found = satisfying(found, choice.where)
    return list(found)


def satisfying(runs: Iterable[LoggedRun], where: str) -> list[LoggedRun]:
    """Return the runs for which a condition holds; one that lacks a value that it names is not among them.

    Raises:
        WrongCondition: it is none.

    """
    asked = condition(where)
    return [run for run in runs if when.holds(asked, facts(run))]


def condition(where: str) -> when.Condition:
    """Read a condition for runs in memory: a long text in it is what these have in its place.

    Raises:
        WrongCondition: it is none.

    """
    asked = when.read(where)  # what is too long as it is written is told as that
    found = _QUOTED.sub(lambda text: f"{text[0][0]}{cut(text[0][1:-1])}{text[0][0]}", where)
    return asked if found == where else when.read(found)


def facts(run: LoggedRun) -> when.Facts:
    """Return what conditions ask of a run."""
    return when.Facts(run.id, run.status, run.metrics, run.params, run.tags)


def in_order(runs: Sequence[LoggedRun], sort: str, *, descending: bool) -> list[LoggedRun]:
    """Return runs in order, those without such a value last; of equals the newer first.

    Raises:
        WrongChoice: there is no such order.

    """
    key = _key(sort)
    newest = sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True)
    keys = [(key(run), run) for run in newest]
    # Python keeps equals in their order, whichever way it sorts.
    having = sorted(((value, run) for value, run in keys if value is not None), key=itemgetter(0), reverse=descending)
    return [*(run for _, run in having), *(run for value, run in keys if value is None)]


def _key(sort: str) -> Callable[[LoggedRun], tuple[float, str] | None]:
    if sort.startswith(_METRIC):
        return partial(_metric, sort.removeprefix(_METRIC))
    if sort.startswith(_PARAM):
        return partial(_param, sort.removeprefix(_PARAM))
    if sort not in _KEYS:
        raise WrongChoice(f'"{sort}" is nothing to sort by: give {", ".join(_KEYS)}, metrics.NAME or params.NAME')
    return _KEYS[sort]


def _metric(name: str, run: LoggedRun) -> tuple[float, str] | None:
    value = run.metrics.get(name, math.nan)
    return None if math.isnan(value) else (value, "")


def _param(name: str, run: LoggedRun) -> tuple[float, str] | None:
    text = run.params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return (math.inf, text)
    return (math.inf, text) if math.isnan(value) else (value, "")


_KEYS: dict[str, Callable[[LoggedRun], tuple[float, str] | None]] = {
    STARTED: lambda run: (run.started_at.timestamp(), run.id),
    "took": lambda run: (run.duration.total_seconds(), "") if run.duration else None,
    "name": lambda run: (0, run.name.lower()),
    "outcome": lambda run: (0, run.outcome),
    "experiment": lambda run: (0, run.experiment.lower()),
}
