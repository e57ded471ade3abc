"""What a pod's init container says of source and datasets, and what an attempt makes of it."""

import json
from typing import Any

import pytest

from runyard.api.outcome import Attempt, TrainingRunStatus
from runyard.api.records import outcome_tags, source_correction
from runyard.api.source import ResolvedSource
from runyard_operator.attempts import observed
from runyard_operator.jobs import job as job_of
from runyard_operator.objects import Job, Pod
from runyard_operator.paths import own_path
from tests.support.factories import (
    at,
    container,
    job,
    mlflow_run,
    pod,
    running,
    stamp,
    terminated,
    training_run,
    waiting,
)
from tests.support.generate import PLATFORM

COMMIT = "0123456789" * 4
SOURCE = {"git": "https://h/p", "commit": COMMIT, "branch": "main"}
FOUND = [{"name": "wine", "digest": f"sha256:{'0' * 64}"}]
WANTED: dict[str, Any] = {"source": {"git": "https://h/p"}, "datasets": [{"name": "wine", "uri": "https://h/x"}]}


def ended(code: int, message: str, reason: str = "") -> dict[str, Any]:
    """Return the init container, ended fifty seconds after `NOW`."""
    state = {"exitCode": code, "message": message, "reason": reason or ("Error" if code else "Completed")}
    return container("runyard-prepare", terminated={**state, "finishedAt": stamp(at(50))})


def reported(code: int = 0, **report: Any) -> dict[str, Any]:
    """Return the init container that ended with a report."""
    return ended(code, json.dumps(report))


def attempt_of(found: Pod, before: TrainingRunStatus | None = None, of: Job | None = None) -> Attempt:
    [attempt] = observed([found], before or TrainingRunStatus(), of or job(), at(100))
    return attempt


def failed(init: dict[str, Any], **more: Any) -> Attempt:
    """Return the attempt of a pod whose init container has failed."""
    found = pod("wine-1", "Failed", containers=[waiting("PodInitializing")], initContainerStatuses=[init], **more)
    return attempt_of(found)


@pytest.mark.parametrize("reason", ["SourceUnavailable", "DatasetUnavailable", "DatasetMismatch"])
@pytest.mark.parametrize("code", [1, 2])
def test_an_attempt_fails_by_what_could_not_be_fetched(reason: str, code: int) -> None:
    attempt = failed(reported(code, failure={"reason": reason, "message": "why"}))
    assert (attempt.outcome, attempt.reason, attempt.message) == ("Failed", reason, "why")
    assert (attempt.exit_code, attempt.finished_at) == (None, at(50))


def test_the_commit_is_known_where_only_the_data_is_wrong() -> None:
    attempt = failed(reported(2, source=SOURCE, failure={"reason": "DatasetMismatch", "message": "why"}))
    assert attempt.source == ResolvedSource.model_validate(SOURCE)
    assert attempt.datasets is None


@pytest.mark.parametrize(
    ("init", "reason", "message"),
    [
        (ended(137, "", "OOMKilled"), "OOMKilled", "it came while source and datasets were fetched"),
        (ended(1, "Traceback\nOSError: no space\n"), "Error", "exit code 1 of runyard-prepare: OSError: no space"),
        (ended(128, "", "StartError"), "Error", "exit code 128 of runyard-prepare: StartError"),
    ],
)
def test_an_init_container_that_could_report_nothing_is_told_of_as_it_ended(
    init: dict[str, Any], reason: str, message: str
) -> None:
    attempt = failed(init)
    assert (attempt.outcome, attempt.reason, attempt.message) == ("Failed", reason, message)


def test_what_stopped_the_pod_comes_first() -> None:
    evicted = failed(reported(1), conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "Evicted"}])
    assert (evicted.outcome, evicted.reason) == ("Cancelled", "Evicted")


@pytest.mark.parametrize(("deleted", "reason"), [(at(60 + 30), "SourceUnavailable"), (at(40 + 30), "PodDeleted")])
def test_a_pod_that_failed_before_it_was_deleted_has_failed(deleted: Any, reason: str) -> None:
    init = reported(1, failure={"reason": "SourceUnavailable", "message": "why"})
    found = pod(
        "wine-1", "Failed", deleted=deleted, containers=[waiting("PodInitializing")], initContainerStatuses=[init]
    )
    assert attempt_of(found).reason == reason


def test_code_and_data_are_known_while_it_trains_and_stay_known() -> None:
    init = reported(source=SOURCE, datasets=FOUND)
    runs = attempt_of(pod("wine-1", "Running", containers=[running()], initContainerStatuses=[init]))
    assert runs.source
    assert runs.datasets
    assert (runs.source.commit, runs.datasets[0].name) == (COMMIT, "wine")
    before = TrainingRunStatus(attempts=[runs])
    # A kubelet that comes back may have lost what an init container said.
    ends = attempt_of(pod("wine-1", "Failed", containers=[terminated(3)]), before)
    assert (ends.reason, ends.source, ends.datasets) == ("Error", runs.source, runs.datasets)


def test_it_is_told_that_it_is_fetched() -> None:
    init = container("runyard-prepare", running={"startedAt": stamp(at(1))})
    attempt = attempt_of(pod("wine-1", containers=[waiting("PodInitializing")], initContainerStatuses=[init]))
    assert (attempt.outcome, attempt.message) == ("Pending", "source and datasets are being fetched")


def test_the_code_is_on_the_run_as_soon_as_it_is_known_and_at_its_end() -> None:
    attempt = attempt_of(
        pod("wine-1", "Running", containers=[running()], initContainerStatuses=[reported(source=SOURCE)])
    )
    [correction] = source_correction(mlflow_run(), attempt)
    assert (correction.changes_status, correction.new_tags["mlflow.source.git.commit"]) == (False, COMMIT)
    assert source_correction(mlflow_run(tags=correction.tags), attempt) == []
    assert correction.tags.items() < outcome_tags(attempt).items()


def containers_of(**spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a Job's first init container and its training container."""
    built: Any = job_of(training_run(**{**WANTED, **spec}), PLATFORM)
    found = built["spec"]["template"]["spec"]
    return found["initContainers"][0], found["containers"][0]


def test_a_working_dir_of_ones_own_stays() -> None:
    assert containers_of(workingDir="/elsewhere")[1]["workingDir"] == "/elsewhere"
    template = {"spec": {"containers": [{"name": "training", "workingDir": "/below"}]}}
    assert containers_of(podTemplate=template)[1]["workingDir"] == "/below"
    assert "workingDir" not in containers_of(source=None)[1]


def test_only_the_container_that_fetches_sees_the_secret() -> None:
    fetching, training = containers_of(source={"git": "https://h/p", "secretName": "sign-in"})
    assert "/runyard-credentials" in [mount["mountPath"] for mount in fetching["volumeMounts"]]
    assert [mount["mountPath"] for mount in training["volumeMounts"]] == ["/runyard"]


@pytest.mark.parametrize(
    ("uri", "mounts"),
    [
        ("file:///data/deep/x", ["/data"]),
        ("file:///database/x", []),
        ("https://h/data/x", []),
        ("file:///a%20b/x", ["/a b"]),
    ],
)
def test_it_sees_the_volumes_that_it_fetches_from(uri: str, mounts: list[str]) -> None:
    fetching, _ = containers_of(
        datasets=[{"name": "wine", "uri": uri}],
        volumes=[{"name": "v", "emptyDir": {}}],
        volumeMounts=[{"name": "v", "mountPath": "/data"}, {"name": "v", "mountPath": "/a b"}],
    )
    given = {mount["mountPath"]: mount for mount in fetching["volumeMounts"]}
    assert [path for path in given if not path.startswith("/runyard")] == mounts
    assert all(given[path]["readOnly"] for path in mounts)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.template.spec.initContainers[0].volumeMounts[0]", "spec.source"),
        ("spec.template.spec.initContainers[1].image", "spec.podTemplate.spec.initContainers[0].image"),
    ],
)
def test_a_complaint_is_told_with_the_path_that_a_person_wrote(path: str, expected: str) -> None:
    run = training_run(**WANTED, podTemplate={"spec": {"initContainers": [{"name": "own", "image": "x"}]}})
    assert own_path(path, run, job_of(run, PLATFORM)) == expected


def test_the_paths_of_init_containers_stay_where_nothing_is_fetched() -> None:
    run = training_run(podTemplate={"spec": {"initContainers": [{"name": "own", "image": "x"}]}})
    path = "spec.template.spec.initContainers[0].image"
    assert own_path(path, run, job_of(run, PLATFORM)) == "spec.podTemplate.spec.initContainers[0].image"
