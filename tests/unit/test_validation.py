"""What a manifest is refused for without a cluster, besides the table of refusals."""

from pathlib import Path
from typing import Any

import pytest

from runyard.errors import InvalidManifest, RunyardError, UnknownField, UnreadableManifest
from runyard.manifest import read, read_sweep
from runyard.structural import dotted
from runyard.validation import parse
from tests.support.factories import manifest


def complaints(body: Any) -> set[str]:
    with pytest.raises(InvalidManifest) as found:
        parse(body)
    said = [str(problem) for problem in found.value.problems]
    assert len(set(said)) == len(said), "one thing is said twice"
    return set(said)


def wrong_type(path: str, found: str, wanted: str) -> str:
    return f'{path}: Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"image": None, "podTemplate": {"spec": {"containers": [{"name": "training", "image": "x"}]}}},
        {"env": [{"name": "MLFLOW_EXPERIMENT_NAME", "value": "x"}, {"name": "A"}]},
        {"env": []},
        {"tracking": {"run": "Discover"}},
        {"workers": 2},
        {"workers": 2, "tracking": {"run": "Assigned"}},
        {"workers": 2, "tracking": {"requireModel": True}},
        {"queueName": "team"},
        {"podTemplate": {}},
        {"podTemplate": {"spec": {"restartPolicy": "Never"}}},
        {"podTemplate": {"spec": {"containers": [{"name": "a", "env": [{"name": "RUNYARD_POD_UID"}]}]}}},
        {"podTemplate": {"metadata": {"labels": {"a": "b"}}}},
    ],
)
def test_what_the_rules_allow(spec: dict[str, Any]) -> None:
    assert parse(manifest(**spec)).metadata.name == "wine"


def test_all_that_is_wrong_is_said_together() -> None:
    with pytest.raises(InvalidManifest) as found:
        parse(manifest(backoffLimit=-1, command=[]) | {"metadata": {"name": "Wine"}})
    assert found.value.exit_code == 2
    first, *lines = str(found.value).splitlines()
    assert first == 'The TrainingRun "Wine" is invalid: '
    assert [line.split(":")[0] for line in lines] == ["* metadata.name", "* spec.backoffLimit", "* spec.command"]


def test_one_thing_that_is_wrong_is_one_line() -> None:
    with pytest.raises(
        InvalidManifest, match=r'^The TrainingRun "wine" is invalid: spec.args\[0\]: Invalid value: "\$'
    ):
        parse(manifest(args=["$(params.x)"]))


@pytest.mark.parametrize("spec", [None, "absent"])
def test_a_resource_without_a_spec(spec: str | None) -> None:
    body = manifest() | {"spec": None}
    if spec == "absent":
        del body["spec"]
    assert complaints(body) == {"spec: Required value"}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "metadata.name: Required value: name or generateName is required"),
        ({}, "metadata.name: Required value: name or generateName is required"),
        ({"name": None}, "metadata.name: Required value: name or generateName is required"),
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"name": 5}, wrong_type("metadata.name", "integer", "string")),
        (
            {"name": "a", "namespace": 5},
            wrong_type("metadata.namespace", "integer", "string"),
        ),
        (
            {"name": "a", "labels": {"a": 1}},
            wrong_type("metadata.labels.a", "integer", "string"),
        ),
        (
            {"name": "a", "annotations": []},
            wrong_type("metadata.annotations", "array", "object"),
        ),
        ({"name": "a" * 254}, f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters'),
    ],
)
def test_metadata(metadata: Any, said: str) -> None:
    assert complaints(manifest() | {"metadata": metadata}) == {said}


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a-", "a..b", "a.-b", ".a", "ä", "a b", "a\n"])
def test_names_that_no_resource_has(name: str) -> None:
    [said] = complaints(manifest(name))
    assert said.startswith("metadata.name: Invalid value: ")
    assert "must start and end with an alphanumeric character" in said


@pytest.mark.parametrize("name", ["a", "1", "a-b", "a.b-c.1", "a" * 253])
def test_names_that_a_resource_may_have(name: str) -> None:
    assert parse(manifest(name)).metadata.name == name


def test_what_people_keep_in_metadata_is_no_matter() -> None:
    metadata = {"name": "a", "namespace": "b", "labels": {"c": "d"}, "annotations": {"e": "f"}, "finalizers": ["g"]}
    server = {"uid": "h", "resourceVersion": "1", "generation": 2, "creationTimestamp": "2026-01-02T03:04:05Z"}
    found = parse(manifest() | {"metadata": metadata | server, "status": {"phase": "Failed"}})
    assert (found.metadata.name, found.metadata.namespace) == ("a", "b")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"foo": 1}, "foo"),
        ({"metadata": {"name": "a", "foo": 1}}, "metadata.foo"),
        ({"spec": {"foo": None}}, "spec.foo"),
        ({"spec": {"env": [{"name": "A", "vlaue": "x"}]}}, "spec.env[0].vlaue"),
        ({"spec": {"podTemplate": {"metadata": {"name": "a"}}}}, "spec.podTemplate.metadata.name"),
        ({"spec": {"podTemplate": {"spec": {"containers": [{"foo": 1}]}}}}, "spec.podTemplate.spec.containers[0].foo"),
    ],
)
def test_a_field_that_there_is_not_is_named(change: dict[str, Any], path: str) -> None:
    with pytest.raises(UnknownField, match="strict decoding error: unknown field") as found:
        parse(manifest() | change)
    assert found.value.paths == [path]


def test_names_that_people_choose_are_no_fields() -> None:
    body = manifest(
        parameters={"anything": 1}, nodeSelector={"at/all": "x"}, resources={"limits": {"example.com/gpu": 1}}
    )
    assert parse(body).spec.parameters == {"anything": 1}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]},
            'spec.env[2]: Duplicate value: {"name":"A"}',
        ),
        (
            {
                "podTemplate": {
                    "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 1}]}]}
                }
            },
            'spec.podTemplate.spec.containers[0].ports[1]: Duplicate value: {"containerPort":1,"protocol":"TCP"}',
        ),
        (
            {
                "podTemplate": {
                    "spec": {
                        "containers": [
                            {"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}
                        ]
                    }
                }
            },
            'spec.podTemplate.spec.containers[0].ports[1]: Duplicate value: {"containerPort":1,"protocol":"TCP"}',
        ),
    ],
)
def test_two_of_the_same_key(spec: dict[str, Any], said: str) -> None:
    assert complaints(manifest(**spec)) == {said}


def test_a_null_is_a_field_left_out() -> None:
    spec = parse(manifest(command=None, experiment=None, env=None, nodeSelector={"a": None}, backoffLimit=None)).spec
    assert (spec.command, spec.experiment, spec.env, spec.node_selector, spec.backoff_limit) == (
        None,
        None,
        None,
        {},
        0,
    )


def test_a_null_for_a_parameter_is_none_at_all() -> None:
    assert parse(manifest(parameters={"a": None, "b": 1})).spec.parameters == {"b": 1}


def test_a_null_within_a_lists_item_is_a_field_left_out() -> None:
    assert parse(manifest(env=[{"name": "A", "value": None}])).spec.env == [{"name": "A"}]


def test_what_is_within_a_parameter_is_wrong_but_no_unknown_field() -> None:
    said = "Forbidden: must be a number, a string or a boolean, and not"
    assert complaints(manifest(parameters={"a": {"b": 1}, "c": [1, 2]})) == {
        f"spec.parameters.a: {said} an object: give each of its fields a parameter of its own",
        f"spec.parameters.c: {said} a list: write it as one string, which the script takes apart",
    }


@pytest.mark.parametrize("body", [None, 3, "text", [], [manifest()], {}, {"kind": "TrainingRun"}])
def test_what_is_no_training_run(body: Any) -> None:
    with pytest.raises(UnreadableManifest, match=r"set apiVersion: runyard\.dev/v1alpha1 and kind: TrainingRun$"):
        parse(body)


def test_what_is_right_and_was_given_to_the_wrong_command_is_told_the_right_one() -> None:
    wine = Path(__file__).parents[2] / "examples" / "wine"
    with pytest.raises(UnreadableManifest) as refused:
        read(wine / "sweep.yaml")
    assert str(refused.value) == (
        "this is a TrainingSweep, not a TrainingRun: `runyard sweep FILE` runs it on this machine, "
        "`kubectl apply -f FILE` in a cluster"
    )
    with pytest.raises(UnreadableManifest) as refused:
        read_sweep(wine / "trainingrun.yaml")
    assert str(refused.value) == (
        "this is a TrainingRun, not a TrainingSweep: `runyard run FILE` trains it on this machine, "
        "`runyard submit FILE` in a cluster"
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [((), ""), (("spec",), "spec"), (("spec", "env", 0, "name"), "spec.env[0].name"), (("a", 0, 1, "b"), "a[0][1].b")],
)
def test_paths_are_written_as_kubernetes_does(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


def test_every_refusal_ends_a_command_with_2() -> None:
    for body in (None, manifest(foo=1), manifest(backoffLimit=-1)):
        with pytest.raises(RunyardError) as found:
            parse(body)
        assert found.value.exit_code == 2
