"""How a sweep goes on: nothing twice, never more at once than may, the right end, and the right best."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.direction import Direction
from runyard.api.sweeping import Step, Trial, TrialState, best, counts, next_step, ranked
from runyard.api.trainingsweep import TrainingSweepSpec
from tests.unit.test_trials import spec

R, S, F, P = TrialState.RUNNING, TrialState.SUCCEEDED, TrialState.FAILED, TrialState.PRUNED


def sweep(**more: Any) -> TrainingSweepSpec:
    return spec({"a": {"min": 1, "max": 6}}, **{"parallelism": 2, **more})


@pytest.mark.parametrize(
    ("more", "states", "expected"),
    [
        ({}, {}, Step((0, 1))),
        ({}, {0: R}, Step((1,))),
        ({}, {0: R, 1: R}, Step()),
        ({}, {0: S, 1: F, 3: P}, Step((2, 4))),
        ({"suspend": True}, {0: S}, Step()),
        ({"suspend": True}, dict.fromkeys(range(6), S), Step(is_over=True)),
        ({}, {**dict.fromkeys(range(5), S), 5: R}, Step()),
        ({}, dict.fromkeys(range(6), P), Step(is_over=True)),
        ({"maxTrials": 2}, {0: S, 1: S}, Step(is_over=True)),
        ({"maxTrials": 2}, {0: S, 1: S, 2: R}, Step()),
        ({"maxTrials": 9}, dict.fromkeys(range(6), S), Step(is_over=True)),
        ({"maxFailedTrials": 1}, {0: F}, Step((1, 2))),
        ({"maxFailedTrials": 1}, {0: F, 1: F, 2: R}, Step(has_failed_too_often=True)),
        ({"maxFailedTrials": 1}, {0: F, 1: F}, Step(is_over=True, has_failed_too_often=True)),
        ({"maxFailedTrials": 0}, {0: P, 1: S}, Step((2, 3))),
    ],
)
def test_what_comes_next(more: dict[str, Any], states: dict[int, TrialState], expected: Step) -> None:
    assert next_step(sweep(**more), states) == expected


@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 4)),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([S, F, P])), max_size=60),
)
def test_in_whatever_order_trials_end_each_is_begun_once(
    size: int, parallelism: int, most_failures: int | None, ends: list[tuple[int, TrialState]]
) -> None:
    asked = spec({"a": {"min": 1, "max": size + 1}}, parallelism=parallelism, maxFailedTrials=most_failures)
    total, states, begun = size + 1, dict[int, TrialState](), list[int]()
    for which, end in [*ends, *((0, S) for _ in range(total))]:
        step = next_step(asked, states)
        begun += step.begin
        states |= dict.fromkeys(step.begin, R)
        going_on = [index for index, state in states.items() if state is R]
        assert len(going_on) <= parallelism
        assert step.is_over == (not going_on)
        if not going_on:
            break
        states[going_on[which % len(going_on)]] = end
    last = next_step(asked, states)
    assert last.is_over
    assert begun == list(range(len(begun)))
    failed = sum(state is F for state in states.values())
    assert last.has_failed_too_often == (most_failures is not None and failed > most_failures)
    assert last.has_failed_too_often or len(begun) == total


def of(values: Mapping[int, float | None], state: TrialState = S) -> list[Trial]:
    return [Trial(index, state, value) for index, value in values.items()]


@pytest.mark.parametrize(
    ("found", "direction", "expected"),
    [
        ([], Direction.HIGHEST, None),
        (of({0: 0.1, 1: 0.3, 2: 0.2}), Direction.HIGHEST, 1),
        (of({0: 0.1, 1: 0.3, 2: 0.2}), Direction.LOWEST, 0),
        (of({3: 0.3, 1: 0.3}), Direction.HIGHEST, 1),
        (of({0: math.nan, 1: math.inf, 2: -math.inf}), Direction.HIGHEST, None),
        (of({0: math.nan, 1: 0.1}), Direction.LOWEST, 1),
        ([*of({0: 0.9}, P), *of({1: 0.8}, F), *of({2: 0.1})], Direction.HIGHEST, 2),
    ],
)
def test_the_best(found: list[Trial], direction: Direction, expected: int | None) -> None:
    chosen = best(found, direction)
    assert (chosen.index if chosen else None) == expected


def test_the_order_of_a_table() -> None:
    found = [*of({0: 0.1, 1: 0.3, 2: math.nan, 3: 0.3}), *of({4: 0.5}, P)]
    assert [trial.index for trial in ranked(found, Direction.HIGHEST)] == [1, 3, 0, 2, 4]
    assert [trial.index for trial in ranked(found, Direction.LOWEST)] == [0, 1, 3, 2, 4]


def test_counts() -> None:
    found = counts(sweep(), [*of({0: 1.0, 1: 2.0}), *of({2: None}, R), *of({3: None}, P)])
    assert found.model_dump() == {"total": 6, "running": 1, "succeeded": 2, "failed": 0, "pruned": 1}
