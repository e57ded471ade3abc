"""Which earlier run is the result of a training that asks for the same, and what a status says of it."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from runyard.api.duplicates import fingerprint
from runyard.api.facts import JobFacts, JobState
from runyard.api.outcome import Outcome, Reason, ReusedFrom
from runyard.api.records import MANIFEST_FINGERPRINT_TAG, NAME_TAG, NAMESPACE_TAG, OUTCOME_TAG, Run, RunStatus
from runyard.api.requirements import missing
from runyard.api.trainingrun import Tracking, TrainingRun

_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def result_tags(run: TrainingRun) -> dict[str, str]:
    """Return the tags by which the result of a training that succeeded is found again."""
    told = run.status.fingerprint or ""
    return {MANIFEST_FINGERPRINT_TAG: told if _FINGERPRINT.fullmatch(told) else fingerprint(run.spec)}


def expression(run: TrainingRun) -> str:
    """Return MLflow's filter for the runs that may be the result of a training."""
    return " AND ".join(
        [
            *(f"tags.`{tag}` = '{value}'" for tag, value in result_tags(run).items()),
            f"tags.`{OUTCOME_TAG}` = '{Outcome.SUCCEEDED}'",
            f"attributes.status = '{RunStatus.FINISHED}'",
        ]
    )


def earliest(runs: Sequence[Run], wanted: Tracking) -> Run | None:
    """Return which of the runs with a fingerprint is the result: the first that finished well and has what is wanted.

    Anybody may write tags: which runs are looked at, and what that is worth, docs/provenance.md says.
    """
    good = [
        found
        for found in runs
        if found.status is RunStatus.FINISHED
        and found.tags.get(OUTCOME_TAG) == Outcome.SUCCEEDED
        and not found.is_deleted
        and missing(wanted, [found]) is None
    ]
    return min(good, key=lambda found: (found.start_time_ms, found.id), default=None)


def reused_from(run: Run, url: str | None) -> ReusedFrom:
    """Return what a status says of the run that its result is from."""
    namespace, name = (_named(run.tags, tag) for tag in (NAMESPACE_TAG, NAME_TAG))
    return ReusedFrom(run_id=run.id, namespace=namespace, name=name, url=url)


def job_facts(found: ReusedFrom, now: datetime) -> JobFacts:
    """Return what stands in the place of a Job, where none is made."""
    return JobFacts(
        state=JobState.COMPLETE,
        reason=Reason.REUSED,
        message=_message(found),
        finished_at=now,
        reused_from=found,
    )


def _message(found: ReusedFrom) -> str:
    """Say where a result is from."""
    whose = f" of {found.namespace}/{found.name}" if found.namespace and found.name else ""
    return f"nothing was trained: run {found.run_id}{whose} is the result, by a manifest with the same fingerprint"


def _named(tags: Mapping[str, str], tag: str) -> str | None:
    found = tags.get(tag, "")
    return found if _NAME.fullmatch(found) else None
