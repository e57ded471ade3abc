"""`runyard run` as a person meets it: what it says, what it refuses, and how it is stopped."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard import local
from runyard.tracking import Store
from tests.local.laptop import LEAVES_ITS_RUN_OPEN, Laptop, ends, statuses
from tests.support.factories import manifest
from tests.support.forks import Interpreter

pytestmark = pytest.mark.usefixtures("environment")


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


@pytest.mark.parametrize(
    ("host", "because"),
    [
        ("127.0.0.1:1", "Connection refused: "),
        ("mlflow.invalid:1", "this machine does not know its name, which /etc/hosts can tell it: "),
    ],
)
def test_an_mlflow_that_does_not_answer_is_one_sentence_that_begins_with_why(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, host: str, because: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    file = laptop.write("open('started', 'w')")
    code, out, error = laptop.cli("run", file, "--tracking-uri", f"http://me:secret@{host}")
    assert (code, out) == (4, "")
    assert error.startswith(f"runyard: MLflow at http://{host} cannot be used: {because}")
    assert len(error.splitlines()) == 1
    assert "secret" not in error
    assert not (laptop.project / "started").exists()


def test_a_store_that_cannot_be_made_is_one_sentence(laptop: Laptop) -> None:
    (laptop.here / "file").touch()
    code, out, error = laptop.cli("run", laptop.write("pass"), "--store", "file")
    assert (code, out) == (4, "")
    assert error.startswith("runyard: MLflow at sqlite:///")
    assert len(error.splitlines()) == 1


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
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_the_command_line_kills_the_run(
    laptop: Laptop, script: str, signals: dict[str, int], first: int
) -> None:
    file = laptop.write(script, backoffLimit=3)
    with laptop.command("run", file, "-o", "text") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # A script that never gets there must not hold up the tests.
        timer = threading.Timer(150, process.kill)
        timer.start()
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        told = "runyard: interrupted: it was told to end, and has 30 s for it; Ctrl-C once more ends it now\n"
        assert process.stderr.readline() == told, "before anybody insists"
        for line, number in signals.items():
            assert process.stdout.readline() == line
            process.send_signal(number)
        out, _ = process.communicate(timeout=150)
        timer.cancel()
    assert process.returncode == 130
    assert statuses(laptop.runs()) == ["KILLED"]
    status = yaml.safe_load(out.split("---\n")[1])["status"]
    assert [(found["outcome"], found["reason"]) for found in status["attempts"]] == [("Cancelled", "Cancelled")]
    assert "wine: Cancelled in" in out
    since = {found["type"]: found["lastTransitionTime"] for found in status["conditions"]}
    began, ended = (status["attempts"][0][moment] for moment in ("startedAt", "finishedAt"))
    assert since["Accepted"] <= began <= ended <= since["Succeeded"]


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


MISNAMED = "a valid environment variable name must consist only of printable ASCII characters other than '='"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (yaml.safe_dump(manifest(backoffLimit=-1)), "spec.backoffLimit: Invalid value: -1"),
        (
            "kind: !python/object:os.system {}",
            "line 1: the tag !python/object:os.system stands for nothing here: leave",
        ),
        (yaml.safe_dump(manifest(command=None)), "spec.command: Required value"),
        (None, "cannot be read: No such file or directory"),
        (yaml.safe_dump(manifest(env=[{"name": "A=1"}])), f'spec.env[0].name: Invalid value: "A=1": {MISNAMED}'),
        (
            yaml.safe_dump(manifest(env=[{"name": "A\0"}, {"name": "Ä"}, {"name": ""}])),
            (
                f'\n* spec.env[0].name: Invalid value: "A\\u0000": {MISNAMED}\n'
                f'* spec.env[1].name: Invalid value: "Ä": {MISNAMED}\n* spec.env[2].name: Required value\n'
            ),
        ),
        (
            yaml.safe_dump(
                manifest(podTemplate={"spec": {"containers": [{"name": "training", "env": [{"name": "A=1"}]}]}})
            ),
            f'spec.podTemplate.spec.containers[0].env[0].name: Invalid value: "A=1": {MISNAMED}',
        ),
    ],
)
def test_a_wrong_manifest_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, interpreter: Interpreter, text: str | None, said: str
) -> None:
    file = tmp_path / "trainingrun.yaml"
    if text is not None:
        file.write_text(text)
    before = sorted(tmp_path.iterdir())
    code, out, error = Laptop(tmp_path, tmp_path, tmp_path, interpreter).cli("run", file)
    assert (code, out) == (2, "")
    assert error.startswith("runyard: ")
    assert said in error
    assert "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"), [(["--version"], 0, "runyard 0."), (["run"], 2, "Missing argument")]
)
def test_the_command_lines_own_words(
    tmp_path: Path, interpreter: Interpreter, arguments: list[str], code: int, said: str
) -> None:
    found, out, error = Laptop(tmp_path, tmp_path, tmp_path, interpreter).cli(*arguments)
    assert found == code
    assert said in out + error
