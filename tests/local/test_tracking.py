"""What `runyard run` records: the run that all attempts share, and what should have been logged."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runyard import local
from runyard.api.records import Run
from runyard.errors import TrackingUnavailable
from runyard.tracking import Store
from tests.local.laptop import LEAVES_ITS_RUN_OPEN, Laptop, ends, statuses

pytestmark = pytest.mark.usefixtures("environment")


def test_one_run_is_assigned_to_all_attempts(laptop: Laptop) -> None:
    found = laptop.run(
        """
        import mlflow, os, pathlib, sys
        marker = pathlib.Path("was-here")
        named = os.environ["MLFLOW_RUN_ID"], os.environ["MLFLOW_EXPERIMENT_ID"]
        with mlflow.start_run() as run:
            assert (run.info.run_id, run.info.experiment_id) == named
            mlflow.log_metric("second" if marker.exists() else "first", 1)
        if not marker.exists():
            marker.touch()
            sys.exit("not yet")
        """,
        backoffLimit=1,
        tracking={"run": "Assigned"},
    )
    [run] = laptop.runs()
    assert ends(found) == [("Failed", "Error", 1), ("Succeeded", "Completed", 0)], laptop.log_of(run)
    assert {attempt.run_id for attempt in found.status.attempts} == {run.info.run_id}
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == run.info.run_id
    assert (run.info.status, run.data.tags["runyard.dev/outcome"]) == ("FINISHED", "Succeeded")
    assert found.status.metrics == {"first": "1.0", "second": "1.0"}
    assert (laptop.log_of(run), laptop.log_of(run, "wine-2")) == (b"not yet\n", b"")


@pytest.mark.parametrize(("ends_with", "status"), [("pass", "FINISHED"), ("raise SystemExit(3)", "FAILED")])
def test_an_assigned_run_ends_as_the_training_did(laptop: Laptop, ends_with: str, status: str) -> None:
    script = f"import mlflow\nprint('no run')\n{ends_with}"
    found = laptop.run(script, tracking={"run": "Assigned"})
    [run] = laptop.runs()
    assert (run.info.status, run.info.run_name) == (status, "wine")
    assert found.status.attempts[0].run_id == run.info.run_id


def test_an_assigned_run_waits_for_its_training(laptop: Laptop) -> None:
    lines: list[bytes] = []
    laptop.run(
        "import mlflow, os; print(mlflow.get_run(os.environ['MLFLOW_RUN_ID']).info.status)",
        lines.append,
        tracking={"run": "Assigned"},
    )
    assert b"".join(lines) == b"SCHEDULED\n"


def test_an_assigned_run_that_the_script_deletes_is_made_again(laptop: Laptop) -> None:
    found = laptop.run(
        "import mlflow, os; mlflow.delete_run(os.environ['MLFLOW_RUN_ID'])", tracking={"run": "Assigned"}
    )
    [run] = laptop.runs()
    assert run.info.status == "FINISHED"
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == run.info.run_id


LOGS_A_MODEL = """
    import mlflow
    class Constant(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input
    with mlflow.start_run():
        mlflow.log_metric("f1", 1)
        mlflow.pyfunc.log_model(name="model", python_model=Constant(), pip_requirements=[])
"""


@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
@pytest.mark.parametrize(
    ("script", "requirements", "said"),
    [
        (LOGS_A_MODEL, {"requireModel": True, "requireMetrics": ["f1"]}, ("True", "Recorded")),
        (LEAVES_ITS_RUN_OPEN, {"requireModel": True}, ("False", "ModelMissing")),
        (LEAVES_ITS_RUN_OPEN, {"requireMetrics": ["f1", "recall"]}, ("False", "MetricsMissing")),
    ],
)
def test_what_a_training_should_have_logged(
    laptop: Laptop, script: str, requirements: dict[str, Any], said: tuple[str, str], mode: str
) -> None:
    found = laptop.run(script, tracking={"run": mode, **requirements})
    tracked = found.status.condition("Tracked")
    assert found.status.phase == "Succeeded"
    assert tracked
    assert (tracked.status, tracked.reason) == said


def test_no_minutes_are_waited_for_a_server(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    local.Server("http://127.0.0.1:1").open()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    laptop.run("pass")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


def test_what_could_not_be_recorded_is_recorded_with_the_next_attempt(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, calls = Store.upload, []

    def lost(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise TrackingUnavailable("away")
        upload(*arguments)

    monkeypatch.setattr(Store, "upload", lost)
    found = laptop.run("raise SystemExit(3)", backoffLimit=1)
    tracked = found.status.condition("Tracked")
    assert tracked
    assert (ends(found), tracked.status) == ([("Failed", "Error", 3)] * 2, "True")
    assert statuses(laptop.runs()) == ["FAILED"] * 2
    assert [found.run_id for found in found.status.attempts] == [run.info.run_id for run in laptop.runs()]


LOGS_A_METRIC = """
    import mlflow
    mlflow.start_run()
    mlflow.log_metric("f1", 1)
    raise SystemExit(3)
"""


@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_artifacts_that_cannot_be_kept_cost_no_outcome(laptop: Laptop, mode: str) -> None:
    shutil.rmtree(laptop.store / "artifacts", ignore_errors=True)
    (laptop.store / "artifacts").touch()
    found = laptop.run(LOGS_A_METRIC, backoffLimit=1, tracking={"run": mode})
    runs, tracked = laptop.runs(), found.status.condition("Tracked")
    assert ends(found) == [("Failed", "Error", 3)] * 2
    assert {(run.info.status, run.data.tags["runyard.dev/outcome"]) for run in runs} == {("FAILED", "Failed")}
    assert {attempt.run_id for attempt in found.status.attempts} == {run.info.run_id for run in runs}
    assert found.status.metrics == {"f1": "1.0"}
    assert tracked
    assert (tracked.status, tracked.reason) == ("False", "TrackingUnavailable")
    assert tracked.message.startswith(
        f"MLflow at sqlite:///{laptop.store}/mlflow.db cannot store runyard/log-wine-1.txt:"
    )


def test_an_attempt_that_cannot_be_recorded_does_not_keep_the_next_from_it(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    found_runs = Store.runs_of_pod
    asked: list[str] = []

    def runs_of_pod(store: Store, pod_uid: str) -> list[Run]:
        asked.append(pod_uid)
        if pod_uid == asked[0]:
            raise TrackingUnavailable("away")
        return found_runs(store, pod_uid)

    monkeypatch.setattr(Store, "runs_of_pod", runs_of_pod)
    found = laptop.run(LEAVES_ITS_RUN_OPEN + "\n    raise SystemExit(3)", backoffLimit=1)
    first, second = found.status.attempts
    tracked = found.status.condition("Tracked")
    assert statuses(laptop.runs()) == ["FINISHED", "FAILED"], "the first is what its script said"
    assert (first.recorded_at, second.run_id) == (None, laptop.runs()[1].info.run_id)
    assert second.recorded_at
    assert tracked
    assert (tracked.status, tracked.message) == ("False", "away")


def test_a_full_disk_is_told(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    found = laptop.run("")
    tracked = found.status.condition("Tracked")
    assert tracked
    assert (found.status.phase, tracked.status, statuses(laptop.runs())) == ("Succeeded", "False", ["FINISHED"])
    assert tracked.message.endswith("cannot store runyard/log-wine-1.txt: [Errno 28] No space left on device")
