"""A machine for each test, and nothing left on it for the next."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import local
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.local.laptop import Laptop
from tests.support.forks import COMMANDS, Interpreter


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave no variable of one test, nor of this machine, to another, and nothing in the folder of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ARTIFACT_ROOT_VARIABLE, "")
    monkeypatch.delenv(ARTIFACT_ROOT_VARIABLE)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, made once: MLflow takes seconds for it."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, "")
        local.Embedded(folder).open().ensure_experiment("default")
    return folder


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter(COMMANDS) as found:
        yield found


@pytest.fixture
def laptop(tmp_path: Path, new_store: Path, interpreter: Interpreter) -> Iterator[Laptop]:
    found = Laptop(tmp_path / "project", tmp_path / "here" / ".runyard", tmp_path / "here", interpreter)
    found.project.mkdir()
    found.here.mkdir()
    shutil.copytree(new_store, found.store)
    # In the background of a shell, or under nohup, tests ignore signals, and what they start inherits that.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield found
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGHUP, hung_up)
    assert not list(tmp_path.rglob("mlruns")), "MLflow kept artifacts where it happened to be"
