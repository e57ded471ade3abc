"""A training while it goes on: its log, its metrics and its queue, on a page that nobody loads anew."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

from tests.chart.rendered import render
from tests.dashboard.bed import Dashboard, dashboard
from tests.dashboard.cluster import NAMESPACE, attempt, create, found, runs, stands, token
from tests.dashboard.conftest import SCREENSHOTS
from tests.support.apiserver import ApiServer, kubeconfig
from tests.support.kubelet import Kubelet, kubelet
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
HOSTILE = '\x1b[31m</pre><img src=x onerror="alert(1)"><script>alert(2)</script>\x1b[0m\x07\u202eevil'


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    with kubelet(tmp_path_factory.mktemp("kubelet")) as found:
        yield found


@pytest.fixture(scope="module")
def watching(server: ApiServer, mlflow: MlflowRest) -> Iterator[Dashboard]:
    with dashboard(mlflow.url, "--cluster", KUBECONFIG=str(server.kubeconfig)) as started:
        yield started


@pytest.fixture
def page(browser: Browser, watching: Dashboard) -> Iterator[Page]:
    context = browser.new_context(base_url=watching.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("dialog", lambda dialog: wrong.append(f"a dialog: {dialog.message}"))
    yield page
    context.close()
    assert not wrong


def training(page: Page, name: str) -> None:
    page.goto(f"/trainings/{NAMESPACE}/{name}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def began(server: ApiServer, logs: Kubelet, name: str, *lines: str, **status: Any) -> str:
    """A training whose first attempt goes on and has printed something; returns the pod."""
    pod = f"{name}-0"
    create(server, name)
    runs(server, logs, pod)
    logs.says(pod, *lines)
    stands(server, name, phase="Running", attempts=[attempt(pod)], **status)
    return pod


def loss(mlflow: MlflowRest, steps: int) -> str:
    client = MlflowClient(mlflow.url)
    run_id: str = client.create_run("0", run_name="goes-on").info.run_id
    client.log_metric(run_id, "accuracy", 0.5)
    client.log_metric(run_id, "system/cpu", 1.0, step=0)
    client.log_metric(run_id, "system/cpu", 2.0, step=1)
    for step in range(steps):
        client.log_metric(run_id, "loss", 1 / (step + 1), step=step)
    return run_id


def said(watching: Dashboard, name: str, wanted: str, **query: str) -> dict[str, Any]:
    """The log, once something is in it or said of it."""

    def there() -> Any:
        answer = watching.get(f"/api/v1/trainings/{NAMESPACE}/{name}/log", **query)
        found = answer.json() if answer.status == 200 else {}
        return found if wanted in found.get("text", "") + found.get("says", "") else None

    last: dict[str, Any] = wait_for(f"{wanted} is in the log of {name}", there)
    return last


def test_a_log_and_its_metrics_come_while_they_are_looked_at(
    page: Page, server: ApiServer, logs: Kubelet, mlflow: MlflowRest
) -> None:
    run_id = loss(mlflow, 3)
    pod = began(server, logs, "live", *(f"epoch {number}" for number in range(300)), tracking={"runId": run_id})
    training(page, "live")
    log = page.get_by_role("region", name="Log", exact=True)
    expect(log).to_contain_text("epoch 299")
    # The last 200 lines, and the last of them is in sight.
    assert len((log.text_content() or "").split()) == 400
    assert log.evaluate("log => log.scrollTop + log.clientHeight >= log.scrollHeight - 8")
    # One value is no course, and the machine's own metrics are for MLflow's pages.
    chart = page.locator("figure")
    expect(chart).to_have_count(1)
    expect(chart.get_by_role("heading")).to_have_text("loss")
    expect(chart.locator("canvas").first).to_be_visible()
    chart.get_by_text("As a table").click()
    expect(chart.locator("tbody tr")).to_have_count(3)

    logs.says(pod, "epoch 300")
    expect(log).to_contain_text("epoch 300")
    MlflowClient(mlflow.url).log_metric(run_id, "loss", 0.1, step=3)
    # What was opened is open, with what is new in it.
    expect(chart.locator("tbody tr")).to_have_count(4)
    expect(chart.locator("tbody tr").last).to_contain_text("0.1")
    MlflowClient(mlflow.url).log_metric(run_id, "gain", 1, step=1)
    MlflowClient(mlflow.url).log_metric(run_id, "gain", 2, step=2)
    expect(chart).to_have_count(2)
    expect(chart.locator("tbody tr").first).to_be_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    with page.expect_download() as csv:
        page.locator("figure", has=page.get_by_role("heading", name="loss")).get_by_role("link", name="CSV").click()
    assert len(Path(csv.value.path()).read_text().splitlines()) == 5


def test_what_is_marked_or_read_further_up_stays(page: Page, server: ApiServer, logs: Kubelet) -> None:
    pod = began(server, logs, "marked", *(f"line {number}" for number in range(150)), message="first")
    training(page, "marked")
    log = page.get_by_role("region", name="Log", exact=True)
    expect(log).to_contain_text("line 149")
    page.get_by_text("first", exact=True).select_text()
    log.evaluate("log => log.scrollTop = 40")
    logs.says(pod, "line 150")
    stands(server, "marked", phase="Running", attempts=[attempt(pod, reason="NodeLost")], message="second")
    # The attempts have neither, and are as they are now.
    expect(page.get_by_role("row", name="NodeLost")).to_be_visible()
    expect(page.get_by_text("first", exact=True)).to_be_visible()
    assert page.evaluate("getSelection().toString()") == "first"
    assert log.evaluate("log => log.scrollTop") == 40
    page.evaluate("getSelection().removeAllRanges()")
    expect(page.get_by_text("second", exact=True)).to_be_visible()
    expect(log).not_to_contain_text("line 150")
    log.evaluate("log => log.scrollTop = log.scrollHeight")
    expect(log).to_contain_text("line 150")


def test_hostile_logs_are_text(page: Page, server: ApiServer, logs: Kubelet) -> None:
    began(server, logs, "hostile", HOSTILE, "10 %\r60 %\r100 %\r", "x" * 3_000_000)
    training(page, "hostile")
    log = page.get_by_role("region", name="Log", exact=True)
    # The last line alone is longer than what is read: its beginning is what there is.
    expect(log).to_have_text(re.compile("^x+$"))
    assert log.evaluate("log => log.textContent.length") <= 64 * 1024
    logs.removes("hostile-0")
    logs.says("hostile-0", HOSTILE, "10 %\r60 %\r100 %\r")
    expect(log).to_contain_text("100 %")
    assert log.text_content() == (
        '</pre><img src=x onerror="alert(1)"><script>alert(2)</script>\ufffd\ufffdevil\n100 %\n'
    )
    assert page.locator("img").count() == 0


def test_of_several_attempts_each_log_can_be_seen(watching: Dashboard, server: ApiServer, logs: Kubelet) -> None:
    create(server, "again")
    for pod in ("again-0", "again-1"):
        runs(server, logs, pod)
        logs.says(pod, f"I am {pod}")
    ended = attempt("again-0", "Failed", reason="Error", exitCode=1)
    stands(server, "again", phase="Running", attempts=[ended, attempt("again-1")])
    assert said(watching, "again", "I am")["text"] == "I am again-1\n"
    assert said(watching, "again", "I am", pod="again-0")["text"] == "I am again-0\n"
    assert "I am again-0" in watching.get(f"/trainings/{NAMESPACE}/again", pod="again-0").text
    for path in (f"/trainings/{NAMESPACE}/again", f"/api/v1/trainings/{NAMESPACE}/again/log"):
        assert watching.get(path, pod="hostile-0").status == 404
        assert watching.get(path, pod="../../x").status == 422


def test_after_the_end_the_log_is_mlflows(watching: Dashboard, server: ApiServer, mlflow: MlflowRest) -> None:
    client = MlflowClient(mlflow.url)
    run_id = client.create_run("0").info.run_id
    client.log_text(run_id, "kept <b>for ever</b>\n", "runyard/log-over-0.txt")
    client.set_terminated(run_id)
    create(server, "over")
    ended = attempt("over-0", "Succeeded", runId=run_id, recordedAt="2026-01-02T03:05:05Z")
    stands(server, "over", phase="Succeeded", attempts=[ended], tracking={"runId": run_id})
    told = said(watching, "over", "kept")
    assert (told["text"], told["isFinal"]) == ("kept <b>for ever</b>\n", True)
    assert "runyard/log-over-0.txt" in told["says"]
    assert "kept &lt;b&gt;for ever&lt;/b&gt;" in watching.get(f"/trainings/{NAMESPACE}/over").text


def test_a_log_that_cannot_be_read_is_told_in_words(watching: Dashboard, server: ApiServer, logs: Kubelet) -> None:
    create(server, "early")
    wait_for("it is seen", lambda: watching.get(f"/trainings/{NAMESPACE}/early").status == 200)
    assert said(watching, "early", "No attempt")["says"] == "No attempt has begun yet."
    stands(server, "early", phase="Failed", attempts=[attempt("early-0", "Failed", reason="PodDeleted")])
    told = said(watching, "early", "cannot be read")
    assert 'pods "early-0" not found' in told["says"]
    assert "has not stored it in MLflow yet" in told["says"]
    # A node whose kubelet is gone: what was read before stays.
    pod = began(server, logs, "lonely", "the last words")
    said(watching, "lonely", "the last words")
    status = logs.node("x")["status"] | {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}
    stands(server, f"node-of-{pod}", "node", **status)
    told = said(watching, "lonely", "cannot be read")
    assert told["text"] == "the last words\n"


@pytest.mark.parametrize("allowed", [False, True])
def test_with_the_charts_rights_logs_are_shown_where_told(
    server: ApiServer, logs: Kubelet, mlflow: MlflowRest, tmp_path: Path, *, allowed: bool
) -> None:
    name = f"secret-{allowed}".lower()
    began(server, logs, name, "s3cret")
    chart = render(settings=[f"dashboard.logs={str(allowed).lower()}"])
    mine = tmp_path / "kubeconfig"
    rules = chart.one("ClusterRole", "runyard-runyard-dashboard")["rules"]
    mine.write_text(kubeconfig(server.url, token(server, f"reader-{name}", rules)))
    with dashboard(mlflow.url, "--cluster", f"--namespace={NAMESPACE}", "-n=team-b", KUBECONFIG=str(mine)) as started:
        told = said(started, name, "s3cret" if allowed else "cannot be read")
        page = started.get(f"/trainings/{NAMESPACE}/{name}")
        assert (page.status, "s3cret" in page.text) == (200, allowed)
        if not allowed:
            assert told["text"] == ""
            assert 'cannot get resource "pods/log"' in told["says"]
            assert "cannot get resource &#34;pods/log&#34;" in page.text


def test_a_queue_is_counted_by_age(watching: Dashboard, server: ApiServer) -> None:
    for name in ("first", "second", "third"):
        create(server, f"queued-{name}", queueName="gpus")
        stands(server, f"queued-{name}", phase="Queued")
        # Ages are in seconds.
        wait_for("a second is over", partial(is_older, server, f"queued-{name}"))
    create(server, "queued-elsewhere", queueName="cpus")
    stands(server, "queued-elsewhere", phase="Queued")

    def places() -> Any:
        listed = {each["name"]: each["place"] for each in watching.api("/trainings")["trainings"]}
        return listed if listed.get("queued-elsewhere") else None

    told = wait_for("all are seen", places)
    assert told["queued-third"] == {"number": 3, "of": 3}
    assert told["queued-elsewhere"] == {"number": 1, "of": 1}
    assert told["live"] is None
    assert "gpus, 3 of 3 that wait" in watching.get(f"/trainings/{NAMESPACE}/queued-third").text
    stands(server, "queued-first", phase="Running")
    moved = wait_for("one has begun", lambda: (now := places()) and now["queued-third"]["of"] == 2 and now)
    assert (moved["queued-first"], moved["queued-second"]["number"]) == (None, 1)


def is_older(server: ApiServer, name: str) -> bool:
    made = datetime.fromisoformat(found(server, name)["metadata"]["creationTimestamp"])
    return datetime.now(UTC) >= made + timedelta(seconds=1)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_for_everybody(
    page: Page, server: ApiServer, logs: Kubelet, mlflow: MlflowRest, width: int
) -> None:
    name = f"for-all-{width}"
    run_id = loss(mlflow, 20)
    began(server, logs, name, *(f"epoch {number}: loss {1 / (number + 1):.4f}" for number in range(40)))
    stands(server, name, message="in its first attempt", tracking={"runId": run_id})
    page.set_viewport_size({"width": width, "height": 900})
    training(page, name)
    expect(page.locator("figure canvas").first).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        page.screenshot(path=SCREENSHOTS / f"training-{width}-{scheme}.png", full_page=True)
        page.evaluate(AXE)
        serious = page.evaluate(
            "axe.run().then(found => found.violations.filter(each => ['serious', 'critical'].includes(each.impact))"
            ".map(each => [each.id, each.nodes.map(node => node.html.slice(0, 200))]))"
        )
        assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
