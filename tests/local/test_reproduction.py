"""`runyard reproduce` of real trainings: bit for bit, with something changed, and with something missing."""

import hashlib
import json
import math
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow.entities import Run

from runyard import local, reproduction
from runyard import manifest as manifests
from runyard.cli import main
from runyard.history import History
from runyard.reproduction import CodeMissing, NotAFolders
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.support.factories import manifest
from tests.support.mlflow_store import make_store
from tests.support.repositories import Repository, new_repository

EXAMPLES = Path(__file__).parents[2] / "examples"
# A result that is made of code, of a parameter and of data, in a second.
SCRIPT = """
import pathlib, sys
import mlflow
from runyard import provenance
from model import factor

data = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "numbers.txt")
with mlflow.start_run(run_name="sum"):
    mlflow.log_param("power", sys.argv[1])
    provenance.log(seeds={"none": 0}, datasets={"numbers": data})
    total = sum(float(line) ** int(sys.argv[1]) for line in data.read_text().split()) * factor
    mlflow.log_metrics({"total": total, "nothing": float("nan")})
    with mlflow.start_run(nested=True):
        mlflow.log_metric("third", total / 3)
"""
NUMBERS = "0.1\n0.2\n0.7\n"
SPEC: dict[str, Any] = {"experiment": "sums", "parameters": {"power": 1}, "args": ["$(params.power)"]}


@dataclass(frozen=True)
class Person:
    """A person with a store, and what they have trained."""

    folder: Path
    command: Callable[..., tuple[int, str, str]]

    @property
    def history(self) -> History:
        return History(self.tracking.uri)

    @property
    def tracking(self) -> local.Embedded:
        return local.Embedded(self.folder / "store")

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.tracking.uri)

    def train(self, project: Path, document: dict[str, Any]) -> str:
        """Train, and return the ID of the run."""
        file = self.folder / "trainingrun.yaml"
        file.write_text(yaml.safe_dump(document))
        ended = local.run(manifests.read(file), project, self.tracking)
        assert ended.status.phase == "Succeeded", ended.status.message
        return str(ended.status.attempts[-1].run_id)

    def reproduces(self, run: str, *words: str | Path) -> tuple[int, dict[str, Any], str]:
        """Ask for it; return the exit code, what is said, and what is told meanwhile."""
        code, out, error = self.command("reproduce", run, *words, "-o", "json")
        return code, json.loads(out), error

    def audits(self, experiment: str) -> dict[str, Any]:
        """Measure an experiment."""
        code, out, error = self.command("audit", experiment, "-o", "json")
        assert code == 0, error
        return dict(json.loads(out)["measures"])

    def metrics(self, run: str) -> dict[str, float]:
        return dict(self.client.get_run(run).data.metrics)

    def run(self, run: str) -> Run:
        return self.client.get_run(run)


def marks(run: Run) -> dict[str, str]:
    """Return what a run says of what it repeats."""
    names = ("reproduces", "varies", "verdict", "greatest-difference", "tolerance", "compared")
    tags = run.data.tags
    return {name: tags[f"runyard.dev/{name}"] for name in names if f"runyard.dev/{name}" in tags}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store, and an environment in which there is nothing of this machine's MLflow."""
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as context:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            context.delenv(name)
        context.setenv(ARTIFACT_ROOT_VARIABLE, "")
        make_store(folder / "store" / "mlflow.db")
        yield folder


@pytest.fixture
def person(machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Person:
    monkeypatch.chdir(machine)

    def command(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runyard", *map(str, words), "--store", str(machine / "store")])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return Person(machine, command)


@pytest.fixture
def sums(tmp_path: Path) -> Repository:
    """A repository with a training in a folder of it."""
    found = new_repository(tmp_path / "repository")
    (found.folder / "training").mkdir()
    (found.folder / "training" / "numbers.txt").write_text(NUMBERS)
    found.commit(training__train=SCRIPT, training__model="factor = 3")
    return found


def example(name: str, folder: Path, **spec: Any) -> dict[str, Any]:
    """Copy an example; return its manifest."""
    shutil.copytree(EXAMPLES / name.partition("/")[0], folder)
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    document["spec"] |= spec
    return document


def test_a_grid_is_reproduced_bit_by_bit(person: Person, tmp_path: Path) -> None:
    small = {"n_estimators": "3", "max_depth": "2", "min_samples_split": "2", "seed": 0}
    before = person.train(tmp_path / "wine", example("wine/trainingrun.yaml", tmp_path / "wine", parameters=small))

    code, found, told = person.reproduces(before)

    assert (code, found["verdict"]) == (0, "Reproduced"), told
    assert found["says"] == "Reproduced: all 8 metrics of 2 runs are the same to the last bit."
    assert [pair["name"] for pair in found["runs"]] == ["forest-grid", "forest-3-2-2"]
    for pair in found["runs"]:
        assert pair["before"] != pair["now"]
        assert person.metrics(pair["before"]) == person.metrics(pair["now"])
    again = person.run(found["reproducedBy"])
    assert again.data.tags["runyard.dev/name"] == found["trainingRun"]
    assert found["trainingRun"].startswith("wine-forest-again-")
    assert marks(again) == {"reproduces": before, "verdict": "Reproduced", "greatest-difference": "0.0"}
    # The parent speaks for its children, which say only what they are a part of.
    assert marks(person.run(found["runs"][1]["now"])) == {"reproduces": before}

    took = (again.info.end_time - again.info.start_time) / 1000
    audited = person.audits("wine")["reproduction"]
    assert (audited["count"], audited["of"], audited["seconds"]["median"]) == (1, 1, took)
    assert audited["behind"][0]["runs"] == [before, again.info.run_id]

    # What is asked for with other parameters is another training: it is neither reproduced nor not.
    code, found, told = person.reproduces(before, "--set", "n_estimators=4")
    assert (code, found["verdict"], found["varies"]) == (1, "Changed", ["parameters.n_estimators"]), told
    _, shown, _ = person.command("show", found["reproducedBy"])
    assert f"reproduces {before} (Changed, parameters.n_estimators)" in [
        " ".join(line.split()) for line in shown.splitlines()
    ]
    varied = marks(person.run(found["reproducedBy"]))
    assert (varied["verdict"], varied["varies"]) == ("Changed", "parameters.n_estimators")
    # Its child has another name and other parameters, and is compared all the same.
    assert [pair["name"] for pair in found["runs"] if pair["before"] and pair["now"]] == ["forest-grid", "forest-3-2-2"]
    assert math.isfinite(found["greatestDifference"])
    assert float(varied["greatest-difference"]) == found["greatestDifference"] > 0
    audited = person.audits("wine")["reproduction"]
    assert (audited["count"], audited["of"], audited["facts"]["varied"], audited["facts"]["results"]) == (1, 1, 1, 2)


def test_a_result_that_would_be_reused_is_trained_again(person: Person, sums: Repository) -> None:
    pinned = {"experiment": "pinned", "image": f"example/sums@sha256:{'1' * 64}", "onDuplicate": "Reuse"}
    before = person.train(sums.folder / "training", manifest(**SPEC | pinned))

    code, found, told = person.reproduces(before)

    assert (code, found["verdict"]) == (0, "Reproduced"), told
    assert found["reproducedBy"] != before
    assert person.audits("pinned")["distinct"]["facts"]["repeats"] == 0


def test_heart_is_reproduced_from_its_commit_and_changed_data_are_found(person: Person, tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repository")
    data = tmp_path / "patients.csv"
    document = example("heart/logistic.yaml", repository.folder / "heart")
    shutil.move(repository.folder / "heart" / "heart_disease.csv", data)
    document["spec"]["datasets"] = [{"name": "patients.csv", "uri": data.as_uri()}]
    document["spec"]["args"].append("--data=$(RUNYARD_DATASET_PATIENTS_CSV)")
    document["spec"]["parameters"]["folds"] = 2
    commit = repository.commit()
    before = person.train(repository.folder / "heart", document)
    repository.commit(heart__train="raise SystemExit('other code')")

    code, found, told = person.reproduces(before)

    assert (code, found["verdict"]) == (0, "Reproduced"), told
    assert f"the code is commit {commit[:12]} of {repository.folder}, checked out for this" in told
    [pair] = found["runs"]
    assert {"f1_score", "roc_auc", "fairness.sex.accuracy_difference"} <= {each["name"] for each in pair["metrics"]}
    assert person.metrics(before) == person.metrics(pair["now"])
    assert (found["differences"], found["gaps"]) == ([], [])
    tags = [person.run(run).data.tags for run in (before, pair["now"])]
    assert tags[0]["runyard.dev/fingerprint"] == tags[1]["runyard.dev/fingerprint"]
    assert repository.git("status", "--porcelain") == "", "the repository stays as it is"

    code, found, _ = person.reproduces(before, "--set", "inverse_regularisation=0.001")
    assert (code, found["verdict"], found["varies"]) == (1, "Changed", ["parameters.inverse_regularisation"])
    assert found["says"].startswith("Changed: inverse_regularisation was 1 and is 0.001, so this is another training: ")
    assert found["changed"] == {"inverse_regularisation": {"before": "1", "now": "0.001"}}
    assert found["greatestDifference"] > 0
    assert {each["name"] for each in found["differences"]} >= {"inverse_regularisation"}

    was = hashlib.sha256(data.read_bytes()).hexdigest()
    data.write_text(data.read_text().replace("63", "64", 1))
    now = hashlib.sha256(data.read_bytes()).hexdigest()
    code, found, _ = person.reproduces(before)
    assert (code, found["verdict"]) == (2, "Cannot")
    assert found["says"] == (
        "Cannot: the data as they were: DatasetMismatch: dataset patients.csv: wanted sha256:"
        f"{was}, found sha256:{now} at {data.as_uri()}."
    )
    data.unlink()
    code, found, _ = person.reproduces(before)
    assert (code, found["gaps"][0]["what"]) == (2, "the data")
    audited = person.audits("heart")["reproduction"]
    assert (audited["count"], audited["of"], audited["seconds"]["count"]) == (1, 1, 1)
    assert audited["behind"][0]["says"].startswith("failed after ")


def test_what_was_not_committed_is_brought_back_and_other_code_is_explained(person: Person, sums: Repository) -> None:
    training = sums.folder / "training"
    (training / "model.py").write_text("factor = 5")
    (training / "new.py").write_text("a new file")
    before = person.train(training, manifest(**SPEC))
    assert person.metrics(before)["total"] == 5.0
    (training / "model.py").write_text("factor = 7")
    (training / "new.py").unlink()

    code, found, told = person.reproduces(before)
    assert (code, found["verdict"]) == (0, "Reproduced"), told
    assert "with the changes recorded then, checked out for this" in told
    # The folder of that one is gone; where this one's code is, is known all the same.
    again = found["reproducedBy"]
    assert person.run(again).data.tags["runyard.dev/folder"] == str(training)
    assert (training / "model.py").read_text() == "factor = 7"

    code, out, told = person.command("reproduce", before, "--in-place")
    assert code == 1
    assert "which is not what ran: commit" in told
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith(
        "Changed: the code is not what ran, so this is another training: "
        "2 of 3 metrics of 2 runs differ, relatively by at most 0.4.\n"
    )
    assert ["sum", "total", "5.0", "7.0", "+2", "+0.4"] in lines
    assert "Code differs (uncommitted): different metrics." in out

    # A child will do, and the repetition. Data whose digest can only be taken by the script are told of afterwards.
    child = person.client.search_runs([person.run(before).info.experiment_id], f"tags.`mlflow.parentRunId` = '{again}'")
    (training / "numbers.txt").write_text("0.1\n0.2\n0.8\n")
    words = ("--in-place", "--set", "power=2", "--metric", "third")
    code, found, _ = person.reproduces(child[0].info.run_id, *words)
    assert (code, found["verdict"], found["runId"]) == (1, "Changed", again)
    assert found["changed"] == {"power": {"before": "1", "now": "2"}}
    assert found["says"].startswith(
        "Changed: the code is not what ran, power was 1 and is 2, so this is another training: its one metric differs"
    )
    assert [each["name"] for each in found["differences"]] == ["command", "power", "uncommitted", "numbers"]
    assert [metric["name"] for pair in found["runs"] for metric in pair["metrics"]] == ["third"]

    # An MLflow that does not take the verdict: it is printed, and that it is lost is told.
    (training / "numbers.txt").write_text(NUMBERS)
    refuse = (
        "CREATE TRIGGER full BEFORE INSERT ON tags WHEN NEW.key = '{}' BEGIN SELECT RAISE(ABORT, 'it is full'); END"
    )
    with sqlite3.connect(person.tracking.database) as database:
        database.execute(refuse.format("runyard.dev/verdict"))
    code, found, told = person.reproduces(before)
    with sqlite3.connect(person.tracking.database) as database:
        database.execute("DROP TRIGGER full")
    assert (code, found["verdict"]) == (4, "Reproduced"), told
    assert "runyard: the verdict is not on record: MLflow at " in told
    assert "it is full" in told
    assert marks(person.run(found["reproducedBy"]))["reproduces"] == before

    (training / "train.py").write_text("raise SystemExit('not today')")
    code, found, _ = person.reproduces(before, "--in-place")
    assert (code, found["verdict"], found["reason"]) == (1, "Failed", "Error")
    assert "not today" in found["says"]

    places_of_the_code(person, sums, before)
    refusals(person, before)


def places_of_the_code(person: Person, sums: Repository, before: str) -> None:
    """Without training: where the code is looked for, and what is missing."""
    history, folder = person.history, sums.folder / "training"
    found = reproduction.receipt(history, history.find(before))

    def restore(code: Any = None, place: Path | None = None) -> str:
        receipt = found if code is None else reproduction.Receipt(**{**vars(found), "code": code})
        with reproduction.restored(history, receipt, place, in_place=False) as restored:
            return (restored.folder / "model.py").read_text()

    def code_of(**more: Any) -> reproduction.RecordedCode:
        return reproduction.RecordedCode(**{**vars(found.code), **more})

    assert restore() == "factor = 5"
    # Without a commit what is there now is taken, where it is that machine's, or the script is the one that ran.
    assert found.code.machine == platform.node()
    script = f"sha256:{hashlib.sha256((folder / 'train.py').read_bytes()).hexdigest()}"
    assert restore(code_of(commit=None)) == "factor = 7"
    assert restore(code_of(commit=None, machine="bobs-laptop", script=script)) == "factor = 7"
    assert restore(code_of(commit=None, machine="bobs-laptop"), folder) == "factor = 7"
    fetched: Any = {**found.manifest, "spec": {**found.spec, "source": {"git": "https://git.example/sums"}}}
    with (
        pytest.raises(NotAFolders, match=r"--in-place: wine fetches its code, spec\.source: leave it out"),
        reproduction.restored(history, replace(found, manifest=fetched), None, in_place=True),
    ):
        pytest.fail("it would train other code than it says")
    clone = sums.folder.parent / "clone"
    sums.git("clone", "--quiet", str(sums.folder), str(clone))
    nowhere = str(sums.folder / "nowhere")
    assert restore(code_of(folder=nowhere), clone / "training") == "factor = 5"
    # From the address, in the folder that the command tells.
    assert restore(code_of(folder=nowhere, address=sums.folder.as_uri())) == "factor = 5"
    assert restore(code_of(folder=nowhere, address=str(sums.folder))) == "factor = 5"
    for code, said in (
        (code_of(folder=nowhere), "no repository on this machine has it, and no address of one is recorded"),
        (code_of(folder=nowhere, address="ext::sh -c 'touch /tmp/pwned'"), "no address of one is recorded"),
        (code_of(folder=nowhere, address="--upload-pack=x"), "no address of one is recorded"),
        (code_of(folder=nowhere, program=None), "in which folder of the repository it ran is not recorded"),
        (code_of(folder=nowhere, commit=None), f"{nowhere} is not on this machine, and no commit is recorded"),
        (code_of(folder=None, commit=None), "it is in the image example/wine:1"),
        (
            code_of(commit=None, machine="bobs-laptop"),
            f"it was in {folder} on bobs-laptop, and this is {platform.node()}; no commit is recorded",
        ),
        (code_of(commit=None, script=f"sha256:{'0' * 64}"), "train.py in "),
        (code_of(commit="0" * 40), "commit 0000000000000000000000000000000000000000 cannot be had: "),
        (code_of(diff=f"sha256:{'0' * 64}"), "uncommitted.diff has the digest sha256:"),
    ):
        with pytest.raises(CodeMissing) as missing:
            restore(code)
        assert said in missing.value.gap.why
        assert missing.value.gap.remedy
        assert missing.value.exit_code == 2
    assert {path.name for path in folder.iterdir() if path.suffix} == {"model.py", "numbers.txt", "train.py"}


def refusals(person: Person, before: str) -> None:
    """What is asked wrongly, or of a run that cannot be repeated, ends with 2 and starts nothing."""
    runs = len(person.history.search())
    for words, said in (
        ([before, "--set", "colour=red"], '--set: wine has no parameter "colour"; it has: power'),
        ([before, "--set", "power"], '--set is "power": give NAME=VALUE'),
        ([before, "--metric", "f1"], 'sum has no metric "f1"; there are: nothing, third, total'),
        ([before, "--folder", "nowhere"], "--folder is nowhere, which is no folder"),
        ([before, "--timeout", "9"], "--timeout is for --cluster"),
        ([before, "--cluster", "--in-place"], "--in-place is not for --cluster"),
        (["nobody"], 'there is no run "nobody"'),
    ):
        code, out, error = person.command("reproduce", *words)
        assert (code, out) == (2, "")
        assert said in " ".join(error.replace("│", " ").split())
    client = person.client
    experiment = client.create_experiment("by hand")
    by_hand = client.create_run(experiment, run_name="by hand").info.run_id
    client.log_metric(by_hand, "f1", 0.5)
    client.set_terminated(by_hand)
    code, found, _ = person.reproduces(by_hand)
    assert (code, found["says"]) == (2, "Cannot: the manifest: no TrainingRun made this run.")
    code, out, _ = person.command("reproduce", by_hand)
    assert out.endswith("\nTo do: write a TrainingRun with its command, and start that with `runyard run`.\n")
    client.log_text(by_hand, "a: &a [*a]", "runyard/trainingrun.yaml")
    says = person.reproduces(by_hand)[1]["says"]
    assert says.startswith("Cannot: the manifest: runyard/trainingrun.yaml: line 1: a reference to")
    client.log_text(by_hand, yaml.safe_dump(manifest(workers=2)), "runyard/trainingrun.yaml")
    code, found, _ = person.reproduces(by_hand)
    assert (code, found["gaps"][0]["what"]) == (2, "a cluster")
    assert len(person.history.search()) == runs + 1


@pytest.mark.usefixtures("person")
def test_a_server_that_does_not_answer_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sys, "argv", ["runyard", "reproduce", "a", "--tracking-uri", "http://127.0.0.1:9"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4
