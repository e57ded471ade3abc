"""Several operators at once: one works, and what it leaves is finished by the next, once."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.operator.actors import Actors, start_run
from tests.operator.operations.late import late_mlflow
from tests.operator.operations.process import Operator, Operators
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


def runs_of(mlflow: MlflowRest, pod: dict[str, Any]) -> list[dict[str, Any]]:
    return mlflow.runs(f"tags.`runyard.dev/pod` = '{pod['metadata']['uid']}'")


def start_training(
    actors: Actors, name: str = "a", mlflow: MlflowRest | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply a TrainingRun; return its Job and its pod, which runs, and whose script has a run if it is told where."""
    actors.apply(name)
    job = actors.wait_for_job(name)
    pod = actors.create_pod(job, "one")
    actors.set_pod(pod, "Running", {"running": {"startedAt": "2026-01-02T03:04:05Z"}})
    actors.wait_for_phase(name, "Running")
    if mlflow:
        start_run(mlflow, pod)
    return job, pod


def finish_training(actors: Actors, job: dict[str, Any], pod: dict[str, Any]) -> None:
    actors.end_pod(pod, 0)
    actors.end_job(job, "Complete")


def lease(actors: Actors) -> dict[str, Any]:
    spec: dict[str, Any] = actors.get("lease", "runyard-operator")["spec"]
    return spec


@contextmanager
def pair(operators: Operators, **of_first: str) -> Iterator[tuple[Operator, Operator]]:
    """Run one that leads, with variables of its own, and another that stands by."""
    with operators.start("first", **of_first) as first:
        first.wait_until_leading()
        with operators.start("second") as second:
            second.wait_until_standing_by()
            yield first, second


def assert_done_once(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    status = actors.wait_for_phase("a", "Succeeded")
    assert len(status["attempts"]) == 1
    actors.wait_for_job("a")  # and no other
    [run] = runs_of(mlflow, pod)
    assert run["info"]["status"] == "FINISHED"
    told = wait_for("an event", lambda: [event["reason"] for event in actors.items("events")] or None)
    assert told == ["Succeeded"]


def test_one_leads_and_the_other_stands_by(actors: Actors, operators: Operators) -> None:
    with operators.start("first") as first, operators.start("second") as second:
        leader, other = wait_for(
            "one leads", lambda: (first, second) if first.is_leading else (second, first) if second.is_leading else None
        )
        leader.wait_until_leading()
        other.wait_until_standing_by()

        assert not other.is_leading
        assert other.metric("runyard_api_requests_total", verb="watch") == 0
        assert other.ask("/healthz")[0] == 200
        actors.apply("a")
        actors.wait_for_job("a")
        assert other.metric("runyard_api_requests_total", verb="create", resource="jobs") == 0


def test_what_a_killed_leader_leaves_is_finished_by_the_next(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    with pair(operators) as (first, second):
        job, pod = start_training(actors, mlflow=mlflow)
        first.send(signal.SIGKILL)
        killed = time.monotonic()
        first.ends()
        finish_training(actors, job, pod)
        actors.apply("b")

        second.wait_until_leading()

        # Not before the Lease is over: it may have been renewed just before.
        assert time.monotonic() - killed > 4
        assert lease(actors)["leaseTransitions"] == 1
        assert_done_once(actors, mlflow, pod)
        actors.wait_for_job("b")


def test_a_leader_that_is_told_to_stop_hands_over_at_once(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    # Nobody waits for the end of so long a Lease.
    with pair(operators, RUNYARD_LEASE_SECONDS="600") as (first, second):
        job, pod = start_training(actors)
        first.send(signal.SIGTERM)
        wait_for("the other leads", lambda: second.is_leading)
        assert first.ends() == 0
        assert lease(actors)["holderIdentity"] == "second"
        finish_training(actors, job, pod)
        assert_done_once(actors, mlflow, pod)


def test_a_leader_that_was_frozen_does_nothing_more_and_ends(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    with pair(operators) as (first, second):
        job, pod = start_training(actors, mlflow=mlflow)
        first.send(signal.SIGSTOP)
        finish_training(actors, job, pod)
        second.wait_until_leading()
        first.send(signal.SIGCONT)

        assert first.ends() == 3

        assert "second holds the Lease" in first.text
        assert_done_once(actors, mlflow, pod)


def test_a_process_that_starts_again_under_its_name_need_not_wait(actors: Actors, operators: Operators) -> None:
    long = {"RUNYARD_LEASE_SECONDS": "600"}
    with operators.start("pod-1", **long) as first:
        first.wait_until_leading()
    with operators.start("pod-1", **long) as again:
        again.wait_until_leading()
    assert lease(actors)["leaseTransitions"] == 0


def test_a_run_that_a_killed_operator_asked_for_is_the_only_one_when_its_container_starts_again(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    with late_mlflow(mlflow.url) as (late, url):
        with operators.start("pod-1", RUNYARD_TRACKING_URI=url) as first:
            first.wait_until_leading()
            job, pod = start_training(actors)
            finish_training(actors, job, pod)
            wait_for("the run is asked for", lambda: late.is_holding)
            first.send(signal.SIGKILL)
            first.ends()
        with operators.start("pod-1", RUNYARD_TRACKING_URI=url) as again:
            again.wait_until_leading()
            wait_for("it is looked for", lambda: "may still make what it was asked for" in again.text)
            late.let_through()
            actors.wait_for_phase("a", "Succeeded")
    assert late.made == [200]
    [run] = runs_of(mlflow, pod)
    assert run["info"]["status"] == "FINISHED"


def test_a_leader_whose_lease_is_taken_by_hand_ends(actors: Actors, operators: Operators) -> None:
    with operators.start("first") as first:
        first.wait_until_leading()
        actors.patch_spec("lease", "runyard-operator", {"holderIdentity": "somebody"})

        assert first.ends() == 3
        assert "somebody holds the Lease" in first.text


def test_a_lease_that_was_deleted_is_made_again(actors: Actors, operators: Operators) -> None:
    with operators.start("first") as first:
        first.wait_until_leading()
        actors.delete("lease", "runyard-operator")

        wait_for(
            "there is one again",
            lambda: "runyard-operator" in [found["metadata"]["name"] for found in actors.items("leases")],
        )

        assert lease(actors)["holderIdentity"] == "first"
        assert first.is_leading
