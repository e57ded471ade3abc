"""`runyard reproduce --cluster`: in the image that it ran in, and what is said when that is gone."""

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from runyard.cli import main
from tests.cluster.training import Trainings, manifest
from tests.support.mlflow_server import tags_of

IMAGE = "runyard.dev/image-digest"
SCRIPT = "import mlflow, sys; mlflow.start_run(); mlflow.log_metric('power', 0.1 ** float(sys.argv[1]))"


@pytest.fixture
def reproduced(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Ask for it as a person with a kubeconfig does; the exit code and what is said come of it."""
    resolved = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        # Every name below localhost is this machine (RFC 6761), which not every resolver knows.
        return resolved("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("KUBECONFIG", str(trainings.kubectl.kubeconfig))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trainings.mlflow.url)

    def ask(run: str, *words: str) -> tuple[int, dict[str, Any]]:
        asked = ["runyard", "reproduce", run, "--cluster", "-o", "json", "--timeout", "170", *words]
        monkeypatch.setattr(sys, "argv", asked)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return ask


def test_a_run_is_repeated_in_its_image_with_a_changed_parameter_and_without_its_image(
    trainings: Trainings, reproduced: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    trainings.kubectl.apply(
        manifest(
            "to-repeat",
            command=["python", "-c", SCRIPT],
            args=["$(params.power)"],
            parameters={"power": 2},
        )
    )
    done = trainings.finish("to-repeat")
    run_id = done.status["tracking"]["runId"]
    image = tags_of(trainings.mlflow.run(run_id))[IMAGE]
    assert image == done.status["imageDigest"]

    code, found = reproduced(run_id)
    assert (code, found["says"]) == (0, "Reproduced: its one metric is the same to the last bit.")
    again = trainings.kubectl.get("trainingrun", found["trainingRun"])
    assert (again["spec"]["image"], again["metadata"]["annotations"]["runyard.dev/reproduces"]) == (image, run_id)
    tags = tags_of(trainings.mlflow.run(found["reproducedBy"]))
    assert (tags["runyard.dev/reproduces"], tags[IMAGE]) == (run_id, image)
    assert (tags["runyard.dev/verdict"], tags["runyard.dev/greatest-difference"]) == ("Reproduced", "0.0")

    code, found = reproduced(run_id, "--set", "power=3")
    assert (code, found["verdict"]) == (1, "Changed")
    assert found["changed"] == {"power": {"before": "2", "now": "3"}}
    tags = tags_of(trainings.mlflow.run(found["reproducedBy"]))
    assert (tags["runyard.dev/varies"], tags["runyard.dev/verdict"]) == ("parameters.power", "Changed")

    gone = f"{image.partition('@')[0]}@sha256:{'0' * 64}"
    trainings.mlflow.call("mlflow/runs/set-tag", {"run_id": run_id, "key": IMAGE, "value": gone})
    code, found = reproduced(run_id)
    assert (code, found["verdict"], found["gaps"][0]["what"]) == (2, "Cannot", "the image")
    assert found["gaps"][0]["why"].startswith("ImagePull: ")
