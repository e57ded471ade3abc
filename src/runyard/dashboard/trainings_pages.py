"""Trainings on the way: pages and API of TrainingRuns, and the events by which a page stays as it is in the cluster."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, StreamingResponse

from runyard.api.outcome import TrainingRunStatus
from runyard.api.trainingrun import TrainingRun
from runyard.dashboard import answers, api
from runyard.dashboard.api import TheSite
from runyard.dashboard.pages import page
from runyard.dashboard.site import Site
from runyard.dashboard.trainings import Stand, Trainings
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

router = APIRouter(prefix="/trainings", responses=api.UNANSWERED)
pages = APIRouter()
_EVERY_SECONDS = 2.0
# So that whatever stands between does not take a connection on which nothing comes for dead.
_SIGN_OF_LIFE = 7
_MOST_LISTENING = 200

Namespace = Annotated[str, Path(pattern="^[a-z0-9-]{1,63}$")]
Name = Annotated[str, Path(pattern="^[a-z0-9.-]{1,253}$")]


class NoCluster(RunyardError):
    """The dashboard was told of no cluster."""

    exit_code = 2


class NoSuchTraining(RunyardError):
    """There is no TrainingRun of that name."""

    exit_code = 2


class TooMany(RunyardError):
    """More listen than there is room for."""

    exit_code = 4


class Training(answers.Answer):
    """A TrainingRun, and what came of it so far."""

    namespace: str
    name: str
    queue: str | None
    experiment: str
    status: Annotated[TrainingRunStatus, Field(description="as it is on the resource")]

    @classmethod
    def of(cls, found: TrainingRun) -> Training:
        """Return it of a resource."""
        where = found.metadata
        queue = found.spec.queue_name
        return cls(
            namespace=where.namespace, name=where.name, queue=queue, experiment=found.experiment, status=found.status
        )


class TrainingsAnswer(answers.Answer):
    """TrainingRuns, the newest first, a thousand at most."""

    problem: Annotated[str, Field(description="why they may be old; empty where they are not")]
    trainings: list[Training]


def the_trainings(site: Site) -> Trainings:
    """Return the trainings of the cluster.

    Raises:
        NoCluster: there is none.

    """
    if site.trainings is None:
        raise NoCluster("this dashboard looks at no cluster: start it with `runyard dashboard --cluster`")
    return site.trainings


def one(stand: Stand, namespace: str, name: str) -> TrainingRun:
    """Return a training.

    Raises:
        NoSuchTraining: there is none of that name.

    """
    found = stand.one(namespace, name)
    if found is None:
        raise NoSuchTraining(f'there is no TrainingRun "{name}" in namespace {namespace}')
    return found


@router.get("")
def trainings(site: TheSite) -> TrainingsAnswer:
    """Return all TrainingRuns."""
    stand = the_trainings(site).look()
    return TrainingsAnswer(problem=stand.problem, trainings=[Training.of(found) for found in stand.every])


@router.get("/{namespace}/{name}")
def training(site: TheSite, namespace: Namespace, name: Name) -> Training:
    """Return a TrainingRun."""
    return Training.of(one(the_trainings(site).look(), namespace, name))


@router.get("/events", include_in_schema=False)
async def events(request: Request, site: TheSite) -> StreamingResponse:
    """Say, as server-sent events, whenever there is something else to see."""
    found = the_trainings(site)
    listening = request.app.state.listening
    if len(listening) >= _MOST_LISTENING:
        raise TooMany(f"{_MOST_LISTENING} pages listen already: reload this one to see how trainings stand")
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(found, listening), media_type="text/event-stream", headers=headers)


async def _changes(found: Trainings, listening: set[object]) -> AsyncIterator[str]:
    this = object()
    listening.add(this)
    told, quiet = "", 0
    try:
        while True:
            version = (await run_in_threadpool(found.look)).version
            if version != told:
                yield f"event: changed\ndata: {version}\n\n"
                told, quiet = version, 0
            elif (quiet := quiet + 1) >= _SIGN_OF_LIFE:
                yield ": nothing new\n\n"
                quiet = 0
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        listening.discard(this)


@pages.get("/trainings")
def trainings_page(request: Request, site: TheSite) -> HTMLResponse:
    """Show all TrainingRuns."""
    stand = the_trainings(site).look()
    return page(request, "trainings.html", state=None, stand=stand, read_at=_moment(stand))


@pages.get("/trainings/{namespace}/{name}")
def training_page(request: Request, site: TheSite, namespace: Namespace, name: Name) -> HTMLResponse:
    """Show a TrainingRun."""
    stand = the_trainings(site).look()
    found = one(stand, namespace, name)
    return page(request, "training.html", state=None, stand=stand, training=found, read_at=_moment(stand))


def _moment(stand: Stand) -> datetime | None:
    return None if stand.read_at is None else datetime.fromtimestamp(stand.read_at, UTC)
