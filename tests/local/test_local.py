"""`runyard run`, for real: small scripts as processes, and an MLflow database in a folder."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run

from runyard import local
from runyard.api.trainingrun import TrainingRun
from runyard.errors import TrackingUnavailable
from runyard.tracking import Store
from tests.local.laptop import Laptop
from tests.support.factories import manifest
from tests.support.waiting import wait_for

LEAVES_ITS_RUN_OPEN = """
    import mlflow, os
    mlflow.start_run()
    mlflow.log_metric("f1", 0.1 + 0.2)
    mlflow.log_text("hello", "greeting.txt")
"""

pytestmark = pytest.mark.usefixtures("environment")


def ends(found: TrainingRun) -> list[tuple[Any, ...]]:
    return [(attempt.outcome, attempt.reason, attempt.exit_code) for attempt in found.status.attempts]


def statuses(runs: list[Run]) -> list[str]:
    return [run.info.status for run in runs]


def test_a_success_is_recorded(laptop: Laptop) -> None:
    found = laptop.run(
        """
        import mlflow, os, sys
        with mlflow.start_run():
            mlflow.log_params({"trees": os.environ["PARAM_trees"], "args": sys.argv[1:]})
            mlflow.log_metric("f1", 0.1 + 0.2)
            print("trained")
        """,
        parameters={"trees": 200},
        args=["--trees=$(params.trees)"],
    )
    [run] = laptop.runs()
    assert (found.status.phase, ends(found)) == ("Succeeded", [("Succeeded", "Completed", 0)])
    assert found.status.metrics == {"f1": "0.30000000000000004"}
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == found.status.attempts[0].run_id == run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"trees": "200", "args": "['--trees=200']"}
    assert run.data.tags["runyard.dev/uid"] == found.metadata.uid
    assert run.data.tags["runyard.dev/outcome"] == "Succeeded"
    assert laptop.log_of(run) == b"trained\n"
    applied = yaml.safe_load(
        Path(laptop.client.download_artifacts(run.info.run_id, "runyard/trainingrun.yaml")).read_text()
    )
    assert (applied["metadata"], applied["spec"]["parameters"]) == (
        {"name": "wine", "namespace": "default"},
        {"trees": 200},
    )


def test_a_run_left_open_by_a_failure_has_failed(laptop: Laptop) -> None:
    found = laptop.run(f"{LEAVES_ITS_RUN_OPEN}\n    print('no more', flush=True)\n    os._exit(3)")
    [run] = laptop.runs()
    assert (found.status.phase, ends(found)) == ("Failed", [("Failed", "Error", 3)])
    assert found.status.message == "no more"
    assert (run.info.status, run.data.tags["runyard.dev/exit-code"]) == ("FAILED", "3")
    assert run.info.end_time is not None


def test_a_script_that_ends_its_run_badly_but_exits_well_has_succeeded(laptop: Laptop) -> None:
    found = laptop.run("import mlflow, sys\nwith mlflow.start_run():\n    sys.exit(0)")
    assert (found.status.phase, statuses(laptop.runs())) == ("Succeeded", ["FINISHED"])


def test_a_script_that_never_calls_mlflow_has_a_run_nevertheless(laptop: Laptop) -> None:
    found = laptop.run("print('no MLflow')")
    [run] = laptop.runs()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "wine-1")
    assert laptop.client.get_experiment(run.info.experiment_id).name == "wines"
    assert run.data.tags["runyard.dev/pod"] == found.status.attempts[0].uid
    assert laptop.log_of(run) == b"no MLflow\n"


def test_the_deadline_ends_it(laptop: Laptop) -> None:
    found = laptop.run("import signal; signal.pause()", activeDeadlineSeconds=1, backoffLimit=3)
    assert ends(found) == [("Failed", "DeadlineExceeded", 128 + signal.SIGTERM)]
    assert found.status.message == "spec.activeDeadlineSeconds passed before the training ended"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_a_command_that_is_not_there(laptop: Laptop) -> None:
    found = laptop.run(command=["no-such-program"])
    assert ends(found) == [("Failed", "Error", 127)]
    assert found.status.message == "no-such-program cannot be started: No such file or directory"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_a_retry_that_succeeds(laptop: Laptop) -> None:
    found = laptop.run(
        """
        import pathlib, sys
        marker = pathlib.Path("was-here")
        if not marker.exists():
            marker.touch()
            sys.exit("not yet")
        """,
        backoffLimit=1,
    )
    first, second = laptop.runs()
    assert ends(found) == [("Failed", "Error", 1), ("Succeeded", "Completed", 0)]
    assert [found.status.phase, *statuses([first, second])] == ["Succeeded", "FAILED", "FINISHED"]
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == second.info.run_id
    assert (laptop.log_of(first), found.status.attempts[0].message) == (b"not yet\n", "not yet")


def test_retries_end(laptop: Laptop) -> None:
    found = laptop.run("raise SystemExit(7)", backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 7)] * 3
    assert statuses(laptop.runs()) == ["FAILED"] * 3


def test_a_signal_is_an_exit_code_as_in_a_pod(laptop: Laptop) -> None:
    found = laptop.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ends(found) == [("Failed", "Error", 137)]


def test_the_script_is_at_home_in_its_manifests_folder(laptop: Laptop) -> None:
    lines: list[bytes] = []
    laptop.run(
        """
        import os, sys
        print(os.getcwd(), sys.executable, os.environ["NOTE"], os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
        """,
        lines.append,
        env=[{"name": "NOTE", "value": "x=$(params.x)"}],
        parameters={"x": 1},
        podTemplate={"spec": {"containers": [{"name": "training", "env": [{"name": "NOTE", "value": "below"}]}]}},
    )
    assert b"".join(lines).decode().split() == [str(laptop.project), sys.executable, "x=1", "3"]


def test_references_are_what_they_are_in_a_pod(laptop: Laptop) -> None:
    lines: list[bytes] = []
    laptop.run(
        "import os, sys; print(sys.argv[1:], os.environ['B'])",
        lines.append,
        command=["python", "$(SCRIPT)"],
        args=["$(PARAM_p)", "$(params.p)", "$(HOME)", "$$(A)"],
        parameters={"p": "$(A)$$"},
        env=[{"name": "SCRIPT", "value": "train.py"}, {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}],
    )
    assert b"".join(lines) == b"['$(A)$$', '$(A)$$', '$(HOME)', '$(A)'] 1$(C)\n"


def test_output_comes_as_it_is_written(laptop: Laptop) -> None:
    """A progress bar ends no line until it is done: the script waits until its first part was seen."""
    seen = bytearray()

    def echo(part: bytes) -> None:
        seen.extend(part)
        if b"50%\r" in seen:
            (laptop.project / "seen").touch()

    script = """
        import pathlib, sys, time
        print("50%", end="\\r", flush=True)
        deadline = time.monotonic() + 20
        while not pathlib.Path("seen").exists():
            if time.monotonic() > deadline:
                sys.exit("nobody saw it")
            time.sleep(0.01)
        print("100%")
    """
    assert laptop.run(script, echo).status.phase == "Succeeded"
    assert bytes(seen) == b"50%\r100%\n"


def test_the_log_is_the_last_mebibyte(laptop: Laptop) -> None:
    laptop.run("for number in range(200_000): print(f'line {number}')")
    [run] = laptop.runs()
    log = laptop.log_of(run)
    assert len(log) == 1 << 20
    assert log.endswith(b"line 199998\nline 199999\n")


def test_a_reader_that_is_gone_does_not_hold_up_the_training(laptop: Laptop) -> None:
    def echo(part: bytes) -> None:
        raise BrokenPipeError(len(part))

    found = laptop.run("print('x' * 1_000_000)", echo)
    assert found.status.phase == "Succeeded"
    assert len(laptop.log_of(laptop.runs()[0])) == 1_000_001


def test_nothing_of_it_is_left_running(laptop: Laptop) -> None:
    laptop.run(
        """
        import pathlib, subprocess, sys
        forever = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        pathlib.Path("pid").write_text(str(forever.pid))
        """
    )
    pid = int((laptop.project / "pid").read_text())
    wait_for("the process is gone", lambda: not _runs(pid), timeout_seconds=10)


def _runs(pid: int) -> bool:
    """Whether a process is there and is not only waiting to be noticed as dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


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


ASKS_THE_CLUSTER: dict[str, dict[str, Any]] = {
    "spec.suspend: true": {"suspend": True},
    "spec.workers: 2": {"workers": 2},
    "spec.env[1].valueFrom.secretKeyRef": {
        "env": [{"name": "A"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}]
    },
    "spec.envFrom[0].configMapRef": {"envFrom": [{"configMapRef": {"name": "settings"}}]},
    "spec.podTemplate.spec.containers[0].env[0].valueFrom.fieldRef": {
        "podTemplate": {
            "spec": {
                "containers": [
                    {"name": "training", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}
                ]
            }
        }
    },
}


@pytest.mark.parametrize(("path", "spec"), ASKS_THE_CLUSTER.items(), ids=ASKS_THE_CLUSTER)
def test_what_only_a_cluster_can_do_is_refused(laptop: Laptop, path: str, spec: dict[str, Any]) -> None:
    with pytest.raises(local.NeedsCluster) as found:
        laptop.run(**spec)
    assert found.value.exit_code == 2
    assert str(found.value).startswith(f"{path}: `runyard run` starts one process")
    assert laptop.runs() == []


def test_the_command_line_says_what_it_leaves_out(laptop: Laptop) -> None:
    optional = {"name": "settings", "optional": True}
    pod: dict[str, Any] = {
        "initContainers": [{"name": "fetch", "image": "x"}],
        "hostNetwork": False,
        "nodeSelector": {"disk": "ssd"},
        "containers": [{"name": "proxy", "image": "x"}, {"name": "training", "lifecycle": {}, "image": "x"}],
    }
    file = laptop.write(
        "print('trained')",
        envFrom=[{"configMapRef": optional}],
        env=[{"name": "A", "valueFrom": {"configMapKeyRef": {**optional, "key": "a"}}}],
        volumes=[{"name": "data", "emptyDir": {}}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
        serviceAccountName="trainer",
        queueName="team",
        resources={"limits": {"memory": "1Gi"}},
        nodeSelector={"disk": "ssd"},
        podTemplate={"spec": pod},
    )
    code, out, error = laptop.cli("run", file)
    assert (code, out.splitlines()[0]) == (0, "trained")
    [line] = error.splitlines()
    said, _, paths = line.partition(": left out on this machine: ")
    assert said == "runyard"
    template = "spec.podTemplate.spec"
    assert sorted(paths.split(", ")) == sorted(
        [
            *(f"spec.{name}" for name in ("volumes", "volumeMounts", "serviceAccountName", "queueName")),
            *("spec.env[0].valueFrom", "spec.envFrom[0]"),
            *(f"{template}.{name}" for name in ("initContainers", "hostNetwork", "containers[0]")),
            f"{template}.containers[1].lifecycle",
        ]
    )


def test_an_mlflow_that_does_not_answer_is_one_sentence(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    file = laptop.write("open('started', 'w')")
    code, out, error = laptop.cli("run", file, "--tracking-uri", "http://me:secret@127.0.0.1:1")
    assert (code, out) == (1, "")
    assert error.startswith("runyard: MLflow at http://127.0.0.1:1 cannot be used: ")
    assert len(error.splitlines()) == 1
    assert "secret" not in error
    assert not (laptop.project / "started").exists()


def test_a_store_that_cannot_be_made_is_one_sentence(laptop: Laptop) -> None:
    (laptop.here / "file").touch()
    code, out, error = laptop.cli("run", laptop.write("pass"), "--store", "file")
    assert (code, out) == (1, "")
    assert error.startswith("runyard: MLflow at sqlite:///")
    assert len(error.splitlines()) == 1


def test_no_minutes_are_waited_for_a_server(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    local.Server("http://127.0.0.1:1").open()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    laptop.run("pass")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


@pytest.mark.parametrize(("ends_with", "code", "phase"), [("", 0, "Succeeded"), ("raise SystemExit(3)", 1, "Failed")])
@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_an_mlflow_that_is_lost_costs_no_outcome(
    laptop: Laptop, ends_with: str, code: int, phase: str, mode: str
) -> None:
    file = laptop.write(
        f"import pathlib; pathlib.Path({str(laptop.store / 'mlflow.db')!r}).write_bytes(b'no database')\n{ends_with}",
        tracking={"run": mode},
    )
    found, out, error = laptop.cli("run", file, "-o", "json")
    assert (found, error) == (code, "")
    status = json.loads(out)["status"]
    tracked = next(item for item in status["conditions"] if item["type"] == "Tracked")
    assert status["phase"] == phase
    assert (tracked["status"], tracked["reason"]) == ("False", "TrackingUnavailable")
    assert "MLflow at sqlite:///" in tracked["message"]


def test_the_summary_says_why_it_is_not_tracked(laptop: Laptop) -> None:
    file = laptop.write("pass", tracking={"requireMetrics": ["f1"]})
    code, out, _ = laptop.cli("run", file)
    assert code == 0
    assert "Not tracked (MetricsMissing): the training succeeded without logging f1; it logged: none" in out


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


def test_without_a_command_there_is_nothing_to_run(laptop: Laptop) -> None:
    with pytest.raises(local.NothingToRun, match=r"^spec\.command: Required value"):
        laptop.run(command=None)
    assert laptop.runs() == []


def test_the_command_line_says_what_came_of_it(laptop: Laptop) -> None:
    file = laptop.write(f"{LEAVES_ITS_RUN_OPEN}\n    print('trained')")
    code, out, error = laptop.cli("run", file)
    [run] = laptop.runs()
    assert (code, error) == (0, "")
    trained, status, summary = out.split("---\n")
    assert trained == "trained\n"
    assert yaml.safe_load(status)["status"]["phase"] == "Succeeded"
    assert "wine: Succeeded in" in summary
    assert "0.3" in summary
    assert run.info.run_id in summary
    assert summary.rstrip().endswith("mlflow ui --backend-store-uri sqlite:///.runyard/mlflow.db")


def test_the_status_alone_is_for_programs(laptop: Laptop) -> None:
    file = laptop.write("print('no'); raise SystemExit(3)")
    code, out, error = laptop.cli("run", file, "-o", "json", "--store", "elsewhere/../.runyard")
    body = json.loads(out)
    assert (code, error) == (1, "no\n")
    assert (body["kind"], body["metadata"]["name"], body["status"]["phase"]) == ("TrainingRun", "wine", "Failed")
    assert [found["exitCode"] for found in body["status"]["attempts"]] == [3]


STUBBORN = f"""{LEAVES_ITS_RUN_OPEN}
    import signal
    signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
    print("ready", flush=True)
    while True:
        signal.pause()
"""


@pytest.mark.parametrize(
    ("script", "signals"),
    [
        pytest.param(
            f"{LEAVES_ITS_RUN_OPEN}\n    print('ready')\n    import signal\n    signal.pause()", {}, id="once"
        ),
        pytest.param(STUBBORN, {"asked\n": signal.SIGINT}, id="twice, as it does not end when asked"),
    ],
)
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_command_line_kills_the_run(
    laptop: Laptop, script: str, signals: dict[str, int], first: int
) -> None:
    file = laptop.write(script, backoffLimit=3)
    with laptop.command("run", file, "-o", "text") as process:
        assert process.stdout is not None
        # A script that never gets there must not hold up the tests.
        timer = threading.Timer(60, process.kill)
        timer.start()
        for line, number in {"ready\n": first, **signals}.items():
            assert process.stdout.readline() == line
            process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        timer.cancel()
    assert process.returncode == 130
    assert statuses(laptop.runs()) == ["KILLED"]
    status = yaml.safe_load(out.split("---\n")[1])["status"]
    assert [(found["outcome"], found["reason"]) for found in status["attempts"]] == [("Cancelled", "Cancelled")]


def test_an_interruption_while_it_is_recorded_is_no_way_to_lose_the_outcome(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, calls = Store.upload, []

    def interrupted(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        upload(*arguments)

    monkeypatch.setattr(Store, "upload", interrupted)
    found = laptop.run(f"{LEAVES_ITS_RUN_OPEN}\n    raise SystemExit(3)", backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 3)], "and no retry after it"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_a_run_of_the_persons_shell_is_left_alone(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever opens a store first in a process says where its artifacts are.
    own_experiment = local.Embedded(laptop.store).open().ensure_experiment("own")
    own = laptop.client.create_run(own_experiment).info
    monkeypatch.setenv("MLFLOW_RUN_ID", own.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", own.experiment_id)
    found = laptop.run(LEAVES_ITS_RUN_OPEN)
    assert found.status.attempts[0].run_id != own.run_id
    assert laptop.client.get_run(own.run_id).info.status == "RUNNING"
    assert found.status.tracking
    assert laptop.client.get_experiment(str(found.status.tracking.experiment_id)).name == "wines"


def test_it_runs_on_any_thread(laptop: Laptop) -> None:
    found: list[TrainingRun] = []
    thread = threading.Thread(target=lambda: found.append(laptop.run("print('hello')")))
    thread.start()
    thread.join(60)
    assert [run.status.phase for run in found] == ["Succeeded"]


def test_parameters_and_variables_come_from_the_template_too(laptop: Laptop) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['BELOW'], os.environ['PARAM_n'])"]
    container = {"name": "training", "command": command, "env": [{"name": "BELOW", "value": "$(params.n) trees"}]}
    template = {"spec": {"containers": [container]}}
    laptop.run(command=None, parameters={"n": 7}, podTemplate=template)
    assert laptop.log_of(laptop.runs()[0]) == b"7 trees 7\n"


def test_artifacts_of_an_experiment_that_the_script_makes_are_in_the_store(laptop: Laptop) -> None:
    laptop.run(f"    import mlflow\n    mlflow.set_experiment('other')\n{LEAVES_ITS_RUN_OPEN}")
    [run] = laptop.runs()
    assert laptop.client.get_experiment(run.info.experiment_id).name == "other"
    [greeting] = (laptop.store / "artifacts").rglob("greeting.txt")
    assert greeting.read_text() == "hello"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (yaml.safe_dump(manifest(backoffLimit=-1)), "spec.backoffLimit: Invalid value: -1"),
        (yaml.safe_dump(manifest(command=None)), "spec.command: Required value"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_manifest_is_one_sentence_and_leaves_nothing(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "trainingrun.yaml"
    if text is not None:
        file.write_text(text)
    before = sorted(tmp_path.iterdir())
    code, out, error = Laptop(tmp_path, tmp_path, tmp_path).cli("run", file)
    assert (code, out) == (2, "")
    assert error.startswith("runyard: ")
    assert said in error
    assert "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"), [(["--version"], 0, "runyard 0."), (["run"], 2, "Missing argument")]
)
def test_the_command_lines_own_words(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    found, out, error = Laptop(tmp_path, tmp_path, tmp_path).cli(*arguments)
    assert found == code
    assert said in out + error
