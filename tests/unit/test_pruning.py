"""Which trials are ended early."""

import math
from typing import Any

import pytest

from runyard.api.direction import Direction
from runyard.api.pruning import MOST_HISTORIES, MOST_STEPS, History, to_prune
from runyard.api.trainingsweep import Pruning


def history(*values: float, first: int = 1) -> History:
    return History.of({first + place: value for place, value in enumerate(values)})


GOOD = [history(0.5, 0.6, 0.7), history(0.5, 0.7, 0.8), history(0.4, 0.5, 0.9)]


def decided(own: History, others: list[History], direction: Direction = Direction.HIGHEST, **asked: Any) -> str | None:
    return to_prune({7: own}, others, Pruning.model_validate({"minTrials": 3, **asked}), direction).get(7)


def test_a_trial_that_is_worse_than_the_median_is_ended_and_told_why() -> None:
    assert decided(history(0.3, 0.4), GOOD) == "0.4 at step 2 is worse than 0.6, the median of 3 other trials"


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        (history(0.3, 0.6), {}),  # as good as the median
        (history(0.9, 0.1), {}),  # it was better before
        (history(0.3, 0.4), {"afterSteps": 3}),
        (history(0.3, 0.4), {"minTrials": 4}),
        (history(0.3, 0.4, 0.5, 0.8), {}),  # nobody has come as far, and it is as good as they were
        (history(0.3, 0.4, 0.5, 0.5), {"afterSteps": 4}),  # nobody has come as far as one may be judged
        (history(), {}),
    ],
)
def test_any_other_goes_on(own: History, asked: dict[str, Any]) -> None:
    assert decided(own, GOOD, **asked) is None


def test_of_losses_the_lowest_are_good() -> None:
    losses = [history(0.5, 0.4), history(0.5, 0.3), history(0.5, 0.2)]
    assert decided(history(0.9, 0.5), losses, Direction.LOWEST) is not None
    assert decided(history(0.2, 0.9), losses, Direction.LOWEST) is None


def test_those_that_go_on_are_compared_with_those_that_ended_well_alone() -> None:
    """Else each look would halve the rest again, though nobody logged anything new."""
    running = {number: history(number / 40) for number in range(40)}
    asked = Pruning(after_steps=1, min_trials=2)
    assert to_prune(running, [], asked, Direction.HIGHEST) == {}
    ended = [history(0.1), history(0.3), history(0.2)]
    pruned = to_prune(running, ended, asked, Direction.HIGHEST)
    assert set(pruned) == set(range(8))
    left = {number: running[number] for number in running.keys() - pruned.keys()}
    assert to_prune(left, ended, asked, Direction.HIGHEST) == {}


def test_one_that_never_had_a_number_is_worse_than_any() -> None:
    said = "it had no number until step 2, where 0.6, the median of 3 other trials is"
    assert decided(history(math.nan, math.inf), GOOD) == said
    assert decided(history(0.9, math.nan), GOOD) is None
    assert decided(history(math.nan, math.nan), GOOD[:2]) is None


def test_of_others_those_without_a_number_at_the_step_do_not_count() -> None:
    assert decided(history(0.3, 0.4), [*GOOD[:2], history(0.5, math.nan)]) is None
    assert decided(history(0.3, 0.4), [*GOOD, history(0.5, math.nan)]) is not None


def test_one_that_has_come_further_is_judged_where_enough_others_were() -> None:
    ahead = history(0.3, 0.4, 0.5, 0.5, 0.6)
    assert decided(ahead, GOOD) == "0.6 at step 3 is worse than 0.8, the median of 3 other trials"
    assert decided(ahead, [*GOOD, history(0.1)]) == "0.6 at step 3 is worse than 0.8, the median of 3 other trials"
    assert decided(ahead, [*GOOD[:2], history(0.7)]) is None  # at step 1, where it has been better since


def test_steps_need_not_be_the_same() -> None:
    others = [History.of({10: 0.5, 30: 0.9}) for _ in range(3)]
    assert decided(History.of({20: 0.4}), others) == ("0.4 at step 20 is worse than 0.5, the median of 3 other trials")


def test_of_a_long_history_some_steps_are_looked_at_the_last_among_them() -> None:
    found = History.of({step: float(step) for step in range(100_000)})
    assert len(found.steps) == MOST_STEPS
    assert (found.steps[0], found.steps[-1], found.at(99_999)) == (0, 99_999, 99_999.0)


def test_of_many_trials_the_last_are_looked_at() -> None:
    ended = [history(0.9)] * 1_000 + [history(0.1)] * MOST_HISTORIES
    assert decided(history(0.5), ended) is None
