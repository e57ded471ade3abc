"""MLflow's registry of models, as far as promotion needs it, through MLflow's own client."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from runyard.api import alias_history
from runyard.api.records import RunStatus
from runyard.api.registered_models import LOGGED_MODEL, Candidate, RegisteredModel, Version
from runyard.api.when import Facts
from runyard.tracking import DELETED, answering, client, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from mlflow.entities.model_registry import ModelVersion

    from runyard.api.alias_history import Entry

_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_IS_THERE = "RESOURCE_ALREADY_EXISTS"
_REFUSED = "BAD_REQUEST"

_LONGEST_NAME = 200
_PAGE = 1_000
_VERSIONS_PAGE = 10_000

T = TypeVar("T")


def user(by: str | None = None) -> str:
    """Return who asks for a promotion, as it is written down; None: the user of this process."""
    try:
        return alias_history.reason(getpass.getuser() if by is None else by)[:_LONGEST_NAME]
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"


def done(steps: Coroutine[object, None, T]) -> T:
    """Take the steps of `runyard.api.promoting` with a `Models` of this module, which waits where it asks.

    No event loop is needed, nor is one that runs, as a notebook's, in the way.
    """
    try:
        steps.send(None)
    except StopIteration as ended:
        found: T = ended.value
        return found
    raise RuntimeError("a step waited for something else than MLflow's client")


@dataclass(frozen=True)
class Listed:
    """A registered model, as a list has it.

    Attributes:
        name: its name.
        aliases: the versions by their aliases.
        history: every move of its aliases that is on record, the oldest first.
        changed_at: when it was last changed.

    """

    name: str
    aliases: Mapping[str, int]
    history: Sequence[Entry]
    changed_at: datetime


@dataclass(frozen=True)
class VersionInFull:
    """A version of a registered model.

    Attributes:
        version: its number.
        run_id: the run that it is of; empty where it says none.
        made_at: when it was made.
        tags: all of them.

    """

    version: int
    run_id: str
    made_at: datetime
    tags: Mapping[str, str]


def listed(uri: str) -> list[Listed]:
    """Return all registered models of a server or database, by name.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    found: list[Listed] = []
    with answering(uri, "list registered models"):
        for model in _all(partial(client(uri).search_registered_models, max_results=_PAGE)):
            aliases = {alias: int(version) for alias, version in model.aliases.items()}
            history = alias_history.entries(model.tags)
            found.append(Listed(str(model.name), aliases, history, moment_of(model.last_updated_timestamp)))
    return sorted(found, key=lambda model: model.name)


def _all(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield what a search finds, page by page."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def versions(uri: str, model: str, at_most: int) -> list[VersionInFull]:
    """Return the newest versions of a registered model, the newest first; none where there is no such model.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    # MLflow's filters have no way to write a quote within quotes.
    if "'" in model:
        return []
    with answering(uri, "list a model's versions"):
        page = client(uri).search_model_versions(
            f"name='{model}'", max_results=at_most, order_by=["version_number DESC"]
        )
        return [
            VersionInFull(
                int(each.version), str(each.run_id or ""), moment_of(each.creation_timestamp), dict(each.tags)
            )
            for each in page
        ]


def runs_of_versions(uri: str) -> dict[str, dict[int, str]]:
    """Return of which run each version of each registered model is, by model and number; empty where it says none.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    found: dict[str, dict[int, str]] = {}
    with answering(uri, "list versions of models"):
        for version in _all(partial(client(uri).search_model_versions, max_results=_VERSIONS_PAGE)):
            found.setdefault(str(version.name), {})[int(version.version)] = str(version.run_id or "")
    return found


def tags_of(uri: str, model: str, version: int) -> dict[str, str]:
    """Return the tags of a registered model's version.

    Raises:
        TrackingUnavailable: MLflow does not answer, or has no such version.

    """
    with answering(uri, "read a model's version"):
        return dict(client(uri).get_model_version(model, str(version)).tags)


class Models:
    """The registered models of a server or database. Every failure to reach it is a `TrackingUnavailable`.

    The methods of `runyard.api.registered_models.Models`, none of which lets another task go on: `done` runs them.
    """

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._uri = uri
        self._client = client(uri)

    async def read(self, model: str) -> RegisteredModel:
        """Read a registered model; an empty one where there is none."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a registered model"):
            try:
                found = self._client.get_registered_model(model)
            except MlflowException as error:
                if error.error_code == _NOT_THERE:
                    return RegisteredModel(is_there=False, aliases={}, history=[])
                raise
        aliases = {alias: int(version) for alias, version in found.aliases.items()}
        return RegisteredModel(is_there=True, aliases=aliases, history=alias_history.entries(found.tags))

    async def write(self, model: str, entry: Entry) -> None:
        """Write an entry of an alias's history, in place of one with its key."""
        with answering(self._uri, "write to a registered model"):
            self._client.set_registered_model_tag(model, entry.key, entry.value)

    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Give a version an alias, or be refused: who needs to know reads it then."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, f"move the alias {alias}"):
            try:
                self._client.set_registered_model_alias(model, alias, str(version))
            except MlflowException as error:
                # MLflow reads before it writes: of two who give an alias for the first time one is refused.
                if error.error_code != _REFUSED:
                    raise

    async def run(self, run_id: str) -> Facts | None:
        """Return what is known of a run; None where it is deleted."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a run"):
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == _NOT_THERE:
                    return None
                raise
        if run.info.lifecycle_stage == DELETED:
            return None
        data = run.data
        return Facts(run_id, RunStatus(run.info.status), dict(data.metrics), dict(data.params), dict(data.tags))

    async def version(self, model: str, version: int) -> Version | None:
        """Read a version; None where it is deleted."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a model's version"):
            try:
                return _version(self._client.get_model_version(model, str(version)))
            except MlflowException as error:
                if error.error_code == _NOT_THERE:
                    return None
                raise

    async def versions_of(self, run_id: str) -> list[Version]:
        """Return the versions of a run's models, of whichever registered model."""
        found: list[Version] = []
        token = None
        with answering(self._uri, "list a model's versions"):
            while True:
                page = self._client.search_model_versions(f"run_id='{run_id}'", page_token=token)
                found += map(_version, page)
                token = page.token
                if not token:
                    return found

    async def sources(self, candidate: Candidate) -> list[str]:
        """Return how a registry may write where a run's model is, the way in which it is registered here first."""
        address = candidate.model
        with answering(self._uri, "read a run's model"):
            if address.startswith(LOGGED_MODEL):
                # A database without a server looks for `models:/…` in whichever store the process uses otherwise.
                logged = self._client.get_logged_model(address.removeprefix(LOGGED_MODEL))
                return [str(logged.artifact_location), address]
            root = self._client.get_run(candidate.facts.id).info.artifact_uri
        path = address.removeprefix(f"runs:/{candidate.facts.id}")
        return [f"{root}{path}", address]

    async def create_model(self, model: str) -> None:
        """Make a registered model, unless it is there."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "register a model"):
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != _IS_THERE:
                    raise

    async def create_version(self, model: str, source: str, candidate: Candidate) -> int:
        """Make a version of a registered model, and return it."""
        address = candidate.model
        with answering(self._uri, "register a model's version"):
            made = self._client.create_model_version(
                model,
                source,
                candidate.facts.id,
                await_creation_for=0,
                model_id=address.removeprefix(LOGGED_MODEL) if address.startswith(LOGGED_MODEL) else None,
            )
        return int(made.version)

    async def delete_version(self, model: str, version: int) -> None:
        """Delete a version."""
        with answering(self._uri, "delete a version that was made twice"):
            self._client.delete_model_version(model, str(version))

    async def tag_version(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        with answering(self._uri, "write the reason to the version"):
            for key, value in tags.items():
                self._client.set_model_version_tag(model, str(version), key, value)

    async def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write tags to a run."""
        from mlflow.entities import RunTag

        with answering(self._uri, "write the reason to the run"):
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _version(found: ModelVersion) -> Version:
    return Version(str(found.name), int(found.version), str(found.source), str(found.run_id or ""))
