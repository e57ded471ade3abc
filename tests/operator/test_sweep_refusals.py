"""What `kubectl apply` refuses of a sweep, `runyard sweep` refuses with the same words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard import manifest
from runyard.api.sweep_crd import schema
from runyard.api.trainingsweep import SWEEP_IMMUTABLE_MESSAGE, SWEEP_MUTABLE, TrainingSweep
from runyard.errors import InvalidManifest, UnknownField
from tests.operator.test_refusals import DECISIVE, lines
from tests.support.apiserver import ApiServer
from tests.support.refusals import Refusal
from tests.support.sweep_refusals import RIGHT, SWEEP_REFUSALS, UNKNOWN_IN_SWEEP, UNSEEN_REFUSALS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sweep.yaml"


@pytest.mark.parametrize("row", SWEEP_REFUSALS, ids=lambda row: row.about)
def test_both_refuse_with_the_same_words(row: Refusal, server: ApiServer, file: Path) -> None:
    file.write_text(yaml.safe_dump(row.manifest))
    refused = server.kubectl("create", "-f", str(file))
    assert refused.returncode == 1
    assert lines(refused.stderr) == sorted(row.said)
    with pytest.raises(InvalidManifest) as found:
        manifest.read_sweep(file)
    assert lines(str(found.value)) == sorted(row.said)


@pytest.mark.parametrize("row", UNSEEN_REFUSALS, ids=lambda row: row.about)
def test_what_the_api_server_cannot_see_it_takes(row: Refusal, server: ApiServer, file: Path) -> None:
    file.write_text(yaml.safe_dump(row.manifest))
    taken = server.kubectl("create", "--dry-run=server", "-f", str(file))
    assert taken.returncode == 0, taken.stderr


@pytest.mark.parametrize("path", UNKNOWN_IN_SWEEP)
def test_both_refuse_fields_that_there_are_not(path: str, server: ApiServer, file: Path) -> None:
    row = Refusal("", UNKNOWN_IN_SWEEP[path], (), {}, "TrainingSweep", RIGHT)
    file.write_text(yaml.safe_dump(row.manifest))
    refused = server.kubectl("create", "-f", str(file))
    with pytest.raises(UnknownField) as found:
        manifest.read_sweep(file)
    assert refused.returncode == 1
    assert str(found.value) in refused.stderr


@pytest.mark.parametrize(
    "spec",
    [
        "{parameters: {a: {values: [1, 0.5, x, true]}}, objective: {metric: loss}}",
        "{parameters: {a: {min: 1, max: 8}, b: {min: 0, max: 1, step: 0.1}}, objective: {metric: f1}, pruning: {}}",
        "{parameters: {a: {min: 1e-4, max: 1, log: true}}, algorithm: Optuna, sampler: TPE, maxTrials: 9, "  # noqa: ISC004
        "objective: {metric: f1, direction: lowest}, maxFailedTrials: 0}",
    ],
)
def test_both_accept(spec: str, server: ApiServer, file: Path) -> None:
    spec = spec.replace("{", "{template: {image: x, args: [$(params.a)]}, ", 1)
    file.write_text(f"apiVersion: runyard.dev/v1alpha1\nkind: TrainingSweep\nmetadata: {{name: a}}\nspec: {spec}\n")
    accepted = server.kubectl("create", "--dry-run=server", "-f", str(file), "-o", "json")
    assert accepted.returncode == 0, accepted.stderr
    assert manifest.read_sweep(file).spec == TrainingSweep.model_validate_json(accepted.stdout).spec


# A value of each field that decides a sweep's trials, and another one.
DECISIVE_IN_SWEEP: dict[str, tuple[Any, Any]] = {
    "parameters": ({"a": {"values": [1, 2]}}, {"a": {"values": [1, 3]}}),
    "algorithm": ("Grid", "Random"),
    "sampler": ("TPE", "Random"),
    "seed": (1, 2),
    "objective": ({"metric": "f1"}, {"metric": "auc"}),
    "pruning": ({"afterSteps": 1}, {"afterSteps": 2}),
}


def test_each_field_that_decides_a_sweep_is_shown_here() -> None:
    spec: Any = schema()["properties"]
    assert set(DECISIVE_IN_SWEEP) | {"template"} == set(spec["spec"]["properties"]) - set(SWEEP_MUTABLE)


@pytest.mark.parametrize("field", DECISIVE_IN_SWEEP)
@pytest.mark.usefixtures("sweeps")
def test_what_decides_a_sweep_cannot_be_changed(field: str, server: ApiServer) -> None:
    one, another = DECISIVE_IN_SWEEP[field]
    least = {"algorithm": "Optuna", "maxTrials": 3} if field in {"sampler", "pruning"} else {"maxTrials": 3}
    _create(server, {**least, field: one})
    refused = _patch(server, {field: another})
    assert refused == [f"spec.{field}: Forbidden: {SWEEP_IMMUTABLE_MESSAGE}"]


@pytest.mark.parametrize("field", [*DECISIVE, "backoffLimit", "suspend"])
@pytest.mark.usefixtures("sweeps")
def test_nothing_of_its_template_can_be_changed(field: str, server: ApiServer) -> None:
    one, another = {**DECISIVE, "backoffLimit": (1, 2), "suspend": (False, True)}[field]
    image = {} if field == "podTemplate" else {"image": "x@sha256:" + "0" * 64}
    _create(server, {"template": {**image, field: one}})
    words = f"spec.template.{field}: Forbidden: {SWEEP_IMMUTABLE_MESSAGE}"
    assert words in _patch(server, {"template": {field: another}})


@pytest.mark.usefixtures("sweeps")
def test_how_many_trials_there_are_can_be_changed(server: ApiServer) -> None:
    _create(server, {})
    change = {"maxTrials": 5, "parallelism": 3, "maxFailedTrials": 1, "suspend": True}
    assert set(change) == set(SWEEP_MUTABLE)
    assert _patch(server, change) == []
    assert _patch(server, dict.fromkeys(change)) == []


@pytest.fixture
def sweeps(server: ApiServer) -> Iterator[None]:
    """No sweep before, none after."""
    yield
    server.kubectl("delete", "trainingsweeps", "--all")


def _create(server: ApiServer, spec: dict[str, Any]) -> None:
    body = Refusal("", spec, (), {"name": "kept"}, "TrainingSweep", RIGHT).manifest
    created = server.kubectl("create", "-f", "-", stdin=json.dumps(body))
    assert created.returncode == 0, created.stderr


def _patch(server: ApiServer, spec: dict[str, Any]) -> list[str]:
    """Change the sweep; return what is said of it."""
    done = server.kubectl("patch", "trainingsweep", "kept", "--type=merge", "-p", json.dumps({"spec": spec}))
    return lines(done.stderr) if done.returncode else []
