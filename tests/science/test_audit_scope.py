"""`runyard audit` where what it looks at ends in the middle of something: parts of earlier runs, runs that are gone."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import mlflow
import pytest

from runyard.audit import audit
from runyard.history import History
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.support.mlflow_store import make_store

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
FINGERPRINT, PARENT = "runyard.dev/fingerprint", "mlflow.parentRunId"


class Past:
    """A store into which runs are written as of some hours before or after the moment that is asked for."""

    def __init__(self, folder: Path) -> None:
        self.client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        self.history = History(self.client.tracking_uri)

    def experiment(self, name: str) -> str:
        return str(self.client.create_experiment(name))

    def run(
        self, experiment: str, name: str, hours: float, tags: dict[str, str] | None = None, status: str = "FINISHED"
    ) -> str:
        began = round((SINCE + timedelta(hours=hours)).timestamp() * 1000)
        run_id = str(self.client.create_run(experiment, began, tags, name).info.run_id)
        self.client.log_metric(run_id, "accuracy", 0.9)
        self.client.set_terminated(run_id, status, began + 60_000)
        return run_id


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("scope")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, (folder / "artifacts").as_uri())
        make_store(folder / "mlflow.db")
        return Past(folder)


def test_parts_of_what_began_before_are_no_results_of_their_own(past: Past) -> None:
    experiment = past.experiment("grids")
    before = past.run(experiment, "begun before", -1)
    fold = past.run(experiment, "its fold", 1, {PARENT: before})
    past.run(experiment, "a fold's own", 2, {PARENT: fold})
    after = past.run(experiment, "begun since", 3)
    past.run(experiment, "its child", 4, {PARENT: after})
    past.run(experiment, "an orphan", 4, {PARENT: "0" * 32})
    past.run(experiment, "of nobody's", 4, {PARENT: "made up"})

    found = audit(past.history, "grids", SINCE)

    assert (found.runs, found["metadata"].of) == (4, 3)
    assert {each.name for each in found["metadata"].behind} == {"begun since", "an orphan", "of nobody's"}
    assert audit(past.history, "grids")["metadata"].of == 4


def test_what_began_at_the_moment_is_looked_at_whatever_zone_it_is_given_in(past: Past) -> None:
    experiment = past.experiment("edges")
    past.run(experiment, "just before", -0.001 / 3600)
    past.run(experiment, "at the moment", 0)

    found = audit(past.history, "edges", SINCE.astimezone(timezone(timedelta(hours=9))))

    assert [each.name for each in found["metadata"].behind] == ["at the moment"]
    assert found.scope == "experiment edges since 2026-03-01 00:00 UTC: 1 run"
    assert audit(past.history, "edges", SINCE + timedelta(microseconds=1)).runs == 0


def test_a_run_may_repeat_one_from_before(past: Past) -> None:
    experiment = past.experiment("again and again")
    ids = [
        past.run(experiment, "first", -9, {FINGERPRINT: "x"}),
        past.run(experiment, "failed", -8, {FINGERPRINT: "y"}, "FAILED"),
        past.run(experiment, "second", 1, {FINGERPRINT: "x"}),
        past.run(experiment, "third", 2, {FINGERPRINT: "x"}),
        past.run(experiment, "new", 3, {FINGERPRINT: "y"}),
        past.run(experiment, "on purpose", 4, {FINGERPRINT: "y", "runyard.dev/reproduces": "0" * 32}),
    ]

    found = audit(past.history, "again and again", SINCE)["distinct"]

    assert (found.count, found.of, found.facts["groups"], found.facts["repeats"]) == (1, 3, 1, 2)
    assert found.facts["secondsAgain"] == 120
    assert found.behind[0].runs == (ids[0], ids[2], ids[3])


def test_a_champion_whose_run_was_deleted_is_still_its_experiments(past: Past) -> None:
    experiment = past.experiment("champions")
    past.experiment("others")
    run = past.run(experiment, "best", 0)
    past.client.create_registered_model("heart")
    version = past.client.create_model_version("heart", f"runs:/{run}/model", run).version
    past.client.set_model_version_tag("heart", version, "runyard.dev/promoted-because", "recall")
    past.client.set_registered_model_alias("heart", "champion", version)
    assert audit(past.history, "champions")["promotion"].count == 1

    past.client.delete_run(run)

    found = audit(past.history, "champions")["promotion"]
    assert (found.count, found.of, found.times) == (0, 1, None)
    assert found.behind[0].says == "its run is gone; no run and metrics"
    assert audit(past.history, "others")["promotion"].of == 0
    assert audit(past.history)["promotion"].of == 1


def test_an_attempt_is_judged_by_the_run_that_all_attempts_share_also_where_that_began_before(past: Past) -> None:
    experiment = past.experiment("shared")
    uid = {"runyard.dev/uid": "uid-1", "runyard.dev/outcome": "Succeeded"}
    shared = past.run(experiment, "shared", -1, {**uid, "runyard.dev/made": "assigned"})
    for file in ("log-wine-1.txt", "trainingrun.yaml"):
        past.client.log_text(shared, "spec: {}", f"runyard/{file}")
    past.run(experiment, "beside it", 1, {**uid, "runyard.dev/pod": "pod-1"})

    found = audit(past.history, "shared", SINCE)["completeness"]

    assert (found.count, found.of) == (1, 1)


def test_more_runs_than_a_page_has_are_all_looked_at(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runyard.history._PAGE", 2)
    monkeypatch.setattr("runyard.audit.reading._PAGE", 1)
    monkeypatch.setattr("runyard.audit.reading._IDS_AT_ONCE", 1)
    experiment = past.experiment("pages")
    parents = [past.run(experiment, f"parent-{number}", -1) for number in range(3)]
    for parent in parents:
        past.run(experiment, "child", 1, {PARENT: parent})
    for number in range(5):
        past.run(experiment, f"run-{number}", 2 + number)
    names = [f"paged-{number}" for number in range(3)]
    for name in names:
        past.client.create_registered_model(name)
        version = past.client.create_model_version(name, f"runs:/{parents[0]}/model", parents[0]).version
        past.client.set_registered_model_alias(name, "champion", version)

    assert audit(past.history, "pages").runs == 11
    assert audit(past.history, "pages", SINCE).runs == 5
    assert {each.name for each in audit(past.history, "pages")["promotion"].behind} == {
        f"{name} 1 (champion)" for name in names
    }
