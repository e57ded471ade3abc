"""MLflow's registry of models, as far as promotion needs it, through MLflow's own client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runyard.api import alias_history
from runyard.api.alias_history import Course, Entry, replay
from runyard.api.records import RunStatus
from runyard.api.when import Facts
from runyard.tracking import DELETED, answering, client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities.model_registry import ModelVersion

    from runyard.history import LoggedRun

_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_IS_THERE = "RESOURCE_ALREADY_EXISTS"
_REFUSED = "BAD_REQUEST"
_LOGGED_MODEL = "models:/"


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


class Models:
    """The registered models of a server or database. Every failure to reach it is a `TrackingUnavailable`."""

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._uri = uri
        self._client = client(uri)

    def read(self, model: str) -> RegisteredModel:
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

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Give a version an alias, or be refused: who needs to know reads it then."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, f"move the alias {alias}"):
            try:
                self._client.set_registered_model_alias(model, alias, str(version))
            except MlflowException as error:
                # MLflow reads before it writes: of two who give an alias for the first time one is refused.
                if error.error_code != _REFUSED:
                    raise

    def write(self, model: str, entry: Entry) -> None:
        """Write an entry of an alias's history, in place of one with its key."""
        with answering(self._uri, "write to a registered model"):
            self._client.set_registered_model_tag(model, entry.key, entry.value)

    def run(self, run_id: str) -> Facts | None:
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

    def version(self, model: str, version: int) -> ModelVersion | None:
        """Read a version; None where it is deleted."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "read a model's version"):
            try:
                return self._client.get_model_version(model, str(version))
            except MlflowException as error:
                if error.error_code == _NOT_THERE:
                    return None
                raise

    def _sources(self, run: LoggedRun) -> list[str]:
        """Return how a registry may write where a run's model is, the way in which it is registered here first."""
        address = str(run.model)
        with answering(self._uri, "read a run's model"):
            if address.startswith(_LOGGED_MODEL):
                # A database without a server looks for `models:/…` in whichever store the process uses otherwise.
                logged = self._client.get_logged_model(address.removeprefix(_LOGGED_MODEL))
                return [str(logged.artifact_location), address]
            root = self._client.get_run(run.id).info.artifact_uri
        path = address.removeprefix(f"runs:/{run.id}")
        return [f"{root}{path}", address]

    def _versions(self, model: str, run: LoggedRun) -> list[int]:
        """Return the versions of a run's model, the first one first."""
        sources = self._sources(run)
        found: list[ModelVersion] = []
        token = None
        with answering(self._uri, "list a model's versions"):
            while True:
                page = self._client.search_model_versions(f"run_id='{run.id}'", page_token=token)
                found.extend(page)
                token = page.token
                if not token:
                    break
        return sorted(int(each.version) for each in found if each.name == model and each.source in sources)

    def version_of(self, model: str, run: LoggedRun) -> int | None:
        """Return the version of a run's model, if there is one."""
        return next(iter(self._versions(model, run)), None)

    def register(self, model: str, run: LoggedRun) -> int:
        """Make a version of a run's model and return it: one, whoever makes it at the same time."""
        from mlflow.exceptions import MlflowException

        with answering(self._uri, "register a model"):
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != _IS_THERE:
                    raise
            address = str(run.model)
            made = self._client.create_model_version(
                model,
                self._sources(run)[0],
                run.id,
                await_creation_for=0,
                model_id=address.removeprefix(_LOGGED_MODEL) if address.startswith(_LOGGED_MODEL) else None,
            )
        first = self._versions(model, run)[0]
        if first != int(made.version):
            with answering(self._uri, "delete a version that was made twice"):
                self._client.delete_model_version(model, made.version)
        return first

    def tell(self, model: str, version: int, run_id: str | None, tags: Mapping[str, str]) -> None:
        """Write tags for people on a version and on its run; what tells the history is the registered model's."""
        from mlflow.entities import RunTag

        with answering(self._uri, "write the reason to the version and the run"):
            for key, value in tags.items():
                self._client.set_model_version_tag(model, str(version), key, value)
            if run_id and self.run(run_id) is not None:
                self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
