"""A store of 1,000 runs that are counted by hand: written into MLflow's tables, since its client takes a minute."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels import models
from sqlalchemy import create_engine, insert, update

from runyard.tracking import ARTIFACT_ROOT_VARIABLE

FIRST_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
MINUTE, DAY = 60_000, 86_400_000
FINISHED, FAILED, RUNNING = "FINISHED", "FAILED", "RUNNING"
LOG, MANIFEST, PROVENANCE = "runyard/log-pod.txt", "runyard/trainingrun.yaml", "runyard/provenance.json"
REQUIRES = "spec: {tracking: {requireModel: true, requireMetrics: [accuracy, auc]}}\n"
MODEL = {"mlflow.log-model.history": '[{"artifact_path": "model"}]'}
RECORD = {
    "code": {"commit": "1" * 40},
    "packages": {"numpy": "2.4.6"},
    "seeds": {"random_state": "0"},
    "datasets": {"heart": "sha256:" + "1" * 64},
}


@dataclass
class Row:
    """A run to be written."""

    name: str
    experiment: str = "heart"
    status: str = FINISHED
    begins: int = 0  # minutes after the first
    seconds: int = 60
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        self.id = self.name.encode().hex().zfill(32)[-32:]


@dataclass(frozen=True)
class Seeded:
    """The store."""

    folder: Path
    rows: list[Row]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"


def whole(name: str, number: int = 0, **more: Any) -> Row:
    """Return a run that lacks nothing: of a TrainingRun that succeeded, with provenance."""
    tags = {
        "mlflow.source.git.commit": "1" * 40,
        "runyard.dev/uncommitted": "false",
        "runyard.dev/fingerprint": f"sha256:{name}",
        **of_pod(name),
        **more.pop("tags", {}),
    }
    files = {LOG: "done\n", MANIFEST: "spec: {}\n", PROVENANCE: json.dumps(RECORD), **more.pop("files", {})}
    metrics = more.pop("metrics", {"accuracy": 0.9, "loss": 0.1})
    row = Row(name, params={"depth": "3"}, metrics=metrics, tags=tags, files=files, begins=number, **more)
    row.tags = {key: value for key, value in row.tags.items() if value}
    row.files = {path: content for path, content in row.files.items() if content}
    return row


def of_pod(pod: str, outcome: str = "Succeeded") -> dict[str, str]:
    return {"runyard.dev/uid": f"uid-{pod}", "runyard.dev/pod": f"pod-{pod}", "runyard.dev/outcome": outcome}


def below(parent: Row) -> dict[str, str]:
    identity = {name: value for name, value in parent.tags.items() if name in {"runyard.dev/uid", "runyard.dev/pod"}}
    return {**identity, "mlflow.parentRunId": parent.id, "runyard.dev/outcome": "Succeeded"}


def rows() -> list[Row]:
    """Return 1,000 runs: 800 that lack nothing but what the first five are given, and 200 others."""
    found = [whole(f"whole-{number}", number) for number in range(800)]
    unseeded = json.dumps({**RECORD, "seeds": {}, "datasets": {}})
    found[0].files = {**found[0].files, PROVENANCE: unseeded}
    found[1].files = {**found[1].files, PROVENANCE: unseeded}
    found[2].files = {**found[2].files, PROVENANCE: "{"}
    for row in found[3:103]:
        row.files = {**row.files, MANIFEST: REQUIRES}
        row.metrics = {**row.metrics, "auc": 0.95}
        row.tags = {**row.tags, **MODEL}
    return [*found, *bare(), *grids(), *failed(), *repeated(), *again(found), *lacking(), *assigned(), *going_on()]


def bare() -> Iterator[Row]:
    """60 scripts without Runyard: 20 in a repository, 10 that log a seed, 4 no parameters, 3 no metrics."""
    for number in range(60):
        yield Row(
            f"bare-{number}",
            "wine",
            params={} if number < 4 else {"random_state" if number < 14 else "rate": "0"},
            metrics={} if number >= 57 else {"accuracy": 0.8},
            tags={"mlflow.source.git.commit": "2" * 40} if number < 20 else {},
            begins=number,
        )


def grids() -> Iterator[Row]:
    """Two grids of 20; parameters and metrics are the children's, and one child of the second has no metrics."""
    for grid in range(2):
        parent = whole(f"grid-{grid}", experiment="wine", metrics={}, tags={"runyard.dev/pod": f"pod-grid-{grid}"})
        parent.params = {}
        yield parent
        for number in range(20):
            metrics = {} if (grid, number) == (1, 7) else {"accuracy": 0.8}
            yield Row(
                f"grid-{grid}-{number}", "wine", params={"depth": "3"}, metrics=metrics, tags=below(parent), begins=1
            )


def failed() -> Iterator[Row]:
    """20 that failed, made of what others were made of; of 5 there is no log."""
    for number in range(20):
        tags = {"runyard.dev/outcome": "Failed", "runyard.dev/fingerprint": f"sha256:whole-{number}"}
        yield whole(f"failed-{number}", status=FAILED, tags=tags, files={LOG: "" if number < 5 else "out of memory\n"})


def repeated() -> Iterator[Row]:
    """Ten experiments done three times, three days later; in three the metrics differ."""
    for number in range(30):
        metrics = {"accuracy": 0.9 + (number if number <= 3 else 0) / 100, "system/cpu": number}
        tags = {"runyard.dev/fingerprint": f"sha256:three-{number % 10}"}
        yield whole(f"three-{number}", 3 * 24 * 60 + number, tags=tags, metrics=metrics)


def again(earlier: Sequence[Row]) -> Iterator[Row]:
    """Five earlier results asked for again: one the same, one at the second try, one not, one going on, one retried."""

    def one(name: str, of: int, verdict: str, seconds: int, **more: Any) -> Row:
        tags = {
            "runyard.dev/reproduces": earlier[of].id,
            "runyard.dev/verdict": verdict,
            "runyard.dev/fingerprint": f"sha256:whole-{of}",
            **more.pop("tags", {}),
        }
        return whole(name, seconds=seconds, tags=tags, **more)

    first = one("again-0", 10, "Reproduced", 600)
    yield first
    child = {**below(first), "runyard.dev/reproduces": earlier[10].id}
    yield Row("again-0-child", params={"fold": "1"}, metrics={"accuracy": 0.9}, tags=child)
    yield one("again-1", 11, "Differs", 1200)
    yield one("again-2", 11, "Reproduced", 1800)
    yield one("again-3", 12, "Differs", 2400, tags={"runyard.dev/greatest-difference": "0.25"})
    yield one("again-4", 13, "", 0, status=RUNNING)
    uid = {"runyard.dev/uid": "uid-retried"}
    yield one("again-5", 14, "", 60, status=FAILED, tags={**uid, "runyard.dev/outcome": "Failed"})
    yield one("again-6", 14, "Reproduced", 3000 - 120, number=2, tags=uid)


def lacking() -> Iterator[Row]:
    """10 that succeeded: of 3 the manifest is gone, of 2 the outcome, 2 want a model and 3 a metric, in vain."""
    for number in range(10):
        if number < 3:
            yield whole(f"lacking-{number}", files={MANIFEST: ""})
        elif number < 5:
            yield whole(f"lacking-{number}", tags={"runyard.dev/outcome": ""})
        elif number < 7:
            yield whole(f"lacking-{number}", files={MANIFEST: REQUIRES}, metrics={"accuracy": 0.9, "auc": 0.9})
        else:
            yield whole(f"lacking-{number}", files={MANIFEST: REQUIRES}, tags=MODEL)


def assigned() -> Iterator[Row]:
    """One run for all pods, with two children; and a pod whose first run is in another experiment than its last."""
    parent = whole("assigned", tags={"runyard.dev/pod": "", "runyard.dev/made": "assigned"})
    yield parent
    for number in range(2):
        tags = {**below(parent), "runyard.dev/pod": f"pod-assigned-{number}"}
        yield Row(f"assigned-{number}", params={"rank": "0"}, metrics={"loss": 0.1}, tags=tags)
    one = whole("astray", experiment="away")
    one.files = {PROVENANCE: json.dumps(RECORD)}
    yield one
    yield whole("at-home", 1, experiment="other", tags={**of_pod("astray")})


def going_on() -> Iterator[Row]:
    for number in range(25):
        yield whole(
            f"going-on-{number}", status=RUNNING, files={LOG: "", MANIFEST: ""}, tags={"runyard.dev/outcome": ""}
        )


@contextmanager
def seeded(folder: Path) -> Iterator[Seeded]:
    """Write the store."""
    before = os.environ.get(ARTIFACT_ROOT_VARIABLE)
    os.environ[ARTIFACT_ROOT_VARIABLE] = (folder / "artifacts").as_uri()
    try:
        store = Seeded(folder, rows())
        _write(store)
        yield store
    finally:
        os.environ.pop(ARTIFACT_ROOT_VARIABLE)
        if before is not None:
            os.environ[ARTIFACT_ROOT_VARIABLE] = before


def _write(store: Seeded) -> None:
    client = mlflow.MlflowClient(store.uri)
    experiments = {name: client.create_experiment(name) for name in ("heart", "wine", "away", "other", "empty")}
    tables: dict[Any, list[dict[str, Any]]] = {}

    def add(table: Any, **columns: Any) -> None:
        tables.setdefault(table, []).append(columns)

    for row in store.rows:
        start = FIRST_MS + row.begins * MINUTE
        place = store.folder / "artifacts" / experiments[row.experiment] / row.id / "artifacts"
        add(
            models.SqlRun,
            run_uuid=row.id,
            name=row.name,
            experiment_id=int(experiments[row.experiment]),
            status=row.status,
            start_time=start,
            end_time=None if row.status == RUNNING else start + row.seconds * 1000,
            lifecycle_stage="active",
            artifact_uri=place.as_uri(),
            source_type="UNKNOWN",
            user_id="ada",
        )
        for key, value in row.params.items():
            add(models.SqlParam, run_uuid=row.id, key=key, value=value)
        for key, value in row.tags.items():
            add(models.SqlTag, run_uuid=row.id, key=key, value=value)
        for key, number in row.metrics.items():
            add(models.SqlLatestMetric, run_uuid=row.id, key=key, value=number, timestamp=start, step=0, is_nan=False)
        for path, content in row.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(content)
    with create_engine(store.uri).begin() as connection:
        for table, found in tables.items():
            connection.execute(insert(table), found)
    by_name = {row.name: row for row in store.rows}
    for number in range(55, 60):
        client.log_inputs(by_name[f"bare-{number}"].id, [DatasetInput(Dataset("wine", "0123abcd", "local", "{}"))])
    _promote(store, client, by_name)


def _promote(store: Seeded, client: mlflow.MlflowClient, by_name: Mapping[str, Row]) -> None:
    """Three versions with aliases, of which one has all evidence and of one the run is gone; and one without."""
    reason = {"runyard.dev/promoted-because": "best recall", "runyard.dev/promoted-at": "2023-11-24T22:13:20Z"}
    wanted: list[tuple[str, str, str, dict[str, str], int]] = [
        ("heart-forest", by_name["whole-500"].id, "champion", reason, 20),
        ("heart-forest", by_name["whole-100"].id, "challenger", {"runyard.dev/promoted-because": " "}, 20),
        ("lost", "f" * 32, "champion", {}, 30),
        ("heart-forest", by_name["whole-3"].id, "", {}, 40),
    ]
    for name in ("heart-forest", "lost"):
        client.create_registered_model(name)
    table = SqlModelVersion
    changes = []
    for model, run_id, alias, tags, days in wanted:
        made = client.create_model_version(model, f"runs:/{by_name['whole-3'].id}/model", by_name["whole-3"].id)
        for key, value in tags.items():
            client.set_model_version_tag(model, made.version, key, value)
        if alias:
            client.set_registered_model_alias(model, alias, made.version)
        which = (table.name == model, table.version == int(made.version))
        changes.append(update(table).where(*which).values(run_id=run_id, creation_time=FIRST_MS + days * DAY))
    with create_engine(store.uri).begin() as connection:
        for change in changes:
            connection.execute(change)
