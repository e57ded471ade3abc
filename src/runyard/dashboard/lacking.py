"""What a run lacks to be repeated, as the audit has it, why that matters and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter
from pydantic import Field as Described

from runyard.api.records import RunStatus
from runyard.audit.folders import Folder
from runyard.audit.metadata import Field, missing, recorded
from runyard.dashboard import answers, api
from runyard.dashboard.api import RunId, TheSite
from runyard.errors import ProvenanceUnavailable
from runyard.history import UnreadableArtifact
from runyard.provenance import FINGERPRINT_TAG
from runyard.provenance.records import ARTIFACT, LARGEST_BYTES, parsed
from runyard.trees import Tree, ancestors, topmost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.dashboard.site import Site, View
    from runyard.history import LoggedRun

router = APIRouter(responses=api.UNANSWERED)
# Each is a folder that is read while somebody waits.
_MOST_READ = 12

# Why each is needed, and how a script comes to have it.
_WHY: Mapping[Field, tuple[str, str]] = {
    Field.COMMIT: (
        "Nobody knows which code was trained.",
        "Keep the script in git, and call `provenance.log()` in it; a TrainingRun's `spec.source` fetches a commit.",
    ),
    Field.PARAMETERS: ("Nobody knows what was set.", "`mlflow.log_params({…})`, or autologging."),
    Field.SEEDS: (
        "Chance decides where a training begins and what it sees first: with another seed another model comes.",
        '`provenance.log(seeds={"numpy": 7})`, or a parameter that is called a seed or a random state.',
    ),
    Field.DATASETS: (
        "The same code makes another model of other rows, and nobody would notice.",
        '`provenance.log(datasets={"train": path})`, `mlflow.log_input(…)`, or `spec.datasets` of a TrainingRun.',
    ),
    Field.ENVIRONMENT: (
        "Another version of a package may compute something else.",
        "`provenance.log()` records all packages, Python and the image.",
    ),
    Field.METRICS: (
        "Nobody can tell whether the same came of it.",
        '`mlflow.log_metric("accuracy", …)`, or `evaluation.log(…)`.',
    ),
    Field.FINGERPRINT: (
        "What was done already cannot be found before it is done again.",
        "`provenance.log()` tags the run with the hash of all that decides its result.",
    ),
}


class Lack(answers.Answer):
    """One thing that a run lacks."""

    field: str
    why: Annotated[str, Described(description="why nobody can get the result again without it, or know it")]
    remedy: Annotated[str, Described(description="what to do in the next run")]


class Lacks(answers.Answer):
    """What a run lacks to be repeated."""

    judged: Annotated[str, Described(description="the ID of the run that is judged with all below it")]
    is_whole: Annotated[bool, Described(description="whether all that could tell was read")]
    lacks: list[Lack]


@dataclass(frozen=True)
class Standing:
    """How far a run can be repeated.

    Attributes:
        judged: the run that is judged with all below it: itself, or what it is a part of in the end.
        lacks: what that has not.
        unread: why some of what could tell was not read; empty where all was.

    """

    judged: LoggedRun
    lacks: tuple[Lack, ...] = ()
    unread: str = ""


def stand(site: Site, view: View, run: LoggedRun) -> Standing:
    """Find out how far a run can be repeated.

    Raises:
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """
    above = ancestors(run, view.runs.by_id)
    root = above[-1] if above else run
    below = [run if each.id == run.id else each for each in _below(root, view)]
    told = topmost([root, *below], lambda one: one.tags.get(FINGERPRINT_TAG))
    told = [one for one in told if one is root or one.status is RunStatus.FINISHED]
    read, unread = _read(site, told[:_MOST_READ])
    if len(told) > _MOST_READ:
        unread = f"of {len(told)} runs below it the first {_MOST_READ} were looked into: `runyard audit` reads all"
    tree = Tree(root, tuple(below))
    return Standing(root, tuple(lack(name) for name in missing(tree, read)), unread)


def lack(field: Field) -> Lack:
    """Return what is to be said of something that a run lacks."""
    why, remedy = _WHY[field]
    return Lack(field=field.value, why=why, remedy=remedy)


def _below(root: LoggedRun, view: View) -> list[LoggedRun]:
    """Return the runs that are a part of another one in the end."""
    known = view.runs.by_id
    others = [run for run in view.runs.by_experiment.get(root.experiment, ()) if run.parent_id]
    return [run for run in others if (above := ancestors(run, known)) and above[-1].id == root.id]


def _read(site: Site, runs: Sequence[LoggedRun]) -> tuple[dict[str, Folder], str]:
    """Return what runs recorded, by ID, and why some could not be read."""

    def one(run: LoggedRun) -> Folder | str:
        try:
            content = site.history.content(run, ARTIFACT, LARGEST_BYTES)
            return Folder(recorded=frozenset(recorded(parsed(content, run.id)) if content else ()))
        except (ProvenanceUnavailable, UnreadableArtifact) as damaged:
            return str(damaged)

    asked = [(("provenance", run.id), partial(one, run)) for run in runs]
    found = dict(zip((run.id for run in runs), site.reads.all(asked), strict=True))
    damaged = next((each for each in found.values() if isinstance(each, str)), "")
    return {run_id: each for run_id, each in found.items() if isinstance(each, Folder)}, damaged


@router.get("/runs/{run_id}/lacks")
def lacks(site: TheSite, run_id: RunId) -> Lacks:
    """Return what a run lacks to be repeated."""
    found = stand(site, site.look_and_ask(), site.run(run_id))
    return Lacks(judged=found.judged.id, is_whole=not found.unread, lacks=list(found.lacks))
