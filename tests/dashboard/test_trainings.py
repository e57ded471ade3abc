"""Trainings as they go, before a real API server whose TrainingRuns a test moves on; its operator is the test."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, expect

from runyard.cluster import Cluster
from tests.dashboard.bed import Dashboard, dashboard
from tests.dashboard.cluster import create, stands
from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest
from tests.support.relay import Relay, relay_to
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def through(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, str]]:
    """A connection to it that can be cut."""
    with relay_to(server.kubeconfig, tmp_path_factory.mktemp("relay")) as (relay, kubeconfig):
        yield relay, str(kubeconfig)


@pytest.fixture(scope="module")
def watching(mlflow: MlflowRest, through: tuple[Relay, str]) -> Iterator[Dashboard]:
    with dashboard(mlflow.url, "--cluster", KUBECONFIG=through[1]) as started:
        yield started


def failed(run_id: str) -> dict[str, Any]:
    return {
        "phase": "Failed",
        "message": "the container was killed <b>out of memory</b>",
        "attemptNumber": 2,
        "attempts": [
            {
                "pod": "hungry-1",
                "uid": "u1",
                "outcome": "Failed",
                "reason": "OOMKilled",
                "exitCode": 137,
                "startedAt": "2026-01-02T03:04:05Z",
                "finishedAt": "2026-01-02T03:05:05Z",
                "runId": run_id,
            },
        ],
        "tracking": {"runId": run_id},
        "metrics": {"roc_auc": "0.999"},
    }


def test_what_stands_on_a_resource_is_told(watching: Dashboard, server: ApiServer, mlflow: MlflowRest) -> None:
    run_id = MlflowClient(mlflow.url).create_run("0").info.run_id
    create(server, "hungry", queueName="gpus", experiment="heart")
    stands(server, "hungry", **failed(run_id))

    def told() -> Any:
        found = {each["name"]: each for each in watching.api("/trainings")["trainings"]}
        return found.get("hungry") if found.get("hungry", {}).get("status", {}).get("phase") else None

    hungry = wait_for("it is told", told)
    assert (hungry["namespace"], hungry["queue"], hungry["experiment"]) == ("team-a", "gpus", "heart")
    [attempt] = hungry["status"]["attempts"]
    assert (attempt["reason"], attempt["exitCode"], attempt["runId"]) == ("OOMKilled", 137, run_id)
    assert watching.api("/trainings/team-a/hungry") == hungry
    assert watching.get("/api/v1/trainings/team-a/nobody").status == 404
    page = watching.get("/trainings/team-a/hungry").text
    assert "&lt;b&gt;out of memory&lt;/b&gt;" in page
    assert f'href="/runs/{run_id}"' in page


def test_what_was_made_since_the_last_look_has_its_page(watching: Dashboard, server: ApiServer) -> None:
    for number in range(5):
        assert f"just-made-{number}" not in watching.get("/trainings").text
        create(server, f"just-made-{number}")
        assert watching.get(f"/trainings/team-a/just-made-{number}").status == 200


def test_a_page_stays_as_it_is_in_the_cluster(watching: Dashboard, server: ApiServer, browser: Browser) -> None:
    create(server, "patient")
    page = browser.new_context(base_url=watching.url).new_page()
    page.goto("/trainings")
    row = page.get_by_role("row", name="patient")
    expect(row).to_contain_text("New")
    stands(server, "patient", phase="Running", message="in its first attempt")
    expect(row).to_contain_text("Running")
    row.get_by_role("link", name="patient").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("patient")
    stands(server, "patient", phase="Succeeded", message="done", duration="19s")
    expect(page.get_by_text("Succeeded")).to_be_visible()
    # Nothing of it was loaded anew: what a person had opened or marked stays.
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    page.context.close()


def test_a_cluster_that_is_gone_is_told_in_words(
    watching: Dashboard, through: tuple[Relay, str], server: ApiServer
) -> None:
    create(server, "there-before")
    wait_for("it is seen", lambda: "there-before" in watching.get("/trainings").text)
    through[0].close()

    def told() -> str | None:
        began = time.monotonic()
        text = watching.get("/trainings").text
        return text if "the cluster" in text and time.monotonic() - began < 2 else None

    text = wait_for("it is told", told)
    assert "What is shown was read" in text
    assert "there-before" in text


def test_without_a_cluster_it_says_how_to_look_at_one(mlflow: MlflowRest) -> None:
    with dashboard(mlflow.url) as started:
        answer = started.get("/trainings")
        assert (answer.status, "runyard dashboard --cluster" in answer.text) == (404, True)
        assert ">Trainings</a>" not in started.get("/").text


def test_of_very_many_the_newest_are_read_whatever_they_are_called(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig))
    cluster = Cluster()
    for namespace in ("many", "more"):
        assert server.kubectl("create", "namespace", namespace).returncode == 0
    made(server, "many", *(f"a-{number}" for number in range(6)))
    first = datetime.now(UTC).replace(microsecond=0)
    # Kubernetes keeps whole seconds.
    wait_for("a second is over", lambda: datetime.now(UTC) - first > timedelta(seconds=1.1))
    made(server, "many", "z")

    def found(*namespaces: str, at_most: int = 1, most_read: int = 100) -> tuple[list[str], int, bool]:
        newest = cluster.every(namespaces, at_most, most_read)
        return [run.metadata.name for run in newest.runs], newest.read, newest.is_cut

    assert found("many") == (["z"], 7, False)
    assert found("many", "more") == (["z"], 7, False)
    assert found("many", most_read=7) == (["z"], 7, False)
    # Where it ends, others may be newer: that is told.
    assert found("many", most_read=3, at_most=9) == (["a-0", "a-1", "a-2"], 3, True)
    assert found("many", "more", most_read=7) == (["z"], 7, True)
    requests: list[Any] = []

    def ask(read: Any) -> Any:
        requests.append(read)
        return read()

    cluster.every(["many"], most_read=3, ask=ask)
    assert len(requests) == 1


def made(server: ApiServer, namespace: str, *names: str) -> None:
    """Create TrainingRuns at once."""
    items = [
        {
            "apiVersion": "runyard.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"image": "example/image:1"},
        }
        for name in names
    ]
    done = server.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert done.returncode == 0, done.stderr
