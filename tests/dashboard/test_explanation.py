"""Explanations on the page and in the API, against the values that shap computed and the script logged."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, expect

from runyard.explanation import Explanation
from tests.dashboard.bed import Dashboard, Past, dashboard
from tests.support.mlflow_store import make_store
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
    [one, *_] = [row for row in rows(found) if row[0] == wanted]
    for ours, given in zip(one[1:], theirs[5][1:], strict=True):
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
        [page.locator("select[name=feature]").input_value()]
    ]


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dashboard, dict[str, str]]]:
    """A store of its own with two runs, of whose rows two are called alike; the second was given others."""
    home = tmp_path_factory.mktemp("alike")
    make_store(home / "mlflow.db")
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.create_experiment("alike", artifact_location=str(home / "artifacts"))
    data = np.array([[50.0], [np.nan], [70.0]])
    values = np.array([[[0.05]], [[0.0]], [[0.07]]])
    zeros = np.zeros((3, 1))
    explained = Explanation(
        values,
        zeros,
        values.sum(axis=1),
        data,
        ["age"],
        ["o"],
        ["007", "7", "007"],
        [0, 4, 9],
        "value",
        "TreeExplainer",
    )
    ids = {}
    for name, ages in (("first", ("50", "", "70")), ("second", ("50", "", "71"))):
        ids[name] = client.create_run(experiment, run_name=name).info.run_id
        client.log_text(
            ids[name],
            f"row,true,predicted,age\n007,1,0,{ages[0]}\n7,1,1,{ages[1]}\n007,0,1,{ages[2]}\n",
            "evaluation/shap_rows.csv",
        )
        file = home / "shap.npz"
        file.write_bytes(explained.to_bytes())
        client.log_artifact(ids[name], str(file), "evaluation")
        client.set_terminated(ids[name])
    with dashboard(f"sqlite:///{home / 'mlflow.db'}") as site:
        yield site, ids


def test_rows_that_are_called_alike_are_each_shown(alike: tuple[Dashboard, dict[str, str]]) -> None:
    site, ids = alike
    found = explained(site, ids["first"], "/rows", q="007")
    assert (found["places"], found["rows"]) == ([0, 9], [["007", 1.0, 0.0, 50.0], ["007", 0.0, 1.0, 70.0]])
    text = site.get(f"/runs/{ids['first']}/explain").text
    assert re.findall(r"row=(007|7)&amp;place=(\d+)|row=(7)#row", text) == [
        ("007", "0", ""),
        ("", "", "7"),
        ("007", "9", ""),
    ]
    for place, age, true in (("0", "50", "1"), ("9", "70", "0")):
        page = site.get(f"/runs/{ids['first']}/explain", row="007", place=place)
        assert f"this is the one at place {place} of the test data" in page.text
        given = page.text.partition("As it was given")[2].partition("</section>")[0]
        assert re.findall(r"<th scope=.row.>(\w+)</th><td>(\w+)</td>", given) == [("age", age)]
        assert f"True: <strong>{true}</strong>" in given
        steps = rows(explained(site, ids["first"], "/figures/waterfall", row="007", place=place))
        assert steps[0][:2] == ["age", float(age)]
    # Who asks for another row by name, on the page of this one, sees that.
    assert '<h2 id="row">Row 7</h2>' in site.get(f"/runs/{ids['first']}/explain", row="7", place="9").text


def test_rows_of_one_name_that_are_not_the_same_are_told(alike: tuple[Dashboard, dict[str, str]]) -> None:
    site, ids = alike
    query = {"row": "007", "beside": ids["second"]}
    assert "is not the same one" not in site.get(f"/runs/{ids['first']}/explain", place="0", **query).text
    text = site.get(f"/runs/{ids['first']}/explain", place="9", **query).text
    assert "Row 007 is not the same one in both runs: it differs in age." in text
    assert text.count("place=9") >= 4, "both runs' figures are of that row"
