"""What a training finds in its environment, in a pod and on a laptop."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api import repetition
from runyard.api.container import training_container
from runyard.api.environment import AssignedRun, Platform, expanded, identity_tags, own_variables, quoted
from runyard.api.model import as_list
from runyard.api.trainingrun import ObjectMeta, TrainingRun
from tests.support.factories import UID, training_run

TAGS = {
    "runyard.dev/uid": UID,
    "runyard.dev/name": "wine",
    "runyard.dev/namespace": "team",
    "runyard.dev/pod": "uid-of-the-pod",
}


def test_a_run_is_found_again_by_these_tags() -> None:
    assert identity_tags(training_run(), "uid-of-the-pod") == TAGS
    assert identity_tags(training_run(), "uid-of-the-pod", "here") == {**TAGS, "runyard.dev/installation": "here"}
    assert "runyard.dev/pod" not in identity_tags(training_run())


EARLIER = "0" * 31 + "a"


@pytest.mark.parametrize(
    ("annotations", "marks"),
    [
        ({}, {}),
        ({"runyard.dev/reproduces": EARLIER}, {"runyard.dev/reproduces": EARLIER}),
        (
            {"runyard.dev/reproduces": EARLIER, "runyard.dev/varies": "code, parameters.depth"},
            {"runyard.dev/reproduces": EARLIER, "runyard.dev/varies": "code, parameters.depth"},
        ),
        # A kubelet would put a variable in.
        ({"runyard.dev/reproduces": "$(HOME)"}, {}),
        (
            {"runyard.dev/reproduces": EARLIER, "runyard.dev/varies": "$(HOME)"},
            {"runyard.dev/reproduces": EARLIER},
        ),
        ({"runyard.dev/varies": "code"}, {}),
        ({"runyard.dev/uid": "another's", "runyard.dev/verdict": "Reproduced", "team": "a"}, {}),
    ],
)
def test_runs_of_a_repetition_say_what_it_repeats(annotations: dict[str, str], marks: dict[str, str]) -> None:
    run = training_run()
    document = run.to_json() | {"metadata": run.to_json()["metadata"] | {"annotations": annotations}}  # type: ignore[operator]
    annotated = TrainingRun.model_validate(document)
    assert identity_tags(annotated, "uid-of-the-pod") == TAGS | marks
    assert json.loads(own_variables(annotated, Platform("u"), "uid-of-the-pod")["MLFLOW_RUN_CONTEXT"]) == TAGS | marks


def test_annotations_of_others_are_not_kept() -> None:
    metadata = ObjectMeta.model_validate({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}})
    assert metadata == ObjectMeta()
    assert "annotations" not in metadata.to_json()


@given(st.lists(st.from_regex(r"parameters\.[A-Za-z_][A-Za-z0-9_]{0,60}", fullmatch=True), min_size=1, max_size=99))
def test_what_was_changed_comes_through_however_much_it_is(names: list[str]) -> None:
    found = repetition.annotations(EARLIER, names)
    assert repetition.marks(found) == found
    told = found["runyard.dev/varies"].split(", ")
    assert told == names or (told[:-1] == names[: len(told) - 1] and told[-1] == "more")


def test_own_variables() -> None:
    run = training_run(parameters={"trees": 200}, experiment="wines")
    found = own_variables(run, Platform("http://mlflow"), "uid-of-the-pod")
    assert json.loads(found.pop("MLFLOW_RUN_CONTEXT")) == TAGS
    assert found == {
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "MLFLOW_EXPERIMENT_NAME": "wines",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "PYTHONUNBUFFERED": "1",
        "PARAM_trees": "200",
    }


def test_an_assigned_run_is_named() -> None:
    found = own_variables(training_run(), Platform("u", "here"), "p", AssignedRun("r1", "7"))
    assert (found["MLFLOW_RUN_ID"], found["MLFLOW_EXPERIMENT_ID"]) == ("r1", "7")
    assert json.loads(found["MLFLOW_RUN_CONTEXT"])["runyard.dev/installation"] == "here"


def test_the_experiment_is_the_namespaces_unless_named() -> None:
    assert own_variables(training_run(), Platform("u"), "p")["MLFLOW_EXPERIMENT_NAME"] == "team"


# As https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ has it.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(A)/$(B)", "11/$(A)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$", "$$"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_are_replaced_as_the_kubelet_does(text: str, expected: str) -> None:
    assert expanded(text, {"A": "1", "B": "$(A)"}) == expected


@given(st.text(st.sampled_from("$()A1 "), max_size=12))
def test_what_is_quoted_comes_out_as_it_was(text: str) -> None:
    run = quoted(
        training_run(parameters={"p": text, "n": 1}, args=["$(params.p)", "$(params.n)"], experiment=f"e{text}")
    )
    arguments = as_list(training_container(run)["args"])
    assert [expanded(str(found), {"A": "?"}) for found in arguments] == [text, "1"]
    assert expanded(run.experiment, {"A": "?"}) == f"e{text}"
