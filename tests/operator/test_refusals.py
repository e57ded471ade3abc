"""What `kubectl apply` refuses, `runyard run` refuses with the same words."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import manifest
from runyard.api.trainingrun import TrainingRun
from runyard.errors import InvalidManifest, RunyardError, UnknownField
from tests.support.apiserver import ApiServer

SPECS = {
    "no image": "{}",
    "unknown fields": "{image: x, foo: 1, env: [{name: a, vlaue: b}], podTemplate: {spec: {containers: [], nope: 1}}}",
    "wrong types": "{image: 3, backoffLimit: x, suspend: 'yes', parameters: 3, env: 7}",
    "a list for a spec": "[]",
    "parameters that are no scalars": "{image: x, parameters: {a: 1, b: [1], c: {d: 1}}}",
    "below the minimum": "{image: x, backoffLimit: -1, activeDeadlineSeconds: 0, ttlSecondsAfterFinished: -1}",
    "above the maximum": "{image: x, backoffLimit: 101}",
    "not one of the choices": "{image: x, tracking: {run: Guess}}",
    "empty": "{image: '', command: [], experiment: ''}",
    "not a quantity": "{image: x, resources: {requests: {cpu: plenty}}}",
    "given twice": "{image: x, env: [{name: a, value: '1'}, {name: a, value: '2'}]}",
    "without its key": "{image: x, env: [{value: '1'}]}",
    "two fields missing": "{image: x, volumeMounts: [{}, {name: a}], tolerations: [{}], volumes: [{}]}",
    "fields missing deep in the template": (
        "{image: x, podTemplate: {spec: {containers: [{}], volumes: [{name: a, configMap: {items: [{}]}}]}}}"
    ),
    "numbers for strings": "{image: x, args: [1], nodeSelector: {a: 1}, env: [{name: a, value: 3}]}",
    "a fraction": "{image: x, backoffLimit: 1.5}",
    "reserved environment": "{image: x, env: [{name: MLFLOW_RUN_CONTEXT, value: x}]}",
    "reserved environment in the template": (
        "{image: x, podTemplate: {spec: {containers: [{name: training, env: [{name: RUNYARD_POD_UID}]}]}}}"
    ),
    "workers with runs of their own": "{image: x, workers: 2, tracking: {run: Discover}}",
    "a number out of bounds and a broken rule": "{image: x, workers: 0, tracking: {run: Discover}}",
    "too long and a broken rule": f"{{image: x, queueName: team, experiment: {'x' * 501}, suspend: true}}",
    "an address that is none, with a password in it": "{image: x, source: {git: 'https://u:p@h/p', path: ../x}}",
    "a revision that is an expression": "{image: x, source: {git: 'https://h/p', revision: main~1}}",
    "a source that is nowhere, and unknown to the schema": "{image: x, source: {revision: ''}}",
    "workers with a branch": "{image: x, workers: 2, source: {git: 'https://h/p', revision: main}}",
    "datasets": "{image: x, datasets: [{name: A, uri: x, digest: y}, {name: b}, {uri: 's3://b/k'}]}",
    "datasets with bad names, addresses and digests": "{image: x, datasets: [{name: A, uri: x, digest: y}]}",
    "a dataset given twice": "{image: x, datasets: [{name: a, uri: 's3://b/k'}, {name: a, uri: 's3://b/k'}]}",
    "queued and suspended": "{image: x, queueName: team, suspend: true}",
    "restarts in place": "{podTemplate: {spec: {restartPolicy: Always, containers: [{name: training}]}}}",
    "an image elsewhere than in the training container": "{podTemplate: {spec: {containers: [{name: a, image: x}]}}}",
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_both_refuse_with_the_same_words(spec: str, server: ApiServer, tmp_path: Path) -> None:
    file = tmp_path / "trainingrun.yaml"
    file.write_text(f"apiVersion: runyard.dev/v1alpha1\nkind: TrainingRun\nmetadata: {{name: refused}}\nspec: {spec}\n")
    refused = server.kubectl("create", "-f", str(file))
    assert refused.returncode == 1

    with pytest.raises(RunyardError) as found:
        manifest.read(file)

    assert found.value.exit_code == 2
    if isinstance(found.value, UnknownField):
        assert str(found.value) in refused.stderr
    else:
        assert isinstance(found.value, InvalidManifest)
        assert sorted(str(problem) for problem in found.value.problems) == sorted(_lines(refused.stderr))


def _lines(text: str) -> list[str]:
    """Return each complaint of the API server, without the note that more might follow."""
    body = text.split("is invalid: ", 1)[1].strip()
    lines = [line.removeprefix("* ") for line in body.splitlines()] if body.startswith("* ") else [body]
    return [line for line in lines if not line.startswith("<nil>")]


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


CHANGES: dict[str, dict[str, Any]] = {
    "image": {"image": "y"},
    "command": {"command": ["b"]},
    "a command where there was none": {"args": ["b"]},
    "no more environment": {"env": None},
    "deep in the template": {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 9}}},
    "experiment": {"experiment": "other"},
    "workers": {"workers": 2},
    "tracking": {"tracking": {"requireModel": True}},
    "queue": {"queueName": "team"},
    "source": {"source": {"git": "https://h/p"}},
    "datasets": {"datasets": [{"name": "a", "uri": "s3://b/k"}]},
}


@pytest.fixture
def stored(server: ApiServer) -> Iterator[str]:
    """A TrainingRun in a namespace that is its own; the namespace's name."""
    namespace = f"changes-{uuid.uuid4().hex[:8]}"
    server.kubectl("create", "namespace", namespace)
    spec = "{image: x, command: [a], env: [{name: a}], parameters: {a: 1}, podTemplate: {spec: {priority: 1}}}"
    body = f"apiVersion: runyard.dev/v1alpha1\nkind: TrainingRun\nmetadata: {{name: a}}\nspec: {spec}\n"
    created = server.kubectl("-n", namespace, "create", "-f", "-", stdin=body)
    assert created.returncode == 0, created.stderr
    yield namespace
    server.kubectl("delete", "namespace", namespace, "--wait=false")


def test_what_decides_a_training_cannot_be_changed(server: ApiServer, stored: str) -> None:
    for name, change in CHANGES.items():
        patch = json.dumps({"spec": change})
        refused = server.kubectl("-n", stored, "patch", "trainingrun", "a", "--type=merge", "-p", patch)
        assert refused.returncode == 1, name
        assert f"spec.{next(iter(change))}: Invalid value: " in refused.stderr, name
        assert "cannot be changed: create a new TrainingRun" in refused.stderr, name


def test_how_long_and_how_often_it_is_tried_can_be_changed(server: ApiServer, stored: str) -> None:
    change = {"suspend": True, "backoffLimit": 3, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 5}
    for spec in (change, dict.fromkeys(change)):
        patch = json.dumps({"spec": spec})
        changed = server.kubectl("-n", stored, "patch", "trainingrun", "a", "--type=merge", "-p", patch)
        assert changed.returncode == 0, changed.stderr
