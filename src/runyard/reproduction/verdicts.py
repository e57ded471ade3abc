"""Whether a repetition came to the same: runs matched with runs, metrics with metrics. No I/O."""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runyard.api.outcome import Reason
from runyard.api.repetition import CODE, Verdict
from runyard.comparison import Diff, MetricChange, of_result
from runyard.history import LoggedRun
from runyard.reproduction.receipts import Gap, Receipt, Where

# What keeps a training from beginning: it shows that something is gone or changed, not that the result is another.
_CANNOT = {
    Reason.IMAGE_PULL: (
        "the image",
        "push that image again, or start the manifest with another one: `runyard submit`",
    ),
    Reason.SOURCE_UNAVAILABLE: ("the source", "make the repository and its commit reachable again"),
    Reason.DATASET_UNAVAILABLE: ("the data", "put the file back where it was"),
    Reason.DATASET_MISMATCH: ("the data as they were", "put back the file with the digest that was wanted"),
    Reason.INVALID_SPEC: ("a manifest that the cluster takes", "mend it, and start it with `runyard submit`"),
}


@dataclass(frozen=True)
class Pair:
    """A run and what it is in the repetition; None where the other side has none."""

    before: LoggedRun | None
    now: LoggedRun | None

    @property
    def name(self) -> str:
        """The run's name, as it was before."""
        return next(run.name for run in (self.before, self.now) if run)

    def metrics(self, only: Sequence[str] = ()) -> list[MetricChange]:
        """Return every metric of either, sorted by name.

        Args:
            only: names; empty: all.

        """
        before, now = (of_result(run.metrics) if run else {} for run in (self.before, self.now))
        names = sorted({*before, *now} & {*only} if only else {*before, *now})
        return [MetricChange(name, before.get(name), now.get(name)) for name in names]


@dataclass(frozen=True)
class Reproduction:
    """What came of repeating a run.

    Attributes:
        verdict: in one word.
        receipt: of the run that was repeated.
        where: where it was repeated.
        name: of the TrainingRun that repeats it; None: nothing was started.
        run: the run that stands for the repetition, if it came to one.
        pairs: runs of both.
        changed: parameters that were changed on purpose, before and now.
        is_other_code: whether it trained other code, as was asked for.
        tolerance: by how much metrics may differ, relative to the larger of two; 0: not at all.
        only: the metrics that count; empty: all.
        gaps: what is missing or changed, or not known.
        notes: what else is to be known of the repetition.
        reason: why it failed, in one word.
        message: why, in a sentence.
        diff: in what both differ, of all that decides a result.
        untold: why MLflow was not told of the verdict; None: it was, or there is no run to tell it of.

    """

    verdict: Verdict
    receipt: Receipt
    where: Where
    name: str | None = None
    run: LoggedRun | None = None
    pairs: tuple[Pair, ...] = ()
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    is_other_code: bool = False
    tolerance: float = 0.0
    only: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None
    message: str | None = None
    diff: Diff | None = None
    untold: str | None = None

    @property
    def varies(self) -> tuple[str, ...]:
        """What was changed on purpose, as its TrainingRun's annotation has it."""
        return varies(self.changed, is_other_code=self.is_other_code)

    @property
    def metrics(self) -> list[tuple[Pair, MetricChange]]:
        """Every metric of every run that counts."""
        return [(pair, metric) for pair in self.pairs for metric in pair.metrics(self.only)]

    @property
    def differing(self) -> list[tuple[Pair, MetricChange]]:
        """Those that are not the same."""
        return [(pair, found) for pair, found in self.metrics if not found.is_within(self.tolerance)]

    @property
    def is_same(self) -> bool:
        """Whether every metric is."""
        return bool(self.metrics) and not self.differing

    @property
    def greatest_difference(self) -> float | None:
        """The greatest difference of a metric, in parts of what it was; None without metrics.

        It is infinite where only one side has the metric, or it was 0, or it is a number on one side alone.
        """
        return max((_extent(found) for _, found in self.metrics), default=None)

    @property
    def sentence(self) -> str:
        """All of it, for people, in a sentence."""
        match self.verdict:
            case Verdict.CANNOT:
                said = "; ".join(f"{gap.what}: {gap.why}" for gap in self.gaps if gap.is_in_the_way)
            case Verdict.FAILED:
                said = f"the repeated training failed ({self.reason}): {self.message}"
            case Verdict.CHANGED:
                words = [f"{name} was {before} and is {now}" for name, (before, now) in self.changed.items()]
                told = ", ".join([*(["the code is not what ran"] if self.is_other_code else []), *words])
                said = f"{told}, so this is another training: {self._count()}"
            case _:
                said = self._count()
        return f"{self.verdict}: {said.rstrip('.')}."

    def _count(self) -> str:
        every, differing = self.metrics, self.differing
        of_runs = f" of {len(self.pairs)} runs" if len(self.pairs) > 1 else ""
        if differing:
            verb = "differs" if len(differing) == 1 else "differ"
            largest = max((abs(change) for _, found in differing if (change := relative(found))), default=None)
            by = f", relatively by at most {largest:.2g}" if largest is not None else ""
            told = f"{len(differing)} of {len(every)} metrics{of_runs}" if len(every) > 1 else "its one metric"
            gone, new = (sum(getattr(found, side) is None for _, found in differing) for side in ("other", "one"))
            lost = [f"{gone} not there any more"] * bool(gone) + [f"{new} not there before"] * bool(new)
            return f"{told} {verb}{by}" + (f" ({', '.join(lost)})" if lost else "")
        bits = sum(found.is_same for _, found in every)
        begun = f"all {len(every)} metrics{of_runs} are" if len(every) > 1 else "its one metric is"
        if bits == len(every):
            return f"{begun} the same to the last bit"
        return f"{begun} the same within {self.tolerance:g}, {bits} of them to the last bit"


def varies(changed: Iterable[str], *, is_other_code: bool) -> tuple[str, ...]:
    """Return what was changed on purpose: the code, and parameters by name."""
    return (*([CODE] if is_other_code else []), *(f"parameters.{name}" for name in changed))


def _extent(found: MetricChange) -> float:
    """Return how far a metric is from what it was."""
    if found.is_same:
        return 0.0
    change = relative(found)
    return math.inf if change is None else abs(change)


def relative(found: MetricChange) -> float | None:
    """Return the difference in parts of what it was before; None where that is no number, or 0."""
    return None if found.change is None or not found.one else found.change / abs(found.one)


def matched(before: Sequence[LoggedRun], now: Sequence[LoggedRun], changed: Collection[str] = ()) -> tuple[Pair, ...]:
    """Match the runs of two attempts, the first of each with the first.

    The others by name and parameters, then by name alone, then by parameters alone: a script that names no run gets a
    new name each time. Of equals the first that began is matched with the first. At last those that are alone with
    their other parameters, where some were changed on purpose.

    Args:
        before: the runs of one, that which stands for it first.
        now: those of the other.
        changed: names of parameters that were changed on purpose.

    """

    def by_other_parameters(run: LoggedRun) -> Hashable:
        return frozenset((name, value) for name, value in run.params.items() if name not in changed)

    if not before or not now:
        return tuple(Pair(run, None) for run in before) + tuple(Pair(None, run) for run in now)
    found = {before[0].id: now[0]}
    left, right = list(before[1:]), list(now[1:])
    keys = [
        (_by_both, False),
        (_by_name, True),
        (_by_parameters, False),
        *([(by_other_parameters, True)] if changed else []),
    ]
    for key, is_alone in keys:
        pairs = _alike(left, right, key, is_alone=is_alone)
        found |= pairs
        taken = {run.id for run in pairs.values()}
        left = [run for run in left if run.id not in pairs]
        right = [run for run in right if run.id not in taken]
    return (*(Pair(run, found.get(run.id)) for run in before), *(Pair(None, run) for run in right))


def _alike(
    left: Iterable[LoggedRun], right: Iterable[LoggedRun], key: Callable[[LoggedRun], Hashable], *, is_alone: bool
) -> dict[str, LoggedRun]:
    sides: list[dict[Hashable, list[LoggedRun]]] = []
    for runs in (left, right):
        groups: dict[Hashable, list[LoggedRun]] = defaultdict(list)
        for run in runs:
            groups[key(run)].append(run)
        sides.append(groups)
    found: dict[str, LoggedRun] = {}
    for each, these in sides[0].items():
        those = sides[1].get(each, [])
        if is_alone and not len(these) == len(those) == 1:
            continue
        found |= {one.id: other for one, other in zip(these, those, strict=False)}
    return found


def _by_both(run: LoggedRun) -> Hashable:
    return run.name, _by_parameters(run)


def _by_name(run: LoggedRun) -> Hashable:
    return run.name


def _by_parameters(run: LoggedRun) -> Hashable:
    return frozenset(run.params.items())


def judged(is_same: bool, varies: Sequence[str]) -> Verdict:  # noqa: FBT001 it is the question
    """Return what a training that came to its end shows."""
    if varies:
        return Verdict.CHANGED
    return Verdict.REPRODUCED if is_same else Verdict.DIFFERS


def in_the_way(reasons: Iterable[str | None], message: str) -> Gap | None:
    """Return what kept a training from beginning; None where it began."""
    for reason in reasons:
        if reason in _CANNOT:
            what, remedy = _CANNOT[Reason(reason)]
            return Gap(what, f"{reason}: {message}", remedy, is_in_the_way=True)
    return None
