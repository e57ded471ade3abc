"""The sentiment example: trained, killed and gone on with, compared, promoted and served, as a person does it."""

import csv
import json
import os
import re
import shlex
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.local.laptop import Laptop
from tests.pytorch.conftest import EXAMPLES, Scripts, arguments_of, parameters_of
from tests.pytorch.hub import Hub
from tests.support.apiserver import free_port
from tests.support.command_line import call
from tests.support.forks import Process
from tests.support.waiting import wait_for

EXAMPLE = EXAMPLES / "sentiment"
TRAIN, README = EXAMPLE / "train.py", EXAMPLE / "README.md"
BESIDE = Path(__file__).parent
KILLED = BESIDE / "killed.py"
EPOCHS = 4
WEIGHTS = "model/model.safetensors"
SCORES = ("accuracy", "f1_score", "precision", "recall")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options for a training that is soon over, of some of the sentences."""
    few = tmp_path_factory.mktemp("data") / "few.csv"
    few.write_text("".join((EXAMPLE / "reviews.csv").read_text().splitlines(keepends=True)[:65]))
    return ("--layers=1", f"--epochs={EPOCHS}", f"--data={few}")


@pytest.fixture(scope="module")
def uninterrupted(scripts: Scripts, short: tuple[str, ...]) -> str:
    """A training that nobody disturbed; its run."""
    run_id = scripts.assigned()
    process = scripts.start(TRAIN, *short, MLFLOW_RUN_ID=run_id)
    assert process.wait() == 0, process.said
    return run_id


@pytest.mark.parametrize(
    ("call", "number", "epoch"),
    [
        ("log_metrics", 1, 0),  # before the first checkpoint: from the beginning
        ("set_tag", 2, 1),  # a checkpoint is there, and not told yet
        ("log_artifact", 4, 3),  # half a checkpoint, in the place of an older one
        ("log_text", 1, EPOCHS),  # trained to the end, without a model
    ],
)
def test_a_retry_goes_on_where_it_was_killed_and_ends_as_if_nothing_had_been(
    scripts: Scripts, short: tuple[str, ...], uninterrupted: str, call: str, number: int, epoch: int
) -> None:
    run_id = scripts.assigned()
    first = scripts.start(KILLED, call, str(number), str(TRAIN), *short, MLFLOW_RUN_ID=run_id)
    assert first.wait() == -signal.SIGKILL, first.said
    assert scripts.run(run_id).info.status == "RUNNING"
    second = scripts.start(TRAIN, *short, MLFLOW_RUN_ID=run_id)
    assert second.wait() == 0, second.said

    told = [line for line in second.said.splitlines() if line.startswith("goes on")]
    assert told == ([f"goes on after epoch {epoch}"] if epoch else [])
    assert second.said.count("\nepoch ") + second.said.startswith("epoch ") == EPOCHS - epoch
    assert scripts.run(run_id).info.status == "FINISHED"
    assert (scripts.model(run_id) / WEIGHTS).read_bytes() == (scripts.model(uninterrupted) / WEIGHTS).read_bytes()
    assert scripts.history(run_id) == scripts.history(uninterrupted)
    assert scripts.artifact(run_id, "predictions.csv") == scripts.artifact(uninterrupted, "predictions.csv")
    assert {*SCORES} <= scripts.run(run_id).data.metrics.keys()
    kept = {file.path for file in scripts.client.list_artifacts(run_id, "checkpoints")}
    assert kept == {"checkpoints/even.pt", "checkpoints/odd.pt"}, "two, however many epochs"


def test_the_sentences_are_as_the_readme_says(scripts: Scripts) -> None:
    with (EXAMPLE / "reviews.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert Counter(row["label"] for row in rows) == {"praise": 300, "complaint": 300}
    assert len({row["text"] for row in rows}) == len(rows)
    turned = [row for row in rows if re.search(r"\b(not|never)\b", row["text"].lower())]
    said = f"{len(rows)} sentences, half of them praise, none twice; in {len(turned)} a word turns the meaning"
    readme = " ".join(README.read_text().split())
    assert said in readme

    words = scripts.start(BESIDE / "bag_of_words.py", str(EXAMPLE / "reviews.csv"))
    assert words.wait() == 0, words.said
    assert f"A bag of words with a logistic regression gets {float(words.said):.2f}" in readme


def test_a_model_of_the_hub_is_fetched_at_its_commit_and_trained_as_bert_yaml_says(
    scripts: Scripts, model_hub: Hub
) -> None:
    made = scripts.start(BESIDE / "small_bert.py", str(model_hub.folder))
    assert made.wait() == 0, made.said
    model_hub.asked.clear()
    run_id = scripts.assigned()
    manifest = EXAMPLE / "bert.yaml"
    process = scripts.start(TRAIN, *arguments_of(manifest), MLFLOW_RUN_ID=run_id)
    assert process.wait() == 0, process.said

    wanted = parameters_of(manifest)
    root = f"/{wanted['model']}/resolve/{wanted['revision']}"
    assert {f"{root}/config.json", f"{root}/model.safetensors", f"{root}/tokenizer.json"} <= {*model_hub.asked}
    run = scripts.run(run_id)
    assert {name: run.data.params[name] for name in wanted} == {name: str(value) for name, value in wanted.items()}
    assert [*scripts.history(run_id)["val_accuracy"]] == [1, 2, 3]
    config = json.loads((scripts.model(run_id) / "model" / "config.json").read_text())
    assert (config["hidden_size"], config["id2label"]) == (16, {"0": "complaint", "1": "praise"})


def test_a_model_that_the_hub_has_not_is_told_in_a_sentence_and_leaves_no_run(scripts: Scripts) -> None:
    before = len(scripts.client.search_runs([scripts.experiment("assigned")]))
    process = scripts.start(TRAIN, "--model=nobody/nothing")
    assert process.wait() == 1
    said = process.said.splitlines()[-1]
    assert said.startswith("train.py: the model 'nobody/nothing' cannot be loaded: nobody/nothing is not a local ")
    assert said.endswith("examples/sentiment/README.md says how to train without the hub")
    assert "Traceback" not in process.said
    assert len(scripts.client.search_runs([scripts.experiment("assigned")])) == before


def test_each_parameter_of_a_manifest_reaches_the_script(scripts: Scripts) -> None:
    manifests = [EXAMPLE / f"{name}.yaml" for name in ("two-layers", "one-layer", "bert")]
    default, *parsed = scripts.parsed(TRAIN, [], *map(arguments_of, manifests))
    for manifest, found in zip(manifests, parsed, strict=True):
        given = parameters_of(manifest)
        assert {name: found[name] for name in given} == given
    assert parsed[0] == default, "what the script does by itself"


# Options, and what is said of them.
REFUSED = {
    ("--epochs=0",): "argument --epochs: '0' is not a whole number from 1 to 4294967295",
    ("--batch-size=many",): "argument --batch-size: 'many' is not a whole number from 1 to 4294967295",
    ("--layers=25",): "argument --layers: '25' is not a whole number from 1 to 24",
    ("--learning-rate=0",): "argument --learning-rate: '0' is not a number above 0",
    ("--learning-rate=nan",): "argument --learning-rate: 'nan' is not a number above 0",
    ("--seed=-1",): "argument --seed: '-1' is not a whole number from 0 to 4294967295",
    ("--revision=main",): "argument --revision: a model from scratch has none; name one of the hub's with --model",
    ("--model=x/y", "--layers=2"): ("argument --layers: only a model from scratch can be given layers; leave it out"),
    ("--data=nowhere.csv",): "argument --data: 'nowhere.csv' cannot be read: No such file or directory",
}
# Tables, and what is said of them.
UNUSABLE = {
    "": "cannot be read: not a table in CSV: No columns to parse from file",
    "sentence,label\na,b\n": "has no columns `text` and `label`; it has sentence, label",
    "text,label\na,b\nc,\n": "has a row without a text or a label",
    "text,label\n" + "a,b\n" * 9: "needs two labels or more, and 4 rows or more of each",
    "text,label\n" + "a,b\n" * 9 + "a,c\n": "needs two labels or more, and 4 rows or more of each",
}


def test_what_cannot_be_trained_with_is_refused_by_the_parser(scripts: Scripts, tmp_path: Path) -> None:
    wanted = [*REFUSED.values()]
    lists = [[*options] for options in REFUSED]
    for number, (rows, said) in enumerate(UNUSABLE.items()):
        file = tmp_path / f"{number}.csv"
        file.write_text(rows)
        lists.append([f"--data={file}"])
        wanted.append(f"argument --data: {str(file)!r} {said}")
    found = scripts.parsed(TRAIN, *lists)
    assert found == [{"code": 2, "said": f"train.py: error: {said}"} for said in wanted]


def test_a_wrong_option_leaves_no_run(scripts: Scripts) -> None:
    before = len(scripts.client.search_runs([scripts.experiment("assigned")]))
    assert scripts.start(TRAIN, "--seed=-1").wait() == 2
    assert len(scripts.client.search_runs([scripts.experiment("assigned")])) == before


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for found in lists for child in found.split()]


def started(laptop: Laptop, folder: Path, *words: str | Path) -> Process:
    """Start a command of a person's, whose output goes into a new folder."""
    folder.mkdir()
    return laptop.interpreter.start_module("runyard", [str(word) for word in words], laptop.here, folder)


def test_the_better_of_two_becomes_the_champion_though_it_was_killed_and_answers(
    laptop: Laptop,
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    model_hub: Hub,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    model_hub.asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", model_hub.address)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = ("--store", str(laptop.store))
    first = scripts.assigned("sentiment")
    environment = {"MLFLOW_EXPERIMENT_NAME": "sentiment", "MLFLOW_RUN_ID": first}
    shallow = scripts.start(TRAIN, *arguments_of(EXAMPLE / "one-layer.yaml"), **environment)
    assert shallow.wait() == 0, shallow.said
    promoted = call(capsys, "promote", first, "--model", "sentiment", "--when", "metrics.accuracy >= 0.8", *store)
    assert promoted.code == 0, promoted.error

    command = started(laptop, tmp_path / "run", "run", EXAMPLE / "two-layers.yaml", "-o", "json")
    try:
        wait_for("an epoch is kept", lambda: has_kept(scripts, "sentiment-two-layers", 1), 400, 0.2)
    finally:
        [training] = children(command.pid)
        os.kill(training, signal.SIGKILL)
    assert command.wait() == 0, command.errors.read_text()
    second = scripts.named("sentiment", "sentiment-two-layers")
    assert second
    attempts = json.loads(command.said)["status"]["attempts"]
    assert [(each["reason"], each["exitCode"]) for each in attempts] == [("Error", 137), ("Completed", 0)]
    log = laptop.log_of(second, "sentiment-two-layers-2").decode()
    [kept] = map(int, re.findall(r"^goes on after epoch (\d+)$", log, re.MULTILINE))
    assert kept >= 1
    assert [*map(int, re.findall(r"^epoch (\d+):", log, re.MULTILINE))] == [*range(kept + 1, 13)]
    assert [*scripts.history(second.info.run_id)["val_loss"]] == [*range(1, 13)]
    champion = laptop.client.get_model_version_by_alias("sentiment", "champion")
    assert (int(champion.version), champion.run_id) == (2, second.info.run_id)
    compared = call(capsys, "compare", first, second.info.run_id, *store, "-o", "json")
    assert_readme(json.loads(compared.out), second.info.run_id)

    port = free_port()
    server = started(laptop, tmp_path / "serve", "serve", "sentiment", "--local", "--port", str(port))
    try:
        wait_for("it answers", lambda: is_up(port, server), timeout_seconds=400)
        first_line, curl = server.said.splitlines()[:2]
        assert first_line.startswith("sentiment version 2 (champion) will answer at ")
        words = shlex.split(curl)
        examples = json.loads(words[words.index("-d") + 1])
        own = {**examples, next(iter(examples)): ["The soup was not cold.", "The soup was not fresh."]}
        for body in (examples, own):
            answer = asked(port, json.dumps(body))
            assert {*answer[0]} == {"label", "score"}
        assert [each["label"] for each in answer] == ["praise", "complaint"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    assert model_hub.asked == [], "what is trained from scratch needs no hub"


def is_up(port: int, server: Process) -> bool:
    assert not server.is_over, server.errors.read_text()[-2000:]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def has_kept(scripts: Scripts, name: str, epoch: int) -> bool:
    run = scripts.named("sentiment", name)
    return run is not None and int(run.data.tags.get("checkpoint_epoch", 0)) >= epoch


def asked(port: int, body: str) -> list[dict[str, str | float]]:
    place = f"http://127.0.0.1:{port}/invocations"
    request = urllib.request.Request(place, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found: list[dict[str, str | float]] = json.load(answer)["predictions"]
        return found


def assert_readme(compared: dict[str, Any], second: str) -> None:
    """Assert that the README's table is of the two runs, whichever processor it was; the second is the best."""
    table = re.findall(r"^\| (?:one-layer|two-layers) \| (\S+) \| (\S+) \|$", README.read_text(), re.MULTILINE)
    found = [[run["metrics"][name] for name in ("accuracy", "f1_score")] for run in compared["runs"]]
    assert [[*map(float, row)] for row in table] == [pytest.approx(row, abs=0.05) for row in found]
    assert compared["best"]["accuracy"] == [second]
