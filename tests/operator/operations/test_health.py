"""What the kubelet is told: of a watch that brings nothing any more, and of a process that does not lead."""

import signal
from pathlib import Path

from tests.operator.actors import Actors
from tests.operator.operations.process import Operators
from tests.operator.operations.proxy import proxy_of
from tests.support.waiting import wait_for

SILENCE = {"RUNYARD_WATCH_SILENCE_SECONDS": "6"}


def test_watches_in_which_nothing_happens_are_well_and_one_that_is_frozen_is_not(
    actors: Actors, operators: Operators, tmp_path: Path
) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig), **SILENCE) as operator,
    ):
        operator.wait_until_leading()
        begun = proxy.watches_begun
        # Each is opened again every 2 s: four times is longer than the silence that is borne.
        wait_for("the watches were opened again", lambda: proxy.watches_begun >= begun + 12)
        assert operator.ask("/healthz") == (200, "ok\n")
        assert operator.ask("/readyz")[0] == 200

        proxy.frozen = "watches"
        begun = proxy.watches_begun

        for kind in ("trainingruns", "jobs", "pods"):
            silence = f"the watch of {kind} in namespace {actors.namespace} has shown no sign of life for"
            wait_for("the freeze is noticed", lambda words=silence: words in operator.ask("/healthz")[1])  # type: ignore[misc]
        assert proxy.watches_begun >= begun + 3, "that a watch can be opened is no sign of life"
        assert operator.is_leading, "all else was passed on"


def test_who_does_not_reach_the_api_server_any_more_ends(actors: Actors, operators: Operators, tmp_path: Path) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig)) as operator,
    ):
        operator.wait_until_leading()
        proxy.frozen = "everything"

        assert operator.ends() == 3
        assert "could not be renewed" in operator.text


def test_who_has_never_reached_it_is_not_ready_and_ends_when_told_to(
    actors: Actors, operators: Operators, tmp_path: Path
) -> None:
    with proxy_of(actors.server, tmp_path) as proxy:
        proxy.frozen = "everything"
        with operators.start("first", KUBECONFIG=str(proxy.kubeconfig)) as operator:
            wait_for("it answers", lambda: operator.ask("/healthz")[0] == 200)
            assert operator.ask("/readyz")[0] == 503
            operator.send(signal.SIGTERM)
            assert operator.ends() == 0


def test_a_resource_that_is_in_work_without_end_is_noticed(
    actors: Actors, operators: Operators, tmp_path: Path
) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig), RUNYARD_STUCK_SECONDS="2") as operator,
    ):
        operator.wait_until_leading()
        proxy.frozen = "writes"
        actors.apply("a")

        problems = wait_for(
            "it is noticed", lambda: operator.ask("/healthz")[1] if operator.ask("/healthz")[0] == 503 else None
        )

        assert problems.startswith(f"{actors.namespace}/a has been in work for")
        assert operator.metric("runyard_queue_in_work") == 1
