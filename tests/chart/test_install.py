"""The chart, installed: what comes up, what can be called, what fails and in which words."""

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from tests.chart.release import INGRESS, NAME, Caller, Release, connects, logs, recorded, restarts
from tests.chart.rendered import Object, helm
from tests.cluster.installation import Installation
from tests.cluster.training import condition, finished, of_shell
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.cluster
REPLICAS = 3
AS_TRAINING = {"runyard.dev/uid": "test"}
WRITES_AND_READS = """
import mlflow
mlflow.set_experiment("artifacts")
with mlflow.start_run() as run:
    mlflow.log_text("kept", "note.txt")
print(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/note.txt"))
"""


@contextmanager
def made(kubectl: Kubectl, prefix: str) -> Iterator[Kubectl]:
    """A namespace for restricted pods."""
    namespace = f"{prefix}-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    inside = kubectl.within(namespace)
    wait_for("the default account is there", lambda: inside.items("serviceaccounts") or None)
    yield inside
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def elsewhere(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that trains."""
    with made(kubectl, "team") as inside:
        yield inside


@pytest.fixture(scope="module")
def release(kubectl: Kubectl, elsewhere: Kubectl) -> Iterator[Release]:
    """The release with several replicas of MLflow that met an empty database together."""
    with made(kubectl, "proof") as inside:
        release = Release(inside, str(elsewhere.namespace))
        release.let_installer_in()
        try:
            release.install(REPLICAS)
            yield release
        finally:
            helm("uninstall", NAME, f"--namespace={inside.namespace}", f"--kubeconfig={kubectl.kubeconfig}")


@pytest.fixture(scope="module")
def training(elsewhere: Kubectl, release: Release) -> Caller:
    """A pod as the operator makes it, once its network is ready."""
    caller = Caller(elsewhere, "training").start(AS_TRAINING)
    host = f"{NAME}-mlflow.{release.namespace}.svc"
    wait_for("a training pod reaches MLflow", lambda: caller.reaches(host, 5000))
    return caller


def test_replicas_that_meet_an_empty_database_together_all_come_up_at_once(release: Release) -> None:
    pods = release.pods("mlflow")
    assert len(pods) == REPLICAS
    assert [restarts(pod) for pod in pods] == [{"database": 0, "bucket": 0, "mlflow": 0}] * REPLICAS
    told = [logs(release.kubectl, pod, "database") for pod in pods]
    assert sum("migrating from an empty database" in log for log in told) == 1
    assert sum("as it should be" in log for log in told) == REPLICAS - 1


def test_everything_runs_and_nothing_had_to_be_started_again(release: Release) -> None:
    pods = release.kubectl.items("pods")
    assert len(pods) == REPLICAS + len(("dashboard", "minio", "operator", "postgres"))
    assert not [pod["metadata"]["name"] for pod in pods if any(restarts(pod).values())]


def test_people_open_it_through_the_ingress(release: Release) -> None:
    def opened() -> str | None:
        status, body = release.ask("/")
        return body if status == 200 else None

    assert "<title>MLflow</title>" in wait_for(f"{release.host} answers through the ingress", opened)


def test_a_training_in_another_namespace_writes_and_reads_artifacts_without_a_credential(
    training: Caller, release: Release
) -> None:
    uri = f"http://{NAME}-mlflow.{release.namespace}.svc:5000"
    program = f"import os; os.environ['MLFLOW_TRACKING_URI'] = {uri!r}\n{WRITES_AND_READS}"
    assert training.python(program).splitlines()[-1] == "kept"


def test_a_training_reaches_neither_the_database_nor_the_object_store(training: Caller, release: Release) -> None:
    assert not training.reaches(f"{NAME}-postgres.{release.namespace}.svc", 5432)
    assert not training.reaches(f"{NAME}-minio.{release.namespace}.svc", 9000)


def test_any_other_pod_does_not_reach_mlflow(elsewhere: Kubectl, training: Caller, release: Release) -> None:
    host = f"{NAME}-mlflow.{release.namespace}.svc"
    stranger = Caller(elsewhere, "stranger").start({"app": "stranger"})
    assert training.reaches(host, 5000)
    assert not stranger.reaches(host, 5000)
    with made(elsewhere, "unwatched") as unwatched:
        assert not Caller(unwatched, "training").start(AS_TRAINING).reaches(host, 5000)


def test_mlflow_reaches_its_stores_and_nothing_else(release: Release) -> None:
    pod = release.pods("mlflow")[0]["metadata"]["name"]

    def reaches(host: str, port: int) -> bool:
        return connects(release.kubectl, pod, host, port)

    assert reaches(f"{NAME}-postgres", 5432)
    assert reaches(f"{NAME}-minio", 9000)
    assert not reaches("kubernetes.default.svc", 443)


@pytest.fixture
def alone(kubectl: Kubectl, release: Release) -> Iterator[Release]:
    """The release while no other is at work: the one that watches every namespace is away."""
    other = kubectl.within("runyard")
    with Installation(other, MlflowRest(INGRESS)).without("operator"):
        yield release


def test_it_trains_in_the_named_namespace_and_in_no_other(elsewhere: Kubectl, alone: Release) -> None:
    run = of_shell("named", "echo trained")
    for kubectl in (alone.kubectl, elsewhere):
        kubectl.apply(run)

    def settled() -> Object | None:
        found = elsewhere.get("trainingrun", "named")
        is_told = condition(found.get("status", {}), "Tracked")["reason"] == "Recorded"
        return found if is_told else None

    found = wait_for("it is trained, and on record", settled, timeout_seconds=90)
    uid = found["metadata"]["uid"]
    done = finished(elsewhere, MlflowRest(f"http://{alone.host}:8080"), uid, found["status"])
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "trained")
    [record] = done.runs
    assert tags_of(record)["runyard.dev/installation"] == alone.identity
    assert "status" not in alone.kubectl.get("trainingrun", "named"), "its own namespace is not among the named"
    # The dashboard sees what the operator does.
    status, answer = alone.ask("/runs/api/v1/trainings")
    assert status == 200, answer
    listed = json.loads(answer)
    assert (listed["problem"], [each["namespace"] for each in listed["trainings"]]) == ("", [elsewhere.namespace])
    for kubectl in (alone.kubectl, elsewhere):
        kubectl("delete", "trainingrun", "named")


def test_an_upgrade_keeps_the_passwords(release: Release) -> None:
    before = release.secret_ids()
    assert set(before) == {f"{NAME}-postgres", f"{NAME}-minio"}
    release.install(replicas=1)
    assert release.secret_ids() == before


def test_a_database_that_a_newer_mlflow_has_used_is_refused_in_words(release: Release) -> None:
    [known] = release.sql("SELECT version_num FROM alembic_version").splitlines()
    release.sql("UPDATE alembic_version SET version_num = 'fromthefuture'")
    release.restart("mlflow")
    assert "schema revision fromthefuture, which MLflow 3." in release.refusal()
    release.sql(f"UPDATE alembic_version SET version_num = '{known}'")  # noqa: S608 it is what the database said
    release.restart("mlflow")
    release.wait_until_ready("mlflow")


def test_an_old_volume_that_meets_a_new_password_is_told_of_in_words(release: Release) -> None:
    name = f"{NAME}-postgres"
    old = recorded(release.kubectl, name)
    lost = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    release.kubectl("delete", "secret", name)
    release.kubectl.apply({**lost, "stringData": {"password": "another"}})
    release.restart("postgres")
    release.wait_until_ready("postgres")
    release.restart("mlflow")
    said = release.refusal()
    assert f"refuses the password in Secret {name}" in said
    assert f"volume of claim data-{name}-0 keeps the password" in said
    assert base64.b64decode(old["password"]).decode() not in said
    release.kubectl("delete", "secret", name)
    labels = {"app.kubernetes.io/part-of": "runyard"}
    kept = {**lost, "metadata": {"name": name, "labels": labels}, "data": old}
    release.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(kept))
    release.restart("mlflow")
    release.wait_until_ready("mlflow")


def test_an_uninstalled_release_leaves_passwords_and_volumes_and_is_installed_again_on_them(release: Release) -> None:
    before = release.secret_ids()
    runs = release.sql("SELECT count(*) FROM runs")
    done = helm("uninstall", NAME, f"--namespace={release.namespace}", f"--kubeconfig={release.kubectl.kubeconfig}")
    assert done.returncode == 0, done.stderr
    assert release.secret_ids() == before
    assert len(release.kubectl.items("pvc")) == 2
    wait_for("every pod is gone", lambda: not release.kubectl.items("pods"), timeout_seconds=90)
    release.install(replicas=1)
    assert release.secret_ids() == before
    assert release.sql("SELECT count(*) FROM runs") == runs
