"""What trials are tried with."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from runyard.api import trials
from runyard.api.sweeping import Trial
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator.objects import Key


class Unavailable(Exception):
    """What chooses does not answer; the text says what and why."""


class Chooser(Protocol):
    """Says what trials are tried with."""

    async def choose(
        self, key: Key, sweep: TrainingSweep, index: int, known: Sequence[Trial]
    ) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with, the same whenever it is asked, given what came of others.

        Raises:
            Unavailable: it does not answer.

        """
        ...

    async def finish(self, key: Key, sweep: TrainingSweep, known: Sequence[Trial]) -> None:
        """Take what came of all trials of a sweep that has ended.

        Raises:
            Unavailable: it does not answer.

        """
        ...

    async def leave(self, key: Key) -> None:
        """Hear that a sweep is gone, and that nothing comes of its trials any more.

        Raises:
            Unavailable: it does not answer.

        """
        ...


class ByIndex:
    """Grids and chance, which need nothing but the index."""

    async def choose(self, _key: Key, sweep: TrainingSweep, index: int, _: Sequence[Trial]) -> Mapping[str, JsonValue]:
        """Return what a trial is tried with."""
        return trials.parameters(sweep.spec, index)

    async def finish(self, key: Key, sweep: TrainingSweep, known: Sequence[Trial]) -> None:
        """Take nothing: nothing is learned."""

    async def leave(self, key: Key) -> None:
        """Do nothing: nothing was kept."""
