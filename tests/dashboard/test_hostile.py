"""What somebody wrote who means harm: HTML, ways out of a folder, and ten megabytes where a word is meant."""

import http.client
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from mlflow import MlflowClient

from tests.dashboard.bed import FIRST_MS, HOSTILE, MINUTE_MS, Answer, Dashboard, dashboard
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for
from tests.support.web import QuietHandler, serving

# MLflow takes no slash in it.
MODEL = '"><img src=x onerror=alert(1)>{{7*7}}'
BIG = HOSTILE + "x" * (10 * 1024 * 1024)
# What no page and no answer is longer than, before it is compressed.
MOST_BYTES = 2 * 1024 * 1024
# What the chart gives it.
MOST_MIB = 1024
# Python's reader of CSV takes 128 KiB of a cell.
LONG = "x" * 100_000
# As they lie in a store that somebody else may write to.
ASTRAY = ["..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fpasswd", "roc#curve.csv"]
NAMES = [
    "<img src=x onerror=alert(1)>.csv",
    '"><script>alert(2)<script>.html',
    "..\\..\\windows",
    "-" * 255,
]


@dataclass(frozen=True)
class Harm:
    """Where it was done.

    Attributes:
        server: the MLflow.
        run: of which all is hostile.
        other: an honest one.
        home: the folder of the MLflow.

    """

    server: MlflowRest
    run: str
    other: str
    home: Path


@pytest.fixture(scope="module")
def harm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harm]:
    home = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(None, home) as server:
        client = MlflowClient(server.url)
        experiment = client.create_experiment(HOSTILE)
        made, other = (
            client.create_run(experiment, start_time=FIRST_MS, run_name=name).info.run_id
            for name in (HOSTILE, "honest")
        )
        for run_id in (made, other):
            client.log_metric(run_id, "auc", 0.5)
            client.log_metric(run_id, "fairness.sex.accuracy_difference", 0.2)
            client.log_metric(run_id, "fairness.sex.demographic_parity_difference", 0.2)
            client.log_param(run_id, "depth", HOSTILE if run_id == made else 3)
            client.set_tag(run_id, "hostile", HOSTILE)
            client.set_terminated(run_id, "FINISHED", FIRST_MS + MINUTE_MS)
        client.create_registered_model(MODEL, description=HOSTILE, tags={"hostile": HOSTILE})
        client.create_model_version(MODEL, f"runs:/{made}/model", made, description=HOSTILE)
        client.set_registered_model_alias(MODEL, "champion", "1")
        past_mlflow(home, made)
        yield Harm(server, made, other, home)


def past_mlflow(home: Path, run_id: str) -> None:
    """Write into MLflow's store what MLflow itself would refuse."""
    with sqlite3.connect(home / "mlflow.db", timeout=60) as store:
        store.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (BIG, run_id))
        for table, key, value in (
            ("params", "big", BIG),
            ("params", f"param {BIG}", "1"),
            ("tags", "big", BIG),
            ("tags", f"tag {BIG}", "1"),
            ("tags", "mlflow.source.git.commit", LONG),
            ("tags", "runyard.dev/fingerprint", LONG),
            ("tags", "runyard.dev/outcome", LONG),
            ("tags", "runyard.dev/reason", LONG),
        ):
            store.execute(f"INSERT INTO {table} (run_uuid, key, value) VALUES (?, ?, ?)", (run_id, key, value))  # noqa: S608
        store.execute(
            "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, 1, 0, 0, 0)",
            (run_id, f"metric {BIG}"),
        )
    folder = evaluation(home, run_id)
    for name in NAMES:
        (folder / name).write_text(BIG if name == NAMES[0] else "x")
    files = {
        "roc_curve.csv": BIG,
        "confusion_matrix.csv": f"true,{LONG}\n" + "a,1\n" * 90_000,
        "feature_importance.csv": f"feature,importance,kind\n{LONG},1,{HOSTILE}\n",
        "fairness_sex.csv": f"group,count,accuracy\n{HOSTILE.replace(',', '')},1,0.5\n{LONG},1,0.5\n",
        "thresholds_sex.csv": by_threshold(),
        "evaluation.json": json.dumps({"left_out": {"shap": BIG}}),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "shap.npz").write_bytes(bomb())


def by_threshold() -> str:
    """As many groups and thresholds as there may be, each with a name that is as long as it can be."""
    head = "group,threshold,own,score,count,accuracy,true_positive_rate,false_positive_rate,selection_rate"
    name = HOSTILE.replace('"', "").replace(",", "")
    rows = (f"{name}{'x' * 500}{group},{at},0,decision,9,0.5,,1,0.5" for group in range(50) for at in range(102))
    return "\n".join([head, *rows])


def evaluation(home: Path, run_id: str) -> Path:
    """The folder where MLflow keeps what a run's evaluation logged; the experiment is the server's first."""
    folder = home / "artifacts" / "1" / run_id / "artifacts" / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bomb() -> bytes:
    """A small archive of a gigabyte of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 27, 1, 1)})
        with archive.open("shap_values.npy", "w", force_zip64=True) as entry:
            entry.write(header.getvalue())
            for _ in range(64):
                entry.write(b"\0" * (1 << 24))
    return out.getvalue()


@pytest.fixture(scope="module")
def site(harm: Harm) -> Iterator[Dashboard]:
    with dashboard(harm.server.url, patience="30") as started:
        wait_for("all is read", lambda: is_whole(started), timeout_seconds=300)
        yield started


def is_whole(started: Dashboard) -> bool:
    answer = started.get("/api/v1/state")
    return answer.status == 200 and answer.json()["isWhole"]


class Inert(HTMLParser):
    """Fails where a page has what a browser would run, or a link to elsewhere than MLflow's own pages."""

    def __init__(self, mlflow: str) -> None:
        super().__init__()
        self._runs = f"{mlflow}/#/experiments/"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"img", "iframe", "object", "embed"}, (tag, attrs)
        named = dict(attrs)
        assert not [name for name in named if name.startswith("on")], (tag, attrs)
        if tag == "script":
            assert (named.get("src") or "").startswith("/static/app.js?v=")
        for name in ("href", "src", "action"):
            link = named.get(name) or ""
            assert urlsplit(link).scheme == "" or (tag == "a" and link.startswith(self._runs)), (tag, attrs)


PAGES = [
    "/",
    "/runs",
    "/runs?column=params.big&column=tags.big",
    "/runs/{run}",
    "/runs/{run}/explain",
    "/compare?run={run}&run={other}&all=true",
    "/fairness?run={run}&run={other}&threshold=1e308",
    "/models",
    f"/model?name={quote(MODEL)}",
    "/trust",
]
ANSWERS = [
    "/experiments",
    "/runs?limit=500",
    "/runs/{run}",
    "/compare?run={run}&run={other}",
    "/runs/{run}/explanation",
    "/fairness/gaps?run={run}",
    "/fairness/groups?run={run}&by=sex",
    "/fairness/thresholds/rates?run={run}&by=sex&threshold=-1e308",
    "/fairness/thresholds/gaps?run={run}&by=sex",
    "/fairness/thresholds/chosen?run={run}&run={other}&by=sex&threshold=3",
    "/models",
    *(
        f"/compare/figures/{name}?run={{run}}&run={{other}}"
        for name in ("parallel", "scatter", "roc_curve", "confusion_matrix", "feature_importance", "folds", "course")
    ),
]


def small(site: Dashboard, answer: Answer) -> None:
    assert answer.status < 500, answer.text[:500]
    assert len(answer.body) < MOST_BYTES
    peak = int(Path(f"/proc/{site.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    assert peak < MOST_MIB


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_what_is_hostile_is_inert_and_small(site: Dashboard, harm: Harm, path: str) -> None:
    answer = site.get(path.replace("{run}", harm.run).replace("{other}", harm.other))
    small(site, answer)
    assert HOSTILE not in answer.text
    assert MODEL not in answer.text
    Inert(harm.server.url).feed(answer.text)


@pytest.mark.parametrize("path", ANSWERS)
def test_an_answer_of_what_is_hostile_is_json_and_small(site: Dashboard, harm: Harm, path: str) -> None:
    answer = site.get(f"/api/v1{path.format(run=harm.run, other=harm.other)}")
    small(site, answer)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    answer.json()


def test_names_of_files_are_names(site: Dashboard, harm: Harm) -> None:
    listed = site.api(f"/runs/{harm.run}")["artifacts"]
    assert {f"evaluation/{name}" for name in NAMES} <= set(listed)
    assert not [path for path in listed if path.startswith("/") or ".." in path.split("/")]


@pytest.mark.parametrize("name", ASTRAY)
def test_a_name_that_leads_elsewhere_is_refused_in_words(harm: Harm, site: Dashboard, name: str) -> None:
    folder = evaluation(harm.home, harm.other)
    (folder / name).write_text("secret")
    try:
        answer = site.get(f"/api/v1/runs/{harm.other}")
        assert (answer.status, "a name that MLflow's client does not take" in answer.json()["detail"]) == (422, True)
        page = site.get(f"/runs/{harm.other}")
        assert page.status == 200
        assert "a name that MLflow&#39;s client does not take" in page.text
        assert site.figure("roc_curve", run=harm.other)["rows"] == []
    finally:
        (folder / name).unlink()


HONEST = {"path": "honest.txt", "is_dir": False, "file_size": 10}
LYING = [
    ({"path": "../../../../etc", "is_dir": True}, 422),
    ({"path": "/etc/passwd", "is_dir": False, "file_size": 10}, 422),
    ({"path": "evaluation/../../secret.csv", "is_dir": False, "file_size": 10}, 422),
    ({"path": ".", "is_dir": True}, 200),
    ({"path": "", "is_dir": True}, 200),
    ({"path": "elsewhere/etc/shap.npz", "is_dir": False, "file_size": 10}, 200),
]


def test_a_server_that_names_files_elsewhere_is_not_followed_there(harm: Harm) -> None:
    theirs = urlsplit(harm.server.url)
    asked: list[str] = []
    files: list[object] = []

    class Liar(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 the library calls it so
            asked.append(self.path)
            if "artifacts" in self.path:
                status, body = 200, json.dumps({"root_uri": "mlflow-artifacts:/", "files": files}).encode()
            else:
                connection = http.client.HTTPConnection(str(theirs.hostname), theirs.port, timeout=30)
                given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                connection.request(self.command, self.path, given, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
                connection.close()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

    with serving(Liar) as address, dashboard(address) as started:
        wait_for("it is read", lambda: started.get(f"/api/v1/runs/{harm.other}").status == 200, timeout_seconds=60)
        for lie, status in LYING:
            files[:] = [lie, HONEST]
            answer = started.get(f"/api/v1/runs/{harm.other}")
            assert answer.status == status, (lie, answer.text)
            assert status != 200 or answer.json()["artifacts"] == ["honest.txt"]
    # The run's own folder was listed, and nothing that was named led anywhere.
    lists = {path for path in asked if "artifacts" in path}
    assert not [path for path in lists if "etc" in path or "secret" in path or ".." in path], lists
