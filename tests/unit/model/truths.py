"""What must hold: at each moment, and once everything has come to rest."""

from runyard.api.outcome import Attempt, Outcome
from runyard.api.records import (
    ASSIGNED,
    MADE_TAG,
    OUTCOME_TAG,
    POD_TAG,
    REASON_TAG,
    UID_TAG,
    RunStatus,
    final_status,
    primary,
)
from runyard.api.records import Run as PlainRun
from runyard_operator.objects import FAILED_BECAUSE, Pod
from tests.unit.model.apiserver import JOBS, KINDS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.mlflow import Run
from tests.unit.model.workloads import has_ended, is_finished
from tests.unit.model.world import World

_MOST_ATTEMPTS_LISTED = 10
_DISRUPTIONS = {
    "EvictionByEvictionAPI": "Evicted",
    "TerminationByKubelet": "Evicted",
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "NodeLost",
}


def check_always(world: World) -> None:
    """No outcome moved, no second Job was made, nothing failed that no fault explains."""
    assert not world.api.broken, world.api.broken
    assert not world.mlflow.broken, world.mlflow.broken
    for run_id, before in world.foreign.items():
        assert world.mlflow.runs[run_id] == before, "a run of nobody's here was changed"
    surprises = [error for operator in world.operators for error in operator.surprises]
    assert not surprises, surprises


def check_at_rest(world: World) -> None:
    """Every status, every attempt and every run is what happened."""
    check_always(world)
    for name in world.names(RUNS):
        run = world.api.objects[RUNS, name]
        _check_verdict(world, run)
        _check_attempts(world, run)
        _check_success(world, run)
    for run_id, run_found in world.mlflow.runs.items():
        if run_id not in world.foreign and world.mlflow.is_live(run_id):
            _check_not_left_open(world, run_found)
    if not world.two_at_once:
        for body in world.api.last.values():
            _check_departed(world, body)


def check_finished(world: World) -> None:
    """All of it, and nothing is remembered or done any more."""
    check_at_rest(world)
    for name in world.names(RUNS):
        _check_tracked(world, world.api.objects[RUNS, name])
    operator = world.operator
    assert (len(operator.mirror), operator.recordings) == (0, 0), "memory of what is settled"
    for again in (operator, world.start_operator()):
        writes, marks = again.to_api.writes, (world.api.version, world.mlflow.changes)
        for kind in KINDS:
            again.list_anew(kind)
            again.deliver(kind)
        world.clock.run_for(100)
        assert again.to_api.writes == writes, "writes when all is done"
        assert (world.api.version, world.mlflow.changes) == marks
        assert (len(again.mirror), again.recordings) == (0, 0), "memory of what is settled"


def _check_tracked(world: World, run: Object) -> None:
    """What is told of the record is so: agreed, lacking what was to be logged, or deleted by somebody."""
    status, wanted = run["status"], run["spec"].get("tracking", {}).get("requireMetrics", [])
    tracked, outcome = condition_of(run, "Tracked"), verdict_of(status)[0]
    attempts, run_id = status.get("attempts", []), status.get("tracking", {}).get("runId")
    told_of = {run_id, *(attempt.get("runId") for attempt in attempts)} - {None}
    gone = [found for found in told_of if not world.mlflow.is_live(found)]
    assert (tracked["reason"] == "RunDeleted") == bool(gone), (tracked, told_of)
    assert all(found in tracked["message"] for found in gone), tracked
    if not gone and not _is_disturbed(world, run):
        last = (POD_TAG, attempts[-1]["uid"]) if attempts else (UID_TAG, run["metadata"]["uid"])
        lacks = outcome == "True" and wanted and not any(found["metrics"] for found in world.mlflow.tagged(*last))
        assert tracked["reason"] == ("MetricsMissing" if lacks else "Recorded"), tracked
        if run_id:
            _check_told(world, status, run_id)


def _check_told(world: World, status: Object, run_id: str) -> None:
    """What is told of a run is that run's own, and it is the last attempt's."""
    assert not status.get("attempts") or run_id == status["attempts"][-1]["runId"], status
    logged = world.mlflow.runs[run_id]
    assert status["tracking"]["url"].endswith(f"/{run_id}"), status["tracking"]
    assert status["tracking"]["experimentId"] == logged["info"]["experiment_id"]
    assert {name: float(value) for name, value in status.get("metrics", {}).items()} == logged["metrics"], run_id


def _check_verdict(world: World, run: Object) -> None:
    """The resource's outcome is what its Job says, or said last."""
    status = run.get("status", {})
    outcome, reason, completed = verdict_of(status)
    jobs = world.api.owned(JOBS, run["metadata"]["uid"])
    assert jobs, "no Job was made"
    attempts = status.get("attempts")
    if attempts and outcome == "True" and not _has_succeeded_unseen(world, run):
        assert attempts[-1]["outcome"] == "Succeeded", attempts
    _check_assigned(world, run, outcome)
    job = jobs[-1]
    assert status["job"] == job["metadata"]["name"]
    exists = world.api.of_uid(job["metadata"]["uid"]) is not None
    if not exists and reason == "JobDeleted":
        assert outcome == "False"
        return
    if not exists and outcome == "True" and completed != job["status"].get("completionTime"):
        # The one pod that a Job needs had succeeded, and the Job was gone before it said so, or was seen to say so.
        last = status["attempts"][-1]
        assert (last["outcome"], reason, completed) == ("Succeeded", "Completed", last["finishedAt"])
        return
    if not is_finished(job):
        assert exists, f"the Job is gone, and the status says {status}"
        assert outcome == "Unknown"
        waits = "Queued" if run["spec"].get("queueName") else "Suspended"
        assert (status["phase"] == waits) == bool(job["spec"].get("suspend"))
        return
    if condition_of(job, "Complete"):
        assert (outcome, reason, completed) == ("True", "Completed", job["status"]["completionTime"])
        return
    failed = condition_of(job, "Failed")
    own = job["metadata"]["annotations"].get(FAILED_BECAUSE)
    own = own or (failed["reason"] if failed["reason"] == "DeadlineExceeded" else None)
    own = own or (attempts[-1]["reason"] if attempts else "Error")
    assert (outcome, reason, completed) == ("False", own, failed["lastTransitionTime"])


def _has_succeeded_unseen(world: World, run: Object) -> bool:
    """Whether the pod that succeeded came and went while no operator looked, and started no run of its own."""
    listed = {attempt["uid"] for attempt in run["status"]["attempts"]}
    jobs = world.api.owned(JOBS, run["metadata"]["uid"])
    pods = [pod for job in jobs for pod in world.api.owned(PODS, job["metadata"]["uid"])]
    succeeded = {pod["metadata"]["uid"] for pod in pods if pod["status"]["phase"] == "Succeeded"}
    has_runs = any(world.mlflow.tagged(POD_TAG, uid) for uid in succeeded)
    return bool(succeeded) and not has_runs and not succeeded & listed and not any(map(world.api.of_uid, succeeded))


def _check_assigned(world: World, run: Object, outcome: str) -> None:
    """The run that all attempts share is one, and says what the resource does."""
    if _is_disturbed(world, run):
        return
    found = [made for made in world.mlflow.tagged(UID_TAG, run["metadata"]["uid"]) if MADE_TAG in made["tags"]]
    assigned = [_plain(made) for made in found if made["tags"][MADE_TAG] == ASSIGNED]
    if run["spec"].get("tracking", {}).get("run") != "Assigned":
        assert not assigned
    elif not world.two_at_once:
        [shared] = assigned
        # While the training goes on, a script may have ended it by itself.
        expected = {"True": {"FINISHED"}, "False": {"FAILED", "KILLED"}}.get(outcome, set(RunStatus))
        assert shared.status in expected, (shared, outcome)


def _check_attempts(world: World, run: Object) -> None:
    """Each pod is one attempt, in the order of the pods, and ended as the pod did."""
    status = run["status"]
    attempts = [Attempt.model_validate(found) for found in status.get("attempts", [])]
    jobs = world.api.owned(JOBS, run["metadata"]["uid"])
    pods = {pod["metadata"]["uid"]: pod for job in jobs for pod in world.api.owned(PODS, job["metadata"]["uid"])}
    assert {attempt.uid for attempt in attempts} <= set(pods)
    made = [pods[attempt.uid]["metadata"]["creationTimestamp"] for attempt in attempts]
    assert made == sorted(made), "attempts out of order"
    assert len(attempts) <= status["attemptCount"] <= len(pods)
    if status["attemptCount"] <= _MOST_ATTEMPTS_LISTED:
        there = {uid for uid in pods if world.api.of_uid(uid)}
        assert there <= {attempt.uid for attempt in attempts}, "a pod that is no attempt"
    for attempt in attempts:
        _check_attempt(world, attempt, pods[attempt.uid])
        if attempt.outcome.is_final and not _is_disturbed(world, run):
            _check_record(world, attempt)


def _check_success(world: World, run: Object) -> None:
    """The pod by which a training succeeded has a run that says so, seen or unseen."""
    status = run.get("status", {})
    if world.two_at_once or _is_disturbed(world, run) or condition_of(run, "Tracked").get("status") != "True":
        return
    jobs = world.api.owned(JOBS, run["metadata"]["uid"])
    pods = [pod for job in jobs for pod in world.api.owned(PODS, job["metadata"]["uid"])]
    for pod in pods:
        runs = [_plain(found) for found in world.mlflow.tagged(POD_TAG, pod["metadata"]["uid"])]
        chief, has_succeeded = primary(runs), pod["status"]["phase"] == "Succeeded"
        if chief and verdict_of(status)[0] == "True" and has_succeeded and not _may_have_stopped(pod):
            assert chief.status is RunStatus.FINISHED, f"{chief} of a pod that succeeded"
        if chief and verdict_of(status)[0] == "False" and not has_succeeded:
            assert chief.status is not RunStatus.FINISHED, f"{chief} of a pod that did not succeed"


def _is_disturbed(world: World, run: Object) -> bool:
    """Whether somebody deleted what was on record of a resource, restored since or not."""
    runs = world.mlflow.tagged(UID_TAG, run["metadata"]["uid"])
    return any(found["info"]["run_id"] in world.mlflow.once_deleted for found in runs)


def _check_attempt(world: World, attempt: Attempt, pod: Object) -> None:
    is_there = world.api.of_uid(attempt.uid) is not None
    phase = pod["status"]["phase"]
    if not attempt.outcome.is_final:
        assert is_there, f"{attempt} of a pod that is gone"
        assert phase == ("Running" if attempt.outcome is Outcome.RUNNING else "Pending")
        return
    was_unseen = "its end was not seen" in (attempt.message or "") and not is_there
    if not was_unseen and has_ended(pod):
        has_stopped = attempt.reason in {"Cancelled", "Suspended"} and _may_have_stopped(pod)
        assert (attempt.outcome is Outcome.SUCCEEDED) == (phase == "Succeeded" and not has_stopped), attempt
        ends = [state["state"].get("terminated") for state in pod["status"].get("containerStatuses", [])]
        assert attempt.exit_code == (ends[0]["exitCode"] if ends and ends[0] else None), attempt
        disruption = condition_of(pod, "DisruptionTarget")
        if disruption and attempt.outcome is Outcome.CANCELLED:
            assert attempt.reason == _DISRUPTIONS[disruption["reason"]], attempt
    assert attempt.recorded_at, f"{attempt} is not recorded"


def _may_have_stopped(pod: Object) -> bool:
    """Whether a pod that ended well may have done so because it was told to go: times are whole seconds."""
    found = Pod.model_validate(pod)
    end = found.training.state.terminated if found.training else None
    asked_at = found.deletion_asked_at
    return bool(asked_at and end and end.finished_at and end.finished_at >= asked_at)


def _check_record(world: World, attempt: Attempt) -> None:
    found = world.mlflow.tagged(POD_TAG, attempt.uid)
    if world.mlflow.runs[str(attempt.run_id)]["tags"].get(MADE_TAG) == ASSIGNED:
        assert not any(map(world.mlflow.made_by_operator, found)), "a run besides the assigned one"
        return
    chief = primary([_plain(run) for run in found])
    assert chief, f"no run of {attempt}"
    if world.two_at_once:
        return  # each may have recorded what it saw, in any order: keeping them apart is a Lease's work
    assert attempt.run_id == chief.id
    assert chief.status is final_status(attempt.outcome), f"{chief} of {attempt}"
    assert (chief.tags[OUTCOME_TAG], chief.tags[REASON_TAG]) == (attempt.outcome, attempt.reason)
    assert sum(map(world.mlflow.made_by_operator, found)) <= 1, f"more than one run was made for {attempt}"


def _check_not_left_open(world: World, run: Run) -> None:
    """No run is RUNNING whose pod is gone or has ended: the sweep closes what nobody else does."""
    if POD_TAG not in run["tags"]:
        owner = world.api.of_uid(run["tags"][UID_TAG])
        is_open = RunStatus(run["info"]["status"]).is_open
        assert not (is_open and (owner is None or verdict_of(owner.get("status") or {})[0] != "Unknown")), (
            f"{run} is open"
        )
        return
    pod = world.api.of_uid(run["tags"][POD_TAG])
    is_over = pod is None or has_ended(pod)
    assert not (is_over and RunStatus(run["info"]["status"]).is_open), f"{run} is open"


def _check_departed(world: World, body: Object) -> None:
    """What was on record of a resource when it was deleted stays so."""
    status = body.get("status") or {}
    is_gone = body["kind"] == RUNS and world.api.of_uid(body["metadata"]["uid"]) is None
    if not is_gone or condition_of(body, "Tracked").get("status") != "True" or _is_disturbed(world, body):
        return
    for attempt in map(Attempt.model_validate, status.get("attempts", [])):
        run = _plain(world.mlflow.runs[str(attempt.run_id)])
        outcome = verdict_of(status)[0]
        wanted = {RunStatus.FINISHED} if outcome == "True" else {RunStatus.FAILED, RunStatus.KILLED}
        if run.tags.get(MADE_TAG) != ASSIGNED:
            wanted = {final_status(attempt.outcome)}
        assert run.status in wanted, f"{run} of {body['metadata']['name']}, which is gone, and was {outcome}"


def _plain(run: Run) -> PlainRun:
    info = run["info"]
    return PlainRun(
        info["run_id"], info["experiment_id"], RunStatus(info["status"]), info["start_time"], "", run["tags"]
    )
