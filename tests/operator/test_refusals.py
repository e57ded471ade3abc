"""What `kubectl apply` refuses, `runyard run` refuses with the same words."""

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard import cli, manifest
from runyard.api.crd import schema
from runyard.api.trainingrun import IMMUTABLE_MESSAGE, MUTABLE, TrainingRun
from tests.support.apiserver import ApiServer
from tests.support.refusals import REFUSALS, UNKNOWN, Refusal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trainingrun.yaml"


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.about)
def test_both_refuse_with_the_same_words(
    row: Refusal, server: ApiServer, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(yaml.safe_dump(row.manifest))
    refused = server.kubectl("create", "-f", str(file))
    assert refused.returncode == 1
    assert lines(refused.stderr) == sorted(row.said)

    code, text = _run(file, monkeypatch, capsys)

    assert code == 2
    assert lines(text) == sorted(row.said)
    # Where a policy refuses, the API server says the resource in place of the kind.
    beginning = refused.stderr.split(":")[0].replace("The trainingruns ", "The TrainingRun ")
    assert text.removeprefix("runyard: ").split(":")[0] == beginning


@pytest.mark.parametrize("path", UNKNOWN)
def test_both_refuse_fields_that_there_are_not(
    path: str, server: ApiServer, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(yaml.safe_dump(Refusal("", UNKNOWN[path], ()).manifest))
    refused = server.kubectl("create", "-f", str(file))
    code, text = _run(file, monkeypatch, capsys)
    assert (refused.returncode, code) == (1, 2)
    assert f'unknown field "spec.{path}"' in text
    assert text.removeprefix("runyard: ") in refused.stderr


def _run(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Run `runyard run`; return its exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["runyard", "run", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err


def lines(text: str) -> list[str]:
    """Return each complaint, sorted, without the note that more might follow."""
    body = text.split("is invalid: ", 1)[1].strip()
    lines = [line.removeprefix("* ") for line in body.splitlines()] if body.startswith("* ") else [body]
    # A policy says its own name first.
    return sorted(line.split(" denied request: ")[-1] for line in lines if not line.startswith("<nil>"))


@pytest.mark.parametrize(
    "spec",
    [
        "{image: x}",
        "{image: x, command: null, experiment: null}",
        "{image: x, parameters: {a: 1, b: 0.1, c: true, d: text}, args: [$(params.a)]}",
        "{image: x, parameters: {a: null, b: 1}, nodeSelector: {c: null}, backoffLimit: null}",
        "{image: x, source: {git: 'ssh://git@h:22/p', revision: 'größe/#1', path: a/b, secretName: s}}",
        "{image: x, datasets: [{name: a.csv, uri: 's3://b/a key'}, {name: b, uri: 'file:///b', digest: null}]}",
        "{image: x, resources: {requests: {cpu: 1, memory: 1Gi}}}",
        "{podTemplate: {spec: {restartPolicy: Never, containers: [{name: training, image: x}]}}}",
        "{image: x, podTemplate: {metadata: {labels: {a: b}}, spec: {imagePullSecrets: [{name: a}]}}}",
    ],
)
def test_both_accept(spec: str, server: ApiServer, tmp_path: Path) -> None:
    file = tmp_path / "trainingrun.yaml"
    file.write_text(
        f"apiVersion: runyard.dev/v1alpha1\nkind: TrainingRun\nmetadata: {{name: accepted}}\nspec: {spec}\n"
    )
    accepted = server.kubectl("create", "--dry-run=server", "-f", str(file), "-o", "json")
    assert accepted.returncode == 0, accepted.stderr
    read = manifest.read(file)
    assert read.metadata.name == "accepted"
    assert read.spec == TrainingRun.model_validate_json(accepted.stdout).spec


# A value of each field that decides a training, and another one.
DECISIVE: dict[str, tuple[Any, Any]] = {
    "image": ("x", "y"),
    "command": (["a"], ["b"]),
    "args": (["a"], ["a", "b"]),
    "workingDir": ("/a", "/b"),
    "experiment": ("a", "b"),
    "env": ([{"name": "A", "value": "1"}], [{"name": "A", "value": "2"}]),
    "envFrom": ([{"prefix": "A"}], [{"prefix": "B"}]),
    "resources": ({"limits": {"cpu": 1}}, {"limits": {"cpu": 2}}),
    "volumes": ([{"name": "a"}], [{"name": "b"}]),
    "volumeMounts": ([{"name": "a", "mountPath": "/a"}], [{"name": "a", "mountPath": "/b"}]),
    "serviceAccountName": ("a", "b"),
    "nodeSelector": ({"a": "b"}, {"a": "c"}),
    "tolerations": ([{"key": "a"}], [{"key": "b"}]),
    "podTemplate": (
        {"spec": {"priority": 1, "containers": [{"name": "training", "image": "x"}]}},
        {"spec": {"priority": 1, "containers": [{"name": "training", "image": "y"}]}},
    ),
    "queueName": ("a", "b"),
    "workers": (2, 3),
    "onDuplicate": ("Reuse", "Run"),
    "promote": ({"model": "a"}, {"model": "b"}),
    "tracking": ({"requireModel": True}, {"requireModel": False}),
    "source": ({"git": "https://h/p"}, {"git": "https://h/q"}),
    "datasets": ([{"name": "a", "uri": "s3://b/k"}], [{"name": "a", "uri": "s3://b/l"}]),
    "parameters": ({"a": 1, "b": "x"}, {"a": 1.5, "b": "x"}),
}


def test_each_field_that_decides_a_training_is_shown_here() -> None:
    spec: Any = schema()["properties"]
    assert set(DECISIVE) == set(spec["spec"]["properties"]) - set(MUTABLE)
    rules = [rule for rule in _rules(spec["spec"]) if "oldSelf" in rule["rule"]]
    assert {rule["message"] for rule in rules} == {IMMUTABLE_MESSAGE}


def _rules(node: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield from node.get("x-kubernetes-validations", [])
    for child in (*node.get("properties", {}).values(), *(node[key] for key in ("items",) if key in node)):
        yield from _rules(child)


@pytest.mark.parametrize("field", DECISIVE)
def test_what_decides_a_training_cannot_be_changed_added_or_taken_away(
    field: str, server: ApiServer, namespace: str
) -> None:
    # What has an image in its template need not have one itself, so that the image can be added and taken away.
    other = {} if field == "podTemplate" else {"podTemplate": DECISIVE["podTemplate"][0]}
    one, another = DECISIVE[field]
    least = {"image": "x"} if field == "podTemplate" else {}
    for name, spec in {"with": {field: one}, "without": {}}.items():
        body = json.dumps(_manifest(name, {**other, **least, **spec}))
        created = server.kubectl("-n", namespace, "create", "-f", "-", stdin=body)
        assert created.returncode == 0, created.stderr
    for name, value in (("with", another), ("with", None), ("without", one)):
        patch = json.dumps([{"op": "remove", "path": f"/spec/{field}"}] if value is None else _put(field, value))
        refused = server.kubectl("-n", namespace, "patch", "trainingrun", name, "--type=json", "-p", patch)
        assert refused.returncode == 1, (name, value)
        assert lines(refused.stderr) == [f"spec.{field}: Forbidden: {IMMUTABLE_MESSAGE}"]


def test_parameters_that_stay_as_they_are_let_all_else_be_changed(server: ApiServer, namespace: str) -> None:
    spec = {"image": "x", "parameters": {"a": 1, "b": 0.5, "c": "x", "d": True}}
    created = server.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(_manifest("kept", spec)))
    assert created.returncode == 0, created.stderr
    body = json.dumps(_manifest("kept", {**spec, "suspend": True}))
    changed = server.kubectl("-n", namespace, "apply", "-f", "-", stdin=body)
    assert changed.returncode == 0, changed.stderr


def _put(field: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "add", "path": f"/spec/{field}", "value": value}]


def _manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "runyard.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def namespaces(server: ApiServer) -> str:
    name = f"changes-{uuid.uuid4().hex[:8]}"
    assert server.kubectl("create", "namespace", name).returncode == 0
    return name


@pytest.fixture
def namespace(server: ApiServer, namespaces: str) -> Iterator[str]:
    """A namespace without TrainingRuns."""
    yield namespaces
    server.kubectl("-n", namespaces, "delete", "trainingruns", "--all")


def test_how_long_and_how_often_it_is_tried_can_be_changed(server: ApiServer, namespace: str) -> None:
    created = server.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(_manifest("a", {"image": "x"})))
    assert created.returncode == 0, created.stderr
    change = {"suspend": True, "backoffLimit": 3, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 5}
    assert set(change) == set(MUTABLE)
    for spec in (change, dict.fromkeys(change)):
        patch = json.dumps({"spec": spec})
        changed = server.kubectl("-n", namespace, "patch", "trainingrun", "a", "--type=merge", "-p", patch)
        assert changed.returncode == 0, changed.stderr
