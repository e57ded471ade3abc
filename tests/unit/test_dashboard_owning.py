"""Whose runs are whose, as decided of values: who sees some sees no other, whatever runs say of themselves."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.records import RunStatus
from runyard.dashboard import owning
from runyard.dashboard.runs import Runs
from runyard.history import LoggedRun

AT = datetime(2026, 1, 1, tzinfo=UTC)
TAG, SWEEP, PARENT = "runyard.dev/namespace", "runyard.dev/sweep-namespace", "mlflow.parentRunId"


def run(number: int, **tags: str) -> LoggedRun:
    named = {"namespace": TAG, "sweep": SWEEP, "parent": PARENT}
    return LoggedRun(
        str(number),
        f"run-{number}",
        "heart",
        RunStatus.FINISHED,
        AT + timedelta(minutes=number),
        AT,
        tags={named[name]: value for name, value in tags.items()},
    )


@pytest.mark.parametrize(
    ("runs", "owned"),
    [
        ([run(0)], ""),
        ([run(0, namespace="a")], "a"),
        ([run(0, sweep="a")], "a"),
        ([run(0, namespace="")], ""),
        ([run(0, parent="1"), run(1, namespace="a")], "a"),
        ([run(0, parent="1"), run(1, parent="2"), run(2, sweep="a")], "a"),
        # What it says of itself goes before what it is a part of.
        ([run(0, parent="1", namespace="b"), run(1, namespace="a")], "b"),
        ([run(0, parent="1"), run(1)], ""),
        # Gone: nobody knows whose it was.
        ([run(0, parent="1")], None),
        ([run(0, parent="1"), run(1, parent="2")], None),
        # Each other's parents have none.
        ([run(0, parent="0")], ""),
        ([run(0, parent="1"), run(1, parent="0")], ""),
        # Deeper than anybody goes.
        ([run(number, parent=str(number + 1)) for number in range(60)] + [run(60, namespace="a")], None),
    ],
)
def test_a_run_is_of_the_namespace_that_it_names_or_of_its_parents(runs: list[LoggedRun], owned: str | None) -> None:
    assert owning.owners(Runs.of(runs, AT))["0"] == owned
    by_id = {each.id: each for each in runs}
    assert owning.owner(runs[0], by_id.get) == owned


NAMES = st.sampled_from(["", "a", "b", "c"])
PARENTS = st.one_of(st.just(""), st.integers(0, 12).map(str))


@given(st.lists(st.tuples(NAMES, NAMES, PARENTS), max_size=10), st.frozensets(st.sampled_from("abc")))
def test_who_sees_some_namespaces_sees_no_run_that_names_another(
    tagged: list[tuple[str, str, str]], namespaces: frozenset[str]
) -> None:
    whole = Runs.of([run(n, namespace=a, sweep=b, parent=c) for n, (a, b, c) in enumerate(tagged)], AT)
    shown = owning.only(whole, namespaces)
    assert owning.only(whole, namespaces) is shown
    for each in whole.every:
        named = each.tags.get(TAG) or each.tags.get(SWEEP)
        if named:
            assert (each in shown.every) == (named in namespaces)
        elif not each.parent_id:
            assert each in shown.every
        elif (above := whole.by_id.get(each.parent_id)) is None:
            assert each not in shown.every
        elif above.tags.get(TAG) or above.tags.get(SWEEP):
            assert (each in shown.every) == (above in shown.every)
    assert [each.id for each in shown.every] == [each.id for each in whole.every if each in shown.every]
    assert set(shown.by_id) == {each.id for each in shown.every}


def test_what_is_chosen_of_the_newest_says_that_there_may_be_older_ones() -> None:
    whole = Runs((run(0, namespace="a"),), AT, has_others=True)
    assert owning.only(whole, frozenset()).has_more
    assert not owning.only(Runs((), AT), frozenset()).has_more
