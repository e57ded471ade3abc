"""Explanations on the page and in the API, against the values that shap computed and the script logged."""

import csv
import io
import re
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from runyard.explanation import Explanation
from tests.dashboard.bed import Dashboard, Past
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def logged_values(logged: Past) -> dict[str, Explanation]:
    """What each run logged, read from MLflow's own artifact proxy."""
    return {
        run_id: Explanation.from_bytes(logged.server.artifact(logged.server.run(run_id), "evaluation/shap.npz"))
        for run_id in (logged.logistic, logged.forest)
    }


def explained(site: Dashboard, run_id: str, rest: str = "", **query: str) -> dict[str, object]:
    """Ask until what belongs to it could be read in time."""

    def found() -> dict[str, object] | None:
        answer = site.get(f"/api/v1/runs/{run_id}/explanation{rest}", **query)
        assert answer.status in {200, 503}, answer.text
        body: dict[str, object] = answer.json()
        return body if answer.status == 200 else None

    return wait_for(f"the explanation{rest}", found, timeout_seconds=60)


def rows(figure: dict[str, object]) -> list[list[object]]:
    found = figure["rows"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_every_number_is_shaps_own(
    site: Dashboard, logged: Past, logged_values: dict[str, Explanation], name: str
) -> None:
    run_id = getattr(logged, name)
    theirs = logged_values[run_id]
    ours = explained(site, run_id)
    assert (ours["unit"], ours["explainer"], ours["rows"]) == (theirs.unit, theirs.explainer, len(theirs.rows))
    sizes = dict(zip(theirs.features, np.abs(theirs.shap_values[:, :, -1]).mean(axis=0), strict=True))
    features = ours["features"]
    assert isinstance(features, list)
    assert {each["name"]: each["size"] for each in features} == sizes
    assert [each["size"] for each in features] == sorted(sizes.values(), reverse=True)

    for row, feature, value, given, _ in rows(explained(site, run_id, "/figures/swarm")):
        at = theirs.rows.index(str(row)), theirs.features.index(str(feature))
        assert (value, given) == (theirs.shap_values[(*at, -1)], theirs.data[at])


def test_a_waterfall_leads_from_what_is_expected_to_what_the_model_says(
    site: Dashboard, logged: Past, logged_values: dict[str, Explanation]
) -> None:
    theirs = logged_values[logged.forest]
    row = theirs.rows[3]
    for picture in ("waterfall", "force"):
        steps = rows(explained(site, logged.forest, f"/figures/{picture}", row=row))
        assert steps[-1][3] == theirs.base_values[3, -1]
        assert steps[0][4] == pytest.approx(theirs.outputs[3, -1])
        for step, below in pairwise(steps):
            assert step[3] == below[4]
        for name, given, value, _, _ in steps[:-1]:
            if name in theirs.features:
                place = theirs.features.index(str(name))
                assert (given, value) == (theirs.data[3, place], theirs.shap_values[3, place, -1])


def test_one_feature_against_its_values(site: Dashboard, logged: Past, logged_values: dict[str, Explanation]) -> None:
    theirs = logged_values[logged.forest]
    age, other = theirs.features.index("age"), theirs.features.index("cholesterol")
    points = rows(explained(site, logged.forest, "/figures/dependence", feature="age", colour="cholesterol"))
    expected = zip(theirs.rows, theirs.data[:, age], theirs.shap_values[:, age, -1], theirs.data[:, other], strict=True)
    assert points == [list(point) for point in expected]


def test_rows_are_found_by_name_as_they_were_given(site: Dashboard, logged: Past) -> None:
    table = logged.server.artifact(logged.server.run(logged.forest), "evaluation/shap_rows.csv").decode()
    theirs = list(csv.reader(io.StringIO(table)))
    wanted = theirs[5][0]
    found = explained(site, logged.forest, "/rows", q=wanted)
    assert found["columns"] == theirs[0]
    [one, *_] = [row for row in rows(found) if f"{row[0]:.0f}" == wanted]
    for ours, given in zip(one, theirs[5], strict=True):
        assert ours == (None if not given else pytest.approx(float(given)) if re.fullmatch(r"[\d.]+", given) else given)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"row": "patient zero"}, 'row "patient zero" was not explained'),
        ({"output": "rain"}, 'there is no output "rain"; there are: 1'),
        ({"feature": "shoe size"}, 'there is no feature "shoe size"; there are: '),
    ],
)
def test_what_was_not_explained_is_said(site: Dashboard, logged: Past, query: dict[str, str], says: str) -> None:
    picture = "dependence" if "feature" in query else "waterfall"
    answer = site.get(f"/api/v1/runs/{logged.forest}/explanation/figures/{picture}", **query)
    assert (answer.status, says in answer.json()["detail"]) == (422, True), answer.text
    # The page says so too, and shows the rest.
    page = site.get(f"/runs/{logged.forest}/explain", **query)
    assert page.status == 200
    assert "Over all rows" in page.text


def test_a_run_without_values_says_how_to_log_them(site: Dashboard, logged: Past) -> None:
    answer = site.get(f"/api/v1/runs/{logged.slow}/explanation")
    assert answer.status == 422
    assert "`runyard.evaluation.log(model, (X_test, y_test)" in answer.json()["detail"]
    page = site.get(f"/runs/{logged.slow}/explain")
    assert (page.status, "evaluation.log(model" in page.text) == (200, True)


def test_what_is_no_explanation_is_refused_in_words(site: Dashboard, logged: Past) -> None:
    answer = site.get(f"/api/v1/runs/{logged.hostile}/explanation")
    assert (answer.status, "no file of SHAP values" in answer.json()["detail"]) == (422, True)
    assert "no file of SHAP values" in site.get(f"/runs/{logged.hostile}/explain").text


def test_see_why_the_best_predicts_disease_for_a_patient(
    page: Page, logged: Past, logged_values: dict[str, Explanation]
) -> None:
    metrics = {m["key"]: m["value"] for m in logged.server.run(logged.forest)["data"]["metrics"]}
    page.goto(
        f"/compare?experiment=heart&where=metrics.roc_auc+<%3D+{metrics['roc_auc']!r}+%26%26+params.n_estimators+%3D%3D+'20'"
    )
    page.get_by_role("region", name="The best").get_by_role("link", name="Explain").click()
    theirs = logged_values[logged.forest]
    patient = theirs.rows[7]
    page.get_by_label("Name begins with").fill(patient)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("region", name="Rows that were explained").get_by_role("link", name=patient, exact=True).click()
    expect(page.get_by_role("heading", name=f"Row {patient}", exact=True)).to_be_visible()
    why = page.locator("figure", has=page.get_by_text(f"the model says {theirs.outputs[7, -1]:.4g}")).first
    why.scroll_into_view_if_needed()
    expect(why.locator("canvas").first).to_be_visible()
    why.get_by_text("As a table").click()
    first = theirs.features[int(np.abs(theirs.shap_values[7, :, -1]).argmax())]
    expect(why.locator("tbody tr").first).to_contain_text(first)


def test_two_runs_side_by_side(page: Page, logged: Past) -> None:
    page.goto(f"/runs/{logged.forest}/explain?beside={logged.logistic}")
    for name in ("forest", "logistic"):
        expect(page.locator("figcaption h3", has_text=name).first).to_be_visible()
    assert page.locator("figure[data-src]").count() == 10
    # What one of them looks at most, in both.
    of_one_feature = [
        source
        for each in page.locator("figure[data-src]").all()
        if "dependence" in (source := str(each.get_attribute("data-src")))
    ]
    assert [parse_qs(urlsplit(source).query)["feature"] for source in of_one_feature] == 2 * [
        [page.get_by_label("Feature").input_value()]
    ]
