"""The page of a run: its figures' tables to the last row, its artifacts, and what it lacks."""

from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Page, expect

from tests.dashboard.bed import FIRST_MS, Dashboard, dashboard
from tests.support.mlflow_server import MlflowRest


@pytest.fixture(scope="module")
def client(mlflow: MlflowRest) -> MlflowClient:
    return MlflowClient(mlflow.url)


@pytest.fixture(scope="module")
def experiment(client: MlflowClient) -> str:
    made: str = client.create_experiment("runs & files")
    return made


@pytest.fixture(scope="module")
def site(mlflow: MlflowRest) -> Iterator[Dashboard]:
    with dashboard(mlflow.url) as started:
        yield started


def test_a_table_has_all_rows(page: Page, client: MlflowClient, experiment: str) -> None:
    ids = []
    for name in ("one", "other"):
        made = client.create_run(experiment, run_name=name).info.run_id
        client.log_batch(made, [Metric("loss", 1 / (step + 1), FIRST_MS, step) for step in range(400)])
        ids.append(made)
    page.goto(f"/compare?run={ids[0]}&run={ids[1]}&course=loss")
    figure = page.locator("figure", has=page.get_by_role("heading", name="While training"))
    figure.scroll_into_view_if_needed()
    expect(figure.locator("canvas").first).to_be_visible()
    figure.locator("summary").press("Enter")
    expect(figure.locator("tbody tr")).to_have_count(500)
    assert [link.get_attribute("href") for link in figure.locator("li a").all()] == [f"/runs/{made}" for made in ids]
    more = figure.get_by_role("button", name="Show 300 more of 800 rows")
    more.press("Enter")
    expect(figure.locator("tbody tr")).to_have_count(800)
    expect(more).to_be_hidden()
    assert figure.locator("tbody tr").last.locator("td").all_inner_texts() == ["other", "399", "0.0025"]
