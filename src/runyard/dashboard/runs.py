"""Runs in memory: the newest of a server, each as small as it can be, at one moment."""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from runyard.history import LoggedRun

MOST_RUNS = 100_000
# Of a value that is longer the page of its run has the rest.
LONGEST_VALUE = 300
# MLflow takes 6,000 characters of a parameter and 8,000 of a tag.
LONGEST_WHOLE = 10_000
_LONGEST_EXPERIMENT = 500
# Of 2³² values two have the same digits with a chance of one in two.
_DIGITS = 16
_NAMES: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_NAMES = 10_000
# Of MLflow's own tags, those that are shown or filtered by.
_SHOWN_TAGS = ("mlflow.parentRunId", "mlflow.user", "mlflow.source.name", "mlflow.source.git.commit")


class Numbers(Mapping[str, float]):
    """Metrics of a run: the names are shared by all runs with the same ones."""

    __slots__ = ("_names", "_values")

    def __init__(self, values: Mapping[str, float]) -> None:
        """Copy them."""
        values = {cut(name): value for name, value in values.items()}
        names = tuple(map(sys.intern, sorted(values)))
        if len(_NAMES) > _MOST_NAMES:  # a server where each run has names of its own
            _NAMES.clear()
        self._names = _NAMES.setdefault(names, names)
        self._values = array("d", (values[name] for name in names))

    def __getitem__(self, name: str) -> float:
        """Return a metric."""
        # Some tens of names, in order: a search by halves would cost more than it saves.
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Count them."""
        return len(self._names)


def small(run: LoggedRun) -> LoggedRun:
    """Return a run as it is kept: what is long is cut, what no list shows is left out."""
    return replace(
        run,
        metrics=Numbers(run.metrics),
        params={sys.intern(cut(name)): sys.intern(cut(value)) for name, value in run.params.items()},
        tags={
            sys.intern(cut(name)): sys.intern(cut(value))
            for name, value in run.tags.items()
            if not name.startswith("mlflow.") or name in _SHOWN_TAGS
        },
        name=cut(run.name),
        experiment=sys.intern(experiment_name(run.experiment)),
        artifact_uri="",
    )


def bounded(run: LoggedRun) -> LoggedRun:
    """Return a run as its page shows it: whole, unless somebody wrote more than MLflow takes past it into its store."""
    return replace(
        run,
        metrics={cut(name): value for name, value in run.metrics.items()},
        params={cut(name): cut(value, LONGEST_WHOLE) for name, value in run.params.items()},
        tags={cut(name): cut(value, LONGEST_WHOLE) for name, value in run.tags.items()},
        datasets={cut(name): cut(value) for name, value in run.datasets.items()},
        name=cut(run.name),
        experiment=experiment_name(run.experiment),
    )


def experiment_name(name: str) -> str:
    """Return an experiment's name: MLflow takes 500 characters."""
    return cut(name, _LONGEST_EXPERIMENT)


def cut(text: str, most: int = LONGEST_VALUE) -> str:
    """Return a text as lists show it, and by which it is compared: of two others no two are alike.

    >>> cut("short"), len(cut("x" * 6000)), cut("x" * 6000)[-47:]
    ('short', 300, '… (6,000 characters, SHA-256 1853dfaa6b3a0e3d…)')
    """
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    rest = f"… ({len(text):,} characters, SHA-256 {digest}…)"
    return f"{text[: most - len(rest)]}{rest}"


@dataclass(frozen=True)
class Runs:
    """What was read.

    Attributes:
        every: the runs, the newest first.
        at: when they were read.
        is_whole: whether the reading has come to its end.
        has_others: whether these were chosen of runs of which there may be older ones.
        answers: what was computed of them, by question.

    """

    every: tuple[LoggedRun, ...]
    at: datetime
    is_whole: bool = True
    has_others: bool = False
    answers: dict[object, object] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, runs: Iterable[LoggedRun], at: datetime, *, is_whole: bool = True) -> Runs:
        """Put runs in order, the newest first; of more than 100,000 these."""
        ordered = sorted(runs, key=lambda run: (run.started_at, run.id), reverse=True)
        return cls(tuple(ordered[:MOST_RUNS]), at, is_whole)

    @property
    def has_more(self) -> bool:
        """Whether there may be older runs than are kept."""
        return self.has_others or len(self.every) >= MOST_RUNS

    @cached_property
    def by_id(self) -> dict[str, LoggedRun]:
        """Each run by its ID."""
        return {run.id: run for run in self.every}

    @cached_property
    def by_experiment(self) -> dict[str, list[LoggedRun]]:
        """The runs of each experiment, the newest first."""
        found: dict[str, list[LoggedRun]] = {}
        for run in self.every:
            found.setdefault(run.experiment, []).append(run)
        return found
