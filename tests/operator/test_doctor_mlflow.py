"""`runyard doctor --laptop`: a real MLflow that is well, one that was started wrongly, and a machine with its traps."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runyard.cli import main
from runyard.doctor.findings import Verdict
from tests.chart.rendered import Object
from tests.operator.pretending import pretending
from tests.support.apiserver import free_port
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.repositories import Repository, new_repository

EXPERIMENTS = json.dumps({"experiments": [{"artifact_location": "mlflow-artifacts:/0"}]})
WELL = {
    "/health": "OK",
    "/version": "3.17.2",
    "/api/2.0/mlflow/experiments/search": EXPERIMENTS,
    "/api/2.0/mlflow-artifacts/artifacts": "{}",
}


Doctor = Callable[..., tuple[int, list[Object]]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], repository: Repository) -> Doctor:
    """Ask as a person does, in a repository; the exit code comes of it, and what was found."""
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(repository.folder)

    def ask(*words: str) -> tuple[int, list[Object]]:
        monkeypatch.setattr(sys, "argv", ["runyard", "doctor", "--laptop", "-o", "json", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        findings: list[Object] = json.loads(capsys.readouterr().out)["findings"]
        return int(ended.value.code or 0), findings

    return ask


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = new_repository(tmp_path / "project")
    found.commit(train="print(1)")
    found.git("config", "user.email", "a@example.org")
    return found


def wrongs(found: list[Object]) -> dict[str, str]:
    listed = [each for each in found if each["verdict"] == Verdict.WRONG]
    assert all(each["why"] and each["remedy"] for each in listed)
    return {each["check"]: each["says"] for each in listed}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wrongly-started")


@pytest.fixture(scope="module")
def wrongly_started(folder: Path) -> Iterator[MlflowRest]:
    """A server that knows one name alone, whose artifacts have no place, and whose experiments have them elsewhere."""
    (folder / "file").write_text("no folder")
    flags = ["--allowed-hosts=127.0.0.1:*", f"--artifacts-destination={folder}/file/artifacts"]
    with mlflow_server(None, folder, *flags) as found:
        yield found


def test_a_server_that_is_well(doctor: Doctor, mlflow: MlflowRest) -> None:
    before = mlflow.call("mlflow-artifacts/artifacts?path=")
    code, found = doctor("--tracking-uri", mlflow.url)
    assert (code, [each["check"] for each in found if each["verdict"] != Verdict.WELL]) == (0, [])
    assert mlflow.call("mlflow-artifacts/artifacts?path=") == before, "what was tried is removed"
    assert {"server", "version", "database", "artifact-root", "artifacts", "clock", "git"} <= {
        each["check"] for each in found
    }


def test_what_may_not_be_tried_is_said(doctor: Doctor, mlflow: MlflowRest) -> None:
    code, found = doctor("--tracking-uri", mlflow.url, "--read-only")
    assert (code, [each["check"] for each in found if each["verdict"] != Verdict.WELL]) == (0, ["artifacts"])


def test_artifacts_that_cannot_be_written(doctor: Doctor, wrongly_started: MlflowRest) -> None:
    code, found = doctor("--tracking-uri", wrongly_started.url)
    assert (code, list(wrongs(found))) == (1, ["artifacts"])
    assert wrongs(found)["artifacts"].startswith("no artifact can be written: 500 ")


def test_a_name_that_the_server_does_not_know(doctor: Doctor, wrongly_started: MlflowRest) -> None:
    address = wrongly_started.url.replace("127.0.0.1", "localhost")
    code, found = doctor("--tracking-uri", address)
    says = f"{address} answers 403 to this name: it is none of the server's allowed hosts"
    assert (code, wrongs(found)["server"]) == (1, says)


def test_experiments_whose_artifacts_are_on_each_clients_own_disk(doctor: Doctor, wrongly_started: MlflowRest) -> None:
    wrongly_started.call("mlflow/experiments/create", {"name": "elsewhere", "artifact_location": "/models/here"})
    code, found = doctor("--tracking-uri", wrongly_started.url, "--read-only")
    assert (code, wrongs(found)) == (1, {"artifact-root": "experiments keep artifacts in /models/here, a folder"})


def test_a_database_that_is_broken(doctor: Doctor, wrongly_started: MlflowRest, folder: Path) -> None:
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("ALTER TABLE experiments RENAME TO gone")
    code, found = doctor("--tracking-uri", wrongly_started.url)
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("ALTER TABLE gone RENAME TO experiments")
    assert code == 1
    assert wrongs(found)["database"].startswith("a search of experiments is answered ")


def test_nobody_there(doctor: Doctor) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    code, found = doctor("--tracking-uri", address)
    assert code == 4
    assert wrongs(found)["server"].startswith(f"{address} does not answer: nothing listens there")
    code, found = doctor("--tracking-uri", "http://no-such-host.invalid")
    assert (code, "its name is not known" in wrongs(found)["server"]) == (4, True)


@pytest.mark.usefixtures("doctor")
def test_what_a_person_reads(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(sys, "argv", ["runyard", "doctor", "--laptop", "--tracking-uri", address])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().out
    *_, mlflow, last = said.split("\n\n")
    assert said.startswith("this machine\n  ✓ packages      Python 3.")
    assert [line.split("(")[0] for line in mlflow.splitlines()] == [
        "MLflow",
        f"  ✗ server   {address} does not answer: nothing listens there ",
        "             no run can be logged",
        "             → start it, or correct MLFLOW_TRACKING_URI; in a cluster: kubectl -n runyard get pods,ingress",
        "  \N{EN DASH} version, database, artifact-root, artifacts, clock  the server does not answer as MLflow does",
    ]
    assert last == "1 wrong, 5 well, 5 could not be looked at.\n"


def test_something_that_is_no_mlflow(doctor: Doctor) -> None:
    with pretending({"/health": "<html>Log in</html>"}) as address:
        code, found = doctor("--tracking-uri", address)
    assert (code, wrongs(found)) == (1, {"server": f"{address}/health answers 200, not as MLflow does"})


@pytest.mark.parametrize(("version", "is_well"), [("2.22.0", False), ("3.1.0", False), ("3.99.0", True)])
def test_a_server_of_another_version(version: str, is_well: bool, doctor: Doctor) -> None:  # noqa: FBT001 a table's
    with pretending({**WELL, "/version": version}) as address:
        code, found = doctor("--tracking-uri", address, "--read-only")
    expected = {} if is_well else {"version": f"the client is MLflow 3.17.2, the server {version}"}
    assert (code, wrongs(found)) == (int(not is_well), expected)


def test_a_clock_that_is_wrong(doctor: Doctor) -> None:
    with pretending(WELL, datetime.now(UTC) + timedelta(hours=1)) as address:
        code, found = doctor("--tracking-uri", address, "--read-only")
    assert (code, list(wrongs(found))) == (1, ["clock"])
    assert "behind the server's" in wrongs(found)["clock"]


def test_a_proxy_that_is_asked_for_this_machine(
    doctor: Doctor, mlflow: MlflowRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    code, found = doctor("--tracking-uri", mlflow.url)
    assert (code, list(wrongs(found))) == (4, ["proxy", "server"])
    assert "secret" not in json.dumps(found)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert doctor("--tracking-uri", mlflow.url)[0] == 0


def test_what_an_earlier_try_left_in_the_environment(
    doctor: Doctor, mlflow: MlflowRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    code, found = doctor("--tracking-uri", mlflow.url, "--read-only")
    assert (code, wrongs(found)) == (1, {"environment": "MLFLOW_RUN_ID is set to 0123"})
    [remedy] = [each["remedy"] for each in found if each["check"] == "environment"]
    assert remedy == "unset MLFLOW_RUN_ID"


def test_an_address_without_its_scheme(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlflow.localhost:8080")
    code, found = doctor()
    assert (code, list(wrongs(found))) == (1, ["tracking-uri"])


def test_a_store_of_another_time(doctor: Doctor, tmp_path: Path, folder: Path, wrongly_started: MlflowRest) -> None:
    assert wrongly_started.is_up()
    store = tmp_path / "old"
    store.mkdir()
    with sqlite3.connect(folder / "mlflow.db") as database, sqlite3.connect(store / "mlflow.db") as copied:
        database.backup(copied)
        copied.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
    code, found = doctor("--store", str(store))
    assert code == 1
    assert "out-of-date database schema" in wrongs(found)["store"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_a_repository_of_somebody_else(doctor: Doctor, mlflow: MlflowRest, repository: Repository) -> None:
    subprocess.run(["chown", "-R", "12345", repository.folder], check=True)
    code, found = doctor("--tracking-uri", mlflow.url, "--read-only")
    assert (code, list(wrongs(found))) == (1, ["git"])
    [remedy] = [each["remedy"] for each in found if each["check"] == "git"]
    assert remedy == f"git config --global --add safe.directory {repository.folder}"
