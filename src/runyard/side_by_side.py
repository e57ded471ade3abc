"""Several runs at once: what varies between them, and which is the best by what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runyard.api.direction import Direction, direction_of
from runyard.comparison import MACHINE_METRICS, NothingToCompare, varying, winners
from runyard.history import LoggedRun


@dataclass(frozen=True)
class SideBySide:
    """Runs, and what is to be looked at of them.

    Attributes:
        runs: two or more.
        outcomes: whether these are shown.
        datasets: names of those that are shown.
        params: names of those that are shown.
        metrics: names of those that are shown.
        same: how many parameters, datasets and metrics are left out, as they are the same in all.
        system: how many metrics of the machine are left out.

    """

    runs: tuple[LoggedRun, ...]
    outcomes: bool
    datasets: tuple[str, ...]
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    same: int
    system: int

    @property
    def directions(self) -> dict[str, Direction]:
        """Whether more or less is better, by metric, as its name says."""
        return {name: direction_of(name) for name in self.metrics}

    @property
    def best(self) -> dict[str, list[str]]:
        """IDs of the best runs by metric: several where they share it, none where all do."""
        return {name: [run.id for run in winners(self.runs, name)] for name in self.metrics}


def side_by_side(runs: Iterable[LoggedRun], metrics: Sequence[str] = (), *, everything: bool = False) -> SideBySide:
    """Put runs beside each other.

    Args:
        runs: one that comes twice counts once.
        metrics: names of those to look at; none: those that vary, but for the machine's.
        everything: also what is the same in all, and the machine's metrics.

    Raises:
        NothingToCompare: there are not two runs, or none of them has a metric that was named.

    """
    found = tuple({run.id: run for run in runs}.values())
    if len(found) < 2:  # noqa: PLR2004 it takes two
        raise NothingToCompare(f"comparing takes two runs or more, and there {'is 1' if found else 'are none'}")
    there = metric_names(found)
    if missing := [name for name in metrics if name not in there]:
        raise NothingToCompare(f'no run has the metric "{missing[0]}"; there are: {", ".join(there) or "none"}')
    datasets = _shown([run.datasets for run in found], everything=everything)
    params = _shown([run.params for run in found], everything=everything)
    wanted = list(dict.fromkeys(metrics)) or [
        name for name in there if everything or not name.startswith(MACHINE_METRICS)
    ]
    values = [{name: repr(run.metrics[name]) for name in wanted if name in run.metrics} for run in found]
    shown = wanted if metrics else _shown(values, everything=everything)
    every = len({name for run in found for name in (*run.params, *run.datasets)})
    return SideBySide(
        runs=found,
        outcomes=everything or len({run.outcome for run in found}) > 1,
        datasets=tuple(datasets),
        params=tuple(params),
        metrics=tuple(shown),
        same=every - len(datasets) - len(params) + len(wanted) - len(shown),
        system=0 if metrics or everything else sum(name.startswith(MACHINE_METRICS) for name in there),
    )


def metric_names(runs: Iterable[LoggedRun]) -> list[str]:
    """Return the names of all metrics of several runs."""
    return sorted({name for run in runs for name in run.metrics})


def _shown(values: Sequence[Mapping[str, str]], *, everything: bool) -> list[str]:
    return sorted({name for found in values for name in found}) if everything else varying(values)
