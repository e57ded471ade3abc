"""What a person finds in MLflow after applying the wine TrainingRun."""

import re
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.wine import METRICS, Run, WineRuns

pytestmark = pytest.mark.browser


def row_of(page: Page, run: Run) -> Locator:
    """A run's row in the list; the grid builds it of several elements, so look for what is in it."""
    return page.locator(f'[role=row][row-id="{run.id}"]')


def number_in(cell: Locator) -> float:
    expect(cell).to_have_text(re.compile(r"\d"))
    return float(cell.inner_text())


def choose_columns(page: Page, *names: str) -> None:
    page.get_by_role("button", name="Columns", exact=True).click()
    for name in names:
        page.get_by_placeholder("Search columns").fill(name)
        page.get_by_text(name, exact=True).last.click()
        page.get_by_placeholder("Search columns").fill("")
    page.keyboard.press("Escape")


def test_experiment_lists_the_parent_and_its_children(page: Page, runs: WineRuns) -> None:
    # As a shared link does it: what is typed while the page still loads, the page forgets.
    of_one_resource = quote(f"tags.`runyard.dev/uid` = '{runs.parent.tags['runyard.dev/uid']}'")
    page.goto(
        f"/#/experiments/{runs.parent.experiment_id}/runs?workflowType=machine_learning&searchFilter={of_one_resource}"
    )
    expect(page.get_by_placeholder("metrics.rmse")).to_have_value(unquote(of_one_resource))
    expect(page.get_by_text(f"{1 + len(runs.children)} matching runs")).to_be_visible()
    row_of(page, runs.parent).get_by_role("button").first.click()
    choose_columns(page, *METRICS, "runyard.dev/outcome")

    for run in (runs.parent, *runs.children):
        row = row_of(page, run)
        expect(row.get_by_role("link", name=run.name, exact=True)).to_be_visible()
        shown = {name: number_in(row.locator(f'[col-id="metrics.`{name}`"]')) for name in METRICS}
        assert shown == run.metrics
        expect(row.locator('[col-id="tags.`runyard.dev/outcome`"]')).to_have_text("Succeeded")


def test_parent_run_shows_what_was_asked_and_what_came_out(page: Page, runs: WineRuns) -> None:
    page.goto(runs.parent.page)
    expect(page.get_by_role("heading", name=runs.parent.name)).to_be_visible()
    expect(page.get_by_text("Finished", exact=True)).to_be_visible()
    best = max(runs.children, key=lambda run: run.metrics["f1_score"])
    expect(page.get_by_text(f"Best of {len(runs.children)} by f1_score: {best.name}")).to_be_visible()
    for name in METRICS:
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
        assert number_in(row.get_by_role("cell").last) == runs.parent.metrics[name]
    for name, value in runs.parent.params.items():
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
        expect(row.get_by_role("cell").last).to_have_text(value)
    latest = runs.children[0]
    expect(page.get_by_role("link", name=re.compile(rf"^{latest.name},?$"))).to_be_visible()
    for name in ("runyard.dev/uid", "runyard.dev/name", "runyard.dev/outcome", "runyard.dev/reason"):
        expect(page.get_by_text(f"{name}: {runs.parent.tags[name]}")).to_be_visible()


def test_log_can_be_read_among_the_artifacts(page: Page, runs: WineRuns) -> None:
    page.goto(runs.parent.page)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("runyard", exact=True).click()
    page.get_by_text(re.compile(r"^log-.+\.txt$")).click()
    expect(page.get_by_text(f"under parent run {runs.parent.id}")).to_be_visible()
