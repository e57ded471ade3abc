"""Whose runs are whose, and what is left for somebody who may not see those of all. Decisions, on values.

A run is of the namespace that its tag names, which the operator writes to all runs of trainings and sweeps; without one
of that of the run that it is a part of. One of nobody, from a laptop or made by hand, is everybody's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runyard.api.records import NAMESPACE_TAG, SWEEP_NAMESPACE_TAG
from runyard.dashboard.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from runyard.api.alias_history import Entry
    from runyard.audit import Evidence
    from runyard.history import LoggedRun
    from runyard.registry import Listed

NOBODY = ""
# Deeper than any script goes.
_MOST_ABOVE = 50


def owner(run: LoggedRun, find: Callable[[str], LoggedRun | None]) -> str | None:
    """Return the namespace that a run is of; `NOBODY`: none. None where that cannot be told: it is hidden then.

    Args:
        run: whose.
        find: returns a run by its ID; None where it is not there.

    """
    above: set[str] = {run.id}
    while len(above) <= _MOST_ABOVE:
        if named := run.tags.get(NAMESPACE_TAG) or run.tags.get(SWEEP_NAMESPACE_TAG):
            return named
        if not run.parent_id or run.parent_id in above:
            return NOBODY
        above.add(run.parent_id)
        parent = find(run.parent_id)
        if parent is None:
            return None
        run = parent
    return None


def owners(runs: Runs) -> Mapping[str, str | None]:
    """Return the namespace of each of the runs in memory, by its ID, as `owner` does."""
    found = runs.answers.get("owners")
    if not isinstance(found, dict):
        found = runs.answers["owners"] = {run.id: owner(run, runs.by_id.get) for run in runs.every}
    return found


def named(owned: Iterable[str | None]) -> list[str]:
    """Return the namespaces that are named, each once, in the order in which they come."""
    return [name for name in dict.fromkeys(owned) if name]


def is_shown(owned: str | None, namespaces: Collection[str]) -> bool:
    """Whether what is of a namespace is shown to who may see some.

    >>> is_shown("a", {"a"}), is_shown("b", {"a"}), is_shown("", {"a"}), is_shown(None, {"a"})
    (True, False, True, False)
    """
    return owned is not None and (owned == NOBODY or owned in namespaces)


def only(runs: Runs, namespaces: frozenset[str]) -> Runs:
    """Return the runs of some namespaces, and those of nobody; computed once for all who may see the same."""
    key = ("only", namespaces)
    found = runs.answers.get(key)
    if not isinstance(found, Runs):
        of = owners(runs)
        shown = tuple(run for run in runs.every if is_shown(of[run.id], namespaces))
        found = runs.answers[key] = replace(runs, every=shown, has_others=runs.has_more, answers={})
    return found


def versions_of(model: Listed, numbers: Collection[int]) -> Listed:
    """Return a registered model with the aliases and moves of some of its versions alone."""
    return replace(
        model,
        aliases={alias: number for alias, number in model.aliases.items() if number in numbers},
        history=[entry for entry in model.history if _moved(entry) in numbers],
    )


def _moved(entry: Entry) -> int | None:
    """Return the version that a move is about: which got the alias, or lost it."""
    return entry.record.instead_of if entry.record.version is None else entry.record.version


def evidence_of(evidence: Evidence, shows: Callable[[LoggedRun], bool]) -> Evidence:
    """Return what an audit is taken of, with the runs alone that are shown, and the versions that are of these."""

    def shown(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
        return [run for run in runs if shows(run)]

    runs, elsewhere, before = shown(evidence.runs), shown(evidence.elsewhere), shown(evidence.before)
    kept = {run.id for run in (*runs, *elsewhere, *before)}
    return replace(
        evidence,
        runs=runs,
        elsewhere=elsewhere,
        before=before,
        folders={run_id: each for run_id, each in evidence.folders.items() if run_id in kept},
        unread={run_id: each for run_id, each in evidence.unread.items() if run_id in kept},
        versions=[
            replace(version, experiment_runs=shown(version.experiment_runs))
            for version in evidence.versions
            # One of a run that is gone is of nobody knows whom.
            if (shows(version.run) if version.run else not version.run_id)
        ],
    )
