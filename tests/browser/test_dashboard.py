"""What a person finds in the dashboard, through the ingress, after applying the wine TrainingRun."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.wine import METRICS, WineRuns

pytestmark = pytest.mark.browser


def test_the_best_of_a_grid_is_found_with_mlflows_numbers(page: Page, runs: WineRuns) -> None:
    ids = "&".join(f"run={run.id}" for run in runs.children)
    page.goto(f"/runs/compare?{ids}&metric=f1_score")
    best = max(runs.children, key=lambda run: run.metrics["f1_score"])
    card = page.get_by_role("region", name="The best")
    expect(card).to_contain_text(best.name)
    expect(card.locator("b")).to_have_attribute("title", str(best.metrics["f1_score"]))
    card.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(f"/runs/runs/{best.id}$"))
    for name in METRICS:
        row = page.get_by_role("region", name="Metrics").get_by_role("row", name=re.compile(f"^{name} "))
        expect(row.get_by_role("cell")).to_have_attribute("title", str(best.metrics[name]))


def test_charts_are_drawn_behind_the_ingress(page: Page, runs: WineRuns) -> None:
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    page.goto(f"/runs/compare?run={'&run='.join(run.id for run in runs.children)}")
    chart = page.locator("figure", has=page.get_by_role("heading", name="What leads where"))
    expect(chart.locator("canvas").first).to_be_visible()
    assert refused == []


def test_a_training_of_the_cluster_is_shown_with_the_log_that_mlflow_has(page: Page, runs: WineRuns) -> None:
    page.goto("/runs/trainings")
    page.get_by_role("link", name="wine-forest", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("wine-forest")
    expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    expect(page.get_by_text(re.compile("MLflow has it all as runyard/log-"))).to_be_visible()
    expect(page.get_by_role("region", name="Log", exact=True)).not_to_be_empty()
    expect(page.get_by_role("link", name=runs.parent.id)).to_be_visible()
    # Nobody said that whoever reaches it may change anything.
    expect(page.get_by_role("link", name="Retry…")).to_have_count(0)


def test_mlflow_is_still_where_it_was(page: Page, runs: WineRuns) -> None:
    page.goto("/runs")
    expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
    page.goto(runs.parent.page)
    expect(page.get_by_role("heading", name=runs.parent.name)).to_be_visible()
