"""Parameters: their text on a command line, where they are put in, and which are refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.parameters import problems, substituted, text_of, usable, variables
from tests.support.factories import training_run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (200, "200"),
        (0.1, "0.1"),
        (1e-05, "1e-05"),
        (True, "true"),
        (False, "false"),
        ("a b", "a b"),
        ("", ""),
        ("true", "true"),
        ("Grüner 🍇", "Grüner 🍇"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert text_of(value) == text


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_text_keeps_the_value(value: float) -> None:
    assert json.loads(text_of(value)) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing", "nothing"),
        ("$(params.a)", "1"),
        ("--a=$(params.a),$(params.a)", "--a=1,1"),
        ("$(params.a)$(params.b)", "1x y"),
        ("$(HOME) $HOME ${a} $(param.a) $(params)", "$(HOME) $HOME ${a} $(param.a) $(params)"),
        ("$(params.c)", "$(params.a)"),
        ("$(params.a)$(params.e)", "1$(params.e)"),
        ("$(params.d)", r"\1 \g<0>"),
    ],
)
def test_substituted(text: str, expected: str) -> None:
    assert substituted(text, {"a": 1, "b": "x y", "c": "$(params.a)", "d": r"\1 \g<0>"}) == expected


def test_what_is_wrong_is_left_out_of_what_is_usable() -> None:
    spec = training_run(parameters={"a": 1, "b c": 2, "d": {}, "e": [], "f": None, "g": ""}).spec
    assert usable(spec) == {"a": 1, "g": ""}


def test_each_is_a_variable() -> None:
    assert variables({"trees": 200, "Deep_1": True}) == {"PARAM_trees": "200", "PARAM_Deep_1": "true"}


@pytest.mark.parametrize("name", ["a", "A", "_", "n_estimators", "x1"])
def test_names_that_an_environment_can_have(name: str) -> None:
    assert problems(training_run(parameters={name: 1}).spec) == []


@pytest.mark.parametrize("name", ["", "1", "a-b", "a.b", "a b", "ä", "a=b", "a\n"])
def test_names_that_it_cannot_have(name: str) -> None:
    [found] = problems(training_run(parameters={name: 1}).spec)
    assert found.path == f"spec.parameters.{name}"
    assert "letters, digits and underscores" in found.message


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (None, ""),
        *((value, ", and not a list: write it as one string, which the script takes apart") for value in ([], [1])),
        *((value, ", and not an object: give each of its fields a parameter of its own") for value in ({}, {"a": 1})),
    ],
)
def test_only_scalars(value: Any, remedy: str) -> None:
    [found] = problems(training_run(parameters={"a": value}).spec)
    assert str(found) == f"spec.parameters.a: Forbidden: must be a number, a string or a boolean{remedy}"


def test_all_unknown_references_are_named_with_their_places() -> None:
    spec = training_run(
        parameters={"a": 1, "b": 2},
        args=["$(params.a)", "$(params.x)$(params.y)"],
        command=["run", "$(params.z)"],
        env=[{"name": "N", "value": "$(params.)"}, {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        podTemplate={
            "spec": {
                "initContainers": [{"name": "first", "args": ["$(params.not-ours)"]}],
                "containers": [
                    {"name": "other", "args": ["$(params.not-ours)"]},
                    {"name": "training", "args": ["$(params.w)"], "env": [{"name": "V", "value": "$(params.v)"}]},
                ],
            }
        },
    ).spec
    container = "spec.podTemplate.spec.containers[1]"
    assert list(map(str, problems(spec))) == [
        'spec.command[1]: Invalid value: "$(params.z)": spec.parameters has no "z"; it has: a, b',
        'spec.args[1]: Invalid value: "$(params.x)": spec.parameters has no "x"; it has: a, b',
        'spec.args[1]: Invalid value: "$(params.y)": spec.parameters has no "y"; it has: a, b',
        'spec.env[0].value: Invalid value: "$(params.)": spec.parameters has no ""; it has: a, b',
        f'{container}.args[0]: Invalid value: "$(params.w)": spec.parameters has no "w"; it has: a, b',
        f'{container}.env[0].value: Invalid value: "$(params.v)": spec.parameters has no "v"; it has: a, b',
    ]


def test_without_parameters_it_says_so() -> None:
    [found] = problems(training_run(args=["$(params.x)"]).spec)
    assert found.message.endswith("it has: none")
