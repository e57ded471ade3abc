"""Figures of SHAP values, decided without a server."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from runyard.dashboard import explaining
from runyard.explanation import Explanation

FINITE = st.floats(-100, 100, allow_subnormal=False)


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    rows, features, outputs = (draw(st.integers(1, most)) for most in (8, 14, 2))
    values = draw(arrays.arrays(float, (rows, features, outputs), elements=FINITE))
    base = draw(arrays.arrays(float, (rows, outputs), elements=FINITE))
    return Explanation(
        shap_values=values,
        base_values=base,
        outputs=base + values.sum(axis=1),
        data=draw(arrays.arrays(float, (rows, features), elements=FINITE)),
        features=[f"f{place}" for place in range(features)],
        output_names=[f"o{place}" for place in range(outputs)],
        rows=[str(row) for row in range(rows)],
        places=list(range(rows)),
        unit="probability",
        explainer="TreeExplainer",
        shap_version="0",
    )


@given(explanations())
def test_steps_lead_from_the_base_to_the_output_and_lose_nothing(found: Explanation) -> None:
    for row in range(len(found.rows)):
        steps = explaining.waterfall(found, 0, row).rows
        assert steps[-1][3] == found.base_values[row, 0]
        assert steps[0][4] == pytest.approx(found.outputs[row, 0], abs=1e-6)
        assert sum(float(step[2] or 0) for step in steps) == pytest.approx(found.shap_values[row, :, 0].sum(), abs=1e-6)
        assert len(steps) <= 11


@given(explanations())
def test_a_swarm_has_each_row_of_what_matters_most(found: Explanation) -> None:
    swarm = explaining.swarm(found, 0)
    shown = min(12, len(found.features))
    assert len(swarm.rows) == shown * len(found.rows)
    assert all(0 <= float(row[4] or 0) <= 1 for row in swarm.rows)
    sizes = np.abs(found.shap_values[:, :, 0]).mean(axis=0)
    assert [row[1] for row in explaining.importance(found, 0).rows] == pytest.approx(
        sorted(sizes, reverse=True)[:shown]
    )


@given(explanations())
def test_a_feature_is_never_coloured_by_itself_where_there_is_another(found: Explanation) -> None:
    for feature in range(len(found.features)):
        other = explaining.companion(found, 0, feature)
        assert other != feature or len(found.features) == 1


def test_the_companion_is_what_changes_the_effect() -> None:
    generator = np.random.default_rng(0)
    data = generator.normal(size=(400, 3))
    values = np.zeros((400, 3, 1))
    values[:, 0, 0] = data[:, 0] * data[:, 2]
    zeros = np.zeros((400, 1))
    found = Explanation(
        values, zeros, zeros, data, ["a", "b", "c"], ["o"], [str(n) for n in range(400)], list(range(400)), "value", "T"
    )
    assert found.features[explaining.companion(found, 0, 0)] == "c"


def with_data(*data: list[float]) -> Explanation:
    """Rows of data whose features did nothing."""
    r, f = len(data), len(data[0])
    values, base = np.zeros((r, f, 1)), np.zeros((r, 1))
    features = ["a", "b", "c"][:f]
    names = [str(row) for row in range(r)]
    return Explanation(values, base, base, np.array(data), features, ["o"], names, list(range(r)), "value", "T")


def test_what_has_no_value_is_not_high() -> None:
    found = with_data([1.0, np.nan], [np.nan, 5.0], [3.0, np.nan], [2.0, np.nan])
    swarm = explaining.swarm(found, 0)
    assert [(row[3], row[4]) for row in swarm.rows] == [
        (1.0, 0.0), ("NaN", None), (3.0, 1.0), (2.0, 0.5),
        ("NaN", None), (5.0, 0.5), ("NaN", None), ("NaN", None),
    ]  # fmt: skip
    assert swarm.says.endswith("is the feature's value. 4 points are grey: they have no value.")
    assert "grey" not in explaining.swarm(with_data([1.0], [2.0]), 0).says


def test_rows_that_have_no_place_are_counted() -> None:
    found = with_data([1.0, np.nan], [np.nan, 5.0], [3.0, np.nan], [np.nan, np.nan])
    figure = explaining.dependence(found, 0, 0, 1)
    assert len(figure.rows) == 4
    assert figure.says.endswith("coloured by b. 2 rows without a are not drawn. 2 rows without b are grey.")
    assert explaining.dependence(with_data([1.0, 2.0]), 0, 0, 1).says.endswith("coloured by b.")


def called(names: list[str], places: list[int]) -> Explanation:
    """Rows of such names at such places of the test data."""
    return replace(with_data(*([1.0] for _ in names)), rows=names, places=places)


def test_rows_that_are_called_alike_are_told_apart_by_their_place() -> None:
    found = called(["7", "007", "7"], [4, 9, 30])
    assert [explaining.row_of(found, name) for name in (None, "7", "007")] == [0, 0, 1]
    assert [explaining.row_of(found, name, at) for name, at in (("7", 30), (None, 30), ("7", 4))] == [2, 2, 0]
    for name, at, says in (
        ("007", 30, 'no row called "007" at place 30 of the test data'),
        (None, 5, "no row at place"),
    ):
        with pytest.raises(explaining.NotExplained, match=says):
            explaining.row_of(found, name, at)
    assert explaining.alike(found, 1) == ""
    assert explaining.waterfall(found, 0, 2).says.endswith(
        "2 of the rows that were explained are called 7: this is the one at place 30 of the test data, counted from 0."
    )


@pytest.mark.parametrize(("name", "place", "expected"), [("7", 30, 2), ("7", 4, 0), ("7", 5, 0), ("8", 4, None)])
def test_a_row_of_another_run_is_that_of_the_same_name_and_place(name: str, place: int, expected: int | None) -> None:
    theirs = called(["7", "007", "7"], [4, 9, 30])
    assert explaining.same_row(called([name], [place]), 0, theirs) == expected


COLUMNS = ("row", "true", "predicted", "age", "sex")


@pytest.mark.parametrize(
    ("columns", "row", "says"),
    [
        (COLUMNS, ("7", 1.0, 0.0, 50.0, "f"), ""),
        # What a model predicted makes no other row of it, nor does a feature that the other was not given.
        (COLUMNS, ("7", 1.0, 1.0, 50.0, "f"), ""),
        (("row", "true", "predicted", "age"), ("7", 1.0, 1.0, 50.0), ""),
        (COLUMNS, ("7", 1.0, 0.0, 51.0, "m"), "Row 7 is not the same one in both runs: it differs in age, sex."),
        (
            COLUMNS,
            ("7", 0.0, 0.0, 51.0, "f"),
            "Row 7 is not the same one in both runs: it differs in what is true of it, age.",
        ),
        (
            ("row",),
            ("7",),
            "Whether row 7 is the same one in both runs is not known: no feature of it was logged of both.",
        ),
    ],
)
def test_two_rows_of_one_name_may_be_different_ones(
    columns: tuple[str, ...], row: tuple[str | float, ...], says: str
) -> None:
    one = explaining.as_given(COLUMNS, ("7", 1.0, 0.0, 50.0, "f"))
    assert one == explaining.Given({"true": 1.0, "predicted": 0.0}, {"age": 50.0, "sex": "f"})
    assert explaining.not_the_same("7", one, explaining.as_given(columns, row)) == says
