"""The training container that spec and podTemplate amount to."""

import copy
from typing import Any

import pytest

from runyard.api.container import joined, training_container
from tests.support.factories import training_run


def template(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "other", "image": "o"}, {"name": "training", **container}]}}


def test_the_specs_fields_take_the_place_of_the_templates() -> None:
    below = template(
        image="below", command=["below"], workingDir="/below", resources={"limits": {"cpu": "1"}}, tty=True
    )
    found = training_container(training_run(image="above", command=["above"], podTemplate=below))
    assert found == {
        "name": "training",
        "image": "above",
        "command": ["above"],
        "workingDir": "/below",
        "resources": {"limits": {"cpu": "1"}},
        "tty": True,
    }


def test_no_arguments_are_not_an_empty_list() -> None:
    assert "args" not in training_container(training_run())
    assert training_container(training_run(args=[]))["args"] == []


@pytest.mark.parametrize("is_in_template", [False, True])
def test_parameters_are_put_into_command_arguments_and_values(is_in_template: bool) -> None:  # noqa: FBT001
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "$(params.a)"}}}
    asked: dict[str, Any] = {
        "command": ["$(params.a)"],
        "args": ["-a", "$(params.a)", "$(HOME)"],
        "env": [{"name": "A", "value": "$(params.a)/$(B)"}, {"name": "EMPTY"}, secret],
    }
    spec = {"command": None, "podTemplate": template(**asked)} if is_in_template else asked
    found = training_container(training_run(parameters={"a": 1}, **spec))
    assert {key: found[key] for key in asked} == {
        "command": ["1"],
        "args": ["-a", "1", "$(HOME)"],
        "env": [{"name": "A", "value": "1/$(B)"}, {"name": "EMPTY"}, secret],
    }


def test_a_variable_of_the_spec_takes_the_place_of_the_templates() -> None:
    below = template(env=[{"name": "A", "value": "below"}, {"name": "B", "value": "below"}])
    found = training_container(training_run(env=[{"name": "A", "value": "above"}], podTemplate=below))
    assert found["env"] == [{"name": "B", "value": "below"}, {"name": "A", "value": "above"}]


def test_the_resource_stays_as_it_was() -> None:
    run = training_run(
        parameters={"a": 1}, env=[{"name": "A", "value": "$(params.a)"}], podTemplate=template(args=["$(params.a)"])
    )
    before = copy.deepcopy(run)
    training_container(run)
    assert run == before


@pytest.mark.parametrize(
    ("base", "more", "expected"),
    [
        (None, None, None),
        ([{"k": 1}], None, [{"k": 1}]),
        (None, [], []),
        (None, [{"k": 1}], [{"k": 1}]),
        ([{"k": 1, "v": 1}, {"k": 2}], [{"k": 1, "v": 2}], [{"k": 2}, {"k": 1, "v": 2}]),
    ],
)
def test_joined(base: Any, more: Any, expected: Any) -> None:
    assert joined(base, more, "k") == expected
