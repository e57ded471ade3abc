"""Groups of people at other thresholds, on the page and in the API, against what was logged and what fairlearn says."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.bed import FIRST_MS, HOSTILE, MINUTE_MS, Dashboard, Past
from tests.dashboard.test_pages import figure_called
from tests.support.waiting import wait_for

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def thresholds(site: Dashboard, picture: str, **query: Any) -> Any:
    """Ask until what belongs to it could be read in time."""

    def found() -> Any:
        answer = site.get(f"/api/v1/fairness/thresholds/{picture}", by="sex", **query)
        assert answer.status in {200, 503}, answer.text
        return answer.json() if answer.status == 200 else None

    return wait_for(f"the figure {picture}", found, timeout_seconds=60)


def table_of(logged: Past, run_id: str) -> list[dict[str, str]]:
    text = logged.server.artifact(logged.server.run(run_id), "evaluation/thresholds_sex.csv").decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("rate", RATES)
def test_each_number_is_the_one_that_was_logged(site: Dashboard, logged: Past, rate: str) -> None:
    figure = thresholds(site, "rates", run=[logged.logistic, logged.forest], rate=rate)
    for run_id in (logged.logistic, logged.forest):
        ours = [[row[2], row[3], row[4], row[5], row[6]] for row in figure["rows"] if row[0] == run_id]
        assert ours == [
            [row["group"], int(row["count"]), float(row["threshold"]), float(row[rate]), int(row["own"])]
            for row in table_of(logged, run_id)
        ]
    assert (figure["x"], figure["y"], figure["mark"]) == ("threshold", "rate", "own")


def test_at_the_models_own_threshold_gaps_are_the_metrics_that_fairlearn_gave(site: Dashboard, logged: Past) -> None:
    figure = thresholds(site, "chosen", run=[logged.logistic, logged.forest])
    for run_id in (logged.logistic, logged.forest):
        metrics = {each["key"]: each["value"] for each in logged.server.run(run_id)["data"]["metrics"]}
        gaps = {row[3]: row[4] for row in figure["rows"] if row[0] == run_id}
        odds = max(gaps["true positive rate"], gaps["false positive rate"])
        assert gaps["selection rate"] == pytest.approx(metrics["fairness.sex.demographic_parity_difference"], abs=1e-12)
        assert gaps["accuracy"] == pytest.approx(metrics["fairness.sex.accuracy_difference"], abs=1e-12)
        assert odds == pytest.approx(metrics["fairness.sex.equalized_odds_difference"], abs=1e-12)


def test_gaps_at_a_threshold_are_differences_of_what_was_logged_there(site: Dashboard, logged: Past) -> None:
    there = [row for row in table_of(logged, logged.forest) if float(row["threshold"]) == 0.3]
    expected = {}
    for rate in RATES:
        values = [float(row[rate]) for row in there]
        expected[rate.replace("_", " ")] = max(values) - min(values)
    # The nearest that was logged is taken.
    figure = thresholds(site, "chosen", run=logged.forest, threshold=0.3049)
    assert {row[2] for row in figure["rows"]} == {0.3}
    assert {row[3]: row[4] for row in figure["rows"]} == expected
    by_threshold = thresholds(site, "gaps", run=logged.forest, threshold=0.3, rate="accuracy")
    [chosen] = [row for row in by_threshold["rows"] if row[-1] == 1]
    assert (chosen[2], chosen[3]) == (0.3, expected["accuracy"])


def test_the_csv_has_what_the_figure_has(site: Dashboard, logged: Past) -> None:
    figure = thresholds(site, "rates", run=logged.forest, rate="accuracy")
    answer = site.get("/api/v1/fairness/thresholds/rates", by="sex", run=logged.forest, rate="accuracy", format="csv")
    lines = list(csv.reader(io.StringIO(answer.text)))
    assert lines[0] == [column["name"] for column in figure["columns"]]
    assert [[*line[:4], *map(float, line[4:])] for line in lines[1:]] == [
        [*map(str, row[:4]), *row[4:]] for row in figure["rows"]
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"threshold": "nan"}, "threshold: Input should be a finite number"),
        ({"threshold": "half"}, "threshold: Input should be a valid number"),
        ({"rate": "recall"}, "rate: Input should be 'selection_rate', 'true_positive_rate'"),
        ({"by": "../sex"}, "by: String should match pattern"),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_words(site: Dashboard, query: dict[str, str], says: str) -> None:
    answer = site.get("/api/v1/fairness/thresholds/rates", **{"by": "sex", "experiment": "heart", **query})
    assert (answer.status, says in answer.json()["detail"]) == (422, True), answer.text


def cells_of(page: Page) -> dict[str, list[str]]:
    """Return each run's gaps as the page shows them, with all digits."""
    rows = page.get_by_role("region", name="Gaps at this threshold").locator("tbody tr").all()
    return {
        row.locator("th").inner_text(): [str(cell.get_attribute("title")) for cell in row.locator("td").all()]
        for row in rows
    }


@pytest.mark.parametrize("has_scripts", [True, False])
def test_see_how_far_groups_are_apart_at_another_threshold(
    browser: Browser,
    site: Dashboard,
    logged: Past,
    has_scripts: bool,  # noqa: FBT001
) -> None:
    """With scripts and without: the address holds what was asked, whoever opens it sees the same."""
    expected = {
        name: [str(cell) for row in thresholds(site, "chosen", run=run_id, threshold=0.3)["rows"] for cell in [row[4]]]
        for name, run_id in (("forest", logged.forest), ("logistic", logged.logistic))
    }
    context = browser.new_context(base_url=site.url, java_script_enabled=has_scripts)
    page = context.new_page()
    page.goto("/fairness?experiment=heart&most=0.05")
    expect(page.get_by_role("region", name="Gaps at this threshold").get_by_text("its own")).to_have_count(2)
    page.get_by_label("Threshold", exact=True).fill("0.3")
    page.get_by_label("Drawn is the").select_option("true positive rate")
    page.locator("section", has=page.get_by_label("Threshold", exact=True)).get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile(r"threshold=0\.3"))
    assert {"most=0.05", "rate=true_positive_rate"} <= set(re.split(r"[?&#]", page.url))
    assert {name: cells[1:] for name, cells in cells_of(page).items()} == expected
    assert {cells[0] for cells in cells_of(page).values()} == {"0.3"}
    page.goto(page.url)
    assert {name: cells[1:] for name, cells in cells_of(page).items()} == expected
    # An empty field is the model's own again, also where no script leaves it out.
    page.get_by_label("Threshold", exact=True).fill("")
    page.locator("section", has=page.get_by_label("Threshold", exact=True)).get_by_role("button", name="Show").click()
    expect(page.get_by_role("region", name="Gaps at this threshold").get_by_text("its own")).to_have_count(2)
    context.close()


def test_lines_by_threshold_are_drawn_and_are_a_table_and_a_picture(page: Page, logged: Past) -> None:
    page.goto(f"/fairness?run={logged.forest}&run={logged.logistic}&threshold=0.35&rate=accuracy")
    for title in ("Accuracy by threshold", "Gap of the accuracy by threshold"):
        figure = figure_called(page, title)
        figure.get_by_text("As a table").click()
        rows = page.request.get(figure.get_attribute("data-src") or "").json()["rows"]
        assert len(rows) >= 2 * 101
        expect(figure.locator("tbody tr")).to_have_count(min(len(rows), 500))
        with page.expect_download() as png:
            figure.get_by_role("button", name="PNG").click()
        assert png.value.suggested_filename.endswith("_sex.png")
        leads = {link.get_attribute("href") for link in figure.locator(".scroll a").all()}
        assert leads == {f"/runs/{logged.forest}", f"/runs/{logged.logistic}"}


@pytest.fixture
def others(logged: Past) -> Iterator[dict[str, str]]:
    """Runs of an experiment of their own: without the table, and with others than evaluations log."""
    client = MlflowClient(logged.server.url)
    experiment = client.create_experiment("other thresholds")
    head = "group,threshold,own,score,count,accuracy,true_positive_rate,false_positive_rate,selection_rate\n"
    name = HOSTILE.replace('"', "").replace(",", "")
    tables = {
        "old": None,
        "odd": f"{head}f,0,1,probability,5,1,1,1,7\n",
        "no table": "<script>,alert(1)\n</script>\n",
        "hostile": f"{head}{name},0,1,probability,5,1,1,1,1\n{'x' * 5000},0,1,probability,5,1,1,1,0.25\n",
    }
    ids = {}
    for each, text in tables.items():
        ids[each] = client.create_run(experiment, start_time=FIRST_MS, run_name=each).info.run_id
        client.log_metric(ids[each], "fairness.sex.demographic_parity_difference", 0.2)
        if text:
            client.log_text(ids[each], text, "evaluation/thresholds_sex.csv")
        client.set_terminated(ids[each], "FINISHED", FIRST_MS + MINUTE_MS)
    yield ids
    for run_id in ids.values():
        client.delete_run(run_id)
    client.delete_experiment(experiment)


def test_what_was_not_logged_or_is_something_else_is_said(page: Page, site: Dashboard, others: dict[str, str]) -> None:
    says = thresholds(site, "rates", run=[others["old"], others["no table"]])["empty"]
    assert says.startswith(("no table, old have no table thresholds_sex.csv", "old, no table have no table"))
    assert '`runyard.evaluation.log(model, (X_test, y_test), groups={"sex": …})` logs it' in says
    wait_for(
        "the page has read it",
        lambda: page.goto(f"/fairness?run={others['old']}") and not page.get_by_text("has not answered").count(),
    )
    expect(page.get_by_text("old has no table thresholds_sex.csv, or none that can be read")).to_be_visible()
    expect(page.locator("code", has_text='groups={"sex": …}').first).to_be_visible()

    query = "&".join(f"run={run_id}" for run_id in others.values())
    page.goto(f"/fairness?{query}")
    expect(page.get_by_text("1 of 4 runs are drawn.", exact=False).first).to_be_visible()
    expect(
        page.get_by_text(
            "The table thresholds_sex.csv of odd is none that an evaluation logs: a rate is not from 0 to 1."
        )
    ).to_be_visible()
    figure = figure_called(page, "Selection rate by threshold")
    figure.get_by_text("As a table").click()
    expect(figure.get_by_role("cell", name=re.compile("<script>alert")).first).to_be_visible()
    assert page.locator("img").count() == 0
    assert max(len(row[2]) for row in thresholds(site, "rates", run=others["hostile"])["rows"]) <= 100
