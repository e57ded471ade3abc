"""Ranking and differences, for any runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.direction import Direction, direction_of
from runyard.api.model import JsonObject
from runyard.api.records import MADE_TAG, PARENT_TAG, SWEEP, RunStatus
from runyard.comparison import Kind, NothingToCompare, diff, is_summary, ranked, varying, winners
from runyard.history import LoggedRun
from runyard.trees import ancestors

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(number: int = 0, params: dict[str, str] | None = None, **metrics: float) -> LoggedRun:
    began = START + timedelta(minutes=number)
    return LoggedRun(
        f"{number:032x}", f"run-{number}", "heart", RunStatus.FINISHED, began, began, params or {}, metrics
    )


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("f1_score", Direction.HIGHEST),
        ("val_loss", Direction.LOWEST),
        ("log_loss", Direction.LOWEST),
        ("rmse", Direction.LOWEST),
        ("mean_absolute_error", Direction.LOWEST),
        ("test_r2", Direction.HIGHEST),
        ("accuracy", Direction.HIGHEST),
        ("glossary_hits", Direction.HIGHEST),
        ("terror_recall", Direction.HIGHEST),
        ("epoch_seconds", Direction.LOWEST),
        ("fairness.sex.equalized_odds_difference", Direction.LOWEST),
        ("cv_accuracy_std", Direction.LOWEST),
        ("eval/loss", Direction.LOWEST),
        ("train.loss", Direction.LOWEST),
        ("val-loss", Direction.LOWEST),
        ("valLoss", Direction.LOWEST),
        ("logloss", Direction.LOWEST),
        ("test NLL", Direction.LOWEST),
        ("RMSE", Direction.LOWEST),
        ("brier_score", Direction.LOWEST),
        ("eval/WER", Direction.LOWEST),
        ("neg_log_loss", Direction.HIGHEST),
        ("test_neg_mean_squared_error", Direction.HIGHEST),
        ("false_negative_rate", Direction.LOWEST),
        ("true_positive_rate", Direction.HIGHEST),
        ("timeliness", Direction.HIGHEST),
        ("R2", Direction.HIGHEST),
        ("explained_variance_score", Direction.HIGHEST),
        ("explainedVariance", Direction.HIGHEST),
        ("variance", Direction.LOWEST),
        ("d2_absolute_error_score", Direction.HIGHEST),
        ("test_d2_log_loss_score", Direction.HIGHEST),
        ("id2_loss", Direction.LOWEST),
        ("log_likelihood", Direction.HIGHEST),
        ("negative_log_likelihood", Direction.LOWEST),
        ("neg_log_likelihood", Direction.LOWEST),
        ("positive_likelihood_ratio", Direction.HIGHEST),
        ("neg_negative_likelihood_ratio", Direction.HIGHEST),
        ("negative_predictive_value", Direction.HIGHEST),
        ("true_negative_rate", Direction.HIGHEST),
        ("aic", Direction.LOWEST),
        ("BIC", Direction.LOWEST),
        ("davies_bouldin", Direction.LOWEST),
        ("wape", Direction.LOWEST),
        ("crps", Direction.LOWEST),
    ],
)
def test_which_way_is_better_is_guessed_from_whole_words(metric: str, direction: Direction) -> None:
    assert direction_of(metric) is direction


@given(st.lists(st.floats(allow_nan=False)), st.sampled_from(Direction))
def test_the_first_is_never_worse_than_another_and_none_is_lost(values: list[float], direction: Direction) -> None:
    runs = [run(number, score=value) for number, value in enumerate(values)]
    if not runs:
        with pytest.raises(NothingToCompare):
            ranked(runs, "score", direction)
        return
    found = [each.metrics["score"] for each in ranked(runs, "score", direction)]
    assert found == sorted(values, reverse=direction is Direction.HIGHEST)


def test_what_is_not_a_number_is_no_value() -> None:
    found = ranked([run(0, score=float("nan")), run(1, score=0.5), run(2)], "score", Direction.HIGHEST)
    assert [each.name for each in found] == ["run-1"]


@given(st.lists(st.tuples(st.integers(-1, 7), st.sampled_from([0.5, 0.9])), min_size=1, max_size=8), st.randoms())
def test_of_equals_a_part_comes_before_what_it_is_a_part_of(wishes: list[tuple[int, float]], chance: Random) -> None:
    """Any tags: a run may be said to be a part of itself, of a later one, or of none that there is."""
    runs = [
        replace(run(number, score=score), tags={PARENT_TAG: f"{above:032x}"})
        for number, (above, score) in enumerate(wishes)
    ]
    mixed = chance.sample(runs, len(runs))
    order = ranked(mixed, "score", Direction.HIGHEST)
    by_id = {each.id: each for each in runs}
    for each in runs:
        for above in ancestors(each, by_id):
            if above.metrics == each.metrics:
                assert order.index(each) < order.index(above)
    assert ranked(runs, "score", Direction.HIGHEST) == order
    assert [each.metrics["score"] for each in order] == sorted((score for _, score in wishes), reverse=True)


def test_a_grid_is_not_the_best_but_its_forest_whichever_was_there_first() -> None:
    grid, forest, other = run(0, score=0.9), run(1, score=0.9), run(2, score=0.9)
    forest = replace(forest, tags={PARENT_TAG: grid.id})
    assert ranked([grid, forest, other], "score", Direction.HIGHEST) == [forest, other, grid]


def test_what_only_repeats_its_best_trial_wins_nothing() -> None:
    above = replace(run(0, score=0.9), tags={MADE_TAG: SWEEP})
    trials = [replace(run(number, score=number / 10), tags={PARENT_TAG: above.id}) for number in (8, 9)]
    assert [is_summary(each) for each in (above, *trials)] == [True, False, False]
    assert winners([above, *trials], "score") == [trials[1]]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("01")), min_size=1))
def test_what_varies_is_what_any_two_do_not_share(values: list[dict[str, str]]) -> None:
    wanted = {name for one in values for other in values for name in "abc" if one.get(name) != other.get(name)}
    assert varying(values) == sorted(wanted)


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("01")),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("01")),
)
def test_a_difference_is_the_same_from_both_sides(one: dict[str, str], other: dict[str, str]) -> None:
    there, back = diff(run(0, one), run(1, other), {}, {}), diff(run(1, other), run(0, one), {}, {})
    assert [(each.name, each.one, each.other) for each in there.differences] == [
        (each.name, each.other, each.one) for each in back.differences
    ]
    assert {each.name for each in there.differences} == {n for n in {*one} & {*other} if one[n] != other[n]}
    assert [(each.name, each.is_first) for each in there.alone] == [
        (each.name, not each.is_first) for each in back.alone
    ]
    assert {each.name for each in there.alone} == {*one} ^ {*other}


def test_the_same_recipe_with_other_metrics_is_said_to_lack_something() -> None:
    found = diff(run(0, {"a": "1"}, score=0.5), run(1, {"a": "1"}, score=0.6), {}, {})
    assert found.explanation() == (
        "The same parameters, yet different metrics: what decides them is not recorded. "
        "Not recorded of both: seeds, code, data, environment and hardware."
    )
    assert not found.same_metrics


def test_seeds_are_among_what_explains_a_difference() -> None:
    found = diff(
        run(0, score=0.5), run(1, score=0.6), {"seeds": {"random_state": "0"}}, {"seeds": {"random_state": "1"}}
    )
    assert [(each.kind.value, each.name, each.one, each.other) for each in found.differences] == [
        ("seeds", "random_state", "0", "1")
    ]
    assert found.explanation().startswith("Seeds differ (random_state): different metrics.")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"workers": 2}, {"workers": 2}, True),
        ({"workers": 2}, {"workers": None}, False),
        ({"workers": 2}, {}, True),
        ({"command": ["a b"]}, {"command": ["a", "b"]}, False),
        # The manifest's, which the script did not log.
        ({"parameters": {"DEPTH": "1"}}, {"parameters": {"DEPTH": "8"}}, False),
        ({"hardware": {"gpus": ["A100"]}}, {"hardware": {"gpus": []}}, True),
        ({"hardware": {"memory_bytes": 1}}, {"hardware": {"memory_bytes": 2}}, True),
    ],
)
def test_workers_command_and_given_parameters_decide_a_result_and_hardware_does_not(
    one: JsonObject,
    other: JsonObject,
    is_same: bool,  # noqa: FBT001 a case
) -> None:
    assert diff(run(0), run(1), one, other).is_same is is_same


def test_what_is_no_number_in_both_is_the_same() -> None:
    nan = float("nan")
    found = diff(run(0, score=nan, loss=nan), run(1, score=nan, loss=0.5), {}, {})
    assert [(each.name, each.is_same, each.change) for each in found.metrics] == [
        ("loss", False, None),
        ("score", True, None),
    ]
    assert not found.same_metrics


def test_infinitely_much_twice_is_no_change() -> None:
    found = diff(run(0, loss=float("inf")), run(1, loss=float("inf")), {}, {})
    assert [(each.is_same, each.change) for each in found.metrics] == [(True, 0.0)]


@pytest.mark.parametrize(
    ("left_out", "kind"),
    [("diff", "code"), ("diff/data.csv", "code"), ("commit", "code"), ("packages/model", "environment")],
)
def test_what_is_known_in_part_is_compared_and_said_to_be_so(left_out: str, kind: str) -> None:
    known: JsonObject = {"code": {"commit": "c1"}, "packages": {"numpy": "2"}, "left_out": {left_out: "unknown"}}
    found = diff(run(0), run(1), known, {**known, "code": {"commit": "c2"}})
    assert ([each.name for each in found.differences], kind in found.unknown) == (["commit"], True)
    same = diff(run(0, score=1), run(1, score=1), known, known)
    assert kind in same.explanation().split("Not recorded of both:")[1]


def test_what_a_run_wrote_of_itself_need_not_be_what_was_expected() -> None:
    odd = {"code": "none", "packages": ["numpy"], "datasets": {"heart": {"sha": 1}}, "seeds": {"a": 0}}
    odd |= {"command": "train.py", "workers": {}, "hardware": {"gpus": 3, "cpus": "many"}}
    found = diff(run(0), run(1), odd, {})  # type: ignore[arg-type]
    assert found.differences == ()


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0.5, 0.6, 0.6], [1, 2]),
        ([0.5, 0.5], []),
        ([float("nan"), float("nan")], []),
        ([float("nan"), 0.5], [1]),
        ([None, 0.5], [1]),
        ([None, None], []),
    ],
)
def test_the_best_of_several_share_it_and_of_equals_there_is_none(values: list[float | None], best: list[int]) -> None:
    runs = [run(number) if value is None else run(number, score=value) for number, value in enumerate(values)]
    assert winners(runs, "score") == [runs[number] for number in best]


def test_a_metric_that_one_run_does_not_have_is_no_equal() -> None:
    found = diff(run(0, score=0.5), run(1), {}, {})
    assert (found.metrics, found.same_metrics) == ((), True)
    assert [(each.kind, each.name, each.value, each.is_first) for each in found.alone] == [(None, "score", 0.5, True)]
    assert found.explanation() == (
        "The same parameters, and no metric of both. "
        "Not recorded of both: seeds, code, data, environment and hardware. Recorded of one alone: score."
    )


CLEAN: JsonObject = {"code": {"commit": "c1", "diff": None}}
DIRTY: JsonObject = {"code": {"commit": "c1", "diff": "sha256:1"}}


@pytest.mark.parametrize(
    ("one", "other", "differences", "alone", "unknown"),
    [
        pytest.param(CLEAN, CLEAN, [], [], False, id="nothing was changed in either"),
        pytest.param(CLEAN, DIRTY, [("uncommitted", None, "sha256:1")], [], False, id="changed in one"),
        pytest.param(
            DIRTY,
            {"code": {"commit": "c1"}, "left_out": {"diff": "no git"}},
            [],
            ["uncommitted"],
            True,
            id="git did not tell of the other",
        ),
        pytest.param(
            CLEAN,
            {"code": {"commit": "c1"}, "left_out": {"diff/data.csv": "large"}},
            [],
            ["uncommitted"],
            True,
            id="changed, and it is not known to what",
        ),
        pytest.param(CLEAN, {}, [], ["commit", "uncommitted"], True, id="nothing is known of the other"),
        pytest.param({"script": "sha256:1"}, CLEAN, [], ["commit", "script", "uncommitted"], False, id="nothing alike"),
        pytest.param(
            {"packages": {"numpy": "2", "mine": "1"}},
            {"packages": {"numpy": "2"}},
            [("mine", "1", None)],
            [],
            False,
            id="a list of packages is whole",
        ),
        pytest.param(
            {"packages": {"numpy": "2"}, "python": "3.11"},
            {"python": "3.12"},
            [("python", "3.11", "3.12")],
            ["numpy"],
            False,
            id="packages of one alone",
        ),
        pytest.param({"seeds": {"a": "0"}}, {"seeds": {"a": "0", "b": "1"}}, [], ["b"], False, id="a seed of one"),
        pytest.param({"datasets": {"a": "1"}}, {"datasets": {"b": "1"}}, [], ["a", "b"], False, id="other data"),
    ],
)
def test_only_what_both_have_on_record_is_compared(
    one: JsonObject,
    other: JsonObject,
    differences: list[tuple[str, str | None, str | None]],
    alone: list[str],
    unknown: bool,  # noqa: FBT001 a case
) -> None:
    found = diff(run(0), run(1), one, other)
    assert [(each.name, each.one, each.other) for each in found.differences] == differences
    assert sorted(each.name for each in found.alone) == alone
    back = diff(run(1), run(0), other, one)
    assert [(each.name, each.other, each.one) for each in back.differences] == differences
    if "code" in one:
        assert (Kind.CODE in found.unknown) is unknown


def test_what_one_alone_recorded_is_no_reason_for_other_metrics() -> None:
    found = diff(run(0, {"a": "1", "b": "2"}, score=0.5), run(1, {"a": "1"}, score=0.6), {}, {})
    assert found.explanation().startswith("The same parameters, yet different metrics: what decides them is not")
    assert found.explanation().endswith(" Recorded of one alone: b.")
    nothing = diff(run(0, {"a": "1"}), run(1), {}, {})
    assert Kind.PARAMETERS in nothing.unknown
    assert nothing.explanation().startswith("Nothing is recorded that decides a result, and no metric of both.")


def test_metrics_are_the_same_as_far_as_is_allowed_and_those_of_the_machine_are_none() -> None:
    one, other = (
        replace(run(number), metrics={"score": score, "system/memory": number})
        for number, score in enumerate((1.0, 1.001))
    )
    assert [each.name for each in diff(one, other, {}, {}).metrics] == ["score"]
    assert not diff(one, other, {}, {}).same_metrics
    assert diff(one, other, {}, {}, tolerance=0.01).same_metrics
