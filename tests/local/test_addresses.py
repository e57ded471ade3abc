"""A login in an address is told to nobody."""

from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from runyard import local
from runyard.api.addresses import without_logins
from runyard.api.records import Run, RunStatus
from runyard.cli import app
from runyard.errors import TrackingUnavailable
from runyard_operator.tracking import Tracking, TrackingError
from tests.local.laptop import Laptop
from tests.support.apiserver import free_port

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@h:5000/p", "https://h:5000/p"),
        ("postgresql://me:se/cr@et@db/mlflow", "postgresql://db/mlflow"),
        ("fatal: 'https://secret@h/p': refused, http://me:secret@g", "fatal: 'https://h/p': refused, http://g"),
        ("https://h:5000/p@1", "https://h:5000/p@1"),
        ("https://h/p@1", "https://h/p@1"),
        ("sqlite:////here/mlflow.db", "sqlite:////here/mlflow.db"),
    ],
)
def test_addresses_are_shown_without_their_logins(text: str, shown: str) -> None:
    assert without_logins(text) == shown


def test_the_summary_names_the_server_alone(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    result = laptop.run("")
    monkeypatch.setattr(local, "run", lambda *_: result)
    file = str(laptop.project / "trainingrun.yaml")
    done = CliRunner().invoke(app, ["run", file, "--tracking-uri", "postgresql://me:secret@db/mlflow"])
    assert done.output.endswith("Open the UI:  postgresql://db/mlflow\n")
    assert "secret" not in done.output


def test_an_error_is_cut_off_after_its_logins(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(f"{'x' * 280} http://me:secret-{'y' * 40}@h")

    monkeypatch.setattr(Path, "write_bytes", refused)
    with pytest.raises(TrackingUnavailable) as error:
        local.Embedded(laptop.store).open().upload(Run("id", "1", RunStatus.RUNNING, 0), "log.txt", b"")
    assert str(error.value).endswith("xxx http://h")


async def test_the_operator_says_which_server_does_not_answer_without_the_login() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TrackingError) as error:
            await Tracking(session, f"http://me:secret@{address}", "").runs_of_pod("uid")
    assert str(error.value).startswith(f"MLflow at http://{address} did not answer ")
    assert "secret" not in str(error.value)
