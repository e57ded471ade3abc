"""The story that `kubectl describe` tells: each step once."""

from itertools import pairwise

import pytest

from runyard.api.facts import JobFacts, JobState, Missing, TrackingFacts
from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard.api.status import assemble
from runyard_operator.events import between
from tests.support.factories import at, attempt, training_run

NOTHING = TrainingRunStatus()


def status(
    state: JobState,
    *attempts: Attempt,
    reason: str | None = None,
    problem: str | None = None,
    missing: Missing | None = None,
) -> TrainingRunStatus:
    job = JobFacts(state=state, name="wine-0123", reason=reason, started_at=at(0), finished_at=at(60))
    return assemble(training_run(), job, attempts, TrackingFacts(problem=problem, missing=missing), at(0))


pending = attempt(outcome=Outcome.PENDING)
running = attempt(outcome=Outcome.RUNNING, node="node-1")
stuck, also_stuck = (
    attempt(name, Outcome.PENDING, message='CreateContainerConfigError: secret "s" not found')
    for name in ("wine-1", "wine-2")
)
succeeded = attempt(outcome=Outcome.SUCCEEDED, reason="Completed", exit_code=0, run_id="r1")
recorded = succeeded.model_copy(update={"recorded_at": at(9)})
failed = attempt(outcome=Outcome.FAILED, reason="Error", exit_code=3, message="ValueError: no")
evicted = attempt(outcome=Outcome.CANCELLED, reason="Evicted")
second = attempt("wine-2", Outcome.RUNNING, node="node-2")
begun = status(JobState.RUNNING)


def lines(before: TrainingRunStatus, after: TrainingRunStatus) -> list[str]:
    return [f"{event.kind} {event.reason}: {event.note}" for event in between(before, after, retries=1)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(NOTHING, begun, [], id="the Job is made"),
        pytest.param(begun, status(JobState.RUNNING, pending), [], id="a pod is made"),
        pytest.param(
            status(JobState.RUNNING, pending),
            status(JobState.RUNNING, running),
            [],
            id="it runs",
        ),
        pytest.param(
            status(JobState.RUNNING, pending),
            status(JobState.RUNNING, stuck, also_stuck),
            [f"Warning CannotBegin: Pod wine-1 begins once this is mended: {stuck.message}"],
            id="a Secret is missing",
        ),
        pytest.param(
            status(JobState.RUNNING, stuck), status(JobState.RUNNING, stuck, also_stuck), [], id="of another worker too"
        ),
        pytest.param(status(JobState.RUNNING, stuck), status(JobState.RUNNING, running), [], id="the Secret is there"),
        pytest.param(
            status(JobState.RUNNING, running),
            status(JobState.RUNNING, failed, second),
            ["Warning AttemptFailed: Pod wine-1 ended: Error, exit code 3"],
            id="it fails and is tried again",
        ),
        pytest.param(
            status(JobState.RUNNING, running),
            status(JobState.RUNNING, evicted),
            ["Warning AttemptFailed: Pod wine-1 ended: Evicted"],
            id="it is evicted",
        ),
        pytest.param(
            status(JobState.RUNNING, running),
            status(JobState.COMPLETE, succeeded),
            ["Normal Succeeded: The training succeeded in 1m; its run is r1"],
            id="it succeeds",
        ),
        pytest.param(
            status(JobState.COMPLETE, succeeded),
            status(JobState.COMPLETE, recorded),
            [],
            id="MLflow agrees, as it should",
        ),
        pytest.param(
            status(JobState.COMPLETE, succeeded, problem="MLflow is down"),
            status(JobState.COMPLETE, recorded),
            ["Normal Tracked: MLflow agrees with 1 attempt"],
            id="MLflow agrees at last",
        ),
        pytest.param(
            status(JobState.COMPLETE, succeeded),
            status(JobState.COMPLETE, succeeded, problem="MLflow is down"),
            ["Warning NotTracked: MLflow is down"],
            id="MLflow is down",
        ),
        pytest.param(
            status(JobState.COMPLETE, succeeded, problem="MLflow is down"),
            status(JobState.COMPLETE, succeeded, problem="MLflow is still down"),
            [],
            id="MLflow is down for longer",
        ),
        pytest.param(
            status(JobState.COMPLETE, succeeded, problem="MLflow is down"),
            status(JobState.COMPLETE, recorded, missing=Missing(Reason.METRICS_MISSING, "without f1")),
            ["Warning NotTracked: without f1"],
            id="MLflow is back, and something is missing",
        ),
        pytest.param(
            status(JobState.RUNNING, failed),
            status(JobState.FAILED, failed),
            ["Warning Failed: Error: exit code 3: ValueError: no"],
            id="it has failed",
        ),
        pytest.param(
            status(JobState.RUNNING, evicted),
            status(JobState.FAILED, evicted),
            ["Warning Failed: Evicted"],
            id="it has failed, and nothing more is known",
        ),
        pytest.param(
            begun,
            status(JobState.SUSPENDED),
            ["Normal Suspended: No pod runs until spec.suspend is false"],
            id="it is suspended",
        ),
        pytest.param(NOTHING, status(JobState.SUSPENDED), [], id="it is suspended from the beginning"),
        pytest.param(status(JobState.SUSPENDED), begun, [], id="it goes on"),
    ],
)
def test_each_step_is_told(before: TrainingRunStatus, after: TrainingRunStatus, expected: list[str]) -> None:
    assert lines(before, after) == expected


@pytest.mark.parametrize(
    ("ended", "retries", "told"),
    [
        (failed, 0, []),
        (failed, 1, ["AttemptFailed"]),
        (evicted, 0, ["AttemptFailed"]),
        (attempt(outcome=Outcome.CANCELLED, reason="PodDeleted"), 0, ["AttemptFailed"]),
        (attempt(outcome=Outcome.CANCELLED, reason="Cancelled"), 1, []),
        (attempt(outcome=Outcome.CANCELLED, reason="Suspended"), 1, []),
        (succeeded, 1, []),
    ],
)
def test_an_attempts_end_is_told_where_no_other_event_tells_it(ended: Attempt, retries: int, told: list[str]) -> None:
    found = between(status(JobState.RUNNING, running), status(JobState.RUNNING, ended), retries=retries)
    assert [event.reason for event in found] == told


def test_a_status_seen_twice_tells_nothing() -> None:
    for found in (begun, status(JobState.RUNNING, failed, second), status(JobState.COMPLETE, recorded)):
        assert lines(found, found) == []


def test_many_attempts_are_told_once_each() -> None:
    attempts = [attempt(f"wine-{number:02}", Outcome.FAILED, reason="Error", exit_code=1) for number in range(13)]
    story = [NOTHING, *(status(JobState.RUNNING, *attempts[: number + 1]) for number in range(13))]
    told = [event for before, after in pairwise(story) for event in between(before, after, retries=20)]
    assert [event.note.split()[1] for event in told] == [found.pod for found in attempts]
