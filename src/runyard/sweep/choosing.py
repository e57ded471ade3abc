"""What the trials of a sweep on this machine are tried with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from runyard import study
from runyard.api import trials
from runyard.api.sweeping import Trial
from runyard.api.trainingsweep import Algorithm, TrainingSweepSpec
from runyard.errors import RunyardError


class OptunaMissing(RunyardError):
    """The sweep asks for Optuna, which is not installed."""

    exit_code = 2


class Chooser(Protocol):
    """Says what trials are tried with."""

    def choose(self, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with, the same whenever it is asked, given what came of others."""
        ...

    def known(self, index: int) -> Mapping[str, JsonValue]:
        """Return what a trial that was begun before was tried with."""
        ...


@dataclass(frozen=True)
class _ByIndex:
    """Grids and chance, which need nothing but the index."""

    spec: TrainingSweepSpec

    def choose(self, index: int, _: Sequence[Trial]) -> Mapping[str, JsonValue]:
        return trials.parameters(self.spec, index)

    def known(self, index: int) -> Mapping[str, JsonValue]:
        return trials.parameters(self.spec, index)


@dataclass(frozen=True)
class _ByStudy:
    """Optuna, in a database beside the store."""

    study: study.Study

    def choose(self, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        return self.study.ask(index, known)

    def known(self, index: int) -> Mapping[str, JsonValue]:
        return self.study.ask(index, ())


def chooser(spec: TrainingSweepSpec, folder: Path, name: str) -> Chooser:
    """Return what chooses for a sweep; `folder` is Optuna's, and `name` what its study is called there.

    Raises:
        OptunaMissing: Optuna is wanted, and is not installed.

    """
    if spec.algorithm is not Algorithm.OPTUNA:
        return _ByIndex(spec)
    if find_spec("optuna") is None:
        raise OptunaMissing("spec.algorithm: Optuna is not installed here: pip install 'runyard[optuna]'")
    folder.mkdir(parents=True, exist_ok=True)
    return _ByStudy(study.Study(study.storage(f"sqlite:///{folder.absolute() / 'optuna.db'}"), name, spec))
