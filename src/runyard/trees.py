"""Parent runs and their children: which runs are one experiment's, seen as a whole."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from runyard.history import LoggedRun


@dataclass(frozen=True)
class Tree:
    """A run that is no part of another one that was looked at, and all below it."""

    root: LoggedRun
    below: tuple[LoggedRun, ...] = ()

    @property
    def runs(self) -> tuple[LoggedRun, ...]:
        """All of them, the root first."""
        return (self.root, *self.below)


def trees(runs: Iterable[LoggedRun]) -> list[Tree]:
    """Return the runs by the run that they are a part of in the end, in the order in which those came."""
    by_id = {run.id: run for run in runs}
    below: dict[str, list[LoggedRun]] = {}
    for run in by_id.values():
        above = ancestors(run, by_id)
        if above:
            below.setdefault(above[-1].id, []).append(run)
        else:
            below.setdefault(run.id, [])
    return [Tree(by_id[root], tuple(below[root])) for root in by_id if root in below]


def topmost(runs: Iterable[LoggedRun], holds: Callable[[LoggedRun], object]) -> list[LoggedRun]:
    """Return the runs for which something holds that holds for none of those that they are a part of."""
    by_id = {run.id: run for run in runs}
    return [run for run in by_id.values() if holds(run) and not any(map(holds, ancestors(run, by_id)))]


def ancestors(run: LoggedRun, by_id: Mapping[str, LoggedRun]) -> list[LoggedRun]:
    """Return a run's parent, that one's parent and so on, as far as they are known.

    Anybody can write the tag that names a parent: runs that are each other's parents have none.
    """
    found: list[LoggedRun] = []
    seen = {run.id}
    while (parent := by_id.get(run.parent_id or "")) is not None:
        if parent.id in seen:
            return []
        seen.add(parent.id)
        found.append(parent)
        run = parent
    return found
