"""The page of a run: its figures' tables to the last row, its artifacts, and what it lacks."""

import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Page, expect

from runyard.audit import audit
from runyard.audit.measures import listed
from runyard.dashboard.downloads import LARGEST_BYTES
from runyard.history import History
from tests.dashboard.bed import FIRST_MS, Dashboard, dashboard
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for


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


NAMES = (
    "plain.txt",
    "page.html",
    "folder/<img src=x onerror=alert(1)>.svg",
    "folder/ünï çødé 100%.csv",
    'folder/a"; filename=b.html',
    "folder/..hidden",
    "folder/=cmd()",
)


@pytest.fixture(scope="module")
def filed(client: MlflowClient, experiment: str) -> str:
    made: str = client.create_run(experiment, run_name="filed").info.run_id
    for name in NAMES:
        client.log_text(made, f"<script>alert('{made}')</script>", name)
    client.set_terminated(made)
    return made


@pytest.mark.parametrize("below", ["", "/api/v1"])
def test_artifacts_come_as_they_are_and_never_as_pages(
    site: Dashboard, mlflow: MlflowRest, filed: str, below: str
) -> None:
    for name in NAMES:
        answer = site.get(f"{below}/runs/{filed}/artifact", path_=name)
        assert (answer.status, answer.body) == (200, mlflow.artifact(mlflow.run(filed), name)), name
        kind, given = answer.headers["content-type"], answer.headers["content-disposition"]
        assert kind in {"text/plain; charset=utf-8", "application/octet-stream"}
        assert kind.startswith("text") == name.endswith((".txt", ".csv"))
        # One name, of no folder, which nothing in it ends or adds to.
        called = re.fullmatch(r"attachment; filename\*=UTF-8''([\w.%~-]+)", given)
        assert called
        shown = urllib.parse.unquote(called[1])
        assert not set(shown) & set('/\\":<>|?*')
        assert not shown.startswith(".")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "nothing.txt",
        "folder",
        "folder/",
        "/etc/passwd",
        "../../mlflow.db",
        "folder/../plain.txt",
        "folder/..%2f..%2fmlflow.db",
        "./plain.txt",
        "plain.txt\0",
        "\n",
        "..",
        "file:///etc/passwd",
    ],
)
def test_what_is_none_of_a_runs_artifacts_is_not_there(site: Dashboard, filed: str, path: str) -> None:
    answer = site.get(f"/api/v1/runs/{filed}/artifact", path_=path)
    assert answer.status == 404, answer.text
    assert set(answer.json()) == {"detail"}
    page = site.get(f"/runs/{filed}/artifact", path_=path)
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_what_is_too_large_is_fetched_by_a_command(
    site: Dashboard, client: MlflowClient, experiment: str, tmp_path: Path
) -> None:
    made = client.create_run(experiment, run_name="large").info.run_id
    for name, size in (("large.bin", LARGEST_BYTES + 1), ("fits.bin", LARGEST_BYTES)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        client.log_artifact(made, str(tmp_path / name))
    answer = site.get(f"/api/v1/runs/{made}/artifact", path_="large.bin")
    assert answer.status == 413
    assert f"mlflow artifacts download --run-id {made} --artifact-path large.bin" in answer.json()["detail"]
    # More of them than are sent at once, one after the other: each makes room when it has gone.
    for _ in range(6):
        answer = site.get(f"/api/v1/runs/{made}/artifact", path_="fits.bin")
        assert (answer.status, len(answer.body)) == (200, LARGEST_BYTES)


def test_who_hangs_up_makes_room(site: Dashboard, client: MlflowClient, experiment: str, tmp_path: Path) -> None:
    made = client.create_run(experiment, run_name="left").info.run_id
    with (tmp_path / "file.bin").open("wb") as file:
        file.truncate(LARGEST_BYTES)
    client.log_artifact(made, str(tmp_path / "file.bin"))
    path = f"/api/v1/runs/{made}/artifact?path=file.bin"

    def begun() -> bool:
        try:
            with urllib.request.urlopen(f"{site.url}{path}", timeout=60) as answer:  # noqa: S310
                return len(answer.read(1000)) == 1000
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return False

    # More often than there is room at once: whoever leaves in the middle takes none of it along.
    for _ in range(6):
        assert wait_for("there is room", begun, timeout_seconds=60)


def test_keep_an_artifact_from_its_page(page: Page, filed: str) -> None:
    page.goto(f"/runs/{filed}")
    with page.expect_download() as kept:
        page.get_by_role("link", name="page.html").click()
    assert Path(kept.value.path()).read_text() == f"<script>alert('{filed}')</script>"
    assert kept.value.suggested_filename == "page.html"
    assert page.url.endswith(f"/runs/{filed}")


def test_a_run_leads_to_mlflows_own_page_of_it(page: Page, mlflow: MlflowRest, filed: str) -> None:
    page.goto(f"/runs/{filed}")
    place = mlflow.run(filed)["info"]["experiment_id"]
    link = page.get_by_role("link", name="In MLflow")
    assert link.get_attribute("href") == f"{mlflow.url}/#/experiments/{place}/runs/{filed}"
    link.click()
    expect(page.get_by_text("filed").first).to_be_visible()
    assert page.url.startswith(f"{mlflow.url}/#/")


def test_nothing_leads_to_an_mlflow_whose_address_nobody_knows(mlflow: MlflowRest, filed: str) -> None:
    with dashboard(mlflow.url, "--mlflow-url=") as unknown:
        assert "In MLflow" not in unknown.get(f"/runs/{filed}").text
    with dashboard(mlflow.url, "--mlflow-url=https://ml.example/a/") as elsewhere:
        assert 'href="https://ml.example/a/#/experiments/' in elsewhere.get(f"/runs/{filed}").text


def test_an_address_of_mlflow_that_is_none_is_refused() -> None:
    program = str(Path(sys.executable).parent / "runyard")
    command = [program, "dashboard", "--tracking-uri=http://127.0.0.1:1", "--mlflow-url=javascript:alert(1)"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "--mlflow-url javascript:alert(1)" in ended.stderr


def test_a_run_says_what_it_lacks(
    page: Page, site: Dashboard, client: MlflowClient, mlflow: MlflowRest, experiment: str
) -> None:
    made = client.create_run(experiment, run_name="bare").info.run_id
    client.log_metric(made, "auc", 0.5)
    client.log_param(made, "random_state", 3)
    client.set_terminated(made)
    [theirs] = [one for one in audit(History(mlflow.url), "runs & files")["metadata"].behind if one.runs[0] == made]
    ours = site.api(f"/runs/{made}/lacks")
    names = [each["field"] for each in ours["lacks"]]
    assert names == ["commit", "datasets", "environment", "fingerprint"]
    assert theirs.says == f"no {listed(names)}"
    assert (ours["judged"], ours["isWhole"]) == (made, True)
    page.goto(f"/runs/{made}")
    expect(page.get_by_text("It lacks 4 of the 7 things")).to_be_visible()
    for lack in ours["lacks"]:
        row = page.locator(".lacks div", has=page.locator(f"dt:text-is('{lack['field']}')"))
        expect(row).to_contain_text(lack["why"])
        expect(row).to_contain_text(lack["remedy"].split("`")[1])


def test_what_its_parts_have_a_run_has(site: Dashboard, client: MlflowClient, experiment: str) -> None:
    search = client.create_run(experiment, run_name="search", tags={"mlflow.source.git.commit": "c" * 40}).info.run_id
    about = {"seeds": {"numpy": "1"}, "datasets": {"rows": "sha256:1"}, "packages": {"numpy": "2"}}
    below = {"mlflow.parentRunId": search, "runyard.dev/fingerprint": "sha256:1"}
    trials = [client.create_run(experiment, tags=below).info.run_id for _ in range(2)]
    for trial in trials:
        client.log_param(trial, "depth", 3)
        client.log_metric(trial, "auc", 0.5)
        client.log_dict(trial, about, "runyard/provenance.json")
        client.set_terminated(trial)
    client.set_terminated(search)

    def told() -> Any:
        found = [site.api(f"/runs/{run}/lacks") for run in (search, *trials)]
        return found if [each["lacks"] for each in found] == [[], [], []] else None

    # Its parts are seen once the list of runs has been read again.
    found = wait_for("all is there", told, timeout_seconds=60)
    assert [each["judged"] for each in found] == [search] * 3
    client.log_text(trials[0], "[no json", "runyard/provenance.json")
    damaged = site.api(f"/runs/{search}/lacks")
    assert ([each["field"] for each in damaged["lacks"]], damaged["isWhole"]) == (
        ["seeds", "datasets", "environment"],
        False,
    )
