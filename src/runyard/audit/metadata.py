"""Which runs lack what somebody would need to get their result again, and to know it when it comes."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

from runyard.api.model import JsonObject, as_object
from runyard.api.records import RunStatus
from runyard.audit.folders import Folder
from runyard.audit.measures import Finding, Measure, Name, counted, lacking, listed
from runyard.comparison import of_result
from runyard.history import LoggedRun
from runyard.provenance import FINGERPRINT_TAG
from runyard.trees import Tree, topmost, trees

COMMIT_TAG = "mlflow.source.git.commit"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Field(StrEnum):
    """What a run should have: the five kinds of things that decide a result, the result, and the hash of them all."""

    COMMIT = "commit"
    PARAMETERS = "parameters"
    SEEDS = "seeds"
    DATASETS = "datasets"
    ENVIRONMENT = "environment"
    METRICS = "metrics"
    FINGERPRINT = "fingerprint"


_REMEDY = (
    "`provenance.log(seeds=…, datasets=…)` in the script records all of it but parameters and metrics, which "
    "`mlflow.log_params` and `mlflow.log_metrics` do."
)


def recorded(provenance: JsonObject) -> frozenset[Field]:
    """Return what a run's provenance.json knows, of what tags, parameters and inputs need not say."""
    known = {
        Field.SEEDS: as_object(provenance.get("seeds")),
        Field.DATASETS: as_object(provenance.get("datasets")),
        Field.ENVIRONMENT: as_object(provenance.get("packages")),
    }
    return frozenset(name for name, value in known.items() if value)


def provided(run: LoggedRun, folder: Folder | None) -> frozenset[Field]:
    """Return the fields that a run itself has."""
    has = {
        Field.COMMIT: bool(run.tags.get(COMMIT_TAG)),
        Field.PARAMETERS: bool(run.params),
        Field.SEEDS: any(map(is_seed, run.params)),
        Field.DATASETS: any(run.datasets.values()),
        Field.METRICS: bool(of_result(run.metrics)),
        Field.FINGERPRINT: bool(run.tags.get(FINGERPRINT_TAG)),
    }
    own = frozenset(name for name, holds in has.items() if holds)
    return own | frozenset(Field(name) for name in folder.recorded) if folder else own


def is_seed(parameter: str) -> bool:
    """Whether a parameter's name says that it is a seed.

    >>> is_seed("seed"), is_seed("split/randomState"), is_seed("np_seed"), is_seed("seedling_count")
    (True, True, True, False)
    """
    words = [word.lower() for word in _WORD.findall(parameter)]
    return bool({"seed", "seeds"} & set(words)) or any(pair == ("random", "state") for pair in pairwise(words))


def to_read(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Return the runs whose provenance.json is to be read: who logged one has the tag, and speaks for its children."""
    finished = {run.id for tree in trees(runs) if tree.root.status is RunStatus.FINISHED for run in tree.runs}
    return [run for run in topmost(runs, lambda run: run.tags.get(FINGERPRINT_TAG)) if run.id in finished]


def missing(tree: Tree, folders: Mapping[str, Folder]) -> list[Field]:
    """Return what a run lacks: neither it has it, nor does every one of its children that finished, or theirs."""
    children: dict[str, list[LoggedRun]] = {}
    for run in tree.below:
        if run.status is RunStatus.FINISHED:
            children.setdefault(run.parent_id or "", []).append(run)
    held: dict[str, frozenset[Field]] = {}
    # From the lowest: what a run's children hold is known before it is asked for.
    for run in reversed(_downwards(tree.root, children)):
        shared = [held[child.id] for child in children.get(run.id, ())]
        own = provided(run, folders.get(run.id))
        held[run.id] = own | frozenset.intersection(*shared) if shared else own
    return [name for name in Field if name not in held[tree.root.id]]


def _downwards(root: LoggedRun, children: Mapping[str, Sequence[LoggedRun]]) -> list[LoggedRun]:
    """Return a run and what is below it, each after its parent."""
    found = [root]
    for run in found:
        found.extend(children.get(run.id, ()))
    return found


def metadata(runs: Sequence[LoggedRun], folders: Mapping[str, Folder], unread: Mapping[str, str]) -> Measure:
    """Measure what share of the runs that finished has every field.

    Args:
        runs: all that are looked at.
        folders: what was read of those that `to_read` names, by ID.
        unread: why nothing could be read of some, by ID; they are not counted.

    """
    finished = [tree for tree in trees(runs) if tree.root.status is RunStatus.FINISHED]
    judged = [tree for tree in finished if not any(run.id in unread for run in tree.runs)]
    found = [(tree, lacks) for tree in judged if (lacks := missing(tree, folders))]
    by_field = {name.value: sum(name in lacks for _, lacks in found) for name in Field}
    worst = sorted(found, key=lambda one: (-len(one[1]), -one[0].root.started_at.timestamp(), one[0].root.id))
    apart = len(finished) - len(judged)
    not_read = f" The artifacts of {counted(apart, 'run')} could not be read." if apart else ""
    return Measure(
        name=Name.METADATA,
        count=len(judged) - len(found),
        of=len(judged),
        what="finished runs",
        meaning=f"{lacking(len(found), len(judged), 'finished run', by_field)}{not_read}",
        remedy=_REMEDY,
        behind=tuple(
            Finding((tree.root.id,), tree.root.name, f"no {listed(lacks, at_most=len(Field))}") for tree, lacks in worst
        ),
        facts={**by_field, "unread": apart},
    )
