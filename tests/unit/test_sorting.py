"""The order of runs where MLflow has none, and what is shown of runs side by side: for any runs."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import RunStatus
from runyard.comparison import MACHINE_METRICS
from runyard.history import LoggedRun
from runyard.side_by_side import side_by_side
from runyard.sorting import WrongOrder, read_order

START = datetime(2026, 1, 1, tzinfo=UTC)
names = st.sampled_from(["depth", "seed", "f1", "loss", f"{MACHINE_METRICS}cpu"])
texts = st.sampled_from(["1", "9", "10", "1e-3", "-2", "nan", "inf", "lbfgs", "", "葡萄"])


@st.composite
def some_runs(draw: st.DrawFn) -> list[LoggedRun]:
    def run(number: int) -> LoggedRun:
        seconds = draw(st.none() | st.integers(0, 90))
        return LoggedRun(
            f"{number:032x}",
            f"run-{number}",
            "heart",
            RunStatus.RUNNING if seconds is None else RunStatus.FINISHED,
            START,
            None if seconds is None else START + timedelta(seconds=seconds),
            draw(st.dictionaries(names, texts)),
            draw(st.dictionaries(names, st.floats() | st.sampled_from([0.5, 0.25]))),
        )

    return [run(number) for number in range(draw(st.integers(2, 6)))]


def number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


@given(some_runs(), st.booleans())
def test_numbers_come_by_their_size_and_runs_without_a_value_last(runs: list[LoggedRun], down: bool) -> None:  # noqa: FBT001
    found = read_order("-params.depth" if down else "params.depth").arranged(runs)
    assert sorted(run.id for run in found) == sorted(run.id for run in runs)
    has = ["depth" in run.params for run in found]
    assert has == sorted(has, reverse=True)
    numbers = [value for run in found if not math.isnan(value := number(run.params.get("depth")))]
    assert numbers == sorted(numbers, reverse=down)


@given(some_runs(), st.booleans())
def test_what_goes_on_comes_after_all_that_took_some_time(runs: list[LoggedRun], down: bool) -> None:  # noqa: FBT001
    found = [run.duration for run in read_order("-took" if down else "took").arranged(runs)]
    known = [each for each in found if each is not None]
    assert found == [*sorted(known, reverse=down), *[None] * (len(found) - len(known))]


@pytest.mark.parametrize(
    "text", ["", "-", "depth", "metrics", "metrics.", "params.", "Started", "name.x", "metrics.a`b"]
)
def test_an_order_that_is_none_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(WrongOrder, match=r'runs have no order ".*": give started, name, took, metrics\.NAME or params'):
        read_order(text)


@given(some_runs(), st.booleans())
def test_side_by_side_all_that_varies_is_shown_and_the_rest_is_counted(runs: list[LoggedRun], everything: bool) -> None:  # noqa: FBT001
    found = side_by_side(runs, everything=everything)
    for shown, of in ((found.params, [run.params for run in runs]), (found.metrics, [run.metrics for run in runs])):
        for name in {name for values in of for name in values}:
            varies = len({repr(values.get(name)) for values in of}) > 1
            is_hidden = of is not None and name.startswith(MACHINE_METRICS) and shown is found.metrics
            assert (name in shown) == (everything or (varies and not is_hidden)), name
    every = {name for run in runs for name in run.params}, {name for run in runs for name in run.metrics}
    assert len(found.params) + len(found.metrics) + found.same + found.system == sum(map(len, every))
    for name, best in found.best.items():
        values = {run.id: run.metrics[name] for run in runs if not math.isnan(run.metrics.get(name, math.nan))}
        top = min(values.values(), default=0) if name == "loss" else max(values.values(), default=0)
        equal = [run.id for run in runs if values.get(run.id) == top and run.id in values]
        assert best in ([], equal)
