"""Trainings on the way: pages and API of TrainingRuns, and the events by which a page stays as it is in the cluster."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import HTMLResponse, StreamingResponse

from runyard.api.outcome import TrainingRunStatus
from runyard.api.trainingrun import TrainingRun
from runyard.cluster import ClusterUnavailable
from runyard.dashboard import answers, api, queues
from runyard.dashboard.accounts import NotSignedIn
from runyard.dashboard.api import TheSite
from runyard.dashboard.changes import Change
from runyard.dashboard.pages import link, page
from runyard.dashboard.progress import Courses, Going, Progress, attempt
from runyard.dashboard.site import Site
from runyard.dashboard.trainings import SeenTrainings, Stand, Trainings
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

router = APIRouter(prefix="/trainings", responses=api.UNANSWERED)
pages = APIRouter()
_EVERY_SECONDS = 2.0
# So that whatever stands between does not take a connection on which nothing comes for dead.
_SIGN_OF_LIFE = 7
_MOST_LISTENING = 200
# Threads of their own: those who listen must not keep those who open a page waiting.
ASKED_AT_ONCE = 8
_NO_CLUSTER = "this dashboard looks at no cluster: start it with `runyard dashboard --cluster`"

Namespace: TypeAlias = Annotated[str, Path(pattern="^[a-z0-9-]{1,63}$")]
Name: TypeAlias = Annotated[str, Path(pattern="^[a-z0-9.-]{1,253}$")]
Pod: TypeAlias = Annotated[
    str | None, Query(pattern="^[a-z0-9.-]{0,253}$", description="of which attempt, by its pod; none: the newest")
]


class NoCluster(RunyardError):
    """The dashboard was told of no cluster."""

    exit_code = 2


class NoSuchTraining(RunyardError):
    """There is no TrainingRun of that name."""

    exit_code = 2


class TooMany(RunyardError):
    """More listen than there is room for."""

    exit_code = 4


class Place(answers.Answer):
    """Where a training stands among the TrainingRuns that wait for its queue, by their age."""

    number: Annotated[int, Field(description="1 for the oldest")]
    of: int


class Training(answers.Answer):
    """A TrainingRun, and what came of it so far."""

    namespace: str
    name: str
    queue: str | None
    place: Annotated[Place | None, Field(description="where it stands in its queue, while it waits")]
    experiment: str
    status: Annotated[TrainingRunStatus, Field(description="as it is on the resource")]

    @classmethod
    def of(cls, found: TrainingRun, place: queues.Place | None) -> Training:
        """Return it of a resource, and of its place in its queue."""
        where = found.metadata
        return cls(
            namespace=where.namespace,
            name=where.name,
            queue=found.spec.queue_name,
            place=Place(number=place.number, of=place.of) if place else None,
            experiment=found.experiment,
            status=found.status,
        )


class LogAnswer(answers.Answer):
    """The end of an attempt's log: 200 lines at most, of 64 KiB at most."""

    pod: Annotated[str, Field(description="of which pod; empty where there is none yet")]
    text: str
    says: Annotated[str, Field(description="where it is from, or why there is none or nothing newer")]
    is_final: Annotated[bool, Field(description="whether no more of it comes")]


class CoursesAnswer(answers.Answer):
    """Metrics of an attempt's run that have several steps; /compare/figures/course draws them."""

    run_id: Annotated[str, Field(description="the run; empty where there is none yet")]
    metrics: Annotated[list[str], Field(description="those that are drawn, six at most")]
    asked: Annotated[int, Field(description="of how many metrics it is known whether they have several")]
    of: Annotated[int, Field(description="how many metrics the run has, without those of the machine")]
    says: Annotated[str, Field(description="why nothing newer is known; empty where it is")]


class TrainingsAnswer(answers.Answer):
    """TrainingRuns, the newest first, a thousand at most."""

    problem: Annotated[str, Field(description="why they may be old; empty where they are not")]
    left_out: Annotated[str, Field(description="which are not among them; empty where all are")]
    trainings: list[Training]


def the_trainings(site: Site) -> Trainings | SeenTrainings:
    """Return the trainings of the cluster.

    Raises:
        NoCluster: there is none.

    """
    if site.trainings is None:
        raise NoCluster(_NO_CLUSTER)
    return site.trainings


def one(stand: Stand, namespace: str, name: str) -> TrainingRun:
    """Return a training.

    Raises:
        NoSuchTraining: there is none of that name.

    """
    found = stand.one(namespace, name)
    if found is None:
        among = f", or it is not among those that are shown. {stand.left_out}" if stand.left_out else ""
        raise NoSuchTraining(f'there is no TrainingRun "{name}" in namespace {namespace}{among}')
    return found


@router.get("/events", include_in_schema=False)
async def events(request: Request, site: TheSite) -> StreamingResponse:
    """Say, as server-sent events, whenever there is something else to see of all trainings."""
    found = the_trainings(site)
    return _listening(request, lambda: found.look().version)


@router.get("/{namespace}/{name}/events", include_in_schema=False)
async def events_of_one(
    request: Request, site: TheSite, namespace: Namespace, name: Name, pod: Pod = None
) -> StreamingResponse:
    """Say, as server-sent events, whenever there is something else to see of a training."""
    found = the_trainings(site)

    def version() -> str:
        stand = found.look_for(namespace, name)
        seen = stand.one(namespace, name)
        return _version(stand, seen, site.going.look(seen, pod)) if seen and site.going else ""

    return _listening(request, version)


@router.get("")
def trainings(site: TheSite) -> TrainingsAnswer:
    """Return all TrainingRuns."""
    stand = the_trainings(site).look()
    places = queues.places(stand.every)
    trainings = [Training.of(each, places.get((each.metadata.namespace, each.metadata.name))) for each in stand.every]
    return TrainingsAnswer(problem=stand.problem, left_out=stand.left_out, trainings=trainings)


@router.get("/{namespace}/{name}")
def training(site: TheSite, namespace: Namespace, name: Name) -> Training:
    """Return a TrainingRun."""
    stand = the_trainings(site).look_for(namespace, name)
    found = one(stand, namespace, name)
    return Training.of(found, queues.place(found, stand.every))


@router.get("/{namespace}/{name}/log")
def log(site: TheSite, namespace: Namespace, name: Name, pod: Pod = None) -> LogAnswer:
    """Return the end of the log of a training's attempt."""
    going, _, found = the_one(site, namespace, name, pod)
    said = going.log(found, attempt(found, pod))
    return LogAnswer(pod=said.pod, text=said.text, says=said.says, is_final=said.is_final)


@router.get("/{namespace}/{name}/courses")
def courses(site: TheSite, namespace: Namespace, name: Name, pod: Pod = None) -> CoursesAnswer:
    """Return which metrics of a training's attempt can be drawn."""
    going, _, found = the_one(site, namespace, name, pod)
    known = going.courses(found, attempt(found, pod))
    return CoursesAnswer(
        run_id=known.run_id, metrics=list(known.drawn), asked=known.asked, of=known.of, says=known.says
    )


def the_one(site: Site, namespace: str, name: str, pod: str | None) -> tuple[Going, Stand, TrainingRun]:
    """Return what reads how far a training is, how all of them stand, and the training.

    Raises:
        NoCluster: no cluster is looked at.
        NoSuchTraining: there is none of that name, or it has no such attempt.

    """
    stand = the_trainings(site).look_for(namespace, name)
    found = one(stand, namespace, name)
    if pod and attempt(found, pod) is None:
        raise NoSuchTraining(f'"{name}" has no attempt in a pod "{pod}", or it is not among the last ten')
    if site.going is None:
        raise NoCluster(_NO_CLUSTER)
    return site.going, stand, found


def _version(stand: Stand, seen: TrainingRun, progress: Progress) -> str:
    """Return something that is another one whenever there is something else to see of a training."""
    place = queues.place(seen, stand.every)
    return f"{seen.metadata.version}-{place.number if place else 0}-{int(bool(stand.problem))}-{progress.version}"


def _listening(request: Request, version: Callable[[], str]) -> StreamingResponse:
    state = request.app.state
    if len(state.listening) >= _MOST_LISTENING:
        raise TooMany(f"{_MOST_LISTENING} pages listen already: reload this one to see how trainings stand")
    headers = {"X-Accel-Buffering": "no"}
    changes = _changes(version, state.listening, state.turns)
    return StreamingResponse(changes, media_type="text/event-stream", headers=headers)


async def _changes(look: Callable[[], str], listening: set[object], turns: CapacityLimiter) -> AsyncIterator[str]:
    this = object()
    listening.add(this)
    told, quiet = "", 0
    try:
        while True:
            try:
                version = await to_thread.run_sync(look, limiter=turns)
            except (NotSignedIn, ClusterUnavailable):
                return  # whoever listens asks again, and is told why
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
    places = queues.places(stand.every)
    return page(request, "trainings.html", state=None, stand=stand, places=places, read_at=_moment(stand))


@pages.get("/trainings/{namespace}/{name}")
def training_page(request: Request, site: TheSite, namespace: Namespace, name: Name, pod: Pod = None) -> HTMLResponse:
    """Show a TrainingRun."""
    going, stand, found = the_one(site, namespace, name, pod)
    progress = going.look(found, pod)
    return page(
        request,
        "training.html",
        state=None,
        stand=stand,
        version=_version(stand, found, progress),
        training=found,
        place=queues.place(found, stand.every),
        pod=pod,
        log=progress.log,
        courses=progress.courses,
        figures=_figures(request.app.state.base, progress.courses),
        changes=_changes_of(site, found) if site.may_change and not stand.problem else [],
        read_at=_moment(stand),
    )


def _changes_of(site: Site, found: TrainingRun) -> list[Change]:
    try:
        return the_trainings(site).possible(found)
    except ClusterUnavailable:  # it answered a moment ago: what is wrong is told with the next look
        return []


def _figures(base: str, known: Courses) -> list[tuple[str, str]]:
    """Return addresses and titles of the figures of a run's courses."""
    source = f"{base}{api.PREFIX}/compare/figures/course"
    return [(link(source, {"run": known.run_id, "course": name}), name) for name in known.drawn]


def _moment(stand: Stand) -> datetime | None:
    return None if stand.read_at is None else datetime.fromtimestamp(stand.read_at, UTC)
