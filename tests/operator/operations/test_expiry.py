"""A watch that the API server cannot go on with (410 Gone): what was missed is had by a list."""

from pathlib import Path
from typing import Any

from runyard_operator import handlers
from runyard_operator.trainingsweeps import handlers as sweeps
from tests.operator.actors import Actors
from tests.operator.operations.process import Operators
from tests.operator.operations.proxy import proxy_of
from tests.operator.operations.test_lease import assert_done_once, finish_training, start_training
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


def latest_version(actors: Actors) -> int:
    """Return the version as of which the API server answers now."""
    found: Any = actors.server.api.call("GET", f"/api/v1/namespaces/{actors.namespace}/pods")["metadata"]
    return int(found["resourceVersion"])


def test_an_outcome_that_came_while_the_watches_expired_is_told(
    actors: Actors, operators: Operators, mlflow: MlflowRest, tmp_path: Path
) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        # Silent watches are given up after 3 s.
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig), RUNYARD_WATCH_SILENCE_SECONDS="6") as operator,
    ):
        operator.wait_until_leading()
        job, pod = start_training(actors)
        proxy.frozen = "watches"
        finish_training(actors, job, pod)
        begun = proxy.watches_begun
        wait_for("the watches were opened again, in vain", lambda: proxy.watches_begun >= begun + 6)
        assert actors.get("trainingrun", "a")["status"]["phase"] == "Running"

        proxy.expire(latest_version(actors))

        assert_done_once(actors, mlflow, pod)
        wait_for("each watch was told", lambda: set(proxy.expired) == {*handlers.WATCHED, *sweeps.WATCHED})
        # What comes after the lists comes by the watches again.
        expired = len(proxy.expired)
        job, pod = start_training(actors, "b")
        finish_training(actors, job, pod)
        actors.wait_for_phase("b", "Succeeded")
        assert len(proxy.expired) == expired
