"""What the operator does about what it sees: at most one change to the Job, and none to a verdict."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.facts import JobFacts, JobState, TrackingFacts
from runyard.api.outcome import Outcome, TrainingRunStatus
from runyard.api.status import assemble
from runyard.api.trainingrun import TrainingRun
from runyard_operator.decide import Decision, Observed, decide, decide_on_deleted, job_facts
from runyard_operator.jobs import job_name
from runyard_operator.objects import Job, Pod
from tests.support.factories import JOB_NAME, at, attempt, job, pod, running, terminated, training_run, waiting

GRACE = timedelta(seconds=300)
FAILED_BECAUSE = "runyard.dev/failed-because"


def look(run: TrainingRun, of: Job | None = None, *pods: Pod, seconds: float = 120, **since: float) -> Decision:
    """Decide; `since` names pods that wait for an image, each with the second at which that was first seen."""
    waits = {f"uid-of-{name}": at(second) for name, second in since.items()}
    return decide(Observed(run, of, pods, at(seconds), waits), GRACE)


def started(**spec: Any) -> TrainingRun:
    """Return a TrainingRun whose Job was created."""
    return training_run(status=TrainingRunStatus(job=JOB_NAME, start_time=at(0)), **spec)


def written(run: TrainingRun, decision: Decision, seconds: float = 200) -> TrainingRun:
    """Return the resource with the status that follows from a decision, recorded in MLflow or not."""
    status = assemble(run, decision.job, decision.attempts, TrackingFacts(), at(seconds))
    return run.model_copy(update={"status": status})


def change(decision: Decision) -> tuple[bool, Any]:
    return decision.create_job, decision.patch_job


def test_no_job_yet_is_a_job_to_create() -> None:
    decision = look(training_run())
    assert change(decision) == (True, None)
    assert (decision.job.state, decision.job.name) == (JobState.WAITING, job_name(training_run()))


def test_a_job_that_is_made_suspended_has_nothing_new_to_say() -> None:
    run = training_run(suspend=True)
    first = look(run)
    assert first.create_job
    assert written(written(run, first), look(run, job(suspend=True, started=None, name=job_name(run)))) == written(
        run, first
    )


def test_a_job_is_not_created_twice() -> None:
    run = training_run()
    assert change(look(written(run, look(run)), job())) == (False, None)


def test_a_job_that_nobody_noted_yet_is_not_created_again() -> None:
    assert change(look(training_run(), job())) == (False, None)


def test_a_job_that_was_deleted_is_not_created_again() -> None:
    decision = look(started())
    assert change(decision) == (False, None)
    assert (decision.job.state, decision.job.reason) == (JobState.FAILED, "JobDeleted")
    assert decision.job.finished_at == at(120)
    assert "create a new TrainingRun" in (decision.job.message or "")


def test_a_deleted_job_takes_its_pods_along() -> None:
    [gone] = look(
        started().model_copy(update={"status": TrainingRunStatus(job=JOB_NAME, attempts=[attempt()])})
    ).attempts
    assert (gone.outcome, gone.reason) == (Outcome.CANCELLED, "Cancelled")


@pytest.mark.parametrize(
    ("spec", "found", "patch"),
    [
        pytest.param({"suspend": True}, {}, {"suspend": True}, id="to be suspended"),
        pytest.param({}, {"suspend": True}, {"suspend": False}, id="to go on"),
        pytest.param({"backoffLimit": 3}, {}, {"backoffLimit": 3}, id="more retries"),
        pytest.param({}, {"activeDeadlineSeconds": 60}, {"activeDeadlineSeconds": None}, id="no deadline any more"),
        pytest.param({}, {}, None, id="nothing"),
    ],
)
def test_what_changed_in_the_resource_is_changed_in_the_job(
    spec: dict[str, Any], found: dict[str, Any], patch: dict[str, Any] | None
) -> None:
    assert look(started(**spec), job(**found)).patch_job == ({"spec": patch} if patch else None)


@pytest.mark.parametrize("ended", [{"Complete": ""}, {"Failed": "BackoffLimitExceeded"}])
def test_a_job_that_ended_is_left_alone(ended: dict[str, str]) -> None:
    assert look(started(backoffLimit=3, suspend=True), job(conditions=ended)).patch_job is None


@pytest.mark.parametrize(
    ("seconds", "is_over", "again_seconds"),
    [(0, False, 300), (299, False, 1), (300, True, None), (3000, True, None)],
)
def test_an_image_is_waited_for_for_the_grace_time(seconds: float, is_over: bool, again_seconds: float | None) -> None:  # noqa: FBT001
    decision = look(started(), job(), pod("a", containers=[waiting("ErrImagePull", "no")]), seconds=seconds, a=0)
    assert (decision.patch_job is not None) is is_over
    assert decision.look_again_after == (timedelta(seconds=again_seconds) if again_seconds else None)


def test_the_job_whose_image_cannot_be_had_ends_with_its_reason() -> None:
    decision = look(started(), job(), pod("a", containers=[waiting("ErrImagePull", "no")]), seconds=300, a=0)
    assert decision.patch_job == {
        "metadata": {"annotations": {FAILED_BECAUSE: "ImagePull"}},
        "spec": {"activeDeadlineSeconds": 1},
    }


def test_a_job_is_ended_once() -> None:
    ending = job(annotations={FAILED_BECAUSE: "ImagePull"}, activeDeadlineSeconds=1)
    assert look(started(), ending, pod(containers=[waiting("ErrImagePull", "no")]), seconds=301).patch_job is None


BECAUSE = "0.2 at step 2 is worse than 0.7, the median of 2 other trials"


def to_prune(run: TrainingRun) -> TrainingRun:
    """Return a trial that its sweep wants an end of."""
    marked = run.metadata.model_copy(update={"annotations": {"runyard.dev/pruned-because": BECAUSE}})
    return run.model_copy(update={"metadata": marked})


def test_a_trial_that_is_pruned_ends_with_its_reason_and_once() -> None:
    decision = look(to_prune(started()), job(), pod("a", containers=[running()]))
    assert decision.patch_job == {
        "metadata": {"annotations": {FAILED_BECAUSE: "Pruned"}},
        "spec": {"activeDeadlineSeconds": 1},
    }
    ending = job(annotations={FAILED_BECAUSE: "Pruned"}, activeDeadlineSeconds=1)
    assert look(to_prune(started()), ending, pod("a", containers=[running()])).patch_job is None


def test_a_pruned_trial_was_stopped_and_says_why() -> None:
    ended = job(
        conditions={"Failed": "DeadlineExceeded"}, annotations={FAILED_BECAUSE: "Pruned"}, activeDeadlineSeconds=1
    )
    run = to_prune(started())
    first = look(run, job(), pod("a", containers=[running()]))
    decision = look(written(run, first), ended)
    [only] = decision.attempts
    assert (only.outcome, only.reason) == (Outcome.CANCELLED, "Pruned")
    assert (decision.job.state, decision.job.reason, decision.job.message) == (JobState.FAILED, "Pruned", BECAUSE)


def test_a_trial_that_had_ended_is_not_pruned() -> None:
    decision = look(to_prune(started()), job(conditions={"Complete": ""}), pod("a", containers=[terminated(0)]))
    assert decision.patch_job is None
    assert decision.job.state is JobState.COMPLETE


def test_the_longest_wait_counts() -> None:
    pods = [pod(name, containers=[waiting("ErrImagePull", "no")]) for name in "abc"]
    assert look(started(), job(), *pods, seconds=299, a=200, b=0, c=100).look_again_after == timedelta(seconds=1)


def test_what_a_pod_waited_for_before_its_image_does_not_count() -> None:
    late = pod("a", created=at(0), containers=[waiting("ErrImagePull", "no")])
    assert look(started(), job(), late, seconds=9000, a=8999).look_again_after == timedelta(seconds=299)
    assert look(started(), job(), late, seconds=9000).look_again_after == timedelta(seconds=300)


def test_other_waits_have_no_end() -> None:
    config = pod(containers=[waiting("CreateContainerConfigError", "no secret")])
    assert change(look(started(), job(), config, seconds=9999)) == (False, None)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(job(), JobFacts(state=JobState.RUNNING, name=JOB_NAME, started_at=at(0)), id="going on"),
        pytest.param(job(started=None), JobFacts(state=JobState.RUNNING, name=JOB_NAME), id="not begun"),
        pytest.param(
            job(suspend=True, started=None), JobFacts(state=JobState.SUSPENDED, name=JOB_NAME), id="suspended"
        ),
        pytest.param(
            job(conditions={"Complete": "CompletionsReached"}, completed=at(90)),
            JobFacts(state=JobState.COMPLETE, name=JOB_NAME, started_at=at(0), finished_at=at(90)),
            id="complete",
        ),
        pytest.param(
            job(conditions={"FailureTarget": "BackoffLimitExceeded"}),
            JobFacts(state=JobState.RUNNING, name=JOB_NAME, started_at=at(0)),
            id="about to fail is not failed",
        ),
        pytest.param(
            job(conditions={"Failed": "BackoffLimitExceeded"}),
            JobFacts(state=JobState.FAILED, name=JOB_NAME, started_at=at(0), finished_at=at(100)),
            id="failed: its attempts say why",
        ),
        pytest.param(
            job(conditions={"Failed": "DeadlineExceeded"}),
            JobFacts(
                state=JobState.FAILED,
                name=JOB_NAME,
                reason="DeadlineExceeded",
                message="spec.activeDeadlineSeconds passed before the training ended",
                started_at=at(0),
                finished_at=at(100),
            ),
            id="out of time",
        ),
        pytest.param(
            job(conditions={"Failed": "DeadlineExceeded"}, annotations={FAILED_BECAUSE: "ImagePull"}),
            JobFacts(state=JobState.FAILED, name=JOB_NAME, reason="ImagePull", started_at=at(0), finished_at=at(100)),
            id="ended by Runyard",
        ),
    ],
)
def test_how_a_job_stands(of: Job, expected: JobFacts) -> None:
    assert job_facts(of) == expected


def test_the_digest_is_the_last_pods() -> None:
    pods = (pod("a", "Failed", containers=[terminated(1)]), pod("b"))
    assert job_facts(job(), pods).image_digest == "example/wine@sha256:0123"


@pytest.mark.parametrize(
    ("of", "pods"),
    [
        pytest.param(job(conditions={"Complete": ""}, completed=at(90)), [pod(phase="Succeeded")], id="succeeded"),
        pytest.param(job(conditions={"Failed": "BackoffLimitExceeded"}), [pod(phase="Failed")], id="failed"),
        pytest.param(None, [], id="Job deleted"),
    ],
)
def test_a_verdict_outlives_the_job(of: Job | None, pods: list[Pod]) -> None:
    run = started()
    ended = written(run, look(run, of, *pods))
    later = written(ended, look(ended, None, seconds=900), seconds=901)
    assert later.status == ended.status


def outcome_of(status: TrainingRunStatus) -> tuple[Any, ...]:
    verdict = status.condition("Succeeded")
    assert verdict is not None
    return (
        *(status.phase, status.start_time, status.completion_time, status.duration, status.job),
        *(verdict.status, verdict.reason, verdict.message, verdict.last_transition_time),
    )


states_of_the_container = st.sampled_from(
    [
        *([], [running()], [terminated(0)], [terminated(3, message="ValueError: no")], [terminated(137, "OOMKilled")]),
        *([waiting("ErrImagePull", "no such image")], [waiting("ContainerCreating")]),
    ]
)
some_pods = st.lists(
    st.builds(
        pod,
        st.sampled_from(["wine-1", "wine-2", "wine-3"]),
        st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
        created=st.sampled_from([at(0), at(30)]),
        deleted=st.none() | st.just(at(50)),
        containers=states_of_the_container,
    ),
    max_size=3,
    unique_by=lambda found: found.metadata.uid,
)
some_job = st.none() | st.builds(
    job,
    conditions=st.dictionaries(
        st.sampled_from(["Failed", "Complete", "FailureTarget"]),
        st.sampled_from(["DeadlineExceeded", "BackoffLimitExceeded"]),
        max_size=1,
    ),
    annotations=st.none() | st.just({FAILED_BECAUSE: "ImagePull"}),
    deleted=st.none() | st.just(at(50)),
    suspend=st.booleans(),
    activeDeadlineSeconds=st.sampled_from([None, 1, 600]),
)
sights = st.tuples(some_job, some_pods)
specs = st.fixed_dictionaries({}, optional={"suspend": st.booleans(), "backoffLimit": st.integers(0, 2)})


def watched(run: TrainingRun, looks: list[tuple[Job | None, list[Pod]]]) -> list[TrainingRun]:
    """Return the resource as it is after each look."""
    story = [run]
    for number, (of, pods) in enumerate(looks):
        now = 60.0 * (number + 1)
        story.append(written(story[-1], look(story[-1], of, *pods, seconds=now), seconds=now))
    return story


def is_over(run: TrainingRun) -> bool:
    verdict = run.status.condition("Succeeded")
    return verdict is not None and verdict.status != "Unknown"


@given(specs, st.lists(sights, max_size=6))
def test_a_verdict_never_changes_whatever_is_seen(
    spec: dict[str, Any], looks: list[tuple[Job | None, list[Pod]]]
) -> None:
    over = [run.status for run in watched(training_run(**spec), looks) if is_over(run)]
    assert len({outcome_of(status) for status in over}) <= 1


@given(specs, st.lists(sights, max_size=4), sights)
def test_the_same_look_twice_is_the_same_decision(
    spec: dict[str, Any], looks: list[tuple[Job | None, list[Pod]]], last: tuple[Job | None, list[Pod]]
) -> None:
    run = watched(training_run(**spec), looks)[-1]
    of, pods = last
    assert look(run, of, *pods, seconds=500) == look(run, of, *reversed(pods), seconds=500)


@given(specs, st.lists(sights, max_size=4), some_job.filter(lambda found: found is not None), some_pods)
def test_what_is_written_down_is_not_written_again(
    spec: dict[str, Any], looks: list[tuple[Job | None, list[Pod]]], of: Job | None, pods: list[Pod]
) -> None:
    once = watched(training_run(**spec), [*looks, (of, pods)])[-1]
    twice = written(once, look(once, of, *pods, seconds=600), seconds=600)
    assert twice.status == once.status


@given(specs, st.lists(sights, max_size=5))
def test_a_job_is_created_at_most_once(spec: dict[str, Any], looks: list[tuple[Job | None, list[Pod]]]) -> None:
    story = watched(training_run(**spec), looks)
    created = [look(run, of, *pods).create_job for run, (of, pods) in zip(story, looks, strict=False)]
    assert sum(created) <= 1
    assert not any(created[1:])


def test_a_job_that_waits_to_be_resumed_is_not_ended_for_its_image() -> None:
    found = decide(
        Observed(
            training_run(suspend=True),
            job(suspend=True),
            (pod(containers=[waiting("ImagePullBackOff")]),),
            at(1000),
        ),
        timedelta(seconds=300),
    )
    assert found.patch_job is None


@pytest.mark.parametrize(("ends", "state"), [((0, 1), JobState.COMPLETE), ((0, 0), JobState.FAILED)])
def test_workers_that_were_all_done_when_their_job_went_succeeded(ends: tuple[int, ...], state: JobState) -> None:
    attempts = [
        attempt(f"wine-{place}", Outcome.SUCCEEDED, worker=index, reason="Completed", finished_at=at(60))
        for place, index in enumerate(ends)
    ]
    run = training_run(workers=2, status=TrainingRunStatus(job="wine-0", attempts=attempts, attempt_count=2))
    assert decide(Observed(run, None, (), at(120)), timedelta(seconds=300)).job.state is state


def deleted(run: TrainingRun, of: Job | None = None, *pods: Pod) -> Decision:
    return decide_on_deleted(Observed(run, of, pods, at(500)))


@pytest.mark.parametrize(
    ("of", "pods", "state", "reason"),
    [
        pytest.param(job(), [], JobState.FAILED, "Cancelled", id="going on"),
        pytest.param(
            None, [pod(phase="Failed", containers=[terminated(1)])], JobState.FAILED, "Cancelled", id="its pod failed"
        ),
        pytest.param(job(conditions={"Complete": ""}), [], JobState.COMPLETE, None, id="complete"),
        pytest.param(
            None, [pod(phase="Succeeded", containers=[terminated(0)])], JobState.COMPLETE, None, id="its pod succeeded"
        ),
        pytest.param(
            job(conditions={"Failed": "DeadlineExceeded"}), [], JobState.FAILED, "DeadlineExceeded", id="deadline"
        ),
    ],
)
def test_what_was_so_before_a_resource_was_deleted_stays(
    of: Job | None, pods: list[Pod], state: JobState, reason: str | None
) -> None:
    found = deleted(started(), of, *pods).job
    assert (found.state, found.reason) == (state, reason)


@pytest.mark.parametrize("ended", [{"Complete": ""}, {"Failed": "BackoffLimitExceeded"}])
def test_the_verdict_of_a_resource_that_was_deleted_stays(ended: dict[str, str]) -> None:
    run = started()
    known = written(run, look(run, job(conditions=ended)))
    found = deleted(known).job
    assert found.state is (JobState.COMPLETE if "Complete" in ended else JobState.FAILED)
    assert found.reason != "Cancelled"


def test_a_deleted_resource_of_which_one_worker_of_two_succeeded_has_not() -> None:
    pods = [worker_pod(0, "Succeeded", terminated(0)), worker_pod(1, "Failed", terminated(1))]
    assert deleted(started(workers=2), None, *pods).job.state is JobState.FAILED
    # Unseen, it has no spec any more: its workers are those that had pods.
    assert deleted(started(), None, *pods).job.state is JobState.FAILED
    assert deleted(started(), None, pods[0]).job.state is JobState.COMPLETE


def worker_pod(index: int, phase: str, *containers: dict[str, Any]) -> Pod:
    found = pod(f"wine-{index}", phase, containers=containers)
    annotations = {"batch.kubernetes.io/job-completion-index": str(index)}
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"annotations": annotations})})


def test_a_deleted_resource_whose_pod_stopped_well_when_told_to_has_not_succeeded() -> None:
    stopped = pod(phase="Succeeded", containers=[terminated(0, ended=110)], deleted=at(130))
    found = deleted(started(), None, stopped)
    assert (found.job.state, found.job.reason, found.attempts[0].reason) == (JobState.FAILED, "Cancelled", "Cancelled")


def test_what_an_ended_job_says_of_its_pods_is_said_of_a_deleted_resources_too() -> None:
    run = started().model_copy(update={"status": TrainingRunStatus(job=JOB_NAME, attempts=[attempt()])})
    assert deleted(run, job(conditions={"Complete": ""})).attempts[0].outcome is Outcome.SUCCEEDED
    overdue = deleted(run, job(conditions={"Failed": "DeadlineExceeded"})).attempts[0]
    assert (overdue.outcome, overdue.reason) == (Outcome.FAILED, "DeadlineExceeded")


def test_a_resource_that_is_being_deleted_has_no_job_made_and_has_ended() -> None:
    leaving = {"deletion_timestamp": at(10)}
    for run in (training_run(), started()):
        found = look(run.model_copy(update={"metadata": run.metadata.model_copy(update=leaving)}))
        assert (found.job.state, found.job.reason, change(found)) == (JobState.FAILED, "Cancelled", (False, None))
