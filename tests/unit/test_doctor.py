"""What the doctor says, from what was observed alone: what no test can have for real, and what it cannot see."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.crd import schema
from runyard.api.quantities import quantity
from runyard.api.trainingsweep import TrainingSweep
from runyard.cli.doctor import exit_code
from runyard.doctor import machine_checks, mlflow_checks, namespace_checks, platform_checks
from runyard.doctor.facts import (
    Answer,
    Kind,
    Machine,
    Manifest,
    Namespace,
    Platform,
    Repository,
    Server,
    Silence,
    Unanswered,
)
from runyard.doctor.findings import Finding, Unseen, Verdict, silent, unknown, well, wrong
from runyard.doctor.manifest import read

MACHINE = Machine("3.12.1", "0.1.0", "3.17.2", "/code", {}, "http://mlflow:5000", "MLFLOW_TRACKING_URI")
IN_REPOSITORY = replace(MACHINE, repository=Repository(author="a@example.org"))
OK = Answer(200, "OK")
SERVER = Server(
    "http://mlflow:5000",
    OK,
    Answer(200, "3.17.2"),
    Answer(200, "{}"),
    ("mlflow-artifacts:/0",),
    Answer(200, "{}"),
    Answer(200, "{}"),
    Answer(200, "{}"),
    timedelta(seconds=1),
)
HIDDEN = Unseen("forbidden")


def wrongs(findings: Iterable[Finding]) -> dict[str, str]:
    found = [each for each in findings if each.verdict is Verdict.WRONG]
    assert all(each.why and each.remedy for each in found)
    return {each.check: each.says for each in found}


def unseen(findings: Iterable[Finding]) -> set[str]:
    return {each.check for each in findings if each.verdict is Verdict.UNKNOWN}


def test_a_machine_that_is_well() -> None:
    assert {each.verdict for each in machine_checks.checks(IN_REPOSITORY)} == {Verdict.WELL}


@pytest.mark.parametrize(
    ("change", "check", "remedy"),
    [
        ({"mlflow": None}, "packages", "pip install 'runyard[local]'"),
        ({"tracking_uri": " http://mlflow:5000"}, "tracking-uri", "export MLFLOW_TRACKING_URI=http://mlflow:5000"),
        ({"tracking_uri": "mlflow:5000"}, "tracking-uri", "export MLFLOW_TRACKING_URI=http://mlflow:5000"),
        ({"tracking_uri": "http:///x"}, "tracking-uri", "export MLFLOW_TRACKING_URI=http://HOST:PORT"),
        ({"tracking_uri": "http://m/api/2.0/mlflow"}, "tracking-uri", "export MLFLOW_TRACKING_URI=http://m"),
        ({"tracking_uri": "sqlite:///x", "store": "out-of-date schema"}, "store", "mlflow db upgrade sqlite:///x"),
        ({"environment": {"MLFLOW_EXPERIMENT_ID": "7"}}, "environment", "unset MLFLOW_EXPERIMENT_ID"),
        ({"environment": {"MLFLOW_REGISTRY_URI": "http://x"}}, "environment", "unset MLFLOW_REGISTRY_URI"),
        ({"environment": {"http_proxy": "http://p", "NO_PROXY": "x"}}, "proxy", "export NO_PROXY=x,mlflow"),
        ({"repository": Repository("git is not installed")}, "git", "install git"),
        ({"repository": Repository()}, "git", "git config --global user.email YOU@EXAMPLE.COM"),
        ({"repository": Repository(has_commit=False, author="a")}, "git", "git add . && git commit"),
    ],
)
def test_a_machine_with_one_thing_wrong(change: dict[str, Any], check: str, remedy: str) -> None:
    found = list(machine_checks.checks(replace(IN_REPOSITORY, **change)))
    assert list(wrongs(found)) == [check]
    assert [each.remedy for each in found if each.check == check] == [remedy]


@pytest.mark.parametrize(
    "environment",
    [
        {"HTTP_PROXY": "http://proxy", "no_proxy": "mlflow"},
        {"HTTP_PROXY": "http://proxy", "NO_PROXY": "*"},
        {"https_proxy": "http://proxy"},
        {"MLFLOW_REGISTRY_URI": "http://mlflow:5000/"},
        {"MLFLOW_RUN_ID": "0123", "RUNYARD_POD_UID": "set by the operator, in a training's pod"},
    ],
)
def test_variables_that_do_no_harm(environment: dict[str, str]) -> None:
    assert wrongs(machine_checks.checks(replace(IN_REPOSITORY, environment=environment))) == {}


@pytest.mark.parametrize(
    ("change", "check", "begins"),
    [
        ({"health": Unanswered(Silence.CERTIFICATE, "self-signed")}, "server", "http://mlflow:5000 does not answer"),
        ({"health": Unanswered(Silence.TIMEOUT, "timed out")}, "server", "http://mlflow:5000 does not answer"),
        ({"health": Answer(502, "Bad Gateway")}, "server", "http://mlflow:5000/health answers 502"),
        ({"health": Answer(401, "")}, "server", "http://mlflow:5000 wants a login"),
        ({"version": Answer(200, "4.0.0")}, "version", "the client is MLflow 3.17.2, the server 4.0.0"),
        ({"listing": Answer(503, "… running with `--no-serve-artifacts`. …")}, "artifacts", "the server passes no"),
        ({"listing": Answer(500, "no bucket")}, "artifacts", "artifacts cannot be listed: 500 no bucket"),
        ({"removed": Answer(403, "read only")}, "artifacts", "an artifact can be written, not removed: 403"),
        ({"experiments": Unanswered(Silence.TIMEOUT, "")}, "database", "a search of experiments is not answered"),
        ({"ahead": timedelta(seconds=-31)}, "clock", "this machine's clock is 31 s ahead of the server's"),
    ],
)
def test_a_server_with_one_thing_wrong(change: dict[str, Any], check: str, begins: str) -> None:
    found = wrongs(mlflow_checks.checks(replace(SERVER, **change), "3.17.2"))
    assert list(found) == [check]
    assert found[check].startswith(begins)


def test_a_server_that_is_well_and_what_is_not_known_of_one() -> None:
    assert {each.verdict for each in mlflow_checks.checks(SERVER, "3.17.2")} == {Verdict.WELL}
    assert unseen(mlflow_checks.checks(replace(SERVER, written=None, ahead=None, version=None), None)) == {
        "version",
        "artifacts",
        "clock",
    }
    direct = mlflow_checks.checks(replace(SERVER, roots=("s3://bucket/0",)), "3.17.2")
    assert unseen(direct) == {"artifacts"}
    silent_server = Server("http://mlflow", Unanswered(Silence.REFUSED, "refused"))
    found = list(mlflow_checks.checks(silent_server, "3.17.2"))
    assert unseen(found) == {"version", "database", "artifact-root", "artifacts", "clock"}
    assert exit_code(found) == 4


HIDDEN_KIND = Kind(definition=HIDDEN, policies={"policy": HIDDEN, "binding": HIDDEN})
HIDDEN_PLATFORM = Platform(
    "kind",
    "v1.34.4",
    "runyard",
    trainings=HIDDEN_KIND,
    sweeps=HIDDEN_KIND,
    deployments=HIDDEN,
    pods=HIDDEN,
    claims=HIDDEN,
    lease=HIDDEN,
)


def test_who_may_see_nothing_of_the_platform_is_told_that_nothing_is_known() -> None:
    found = list(platform_checks.checks(HIDDEN_PLATFORM, "0.1.0", "team"))
    assert unseen(found) == {each.check for each in found} - {"cluster"}
    assert exit_code(found) == 0


def defined(known: Any, established: str = "True") -> Kind:
    version: Any = {"name": "v1alpha1", "schema": {"openAPIV3Schema": known}}
    conditions: Any = [{"type": "Established", "status": established}]
    return Kind(definition={"spec": {"versions": [version]}, "status": {"conditions": conditions}})


@pytest.mark.parametrize(
    ("change", "check", "begins"),
    [
        ({"trainings": Kind(is_served=False)}, "definition", "the definition of TrainingRuns is not installed"),
        ({"trainings": defined(schema(), "False")}, "definition", "the definition of TrainingRuns is not estab"),
        ({"trainings": defined({**schema(), "description": "x"})}, "definition", "the definition of TrainingRuns is a"),
        ({"trainings": defined({})}, "definition", "the definition of TrainingRuns is another one"),
        ({"sweeps": Kind(is_served=False)}, "sweeps", "the definition of TrainingSweeps is not installed"),
        ({"sweeps": defined(schema())}, "sweeps", "the definition of TrainingSweeps is another one"),
        (
            {"sweeps": Kind(definition=HIDDEN, policies={"policy": False})},
            "sweeps-policy",
            "ValidatingAdmissionPolicy trainingsweeps-parameters.runyard.dev: not there",
        ),
        ({"lease": None}, "lease", "there is no Lease of the operator: none has ever led"),
        ({"deployments": []}, "operator", "there is no operator in the namespace runyard"),
        ({"pods": []}, "platform", "there are no pods of Runyard in the namespace runyard"),
        ({"claims": (), "fullness": {"data-minio-0": 0.93}}, "fullness", "the volume of data-minio-0 is 93% full"),
    ],
)
def test_a_platform_with_one_thing_wrong(change: dict[str, Any], check: str, begins: str) -> None:
    found = wrongs(platform_checks.checks(replace(HIDDEN_PLATFORM, **change), "0.1.0", "team"))
    assert list(found) == [check]
    assert found[check].startswith(begins)


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({"phase": "Succeeded"}, ""),
        ({"phase": "Failed", "reason": "Evicted"}, ""),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, ""),
        ({"phase": "Pending"}, "its phase is Pending"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]},
            "Unschedulable: full",
        ),
        (
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}], "phase": "Pending"},
            "ErrImagePull",
        ),
        ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}, "its"),
        ({"conditions": 7, "containerStatuses": "x"}, "its phase is unknown"),
    ],
)
def test_why_a_pod_is_not_ready(status: dict[str, Any], trouble: str) -> None:
    assert platform_checks.trouble_of({"status": status}).startswith(trouble)
    assert bool(trouble) == bool(platform_checks.trouble_of({"status": status}))


NAMESPACE = Namespace("team", {"metadata": {"name": "team"}}, {"create trainingruns": True})


def quota(resource: str, hard: str, used: str) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "status": {"hard": {resource: hard}, "used": {resource: used}}}


@pytest.mark.parametrize(
    ("resource", "hard", "used", "is_full"),
    [
        ("requests.cpu", "4", "4000m", True),
        ("requests.cpu", "4", "3999m", False),
        ("limits.memory", "8Gi", "9663676416", True),
        ("requests.nvidia.com/gpu", "0", "0", True),
        ("count/jobs.batch", "10", "11", True),
        ("services.loadbalancers", "0", "0", False),
        ("pods", "many", "many", False),
    ],
)
def test_a_quota_has_room_or_none(resource: str, hard: str, used: str, is_full: bool) -> None:  # noqa: FBT001 a table's
    found = wrongs(namespace_checks.checks(replace(NAMESPACE, quotas=[quota(resource, hard, used)])))
    assert list(found) == ["quota"] * is_full


def training(phase: str) -> dict[str, Any]:
    return {"metadata": {"name": "wine"}, "spec": {"queueName": "gpus"}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("phase", "queues", "says"),
    [
        ("Pending", None, "wine names the queue gpus, and the cluster has no Kueue"),
        ("Pending", ["cpus"], "wine names the queue gpus, and team has cpus"),
        ("Pending", [], "wine names the queue gpus, and team has none"),
        ("Pending", ["gpus"], ""),
        ("Succeeded", None, ""),
    ],
)
def test_a_training_waits_in_a_queue(phase: str, queues: list[str] | None, says: str) -> None:
    found = wrongs(namespace_checks.checks(replace(NAMESPACE, trainings=[training(phase)], queues=queues)))
    assert found == ({"queues": says} if says else {})


def test_a_sweep_is_a_manifest_too_and_names_its_trials_image(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "wine" / "sweep.yaml"
    facts, found = read(example)
    assert facts == Manifest("sweep.yaml", kind="TrainingSweep", image="runyard/runtime:0.1.0")
    assert isinstance(found, TrainingSweep)
    wrong_one = tmp_path / "sweep.yaml"
    wrong_one.write_text(example.read_text().replace("$(params.n_estimators)", "$(params.n)"))
    facts, found = read(wrong_one)
    assert found is None
    assert facts.problem.startswith('The TrainingSweep "wine-forests" is invalid: spec.template.args[0]: ')


def test_of_a_manifest_without_a_cluster_only_the_file_is_known() -> None:
    found = list(namespace_checks.manifest_checks(Manifest("wine.yaml"), None))
    assert (wrongs(found), unseen(found)) == ({}, {"admission"})
    hidden = Manifest("wine.yaml", image="x", admitted="", pod_admitted=HIDDEN, missing=HIDDEN)
    assert unseen(namespace_checks.manifest_checks(hidden, NAMESPACE)) == {"admission", "references", "image"}


@given(
    st.lists(st.sampled_from([well("a", ""), unknown("b", ""), wrong("c", "", "w", "r"), silent("d", "", "w", "r")]))
)
def test_the_exit_code_is_the_worst_of_what_was_found(found: list[Finding]) -> None:
    checks = {each.check for each in found}
    assert exit_code(found) == (4 if "d" in checks else 1 if "c" in checks else 0)


@given(st.integers(0, 10**9), st.sampled_from(["", "k", "Ki", "M", "Mi", "m", "e3"]))
def test_quantities_are_numbers(number: int, suffix: str) -> None:
    factors = {"": 1, "k": 1000, "Ki": 1024, "M": 10**6, "Mi": 1024**2, "m": 0.001, "e3": 1000}
    found = quantity(f"{number}{suffix}")
    assert found is not None
    assert float(found) == pytest.approx(number * factors[suffix])


@given(st.text(max_size=8))
def test_what_is_no_quantity_is_none(text: str) -> None:
    found = quantity(text)
    assert found is None or found.is_finite()
