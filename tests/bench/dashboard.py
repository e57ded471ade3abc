"""How fast the dashboard's pages are, and how much memory it takes, before a server with very many runs.

    python -m tests.bench.dashboard --runs 10000 --metrics 50
    python -m tests.bench.dashboard --runs 100000 --metrics 4

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels import models
from playwright.sync_api import Browser
from sqlalchemy import create_engine, insert

from runyard.explanation import Explanation
from tests.dashboard.bed import Dashboard, dashboard
from tests.support.chromium import chromium
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for

FIRST_MS = 1_700_000_000_000
PER_INSERT = 500
MODELS = 20
# An audit reads a folder of artifacts of each run: of very many that takes longer than anybody measures.
AUDITED = 100
ROWS, FEATURES = 1_000, 30
# Of the metrics, those that are gaps between groups.
GAPS = ("fairness.sex.accuracy_difference", "fairness.sex.selection_rate_difference")


def names_of(metrics: int) -> list[str]:
    """Return the names of metrics, the last two of which are gaps where there are more than three."""
    plain = metrics - len(GAPS) if metrics > len(GAPS) + 1 else metrics
    return [f"m{number}" for number in range(plain)] + list(GAPS[: metrics - plain])


def pages(metrics: int, run_id: str, other_id: str) -> dict[str, str]:
    """Return what is timed: each page, as the table in docs/dashboard.md calls it."""
    last = len([name for name in names_of(metrics) if name not in GAPS]) - 1
    by, than = f"m{min(7, last)}", f"m{min(3, last)}"
    return {
        "experiments": "/",
        "runs": "/runs",
        "runs of one, by a metric": f"/runs?experiment=many&sort=metrics.{by}",
        "runs with a condition": f"/runs?where=metrics.{than}+>+0.9+%26%26+params.depth+%3D%3D+'7'",
        "page 100 of runs": "/runs?page=100",
        "compare an experiment": f"/compare?experiment=many&metric={by}",
        "compare, no metric given": "/compare?experiment=many",
        "a run": f"/runs/{run_id}",
        "explain": f"/runs/{run_id}/explain",
        "explain, two runs": f"/runs/{run_id}/explain?beside={other_id}",
        "fairness of an experiment": "/fairness?experiment=many",
        "models": "/models",
        "a model": "/model?name=model-7",
        "trust": "/trust?experiment=few&days=0",
        "explain, what features do": f"/api/v1/runs/{run_id}/explanation/figures/swarm",
        "the API, 500 runs": "/api/v1/runs?limit=500",
    }


def write(database: str, experiment: str, runs: int, metrics: int) -> list[str]:
    """Write runs into MLflow's tables; return their IDs."""
    generator = random.Random(0)  # noqa: S311 nothing is kept secret by it
    ids = [f"{int(experiment):04x}{number:028x}" for number in range(runs)]
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
                for metric in names_of(metrics):
                    values = {"key": metric, "value": generator.random(), "timestamp": start}
                    rows[models.SqlLatestMetric].append({"run_uuid": run_id, "step": 0, "is_nan": False, **values})
            for table, found in rows.items():
                connection.execute(insert(table), found)
    return ids


def explain(server: MlflowRest, run_id: str) -> None:
    """Log SHAP values to a run, as an evaluation does."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(ROWS, FEATURES, 1))
    base = np.full((ROWS, 1), 0.5)
    explanation = Explanation(
        shap_values=values,
        base_values=base,
        outputs=base + values.sum(axis=1),
        data=generator.normal(size=(ROWS, FEATURES)),
        features=[f"feature {number}" for number in range(FEATURES)],
        output_names=["yes"],
        rows=[str(number) for number in range(ROWS)],
        places=list(range(ROWS)),
        unit="probability",
        explainer="TreeExplainer",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shap.npz"
        path.write_bytes(explanation.to_bytes())
        MlflowClient(server.url).log_artifact(run_id, str(path), "evaluation")


def register(server: MlflowRest, run_ids: Sequence[str]) -> None:
    """Register a model for each of some runs, with a champion."""
    client = MlflowClient(server.url)
    for number, run_id in enumerate(run_ids):
        name = f"model-{number}"
        client.create_registered_model(name)
        client.create_model_version(name, f"runs:/{run_id}/model", run_id, await_creation_for=0)
        client.set_registered_model_alias(name, "champion", "1")


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


def audited(found: Dashboard) -> bool:
    """Whether the audit that Trust shows has been taken."""
    return not found.api("/audit", experiment="few", days="0")["isGoingOn"]


def mlflows_own(server: MlflowRest, experiment: str, runs: int) -> float:
    """Return how long MLflow itself takes for the hundred best by a metric, in milliseconds."""
    began = time.perf_counter()
    body = {"experiment_ids": [experiment], "order_by": ["metrics.m0 DESC"], "max_results": 100}
    assert len(server.call("mlflow/runs/search", body)["runs"]) == min(100, runs)
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
        if len(ids) < count:
            continue
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
    if asked.runs < MODELS or asked.metrics < 1:
        parser.error(f"--runs is at least {MODELS}, and --metrics 1")
    with tempfile.TemporaryDirectory() as folder, mlflow_server(None, Path(folder)) as server:
        client = MlflowClient(server.url)
        experiment, few = (client.create_experiment(name) for name in ("many", "few"))
        ids = write(f"sqlite:///{folder}/mlflow.db", experiment, asked.runs, asked.metrics)
        write(f"sqlite:///{folder}/mlflow.db", few, AUDITED, asked.metrics)
        for run_id in ids[7:9]:
            explain(server, run_id)
        register(server, ids[:MODELS])
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
            began = time.monotonic()
            wait_for("the audit", lambda: audited(found), timeout_seconds=600, poll_seconds=0.2)
            say(f"{AUDITED} runs audited in {time.monotonic() - began:.1f} s")
            with chromium() as browser:
                for name, path in pages(asked.metrics, ids[7], ids[8]).items():
                    taken = sorted(measure(found, path, asked.times))
                    p95 = taken[math.ceil(0.95 * len(taken)) - 1]
                    painted = f"{first_paint(browser, found.url + path):6.0f} ms"
                    say(f"{name:28} median {statistics.median(taken):6.0f} ms   p95 {p95:6.0f} ms   painted {painted}")
                say(f"{'memory':28} {resident_mib(found.process.pid):6.0f} MiB")
                say(f"{'MLflow: 100 best by a metric':28} {mlflows_own(server, experiment, asked.runs):6.0f} ms")
                side_by_side(browser, found, server, experiment, ids)


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
