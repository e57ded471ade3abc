"""An artifact store that hangs behind an MLflow that answers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runyard.api.records import Correction, Run, RunStatus
from runyard_operator.tracking import Tracking
from tests.support.mlflow_server import MlflowRest, tags_of

HANGING = 16
TOLD = {"runyard.dev/outcome": "Succeeded"}


@dataclass
class Store:
    """What is before an MLflow: requests that need its artifact store wait there until it answers."""

    tracking: Tracking
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def store(mlflow: MlflowRest) -> AsyncIterator[Store]:
    async def pass_on(request: web.Request) -> web.Response:
        if "artifacts" in request.path:
            found.asked.set()
            await found.answers.wait()
        body, wanted = await request.read(), {"Content-Type": request.content_type}
        async with session.request(request.method, f"{mlflow.url}{request.path_qs}", data=body, headers=wanted) as said:
            return web.Response(status=said.status, body=await said.read(), content_type=said.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        uri = str(server.make_url("")).rstrip("/")
        found = Store(Tracking(session, uri, uri))
        yield found
        found.answers.set()


async def test_uploads_that_hang_leave_room_to_correct_the_runs_of_others(store: Store, mlflow: MlflowRest) -> None:
    tracking = store.tracking
    stored, other = await made(mlflow, tracking), await made(mlflow, tracking)
    uploads = [asyncio.create_task(tracking.upload(stored, f"runyard/{nth}.txt", b"epoch")) for nth in range(HANGING)]
    listings = [asyncio.create_task(tracking.artifacts(stored, "runyard")) for _ in range(HANGING)]
    await store.asked.wait()

    await tracking.apply([Correction(other, RunStatus.FINISHED, TOLD, end_time_ms=1_700_000_000_000)])
    assert not any(task.done() for task in [*uploads, *listings]), "it waited for the artifact store"
    found = mlflow.run(other.id)
    assert (found["info"]["status"], tags_of(found)["runyard.dev/outcome"]) == ("FINISHED", "Succeeded")

    store.answers.set()
    await asyncio.gather(*uploads)
    await asyncio.gather(*listings)
    there = await tracking.artifacts(stored, "runyard")
    assert there == {f"runyard/{nth}.txt" for nth in range(HANGING)}, "what hung is stored once the store answers"


async def made(mlflow: MlflowRest, tracking: Tracking) -> Run:
    return await tracking.run(mlflow.call("mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"])
