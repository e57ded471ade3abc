"""An operator that is told to stop: what it has in hand ends, and nothing is begun."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.operator.actors import Actors
from tests.operator.operations.process import Operator, Operators
from tests.operator.operations.proxy import Proxy, proxy_of
from tests.operator.operations.test_lease import lease
from tests.support.waiting import wait_for


@contextmanager
def told_to_stop_at_work(actors: Actors, operators: Operators, folder: Path) -> Iterator[tuple[Operator, Proxy]]:
    """Tell an operator to stop that is about to create the Job of the TrainingRun `a`, and waits for the answer."""
    with (
        proxy_of(actors.server, folder) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig)) as operator,
    ):
        operator.wait_until_leading()
        proxy.frozen = "writes"
        actors.apply("a")
        wait_for("the Job is about to be created", lambda: operator.metric("runyard_queue_in_work") == 1)
        operator.send(signal.SIGTERM)
        yield operator, proxy


def test_what_is_in_hand_ends_first(actors: Actors, operators: Operators, tmp_path: Path) -> None:
    with told_to_stop_at_work(actors, operators, tmp_path) as (operator, proxy):
        wait_for("it has heard", lambda: "stopping: 1 resources are in work" in operator.text)
        assert operator.ask("/readyz") == (503, "stopping\n")
        assert operator.ask("/healthz")[0] == 200
        actors.apply("b")
        assert lease(actors)["holderIdentity"] == "first"
        proxy.thaw()

        assert operator.ends(10) == 0

    assert actors.get("trainingrun", "a")["status"]["job"]
    assert [job["metadata"]["annotations"]["runyard.dev/name"] for job in actors.items("jobs")] == ["a"]
    assert (lease(actors)["holderIdentity"], lease(actors)["leaseDurationSeconds"]) == ("", 1)


def test_what_does_not_end_is_left(actors: Actors, operators: Operators, tmp_path: Path) -> None:
    with told_to_stop_at_work(actors, operators, tmp_path) as (operator, _):
        assert operator.ends(28) == 0

        assert f"left in work after 20 s: {actors.namespace}/a has been in work" in operator.text
    # Whoever is next leads at once, and knows that something may come yet.
    assert (lease(actors)["holderIdentity"], lease(actors)["leaseDurationSeconds"]) == ("", 6)


def test_one_that_stands_by_ends_at_once_and_leaves_the_lease(actors: Actors, operators: Operators) -> None:
    with operators.start("first") as first:
        first.wait_until_leading()
        with operators.start("second") as second:
            second.wait_until_standing_by()
            second.send(signal.SIGTERM)
            assert second.ends(5) == 0
        assert lease(actors)["holderIdentity"] == "first"


def test_every_line_of_a_log_in_json_is_an_object_and_names_the_resource(
    actors: Actors, operators: Operators, tmp_path: Path
) -> None:
    with (
        proxy_of(actors.server, tmp_path) as proxy,
        operators.start("first", KUBECONFIG=str(proxy.kubeconfig), RUNYARD_LOG_FORMAT="json") as operator,
    ):
        operator.wait_until_leading()
        proxy.frozen = "broken"
        actors.apply("a")
        wait_for("it fails", lambda: "traceback" in operator.text)
        operator.send(signal.SIGTERM)
        operator.ends()
        records = [json.loads(line) for line in operator.text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    [failed, *_] = [record for record in records if "traceback" in record]
    assert (failed["resource"], failed["level"]) == (f"{actors.namespace}/a", "error")


def test_an_end_by_an_error_is_a_record_too(operators: Operators, tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-file")
    with operators.start("first", KUBECONFIG=missing, RUNYARD_LOG_FORMAT="json") as operator:
        assert operator.ends() == 1
        [*_, record] = [json.loads(line) for line in operator.text.splitlines()]
    assert record["level"] == "critical"
    assert "kube-config" in record["traceback"]
