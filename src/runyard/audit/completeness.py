"""Whether of each attempt of a TrainingRun there is what should be: its end, its log, its manifest, its results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runyard.api.outcome import Outcome
from runyard.api.records import ASSIGNED, MADE_TAG, OUTCOME_TAG, POD_TAG, UID_TAG
from runyard.audit.folders import Folder
from runyard.audit.measures import Finding, Measure, Name, counted, lacking, listed
from runyard.history import LoggedRun
from runyard.trees import trees


class Part(StrEnum):
    """What there should be."""

    OUTCOME = "outcome"
    LOG = "log"
    MANIFEST = "manifest"
    RESULTS = "results"


_REMEDY = (
    "`runyard show RUN` lists what is there. Without log and manifest the artifact store was out of reach, or the "
    "files were deleted; without an outcome the operator was not there at the end; missing results are what the "
    "TrainingRun asks for in `tracking.requireModel` and `requireMetrics`."
)


@dataclass(frozen=True)
class Attempt:
    """The runs of one pod, or of a whole TrainingRun that all its pods logged into one run.

    Attributes:
        chief: the run that has the log and the manifest.
        runs: all of them.
        pod: the UID of the pod; empty of a TrainingRun with one run.

    """

    chief: LoggedRun
    runs: tuple[LoggedRun, ...]
    pod: str = ""

    @property
    def has_succeeded(self) -> bool:
        """Whether its pod did."""
        return self.chief.tags.get(OUTCOME_TAG) == Outcome.SUCCEEDED


def attempts(runs: Iterable[LoggedRun]) -> list[Attempt]:
    """Return the attempts of TrainingRuns that have ended; runs of other origin are in none."""
    return [attempt for attempt in every(runs) if not attempt.chief.status.is_open]


def every(runs: Iterable[LoggedRun]) -> list[Attempt]:
    """Return all attempts of TrainingRuns, those that go on included."""
    ours = [run for run in runs if run.tags.get(UID_TAG)]
    assigned = {run.tags[UID_TAG]: run for run in ours if run.tags.get(MADE_TAG) == ASSIGNED}
    groups: dict[tuple[str, str], list[LoggedRun]] = {}
    for run in ours:
        uid = run.tags[UID_TAG]
        groups.setdefault((uid, "" if uid in assigned else run.tags.get(POD_TAG, "")), []).append(run)
    return [Attempt(assigned.get(uid) or _chief(group), tuple(group), pod) for (uid, pod), group in groups.items()]


def _chief(runs: Sequence[LoggedRun]) -> LoggedRun:
    """Return the run that stands for an attempt: the last that was started and has no parent among them."""
    ids = {run.id for run in runs}
    roots = [run for run in runs if run.parent_id not in ids]
    return max(roots or runs, key=lambda run: (run.started_at, run.id))


def lacks(attempt: Attempt, folder: Folder) -> dict[Part, str]:
    """Return what is missing of an attempt, with words for each."""
    found = {}
    if OUTCOME_TAG not in attempt.chief.tags:
        found[Part.OUTCOME] = "outcome"
    if not folder.has_log:
        found[Part.LOG] = "log"
    if not folder.has_manifest:
        found[Part.MANIFEST] = "manifest"
    if attempt.has_succeeded and folder.asked:
        logged = {name for run in attempt.runs for name in run.metrics}
        words = [f"metric {name}" for name in folder.asked.require_metrics if name not in logged]
        if folder.asked.require_model and not any(run.model for run in attempt.runs):
            words.append("model")
        if words:
            found[Part.RESULTS] = listed(words, 3)
    return found


def completeness(
    runs: Sequence[LoggedRun],
    elsewhere: Sequence[LoggedRun],
    folders: Mapping[str, Folder],
    unread: Mapping[str, str],
) -> Measure:
    """Measure what share of the attempts that have ended has all that there should be.

    Args:
        runs: all that are looked at.
        elsewhere: further runs of the same attempts, in other experiments or from before.
        folders: what was read of the attempts' runs, by ID.
        unread: why nothing could be read of some, by ID; they are not counted.

    """
    begun = every([*runs, *elsewhere])
    ended = [attempt for attempt in begun if not attempt.chief.status.is_open]
    going_on = len(begun) - len(ended)
    judged = [attempt for attempt in ended if attempt.chief.id not in unread]
    found = [
        (attempt, short) for attempt in judged if (short := lacks(attempt, folders.get(attempt.chief.id, Folder())))
    ]
    worst = sorted(found, key=lambda one: (-len(one[1]), -one[0].chief.started_at.timestamp(), one[0].chief.id))
    by_part = {part.value: sum(part in short for _, short in found) for part in Part}
    others = sum(not any(run.tags.get(UID_TAG) for run in tree.runs) for tree in trees(runs))
    apart = len(ended) - len(judged)
    not_read = f" The artifacts of {counted(apart, 'attempt')} could not be read." if apart else ""
    not_ended = f" {counted(going_on, 'attempt')} not ended." if going_on else ""
    not_ours = f" {counted(others, 'run')} of no TrainingRun not counted." if others else ""
    return Measure(
        name=Name.COMPLETENESS,
        count=len(judged) - len(found),
        of=len(judged),
        what="ended attempts of TrainingRuns",
        meaning=(f"{lacking(len(found), len(judged), 'ended attempt', by_part)}{not_read}{not_ended}{not_ours}"),
        remedy=_REMEDY,
        behind=tuple(
            Finding((attempt.chief.id,), attempt.chief.name, f"no {listed(list(short.values()))}")
            for attempt, short in worst
        ),
        facts={**by_part, "unread": apart, "open": going_on, "others": others},
    )
