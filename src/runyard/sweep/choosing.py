"""What the trials of a sweep on this machine are tried with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
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


class StudyMissing(RunyardError):
    """MLflow has trials that Optuna's database knows nothing of."""

    exit_code = 2


class StudyUnavailable(RunyardError):
    """Optuna's database cannot be read or written; nothing is wrong with the sweep."""

    exit_code = 4


class Chooser(Protocol):
    """Says what trials are tried with. What is said of Optuna's database is `StudyUnavailable`."""

    def choose(self, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with, the same whenever it is asked, given what came of others."""
        ...

    def known(self, index: int) -> Mapping[str, JsonValue]:
        """Return what a trial that was begun before was tried with.

        Raises:
            StudyMissing: nobody knows it.

        """
        ...

    def finish(self, known: Sequence[Trial]) -> None:
        """Take what came of all trials of a sweep that has ended."""
        ...


@dataclass(frozen=True)
class _ByIndex:
    """Grids and chance, which need nothing but the index."""

    spec: TrainingSweepSpec

    def choose(self, index: int, _: Sequence[Trial]) -> Mapping[str, JsonValue]:
        return trials.parameters(self.spec, index)

    def known(self, index: int) -> Mapping[str, JsonValue]:
        return trials.parameters(self.spec, index)

    def finish(self, known: Sequence[Trial]) -> None:
        pass


@dataclass
class _ByStudy:
    """Optuna, in a database beside the store."""

    database: Path
    name: str
    spec: TrainingSweepSpec

    def choose(self, index: int, known: Sequence[Trial]) -> Mapping[str, JsonValue]:
        with self._told():
            return self._study.ask(index, known)

    def known(self, index: int) -> Mapping[str, JsonValue]:
        if index >= len(self._asked):
            raise StudyMissing(
                f"{self.database} does not have the study of this sweep, whose trials are in MLflow: start the command "
                "where it was started first, or begin the sweep again with --new"
            )
        return self._asked[index]

    def finish(self, known: Sequence[Trial]) -> None:
        with self._told():
            self._study.finish(known)

    @cached_property
    def _asked(self) -> list[Mapping[str, JsonValue]]:
        """What trials were tried with that were asked for before this command."""
        if not self.database.exists():
            return []
        with self._told():
            return self._study.asked()

    @cached_property
    def _study(self) -> study.Study:
        self.database.parent.mkdir(parents=True, exist_ok=True)
        return study.Study(study.storage(f"sqlite:///{self.database}"), self.name, self.spec)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (OptunaError, SQLAlchemyError, OSError) as error:
            # What SQLAlchemy adds is its statement; the database's own words are enough.
            cause = error.__cause__ or error
            said = " ".join(str(getattr(cause, "orig", None) or cause).split())
            raise StudyUnavailable(f"Optuna's database {self.database} cannot be used: {said}") from error


def chooser(spec: TrainingSweepSpec, folder: Path, name: str) -> Chooser:
    """Return what chooses for a sweep; `folder` is Optuna's, and `name` what its study is called there.

    Raises:
        OptunaMissing: Optuna is wanted, and is not installed.

    """
    if spec.algorithm is not Algorithm.OPTUNA:
        return _ByIndex(spec)
    if find_spec("optuna") is None:
        raise OptunaMissing("spec.algorithm: Optuna is not installed here: pip install 'runyard[optuna]'")
    return _ByStudy(folder.absolute() / "optuna.db", name, spec)
