"""What chaos takes for untrue: each offence is found, and a true story has none."""

import random
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from runyard import validation
from tests.chaos.load import KINDS, training
from tests.chaos.verdict import Afterwards, late, spared

UID, POD, RUN = "uid-1", "0000002a-of-pod", "run-1"
MLFLOW = "http://mlflow.example"
PAGE = f"{MLFLOW}/#/experiments/0/runs/{RUN}"


def resource(phase: str = "Failed", reason: str = "Error", **spec: Any) -> dict[str, Any]:
    truth = {"Failed": "False", "Succeeded": "True"}.get(phase, "Unknown")
    conditions = [
        {"type": "Succeeded", "status": truth, "reason": reason},
        {"type": "Tracked", "status": "True", "reason": "Recorded"},
    ]
    attempt = {"pod": "a-1", "uid": POD, "outcome": "Failed", "reason": "Error", "exitCode": 1, "runId": RUN}
    status: dict[str, Any] = {"phase": phase, "conditions": conditions, "attempts": [attempt]}
    status |= {"tracking": {"runId": RUN, "url": PAGE}, "metrics": {"pod": "42.0"}}
    return {"metadata": {"name": "a", "uid": UID}, "spec": spec, "status": status}


def succeeded(*ends: str, **spec: Any) -> dict[str, Any]:
    """Return a resource that says that it succeeded, with attempts that ended so."""
    found = resource("Succeeded", "Completed", **spec)
    [attempt] = found["status"]["attempts"]
    reasons = {"Succeeded": "Completed", "Failed": "OOMKilled", "Cancelled": "PodDeleted"}
    uids = [POD, *(f"0000002a-of-pod-{number}" for number in range(2, len(ends) + 1))]
    found["status"]["attempts"] = [
        {**attempt, "uid": uid, "outcome": outcome, "reason": reasons.get(outcome)}
        for uid, outcome in zip(uids, ends, strict=False)
    ]
    return found


def saying(**status: Any) -> dict[str, Any]:
    found = resource()
    return {**found, "status": found["status"] | status}


def job(kind: str = "Failed", reason: str = "BackoffLimitExceeded", **counted: int) -> dict[str, Any]:
    metadata = {"name": "a-job", "labels": {"runyard.dev/uid": UID}}
    counted = counted or ({"succeeded": 1} if kind == "Complete" else {"failed": 1})
    conditions = [{"type": kind, "status": "True", "reason": reason}]
    return {"metadata": metadata, "status": {"conditions": conditions, **counted}}


def pod(phase: str = "Failed", code: int = 1, reason: str = "Error", uid: str = POD, **more: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason}} if phase in {"Failed", "Succeeded"} else {}
    status = {"phase": phase, "containerStatuses": [{"name": "training", "state": state}], **more}
    return {"metadata": {"name": "a-1", "uid": uid, "labels": {"runyard.dev/uid": UID}}, "status": status}


def leaving(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "metadata": found["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}


def run(status: str = "FAILED", pod: str = POD, run_id: str = RUN, value: float = 42) -> dict[str, Any]:
    tags = {"runyard.dev/uid": UID, "runyard.dev/name": "a", "runyard.dev/pod": pod, "runyard.dev/made": "stand-in"}
    return {
        "info": {"run_id": run_id, "status": status, "experiment_id": "0"},
        "data": {
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "metrics": [{"key": "pod", "value": value}],
        },
    }


def by(maker: str | None, found: dict[str, Any], uid: str = UID) -> dict[str, Any]:
    """Return a run as somebody else made it: `None` for the script itself. One that was assigned is of no one pod."""
    tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
    changed = tags | {"runyard.dev/made": maker, "runyard.dev/uid": uid}
    changed |= {"runyard.dev/pod": None} if maker == "assigned" else {}
    kept = [{"key": key, "value": value} for key, value in changed.items() if value]
    return {**found, "data": found["data"] | {"tags": kept}}


UNSEEN = f"{POD}-unseen"


def without_run(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "status": body["status"] | {"tracking": {}, "metrics": {}}}


def unseen_success() -> dict[str, Any]:
    """Return a resource whose only pod came and went while nobody looked."""
    return succeeded()


def two_workers() -> dict[str, Any]:
    return job("Complete", "CompletionsReached", succeeded=2)


Objects: TypeAlias = list[dict[str, Any]]


def afterwards(
    resources: Objects,
    jobs: Objects,
    pods: Objects,
    runs: Objects,
    made: tuple[str, ...] = ("uid-of-job",),
    **seen: str,
) -> Afterwards:
    """`seen` are pods beside those of attempts, by what follows the first one's UID, and the phase of each."""
    attempts = [attempt for body in resources for attempt in body["status"]["attempts"]]
    phases = {found["uid"]: "Succeeded" if found["outcome"] == "Succeeded" else "Failed" for found in attempts}
    phases |= {f"{POD}-{name}": phase for name, phase in seen.items()}
    return Afterwards(resources, jobs, pods, runs, {UID: set(made)}, {UID: phases}, MLFLOW)


COMPLETE = job("Complete", "CompletionsReached")


def lost_pod() -> dict[str, Any]:
    return {"metadata": {"name": "lost", "labels": {"runyard.dev/uid": "uid-of-nobody"}}}


def test_a_true_story_has_no_offenders() -> None:
    assert afterwards([resource()], [job()], [pod()], [run()]).offenders() == []
    assert afterwards([resource()], [job()], [leaving(pod("Running"))], [run()]).offenders() == []
    overdue = afterwards([resource(reason="DeadlineExceeded")], [job(reason="DeadlineExceeded")], [], [run()])
    assert overdue.offenders() == []
    evicted = pod(conditions=[{"type": "DisruptionTarget", "status": "True"}], code=137)
    shown = resource(reason="Evicted")
    shown["status"]["attempts"][0] |= {"outcome": "Cancelled", "reason": "Evicted", "exitCode": 137}
    assert afterwards([shown], [job()], [evicted], [run("KILLED")]).offenders() == []


@pytest.mark.parametrize(
    ("found", "offence"),
    [
        (afterwards([resource("Running")], [job()], [], [run()]), "a is Running, its record Recorded"),
        (afterwards([resource("Succeeded")], [job()], [], [run()]), "a is Succeeded, its Job ['Failed']"),
        (afterwards([resource()], [], [], [run()]), "a has 0 Jobs"),
        (afterwards([resource()], [job(), job()], [], [run()]), "a has 2 Jobs"),
        (afterwards([resource()], [job()], [], [run()], ("1", "2")), f"2 Jobs were made for TrainingRun {UID}"),
        (afterwards([], [], [], [], ("1", "2")), f"2 Jobs were made for TrainingRun {UID}"),
        (afterwards([resource()], [job()], [], [run()], ()), "a: its Job was not seen to be made"),
        (afterwards([resource()], [job()], [], [run(value=43)]), "a: attempt a-1 has the run of another pod"),
        (afterwards([saying(metrics={})], [job()], [], [run()]), "a has the metrics {}, its run {'pod': 42.0}"),
        (
            afterwards([saying(metrics={"pod": "41.0"})], [job()], [], [run()]),
            "a has the metrics {'pod': 41.0}, its run {'pod': 42.0}",
        ),
        (
            afterwards([saying(tracking={"runId": "run-2", "url": PAGE})], [job()], [], [run(), run(run_id="run-2")]),
            f"a: its address is {PAGE}, its run's {MLFLOW}/#/experiments/0/runs/run-2",
        ),
        (
            afterwards([saying(tracking={"runId": "run-2", "url": PAGE})], [job()], [], [run()]),
            "a: its run run-2 is none of its runs in MLflow",
        ),
        (afterwards([saying(tracking={})], [job()], [], [run()]), "a: its run is None, its last attempt's run-1"),
        (afterwards([resource()], [job()], [], [run("FINISHED")]), "a: attempt a-1 Failed, its run FINISHED"),
        (afterwards([resource()], [job()], [], [run("RUNNING")]), "run run-1 of a is RUNNING"),
        (afterwards([resource()], [job()], [], []), "a: attempt a-1 has no record"),
        (afterwards([resource()], [job()], [], [run(), run(run_id="run-2")]), f"2 records of pod {POD}"),
        (
            afterwards([resource()], [job()], [], [run(), run(run_id="run-2", pod="other")]),
            "a: runs of pods that are no attempts of it: {'other'}",
        ),
        (afterwards([resource()], [job()], [lost_pod()], [run()]), "pod lost of no TrainingRun"),
        (afterwards([], [job()], [], []), "a Job of no TrainingRun: a-job"),
        (
            afterwards([resource()], [job()], [pod(code=137)], [run()]),
            "a: attempt a-1 says ('Failed', 'Error', 1), its pod ('Failed', 'Error', 137)",
        ),
        (
            afterwards([resource()], [job()], [pod(reason="OOMKilled")], [run()]),
            "a: attempt a-1 says ('Failed', 'Error', 1), its pod ('Failed', 'OOMKilled', 1)",
        ),
        (
            afterwards([resource()], [job()], [pod("Succeeded", 0)], [run()]),
            "a: attempt a-1 says ('Failed', 'Error', 1), its pod ('Succeeded', 'Completed', 0)",
        ),
        (afterwards([resource()], [job()], [pod("Running")], [run()]), "a is Failed, its pod a-1 Running"),
        (afterwards([resource()], [job()], [pod(uid="other")], [run()]), "a: pod a-1 is no attempt"),
        (
            afterwards([resource()], [job(reason="DeadlineExceeded")], [], [run()]),
            "a failed because of Error, its Job because of DeadlineExceeded",
        ),
        (
            afterwards([resource(reason="DeadlineExceeded")], [job()], [], [run()]),
            "a failed because of DeadlineExceeded, its Job because of BackoffLimitExceeded",
        ),
        (
            afterwards([resource(reason="Evicted")], [job()], [], [run()]),
            "a failed because of Evicted, its attempts because of ['Error']",
        ),
        (
            afterwards([resource("Succeeded")], [COMPLETE], [], [run()]),
            "a is Succeeded because of Error",
        ),
        (
            afterwards([succeeded("Cancelled")], [COMPLETE], [], [run("KILLED")]),
            "a is Succeeded, and 0 of the 1 attempts that it takes",
        ),
        (afterwards([succeeded("Cancelled")], [COMPLETE], [], [run("KILLED")]), "a is Succeeded, its run KILLED"),
        (
            afterwards([succeeded("Failed")], [COMPLETE], [], [run("FAILED")]),
            "a is Succeeded, and 0 of the 1 attempts that it takes",
        ),
        (
            afterwards([without_run(succeeded())], [COMPLETE], [], []),
            "a is Succeeded, and 0 of the 1 attempts that it takes",
        ),
        (afterwards([without_run(succeeded())], [COMPLETE], [], []), "a is Succeeded without a run"),
        (
            afterwards([without_run(succeeded())], [COMPLETE], [], [], unseen="Succeeded"),
            "a is Succeeded without a run",
        ),
        (
            afterwards([succeeded("Succeeded", workers=2)], [two_workers()], [], [by("assigned", run("FINISHED"))]),
            "a is Succeeded, and 1 of the 2 attempts that it takes",
        ),
        (
            afterwards([succeeded("Succeeded", "Succeeded")], [COMPLETE], [], [run("FINISHED")]),
            "a: 2 attempts Succeeded, where its Job counts 1",
        ),
        (
            afterwards([succeeded("Succeeded", "Running")], [COMPLETE], [], [run("FINISHED")]),
            "a is Succeeded, with an attempt that is Running",
        ),
        (
            afterwards([without_run(saying(attempts=[]))], [job(failed=0)], [], []),
            "a is Failed, and none of its attempts",
        ),
        (
            afterwards([without_run(saying(attempts=[]))], [job()], [], []),
            "a: 0 attempts Failed or Cancelled, where its Job counts 1",
        ),
        (
            afterwards([resource()], [job(failed=2)], [], [run()]),
            "a: 1 attempts Failed or Cancelled, where its Job counts 2",
        ),
        (
            afterwards([succeeded("Succeeded")], [job("Complete", succeeded=1, failed=1)], [], [run("FINISHED")]),
            "a: 0 attempts Failed or Cancelled, where its Job counts 1",
        ),
        (
            afterwards([resource(reason="DeadlineExceeded")], [job(reason="DeadlineExceeded", failed=2)], [], [run()]),
            "a: 1 attempts Failed or Cancelled, where its Job counts 2",
        ),
        (
            afterwards([resource()], [job()], [], [run(pod="other")]),
            "a: attempt a-1 has the run of another pod",
        ),
        (
            afterwards([unseen_success()], [COMPLETE], [], [run("FINISHED", pod=UNSEEN)]),
            f"a: runs of pods that are no attempts of it: {{{UNSEEN!r}}}",
        ),
        (
            afterwards([unseen_success()], [COMPLETE], [], [run("KILLED", pod=UNSEEN)], unseen="Succeeded"),
            f"a: pod {UNSEEN}, which nobody saw, Succeeded, its run KILLED",
        ),
        (
            afterwards([unseen_success()], [COMPLETE], [], [run("FINISHED", pod=UNSEEN)], unseen="Failed"),
            f"a: pod {UNSEEN}, which nobody saw, Failed, its run FINISHED",
        ),
        (
            afterwards([unseen_success()], [COMPLETE], [], [run("FINISHED", pod=UNSEEN)], unseen="Failed"),
            "a is Succeeded, and 0 of the 1 attempts that it takes",
        ),
        (
            afterwards(
                [unseen_success()],
                [COMPLETE],
                [pod("Succeeded", 0, "Completed", UNSEEN)],
                [run("FINISHED", pod=UNSEEN)],
                unseen="Succeeded",
            ),
            "a is Succeeded, and 0 of the 1 attempts that it takes",
        ),
        (
            afterwards([resource()], [job(failed=2)], [], [run()], unseen="Succeeded"),
            "a: 1 attempts Failed or Cancelled, where its Job counts 2",
        ),
    ],
)
def test_what_is_untrue_is_found(found: Afterwards, offence: str) -> None:
    assert offence in found.offenders()


def test_a_pod_that_nobody_saw_is_no_offence_and_is_counted() -> None:
    """Its run ended as its Job says, and is the result; that there was such a pod a watch knows."""
    unseen = afterwards([unseen_success()], [COMPLETE], [], [run("FINISHED", pod=UNSEEN)], unseen="Succeeded")
    assert unseen.offenders() == []
    assert unseen.counts()["pods nobody saw"] == {"no attempt, Succeeded": 1}
    failed = saying(attempts=[])
    of_failed = afterwards([failed], [job()], [], [run("FAILED", pod=UNSEEN)], unseen="Failed")
    assert of_failed.offenders() == []
    assert of_failed.counts()["pods nobody saw"] == {"no attempt, Failed": 1}
    assert afterwards([without_run(failed)], [job()], [], [], unseen="Failed").offenders() == []


def test_a_pod_that_nobody_saw_may_come_before_or_after_those_that_were_seen() -> None:
    retried = job("Complete", "CompletionsReached", succeeded=1, failed=1)
    first = afterwards([succeeded("Succeeded")], [retried], [], [run("FINISHED")], unseen="Failed")
    assert first.offenders() == []
    body = succeeded("Failed")
    body["status"]["attempts"][0]["runId"] = "run-of-first"
    runs = [run("FAILED", run_id="run-of-first"), run("FINISHED", pod=UNSEEN)]
    assert afterwards([body], [retried], [], runs, unseen="Succeeded").offenders() == []
    twice = afterwards([resource()], [job(failed=2)], [], [run()], unseen="Failed")
    assert twice.offenders() == []
    assert twice.counts()["pods nobody saw"] == {"no attempt, Failed": 1}


def test_an_attempt_of_which_only_its_run_tells_is_no_offence_and_is_counted() -> None:
    body = succeeded("Succeeded")
    body["status"]["attempts"][0]["pod"] = POD
    found = afterwards([body], [COMPLETE], [], [run("FINISHED")])
    assert found.offenders() == []
    assert found.counts()["pods nobody saw"] == {"known by a run, Succeeded": 1}


def test_an_attempt_has_a_pod_that_was_seen_and_succeeded_only_if_that_did() -> None:
    found = afterwards([succeeded("Succeeded")], [COMPLETE], [], [run("FINISHED")])
    assert found.offenders() == []
    assert replace(found, seen={}).offenders() == ["a: attempt a-1 Succeeded, and no such pod was ever seen"]
    assert replace(found, seen={UID: {POD: "Failed"}}).offenders() == [
        "a: attempt a-1 Succeeded, its pod was Failed when it was last seen"
    ]


def test_a_deadline_may_be_over_before_there_is_a_pod() -> None:
    overdue = without_run(resource(reason="DeadlineExceeded"))
    overdue["status"]["attempts"] = []
    assert afterwards([overdue], [job(reason="DeadlineExceeded", failed=0)], [], []).offenders() == []


def test_as_many_attempts_as_workers_have_succeeded() -> None:
    body = succeeded("Succeeded", "Succeeded", workers=2)
    assert afterwards([body], [two_workers()], [], [by("assigned", run("FINISHED"))]).offenders() == []


def test_a_stand_in_beside_the_scripts_own_run_is_one_too_many() -> None:
    found = afterwards([resource()], [job()], [], [run(), by(None, run(run_id="run-2"))])
    assert found.offenders() == [f"2 records of pod {POD}"]


def test_a_shared_run_ends_as_its_resource_does() -> None:
    assigned = resource(tracking={"run": "Assigned"})
    assert afterwards([assigned], [job()], [], [by("assigned", run("KILLED"))]).offenders() == []
    [offence] = afterwards([assigned], [job()], [], [by("assigned", run("FINISHED"))]).offenders()
    assert offence == "a is Failed, the run of all its attempts FINISHED"


def test_a_run_of_a_deleted_training_has_not_finished() -> None:
    gone = by(None, run("FINISHED", pod="other", run_id="run-2"), uid="uid-gone")
    [offence] = afterwards([resource()], [job()], [], [run(), gone]).offenders()
    assert offence == "run run-2 of a, which was deleted, has finished"


def test_most_trainings_have_to_begin_while_there_are_faults() -> None:
    assert spared(66, 200) == []
    assert spared(67, 200) == ["67 of 200 trainings began only after the last fault: a third may, at most"]


def test_what_came_to_rest_too_late_is_an_offence() -> None:
    assert late(240, 240) == []
    assert late(351.2, 240) == ["at rest 351 s after the last fault, if at all: 240 s were given"]


def test_each_kind_of_training_can_be_created() -> None:
    made = [training(number, random.Random(number)) for number in range(100)]  # noqa: S311
    assert {body["metadata"]["name"].rpartition("-")[0] for body in made} == set(KINDS)
    for body in made:
        validation.parse(body)
