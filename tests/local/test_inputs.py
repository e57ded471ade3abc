"""`runyard run` with a source and datasets: the same program as in a pod, against real servers."""

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml
from mlflow.entities import Run

from tests.local.laptop import Laptop
from tests.support.repositories import Repository, git_server, new_repository
from tests.support.waiting import wait_for
from tests.support.web import content, web_server

pytestmark = pytest.mark.usefixtures("environment")

TABLE = b"alcohol,quality\n12.5,7\n"
DIGEST = f"sha256:{hashlib.sha256(TABLE).hexdigest()}"
ANOTHER = f"sha256:{'0' * 64}"
SCRIPT = """
import csv, mlflow, os, pathlib
rows = list(csv.DictReader(open(os.environ["RUNYARD_DATASET_WINE_CSV"])))
with mlflow.start_run():
    mlflow.log_param("folder", pathlib.Path.cwd().name)
    mlflow.log_metric("quality", float(rows[0]["quality"]))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a script that knows nothing of Runyard, in the folder `training`."""
    found = new_repository(tmp_path / "served" / "wine")
    found.commit(training__train=SCRIPT)
    return found


@pytest.fixture
def git(repository: Repository) -> Iterator[str]:
    """The repository's address."""
    with git_server(repository.folder.parent) as address:
        yield f"{address}/wine"


@pytest.fixture
def web() -> Iterator[str]:
    with web_server({"/wine.csv": content(TABLE)}) as address:
        yield address


def inputs_of(run: Run) -> dict[str, dict[str, str]]:
    """Return the tags of a run's datasets by name."""
    return {found.dataset.name: {tag.key: tag.value for tag in found.tags} for found in run.inputs.dataset_inputs}


def wine(web: str, digest: str | None = DIGEST) -> list[dict[str, Any]]:
    return [{"name": "wine.csv", "uri": f"{web}/wine.csv", "digest": digest}]


def test_a_script_as_it_is_trains_what_was_fetched(laptop: Laptop, repository: Repository, git: str, web: str) -> None:
    source = {"git": git, "revision": "main", "path": "training"}
    laptop.write("raise SystemExit('the source is elsewhere')", source=source, datasets=wine(web))
    code, out, error = laptop.cli("run", laptop.project / "trainingrun.yaml", "-o", "json")
    assert code == 0, error
    status, commit = json.loads(out)["status"], repository.git("rev-parse", "HEAD")
    resolved = {"git": git, "commit": commit, "branch": "main"}
    [attempt] = status["attempts"]
    assert attempt["source"] == status["source"] == resolved
    assert attempt["datasets"] == [{"name": "wine.csv", "digest": DIGEST}]
    assert f"source: {git} at commit {commit}" in error
    [run] = laptop.runs()
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert (run.data.params["folder"], run.data.metrics["quality"]) == ("training", 7.0)
    assert inputs_of(run)["wine.csv"]["runyard.dev/digest"] == DIGEST
    assert inputs_of(run)["wine.csv"]["runyard.dev/verified"] == "true"
    fetched = laptop.client.download_artifacts(run.info.run_id, "runyard/log-wine-1-runyard-prepare.txt")
    assert DIGEST in Path(fetched).read_text()


def test_without_a_digest_what_was_found_is_recorded(laptop: Laptop, web: str) -> None:
    found = laptop.run("import os; open(os.environ['RUNYARD_DATASET_WINE_CSV'])", datasets=wine(web, None))
    [run] = laptop.runs()
    assert found.status.attempts[0].outcome == "Succeeded"
    assert inputs_of(run)["wine.csv"] == {
        "mlflow.data.context": "training",
        "runyard.dev/digest": DIGEST,
        "runyard.dev/verified": "false",
        "runyard.dev/uri": f"{web}/wine.csv",
    }


def test_an_argument_may_name_a_dataset_as_in_a_pod(laptop: Laptop, web: str) -> None:
    script = "import sys; assert open(sys.argv[1]).readline().startswith('alcohol')"
    found = laptop.run(script, datasets=wine(web), args=["$(RUNYARD_DATASET_WINE_CSV)"])
    assert found.status.phase == "Succeeded"


def test_a_folder_of_the_source_may_be_the_working_dir(laptop: Laptop, git: str) -> None:
    command = ["python", "-c", "import os; assert os.path.exists('train.py')"]
    found = laptop.run(command=command, source={"git": git}, workingDir="/runyard/source/training")
    assert found.status.phase == "Succeeded"


def test_what_would_be_so_again_ends_it(laptop: Laptop, git: str) -> None:
    laptop.write("", source={"git": git, "revision": "gone"}, backoffLimit=3)
    code, out, error = laptop.cli("run", laptop.project / "trainingrun.yaml", "-o", "yaml")
    status = yaml.safe_load(out)["status"]
    [attempt] = status["attempts"]
    message = f"{git} has no branch, tag or commit gone"
    assert code == 1, error
    assert (attempt["outcome"], attempt["reason"], attempt["message"]) == ("Failed", "SourceUnavailable", message)
    assert "exitCode" not in attempt
    assert (status["message"], status["conditions"][2]["reason"]) == (message, "SourceUnavailable")
    [run] = laptop.runs()
    assert (run.info.status, run.data.tags["runyard.dev/reason"]) == ("FAILED", "SourceUnavailable")
    assert laptop.log_of(run).decode() == f"There is no log of wine-1 (SourceUnavailable): {message}\n"


def test_another_content_is_not_trained_with(laptop: Laptop, web: str) -> None:
    found = laptop.run("raise SystemExit('trained')", datasets=wine(web, ANOTHER), backoffLimit=1)
    [attempt] = found.status.attempts
    assert attempt.reason == "DatasetMismatch"
    assert attempt.message == f"dataset wine.csv: wanted {ANOTHER}, found {DIGEST} at {web}/wine.csv"
    [run] = laptop.runs()
    assert inputs_of(run) == {}


def test_what_may_be_there_later_is_tried_again(laptop: Laptop, tmp_path: Path) -> None:
    dataset = {"name": "wine", "uri": (tmp_path / "wine.csv").as_uri()}
    found = laptop.run("", datasets=[dataset], backoffLimit=1)
    assert [attempt.reason for attempt in found.status.attempts] == ["DatasetUnavailable"] * 2


def test_the_deadline_is_of_the_fetching_as_well(laptop: Laptop) -> None:
    is_over = Event()

    def answer(_: object) -> None:
        is_over.wait(60)

    with web_server({"/wine.csv": answer}) as web:
        found = laptop.run("", datasets=wine(web), activeDeadlineSeconds=2)
        is_over.set()
    assert [attempt.reason for attempt in found.status.attempts] == ["DeadlineExceeded"]


def test_an_interruption_while_it_is_fetched_closes_the_run(laptop: Laptop) -> None:
    asked, is_over = Event(), Event()

    def answer(_: object) -> None:
        asked.set()
        is_over.wait(60)

    with web_server({"/wine.csv": answer}) as web:
        laptop.write("", datasets=wine(web))
        with laptop.command("run", laptop.project / "trainingrun.yaml") as process:
            wait_for("the dataset is asked for", asked.is_set, timeout_seconds=60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        is_over.set()
    [run] = laptop.runs()
    assert (run.info.status, run.data.tags["runyard.dev/reason"]) == ("KILLED", "Cancelled")


def test_the_secret_is_left_out_with_a_word(laptop: Laptop, git: str) -> None:
    source = {"git": git, "path": "training", "secretName": "sign-in"}
    laptop.write("", source=source, command=["python", "-c", ""])
    code, _, error = laptop.cli("run", laptop.project / "trainingrun.yaml", "-o", "yaml")
    assert code == 0
    assert "runyard: left out on this machine: spec.source.secretName" in error


def test_a_bad_address_is_refused_before_anything_begins(laptop: Laptop) -> None:
    laptop.write("", source={"git": "git@h:p"})
    code, _, error = laptop.cli("run", laptop.project / "trainingrun.yaml")
    assert code == 2
    assert "spec.source.git: Forbidden: must be https://HOST/PATH" in error
    assert laptop.runs() == []
