"""What a person changes by the dashboard, where that is allowed: trainings cancelled and retried, models promoted."""

import http.client
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

from runyard.audit import audit
from runyard.history import History
from tests.chart.rendered import render
from tests.dashboard.bed import Dashboard, dashboard
from tests.dashboard.cluster import NAMESPACE, create, found, stands, token
from tests.dashboard.conftest import SCREENSHOTS
from tests.support.apiserver import ApiServer, kubeconfig
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
ENDED = {"type": "Succeeded", "reason": "Error", "lastTransitionTime": "2026-01-02T03:04:05Z"}
FAILED: dict[str, Any] = {"phase": "Failed", "conditions": [{**ENDED, "status": "False"}]}
OWN = {"Sec-Fetch-Site": "same-origin"}
SPEC = {"parameters": {"depth": 5}, "env": [{"name": "A", "value": "$(params.depth)"}], "experiment": "heart"}


@pytest.fixture(scope="module")
def changing(server: ApiServer, mlflow: MlflowRest) -> Iterator[Dashboard]:
    with dashboard(mlflow.url, "--cluster", "--allow-changes", KUBECONFIG=str(server.kubeconfig)) as started:
        yield started


@pytest.fixture
def page(browser: Browser, changing: Dashboard) -> Iterator[Page]:
    context = browser.new_context(base_url=changing.url, viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@dataclass(frozen=True)
class Reply:
    """What a form was answered."""

    status: int
    text: str
    headers: dict[str, str]


def post(site: Dashboard, path: str, fields: dict[str, str], headers: dict[str, str]) -> Reply:
    """Send a form, whoever may be said to have done it."""
    at = urllib.parse.urlsplit(site.url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, urllib.parse.urlencode(fields), {**kind, **headers})
    answer = connection.getresponse()
    reply = Reply(answer.status, answer.read().decode(), dict(answer.headers))
    connection.close()
    return reply


def form(site: Dashboard, path: str) -> tuple[dict[str, str], str]:
    """Open a page with a form; return its hidden fields, and the cookie that came with it."""
    answer = site.get(path)
    assert answer.status == 200, answer.text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text))
    return hidden, answer.headers["set-cookie"]


def known(site: Dashboard, name: str) -> None:
    wait_for(f"{name} is seen", lambda: site.get(f"/trainings/{NAMESPACE}/{name}").status == 200)


def suspended(server: ApiServer, name: str) -> bool:
    return bool(found(server, name)["spec"].get("suspend"))


def test_unless_allowed_nothing_can_be_changed(server: ApiServer, mlflow: MlflowRest) -> None:
    create(server, "left-alone")
    run_id = with_model(mlflow, "left-alone", 0.9)
    with dashboard(mlflow.url, "--cluster", KUBECONFIG=str(server.kubeconfig)) as started:
        known(started, "left-alone")
        where = f"/trainings/{NAMESPACE}/left-alone"
        assert "Cancel" not in started.get(where).text
        assert "Promote" not in started.get(f"/runs/{run_id}").text
        for path in (f"{where}/cancel", f"{where}/retry", f"/runs/{run_id}/promote"):
            assert started.get(path).status == 404
            assert post(started, path, {}, OWN).status == 404
        assert post(started, where, {}, OWN).status == 405
    assert not suspended(server, "left-alone")


def test_a_training_is_cancelled_resumed_and_retried(page: Page, changing: Dashboard, server: ApiServer) -> None:
    create(server, "long", **SPEC, backoffLimit=2)
    stands(server, "long", phase="Running")
    known(changing, "long")
    page.goto(f"/trainings/{NAMESPACE}/long")
    page.get_by_role("link", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel long?")
    expect(page.get_by_text("spec.suspend")).to_be_visible()
    page.evaluate(AXE)
    assert page.evaluate("axe.run().then(found => found.violations.map(each => each.id))") == []
    page.screenshot(path=SCREENSHOTS / "cancel.png")
    assert not suspended(server, "long")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("long")
    assert suspended(server, "long")
    stands(server, "long", phase="Suspended")
    page.get_by_role("link", name="Resume…").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="Cancel…")).to_be_visible()
    assert not suspended(server, "long")

    stands(server, "long", **FAILED)
    page.get_by_role("link", name="Retry…").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^long-retry-[a-z0-9]{5}$"))
    expect(page.get_by_role("link", name="long", exact=True)).to_be_visible()
    made = found(server, page.get_by_role("heading", level=1).inner_text())
    earlier = found(server, "long")
    assert made["spec"] == {key: value for key, value in earlier["spec"].items() if key != "suspend"} | (
        {"suspend": False} if "suspend" in made["spec"] else {}
    )
    assert made["spec"]["parameters"] == {"depth": 5}
    assert earlier["status"]["phase"] == "Failed"


def test_what_a_queue_suspends_is_cancelled_by_deleting_it(page: Page, changing: Dashboard, server: ApiServer) -> None:
    create(server, "waits", queueName="gpus")
    stands(server, "waits", phase="Queued")
    known(changing, "waits")
    page.goto(f"/trainings/{NAMESPACE}/waits/cancel")
    expect(page.get_by_text("is deleted")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Trainings")
    assert server.kubectl("get", "trainingrun", "waits", "-n", NAMESPACE).returncode != 0


def test_only_a_page_of_the_dashboard_itself_changes_anything(changing: Dashboard, server: ApiServer) -> None:
    create(server, "wanted")
    known(changing, "wanted")
    path = f"/trainings/{NAMESPACE}/wanted/cancel"
    fields, given = form(changing, path)
    assert re.search("HttpOnly; .*SameSite=strict", given)
    cookie = {"Cookie": given.partition(";")[0]}
    foreign: list[dict[str, str]] = [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Origin": changing.url, "Sec-Fetch-Site": "cross-site"},
        {**OWN, "Content-Type": "text/plain"},
    ]
    for headers in foreign:
        answer = post(changing, path, fields, {**cookie, **headers})
        assert (answer.status, "nothing was changed" in answer.text) == (403, True), headers
    # From the right place, without what only it was given.
    other = {"Cookie": f"runyard-form={'x' * 43}"}
    for sent, headers in ((fields, {}), (fields, other), ({**fields, "token": ""}, cookie), ({}, cookie)):
        assert post(changing, path, sent, {**headers, **OWN}).status == 403
    assert post(changing, path, {**fields, "more": "x" * 70_000}, {**cookie, **OWN}).status == 413
    # Another training that has the name by now.
    assert post(changing, path, {**fields, "uid": "another"}, {**cookie, **OWN}).status == 422
    assert post(changing, f"/trainings/{NAMESPACE}/wanted/delete", fields, {**cookie, **OWN}).status == 422
    assert not suspended(server, "wanted")
    answer = post(changing, path, fields, {**cookie, "Origin": changing.url})
    assert (answer.status, answer.headers["location"]) == (303, f"/trainings/{NAMESPACE}/wanted")
    assert suspended(server, "wanted")
    # Twice is once.
    assert post(changing, path, fields, {**cookie, **OWN}).status == 422


def test_the_rights_of_who_runs_the_dashboard_decide(server: ApiServer, mlflow: MlflowRest, tmp_path: Path) -> None:
    create(server, "seen")
    mine = tmp_path / "kubeconfig"
    trainings = {"apiGroups": ["runyard.dev"], "resources": ["trainingruns"]}
    rules = [{**trainings, "verbs": ["get", "list", "create"]}]
    mine.write_text(kubeconfig(server.url, token(server, "retrier", rules)))
    where = f"/trainings/{NAMESPACE}/seen"
    with dashboard(mlflow.url, "--cluster", "--allow-changes", KUBECONFIG=str(mine)) as started:
        known(started, "seen")
        assert "Cancel…" not in started.get(where).text
        refused = started.get(f"{where}/cancel")
        assert (refused.status, "may not patch TrainingRuns in namespace team-a" in refused.text) == (403, True)
        stands(server, "seen", **FAILED)
        wait_for("it has failed", lambda: "Retry…" in started.get(where).text)
        fields, given = form(started, f"{where}/retry")
        mine_and_own = {"Cookie": given.partition(";")[0], **OWN}
        assert post(started, f"{where}/cancel", fields, mine_and_own).status == 422
        made = post(started, f"{where}/retry", fields, mine_and_own)
        assert made.status == 303
        retried = made.headers["location"].rsplit("/", 1)[1]
        assert found(server, retried)["metadata"]["annotations"] == {"runyard.dev/retry-of": "seen"}
        uid = found(server, retried)["metadata"]["uid"]
        again = post(started, f"/trainings/{NAMESPACE}/{retried}/cancel", {**fields, "uid": uid}, mine_and_own)
        assert (again.status, "may not patch" in again.text) == (403, True)


def test_with_the_charts_rights_it_can_be_done(server: ApiServer, mlflow: MlflowRest, tmp_path: Path) -> None:
    role = render(settings=["dashboard.allowChanges=true"]).one("ClusterRole", "runyard-runyard-dashboard")
    mine = tmp_path / "kubeconfig"
    mine.write_text(kubeconfig(server.url, token(server, "of-the-chart", role["rules"])))
    create(server, "by-the-chart")
    create(server, "queued-there", queueName="gpus")
    with dashboard(mlflow.url, "--cluster", "--allow-changes", KUBECONFIG=str(mine)) as started:
        for name, change in (("by-the-chart", "cancel"), ("by-the-chart", "retry"), ("queued-there", "cancel")):
            known(started, name)
            path = f"/trainings/{NAMESPACE}/{name}/{change}"
            fields, given = form(started, path)
            answer = post(started, path, fields, {"Cookie": given.partition(";")[0], **OWN})
            assert answer.status == 303, answer.text
    assert suspended(server, "by-the-chart")
    assert server.kubectl("get", "trainingrun", "queued-there", "-n", NAMESPACE).returncode != 0


def with_model(mlflow: MlflowRest, name: str, f1_score: float, experiment: str = "0") -> str:
    """A run that finished and logged a model, as MLflow's registry needs it."""
    client = MlflowClient(mlflow.url)
    run_id: str = client.create_run(experiment, run_name=name).info.run_id
    client.log_metric(run_id, "f1_score", f1_score)
    model = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, models=[_output(model.model_id)])
    client.set_terminated(run_id)
    return run_id


def _output(model_id: str) -> Any:
    from mlflow.entities import LoggedModelOutput

    return LoggedModelOutput(model_id, 0)


def test_a_model_is_promoted_once_what_would_be_done_is_confirmed(page: Page, mlflow: MlflowRest) -> None:
    client = MlflowClient(mlflow.url)
    good, better, worse = (
        with_model(mlflow, name, value) for name, value in (("good", 0.8), ("better", 0.9), ("worse", 0.7))
    )
    page.goto(f"/runs/{good}")
    page.get_by_role("link", name="Promote…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Promote good")
    page.evaluate(AXE)
    assert page.evaluate("axe.run().then(found => found.violations.map(each => each.id))") == []
    page.get_by_label("Registered model").fill("heart")
    page.get_by_label("Only if", exact=True).fill("metrics.f1_score >= 0.75")
    page.get_by_label("Why").fill("the <b>first</b>")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="See what would be done").click()
    card = page.get_by_role("region", name="What would be done")
    expect(card).to_contain_text("a new version of heart and the champion")
    expect(card).to_contain_text("0.8")
    page.screenshot(path=SCREENSHOTS / "promote.png", full_page=True)
    assert not client.search_registered_models()
    card.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("heart")
    row = page.get_by_role("region", name="Moves of aliases").get_by_role("row", name="promoted")
    expect(row).to_contain_text("Ada (by the dashboard, which knows nobody)")
    expect(row).to_contain_text("the <b>first</b>")
    tags = client.get_model_version_by_alias("heart", "champion").tags
    assert tags["runyard.dev/promoted-because"].startswith("the <b>first</b>")
    assert "f1_score" in tags["runyard.dev/promoted-because"]

    def asks(run_id: str, better_than: str, condition: str = "") -> None:
        page.goto(f"/runs/{run_id}/promote?model=heart")
        page.get_by_label("Only if better than the").fill(better_than)
        page.get_by_label("by the metric").fill("f1_score" if better_than else "")
        page.get_by_label("Only if", exact=True).fill(condition)
        page.get_by_label("Why").fill("tried")
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="See what would be done").click()

    # Refusals, in words.
    asks(worse, "champion")
    expect(page.get_by_role("alert")).to_contain_text("f1_score 0.7 is not more than 0.8 of version 1, the champion")
    expect(page.get_by_role("button", name="Promote", exact=True)).to_have_count(0)
    asks(worse, "", "metrics.f1_score >= 0.75")
    expect(page.get_by_role("alert")).to_contain_text("0.7")
    asks(worse, "", "metrics.f1_score")
    expect(page.get_by_role("alert")).to_contain_text("expected a comparison")
    assert page.get_by_label("Why").input_value() == "tried"
    assert client.get_model_version_by_alias("heart", "champion").run_id == good
    asks(better, "champion")
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("heart")
    assert client.get_model_version_by_alias("heart", "champion").run_id == better


def test_how_long_somebody_chose_is_with_what_they_promoted(
    page: Page, changing: Dashboard, mlflow: MlflowRest
) -> None:
    client = MlflowClient(mlflow.url)
    experiment = client.create_experiment("chosen")
    names = [with_model(mlflow, name, value, experiment) for name, value in (("less", 0.4), ("more", 0.6))]
    wait_for("the runs are read", lambda: changing.api("/runs", experiment="chosen")["total"] == len(names))
    before = datetime.now(UTC) - timedelta(seconds=1)
    page.goto("/compare?experiment=chosen&metric=f1_score")
    page.get_by_role("region", name="The best").get_by_role("link", name="Promote…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Promote more")
    page.get_by_label("Registered model").fill("chosen")
    page.get_by_label("Why").fill("the best of two")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="See what would be done").click()
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("chosen")
    tags = client.get_model_version_by_alias("chosen", "champion").tags
    began, ended = map(datetime.fromisoformat, tags["runyard.dev/selected-during"].split("/"))
    assert before <= began <= ended <= datetime.now(UTC) + timedelta(seconds=1)
    assert tags["runyard.dev/selected-during"].endswith(f"/{tags['runyard.dev/promoted-at']}")
    facts = audit(History(mlflow.url), "chosen")["promotion"].facts
    assert facts["selected"] == 1
    assert 0 <= facts["selectionSeconds"] <= 120
    # The next choice is another one, and one without Compare is none.
    assert not [each for each in page.context.cookies() if each.get("name") == "runyard-compared"]


def test_what_was_confirmed_and_does_not_hold_any_more_is_not_done(changing: Dashboard, mlflow: MlflowRest) -> None:
    first, second = with_model(mlflow, "first", 0.5), with_model(mlflow, "second", 0.6)
    fields, given = form(changing, f"/runs/{first}/promote")
    headers = {"Cookie": given.partition(";")[0], **OWN}
    wish = {"model": "liver", "alias": "champion", "better_than": "champion", "metric": "f1_score"}
    wish |= {**fields, "because": "tried", "by": "Ada"}
    assert "It would be" in post(changing, f"/runs/{first}/promote", wish, headers).text
    assert post(changing, f"/runs/{second}/promote", {**wish, "step": "promote"}, headers).status == 303
    late = post(changing, f"/runs/{first}/promote", {**wish, "step": "promote"}, headers)
    assert (late.status, "version 1 stays the champion of liver" in late.text) == (200, True)
    assert MlflowClient(mlflow.url).get_model_version_by_alias("liver", "champion").run_id == second
    for wrong in ({"by": ""}, {"because": " "}, {"model": "a/b"}, {"alias": "latest"}, {"metric": ""}):
        assert post(changing, f"/runs/{first}/promote", {**wish, **wrong, "step": "promote"}, headers).status == 422
    foreign = {**headers, "Sec-Fetch-Site": "cross-site"}
    assert post(changing, f"/runs/{first}/promote", {**wish, "step": "promote"}, foreign).status == 403


def test_a_run_without_a_model_says_so(changing: Dashboard, mlflow: MlflowRest) -> None:
    run_id = MlflowClient(mlflow.url).create_run("0").info.run_id
    assert "Promote…" not in changing.get(f"/runs/{run_id}").text
    assert "It logged no model" in changing.get(f"/runs/{run_id}/promote").text
