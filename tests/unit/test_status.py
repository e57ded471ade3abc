"""The status that facts amount to: what a person reads, and what a program waits for."""

import json
from datetime import datetime
from typing import Any

import pytest

from runyard.api.datasets import FetchedDataset
from runyard.api.facts import JobFacts, JobState, Missing, TrackingFacts
from runyard.api.outcome import Attempt, Outcome, Reason, TrackingStatus, TrainingRunStatus
from runyard.api.source import ResolvedSource
from runyard.api.status import assemble, doubted, is_final, is_settled, is_told, refused
from runyard.api.trainingrun import TrainingRun
from runyard.errors import Problem
from tests.support.factories import at, attempt, condition, training_run

WAITING, RUNNING, SUSPENDED = JobState.WAITING, JobState.RUNNING, JobState.SUSPENDED
COMPLETE, FAILED = JobState.COMPLETE, JobState.FAILED

LATER = at(500)

pending = attempt(outcome=Outcome.PENDING)
unscheduled = attempt(outcome=Outcome.PENDING, message="Unschedulable: no room")
running = attempt(outcome=Outcome.RUNNING)
completed = attempt(outcome=Outcome.SUCCEEDED, reason="Completed", exit_code=0, finished_at=at(60))
errored = attempt(outcome=Outcome.FAILED, reason="Error", exit_code=3, message="ValueError: no", finished_at=at(60))
evicted = attempt(outcome=Outcome.CANCELLED, reason="Evicted", finished_at=at(60))
second = attempt("wine-2", Outcome.RUNNING)


def status_of(
    job: JobFacts, *attempts: Attempt, run: TrainingRun | None = None, now: datetime = LATER, **tracking: Any
) -> TrainingRunStatus:
    return assemble(run or training_run(), job, attempts, TrackingFacts(**tracking), now)


def after(status: TrainingRunStatus) -> TrainingRun:
    return training_run(status=status)


def said(status: TrainingRunStatus, kind: str) -> tuple[str, str, str]:
    found = status.condition(kind)
    assert found is not None
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("job", "attempts", "phase", "verdict", "message"),
    [
        pytest.param(JobFacts(state=WAITING), [], "Pending", ("Unknown", "Pending"), None, id="not begun"),
        pytest.param(JobFacts(state=RUNNING), [], "Pending", ("Unknown", "Pending"), None, id="without a pod"),
        pytest.param(JobFacts(state=RUNNING), [pending], "Pending", ("Unknown", "Pending"), None, id="a pod is made"),
        pytest.param(
            JobFacts(state=RUNNING),
            [unscheduled],
            *("Pending", ("Unknown", "Pending"), "Unschedulable: no room"),
            id="no room for it",
        ),
        pytest.param(JobFacts(state=RUNNING), [running], "Running", ("Unknown", "Running"), None, id="running"),
        pytest.param(
            JobFacts(state=RUNNING),
            [errored],
            *("Pending", ("Unknown", "AttemptEnded"), "attempt wine-1 ended: Error"),
            id="between two attempts",
        ),
        pytest.param(
            JobFacts(state=RUNNING), [errored, second], "Running", ("Unknown", "Running"), None, id="tried again"
        ),
        pytest.param(
            JobFacts(state=SUSPENDED),
            [],
            *("Suspended", ("Unknown", "Suspended"), "no pod runs until spec.suspend is false"),
            id="suspended",
        ),
        pytest.param(JobFacts(state=COMPLETE), [completed], "Succeeded", ("True", "Completed"), None, id="succeeded"),
        pytest.param(
            JobFacts(state=COMPLETE),
            [errored, completed],
            "Succeeded",
            ("True", "Completed"),
            None,
            id="succeeded at last",
        ),
        pytest.param(
            JobFacts(state=FAILED),
            [errored],
            "Failed",
            ("False", "Error"),
            "exit code 3: ValueError: no",
            id="failed as its last attempt",
        ),
        pytest.param(
            JobFacts(state=FAILED),
            [errored.model_copy(update={"exit_code": 137})],
            "Failed",
            ("False", "Error"),
            "exit code 137 (killed: from outside, or out of memory): ValueError: no",
            id="killed, by whom nobody said",
        ),
        pytest.param(
            JobFacts(state=FAILED), [errored, evicted], "Failed", ("False", "Evicted"), None, id="the last one counts"
        ),
        pytest.param(
            JobFacts(state=FAILED, reason="DeadlineExceeded", message="too late"),
            [errored],
            *("Failed", ("False", "DeadlineExceeded"), "too late"),
            id="the Job's own reason goes before its attempts'",
        ),
        pytest.param(JobFacts(state=FAILED), [], "Failed", ("False", "Error"), None, id="failed without a pod"),
    ],
)
def test_phase_verdict_and_message(
    job: JobFacts, attempts: list[Attempt], phase: str, verdict: tuple[str, str], message: str | None
) -> None:
    found = status_of(job, *attempts)
    assert (found.phase, said(found, "Succeeded"), found.message) == (phase, (*verdict, message or ""), message)
    assert said(found, "Running")[:2] == ("True" if phase == "Running" else "False", phase)
    assert said(found, "Accepted")[0] == "True"
    assert is_final(found) is (verdict[0] != "Unknown")


def test_a_pod_that_completed_is_not_said_to_be_retried() -> None:
    found = status_of(JobFacts(state=RUNNING), completed)
    assert (found.phase, said(found, "Succeeded")[:2], found.message) == ("Running", ("Unknown", "Running"), None)


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = status_of(JobFacts(state=RUNNING), pending, now=at(1))
    later = status_of(JobFacts(state=RUNNING), running, run=after(first), now=at(2))
    last = status_of(JobFacts(state=COMPLETE), completed, run=after(later), now=at(3))
    times = {
        kind: [found.last_transition_time for status in (first, later, last) if (found := status.condition(kind))]
        for kind in ("Accepted", "Running", "Succeeded", "Tracked")
    }
    assert times == {
        "Accepted": [at(1), at(1), at(1)],
        "Running": [at(1), at(2), at(3)],
        "Succeeded": [at(1), at(1), at(3)],
        "Tracked": [at(1), at(1), at(1)],
    }


def test_a_changed_reason_alone_moves_no_time() -> None:
    first = status_of(JobFacts(state=RUNNING), pending, now=at(1))
    later = status_of(JobFacts(state=SUSPENDED), run=after(first), now=at(2))
    found = later.condition("Succeeded")
    assert found is not None
    assert (found.reason, found.last_transition_time) == ("Suspended", at(1))


def test_the_same_facts_give_the_same_status() -> None:
    first = status_of(JobFacts(state=RUNNING, name="j", started_at=at(0)), running, now=at(1))
    assert status_of(JobFacts(state=RUNNING, name="j", started_at=at(0)), running, run=after(first), now=at(2)) == first


def numbered(count: int, **fields: Any) -> list[Attempt]:
    return [attempt(f"wine-{number:02}", Outcome.FAILED, reason="Error", **fields) for number in range(count)]


def test_the_last_ten_attempts_are_kept() -> None:
    found = status_of(JobFacts(state=RUNNING), *numbered(12, recorded_at=at(90)))
    assert [one.pod for one in found.attempts] == [f"wine-{number:02}" for number in range(2, 12)]


def test_what_mlflow_does_not_agree_with_yet_is_kept_and_all_after_it() -> None:
    recorded = numbered(13, recorded_at=at(90))
    attempts = [*recorded[:1], *numbered(2)[1:], *recorded[2:]]
    assert status_of(JobFacts(state=RUNNING), *attempts).attempts == attempts[1:]


def test_all_attempts_are_counted_once() -> None:
    attempts = numbered(13, recorded_at=at(90))
    status = TrainingRunStatus()
    for number in range(1, 13):
        shown = attempts[max(number - 11, 0) : number]
        status = status_of(JobFacts(state=RUNNING), *shown, run=after(status))
    assert status.attempt_count == 12
    assert status_of(JobFacts(state=RUNNING), *attempts[2:12], run=after(status)) == status, "seen again"
    assert status_of(JobFacts(state=RUNNING), *attempts[2:], run=after(status)).attempt_count == 13


def test_attempts_seen_all_at_once_are_counted() -> None:
    assert status_of(JobFacts(state=RUNNING), *numbered(12)).attempt_count == 12


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (1, "1s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3599, "59m59s"),
        (3600, "1h"),
        (3605, "1h"),
        (3660, "1h1m"),
        (86399, "23h59m"),
        (86400, "1d"),
        (90000, "1d1h"),
        (8640000, "100d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert status_of(JobFacts(state=COMPLETE, started_at=at(0), finished_at=at(seconds))).duration == text


@pytest.mark.parametrize(
    "job",
    [
        JobFacts(state=RUNNING, started_at=at(0)),
        JobFacts(state=RUNNING, started_at=at(0), finished_at=at(9)),
        JobFacts(state=FAILED, finished_at=at(9)),
    ],
)
def test_what_has_not_begun_or_ended_has_no_duration(job: JobFacts) -> None:
    assert status_of(job).duration is None


def test_start_and_end_are_the_jobs() -> None:
    found = status_of(JobFacts(state=COMPLETE, name="wine-0123", started_at=at(1), finished_at=at(61)), completed)
    assert (found.start_time, found.completion_time, found.job) == (at(1), at(61), "wine-0123")


def test_what_was_known_is_kept_where_the_job_is_silent() -> None:
    before = TrainingRunStatus(start_time=at(1), image_digest="example/wine@sha256:0123")
    found = status_of(JobFacts(state=FAILED, finished_at=at(61)), run=after(before))
    assert (found.start_time, found.image_digest, found.duration) == (at(1), "example/wine@sha256:0123", "1m")


recorded = completed.model_copy(update={"recorded_at": at(70), "run_id": "r1"})
recorded_failure = errored.model_copy(update={"recorded_at": at(70), "run_id": "r0"})


@pytest.mark.parametrize(
    ("job", "attempts", "problem", "expected"),
    [
        pytest.param(JobFacts(state=RUNNING), [running], None, ("Unknown", "InProgress", ""), id="going on"),
        pytest.param(
            JobFacts(state=COMPLETE), [completed], None, ("Unknown", "InProgress", ""), id="ended, not recorded"
        ),
        pytest.param(
            JobFacts(state=COMPLETE),
            [recorded],
            None,
            ("True", "Recorded", "MLflow agrees with 1 attempt"),
            id="recorded",
        ),
        pytest.param(
            JobFacts(state=COMPLETE),
            [recorded_failure, recorded],
            None,
            ("True", "Recorded", "MLflow agrees with 2 attempts"),
            id="all recorded",
        ),
        pytest.param(
            JobFacts(state=COMPLETE),
            [errored, recorded],
            None,
            ("Unknown", "InProgress", ""),
            id="one is still missing",
        ),
        pytest.param(
            JobFacts(state=RUNNING),
            [recorded_failure],
            None,
            ("Unknown", "InProgress", ""),
            id="recorded, to be retried",
        ),
        pytest.param(
            JobFacts(state=COMPLETE),
            [completed],
            "MLflow is down",
            ("False", "TrackingUnavailable", "MLflow is down"),
            id="MLflow is down",
        ),
    ],
)
def test_tracked(job: JobFacts, attempts: list[Attempt], problem: str | None, expected: tuple[str, str, str]) -> None:
    assert said(status_of(job, *attempts, problem=problem), "Tracked") == expected


def test_an_outage_of_mlflow_changes_no_outcome() -> None:
    found = status_of(JobFacts(state=COMPLETE), completed, problem="MLflow is down")
    assert (found.phase, said(found, "Succeeded")[0]) == ("Succeeded", "True")


def test_tracking_is_the_last_attempts_run() -> None:
    found = status_of(
        JobFacts(state=COMPLETE),
        recorded_failure,
        recorded,
        url="http://mlflow/r1",
        experiment_id="7",
        metrics={"f1": "0.9"},
    )
    assert found.tracking == TrackingStatus(experiment_id="7", run_id="r1", url="http://mlflow/r1")
    assert found.metrics == {"f1": "0.9"}


def test_tracking_stays_while_mlflow_is_not_asked() -> None:
    first = status_of(JobFacts(state=RUNNING), recorded_failure, url="u", experiment_id="7", metrics={"f1": "0.9"})
    later = status_of(JobFacts(state=RUNNING), recorded_failure, attempt("wine-2", Outcome.PENDING), run=after(first))
    assert (later.tracking, later.metrics) == (TrackingStatus(experiment_id="7", run_id="r0", url="u"), {"f1": "0.9"})


@pytest.mark.parametrize(
    ("asked", "expected"), [([], "f1=0.9"), (["recall", "f1"], "recall=0.3333"), (["absent"], "f1=0.9")]
)
def test_one_metric_stands_for_them_all(asked: list[str], expected: str) -> None:
    run = training_run(tracking={"requireMetrics": asked})
    found = status_of(JobFacts(state=COMPLETE), completed, run=run, metrics={"f1": "0.9", "recall": repr(1 / 3)})
    assert found.metric == expected


def test_a_training_without_metrics_shows_none() -> None:
    assert status_of(JobFacts(state=COMPLETE), completed, metrics={}).metric is None


def test_metrics_are_never_those_of_another_attempt() -> None:
    first = status_of(JobFacts(state=RUNNING), recorded_failure, url="u", experiment_id="7", metrics={"f1": "0.9"})
    later = status_of(
        JobFacts(state=COMPLETE), recorded_failure, recorded, run=after(first), experiment_id="7", metrics={}
    )
    assert later.tracking is not None
    assert (later.tracking.run_id, later.metrics or {}) == ("r1", {})


def test_without_a_run_there_is_no_tracking() -> None:
    assert status_of(JobFacts(state=RUNNING), running).tracking is None


@pytest.mark.parametrize(
    ("succeeded", "tracked", "final", "settled"),
    [
        (None, None, False, False),
        ("Unknown", None, False, False),
        ("Unknown", "True", False, False),
        ("True", None, True, False),
        ("True", "False", True, False),
        ("True", "Unknown", True, False),
        ("True", "True", True, True),
        ("False", "True", True, True),
    ],
)
def test_final_and_settled(*, succeeded: str | None, tracked: str | None, final: bool, settled: bool) -> None:
    conditions = [
        condition(kind, status)
        for kind, status in (("Succeeded", succeeded), ("Tracked", tracked))
        if status is not None
    ]
    run = after(TrainingRunStatus(conditions=conditions, observed_generation=1))
    assert (is_final(run.status), is_settled(run)) == (final, settled)


def test_a_refused_resource_is_settled_at_once() -> None:
    problems = [Problem("spec.args[0]", "no such parameter"), Problem("spec.image", "none")]
    found = refused(training_run(), problems, at(5))
    assert found.phase == "Failed"
    assert found.message == "spec.args[0]: no such parameter; spec.image: none"
    assert said(found, "Accepted") == ("False", "InvalidSpec", found.message)
    assert said(found, "Succeeded") == ("False", "InvalidSpec", found.message)
    assert (found.completion_time, found.observed_generation) == (at(5), 1)
    assert is_settled(after(found))


@pytest.mark.parametrize(
    ("problems", "end"),
    [
        ([Problem("spec.image", "x" * 40_000)], "x…"),
        ([Problem("spec.args[0]", "x" * 500)] * 100, "x; and 37 more"),
        ([Problem("spec.args[0]", "x" * 500)] * 2, "xx"),
    ],
)
def test_no_message_is_longer_than_the_api_server_takes(problems: list[Problem], end: str) -> None:
    message = refused(training_run(), problems, at(0)).conditions[0].message
    assert message.startswith("spec.")
    assert message.endswith(end)
    assert len(message) <= 32768


def test_refusing_again_changes_nothing() -> None:
    problems = [Problem("spec.image", "none")]
    first = refused(training_run(), problems, at(5))
    assert refused(after(first), problems, at(9)) == first


def test_on_the_wire_it_is_as_kubernetes_writes_it() -> None:
    body = status_of(
        JobFacts(state=COMPLETE, name="wine-0123", started_at=at(0), finished_at=at(60)), recorded, experiment_id="7"
    ).to_json()
    assert body["startTime"] == "2026-01-02T03:04:05Z"
    assert body["tracking"] == {"experimentId": "7", "runId": "r1"}
    assert body["attempts"] == [
        {
            "pod": "wine-1",
            "uid": "uid-of-wine-1",
            "outcome": "Succeeded",
            "reason": "Completed",
            "exitCode": 0,
            "startedAt": "2026-01-02T03:04:05Z",
            "finishedAt": "2026-01-02T03:05:05Z",
            "runId": "r1",
            "recordedAt": "2026-01-02T03:05:15Z",
        }
    ]
    assert TrainingRunStatus.model_validate(body).to_json() == body


def worker(index: int, outcome: Outcome, reason: str | None = None, **fields: Any) -> Attempt:
    ended = at(60 + index) if outcome.is_final else None
    given = {"exit_code": 0 if outcome is Outcome.SUCCEEDED else None, "finished_at": ended} | fields
    return attempt(f"wine-{index}", outcome, worker=index, reason=reason, **given)


GONE = Outcome.CANCELLED
DONE = worker(1, Outcome.SUCCEEDED, "Completed")


@pytest.mark.parametrize(
    ("job", "workers", "verdict"),
    [
        pytest.param(
            JobFacts(state=FAILED),
            [worker(0, GONE, "PodDeleted"), DONE],
            "PodDeleted",
            id="one was taken away",
        ),
        pytest.param(
            JobFacts(state=FAILED),
            [worker(0, GONE, "PodDeleted"), worker(1, GONE, "Cancelled")],
            "PodDeleted",
            id="what took one away ended the other",
        ),
        pytest.param(
            JobFacts(state=FAILED, reason="JobDeleted", message=""), [DONE], "JobDeleted", id="the Job was deleted"
        ),
        pytest.param(JobFacts(state=FAILED), [DONE], "Error", id="nobody knows"),
        pytest.param(
            JobFacts(state=FAILED), [worker(0, Outcome.FAILED, "OOMKilled"), DONE], "OOMKilled", id="one failed"
        ),
    ],
)
def test_workers_that_did_not_all_succeed_did_not_complete(job: JobFacts, workers: list[Attempt], verdict: str) -> None:
    found = status_of(job, *workers, run=training_run(workers=2))
    assert said(found, "Succeeded")[:2] == ("False", verdict)


def test_a_status_has_room_for_five_hundred_workers_that_were_evicted_again_and_again() -> None:
    data = [FetchedDataset(name=f"data-{number:02}", digest=f"sha256:{'0' * 64}") for number in range(16)]
    code = ResolvedSource(git="https://git.example/team/wine.git", commit="0" * 40)
    given = {"datasets": data, "source": code, "message": "m" * 1024, "recorded_at": at(70)}
    workers = [
        worker(index, Outcome.CANCELLED, "Evicted", uid=f"{round_}-{index}", **given)
        for round_ in range(4)
        for index in range(512)
    ]
    found = status_of(JobFacts(state=RUNNING), *workers, run=training_run(workers=512))
    assert len(found.attempts) == 512 + 10
    assert (found.attempt_count, found.attempt_number) == (4 * 512, 4)
    assert len(json.dumps(found.to_json())) < 1 << 20
    assert [each.worker for each in found.attempts if each.datasets] == [0]


def test_workers_share_an_attempt_and_the_one_tried_most_says_which_it_is() -> None:
    status = status_of(JobFacts(state=RUNNING), run=training_run(workers=2))
    assert status.attempt_number == 0
    begun = [0, 0]
    for index, number in ((0, 1), (1, 1), (0, 2), *((0, again) for again in range(3, 16)), (1, 15), (0, 16)):
        begun[index] += 1
        new = worker(index, GONE, "Evicted", uid=f"{begun[index]}-{index}", recorded_at=at(70))
        run = training_run(workers=2, status=status)
        status = status_of(JobFacts(state=RUNNING), *status.attempts, new, run=run)
        assert (status.attempt_number, status.attempt_count) == (number, sum(begun))
    assert len(status.attempts) < sum(begun), "the oldest are no longer listed"


def test_what_is_not_recorded_yet_is_listed_however_many_there_are() -> None:
    workers = [worker(index, GONE, "Evicted", uid=f"{again}-{index}") for again in range(9) for index in (0, 1)]
    assert len(status_of(JobFacts(state=RUNNING), *workers, run=training_run(workers=2)).attempts) == 18


@pytest.mark.parametrize("state", [COMPLETE, FAILED])
def test_what_can_never_be_stored_is_said_of_any_end(state: JobState) -> None:
    lost = Missing(Reason.ARTIFACTS_UNREACHABLE, "elsewhere", is_of_success=False)
    ended = (completed if state is COMPLETE else errored).model_copy(update={"recorded_at": at(70)})
    found = status_of(JobFacts(state=state), ended, missing=lost)
    assert said(found, "Tracked") == ("False", "ArtifactsUnreachable", "elsewhere")
    assert is_told(found)


def test_what_has_begun_is_doubted_and_not_refused() -> None:
    begun = status_of(JobFacts(state=RUNNING, name="wine-0"), running)
    found = doubted(after(begun), [Problem("spec.image", "is wrong")], LATER)
    assert (found.phase, found.job, said(found, "Accepted")) == (
        "Running",
        "wine-0",
        ("False", "InvalidSpec", "spec.image: is wrong"),
    )
    assert said(found, "Succeeded")[0] == "Unknown"
