"""`runyard submit`, `wait` and `logs`, as a person calls them, with real pods."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.training import RUNTIME, Trainings, of_shell
from tests.support.programs import program
from tests.support.relay import relay_to
from tests.support.waiting import wait_for


class Person:
    """A person with a kubeconfig, in a folder of their own."""

    def __init__(self, trainings: Trainings, folder: Path) -> None:
        self.trainings, self.folder = trainings, folder

    def write(self, name: str, script: str, **spec: Any) -> Path:
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(of_shell(name, script, **spec)))
        return file

    def start(self, *words: str | Path, kubeconfig: Path | None = None) -> subprocess.Popen[str]:
        kubectl = self.trainings.kubectl
        where = [] if "--namespace" in words else ["--namespace", str(kubectl.namespace)]
        command = [sys.executable, "-m", "runyard", *map(str, words), *where]
        environment = {
            "KUBECONFIG": str(kubeconfig or kubectl.kubeconfig),
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
        }
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def calls(self, *words: str | Path) -> tuple[int, str, str]:
        with self.start(*words) as process:
            out, error = process.communicate(timeout=180)
        return process.returncode, out, error


@pytest.fixture
def person(trainings: Trainings, tmp_path: Path) -> Person:
    return Person(trainings, tmp_path)


def test_a_training_is_submitted_and_waited_for(person: Person) -> None:
    file = person.write("submitted", "echo trained")
    assert person.calls("submit", file) == (0, "trainingrun.runyard.dev/submitted created\n", "")
    code, out, error = person.calls("wait", "submitted", "--tracked", "--timeout", "120")
    assert code == 0
    assert all(line.startswith("submitted: ") for line in error.splitlines()), "where it is, and nothing else"
    assert out.startswith("trainingrun.runyard.dev/submitted succeeded after ")
    code, out, _ = person.calls("wait", "submitted", "-o", "json")
    found = json.loads(out)
    assert (code, found["status"]["phase"], found["metadata"]["name"]) == (0, "Succeeded", "submitted")
    assert person.calls("logs", "submitted") == (0, "trained\n", "")


def test_kubectl_has_it_as_a_plugin(person: Person) -> None:
    kubectl = person.trainings.kubectl
    person.calls("submit", person.write("plugged-in", "echo trained"), "--wait")
    path = f"{Path(sys.executable).parent}:{Path(program('kubectl')).parent}:/usr/bin:/bin"
    command = [program("kubectl"), "runyard", "logs", "plugged-in", "-n", str(kubectl.namespace)]
    environment = {"KUBECONFIG": str(kubectl.kubeconfig), "PATH": path, "HOME": str(person.folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "trained\n", "")
    asked = subprocess.run([*command[:2], "--help"], env=environment, capture_output=True, text=True, check=True)
    assert "Usage: kubectl runyard [OPTIONS] COMMAND" in asked.stdout


def test_a_training_that_fails_is_followed_through_its_attempts_and_ends_with_1(person: Person) -> None:
    file = person.write("followed", 'echo "attempt of $HOSTNAME"; exit 3', backoffLimit=1)
    code, out, error = person.calls("submit", file, "--follow")
    assert code == 1
    created, *changes = error.splitlines()
    assert created == "trainingrun.runyard.dev/followed created"
    assert all(change.startswith("followed: ") for change in changes)
    lines = out.splitlines()
    assert [line[:18] for line in lines[:2]] == ["attempt of followe"] * 2
    assert lines[0] != lines[1], "one line of each pod"
    assert lines[2].startswith("trainingrun.runyard.dev/followed failed after ")
    assert "exit code 3" in lines[3]
    code, out, _ = person.calls("logs", "followed", "--attempt", "1")
    assert (code, out) == (0, f"{lines[0]}\n")


def test_a_log_is_followed_while_it_grows(person: Person) -> None:
    script = (
        "echo line 1; until [ -e /tmp/told ]; do sleep 0.1; done; for i in 2 3 4 5; do echo line $i; sleep 0.5; done"
    )
    person.calls("submit", person.write("growing", script))
    with person.start("logs", "growing", "--follow") as process:
        assert process.stdout
        first = process.stdout.readline()
        [attempt] = person.trainings.status("growing")["attempts"]
        person.trainings.kubectl("exec", attempt["pod"], "--container=training", "--", "touch", "/tmp/told")  # noqa: S108
        rest = process.stdout.read()
    assert (first, attempt["outcome"]) == ("line 1\n", "Running")
    assert rest == "line 2\nline 3\nline 4\nline 5\n"
    assert process.returncode == 0


def test_a_log_is_followed_from_before_its_container_begins(person: Person) -> None:
    slow = {"name": "slow", "image": RUNTIME, "command": ["sleep", "6"]}
    file = person.write("late", "echo here", podTemplate={"spec": {"initContainers": [slow]}})
    code, out, error = person.calls("submit", file, "--follow")
    assert code == 0
    assert error.startswith("trainingrun.runyard.dev/late created\nlate: ")
    assert out.startswith("here\ntrainingrun.runyard.dev/late succeeded after ")


def test_a_log_whose_connection_breaks_is_gone_on_with_and_each_line_is_printed_once(person: Person) -> None:
    script = "for i in $(seq 60); do echo line $i; sleep 0.2; done; printf 'no end'"
    person.calls("submit", person.write("broken-off", script))
    kubectl = person.trainings.kubectl
    with (
        relay_to(kubectl.kubeconfig, person.folder) as (relay, kubeconfig),
        person.start("logs", "broken-off", "--follow", kubeconfig=kubeconfig) as process,
    ):
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(10)]
        assert relay.hang_up() > 0
        lines += [process.stdout.readline() for _ in range(10)]
        relay.hang_up()
        rest = process.stdout.read()
    assert "".join(lines) + rest == "".join(f"line {number}\n" for number in range(1, 61)) + "no end"
    assert process.returncode == 0


def test_following_has_an_end_of_its_own_too_and_data_are_not_mixed_with_the_log(person: Person) -> None:
    file = person.write("followed-briefly", "while true; do echo again; sleep 1; done")
    code, out, error = person.calls("submit", file, "--follow", "--timeout", "20", "-o", "json")
    person.trainings.kubectl("delete", "trainingrun", "followed-briefly", "--wait=false")
    assert (code, out) == (3, "")
    assert "again\n" in error
    assert error.splitlines()[-1] == "runyard: followed-briefly has not ended in 20 s: it is Running"


def test_a_namespace_that_is_not_the_manifests_is_refused(person: Person) -> None:
    file = person.folder / "elsewhere.yaml"
    manifest = of_shell("elsewhere", "true")
    manifest["metadata"]["namespace"] = "one"
    file.write_text(yaml.safe_dump(manifest))
    code, out, error = person.calls("submit", file, "--namespace", "another")
    said = "runyard: the manifest's metadata.namespace is one, and --namespace another: leave one of them out\n"
    assert (code, out, error) == (2, "", said)


def test_who_may_read_and_not_watch_is_told_so(person: Person) -> None:
    person.calls("submit", person.write("guarded", "sleep 30", suspend=True))
    kubectl = person.trainings.kubectl
    rule = {"apiGroups": ["runyard.dev"], "resources": ["trainingruns"], "verbs": ["get"]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "reader"}}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        {**role, "kind": "Role", "rules": [rule]},
        {
            **role,
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader"}],
        },
    )
    found = yaml.safe_load(kubectl.kubeconfig.read_text())
    found["users"][0]["user"] = {"token": kubectl("create", "token", "reader").strip()}
    own = person.folder / "kubeconfig-of-reader"
    own.write_text(yaml.safe_dump(found))
    with person.start("wait", "guarded", "--timeout", "60", kubeconfig=own) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    where, refused = error.splitlines()
    assert where.startswith("guarded: ")
    assert "cannot watch" in refused or "cannot list" in refused


def test_waiting_has_an_end_of_its_own(person: Person) -> None:
    person.calls("submit", person.write("slow", "sleep 60"))
    code, out, error = person.calls("wait", "slow", "--timeout", "2")
    assert (code, out) == (3, "")
    assert error.splitlines()[-1].startswith("runyard: slow has not ended in 2 s: it is ")
    person.trainings.kubectl("delete", "trainingrun", "slow", "--wait=false")
    code, _, error = person.calls("wait", "slow", "--timeout", "60")
    assert code == 2
    assert error.splitlines()[-1] in {
        'runyard: the TrainingRun "slow" was deleted',
        'runyard: trainingruns.runyard.dev "slow" not found',
    }


def test_a_manifest_that_is_wrong_is_refused_before_it_is_sent(person: Person) -> None:
    file = person.write("wrong", "true", workers=0)
    code, out, error = person.calls("submit", file)
    assert (code, out) == (2, "")
    assert error == (
        'runyard: The TrainingRun "wrong" is invalid: spec.workers: Invalid value: 0: spec.workers in body should be '
        "greater than or equal to 1\n"
    )


def test_what_the_api_server_refuses_is_in_its_words(person: Person) -> None:
    file = person.write("twice", "true")
    assert person.calls("submit", file)[0] == 0
    code, _, error = person.calls("submit", file)
    assert (code, error) == (2, 'runyard: trainingruns.runyard.dev "twice" already exists\n')


@pytest.mark.parametrize("words", [["wait", "nobody"], ["logs", "nobody"], ["logs", "nobody", "-f"]])
def test_a_name_that_is_none_is_said_to_be_so(person: Person, words: list[str]) -> None:
    assert person.calls(*words) == (2, "", 'runyard: trainingruns.runyard.dev "nobody" not found\n')


def test_an_attempt_that_is_none_and_a_pod_that_is_gone_are_explained(person: Person) -> None:
    person.calls("submit", person.write("gone", "echo here", ttlSecondsAfterFinished=0), "--wait")
    code, _, error = person.calls("logs", "gone", "--attempt", "7")
    assert (code, error) == (2, "runyard: --attempt is 7, and gone lists 1 to 1\n")
    pods = ("get", "pods", "--selector=runyard.dev/name=gone", "--output=name")
    wait_for("its pod is removed", lambda: not person.trainings.kubectl(*pods), timeout_seconds=60)
    [attempt] = person.trainings.status("gone")["attempts"]
    code, _, error = person.calls("logs", "gone")
    assert code == 1
    assert error == (
        f"runyard: the pod {attempt['pod']} is gone, and run {attempt['runId']} has it as "
        f"runyard/log-{attempt['pod']}.txt: give --tracking-uri\n"
    )


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runyard", "wait", "a"]
    nowhere = {"KUBECONFIG": str(tmp_path / "nowhere"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert done.stderr.startswith("runyard: there is no cluster to talk to (")
    assert done.stderr.endswith("): set KUBECONFIG, or give --context\n")
