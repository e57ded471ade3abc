"""Which manifests ask for the same result, and which earlier run is it."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api import canonical, duplicates, reuse
from runyard.api.records import Run, RunStatus
from runyard.api.trainingrun import Tracking, TrainingRun, TrainingRunSpec
from tests.support.factories import NOW

DIGEST = f"sha256:{'0' * 64}"
COMMIT = "b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2"
SPEC: dict[str, Any] = {
    "image": f"example/wine@{DIGEST}",
    "command": ["python", "train.py"],
    "args": ["--depth", "$(params.depth)"],
    "parameters": {"depth": 8, "rate": 0.1, "deep": True, "kind": "forest"},
    "source": {"git": "https://git.example/wine.git", "revision": COMMIT, "path": "training"},
    "datasets": [{"name": "wine", "uri": "s3://data/wine.csv", "digest": DIGEST}],
    "env": [{"name": "A", "value": "1"}],
}
DOCS = Path(__file__).parents[2] / "docs/provenance.md"


def of(**changes: Any) -> str:
    return duplicates.fingerprint(spec(**changes))


def spec(**changes: Any) -> TrainingRunSpec:
    return TrainingRunSpec.model_validate({**SPEC, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"image": f"mirror.example/wine@{DIGEST}"},
        {"source": {**SPEC["source"], "git": "ssh://git@git.example/wine.git", "secretName": "git"}},
        {"datasets": [{"name": "wine", "uri": "https://data.example/w.csv", "digest": DIGEST}]},
        {"backoffLimit": 3, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 1, "suspend": True},
        {"queueName": "team", "nodeSelector": {"a": "b"}, "tolerations": [{"key": "a"}], "serviceAccountName": "a"},
        {"resources": {"limits": {"cpu": 1}}, "experiment": "another", "tracking": {"requireModel": True}},
        {"onDuplicate": "Reuse", "promote": {"model": "wine"}},
        {"parameters": dict(reversed(SPEC["parameters"].items()))},
        {"volumes": []},
    ],
)
def test_what_does_not_decide_a_result_changes_nothing(change: dict[str, Any]) -> None:
    assert of(**change) == of()


@pytest.mark.parametrize(
    "change",
    [
        {"image": "example/wine:1"},
        {"image": f"example/wine@sha256:{'1' * 64}"},
        {"command": ["python", "other.py"]},
        {"args": None},
        {"workingDir": "/a"},
        {"parameters": {**SPEC["parameters"], "depth": 9}},
        {"parameters": {**SPEC["parameters"], "depth": 8.0}},
        {"source": {**SPEC["source"], "revision": COMMIT[::-1]}},
        {"source": {**SPEC["source"], "revision": "main"}},
        {"source": {**SPEC["source"], "path": None}},
        {"datasets": [{**SPEC["datasets"][0], "digest": f"sha256:{'1' * 64}"}]},
        {"datasets": [{**SPEC["datasets"][0], "name": "other"}]},
        {"datasets": [{"name": "wine", "uri": "s3://data/wine.csv"}]},
        {"env": [{"name": "A", "value": "2"}]},
        {"envFrom": [{"secretRef": {"name": "a"}}]},
        {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "a"}}]},
        {"volumeMounts": [{"name": "a", "mountPath": "/a"}]},
        {"podTemplate": {"spec": {"hostNetwork": True}}},
        {"workers": 2},
    ],
)
def test_what_decides_a_result_makes_another_fingerprint(change: dict[str, Any]) -> None:
    assert of(**change) != of()


def test_every_field_was_thought_of() -> None:
    counted = {*duplicates.decisive(spec(workers=2)), *duplicates._AS_WRITTEN} - {"manifestFingerprint"}  # noqa: SLF001
    no_part = {
        *("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "suspend", "queueName", "nodeSelector"),
        *("tolerations", "serviceAccountName", "resources", "experiment", "tracking", "onDuplicate", "promote"),
    }
    fields = {str(field.alias or name) for name, field in TrainingRunSpec.model_fields.items()}
    assert fields == counted | no_part


def test_another_program_computes_the_same_from_the_documentation() -> None:
    text = DOCS.read_text(encoding="utf-8").split("## The fingerprint of a manifest")[1]
    written = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)[0]
    said = re.search(r"has the fingerprint `(sha256:[0-9a-f]{64})`", " ".join(text.split()))
    assert said
    assert said[1] == f"sha256:{sha256(written.encode()).hexdigest()}" == of()
    assert canonical.canonical(duplicates.decisive(spec())).decode() == written


JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_canonical_json_is_that_value_in_one_order(value: dict[str, Any]) -> None:
    written = canonical.canonical(value)
    assert json.loads(written) == value
    assert canonical.canonical(dict(reversed(value.items()))) == written
    names = list(json.loads(written))
    assert names == sorted(names, key=lambda name: name.encode("utf-16-be"))


def test_half_a_character_is_written_as_json_escapes_it() -> None:
    assert canonical.canonical({"a": "\ud800"}) == b'{"a":"\\ud800"}'


TAG = "Forbidden: Reuse needs what cannot become another meanwhile: name the image by its digest"
POD = "spec.podTemplate.spec"


@pytest.mark.parametrize(
    ("containers", "paths"),
    [
        ({"containers": [{"name": "training", "image": "x:1"}]}, [f"{POD}.containers[0].image"]),
        ({"containers": [{"name": "training", "image": f"x@{DIGEST}"}]}, []),
        (
            {"initContainers": [{"name": "a", "image": "x"}], "containers": [{"name": "b"}]},
            [f"{POD}.initContainers[0].image", f"{POD}.containers[0].image"],
        ),
    ],
)
def test_what_is_not_pinned_is_named_with_its_path(containers: dict[str, Any], paths: list[str]) -> None:
    asked = TrainingRunSpec.model_validate({"onDuplicate": "Reuse", "podTemplate": {"spec": containers}})
    found = duplicates.problems(asked)
    assert [problem.path for problem in found] == paths
    assert all(problem.message.startswith(TAG) for problem in found)
    assert duplicates.problems(asked.model_copy(update={"on_duplicate": "Run"})) == []


def test_an_image_of_the_spec_is_the_trainings() -> None:
    template = {"spec": {"containers": [{"name": "training", "image": "x:1"}]}}
    assert duplicates.problems(spec(onDuplicate="Reuse", podTemplate=template)) == []


GOOD = {"runyard.dev/outcome": "Succeeded", "runyard.dev/namespace": "team", "runyard.dev/name": "wine"}


def run(run_id: str, start: int = 0, status: RunStatus = RunStatus.FINISHED, **more: Any) -> Run:
    return Run(run_id, "7", status, start, **{"tags": GOOD, **more})


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([], None),
        ([run("b", 2), run("a", 1), run("c", 3)], "a"),
        ([run("b", 1), run("a", 1)], "a"),
        ([run("a", status=RunStatus.FAILED), run("b", 1)], "b"),
        ([run("a", tags={}), run("b", tags={"runyard.dev/outcome": "Failed"})], None),
        ([run("a", is_deleted=True)], None),
        ([run("a"), run("b", 1, metrics={"f1": 0.5}, model="models:/m-1")], "b"),
    ],
)
def test_the_result_is_the_first_that_is_one(runs: list[Run], found: str | None) -> None:
    wanted = Tracking(require_metrics=["f1"], require_model=True) if len(runs) == 2 and runs[1].model else Tracking()
    earliest = reuse.earliest(runs, wanted)
    assert (earliest.id if earliest else None) == found


@pytest.mark.parametrize("name", ["\x1b[2J", "a b", "", "x" * 254])
def test_names_that_anybody_may_have_written_are_names_or_left_out(name: str) -> None:
    found = reuse.reused_from(run("a", tags={**GOOD, "runyard.dev/name": name}), None)
    assert (found.namespace, found.name) == ("team", None)
    message = reuse.job_facts(found, NOW).message
    assert message == "nothing was trained: run a is the result, by a manifest with the same fingerprint"


def test_a_fingerprint_that_is_none_is_not_put_into_a_filter() -> None:
    resource = TrainingRun.model_validate({"spec": SPEC, "status": {"fingerprint": "' OR '1' = '1"}})
    assert reuse.expression(resource) == (
        f"tags.`runyard.dev/manifest-fingerprint` = '{of()}' AND tags.`runyard.dev/outcome` = 'Succeeded' "
        "AND attributes.status = 'FINISHED'"
    )
