"""Figures of SHAP values, decided without a server."""

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
