"""Fairness, models and trust, against MLflow, fairlearn's numbers as they were logged, and the audit itself."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from runyard.api import promotion, when
from runyard.audit import audit
from runyard.dashboard.auditing import WEEK, by_week
from runyard.history import History
from runyard.promotion import Registry
from tests.dashboard.bed import Dashboard, Past
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def promoted(logged: Past) -> Past:
    """Both models promoted, one after the other, and rolled back."""
    history, registry = History(logged.server.url), Registry(logged.server.url)
    wanted = promotion.asked("heart-model", when=when.read("metrics.roc_auc > 0.5"))
    for run_id in (logged.logistic, logged.forest):
        registry.promote(history.find(run_id), wanted, because="<b>for the clinic</b>", by="ada")
    registry.rollback("heart-model", because="too slow", by="grace")
    return logged


def test_models_say_how_their_aliases_came_where_they_are(site: Dashboard, promoted: Past) -> None:
    [model] = site.api("/models")
    assert (model["name"], model["aliases"]) == ("heart-model", {"champion": 1})
    moves = [(move["change"], move["version"], move["by"]) for move in model["moves"]]
    assert moves == [("RolledBack", 1, "grace"), ("Promoted", 2, "ada"), ("Promoted", 1, "ada")]
    whole = site.api("/models/model", name="heart-model")
    assert [(version["version"], version["runId"], version["aliases"]) for version in whole["versions"]] == [
        (2, promoted.forest, []),
        (1, promoted.logistic, ["champion"]),
    ]
    page = site.get("/model", name="heart-model").text
    assert "&lt;b&gt;for the clinic&lt;/b&gt;" in page
    assert "roc_auc &gt; 0.5 holds" in page
    assert site.get("/api/v1/models/model", name="it's").status == 404


def test_find_where_the_champion_came_from(page: Page, promoted: Past) -> None:
    page.goto("/")
    page.get_by_role("link", name="Models", exact=True).click()
    page.get_by_role("link", name="heart-model").click()
    row = page.get_by_role("region", name="Versions").get_by_role("row", name="champion")
    row.get_by_role("link", name="logistic").click()
    expect(page.get_by_text(promoted.logistic, exact=True)).to_be_visible()


def test_gaps_and_rates_are_those_that_were_logged(site: Dashboard, logged: Past) -> None:
    figure = site.api("/fairness/gaps", experiment="heart", most="0.2")
    drawn = {(row[0], f"fairness.{row[2]}"): (row[3], row[4]) for row in figure["rows"]}
    for run_id in (logged.logistic, logged.forest):
        metrics = {m["key"]: m["value"] for m in logged.server.run(run_id)["data"]["metrics"]}
        for name, value in metrics.items():
            if name.startswith("fairness."):
                assert drawn[run_id, name] == (value, int(value > 0.2))

    def rates() -> Any:
        answer = site.get("/api/v1/fairness/groups", run=logged.forest, by="sex")
        assert answer.status in {200, 503}
        return answer.json() if answer.status == 200 else None

    table = logged.server.artifact(logged.server.run(logged.forest), "evaluation/fairness_sex.csv").decode()
    theirs = {
        (row["group"], name.replace("_", " ")): float(value)
        for row in csv.DictReader(io.StringIO(table))
        for name, value in row.items()
        if name not in {"group", "count"} and value
    }
    figure = wait_for("the rates", rates, timeout_seconds=60)
    assert {(row[2], row[4]): row[5] for row in figure["rows"] if row[5] is not None} == theirs


def test_trust_says_what_the_audit_says(site: Dashboard, logged: Past) -> None:
    def taken() -> Any:
        found = site.api("/audit", experiment="heart", days="0")
        assert not found["problem"]
        return None if found["isGoingOn"] else found

    found = wait_for("the audit", taken, timeout_seconds=120)
    theirs = audit(History(logged.server.url), "heart")
    assert found["runs"] == theirs.runs == 3
    for ours, measure in zip(found["measures"], theirs.measures, strict=True):
        assert (ours["name"], ours["count"], ours["of"]) == (measure.name.value, measure.count, measure.of)
        assert (ours["value"], ours["meaning"]) == (measure.value, measure.meaning)
        assert [each["runs"] for each in ours["behind"]] == [list(each.runs) for each in measure.behind]
    page = site.get("/trust", experiment="heart", days="0").text
    for measure in theirs.measures:
        assert measure.percent in page or not measure.of
    assert site.get("/api/v1/audit", experiment="nothing").status == 404


def test_a_weeks_numbers_lead_to_the_runs_behind_them(page: Page, site: Dashboard) -> None:
    def taken() -> Any:
        found = site.api("/audit", experiment="heart", days="0")
        return None if found["isGoingOn"] else found

    wait_for("the audit", taken, timeout_seconds=120)
    last = site.api("/audit", experiment="heart", days="0", week="-1")
    # The killed run began years ago: what is not in the week is in none of its numbers.
    assert (last["runs"], site.api("/audit", experiment="heart", days="0")["runs"]) == (2, 3)
    page.goto("/trust?experiment=heart&days=0")
    weeks = page.get_by_role("region", name="What is behind each week")
    rows = weeks.locator("tbody tr")
    expect(rows).to_have_count(12)
    # Nothing began before: no number, and nothing to lead to.
    assert rows.last.get_by_role("link").count() == 0
    metadata = next(each for each in last["measures"] if each["name"] == "metadata")
    number = rows.first.get_by_role("link", name=re.compile("^With all metadata"))
    expect(number.locator("xpath=..")).to_contain_text(f"{metadata['count']} of {metadata['of']}")
    number.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"week=-1#metadata$"))
    expect(rows.first).to_contain_text("shown")
    expect(page.get_by_text(re.compile(r"^experiment heart since .*: 2 runs, until "))).to_be_visible()
    section = page.get_by_role("region", name="With all metadata", exact=True)
    expect(section.get_by_text(metadata["meaning"])).to_be_visible()
    expect(section.locator("tbody tr")).to_have_count(min(10, metadata["behindTotal"]))
    page.get_by_role("link", name="The whole time").click()
    expect(page).not_to_have_url(re.compile("week"))
    for week in ("0", "-13", "x"):
        assert site.get("/api/v1/audit", week=week).status == 422


def test_each_run_is_in_the_week_that_it_began_in(logged: Past) -> None:
    from runyard.audit import gather

    evidence = gather(History(logged.server.url), None, None, lambda _done, _of: None)
    now = datetime.now(UTC) + timedelta(seconds=1)
    weeks = by_week(evidence, None, now)
    assert len(weeks) == 12
    recent = [run for run in evidence.runs if run.started_at >= now - 12 * WEEK]
    assert [week.report.runs for week in weeks] == [0] * 11 + [len(recent)]
    assert weeks[-1].report["metadata"].of == 2
