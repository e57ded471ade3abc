"""Whatever the API server takes: the operator makes a Job of it or says what is wrong, and goes on."""

import json
import re
import urllib.error
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.operator.actors import Actors, condition
from tests.operator.operations.process import Operator, Operators
from tests.support.cluster_api import path_of
from tests.support.fuzz import cases, manifest, specs
from tests.support.waiting import wait_for

_CASES = cases(300)
_AT_ONCE = 8
_PROBLEM = re.compile(r"(spec|metadata)[.:\[]")


def generated() -> list[dict[str, Any]]:
    """Return the specs; the same each time, as long as the same modules are loaded."""
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=_CASES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(spec=specs())
    def collect(spec: dict[str, Any]) -> None:
        found.append(spec)

    collect()
    return found


@pytest.mark.timeout(60 + 3 * _CASES)
def test_every_resource_that_is_taken_gets_a_job_or_an_explanation(actors: Actors, operators: Operators) -> None:
    # A machine that is busy with fuzzing may be late with a Lease of a few seconds.
    with operators.start("fuzzed", RUNYARD_LEASE_SECONDS="120") as operator:
        operator.wait_until_leading()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            cases = enumerate(generated())
            answers = list(pool.map(lambda case: _create(actors, f"case-{case[0]}", case[1]), cases))
        assert set(Counter(status for status, _ in answers)) <= {200, 422, 400}, "neither taken nor refused"
        taken = {body["metadata"]["name"] for status, body in answers if status == 200}
        assert len(taken) > _CASES / 3

        found = wait_for(
            "each is told of",
            lambda: _told(actors, taken),
            timeout_seconds=60 + _CASES / 2,
            poll_seconds=1,
        )

        jobs = {job["metadata"]["annotations"]["runyard.dev/name"]: job for job in actors.items("jobs")}
        for name, run in found.items():
            accepted = condition(run["status"], "Accepted")
            if name in jobs:
                assert (accepted["status"], run["status"]["job"]) == ("True", jobs[name]["metadata"]["name"]), name
            else:
                assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec"), (name, run["status"])
                assert _PROBLEM.match(accepted["message"]), (name, accepted)
        assert len(jobs) > _CASES / 10
        print(f"{len(answers)} cases: {len(taken)} taken, {len(jobs)} with a Job")  # noqa: T201
        _check_end(actors, operator)


def _check_end(actors: Actors, operator: Operator) -> None:
    """Everything goes, and the operator is done with all of it, without having failed or begun anew."""
    assert _send(actors, "DELETE")[0] == 200
    wait_for("nothing is left to do", lambda: operator.metric("runyard_unsettled_resources") == 0, 60 + _CASES / 2, 1)
    assert operator.process.poll() is None
    failures = [line for line in operator.text.splitlines() if re.search(r" ERROR | CRITICAL |^Traceback", line)]
    assert failures == []


def _told(actors: Actors, taken: set[str]) -> dict[str, dict[str, Any]] | None:
    found = {run["metadata"]["name"]: run for run in actors.items("trainingruns")}
    missing = {name for name in taken if not condition(found[name].get("status", {}), "Accepted")["status"]}
    waiting = {name for name in taken - missing if not _is_decided(found[name])}
    return None if missing or waiting else {name: found[name] for name in taken}


def _is_decided(run: dict[str, Any]) -> bool:
    return bool(run["status"].get("job")) or condition(run["status"], "Accepted")["status"] == "False"


def _create(actors: Actors, name: str, spec: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Create a TrainingRun; return the HTTP status and the answer."""
    return _send(actors, "POST", manifest(name, spec))


def _send(actors: Actors, method: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Ask for something of the namespace's TrainingRuns."""
    try:
        return 200, actors.server.api.call(method, path_of("trainingruns", actors.namespace), body)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
