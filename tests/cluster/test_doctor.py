"""`runyard doctor` in a cluster where nothing is wrong, and with a manifest that it would not take."""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runyard.cli import main
from tests.cluster.training import Trainings, manifest

Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def doctor(
    trainings: Trainings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Ask as a person with a kubeconfig does; the exit code comes of it, and what was found."""
    resolved = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        # Every name below localhost is this machine (RFC 6761), which not every resolver knows.
        return resolved("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    # The client reads the variable when it is first imported.
    kubeconfig = str(trainings.kubectl.kubeconfig)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trainings.mlflow.url)
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> tuple[int, list[dict[str, Any]]]:
        where = ["-n", str(trainings.kubectl.namespace)]
        monkeypatch.setattr(sys, "argv", ["runyard", "doctor", "-o", "json", *where, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
        return int(ended.value.code or 0), found

    return ask


def test_a_cluster_in_which_nothing_is_wrong(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    file.write_text(yaml.safe_dump(manifest("well", command=["true"])))
    code, found = doctor(str(file))
    assert (code, [each for each in found if each["verdict"] == "Wrong"]) == (0, [])
    # Not every kind of volume has a kubelet that tells how full it is.
    unknown = {each["check"] for each in found if each["verdict"] == "Unknown"}
    assert unknown - {"fullness"} == {"git", "image"}


def test_a_pod_that_the_namespace_would_not_take(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    spec = {"command": ["true"], "podTemplate": {"spec": {"hostNetwork": True}}}
    file.write_text(yaml.safe_dump(manifest("ill", **spec)))
    code, found = doctor("--cluster", str(file))
    [wrong] = [each for each in found if each["verdict"] == "Wrong"]
    assert (code, wrong["check"]) == (1, "admission")
    assert "violates PodSecurity" in wrong["says"]
