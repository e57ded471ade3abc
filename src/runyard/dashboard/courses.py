"""Courses of metrics, as they are drawn: those of runs that have ended are read once."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from runyard.dashboard.kept import Kept
from runyard.dashboard.thinning import places
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.dashboard.reads import Reads
    from runyard.history import History, LoggedRun, Point

# As a table that a spreadsheet takes, and some 120 MB until it is sent.
MOST_WHOLE = 500_000
# Who wants a file waits for all of it to be read.
_PATIENCE_SECONDS = 20.0
# With 500 values each, of 16 bytes: 16 MB.
_MOST_KEPT = 2_000


@dataclass(frozen=True)
class Course:
    """How a metric went.

    Attributes:
        steps: at which values were logged, in order; 500 at most, unless all of it was asked for.
        values: the values there.
        of: how many values were logged.

    """

    steps: Sequence[int]
    values: Sequence[float]
    of: int

    @classmethod
    def through(cls, points: Sequence[Point]) -> Course:
        """Return it of points in the order of their steps, of more than 500 those that are drawn."""
        whole = cls.whole(points)
        kept = places(whole.values)
        steps, values = array("q", map(whole.steps.__getitem__, kept)), array("d", map(whole.values.__getitem__, kept))
        return cls(steps, values, whole.of)

    @classmethod
    def whole(cls, points: Sequence[Point]) -> Course:
        """Return all of it."""
        return cls(array("q", (each.step for each in points)), array("d", (each.value for each in points)), len(points))

    @property
    def has_several_steps(self) -> bool:
        """Whether there is a line to draw."""
        return len(self.steps) > 1 and self.steps[0] != self.steps[-1]


class TooLong(RunyardError):
    """Courses have more values than a table is made of."""

    exit_code = 2


class Courses:
    """Reads them. Those of 2,000 metrics of ended runs are kept, until something more is logged to them."""

    def __init__(self, history: History, reads: Reads) -> None:
        """Begin with none kept."""
        self._history = history
        self._reads = reads
        self._kept: Kept[tuple[str, ...], Course] = Kept(_MOST_KEPT)

    def of(self, wanted: Sequence[tuple[LoggedRun, str]]) -> list[Course]:
        """Return the courses of runs' metrics as they are drawn; an empty one of a metric that the run has not.

        Raises:
            TrackingUnavailable: MLflow does not answer in time.

        """
        keys = [_key(run, metric) for run, metric in wanted]
        found = {key: kept for key in keys if (kept := self._kept.known(key))}
        missing = {key: each for key, each in zip(keys, wanted, strict=True) if key not in found}
        answers = self._reads.all([(key, partial(self._read, key, *each)) for key, each in missing.items()])
        found |= dict(zip(missing, answers, strict=True))
        return [found[key] for key in keys]

    def whole(self, wanted: Sequence[tuple[LoggedRun, str]]) -> list[Course]:
        """Return all of the courses of runs' metrics. Who asks waits for twenty seconds, as long as they come.

        Raises:
            TooLong: they have more than 500,000 values.
            TrackingUnavailable: MLflow does not answer in time.

        """
        read = [(("whole", *_key(run, name)), partial(self._read_whole, run, name)) for run, name in wanted]
        found = self._reads.all(read, _PATIENCE_SECONDS)
        if (values := sum(each.of for each in found)) > MOST_WHOLE:
            raise TooLong(
                f"these courses have {values:,} values, and {MOST_WHOLE:,} are the most of one table: ask for fewer "
                "runs, or MLflow itself, with `mlflow.MlflowClient().get_metric_history(run_id, metric)`"
            )
        return found

    def _read_whole(self, run: LoggedRun, metric: str) -> Course:
        return Course.whole(self._history.course(run, metric))

    def _read(self, key: tuple[str, ...], run: LoggedRun, metric: str) -> Course:
        found = Course.through(self._history.course(run, metric))
        if not run.status.is_open:
            # Here, not where it is waited for: what comes too late is there for who asks again.
            self._kept.keep(key, found, inf)
        return found


def _key(run: LoggedRun, metric: str) -> tuple[str, ...]:
    """Return what is another one where something was logged to a run after its end, or the run went on."""
    return ("course", run.id, metric, str(run.finished_at), repr(run.metrics.get(metric)))
