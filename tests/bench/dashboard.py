"""How fast the dashboard's pages are, and how much memory it takes, before a server with very many runs.

    python -m tests.bench.dashboard --runs 10000 --metrics 50

writes the runs into the tables of MLflow's SQLite, since its client would take an hour, starts an MLflow server and a
dashboard as a person does, and prints the times of pages: from the request to the last byte, and in Chromium to the
first paint; and those of the page on which MLflow compares the same runs.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels import models
from playwright.sync_api import Browser
from sqlalchemy import create_engine, insert

from tests.dashboard.bed import Dashboard, dashboard
from tests.support.chromium import chromium
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for

FIRST_MS = 1_700_000_000_000
PER_INSERT = 500
PAGES = {
    "experiments": "/",
    "runs": "/runs",
    "runs of one, by a metric": "/runs?experiment=many&sort=metrics.m7",
    "runs with a condition": "/runs?where=metrics.m3+>+0.9+%26%26+params.depth+%3D%3D+'7'",
    "page 100 of runs": "/runs?page=100",
    "compare an experiment": "/compare?experiment=many&metric=m7",
    "the API, 500 runs": "/api/v1/runs?limit=500",
}


def write(database: str, experiment: str, runs: int, metrics: int) -> list[str]:
    """Write runs into MLflow's tables; return their IDs."""
    generator = random.Random(0)  # noqa: S311 nothing is kept secret by it
    ids = [f"{number:032x}" for number in range(runs)]
    with create_engine(database).begin() as connection:
        for begin in range(0, runs, PER_INSERT):
            part = list(enumerate(ids))[begin : begin + PER_INSERT]
            rows: dict[Any, list[dict[str, Any]]] = {models.SqlRun: [], models.SqlParam: [], models.SqlLatestMetric: []}
            for number, run_id in part:
                start = FIRST_MS + number * 60_000
                rows[models.SqlRun].append(
                    {
                        "run_uuid": run_id,
                        "name": f"run-{number}",
                        "experiment_id": int(experiment),
                        "status": "FINISHED",
                        "start_time": start,
                        "end_time": start + 30_000,
                        "lifecycle_stage": "active",
                        "artifact_uri": f"mlflow-artifacts:/{experiment}/{run_id}/artifacts",
                        "source_type": "UNKNOWN",
                        "user_id": "ada",
                    }
                )
                for key, value in (("depth", number % 12), ("rate", 10 ** -(number % 5)), ("seed", number)):
                    rows[models.SqlParam].append({"run_uuid": run_id, "key": key, "value": str(value)})
                for metric in range(metrics):
                    values = {"key": f"m{metric}", "value": generator.random(), "timestamp": start}
                    rows[models.SqlLatestMetric].append({"run_uuid": run_id, "step": 0, "is_nan": False, **values})
            for table, found in rows.items():
                connection.execute(insert(table), found)
    return ids


def resident_mib(process: int) -> float:
    """Return how much memory a process has, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measure(found: Dashboard, path: str, times: int) -> list[float]:
    """Return how long a page took, several times, in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = found.get(path)
        taken.append(1000 * (time.perf_counter() - began))
        assert answer.status == 200, answer.text[:500]
    return taken


def mlflows_own(server: MlflowRest, experiment: str) -> float:
    """Return how long MLflow itself takes for the hundred best by a metric, in milliseconds."""
    began = time.perf_counter()
    body = {"experiment_ids": [experiment], "order_by": ["metrics.m7 DESC"], "max_results": 100}
    assert len(server.call("mlflow/runs/search", body)["runs"]) == 100
    return 1000 * (time.perf_counter() - began)


def first_paint(browser: Browser, url: str) -> float:
    """Return when something is to be seen of a page, for somebody who comes for the first time; in milliseconds."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        painted = "performance.getEntriesByName('first-contentful-paint').map((each) => each.startTime)"
        return float(wait_for("something is to be seen", lambda: page.evaluate(painted) or None)[0])


def compared(browser: Browser, url: str, shows: str) -> float:
    """Return when a comparison is to be seen, in milliseconds from when it was asked for."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        began = time.perf_counter()
        page.goto(url)
        # What is drawn below what is to be seen waits until somebody comes there.
        if page.locator("figure").count():
            page.locator("figure").first.scroll_into_view_if_needed()
        page.locator(shows).first.wait_for(timeout=120_000)
        return 1000 * (time.perf_counter() - began)


def side_by_side(browser: Browser, found: Dashboard, server: MlflowRest, experiment: str, ids: list[str]) -> None:
    """Time the pages of both that compare the same runs: until their first chart is drawn."""
    for count in (20, 100):
        chosen = ids[:count]
        ours = f"{found.url}/compare?{'&'.join(f'run={run_id}' for run_id in chosen)}"
        asked = urllib.parse.urlencode({"runs": json.dumps(chosen), "experiments": json.dumps([experiment])})
        theirs = f"{server.url}/#/compare-runs?{asked}"
        times = [
            statistics.median(compared(browser, url, shows) for _ in range(3))
            for url, shows in ((ours, "figure canvas"), (theirs, ".js-plotly-plot .main-svg"))
        ]
        say(f"{count} runs compared               {times[0]:6.0f} ms   MLflow's own {times[1]:6.0f} ms")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=50)
    parser.add_argument("--times", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, mlflow_server(None, Path(folder)) as server:
        experiment = MlflowClient(server.url).create_experiment("many")
        ids = write(f"sqlite:///{folder}/mlflow.db", experiment, asked.runs, asked.metrics)
        with dashboard(server.url) as found:
            began = time.monotonic()
            first = measure(found, "/", 1)[0]

            def whole() -> float | None:
                state = found.api("/state")
                return time.monotonic() - began if state["isWhole"] else None

            took = wait_for("all runs were read", whole, timeout_seconds=3600, poll_seconds=1)
            say(
                f"{asked.runs} runs of {asked.metrics} metrics; the first page {first:.0f} ms, all read in {took:.0f} s"
            )
            with chromium() as browser:
                for name, path in [*PAGES.items(), ("a run", f"/runs/{ids[7]}")]:
                    taken = sorted(measure(found, path, asked.times))
                    p95 = taken[math.ceil(0.95 * len(taken)) - 1]
                    painted = f"{first_paint(browser, found.url + path):6.0f} ms"
                    say(f"{name:28} median {statistics.median(taken):6.0f} ms   p95 {p95:6.0f} ms   painted {painted}")
                say(f"{'memory':28} {resident_mib(found.process.pid):6.0f} MiB")
                say(f"{'MLflow: 100 best by a metric':28} {mlflows_own(server, experiment):6.0f} ms")
                side_by_side(browser, found, server, experiment, ids)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
