"""The distributed example: real workers that train together, in one run, and fail together."""

import os
import signal
from pathlib import Path

import pytest

from tests.pytorch.conftest import EXAMPLES, Scripts, arguments_of, parameters_of
from tests.support.apiserver import free_port
from tests.support.command_line import call
from tests.support.forks import Process
from tests.support.waiting import wait_for

EXAMPLE = EXAMPLES / "distributed"
TRAIN = EXAMPLE / "train.py"
EPOCHS = 6


def workers(scripts: Scripts, run_id: str, count: int, *options: str) -> list[Process]:
    """Start workers as a TrainingRun's pods are: with a rank, a master, and one run."""
    port = str(free_port())
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "MLFLOW_RUN_ID": run_id}
    return [scripts.start(TRAIN, *options, RANK=str(rank), **shared) for rank in range(count)]


def test_two_workers_train_what_one_would_in_one_run(scripts: Scripts) -> None:
    together, alone = scripts.assigned(), scripts.assigned()
    options = (f"--epochs={EPOCHS}", "--hidden=16")
    pair = workers(scripts, together, 2, *options)
    for rank, worker in enumerate(pair):
        assert worker.wait() == 0, worker.said
        assert f"worker {rank} of 2: trained on 1347 pictures, run {together}\n" in worker.said
    assert "epoch" not in pair[1].said, "the first tells it for all"
    single = scripts.start(TRAIN, *options, MLFLOW_RUN_ID=alone)
    assert single.wait() == 0, single.said

    run = scripts.run(together)
    assert (run.info.status, run.data.params["workers"]) == ("FINISHED", "2")
    history, other = scripts.history(together), scripts.history(alone)
    epochs = [*range(1, EPOCHS + 1)]
    for name in ("seconds/rank_0", "seconds/rank_1", "train_loss", "val_accuracy"):
        assert [*history[name]] == epochs, name
    assert [*history["train_loss"].values()] == pytest.approx([*other["train_loss"].values()], rel=1e-4)
    assert history["accuracy"] == pytest.approx(other["accuracy"], abs=0.005)
    assert history["accuracy"][0] > 0.8

    predicts = scripts.start(Path(__file__).parent / "predicts.py", str(scripts.model(together)))
    assert predicts.wait() == 0, predicts.said
    assert float(predicts.said) == pytest.approx(history["accuracy"][0], abs=1e-6)


def test_a_worker_that_is_killed_takes_the_others_with_it(scripts: Scripts) -> None:
    run_id = scripts.assigned()
    first, second = workers(scripts, run_id, 2, "--epochs=100000", "--hidden=16")
    try:
        wait_for("they train", lambda: "epoch 2:" in first.said, timeout_seconds=120)
    finally:
        os.kill(second.pid, signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    assert first.wait() == 1, "and long before --timeout is over"
    assert scripts.run(run_id).info.status == "FAILED"
    assert scripts.client.list_artifacts(run_id, "model") == []


def test_the_manifest_says_what_the_script_does_by_default(scripts: Scripts) -> None:
    manifest = EXAMPLE / "trainingrun.yaml"
    default, parsed = scripts.parsed(TRAIN, [], arguments_of(manifest))
    assert parsed == default
    assert {name: parsed[name] for name in parameters_of(manifest)} == parameters_of(manifest)


def test_without_a_cluster_it_is_refused_as_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "run", EXAMPLE / "trainingrun.yaml")
    assert said.code == 2
    assert "spec.workers: 2: `runyard run` starts one process on this machine" in said.sentence


REFUSED = {
    "--epochs=0": "argument --epochs: '0' is not a whole number from 1 to 4294967295",
    "--learning-rate=-1": "argument --learning-rate: '-1' is not a number above 0",
    "--batch-size=2000": "argument --batch-size: '2000' is not a whole number from 1 to 1347",
    "--batch-size=7": "argument --batch-size: 2 workers cannot share 7 pictures evenly",
}


def test_a_wrong_option_is_refused_by_the_parser(scripts: Scripts) -> None:
    found = scripts.parsed(TRAIN, *([option] for option in REFUSED), WORLD_SIZE="2")
    assert found == [{"code": 2, "said": f"train.py: error: {said}"} for said in REFUSED.values()]
