"""What chaos takes for untrue: each offence is found, and a true story has none."""

import random
from typing import Any, TypeAlias

import pytest

from runyard import validation
from tests.chaos.load import KINDS, training
from tests.chaos.verdict import Afterwards, late

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


def saying(**status: Any) -> dict[str, Any]:
    found = resource()
    return {**found, "status": found["status"] | status}


def job(kind: str = "Failed", reason: str = "BackoffLimitExceeded") -> dict[str, Any]:
    metadata = {"name": "a-job", "labels": {"runyard.dev/uid": UID}}
    return {"metadata": metadata, "status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]}}


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


Objects: TypeAlias = list[dict[str, Any]]


def afterwards(
    resources: Objects, jobs: Objects, pods: Objects, runs: Objects, made: tuple[str, ...] = ("uid-of-job",)
) -> Afterwards:
    return Afterwards(resources, jobs, pods, runs, {UID: set(made)}, MLFLOW)


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
            afterwards([resource("Succeeded")], [job("Complete", "CompletionsReached")], [], [run()]),
            "a is Succeeded because of Error",
        ),
    ],
)
def test_what_is_untrue_is_found(found: Afterwards, offence: str) -> None:
    assert offence in found.offenders()


def by(maker: str | None, found: dict[str, Any], uid: str = UID) -> dict[str, Any]:
    """Return a run as somebody else made it: `None` for the script itself."""
    tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
    changed = tags | {"runyard.dev/made": maker, "runyard.dev/uid": uid}
    kept = [{"key": key, "value": value} for key, value in changed.items() if value]
    return {**found, "data": found["data"] | {"tags": kept}}


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


def test_what_came_to_rest_too_late_is_an_offence() -> None:
    assert late(240, 240) == []
    assert late(351.2, 240) == ["at rest 351 s after the last fault, if at all: 240 s were given"]


def test_each_kind_of_training_can_be_created() -> None:
    made = [training(number, random.Random(number)) for number in range(100)]  # noqa: S311
    assert {body["metadata"]["name"].rpartition("-")[0] for body in made} == set(KINDS)
    for body in made:
        validation.parse(body)
