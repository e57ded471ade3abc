"""Runs side by side: which is the best by what is asked, what the others lack, in what they differ. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runyard.api import when
from runyard.api.direction import Direction, direction_of
from runyard.api.records import RunStatus
from runyard.comparison import MACHINE_METRICS, NothingToCompare, has, is_summary, ranked, winners
from runyard.dashboard import selecting
from runyard.dashboard.selecting import facts, in_order, parameters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runyard.history import LoggedRun

# More lines than that are no picture, and more rows no comparison.
MOST_COMPARED = 100
# Metrics that people choose models by, the first first, where nothing else is said.
_USUAL = ("roc_auc", "f1_score", "test_accuracy", "accuracy", "test_r2", "rmse", "val_accuracy", "val_loss", "loss")
_ID_SHOWN = 4


@dataclass(frozen=True)
class Question:
    """By what runs are compared.

    Attributes:
        metric: which metric decides; None: a usual one that they have.
        direction: which of its values are better; None: as its name says.
        where: a condition that the best must satisfy.
        sort: how they are put in order, as lists are; empty: the best first.
        descending: whether the largest comes first.

    """

    metric: str | None = None
    direction: Direction | None = None
    where: str = ""
    sort: str = ""
    descending: bool = True


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: in order.
        labels: what each is called, by ID; no two alike.
        metric: that decides; None where they have none.
        direction: of that.
        best: the best by it of those that count; None where none does.
        left_out: why the others cannot be the best, by ID.
        counting: how many of all that were asked for can be the best.
        params: names of parameters, those that are not the same in all first.
        varying: how many of these.
        metrics: names of metrics, the deciding one first.
        winners: the IDs of the best by each metric, of those that can be the best.
        of: how many runs were asked for.

    """

    runs: Sequence[LoggedRun]
    labels: Mapping[str, str]
    metric: str | None
    direction: Direction
    best: LoggedRun | None
    left_out: Mapping[str, str]
    counting: int
    params: Sequence[str]
    varying: int
    metrics: Sequence[str]
    winners: Mapping[str, frozenset[str]] = field(default_factory=dict)
    of: int = 0

    @property
    def says(self) -> str:
        """Which is the best, in a sentence."""
        if not self.runs:
            return "There are no runs to compare."
        if self.metric is None:
            return "These runs have no metric in common to compare them by."
        if self.best is None:
            return f"None of {self.of} runs can be the best by {self.metric}."
        value = f"{self.best.metrics[self.metric]:.6g}"
        shown = f"{self.metric} {value}, the {self.direction} of {self.counting}"
        return f"{self.labels[self.best.id]}: {shown}{'' if self.left_out else ' runs'}"


def compare(runs: Sequence[LoggedRun], question: Question, keep: Collection[str] = ()) -> Comparison:
    """Put runs side by side; of more than a hundred the best, and those whose IDs are to be kept.

    Raises:
        WrongCondition: `where` is no condition.
        WrongChoice: `sort` is nothing to sort by.

    """
    condition = selecting.condition(question.where) if question.where.strip() else None
    metric = question.metric or usual_metric(runs)
    direction = question.direction or direction_of(metric or "")
    # Who cannot be the best must not keep those who can out of the hundred.
    counting, others = _parted(_best_first(runs, metric, direction), metric, condition)
    kept = {run.id for run in runs if run.id in keep}
    further = [run.id for run in (*counting, *others) if run.id not in kept]
    kept.update(further[: max(0, MOST_COMPARED - len(kept))])
    shown = [run for run in counting if run.id in kept]
    left_out = {run.id: _why_not(run, metric, condition) for run in others if run.id in kept}
    ordered = [*shown, *(run for run in others if run.id in kept)]
    names = Counter(name for run in ordered for name in run.metrics)
    metrics = sorted(names, key=lambda name: (name != metric, -names[name], "." in name or "/" in name, name))
    params, varying = parameters(ordered)
    return Comparison(
        runs=in_order(ordered, question.sort, descending=question.descending) if question.sort else ordered,
        labels=labels(ordered),
        metric=metric,
        direction=direction,
        best=counting[0] if metric is not None and counting else None,
        left_out=left_out,
        counting=len(counting),
        params=params,
        varying=varying,
        metrics=metrics,
        winners={
            name: frozenset(run.id for run in winners(shown, name, direction if name == metric else None))
            for name in metrics
        },
        of=len(runs),
    )


def usual_metric(runs: Iterable[LoggedRun]) -> str | None:
    """Return the metric that most runs have, of those that finished if any did; of several a usual one."""
    every = list(runs)
    finished = [run for run in every if run.status is RunStatus.FINISHED]
    counts = _counts(finished) or _counts(every)
    if not counts:
        return None
    places = {name: place for place, name in enumerate(_USUAL)}
    return min(counts, key=lambda name: (-counts[name], places.get(name, len(places)), "." in name, name))


def _counts(runs: Iterable[LoggedRun]) -> Counter[str]:
    # What the machine did is no result.
    return Counter(
        name for run in runs for name in run.metrics if has(run, name) and not name.startswith(MACHINE_METRICS)
    )


def labels(runs: Sequence[LoggedRun]) -> dict[str, str]:
    """Return what runs are called: their names, with the beginning of the ID where two are alike."""
    counts = Counter(run.name for run in runs)
    return {run.id: run.name if counts[run.name] == 1 else f"{run.name} {_beginning(run, runs)}" for run in runs}


def _beginning(run: LoggedRun, runs: Sequence[LoggedRun]) -> str:
    alike = [other.id for other in runs if other.name == run.name and other.id != run.id]
    length = _ID_SHOWN
    while any(other.startswith(run.id[:length]) for other in alike):
        length += 1
    return run.id[:length]


def pareto(points: Mapping[str, tuple[float, float]], across: Direction, up: Direction) -> set[str]:
    """Return the names of the points of which none other is better by one measure and no worse by the other.

    >>> sorted(pareto({"a": (1, 1), "b": (2, 0), "c": (0, 0)}, Direction.HIGHEST, Direction.HIGHEST))
    ['a', 'b']
    """

    def turned(value: float, direction: Direction) -> float:
        return -value if direction is Direction.HIGHEST else value

    ordered = sorted((turned(x, across), turned(y, up), name) for name, (x, y) in points.items())
    front: set[str] = set()
    lowest: tuple[float, float] | None = None
    for x, y, name in ordered:
        if lowest is None or y < lowest[1] or (x, y) == lowest:
            front.add(name)
            lowest = (x, y)
    return front


def _best_first(runs: Sequence[LoggedRun], metric: str | None, direction: Direction) -> list[LoggedRun]:
    if metric is None:
        return list(runs)
    try:
        first = ranked(runs, metric, direction)
    except NothingToCompare:
        return list(runs)
    return [*first, *(run for run in runs if not has(run, metric))]


def _parted(
    runs: Sequence[LoggedRun], metric: str | None, condition: when.Condition | None
) -> tuple[list[LoggedRun], list[LoggedRun]]:
    """Return the runs that can be the best, and the others."""
    counting: list[LoggedRun] = []
    others: list[LoggedRun] = []
    for run in runs:
        is_whole = run.status is RunStatus.FINISHED and not is_summary(run)
        can = is_whole and (metric is None or has(run, metric))
        (counting if can and (condition is None or when.holds(condition, facts(run))) else others).append(run)
    return counting, others


def _why_not(run: LoggedRun, metric: str | None, condition: when.Condition | None) -> str:
    """Say why a run that cannot be the best cannot."""
    if run.status is not RunStatus.FINISHED:
        return f"it is {run.outcome.lower()}"
    if is_summary(run):
        return "it stands above a sweep's trials, and has the best one's value"
    if metric is not None and not has(run, metric):
        return f"it has no {metric}"
    return when.judge(condition, facts(run)).because if condition else ""
