"""What a manifest is refused for without a cluster; tests/operator holds the words against a real API server's."""

from collections.abc import Iterator
from typing import Any

import pytest

from runyard.api.crd import schema
from runyard.api.trainingrun import IMMUTABLE_MESSAGE
from runyard.errors import InvalidManifest, RunyardError, UnknownField, UnreadableManifest
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


def nodes(node: Any, *, is_schema: bool = True) -> Iterator[dict[str, Any]]:
    """Return every schema within the schema; a map from names to schemas is none itself."""
    if isinstance(node, list):
        for item in node:
            yield from nodes(item)
    if isinstance(node, dict):
        if is_schema:
            yield node
        for key, child in node.items():
            if key != "x-kubernetes-validations":
                yield from nodes(child, is_schema=not (is_schema and key == "properties"))


# A specification that breaks the rule, and what is said of it, by the rule's message.
RULES: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    'say which image to train in, here or in podTemplate for its container named "training"': [
        ({"image": None}, "spec.image", "object"),
        ({"image": None, "podTemplate": {}}, "spec.image", "object"),
        ({"image": None, "podTemplate": {"spec": {}}}, "spec.image", "object"),
        ({"image": None, "podTemplate": {"spec": {"containers": []}}}, "spec.image", "object"),
        (
            {
                "image": None,
                "podTemplate": {"spec": {"containers": [{"name": "training"}, {"name": "a", "image": "x"}]}},
            },
            *("spec.image", "object"),
        ),
    ],
    (
        "MLFLOW_TRACKING_URI, MLFLOW_RUN_CONTEXT and RUNYARD_POD_UID are how a run is found again and are set by "
        "Runyard: leave them out"
    ): [
        ({"env": [{"name": "A"}, {"name": "MLFLOW_RUN_CONTEXT", "value": "{}"}]}, "spec.env", "array"),
        ({"env": [{"name": "RUNYARD_POD_UID"}]}, "spec.env", "array"),
        (
            {
                "podTemplate": {
                    "spec": {
                        "containers": [
                            {"name": "a", "env": [{"name": "RUNYARD_POD_UID"}]},
                            {"name": "training", "env": [{"name": "A"}, {"name": "RUNYARD_POD_UID"}]},
                        ]
                    }
                }
            },
            *("spec.podTemplate.spec.containers", "object"),
        ),
    ],
    "workers share one run: say Assigned, or leave it out": [
        ({"workers": 2, "tracking": {"run": "Discover"}}, "spec.tracking.run", "object"),
    ],
    "a queued training is suspended and resumed by its queue: leave suspend or queueName out": [
        ({"queueName": "team", "suspend": True}, "spec.suspend", "object"),
    ],
    "must be Never, or left out: every attempt is a pod of its own": [
        (
            {"podTemplate": {"spec": {"restartPolicy": policy, "containers": [{"name": "training"}]}}},
            *("spec.podTemplate.spec.restartPolicy", "object"),
        )
        for policy in ("Always", "OnFailure")
    ],
    # More of each are in test_inputs.
    (
        "must be https://HOST/PATH, http://HOST/PATH, ssh://USER@HOST/PATH or file:///PATH, without a password: that "
        "is for secretName"
    ): [({"source": {"git": "git@h:p"}}, "spec.source.git", "string")],
    "must be the name of a branch, a tag or a commit; an expression, such as main~1, is none": [
        ({"source": {"git": "https://h/p", "revision": "main~1"}}, "spec.source.revision", "string")
    ],
    "must be a folder inside the repository, without a / at its beginning and without ..": [
        ({"source": {"git": "https://h/p", "path": "../x"}}, "spec.source.path", "string")
    ],
    "workers fetch one by one, and a branch or a tag may move meanwhile: give the whole name of a commit": [
        ({"workers": 2, "source": {"git": "https://h/p", "revision": "main"}}, "spec.source.revision", "object")
    ],
    "must be lower case letters, digits, '-' or '.', and begin and end with a letter or a digit": [
        ({"datasets": [{"name": "A", "uri": "s3://b/k"}]}, "spec.datasets[0].name", "string")
    ],
    "must be https://HOST/PATH, http://HOST/PATH, s3://BUCKET/KEY or file:///PATH, without a password": [
        ({"datasets": [{"name": "a", "uri": "x"}]}, "spec.datasets[0].uri", "string")
    ],
    "must be sha256: and the 64 digits that sha256sum prints, in lower case": [
        ({"datasets": [{"name": "a", "uri": "s3://b/k", "digest": "md5:0"}]}, "spec.datasets[0].digest", "string")
    ],
}


def test_each_rule_of_the_schema_is_shown_here() -> None:
    messages = {
        rule["message"] for node in nodes(schema()) for rule in node.get("x-kubernetes-validations", []) if node
    }
    assert messages == {*RULES, IMMUTABLE_MESSAGE}, "what cannot be changed is shown against the API server"


@pytest.mark.parametrize(
    ("message", "spec", "path", "kind"), [(message, *case) for message, cases in RULES.items() for case in cases]
)
def test_a_broken_rule_is_said_in_its_own_words(message: str, spec: dict[str, Any], path: str, kind: str) -> None:
    assert complaints(manifest(**spec)) == {f'{path}: Invalid value: "{kind}": {message}'}


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


# A value for each way in which a schema can refuse one.
KEYWORDS = {
    "type": (
        {"args": [1]},
        'spec.args[0]: Invalid value: "integer": spec.args[0] in body must be of type string: "integer"',
    ),
    "required": ({"env": [{"value": "x"}]}, "spec.env[0].name: Required value"),
    "enum": (
        {"tracking": {"run": "Guess"}},
        'spec.tracking.run: Unsupported value: "Guess": supported values: "Discover", "Assigned"',
    ),
    "minimum": (
        {"backoffLimit": -1},
        "spec.backoffLimit: Invalid value: -1: spec.backoffLimit in body should be greater than or equal to 0",
    ),
    "maximum": (
        {"backoffLimit": 101},
        "spec.backoffLimit: Invalid value: 101: spec.backoffLimit in body should be less than or equal to 100",
    ),
    "minLength": ({"image": ""}, 'spec.image: Invalid value: "": spec.image in body should be at least 1 chars long'),
    "maxLength": ({"image": "x" * 1025}, "spec.image: Too long: may not be more than 1024 bytes"),
    "pattern": (
        {"resources": {"limits": {"cpu": "plenty"}}},
        (
            'spec.resources.limits.cpu: Invalid value: "plenty": spec.resources.limits.cpu in body should match '
            r"'^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$'"
        ),
    ),
    "minItems": ({"command": []}, "spec.command: Invalid value: 0: spec.command in body should have at least 1 items"),
    "maxItems": ({"command": ["x"] * 257}, "spec.command: Too many: 257: must have at most 256 items"),
    "maxProperties": (
        {"parameters": dict.fromkeys(map(str, range(101)), 1)},
        "spec.parameters: Too many: 101: must have at most 100 items",
    ),
    "anyOf": (
        {"resources": {"limits": {"cpu": 1.5}}},
        (
            'spec.resources.limits.cpu: Invalid value: "number": spec.resources.limits.cpu in body must be of type '
            'integer,string: "number"'
        ),
    ),
}
SAYS_NOTHING_OF_A_VALUE = {"properties", "items", "additionalProperties", "description", "default", "format"}


def test_each_keyword_of_the_schema_is_shown_here() -> None:
    used = {key for node in nodes(schema()) for key in node if not key.startswith("x-kubernetes-")}
    assert used - SAYS_NOTHING_OF_A_VALUE == set(KEYWORDS)


@pytest.mark.parametrize(("spec", "words"), KEYWORDS.values(), ids=KEYWORDS.keys())
def test_a_wrong_value_is_said_as_the_api_server_says_it(spec: dict[str, Any], words: str) -> None:
    assert complaints(manifest(**spec)) == {words}


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
    assert said.endswith("must start and end with an alphanumeric character")


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
    assert complaints(manifest(parameters={"a": {"b": 1}, "c": [1, 2]})) == {
        "spec.parameters.a: Too many: 1: must have at most 0 items",
        "spec.parameters.c: Too many: 2: must have at most 0 items",
    }


@pytest.mark.parametrize("spec", [{"args": [None]}, {"env": [None]}])
def test_a_null_in_a_list_is_not(spec: dict[str, Any]) -> None:
    [said] = complaints(manifest(**spec))
    assert 'Invalid value: "null"' in said


@pytest.mark.parametrize("body", [None, 3, "text", [], [manifest()], {}, {"kind": "TrainingRun"}])
def test_what_is_no_training_run(body: Any) -> None:
    with pytest.raises(UnreadableManifest, match=r"set apiVersion: runyard\.dev/v1alpha1 and kind: TrainingRun$"):
        parse(body)


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
