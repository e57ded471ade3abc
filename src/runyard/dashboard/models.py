"""Registered models: which version people use, how it came to be that, and from which run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import HTMLResponse

from runyard.api.alias_history import Entry
from runyard.api.promotion import PROMOTED_BECAUSE_TAG
from runyard.dashboard import answers, api
from runyard.dashboard.api import TheSite
from runyard.dashboard.pages import page
from runyard.dashboard.site import Site
from runyard.errors import RunyardError
from runyard.registry import Listed, VersionInFull

router = APIRouter(prefix="/models", responses=api.UNANSWERED)
pages = APIRouter()
_MOST_VERSIONS = 100

Name = Annotated[str, Query(max_length=500, description="of the registered model")]


class NoSuchModel(RunyardError):
    """There is no registered model of that name."""

    exit_code = 2


class Move(answers.Answer):
    """A move of an alias."""

    alias: str
    change: Annotated[str, Field(description="Promoted, RolledBack or Moved")]
    version: int | None
    instead_of: int | None
    run_id: str | None
    at: datetime
    by: str
    because: str

    @classmethod
    def of(cls, entry: Entry) -> Move:
        """Return it of an entry of the record."""
        record = entry.record
        return cls(
            alias=entry.alias,
            change=record.change.value,
            version=record.version,
            instead_of=record.instead_of,
            run_id=record.run_id,
            at=record.at,
            by=record.by,
            because=record.because,
        )


class Model(answers.Answer):
    """A registered model."""

    name: str
    aliases: Annotated[dict[str, int], Field(description="versions by alias")]
    changed_at: datetime
    moves: Annotated[list[Move], Field(description="of its aliases, the newest first")]

    @classmethod
    def of(cls, found: Listed) -> Model:
        """Return it of what the registry has."""
        moves = [Move.of(entry) for entry in reversed(found.history)]
        return cls(name=found.name, aliases=dict(found.aliases), changed_at=found.changed_at, moves=moves)


class Version(answers.Answer):
    """A version of a registered model."""

    version: int
    aliases: list[str]
    run_id: Annotated[str, Field(description="the run that it is of; empty where it says none")]
    made_at: datetime
    because: Annotated[str, Field(description="why it was promoted; empty where nothing was written down")]


class ModelInFull(Model):
    """A registered model with its newest versions, a hundred at most."""

    versions: list[Version]


def every(site: Site) -> list[Model]:
    """Return all registered models.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    return [Model.of(found) for found in site.models()]


def one(site: Site, name: str) -> ModelInFull:
    """Return a registered model.

    Raises:
        NoSuchModel: there is none of that name.
        TrackingUnavailable: MLflow does not answer.

    """
    model = next((each for each in every(site) if each.name == name), None)
    if model is None:
        raise NoSuchModel(f'there is no registered model "{name}"')
    made = [_version(each, model) for each in site.versions(name, _MOST_VERSIONS)]
    return ModelInFull(**model.model_dump(), versions=made)


def _version(found: VersionInFull, model: Model) -> Version:
    return Version(
        version=found.version,
        aliases=sorted(alias for alias, version in model.aliases.items() if version == found.version),
        run_id=found.run_id,
        made_at=found.made_at,
        because=found.tags.get(PROMOTED_BECAUSE_TAG, ""),
    )


@router.get("")
def models(site: TheSite) -> list[Model]:
    """Return all registered models."""
    return every(site)


@router.get("/model")
def model(site: TheSite, name: Name) -> ModelInFull:
    """Return a registered model."""
    return one(site, name)


@pages.get("/models")
def models_page(request: Request, site: TheSite) -> HTMLResponse:
    """Show all registered models."""
    view = site.look_and_ask()
    return page(request, "models.html", state=api.state(view), models=every(site), runs=view.runs.by_id)


@pages.get("/model")
def model_page(request: Request, site: TheSite, name: Name) -> HTMLResponse:
    """Show a registered model."""
    view = site.look_and_ask()
    return page(request, "model.html", state=api.state(view), model=one(site, name), runs=view.runs.by_id)
