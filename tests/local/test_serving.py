"""`runyard serve --local`: a real model behind a real server, asked by the line that is printed."""

import json
import shlex
import signal
import subprocess
import urllib.error
import urllib.request

import mlflow
import pytest
from sklearn.linear_model import LogisticRegression

from tests.local.laptop import Laptop
from tests.support.apiserver import free_port
from tests.support.waiting import wait_for


def is_up(port: int, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, process.communicate()[1][-2000:]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.usefixtures("environment")
def test_a_champion_of_this_machine_predicts(laptop: Laptop) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{laptop.store / 'mlflow.db'}")
    trained = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    logged = mlflow.sklearn.log_model(
        trained, name="model", registered_model_name="steps", input_example=[[3.0]], pip_requirements=["scikit-learn"]
    )
    assert logged.registered_model_version == 1
    laptop.client.set_registered_model_alias("steps", "champion", "1")

    port = free_port()
    with laptop.command("serve", "steps", "--local", "--port", str(port)) as process:
        try:
            wait_for("it answers", lambda: is_up(port, process), timeout_seconds=300)
            assert process.stdout
            first, curl = process.stdout.readline(), process.stdout.readline()
            place = f"http://127.0.0.1:{port}/invocations"
            assert first == f"steps version 1 (champion) will answer at {place}; Ctrl-C ends it.\n"
            words = shlex.split(curl)
            assert words[:3] == ["curl", "-s", place]
            headers = dict([words[words.index("-H") + 1].split(": ")])
            request = urllib.request.Request(place, words[words.index("-d") + 1].encode(), headers)
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                assert json.load(answer) == {"predictions": [1]}
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    wait_for("its server has ended with it", lambda: not answers(port), timeout_seconds=60)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
