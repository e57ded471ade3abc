"""`runyard submit`, `wait` and `logs` at a real API server and operator: what people see while they wait, and data."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from tests.operator.actors import Actors, condition, start_run
from tests.support.kubelet import Kubelet, kubelet
from tests.support.mlflow_server import MlflowRest
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}


class Person:
    """A person with a kubeconfig, in a folder of their own, and a node on which what they train runs."""

    def __init__(self, actors: Actors, logs: Kubelet, node: str, folder: Path) -> None:
        self.actors, self.logs, self.node, self.folder = actors, logs, node, folder

    def writes(self, name: str, **spec: Any) -> str:
        """Write a manifest; return its file."""
        spec = {"image": "example/image:1", "podTemplate": {"spec": {"nodeName": self.node}}, **spec}
        manifest = {"apiVersion": "runyard.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": name}}
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**manifest, "spec": spec}))
        return str(file)

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment."""
        command = [sys.executable, "-m", "runyard", *words, "--namespace", self.actors.namespace]
        environment = {
            "KUBECONFIG": str(self.actors.server.kubeconfig),
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
        }
        # The API server's certificate is its own, of which the client warns.
        return command, {**environment, "PYTHONWARNINGS": "ignore"}

    def starts(self, *words: str) -> subprocess.Popen[str]:
        """Start the command without a terminal."""
        command, environment = self.command(*words)
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )

    def calls(self, *words: str) -> tuple[int, str, str]:
        """Call the command without a terminal."""
        with self.starts(*words) as process:
            out, error = process.communicate(timeout=180)
        return process.returncode, out, error

    def watches(self, *words: str, everything: bool = False) -> Terminal:
        """Start the command at a terminal."""
        return Terminal(*self.command(*words), everything=everything)

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of a TrainingRun."""
        found: dict[str, Any] = self.actors.get("trainingrun", name).get("status", {})
        return found

    def begins(self, name: str, *lines: str) -> dict[str, Any]:
        """Run the pod of a TrainingRun, with some lines in its log."""
        pod = self.actors.create_pod(self.actors.wait_for_job(name), "one")
        self.logs.says(pod["metadata"]["name"], *lines)
        self.actors.set_pod(pod, "Running", RUNNING)
        self.actors.wait_for_phase(name, "Running")
        return pod

    def finishes(self, name: str, pod: dict[str, Any]) -> None:
        """End the pod and the Job of a TrainingRun well."""
        self.actors.end_pod(pod, 0)
        self.logs.closes(pod["metadata"]["name"])
        self.actors.end_job(self.actors.wait_for_job(name), "Complete")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    with kubelet(tmp_path_factory.mktemp("kubelet")) as found:
        yield found


@pytest.fixture
def person(actors: Actors, logs: Kubelet, tmp_path: Path) -> Person:
    node = f"node-{uuid.uuid4().hex[:6]}"
    actors.create(logs.node(node))
    actors.set_status("node", node, logs.node(node)["status"])
    return Person(actors, logs, node, tmp_path)


def test_without_a_terminal_each_change_is_a_line_and_the_log_is_apart(person: Person) -> None:
    with person.starts("submit", person.writes("a"), "--follow") as process:
        pod = person.begins("a", "epoch 1", "epoch 2")
        person.logs.says(pod["metadata"]["name"], "epoch 3")
        person.finishes("a", pod)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    created, *changes = error.splitlines()
    assert created == "trainingrun.runyard.dev/a created"
    assert "a: Running" in changes
    assert all(change.startswith(("a: new", "a: Pending", "a: Running")) for change in changes)
    assert all(one != other for one, other in pairwise(changes)), "a line for each change, and no more"
    assert out.splitlines()[:3] == ["epoch 1", "epoch 2", "epoch 3"]
    assert out.splitlines()[3].startswith("trainingrun.runyard.dev/a succeeded after ")


def test_at_a_terminal_one_line_says_where_it_is_and_for_how_long_and_is_gone_at_the_end(person: Person) -> None:
    assert person.calls("submit", person.writes("a")) == (0, "trainingrun.runyard.dev/a created\n", "")
    waits = person.watches("wait", "a")
    pod = person.begins("a", "epoch 1")
    wait_for("it is drawn", lambda: "a  Running" in waits.drawn and "0:00:0" in waits.drawn)
    person.finishes("a", pod)
    code, out = waits.ends()
    assert (code, out.startswith("trainingrun.runyard.dev/a succeeded after ")) == (0, True)
    assert "Running" not in waits.left


def test_at_a_terminal_the_log_stands_whole(person: Person) -> None:
    follows = person.watches("submit", person.writes("a"), "--follow", everything=True)
    wait_for("it is drawn", lambda: "a  Pending" in follows.drawn)
    pod = person.begins("a", "epoch 1 [red]", "epoch 2")
    wait_for("the log is there", lambda: "epoch 2" in follows.drawn)
    person.finishes("a", pod)
    assert follows.ends()[0] == 0
    seen = [line for line in follows.left.splitlines() if line.strip()]
    assert seen[:3] == ["trainingrun.runyard.dev/a created", "epoch 1 [red]", "epoch 2"]
    assert seen[3].startswith("trainingrun.runyard.dev/a succeeded after ")


def test_what_mlflow_says_is_waited_for_and_told(person: Person) -> None:
    spec = {"tracking": {"requireMetrics": ["f1"]}}
    person.calls("submit", person.writes("a", **spec))
    person.finishes("a", person.begins("a"))
    wait_for("it is told", lambda: condition(person.status("a"), "Tracked")["reason"] == "MetricsMissing")
    code, out, error = person.calls("wait", "a", "--tracked", "--timeout", "8")
    assert (code, out) == (3, "")
    *_, told, last = error.splitlines()
    assert told.startswith("a: Succeeded, and MLflow does not agree yet: the training succeeded without logging f1")
    assert last.startswith(
        "runyard: a has Succeeded, and MLflow does not agree after 8 s: the training succeeded without"
    )


def test_a_log_is_lines_of_json(person: Person) -> None:
    person.calls("submit", person.writes("a"))
    pod = person.begins("a", 'a "quoted" 葡萄', "")
    name = pod["metadata"]["name"]
    with person.starts("logs", "a", "--follow", "-o", "json") as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        person.logs.says(name, "last")
        person.finishes("a", pod)
        rest = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    where = {"pod": name, "container": "training"}
    assert [first, *rest] == [
        {"time": "2026-01-02T03:00:00.000000001Z", **where, "line": 'a "quoted" 葡萄'},
        {"time": "2026-01-02T03:00:01.000000001Z", **where, "line": ""},
        {"time": "2026-01-02T03:00:02.000000001Z", **where, "line": "last"},
    ]
    code, out, error = person.calls("logs", "a", "-o", "json")
    assert (code, error) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [first, *rest]
    assert person.calls("logs", "a") == (0, 'a "quoted" 葡萄\n\nlast\n', "")


def test_of_a_pod_that_is_gone_the_kept_log_is_lines_of_json_without_times(person: Person, mlflow: MlflowRest) -> None:
    person.calls("submit", person.writes("a"))
    pod = person.begins("a", "epoch 1", "epoch 2")
    run, name = mlflow.run(start_run(mlflow, pod)), pod["metadata"]["name"]
    person.finishes("a", pod)
    person.actors.wait_for_phase("a", "Succeeded")

    def is_kept() -> bool:
        try:
            return mlflow.artifact(run, f"runyard/log-{name}.txt") == b"epoch 1\nepoch 2\n"
        except HTTPError:
            return False

    wait_for("the log is kept", is_kept)
    person.actors.delete("pod", name)
    person.logs.removes(name)
    wait_for(
        "the pod is gone", lambda: not any(found["metadata"]["name"] == name for found in person.actors.items("pods"))
    )
    code, out, error = person.calls("logs", "a", "-o", "json", "--tracking-uri", mlflow.url)
    assert (code, error) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"time": None, "pod": name, "container": "training", "line": f"epoch {number}"} for number in (1, 2)
    ]
    code, out, error = person.calls("logs", "a", "-o", "json")
    assert (code, out) == (1, "")
    assert error.startswith(f"runyard: the pod {name} is gone, and run ")
    assert error.endswith(": give --tracking-uri\n")


def test_what_is_awaited_is_data_at_the_end_and_its_failure_a_code(person: Person) -> None:
    code, out, _ = person.calls("submit", person.writes("a"), "-o", "json")
    assert (code, json.loads(out)["metadata"]["name"]) == (0, "a")
    pod = person.begins("a")
    with person.starts("wait", "a", "-o", "json") as waits, person.starts("wait", "a") as reads:
        person.actors.end_pod(pod, 3, message="no data")
        person.actors.end_job(person.actors.wait_for_job("a"), "Failed", "BackoffLimitExceeded")
        [data, _], [text, _] = waits.communicate(timeout=120), reads.communicate(timeout=120)
    assert (waits.returncode, reads.returncode) == (1, 1)
    assert json.loads(data)["status"]["phase"] == "Failed"
    said, why, *_ = text.splitlines()
    assert said.startswith("trainingrun.runyard.dev/a failed after ")
    assert why.startswith("exit code 3")


def test_a_manifest_that_is_not_taken_is_refused_in_a_sentence(person: Person) -> None:
    code, out, error = person.calls("submit", person.writes("wrong", workers=0), "-o", "json")
    assert (code, out) == (2, "")
    assert error.startswith('runyard: The TrainingRun "wrong" is invalid: spec.workers: Invalid value: 0: ')
    file = person.writes("twice", suspend=True)
    assert person.calls("submit", file)[0] == 0
    assert person.calls("submit", file) == (2, "", 'runyard: trainingruns.runyard.dev "twice" already exists\n')


@pytest.mark.parametrize("words", [["submit", "wine.yaml"], ["wait", "wine"], ["logs", "wine"]], ids=" ".join)
def test_a_cluster_that_is_not_there_is_named(person: Person, words: list[str]) -> None:
    person.writes("wine")
    command, environment = person.command(*words)
    nowhere = {**environment, "KUBECONFIG": str(person.folder / "nowhere")}
    done = subprocess.run(
        command, env=nowhere, cwd=person.folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("runyard: there is no cluster to talk to (")


@pytest.mark.parametrize("words", [["wait", "nobody"], ["logs", "nobody"], ["logs", "nobody", "-f"]], ids=" ".join)
def test_a_name_that_is_none_is_a_sentence_with_data_too(person: Person, words: list[str]) -> None:
    said = (2, "", 'runyard: trainingruns.runyard.dev "nobody" not found\n')
    assert person.calls(*words) == said
    assert person.calls(*words, "-o", "json") == said


def test_a_training_without_an_attempt_has_no_log(person: Person) -> None:
    person.calls("submit", person.writes("a", suspend=True))
    wait_for(
        "it is suspended", lambda: person.actors.get("trainingrun", "a").get("status", {}).get("phase") == "Suspended"
    )
    code, out, error = person.calls("logs", "a")
    assert (code, out) == (2, "")
    assert error.startswith("runyard: a has no attempt yet: ")
