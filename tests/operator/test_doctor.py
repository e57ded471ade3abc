"""`runyard doctor --cluster` at a real API server: healthy, and with one thing wrong at a time."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard.cli import main
from runyard.doctor.findings import Verdict
from tests.chart.rendered import Object, render
from tests.operator.conftest import ROOT, with_definition
from tests.operator.pretending import pretending
from tests.support.apiserver import ApiServer, free_port
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

RELEASE, TEAM = "runyard", "team"
SWEEPS = "trainingsweeps.runyard.dev"
DEFINITION, CLAIM = "trainingruns.runyard.dev", "data-runyard-postgres-0"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{RELEASE}/leases/runyard-operator"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
PODS = (
    ("Deployment", "runyard-operator"),
    ("Deployment", "runyard-mlflow"),
    ("StatefulSet", "runyard-postgres"),
    ("StatefulSet", "runyard-minio"),
)
CRASHING = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [
        {
            "name": "postgres",
            "image": "postgres:17",
            "imageID": "",
            "ready": False,
            "restartCount": 9,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        }
    ],
}


@dataclass(frozen=True)
class Cluster:
    """An API server with a release in it, as its controllers and kubelets would have it."""

    server: ApiServer
    kubeconfig: Path
    renewing: threading.Event

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        done = self.server.kubectl(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, *objects: Object) -> None:
        self.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def patch(self, namespace: str, what: str, body: Object, *more: str) -> None:
        self.kubectl("-n", namespace, "patch", *what.split("/"), "--type=merge", "-p", json.dumps(body), *more)

    def status(self, namespace: str, what: str, status: Object) -> None:
        self.patch(namespace, what, {"status": status}, "--subresource=status")


def token_of(server: ApiServer, account: str) -> str:
    assert server.kubectl("-n", TEAM, "create", "serviceaccount", account).returncode == 0
    return server.kubectl("-n", TEAM, "create", "token", account).stdout.strip()


def contexts(server: ApiServer, home: Path) -> Path:
    """Return a kubeconfig: one who may do all, one who may do nothing, and a cluster that is not there."""
    found = json.loads(server.kubeconfig.read_text())
    gone = {"server": f"https://127.0.0.1:{free_port()}"}
    found["clusters"].append({"name": "gone", "cluster": gone})
    found["users"].append({"name": "nobody", "user": {"token": token_of(server, "nobody")}})
    found["contexts"] = [
        {"name": name, "context": {"cluster": cluster, "user": user, "namespace": TEAM}}
        for name, cluster, user in (("admin", "test", "admin"), ("nobody", "test", "nobody"), ("gone", "gone", "admin"))
    ]
    found["current-context"] = "admin"
    (home / "kubeconfig").write_text(json.dumps(found))
    return home / "kubeconfig"


@pytest.fixture(scope="module")
def cluster(mlflow: MlflowRest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_definition() as server:
        server.kubectl("create", "namespace", RELEASE)
        server.kubectl("create", "namespace", TEAM)
        server.kubectl("label", "namespace", TEAM, "pod-security.kubernetes.io/enforce=restricted")
        home = tmp_path_factory.mktemp("person")
        found = Cluster(server, contexts(server, home), threading.Event())
        install(found, mlflow)
        stop = threading.Event()
        found.renewing.set()
        renewing = threading.Thread(target=renew, args=(found, stop), daemon=True)
        renewing.start()
        yield found
        stop.set()
        renewing.join()


def install(cluster: Cluster, mlflow: MlflowRest) -> None:
    """Put the chart's objects there, with what the controllers and kubelets would say of them."""
    chart = render(values={"ingress": {"publicUrl": mlflow.url}})
    operator = chart.one("Deployment", "runyard-operator")
    cluster.create(operator)
    replicas = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1}
    cluster.status(RELEASE, "deployment/runyard-operator", replicas)
    pods = []
    for kind, name in PODS:
        template = chart.one(kind, name)["spec"]["template"]
        spec = {**template["spec"], "volumes": [], "containers": [], "initContainers": []}
        for group in ("containers", "initContainers"):
            spec[group] = [{**each, "volumeMounts": []} for each in template["spec"].get(group, [])]
        named = {"name": f"{name}-0", "namespace": RELEASE, "labels": template["metadata"]["labels"]}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec})
    cluster.create(*pods)
    for _, name in PODS:
        cluster.status(RELEASE, f"pod/{name}-0", READY)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": RELEASE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Gi"}}},
    }
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "runyard-operator", "namespace": RELEASE},
        "spec": {"holderIdentity": "runyard-operator-0", "leaseDurationSeconds": 5, "renewTime": now()},
    }
    cluster.create(claim, lease)
    cluster.status(RELEASE, f"pvc/{CLAIM}", {"phase": "Bound"})


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def renew(cluster: Cluster, stop: threading.Event) -> None:
    """Renew the Lease, as the operator does, whenever it is to be renewed."""
    while not stop.wait(0.2):
        if cluster.renewing.is_set():
            cluster.server.api.call("PATCH", LEASE, {"spec": {"renewTime": now()}})


Doctor = Callable[..., tuple[int, list[Object]]]


@pytest.fixture
def doctor(
    cluster: Cluster, mlflow: MlflowRest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Ask as a person does; the exit code comes of it, and what was found."""
    # The client reads the variable when it is first imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig))
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_CONTEXT", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.url)

    def ask(*words: str) -> tuple[int, list[Object]]:
        monkeypatch.setattr(sys, "argv", ["runyard", "doctor", *words, "-o", "json"])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        findings: list[Object] = json.loads(said.out)["findings"] if said.out else [{"error": said.err}]
        return int(ended.value.code or 0), findings

    return ask


def wrongs(found: list[Object]) -> dict[str, str]:
    """Return what is wrong, by check; each has a reason and a remedy."""
    listed = [each for each in found if each["verdict"] == Verdict.WRONG]
    assert all(each["why"] and each["remedy"] for each in listed)
    return {each["check"]: each["says"] for each in listed}


def manifest(folder: Path, **spec: Any) -> str:
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": "wine"},
        "spec": {"image": "example/image:1", "command": ["true"], **spec},
    }
    file = folder / "wine.yaml"
    file.write_text(yaml.safe_dump(body))
    return str(file)


def test_where_nothing_is_wrong_nothing_is_found(
    doctor: Doctor, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = cluster.kubectl("get", "trainingruns,pods,secrets,jobs,configmaps", "-A", "-o", "name")
    code, found = doctor(manifest(tmp_path))
    assert wrongs(found) == {}
    assert code == 0
    # What this API server has nobody for, and what nobody can see, is said.
    unseen = {each["check"] for each in found if each["verdict"] == Verdict.UNKNOWN}
    assert unseen == {"git", "fullness", "image"}
    assert {each["check"] for each in found} == CHECKS
    assert cluster.kubectl("get", "trainingruns,pods,secrets,jobs,configmaps", "-A", "-o", "name") == before


Change = tuple[str, str, Object]


def operator_says(name: str, value: str) -> Object:
    """Return a patch of a variable of the operator's; the list of containers is replaced as a whole."""
    env = [{"name": name, "value": value}]
    container = {"name": "operator", "image": "runyard/operator:0.1.0", "env": env}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


CHECKS = {
    *("packages", "tracking-uri", "environment", "proxy", "git"),
    *("server", "version", "database", "artifact-root", "artifacts", "clock"),
    *(
        "cluster",
        "definition",
        "policy",
        "sweeps",
        "sweeps-policy",
        "operator",
        "watched",
        "lease",
        "platform",
        "volumes",
        "fullness",
    ),
    *("ingress", "same-mlflow", "namespace", "rights", "quota", "images", "queues"),
    *("manifest", "admission", "references", "image"),
}
QUOTA = {"hard": {"pods": "2"}, "used": {"pods": "2"}}
SEEDED: dict[str, tuple[list[Change], str, str]] = {
    "no operator is ready": (
        [(RELEASE, "deployment/runyard-operator", {"status": {"readyReplicas": 0, "availableReplicas": 0}})],
        "operator",
        "no pod of the operator is ready",
    ),
    "the operator is of another version": (
        [(RELEASE, "deployment/runyard-operator", {"metadata": {"labels": {"app.kubernetes.io/version": "9.0.0"}}})],
        "operator",
        "the operator is 9.0.0, this Runyard 0.1.0",
    ),
    "the namespace is not watched": (
        [(RELEASE, "deployment/runyard-operator", operator_says("RUNYARD_NAMESPACES", "team-a,team-b"))],
        "watched",
        "the operator watches team-a, team-b, not team",
    ),
    "the address for people is wrong": (
        [(RELEASE, "deployment/runyard-operator", operator_says("RUNYARD_PUBLIC_TRACKING_URL", "http://127.0.0.1:9"))],
        "ingress",
        "http://127.0.0.1:9, which trainings' statuses name, does not answer from here",
    ),
    "the database's pod crashes": (
        [(RELEASE, "pod/runyard-postgres-0", {"status": CRASHING})],
        "platform",
        "the pod runyard-postgres-0 is not ready: CrashLoopBackOff: back-off 5m0s",
    ),
    "a volume is not bound": (
        [(RELEASE, f"pvc/{CLAIM}", {"status": {"phase": "Pending"}})],
        "volumes",
        "the volume claim data-runyard-postgres-0 is Pending",
    ),
    "nobody leads": (
        [(RELEASE, "lease/runyard-operator", {"spec": {"holderIdentity": ""}})],
        "lease",
        "nobody holds the Lease runyard-operator",
    ),
}


@pytest.mark.parametrize("seed", SEEDED)
def test_a_platform_with_one_thing_wrong(seed: str, doctor: Doctor, cluster: Cluster) -> None:
    changes, check, says = SEEDED[seed]
    before = {what: json.loads(cluster.kubectl("-n", where, "get", what, "-o", "json")) for where, what, _ in changes}
    for where, what, change in changes:
        cluster.patch(where, what, change, *(["--subresource=status"] if "status" in change else []))
    code, found = doctor("--cluster")
    for where, what, change in changes:
        for part in change:
            back = {part: {key: before[what].get(part, {}).get(key) for key in change[part]}}
            cluster.patch(where, what, back, *(["--subresource=status"] if part == "status" else []))
    assert code == 1
    assert list(wrongs(found)) == [check]
    assert wrongs(found)[check].startswith(says)


def test_a_lease_that_nobody_renews(doctor: Doctor, cluster: Cluster) -> None:
    cluster.renewing.clear()
    try:
        code, found = doctor("--cluster")
    finally:
        cluster.renewing.set()
    assert code == 1
    says = "runyard-operator-0 holds the Lease runyard-operator, and did not renew it in 5 s"
    assert wrongs(found) == {"lease": says}


def test_another_mlflow_than_the_operators(doctor: Doctor, other_mlflow: str) -> None:
    code, found = doctor("--cluster", "--tracking-uri", other_mlflow)
    assert (code, wrongs(found)) == (1, {"same-mlflow": "this MLflow is not the operator's"})


@pytest.fixture
def other_mlflow() -> Iterator[str]:
    """What answers as another MLflow would: one whose first experiment was made at another time."""
    first = {"experiment": {"experiment_id": "0", "creation_time": 1, "artifact_location": "mlflow-artifacts:/0"}}
    with pretending({"/api/2.0/mlflow/experiments/get": json.dumps(first)}) as uri:
        yield uri


def test_a_person_without_rights(doctor: Doctor) -> None:
    code, found = doctor("--cluster", "--context", "nobody")
    assert code == 1
    lacking = (
        "create trainingruns.runyard.dev, get trainingruns.runyard.dev, watch trainingruns.runyard.dev, get pods/log"
    )
    assert wrongs(found) == {"rights": f"one may not {lacking} in team"}
    said = {each["check"]: each["says"] for each in found if each["verdict"] == Verdict.UNKNOWN}
    assert {"definition", "policy", "operator", "watched", "lease", "platform", "quota", "images"} <= said.keys()
    assert 'cannot list resource "deployments" in API group "apps"' in said["operator"]


def test_a_cluster_that_does_not_answer(doctor: Doctor) -> None:
    code, found = doctor("--cluster", "--context", "gone")
    assert (code, list(wrongs(found))) == (4, ["cluster"])
    assert wrongs(found)["cluster"].startswith("gone: the cluster does not answer: ")
    code, found = doctor("--context", "none-of-this-name")
    assert (code, list(wrongs(found))) == (4, ["cluster"])


def test_a_namespace_that_is_not_there(doctor: Doctor) -> None:
    code, found = doctor("--cluster", "-n", "nowhere")
    assert (code, wrongs(found)) == (1, {"namespace": "there is no namespace nowhere"})


def test_a_quota_that_is_used_up(doctor: Doctor, cluster: Cluster) -> None:
    metadata = {"name": "small", "namespace": TEAM}
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "2"}}})
    cluster.status(TEAM, "resourcequota/small", QUOTA)
    code, found = doctor("--cluster")
    cluster.kubectl("-n", TEAM, "delete", "resourcequota", "small")
    assert (code, wrongs(found)) == (1, {"quota": "the quota small is used up: pods 2 of 2"})


def test_a_training_whose_image_cannot_be_pulled(doctor: Doctor, cluster: Cluster) -> None:
    pod = yaml.safe_load((ROOT / "tests/data/jobs/minimal.out.yaml").read_text())["spec"]["template"]
    metadata = {**pod["metadata"], "name": "wine-1", "namespace": TEAM}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]})
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "runyard/runtme:0.1.0"'}
    container = {"name": "training", "image": "runyard/runtme:0.1.0", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Pending", "containerStatuses": [{**container, "state": {"waiting": waiting}}]}
    cluster.status(TEAM, "pod/wine-1", status)
    code, found = doctor("--cluster")
    cluster.kubectl("-n", TEAM, "delete", "pod", "wine-1", "--grace-period=0", "--force")
    assert (code, list(wrongs(found))) == (1, ["images"])
    assert wrongs(found)["images"].startswith("runyard/runtme:0.1.0 cannot be pulled: Back-off pulling image")


@pytest.mark.parametrize(
    ("spec", "check", "says"),
    [
        ({"queueName": "gpus"}, "queues", "wine.yaml names the queue gpus, and the cluster has no Kueue"),
        (
            {"podTemplate": {"spec": {"hostNetwork": True}}},
            "admission",
            'team does not take its pod: pods "runyard-doctor-',
        ),
        (
            {"envFrom": [{"secretRef": {"name": "keys"}}], "serviceAccountName": "trainer"},
            "references",
            "wine.yaml names what team has not: ServiceAccount trainer, Secret keys",
        ),
        ({"comand": ["true"]}, "manifest", 'TrainingRun in version "v1alpha1" cannot be handled as a TrainingRun'),
    ],
    ids=["queue", "security", "references", "field"],
)
def test_a_manifest_that_would_not_train(spec: Object, check: str, says: str, doctor: Doctor, tmp_path: Path) -> None:
    code, found = doctor("--cluster", manifest(tmp_path, **spec))
    assert (code, list(wrongs(found))) == (1, [check])
    assert wrongs(found)[check].startswith(says)


def test_a_manifest_whose_training_is_there_already_is_tried_all_the_same(
    doctor: Doctor, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.kubectl("-n", TEAM, "create", "-f", manifest(tmp_path))
    code, found = doctor("--cluster", manifest(tmp_path))
    assert (code, wrongs(found)) == (0, {})
    code, found = doctor("--cluster", manifest(tmp_path, resources={"limits": {"memory": "much"}}))
    cluster.kubectl("-n", TEAM, "delete", "trainingrun", "wine")
    assert (code, list(wrongs(found))) == (1, ["manifest"])


def sweep(folder: Path, **template: Any) -> str:
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingSweep",
        "metadata": {"name": "wines"},
        "spec": {
            "template": {"image": "example/image:1", "command": ["true"], "args": ["$(params.x)"], **template},
            "parameters": {"x": {"values": ["shallow", "deep"]}},
            "objective": {"metric": "f1"},
        },
    }
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(body))
    return str(file)


def test_a_sweep_is_looked_at_with_the_pod_of_a_trial(doctor: Doctor, tmp_path: Path) -> None:
    code, found = doctor("--cluster", sweep(tmp_path))
    assert (code, wrongs(found)) == (0, {})
    says = {each["check"]: each["says"] for each in found if each["about"].endswith("sweep.yaml")}
    assert (says["manifest"], says["admission"]) == ("sweep.yaml is a TrainingSweep", "team takes it and its pod")
    code, found = doctor("--cluster", sweep(tmp_path, podTemplate={"spec": {"hostNetwork": True}}))
    assert (code, list(wrongs(found))) == (1, ["admission"])
    assert wrongs(found)["admission"].startswith('team does not take its pod: pods "runyard-doctor-')
    code, found = doctor("--cluster", sweep(tmp_path, args=["$(params.y)"]))
    assert wrongs(found)["manifest"].startswith('The TrainingSweep "wines" is invalid: spec.template.args[0]')


def test_a_manifest_that_is_not_there(doctor: Doctor) -> None:
    code, [said] = doctor("nowhere.yaml", "--cluster")
    assert (code, said["error"]) == (2, "runyard: nowhere.yaml cannot be read: there is no such file\n")


def test_a_training_that_waits_in_a_queue_without_kueue(doctor: Doctor, cluster: Cluster, tmp_path: Path) -> None:
    cluster.kubectl("-n", TEAM, "create", "-f", manifest(tmp_path, queueName="gpus"))
    code, found = doctor("--cluster")
    cluster.kubectl("-n", TEAM, "delete", "trainingrun", "wine")
    assert (code, wrongs(found)) == (1, {"queues": "wine names the queue gpus, and the cluster has no Kueue"})


def test_what_an_install_brings_is_missing_old_or_half_there(doctor: Doctor, cluster: Cluster) -> None:
    """In one test: the order matters, since the definition takes all TrainingRuns with it."""
    policy = "validatingadmissionpolicybinding"
    binding = cluster.kubectl("get", policy, "trainingruns-parameters.runyard.dev", "-o", "json")
    cluster.kubectl("delete", policy, "trainingruns-parameters.runyard.dev")
    code, found = doctor("--cluster")
    cluster.create({**json.loads(binding), "metadata": {"name": "trainingruns-parameters.runyard.dev"}})
    missing = "ValidatingAdmissionPolicyBinding trainingruns-parameters.runyard.dev: not there"
    assert (code, wrongs(found)) == (1, {"policy": missing})

    field = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/imageDigest"
    removed = [{"op": "remove", "path": field}]
    cluster.kubectl("patch", "crd", DEFINITION, "--type=json", "-p", json.dumps(removed))
    code, found = doctor("--cluster")
    says = "the definition of TrainingRuns is another one than this Runyard's: status.imageDigest differs"
    assert (code, wrongs(found)) == (1, {"definition": says})

    cluster.kubectl("delete", "crd", SWEEPS)
    gone = ("get", "--raw", "/apis/runyard.dev/v1alpha1/trainingsweeps")
    wait_for("it is served no more", lambda: cluster.server.kubectl(*gone).returncode != 0)
    code, found = doctor("--cluster")
    without = "the definition of TrainingSweeps is not installed"
    assert (code, wrongs(found)) == (1, {"definition": says, "sweeps": without})

    cluster.kubectl("delete", "crd", DEFINITION)
    gone = ("get", "--raw", "/apis/runyard.dev/v1alpha1/trainingruns")
    wait_for("it is served no more", lambda: cluster.server.kubectl(*gone).returncode != 0)
    code, found = doctor("--cluster")
    is_gone = "the definition of TrainingRuns is not installed"
    assert (code, wrongs(found)) == (1, {"definition": is_gone, "sweeps": without})
    # Whoever may not see definitions is told as much.
    code, found = doctor("--cluster", "--context", "nobody")
    assert wrongs(found)["definition"] == "the definition of TrainingRuns is not installed"
