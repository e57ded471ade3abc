"""What MLflow is told after a pod's end: the pod is believed, and the script only where the pod says nothing."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api import records
from runyard.api.outcome import Attempt, Outcome
from runyard.api.records import (
    Correction,
    Run,
    RunStatus,
    final_status,
    log_artifact,
    primary,
    status_metrics,
)
from runyard.api.trainingrun import Tracking
from tests.support.factories import at, attempt, mlflow_run

OUTCOME, REASON, EXIT_CODE = "runyard.dev/outcome", "runyard.dev/reason", "runyard.dev/exit-code"
RUNNING, SCHEDULED = RunStatus.RUNNING, RunStatus.SCHEDULED
FINISHED, FAILED, KILLED = RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED

completed = attempt(outcome=Outcome.SUCCEEDED, reason="Completed", exit_code=0, finished_at=at(60))
errored = attempt(outcome=Outcome.FAILED, reason="Error", exit_code=1, finished_at=at(60))
evicted = attempt(outcome=Outcome.CANCELLED, reason="Evicted", finished_at=at(60))


def corrections(runs: Sequence[Run], ended: Attempt) -> list[Correction]:
    """Return what the runs of an attempt are told whose primary run is its own."""
    return records.corrections(runs, ended, primary(runs))


def corrected(run: Run, correction: Correction | None) -> Run:
    """Return the run as it is once it was told."""
    if correction is None:
        return run
    return replace(run, status=correction.status, tags={**run.tags, **correction.new_tags})


def statuses(runs: list[Run], ended: Attempt) -> dict[str, RunStatus]:
    """Return what each run says once all were told."""
    told = {found.run.id: found for found in corrections(runs, ended)}
    return {run.id: corrected(run, told.get(run.id)).status for run in runs}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([], None, id="the script started none"),
        pytest.param([mlflow_run("a")], "a", id="the only one"),
        pytest.param([mlflow_run("a", start=1), mlflow_run("b", start=2)], "b", id="the later of two top-level runs"),
        pytest.param([mlflow_run("b", start=1), mlflow_run("a", start=1)], "b", id="the same one of two, in any order"),
        pytest.param([mlflow_run("a", start=1), mlflow_run("b", start=1)], "b", id="the same one of two, turned round"),
        pytest.param([mlflow_run("c", start=2, parent="p"), mlflow_run("p", start=1)], "p", id="the parent of a grid"),
        pytest.param(
            [mlflow_run("p"), mlflow_run("c", start=1, parent="p"), mlflow_run("g", start=2, parent="c")],
            "p",
            id="the grandparent",
        ),
        pytest.param([mlflow_run("a", parent="of another attempt")], "a", id="a parent elsewhere is no parent here"),
    ],
)
def test_primary(runs: list[Run], expected: str | None) -> None:
    found = primary(runs)
    assert (found.id if found else None) == expected


@pytest.mark.parametrize(
    ("runs", "ended", "expected"),
    [
        pytest.param([mlflow_run("a", FINISHED)], completed, {"a": FINISHED}, id="all is well"),
        pytest.param([mlflow_run("a", FINISHED)], errored, {"a": FAILED}, id="ended its run, then exited with 1"),
        pytest.param([mlflow_run("a", FAILED)], completed, {"a": FINISHED}, id="sys.exit(0) inside a run"),
        pytest.param([mlflow_run("a", RUNNING)], errored, {"a": FAILED}, id="died without a word"),
        pytest.param([mlflow_run("a", RUNNING)], evicted, {"a": KILLED}, id="was killed"),
        pytest.param([mlflow_run("a", FINISHED)], evicted, {"a": KILLED}, id="was killed after it ended its run"),
        pytest.param([mlflow_run("a", SCHEDULED)], completed, {"a": FINISHED}, id="was never started"),
        pytest.param(
            [mlflow_run("p", FINISHED), mlflow_run("c", RUNNING, parent="p")],
            completed,
            {"p": FINISHED, "c": FINISHED},
            id="an open child ends as the pod did",
        ),
        pytest.param(
            [mlflow_run("p", RUNNING), mlflow_run("c", FINISHED, parent="p"), mlflow_run("d", RUNNING, parent="p")],
            errored,
            {"p": FAILED, "c": FINISHED, "d": FAILED},
            id="a finished child of a failed grid stays finished",
        ),
        pytest.param(
            [mlflow_run("p", FINISHED), mlflow_run("c", FAILED, parent="p")],
            completed,
            {"p": FINISHED, "c": FAILED},
            id="a failed child of a good grid stays failed",
        ),
        pytest.param(
            [mlflow_run("a", FINISHED, start=1), mlflow_run("b", RUNNING, start=2)],
            errored,
            {"a": FINISHED, "b": FAILED},
            id="of two top-level runs the last was cut short",
        ),
        pytest.param(
            [mlflow_run("a", RUNNING, start=1), mlflow_run("b", FINISHED, start=2)],
            completed,
            {"a": FINISHED, "b": FINISHED},
            id="of two top-level runs the first was left open",
        ),
    ],
)
def test_runs_end_as_the_pod_did(runs: list[Run], ended: Attempt, expected: dict[str, RunStatus]) -> None:
    assert statuses(runs, ended) == expected


def test_a_correction_says_how_and_when_it_ended() -> None:
    [found] = corrections([mlflow_run("a", RUNNING)], errored)
    assert found.tags == {OUTCOME: "Failed", REASON: "Error", EXIT_CODE: "1"}
    assert found.end_time_ms == int(at(60).timestamp()) * 1000
    assert found.changes_status


def test_a_correction_says_in_which_image_it_ran() -> None:
    image = "registry.example/wine@sha256:0123"
    [found] = corrections([mlflow_run("a")], completed.model_copy(update={"image_digest": image}))
    assert found.new_tags["runyard.dev/image-digest"] == image
    assert "runyard.dev/image-digest" not in corrections([mlflow_run("a")], completed)[0].tags


def test_a_run_that_ended_rightly_is_only_tagged() -> None:
    [found] = corrections([mlflow_run("a", FINISHED, tags={OUTCOME: "Succeeded", REASON: "Old"})], completed)
    assert not found.changes_status
    assert found.new_tags == {REASON: "Completed", EXIT_CODE: "0"}


def test_an_end_without_an_exit_code_has_no_tag_for_it() -> None:
    [found] = corrections([mlflow_run("a")], evicted)
    assert found.tags == {OUTCOME: "Cancelled", REASON: "Evicted"}


def test_nothing_is_said_where_all_agrees() -> None:
    tags = {OUTCOME: "Failed", REASON: "Error", EXIT_CODE: "1", "mlflow.user": "ada"}
    runs = [mlflow_run("p", FAILED, tags=tags), mlflow_run("c", FINISHED, parent="p", tags=tags)]
    assert corrections(runs, errored) == []


run_ids = st.sampled_from("abcdef")
runs_of_an_attempt = st.lists(
    st.builds(
        mlflow_run,
        run_ids,
        st.sampled_from(RunStatus),
        start=st.integers(0, 3),
        parent=st.none() | run_ids,
    ),
    unique_by=lambda run: run.id,
    max_size=6,
)
ended_attempts = st.builds(
    attempt,
    outcome=st.sampled_from([found for found in Outcome if found.is_final]),
    reason=st.sampled_from(["Completed", "Error", "Evicted"]),
    exit_code=st.none() | st.integers(0, 255),
    finished_at=st.just(at(60)),
)


@given(runs_of_an_attempt, ended_attempts)
def test_once_told_there_is_nothing_left_to_say(runs: list[Run], ended: Attempt) -> None:
    told = {found.run.id: found for found in corrections(runs, ended)}
    after = [corrected(run, told.get(run.id)) for run in runs]
    assert corrections(after, ended) == []
    assert not any(run.status.is_open for run in after)


@given(runs_of_an_attempt, ended_attempts, st.randoms())
def test_the_order_in_which_runs_are_found_does_not_matter(runs: list[Run], ended: Attempt, random: Random) -> None:
    shuffled = sorted(runs, key=lambda _: random.random())
    assert statuses(shuffled, ended) == statuses(runs, ended)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.PENDING, RUNNING),
        (Outcome.RUNNING, RUNNING),
        (Outcome.SUCCEEDED, FINISHED),
        (Outcome.FAILED, FAILED),
        (Outcome.CANCELLED, KILLED),
    ],
)
def test_final_status(outcome: Outcome, expected: RunStatus) -> None:
    assert final_status(outcome) is expected


def test_metrics_keep_all_their_digits_and_are_sixteen_at_most() -> None:
    found = status_metrics({f"m{number:02}": number / 10 for number in range(20)} | {"a": 0.1 + 0.2}, Tracking())
    assert len(found) == 16
    assert list(found) == sorted(found)
    assert float(found["a"]) == 0.1 + 0.2
    assert found["m03"] == "0.3"


def test_metrics_that_were_asked_for_come_first() -> None:
    logged = {f"m{number:02}": 0.5 for number in range(20)}
    found = status_metrics(logged, Tracking(require_metrics=["m19", "absent", "m18"]))
    assert list(found) == ["m18", "m19", *(f"m{number:02}" for number in range(14))]


@pytest.mark.parametrize(
    ("history", "address"),
    [
        ('[{"artifact_path": "a"}, {"artifact_path": "b"}]', "runs:/r1/b"),
        ("[]", "runs:/r1"),
        ("[{", "runs:/r1"),
        ('{"artifact_path": "a"}', "runs:/r1"),
        ('["a"]', "runs:/r1"),
        ("[" * 5000, "runs:/r1"),
    ],
)
def test_a_model_of_an_older_client_has_an_address_whatever_its_tag_holds(history: str, address: str) -> None:
    assert records.model_address("r1", {}, {"mlflow.log-model.history": history}) == address


def test_the_log_lies_beside_the_manifest() -> None:
    assert log_artifact("wine-abc") == "runyard/log-wine-abc.txt"


def test_an_assigned_run_that_goes_on_is_none_of_an_attempts() -> None:
    open_child, done = mlflow_run("a"), mlflow_run("b", FINISHED)
    told = {found.run.id: found.status for found in records.corrections([open_child, done], errored, None)}
    assert told == {"a": FAILED, "b": FINISHED}


def test_the_containers_have_a_log_each() -> None:
    assert log_artifact("p") == log_artifact("p", "training") == "runyard/log-p.txt"
    assert log_artifact("p", "fetch") == "runyard/log-p-fetch.txt"
