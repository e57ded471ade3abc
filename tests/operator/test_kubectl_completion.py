"""`kubectl runyard <TAB>`: asked as kubectl's own completion asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runyard.cli import app
from tests.support.apiserver import ApiServer
from tests.support.programs import program

PROGRAMS = Path(sys.executable).parent


def completed(*words: str, kubeconfig: Path = Path("/nowhere")) -> tuple[list[str], str]:
    """Return what kubectl offers after some words, without descriptions, and its directive to the shell."""
    kubectl = program("kubectl")
    path = f"{PROGRAMS}:{Path(kubectl).parent}:/usr/bin:/bin"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig)}
    command = [kubectl, "__complete", "runyard", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    *found, directive = done.stdout.splitlines()
    return [line.partition("\t")[0] for line in found], directive


def test_every_command_is_offered_and_no_files() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    found, directive = completed("")
    assert (set(found), directive) == (names, ":4")


@pytest.mark.parametrize(
    ("words", "offered", "directive"),
    [
        (["pro"], ["promote", "promotions"], ":4"),
        (["logs", "--fol"], ["--follow"], ":4"),
        (["logs", "a name", "-o", ""], ["text", "json"], ":4"),
        (["best", "heart", "--direction", "l"], ["lowest"], ":4"),
        (["submit", ""], [], ":0"),
        (["wait", ""], [], ":0"),
    ],
)
def test_what_comes_next_is_offered(words: list[str], offered: list[str], directive: str) -> None:
    assert completed(*words) == (offered, directive)


def test_commands_have_their_descriptions() -> None:
    asked = [str(PROGRAMS / "kubectl_complete-runyard"), "wai"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "wait\tWait for a TrainingRun's end.\n:4\n"


def test_trainings_of_the_namespace_are_offered_by_their_names(server: ApiServer) -> None:
    assert server.kubectl("create", "namespace", "completion").returncode == 0
    for name in ("wine", "wine-again", "heart"):
        manifest = {"apiVersion": "runyard.dev/v1alpha1", "kind": "TrainingRun", "metadata": {"name": name}}
        body = json.dumps({**manifest, "spec": {"image": "example/image:1", "suspend": True}})
        assert server.kubectl("-n", "completion", "create", "-f", "-", stdin=body).returncode == 0
    offered = completed("logs", "-n", "completion", "wi", kubeconfig=server.kubeconfig)
    assert offered == (["wine", "wine-again"], ":4")
