"""What Prometheus reads of a training."""

import json
import re
from pathlib import Path

from runyard_operator import handlers
from runyard_operator.trainingsweeps import handlers as sweeps
from tests.operator.actors import Actors
from tests.operator.operations.process import Operators
from tests.operator.operations.proxy import proxy_of
from tests.operator.operations.test_lease import finish_training, start_training
from tests.support.apiserver import free_port
from tests.support.factories import manifest
from tests.support.mlflow_server import mlflow_server
from tests.support.waiting import wait_for

_WORKERS = 64


def test_a_training_is_counted_and_timed(actors: Actors, operators: Operators) -> None:
    with operators.start("first") as operator:
        operator.wait_until_leading()
        job, pod = start_training(actors)
        assert operator.metric("runyard_unsettled_resources") == 1
        finish_training(actors, job, pod)
        actors.wait_for_phase("a", "Succeeded")
        wait_for("it is settled", lambda: operator.metric("runyard_unsettled_resources") == 0)

        assert operator.metric("runyard_training_outcomes_total", outcome="Succeeded", reason="Completed") == 1
        assert operator.metric("runyard_training_outcomes_total") == 1
        assert operator.metric("runyard_reconciles_total", result="success") >= 3
        assert operator.metric("runyard_reconciles_total", result="error") == 0
        assert operator.metric("runyard_reconcile_duration_seconds_count") == operator.metric(
            "runyard_reconciles_total"
        )
        for step in ("observe", "act", "record", "write"):
            assert operator.metric("runyard_reconcile_step_duration_seconds_count", step=step) >= 3
        assert operator.metric("runyard_recordings_total", result="success") >= 1
        assert operator.metric("runyard_api_requests_total", verb="create", resource="jobs", code="201") == 1
        assert operator.metric("runyard_api_requests_total", verb="watch", resource="pods", code="200") >= 1
        assert operator.metric("runyard_queue_depth") == operator.metric("runyard_queue_in_work") == 0
        assert operator.metric("runyard_mlflow_errors_total") == 0


def test_an_mlflow_that_is_away_is_counted(actors: Actors, operators: Operators) -> None:
    port = free_port()
    with operators.start("first", RUNYARD_TRACKING_URI=f"http://127.0.0.1:{port}") as operator:
        operator.wait_until_leading()
        job, pod = start_training(actors)
        finish_training(actors, job, pod)
        wait_for("it is counted", lambda: operator.metric("runyard_mlflow_errors_total", kind="unreachable"))
        assert operator.metric("runyard_recordings_total", result="error") >= 1
        with mlflow_server(port):
            actors.wait_for_phase("a", "Succeeded")
        assert operator.metric("runyard_recordings_total", result="success") >= 1


def test_what_waits_for_a_worker_is_counted(actors: Actors, operators: Operators, tmp_path: Path) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig)) as operator,
    ):
        operator.wait_until_leading()
        proxy.frozen = "writes"  # each worker is held by the Job that it makes
        more_than_workers = [manifest(f"a-{number}", suspend=True) for number in range(_WORKERS + 3)]
        for body in more_than_workers:
            actors.create(body)

        wait_for("all workers are held", lambda: operator.metric("runyard_queue_in_work") == _WORKERS)
        wait_for("the others wait", lambda: operator.metric("runyard_queue_depth") == 3)

        proxy.thaw()
        wait_for("nothing waits", lambda: operator.metric("runyard_queue_depth") == 0)
        wait_for("each has its Job", lambda: len(actors.items("jobs")) == len(more_than_workers))


def test_signs_of_life_are_expected_of_all_that_is_watched_and_of_nothing_else(operators: Operators) -> None:
    with operators.start("first") as operator:
        operator.wait_until_leading()
        lines = re.findall(r"runyard_api_requests_total{(.*)}", operator.ask("/metrics")[1])
    watched = [re.findall(r'resource="(.*?)"', line)[0] for line in lines if 'verb="watch"' in line]
    assert sorted(watched) == sorted((*handlers.WATCHED, *sweeps.WATCHED))


def test_names_and_units_are_as_prometheus_has_them(operators: Operators) -> None:
    with operators.start("first") as operator:
        operator.wait_until_leading()
        text = operator.ask("/metrics")[1]
    ours = dict(re.findall(r"# TYPE (runyard_\w+) (\w+)", text))
    ours = {name: kind for name, kind in ours.items() if not name.endswith("_created")}
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in ours.items()), json.dumps(ours)
    assert all(name.endswith("_seconds") for name, kind in ours.items() if kind == "histogram")
    assert all(re.search(rf"# HELP {name} \S", text) for name in ours)
    assert "process_resident_memory_bytes" in text
