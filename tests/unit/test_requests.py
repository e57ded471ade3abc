"""What a request to the API server asks for, in the words of its access rules."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from runyard_operator.lease import LeaseLost
from runyard_operator.requests import ApiCall, api_call, of_api_server, of_mlflow

RUNS = "/apis/runyard.dev/v1alpha1/namespaces/team/trainingruns"


@pytest.mark.parametrize(
    ("method", "url", "call"),
    [
        ("GET", "/api/v1/namespaces/team/pods", ApiCall("list", "pods", "team")),
        ("GET", "/api/v1/pods?labelSelector=a", ApiCall("list", "pods")),
        ("GET", "/api/v1/pods?watch=true", ApiCall("watch", "pods")),
        ("GET", "/api/v1/namespaces/team/pods?watch=true&timeoutSeconds=60", ApiCall("watch", "pods", "team")),
        ("GET", "/api/v1/namespaces/team/pods/p/log?container=c", ApiCall("get", "pods/log", "team")),
        ("GET", f"{RUNS}/wine", ApiCall("get", "trainingruns", "team")),
        ("PATCH", f"{RUNS}/wine/status", ApiCall("patch", "trainingruns/status", "team")),
        ("POST", "/apis/batch/v1/namespaces/team/jobs", ApiCall("create", "jobs", "team")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/r/leases/l", ApiCall("update", "leases", "r")),
        ("DELETE", "/apis/batch/v1/namespaces/team/jobs/j", ApiCall("delete", "jobs", "team")),
        ("GET", "/api/v1/namespaces/team", ApiCall("get", "namespaces")),
        ("GET", "/apis/batch/v1", ApiCall("get", "discovery")),
        ("GET", "/version", ApiCall("get", "discovery")),
        ("GET", "/k8s/clusters/c-1/api/v1/namespaces/team/pods", ApiCall("list", "pods", "team")),
    ],
)
def test_a_request_in_words(method: str, url: str, call: ApiCall) -> None:
    assert api_call(method, URL(f"https://server{url}")) == call


@pytest.fixture
def received() -> list[str]:
    """The methods of the requests that arrived."""
    return []


@pytest.fixture
async def url(received: list[str]) -> AsyncIterator[URL]:
    async def note(request: web.Request) -> web.Response:
        received.append(request.method)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    async with TestServer(app) as server:
        yield server.make_url("/")


def refuse() -> None:
    raise LeaseLost("not held")


async def test_who_does_not_lead_writes_nothing_but_asks_for_the_lease(url: URL, received: list[str]) -> None:
    told: list[ApiCall] = []
    trace = of_api_server(refuse, lambda call, _: told.append(call))
    async with aiohttp.ClientSession(url, trace_configs=[trace]) as session:
        for method in ("POST", "PATCH", "PUT", "DELETE"):
            with pytest.raises(LeaseLost):
                await session.request(method, "/apis/batch/v1/namespaces/team/jobs")
        await session.put("/apis/coordination.k8s.io/v1/namespaces/team/leases/one")
        await session.get("/api/v1/pods")
    assert received == ["PUT", "GET"]
    assert told == [ApiCall("update", "leases", "team"), ApiCall("list", "pods")]


async def test_who_does_not_lead_says_nothing_to_mlflow(url: URL, received: list[str]) -> None:
    async with aiohttp.ClientSession(url, trace_configs=[of_mlflow(refuse)]) as session:
        for method in ("GET", "POST"):
            with pytest.raises(LeaseLost):
                await session.request(method, "/api/2.0/mlflow/runs/get")
    assert received == []
