"""Optuna's study, in a real database: each trial is asked for once, whoever asks, and results are taken once."""

import math
from pathlib import Path
from typing import Any

import pytest
from optuna import load_study
from optuna.storages import RDBStorage
from optuna.trial import TrialState as OptunaState

from runyard.api.sweeping import Trial, TrialState
from runyard.study import Study, leave, storage
from tests.unit.test_trials import spec

SPACE = {
    "rate": {"min": 1e-4, "max": 1e-1, "log": True},
    "depth": {"min": 2, "max": 9, "step": 3},
    "part": {"min": 0, "max": 1, "type": "Float", "step": 0.3},
    "kind": {"values": ["a", "b", True]},
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> RDBStorage:
    return storage(f"sqlite:///{tmp_path_factory.mktemp('optuna') / 'optuna.db'}")


def study(database: RDBStorage, name: str, **more: Any) -> Study:
    return Study(database, name, spec(SPACE, algorithm="Optuna", maxTrials=10, **more))


def test_asking_twice_gives_the_same_and_others_something_else(database: RDBStorage) -> None:
    first = study(database, "twice").ask(0, ())
    assert study(database, "twice").ask(0, ()) == first
    assert study(database, "twice").ask(1, ()) != first
    assert 1e-4 <= first["rate"] <= 1e-1  # type: ignore[operator]
    assert first["depth"] in {2, 5, 8}
    assert first["part"] in {0.0, 0.3, 0.6, 0.9}
    assert first["kind"] in {"a", "b", True}


def test_a_trial_that_was_not_asked_for_to_the_end_keeps_what_it_has(database: RDBStorage) -> None:
    mine = study(database, "cut-off")
    mine.ask(0, ())
    begun = load_study(study_name="cut-off", storage=database).ask()
    rate = begun.suggest_float("rate", 1e-4, 1e-1, log=True)
    found = mine.ask(1, ())
    assert found["rate"] == rate
    assert found.keys() == SPACE.keys()
    assert mine.ask(1, ()) == found


def test_what_was_tried_is_known_as_far_as_it_was_asked_for_to_the_end(database: RDBStorage) -> None:
    mine = study(database, "asked")
    assert mine.asked() == []
    asked = [mine.ask(index, ()) for index in range(2)]
    load_study(study_name="asked", storage=database).ask().suggest_float("rate", 1e-4, 1e-1, log=True)
    assert study(database, "asked").asked() == asked


def test_of_a_sweep_that_is_gone_no_trial_goes_on(database: RDBStorage) -> None:
    mine = study(database, "gone")
    for index in range(2):
        mine.ask(index, [Trial(0, TrialState.SUCCEEDED, 0.5)][:index])
    leave(database, "gone")
    leave(database, "gone")
    kept = load_study(study_name="gone", storage=database)
    assert [trial.state for trial in kept.trials] == [OptunaState.COMPLETE, OptunaState.FAIL]
    leave(database, "nobody's")
    assert "nobody's" not in {found.study_name for found in database.get_all_studies()}


def test_what_came_of_trials_is_taken_once(database: RDBStorage) -> None:
    mine = study(database, "told")
    for index in range(5):
        mine.ask(index, ())
    known = [
        Trial(0, TrialState.SUCCEEDED, 0.5),
        Trial(1, TrialState.FAILED),
        Trial(2, TrialState.PRUNED),
        Trial(3, TrialState.SUCCEEDED, math.nan),
    ]
    mine.finish(known)
    mine.finish([Trial(0, TrialState.SUCCEEDED, 0.9), *known[1:]])
    kept = load_study(study_name="told", storage=database)
    assert [(trial.state, trial.value) for trial in kept.trials] == [
        (OptunaState.COMPLETE, 0.5),
        (OptunaState.FAIL, None),
        (OptunaState.PRUNED, None),
        (OptunaState.FAIL, None),
        (OptunaState.FAIL, None),  # nothing came of it, and the sweep is over
    ]
    assert kept.direction.name == "MAXIMIZE"


@pytest.mark.parametrize("sampler", ["TPE", "MultivariateTPE", "Random"])
@pytest.mark.parametrize("parallelism", [1, 4])
def test_each_sampler_chooses_by_seed_and_results(database: RDBStorage, sampler: str, parallelism: int) -> None:
    def asked(name: str, seed: int) -> list[Any]:
        mine = study(database, f"{name}-{sampler}-{parallelism}", sampler=sampler, parallelism=parallelism, seed=seed)
        known: list[Trial] = []
        for index in range(3):
            tried = mine.ask(index, known)
            known.append(Trial(index, TrialState.SUCCEEDED, float(str(tried["rate"])), parameters=tried))
        return [trial.parameters for trial in known]

    assert asked("one", 7) == asked("same", 7)
    assert asked("other", 8) != asked("one", 7)


def test_the_sampler_goes_by_results(database: RDBStorage) -> None:
    mine = Study(database, "good", spec({"x": {"min": 0, "max": 1, "type": "Float"}}, algorithm="Optuna", maxTrials=40))
    known: list[Trial] = []
    for index in range(40):
        tried = mine.ask(index, known)
        known.append(Trial(index, TrialState.SUCCEEDED, -((float(str(tried["x"])) - 0.3) ** 2)))
    late = [abs(float(str(mine.ask(index, ())["x"])) - 0.3) for index in range(25, 40)]
    assert sum(late) / len(late) < 0.15  # by chance it would be 0.29


def test_a_database_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unable to open database file"):
        storage(f"sqlite:///{tmp_path / 'nowhere' / 'optuna.db'}")
