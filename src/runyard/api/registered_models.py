"""MLflow's registry of models, as far as promotion needs it: what is in it, and what is asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runyard.api.alias_history import Course, Entry, replay
from runyard.api.when import Facts

LOGGED_MODEL = "models:/"


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model, read at once.

    Attributes:
        is_there: whether there is one of that name.
        aliases: the versions by their aliases.
        history: every move of its aliases that is on record.

    """

    is_there: bool
    aliases: Mapping[str, int]
    history: Sequence[Entry]

    def of(self, alias: str) -> list[Entry]:
        """Return the history of one alias."""
        return [entry for entry in self.history if entry.alias == alias]

    def course(self, alias: str) -> Course:
        """Return what came of an alias's history."""
        return replay(self.of(alias))


@dataclass(frozen=True)
class Version:
    """A version of a registered model: where its files are, and the run that it came from, which may be empty."""

    model: str
    version: int
    source: str
    run_id: str


@dataclass(frozen=True)
class Candidate:
    """A run whose model may be promoted.

    Attributes:
        facts: what is known of the run.
        model: the address of its model: models:/ID, or runs:/RUN/PATH.

    """

    facts: Facts
    model: str


class Models(Protocol):
    """The registered models of an MLflow, as far as promotion needs them. What does not answer raises."""

    async def read(self, model: str) -> RegisteredModel:
        """Read a registered model; an empty one where there is none."""

    async def write(self, model: str, entry: Entry) -> None:
        """Write an entry of an alias's history, in place of one with its key."""

    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Give a version an alias, or be refused: who needs to know reads it then."""

    async def run(self, run_id: str) -> Facts | None:
        """Return what is known of a run; None where it is deleted."""

    async def version(self, model: str, version: int) -> Version | None:
        """Read a version; None where it is deleted."""

    async def versions_of(self, run_id: str) -> list[Version]:
        """Return the versions of a run's models, of whichever registered model."""

    async def sources(self, candidate: Candidate) -> list[str]:
        """Return how a registry may write where a run's model is, the way in which it is registered here first."""

    async def create_model(self, model: str) -> None:
        """Make a registered model, unless it is there."""

    async def create_version(self, model: str, source: str, candidate: Candidate) -> int:
        """Make a version of a registered model, and return it."""

    async def delete_version(self, model: str, version: int) -> None:
        """Delete a version."""

    async def tag_version(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""

    async def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write tags to a run."""
