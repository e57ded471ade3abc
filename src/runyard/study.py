"""Optuna, which chooses what to try next by what came of other trials.

A trial's number in Optuna's study is its index in the sweep: asking twice for one gives the same, whoever asks, and
however the first who asked came to an end.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import takewhile
from typing import TYPE_CHECKING

from runyard.api import trials
from runyard.api.direction import Direction
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import ParameterSpace, Sampler, TrainingSweepSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna import Study as OptunaStudy
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial
    from pydantic import JsonValue


class Study:
    """The study of one sweep, in a database that may be shared. Whatever the database raises comes through."""

    def __init__(self, storage: RDBStorage, name: str, spec: TrainingSweepSpec) -> None:
        """Open it; it is made if it is not there."""
        self._storage, self._name, self._spec = storage, name, spec
        self._space = {key: _distribution(space) for key, space in spec.parameters.items()}

    def ask(self, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with.

        Args:
            index: the trial's; those before it have been asked for.
            known: what came of others.

        """
        from optuna.trial import Trial as OptunaTrial

        study = self._opened(index)
        self._tell(study, known)
        while len(listed := _trials(study)) <= index:
            study.ask(self._space)
        found = listed[index]
        if found.params.keys() == self._space.keys():
            return self._written(found.params)
        # Whoever asked for it first was cut off: what it has stays, the rest is chosen now.
        trial = OptunaTrial(study, found._trial_id)  # noqa: SLF001 as study.ask makes them
        return self._written({name: trial._suggest(name, space) for name, space in self._space.items()})  # noqa: SLF001 of any space

    def _written(self, chosen: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Return values as a grid has them: Optuna computes 0.8999999999999999 where 0.9 is meant."""
        found = {}
        for name, space in self._spec.parameters.items():
            value, among = chosen[name], trials.choices(space)
            if isinstance(among, trials.Stepped) and isinstance(value, float):
                value = among[among.nearest(value)]
            found[name] = value
        return found

    def asked(self) -> list[Mapping[str, JsonValue]]:
        """Return what trials are tried with, by index: those that were asked for to the end."""
        whole = takewhile(lambda found: found.params.keys() == self._space.keys(), _trials(self._opened(0)))
        return [self._written(found.params) for found in whole]

    def finish(self, known: Sequence[Trial]) -> None:
        """Take what came of all trials of a sweep that has ended; one that nothing came of has failed."""
        study = self._opened(0)
        self._tell(study, known)
        _leave(study)

    def _tell(self, study: OptunaStudy, known: Sequence[Trial]) -> None:
        from optuna.trial import TrialState as OptunaState

        states = {TrialState.FAILED: OptunaState.FAIL, TrialState.PRUNED: OptunaState.PRUNED}
        there = _trials(study)
        for trial in known:
            if trial.index >= len(there) or there[trial.index].state.is_finished():
                continue
            if trial.state in states:
                study.tell(trial.index, state=states[trial.state])
            elif trial.state is TrialState.SUCCEEDED and trial.value is not None:
                # One that is no number fails there, as Optuna has it.
                is_number = trial.value == trial.value
                study.tell(trial.index, trial.value if is_number else None, None if is_number else OptunaState.FAIL)

    def _opened(self, index: int) -> OptunaStudy:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        wanted = self._spec.objective.wanted
        return optuna.create_study(
            storage=self._storage,
            study_name=self._name,
            direction="maximize" if wanted is Direction.HIGHEST else "minimize",
            sampler=_sampler(self._spec, index),
            load_if_exists=True,
        )


def leave(storage: RDBStorage, name: str) -> None:
    """Say of the study of a sweep that is gone, if there is one, that nothing comes of its trials any more."""
    from optuna import load_study

    try:
        storage.get_study_id_from_name(name)
    except KeyError:
        return
    _leave(load_study(study_name=name, storage=storage))


def storage(url: str, connect_args: Mapping[str, object] | None = None) -> RDBStorage:
    """Open a database for studies; its tables are made if they are not there.

    Args:
        url: SQLAlchemy's, such as sqlite:///optuna.db.
        connect_args: what the database's driver is given.

    """
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    # Trials end minutes apart: a connection that is kept idle is one that a firewall forgets.
    kwargs = {"poolclass": NullPool, "connect_args": {**(connect_args or {})}}
    return RDBStorage(url, engine_kwargs=kwargs)


def _trials(study: OptunaStudy) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def _leave(study: OptunaStudy) -> None:
    """Have every trial ended: one that goes on for ever is one that samplers and people wait for."""
    from optuna.trial import TrialState as OptunaState

    for trial in _trials(study):
        if not trial.state.is_finished():
            study.tell(trial.number, state=OptunaState.FAIL)


def _sampler(spec: TrainingSweepSpec, index: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    # Made anew for each trial, as after a restart; with one seed for all each would draw the same.
    seed = int.from_bytes(sha256(f"{spec.seed}/{index}".encode()).digest()[:4])
    if spec.sampler is Sampler.RANDOM:
        return RandomSampler(seed)
    is_parallel = spec.parallelism > 1
    if spec.sampler is Sampler.MULTIVARIATE_TPE:
        return TPESampler(seed=seed, multivariate=True, constant_liar=is_parallel)
    return TPESampler(seed=seed, constant_liar=is_parallel)


def _distribution(space: ParameterSpace) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if space.values is not None:
        return CategoricalDistribution(space.values)  # type: ignore[arg-type]
    if space.is_integer:
        among = trials.choices(space) or (0,)
        step = int(space.step or 1)
        return IntDistribution(int(str(among[0])), int(str(among[len(among) - 1])), log=space.log, step=step)
    least, most = float(space.least or 0), float(space.most or 0)
    if space.step is None:
        return FloatDistribution(least, most, log=space.log)
    among = trials.choices(space) or (least,)
    return FloatDistribution(least, float(str(among[len(among) - 1])), step=float(space.step))
