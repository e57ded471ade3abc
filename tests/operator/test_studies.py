"""Optuna as the operator asks it: beside its event loop, and with an end to its patience."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator.objects import Key
from runyard_operator.trainingsweeps.choosing import Unavailable
from runyard_operator.trainingsweeps.studies import ByStudy
from tests.unit.test_trials import spec

KEY = Key("team", "wine", "u1")
SWEEP = TrainingSweep(spec=spec({"x": {"min": 0, "max": 1, "type": "Float"}}, algorithm="Optuna", maxTrials=9))


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_each_sweep_has_a_study_that_outlives_the_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    first = await ByStudy(url, {}).choose(KEY, SWEEP, 0, [])
    again = ByStudy(url, {})
    assert await again.choose(KEY, SWEEP, 0, []) == first
    assert await again.choose(KEY, SWEEP, 1, [Trial(0, TrialState.SUCCEEDED, 0.5)]) != first
    await again.finish(KEY, SWEEP, [Trial(0, TrialState.SUCCEEDED, 0.5), Trial(1, TrialState.FAILED)])


async def test_a_database_that_hangs_is_told_and_holds_up_nothing_else(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(silent))
    monkeypatch.setenv("PGSSLMODE", "disable")
    asking, turns = asyncio.ensure_future(ByStudy().choose(KEY, SWEEP, 0, [])), 0
    # For the five seconds that a connection may take, the loop goes on: a hundred times, or once if it were held up.
    while not asking.done():
        await asyncio.wait({asking}, timeout=0.05)
        turns += 1
    with pytest.raises(Unavailable, match=r"Optuna's database cannot be used: .*timeout expired"):
        await asking
    assert turns > 10


async def test_a_database_that_is_not_there_is_told() -> None:
    study = ByStudy("postgresql+psycopg2://mlflow:secret@127.0.0.1:9/mlflow", {"connect_timeout": 5})
    with pytest.raises(Unavailable) as refused:
        await study.choose(KEY, SWEEP, 0, [])
    assert "Connection refused" in str(refused.value)
    assert "secret" not in str(refused.value)
