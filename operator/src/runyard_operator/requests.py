"""What is noted of each request that leaves the process, and refused to one that no longer leads."""

from collections.abc import Callable
from http import HTTPMethod, HTTPStatus
from types import SimpleNamespace
from typing import NamedTuple

import aiohttp
from yarl import URL

from runyard_operator import metrics

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_LEASES = "leases"


class ApiCall(NamedTuple):
    """A request to the API server, in the words of its access rules; without a namespace it is about all of them."""

    verb: str
    resource: str
    namespace: str = ""


def api_call(method: str, url: URL) -> ApiCall:
    """Return what a request asks for."""
    parts = [part for part in url.path.split("/") if part]
    root = next((place for place, part in enumerate(parts) if part in {"api", "apis"}), None)
    rest = [] if root is None else parts[root + (2 if parts[root] == "api" else 3) :]
    if not rest:
        return ApiCall("get", "discovery")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:  # noqa: PLR2004 namespaces, its name, and what is in it
        namespace, rest = rest[1], rest[2:]
    resource, name, *subresource = [*rest, ""] if len(rest) == 1 else rest
    verb = _VERBS.get(method) or ("watch" if url.query.get("watch") == "true" else "get" if name else "list")
    return ApiCall(verb, "/".join([resource, *subresource]), namespace)


def of_api_server(
    require_lease: Callable[[], None], answered: Callable[[ApiCall, aiohttp.ClientResponse], None]
) -> aiohttp.TraceConfig:
    """Return what counts requests to the API server, tells of answers (200, 403) and lets none but the leader write."""
    trace = aiohttp.TraceConfig()

    async def start(_s: aiohttp.ClientSession, _c: SimpleNamespace, sent: aiohttp.TraceRequestStartParams) -> None:
        if sent.method != HTTPMethod.GET and api_call(sent.method, sent.url).resource != _LEASES:
            require_lease()

    async def end(_s: aiohttp.ClientSession, _c: SimpleNamespace, sent: aiohttp.TraceRequestEndParams) -> None:
        call = api_call(sent.method, sent.url)
        metrics.count_api_request(call.verb, call.resource, str(sent.response.status))
        if sent.response.status in {HTTPStatus.OK, HTTPStatus.FORBIDDEN}:
            answered(call, sent.response)

    async def fail(_s: aiohttp.ClientSession, _c: SimpleNamespace, sent: aiohttp.TraceRequestExceptionParams) -> None:
        call = api_call(sent.method, sent.url)
        metrics.count_api_request(call.verb, call.resource, "error")

    trace.on_request_start.append(start)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace


def of_mlflow(require_lease: Callable[[], None]) -> aiohttp.TraceConfig:
    """Return what counts errors of MLflow, and lets none but the leader ask it for anything."""
    trace = aiohttp.TraceConfig()

    async def start(_s: aiohttp.ClientSession, _c: SimpleNamespace, _sent: aiohttp.TraceRequestStartParams) -> None:
        require_lease()

    async def end(_s: aiohttp.ClientSession, _c: SimpleNamespace, sent: aiohttp.TraceRequestEndParams) -> None:
        metrics.count_mlflow_answer(sent.response.status)

    async def fail(_s: aiohttp.ClientSession, _c: SimpleNamespace, sent: aiohttp.TraceRequestExceptionParams) -> None:
        metrics.count_mlflow_silence(sent.exception)

    trace.on_request_start.append(start)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace
