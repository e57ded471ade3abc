"""Curves that are longer than a picture is wide: thinned on the page, whole as a file, and said to be so."""

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Page, expect

from tests.dashboard.bed import FIRST_MS, MINUTE_MS, Dashboard, dashboard
from tests.dashboard.test_pages import figure_called
from tests.support.mlflow_server import MlflowRest

STEPS = 3_000
ROWS = 45_000
SPIKE = 1_234


@pytest.fixture(scope="module")
def long(mlflow: MlflowRest) -> str:
    """A run with a metric of many steps, of which one is a spike, and a ROC curve that nobody thinned."""
    client = MlflowClient(mlflow.url)
    made: str = client.create_run(client.create_experiment("long"), start_time=FIRST_MS, run_name="long").info.run_id
    losses = [Metric("loss", 77.0 if step == SPIKE else 1 / (1 + step), FIRST_MS + step, step) for step in range(STEPS)]
    for start in range(0, STEPS, 1_000):
        client.log_batch(made, losses[start : start + 1_000])
    share = np.linspace(0, 1, ROWS)
    lines = [f"1,{x!r},{y!r},0.5" for x, y in zip(share.tolist(), np.sqrt(share).tolist(), strict=True)]
    head = "class,false_positive_rate,true_positive_rate,threshold"
    client.log_text(made, "\n".join([head, *lines]), "evaluation/roc_curve.csv")
    client.set_terminated(made, "FINISHED", FIRST_MS + MINUTE_MS)
    return made


@pytest.fixture(scope="module")
def site(mlflow: MlflowRest) -> Iterator[Dashboard]:
    with dashboard(mlflow.url) as started:
        yield started


def test_a_long_course_is_thinned_with_its_spike_and_its_csv_is_whole(site: Dashboard, long: str) -> None:
    figure = site.figure("course", run=long, course="loss")
    assert (len(figure["rows"]), figure["leftOut"]) == (500, STEPS - 500)
    assert "Thinned: of lines of more than 500 points" in figure["says"]
    drawn = {row[2]: row[3] for row in figure["rows"]}
    assert drawn[SPIKE] == 77.0
    assert {0, STEPS - 1} <= set(drawn)
    answer = site.get("/api/v1/compare/figures/course", run=long, course="loss", format="csv")
    whole = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["step"]) for row in whole] == [*range(STEPS)]
    assert all(float(whole[int(step)]["value"]) == value for step, value in drawn.items())


def test_a_long_table_is_thinned_and_its_csv_is_whole(site: Dashboard, long: str) -> None:
    answer = site.get("/api/v1/compare/figures/roc_curve", run=long)
    figure = answer.json()
    assert (len(figure["rows"]), figure["leftOut"]) == (500, ROWS - 500)
    assert len(answer.body) < 100_000
    assert [figure["rows"][place][3:] for place in (0, -1)] == [[0, 0], [1, 1]]
    text = site.get("/api/v1/compare/figures/roc_curve", run=long, format="csv").text
    assert text.count("\n") == 1 + ROWS


def test_the_table_says_how_many_of_how_many_rows_it_shows(page: Page, long: str) -> None:
    page.goto(f"/compare?run={long}&course=loss")
    for title, of in (("While training", STEPS), ("ROC curve", ROWS)):
        figure = figure_called(page, title)
        expect(figure.locator(".says")).to_contain_text("Thinned: of lines of more than 500 points")
        figure.locator("summary").press("Enter")
        expect(figure.locator(".count")).to_have_text(f"500 of {of} rows: those that are drawn. The CSV has all.")
        expect(figure.locator("tbody tr")).to_have_count(500)
