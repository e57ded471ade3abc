"""What each trial is tried with: of a grid every combination once, by chance the same again."""

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api import trials
from runyard.api.trainingsweep import ParameterSpace, TrainingSweepSpec
from tests.support.sweep_refusals import RIGHT


def spec(parameters: dict[str, Any], **more: Any) -> TrainingSweepSpec:
    return TrainingSweepSpec.model_validate({**RIGHT, "parameters": parameters, **more})


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"values": ["a", 1, True]}, ["a", 1, True]),
        ({"min": 1, "max": 4}, [1, 2, 3, 4]),
        ({"min": 1.0, "max": 4.0, "step": 2}, [1, 3]),
        ({"min": 0, "max": 1, "type": "Float", "step": 0.5}, [0.0, 0.5, 1.0]),
        ({"min": 0.1, "max": 0.5, "step": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"min": 0.1, "max": 0.35, "step": 0.1}, [0.1, 0.2, 0.3]),
        ({"min": 1e-5, "max": 3e-5, "step": 1e-5}, [1e-5, 2e-5, 3e-5]),
    ],
)
def test_what_a_parameter_may_be(space: dict[str, Any], expected: list[Any]) -> None:
    found = trials.choices(ParameterSpace.model_validate(space))
    assert found is not None
    listed = [found[place] for place in range(len(found))]
    assert listed == expected
    assert [type(value) for value in listed] == [type(value) for value in expected]


def test_between_fractions_without_steps_is_any_number() -> None:
    assert trials.choices(ParameterSpace.model_validate({"min": 0.5, "max": 1})) is None


def test_a_grid_has_every_combination_once_and_the_last_parameter_changes_first() -> None:
    asked = spec({"a": {"values": ["x", "y"]}, "b": {"min": 1, "max": 3}})
    assert trials.total(asked) == 6
    assert [tuple(trials.parameters(asked, index).items()) for index in range(6)] == [
        (("a", a), ("b", b)) for a, b in itertools.product("xy", [1, 2, 3])
    ]


def test_a_trial_of_a_million_costs_no_memory() -> None:
    asked = spec({name: {"min": 0, "max": 99} for name in "abc"}, maxTrials=10_000)
    assert trials.combinations(asked) == 1_000_000
    tracemalloc.start()
    assert trials.parameters(asked, 123_456) == {"a": 12, "b": 34, "c": 56}
    assert trials.parameters(asked, 999_999) == {"a": 99, "b": 99, "c": 99}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize(
    ("more", "expected"),
    [({}, 6), ({"maxTrials": 4}, 4), ({"maxTrials": 9}, 6), ({"algorithm": "Random", "maxTrials": 9}, 9)],
)
def test_how_many_trials_there_are(more: dict[str, Any], expected: int) -> None:
    assert trials.total(spec({"a": {"min": 1, "max": 6}}, **more)) == expected


BY_CHANCE = {
    "rate": {"min": 1e-4, "max": 1e-1, "log": True},
    "depth": {"min": 2, "max": 9},
    "width": {"min": 1, "max": 1024, "log": True},
    "part": {"min": 0, "max": 1, "type": "Float", "step": 0.25},
    "drop": {"min": 0.1, "max": 0.5},
    "kind": {"values": ["a", "b"]},
}


def test_by_chance_is_the_same_for_the_same_seed_and_index_alone() -> None:
    asked = spec(BY_CHANCE, algorithm="Random", maxTrials=50, seed=3)
    assert [trials.parameters(asked, index) for index in (7, 3, 7)] == [
        trials.parameters(asked, index) for index in (7, 3, 7)
    ]
    other = spec(BY_CHANCE, algorithm="Random", maxTrials=50, seed=4)
    assert trials.parameters(asked, 7) != trials.parameters(other, 7)
    # Written down: who repeats a sweep next year finds the same trials.
    first = trials.parameters(asked, 0)
    assert first.pop("rate") == pytest.approx(0.02894349547068957)
    assert first.pop("drop") == pytest.approx(0.308127009110841)
    assert first == {"depth": 5, "width": 497, "part": 0.25, "kind": "b"}


def test_by_chance_every_part_of_a_range_is_tried() -> None:
    asked = spec(BY_CHANCE, algorithm="Random", maxTrials=2000)
    drawn: list[dict[str, Any]] = [{**trials.parameters(asked, index)} for index in range(2000)]
    assert {trial["depth"] for trial in drawn} == set(range(2, 10))
    assert {trial["part"] for trial in drawn} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {trial["kind"] for trial in drawn} == {"a", "b"}
    rates, widths = ([trial[name] for trial in drawn] for name in ("rate", "width"))
    for low, high in ((1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 1e-1)):  # as many in each power of ten
        assert 550 < sum(low <= rate < high for rate in rates) < 780
    assert {type(width) for width in widths} == {int}
    assert 800 < sum(width < 32 for width in widths) < 1200


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.booleans(), st.integers(0, 2**31 - 1), st.integers(0, 9_999))
def test_what_is_drawn_lies_in_its_range(least: int, width: int, is_log: bool, seed: int, index: int) -> None:  # noqa: FBT001
    least = abs(least) + 1 if is_log else least
    for kind in ("Integer", "Float"):
        space = {"min": least, "max": least + width, "log": is_log, "type": kind}
        asked = spec({"a": space}, algorithm="Random", maxTrials=1, seed=seed)
        found: Any = trials.parameters(asked, index)["a"]
        assert isinstance(found, int if kind == "Integer" else float)
        assert least <= found <= least + width


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_a_grid_of_any_shape_has_no_trial_twice(sizes: list[int]) -> None:
    asked = spec({f"p{place}": {"values": [*range(size)]} for place, size in enumerate(sizes)})
    found = [tuple(trials.parameters(asked, index).values()) for index in range(trials.total(asked))]
    assert sorted(found) == sorted(itertools.product(*map(range, sizes)))


def test_optuna_does_not_choose_by_index() -> None:
    with pytest.raises(ValueError, match="Optuna chooses by what came of other trials"):
        trials.parameters(spec({"a": {"values": [1]}}, algorithm="Optuna", maxTrials=3), 0)
