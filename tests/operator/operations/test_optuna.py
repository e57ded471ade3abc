"""Sweeps that Optuna chooses, while operators come and go and its database does not answer."""

import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optuna import load_study
from optuna.trial import FrozenTrial

from runyard import study
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import TrainingSweep
from tests.operator.actors import Actors, condition
from tests.operator.operations.process import Operators
from tests.operator.sweeps import Sweep
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

SPEC: dict[str, Any] = {"algorithm": "Optuna", "parameters": {"x": {"min": 0, "max": 1, "type": "Float"}}}
COMMAND = (sys.executable, "-m", "tests.operator.operations.with_studies")


@dataclass(frozen=True)
class Database:
    """Optuna's, in a file."""

    file: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def trials(self, name: str) -> list[FrozenTrial]:
        """What it has of a sweep's trials, by number."""
        return load_study(study_name=name, storage=self.url).trials

    def states(self, name: str) -> list[str]:
        return [trial.state.name for trial in self.trials(name)]

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Have it take nothing for the length of a with block."""
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "optuna.db")


@pytest.fixture
def studying(operators: Operators, database: Database) -> Operators:
    """Operators that have a database for Optuna."""
    settings = {"RUNYARD_OPTUNA": "true", "STUDIES": database.url}
    return Operators(operators.home, operators.settings | settings, COMMAND)


def study_of(body: dict[str, Any]) -> str:
    """Return what a sweep's study is called."""
    return "/".join(body["metadata"][name] for name in ("namespace", "name", "uid"))


def score(tried: Any) -> float:
    return -((float(tried) - 0.3) ** 2)


def test_an_operator_that_is_killed_forgets_nothing_that_was_learned(
    actors: Actors, studying: Operators, database: Database, mlflow: MlflowRest, tmp_path: Path
) -> None:
    # One at a time, so that what was known at each choice is known here; of the first ten Optuna chooses by chance.
    sweep, names = Sweep(actors, mlflow), [f"wine-{index}" for index in range(12)]

    def ends(index: int) -> None:
        """Have a trial end as it should, once it is the last that there is."""
        trial = sweep.wait_for_trials(*names[: index + 1])[names[index]]
        sweep.end(names[index], score(trial["spec"]["parameters"]["x"]))

    with studying.start("first") as operator:
        body = sweep.apply(**SPEC, maxTrials=len(names), parallelism=1)
        for index in range(6):
            ends(index)
        sweep.wait_for_trials(*names[:7])
        actors.wait_for_job(names[6])
        operator.send(signal.SIGKILL)
        operator.ends()
    ends(6)
    with studying.start("second") as operator:
        for index in range(7, 11):
            ends(index)
        sweep.wait_for_trials(*names)
        with database.silenced():
            ends(11)
            wait_for("it has ended", lambda: sweep.status["phase"] == "Succeeded")
            operator.send(signal.SIGKILL)
            operator.ends()
    assert database.states(study_of(body)) == ["COMPLETE"] * 11 + ["RUNNING"], "it was killed too late"
    with studying.start("third") as operator:
        with database.silenced():
            # A database that does not answer delays nothing.
            wait_for("MLflow agrees", lambda: condition(sweep.status, "Tracked")["status"] == "True", 60)
            wait_for("it was told of", lambda: operator.metric("runyard_optuna_errors_total") >= 1)
            assert operator.metric("runyard_unsettled_trainingsweeps") == 1
        wait_for("nothing is left to do", lambda: operator.metric("runyard_unsettled_trainingsweeps") == 0, 60)

    calm = study.Study(
        study.storage(f"sqlite:///{tmp_path / 'calm.db'}"), "calm", TrainingSweep.model_validate(body).spec
    )
    known: list[Trial] = []
    for index in range(len(names)):
        tried = calm.ask(index, known)
        known.append(Trial(index, TrialState.SUCCEEDED, score(tried["x"]), parameters=tried))
    trials = sweep.trials
    assert [trials[name]["spec"]["parameters"] for name in names] == [trial.parameters for trial in known]
    kept = database.trials(study_of(body))
    assert [(trial.params, trial.value) for trial in kept] == [(trial.parameters, trial.value) for trial in known]
    assert {trial.state.name for trial in kept} == {"COMPLETE"}
    assert len({job["metadata"]["uid"] for job in actors.items("jobs")}) == len(names)


@pytest.mark.parametrize("is_seen", [True, False], ids=["while an operator looks", "while none looks"])
def test_of_a_sweep_that_is_deleted_no_trial_goes_on_in_its_study(
    actors: Actors, studying: Operators, database: Database, mlflow: MlflowRest, *, is_seen: bool
) -> None:
    sweep = Sweep(actors, mlflow)
    with studying.start("first"):
        body = sweep.apply(**SPEC, maxTrials=3)
        sweep.wait_for_trials("wine-0", "wine-1")
        assert database.states(study_of(body)) == ["RUNNING"] * 2
        if is_seen:
            actors.delete("trainingsweep", "wine")
            wait_for("they have ended", lambda: database.states(study_of(body)) == ["FAIL"] * 2)
    if not is_seen:
        actors.delete("trainingsweep", "wine")
        with studying.start("second"):
            wait_for("they have ended", lambda: database.states(study_of(body)) == ["FAIL"] * 2, 60)
