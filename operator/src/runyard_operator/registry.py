"""MLflow's registry of models over its REST API: the requests that `runyard.api.promoting` puts in order."""

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from runyard.api import alias_history
from runyard.api.alias_history import Entry
from runyard.api.registered_models import LOGGED_MODEL, Candidate, RegisteredModel, Version
from runyard.api.when import Facts
from runyard_operator.tracking import API, Tracking, TrackingError, to_tags

_IS_THERE = "RESOURCE_ALREADY_EXISTS"
_REFUSED = "BAD_REQUEST"
_PAGE = 1000


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Tag(_Lenient):
    key: str
    value: str = ""


class _Alias(_Lenient):
    alias: str
    version: int


class _RegisteredModel(_Lenient):
    tags: list[_Tag] = Field(default_factory=list)
    aliases: list[_Alias] = Field(default_factory=list)


class _Version(_Lenient):
    name: str
    version: int
    source: str = ""
    run_id: str = ""

    def plain(self) -> Version:
        return Version(self.name, self.version, self.source, self.run_id)


class Models:
    """The registered models of a server. Every failure to reach or persuade it is a `TrackingError`.

    The methods are those of `runyard.api.registered_models.Models`.
    """

    def __init__(self, tracking: Tracking) -> None:
        """Use a server."""
        self._tracking = tracking

    async def read(self, model: str) -> RegisteredModel:
        """Read a registered model; an empty one where there is none."""
        try:
            answer = await self._tracking.call("GET", f"{API}/registered-models/get", params={"name": model})
        except TrackingError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return RegisteredModel(is_there=False, aliases={}, history=[])
        found = _RegisteredModel.model_validate(answer["registered_model"])
        history = alias_history.entries({tag.key: tag.value for tag in found.tags})
        return RegisteredModel(is_there=True, aliases={it.alias: it.version for it in found.aliases}, history=history)

    async def write(self, model: str, entry: Entry) -> None:
        """Write an entry of an alias's history, in place of one with its key."""
        body = {"name": model, "key": entry.key, "value": entry.value}
        await self._tracking.call("POST", f"{API}/registered-models/set-tag", json={**body})

    async def set_alias(self, model: str, alias: str, version: int) -> None:
        """Give a version an alias, or be refused: who needs to know reads it then."""
        body = {"name": model, "alias": alias, "version": str(version)}
        try:
            await self._tracking.call("POST", f"{API}/registered-models/alias", json={**body})
        except TrackingError as error:
            # MLflow reads before it writes: of two who give an alias for the first time one is refused.
            if error.code != _REFUSED:
                raise

    async def run(self, run_id: str) -> Facts | None:
        """Return what is known of a run; None where it is deleted."""
        found = await self._tracking.live_run(run_id)
        return Facts(run_id, found.status, found.metrics, found.params, found.tags) if found else None

    async def version(self, model: str, version: int) -> Version | None:
        """Read a version; None where it is deleted."""
        asked = {"name": model, "version": str(version)}
        try:
            answer = await self._tracking.call("GET", f"{API}/model-versions/get", params=asked)
        except TrackingError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        return _Version.model_validate(answer["model_version"]).plain()

    async def versions_of(self, run_id: str) -> list[Version]:
        """Return the versions of a run's models, of whichever registered model."""
        found: list[Version] = []
        asked = {"filter": f"run_id='{run_id}'", "max_results": str(_PAGE)}
        while True:
            answer = await self._tracking.call("GET", f"{API}/model-versions/search", params=asked)
            found += [_Version.model_validate(item).plain() for item in answer.get("model_versions", [])]
            if not answer.get("next_page_token"):
                return found
            asked["page_token"] = answer["next_page_token"]

    async def sources(self, candidate: Candidate) -> list[str]:
        """Return how a registry may write where a run's model is, the way in which it is registered here first."""
        address, run_id = candidate.model, candidate.facts.id
        if address.startswith(LOGGED_MODEL):
            answer = await self._tracking.call("GET", f"{API}/logged-models/{address.removeprefix(LOGGED_MODEL)}")
            return [str(answer["model"]["info"]["artifact_uri"]), address]
        root = (await self._tracking.run(run_id)).artifact_uri
        return [f"{root}{address.removeprefix(f'runs:/{run_id}')}", address]

    async def create_model(self, model: str) -> None:
        """Make a registered model, unless it is there."""
        try:
            await self._tracking.call("POST", f"{API}/registered-models/create", json={"name": model})
        except TrackingError as error:
            if error.code != _IS_THERE:
                raise

    async def create_version(self, model: str, source: str, candidate: Candidate) -> int:
        """Make a version of a registered model, and return it."""
        address = candidate.model
        logged = {"model_id": address.removeprefix(LOGGED_MODEL)} if address.startswith(LOGGED_MODEL) else {}
        body = {"name": model, "source": source, "run_id": candidate.facts.id, **logged}
        answer = await self._tracking.call("POST", f"{API}/model-versions/create", json={**body})
        return _Version.model_validate(answer["model_version"]).version

    async def delete_version(self, model: str, version: int) -> None:
        """Delete a version."""
        body = {"name": model, "version": str(version)}
        await self._tracking.call("DELETE", f"{API}/model-versions/delete", json={**body})

    async def tag_version(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        for key, value in tags.items():
            body = {"name": model, "version": str(version), "key": key, "value": value}
            await self._tracking.call("POST", f"{API}/model-versions/set-tag", json={**body})

    async def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Write tags to a run."""
        await self._tracking.call("POST", f"{API}/runs/log-batch", json={"run_id": run_id, "tags": to_tags(tags)})
