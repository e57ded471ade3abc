"""The one client of all measurements: it makes TrainingRuns and plain Jobs alike, over the same connections."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from runyard.api.trainingrun import API_VERSION, PLURAL
from tests.support.factories import manifest

_CONNECTIONS = 32

TRAINING_RUNS = f"/apis/{API_VERSION}/namespaces/{{namespace}}/{PLURAL}"
JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
PODS = "/api/v1/namespaces/{namespace}/pods"


@dataclass(frozen=True)
class Load:
    """Says things to the API server, many at a time."""

    session: aiohttp.ClientSession
    url: str

    async def create(self, collection: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return it."""
        return await self._send("POST", collection.format(namespace=namespace), body)

    async def set_status(self, collection: str, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Write an object's status."""
        path = f"{collection.format(namespace=namespace)}/{name}/status"
        await self._send("PATCH", path, {"status": status}, "application/merge-patch+json")

    async def _send(
        self, method: str, path: str, body: dict[str, Any], content_type: str = "application/json"
    ) -> dict[str, Any]:
        headers = {"Content-Type": content_type}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            found: dict[str, Any] = await answer.json()
            if answer.status >= 400:
                message = f"{method} {path}: {answer.status}: {found.get('message')}"
                raise RuntimeError(message)
            return found


def session(token: str) -> aiohttp.ClientSession:
    """Return a session for the bearer of a token; it is the caller's to close."""
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=False)
    return aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"})


async def all_at_once(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Make all calls, as many at a time as there are connections."""
    left = iter(calls)

    async def work() -> None:
        for call in left:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(work())


async def paced(calls: Iterable[Callable[[], Awaitable[object]]], per_second: float) -> None:
    """Begin calls at a steady rate, whether or not those before have ended."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for index, call in enumerate(calls):
            await asyncio.sleep(start + index / per_second - loop.time())
            group.create_task(_awaited(call))


async def _awaited(call: Callable[[], Awaitable[object]]) -> None:
    await call()


def suspended_run(name: str) -> dict[str, Any]:
    """Return a TrainingRun whose Job starts no pod."""
    return manifest(name, suspend=True)


def suspended_job(name: str) -> dict[str, Any]:
    """Return a plain Job that does as little."""
    container = {"name": "training", "image": "example/wine:1", "command": ["python", "train.py"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
