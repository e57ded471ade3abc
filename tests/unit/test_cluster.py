"""The patch that writes a status, applied as an API server applies it, and logs that go away while they are read."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio import client

from runyard.api.outcome import Outcome, Phase, TrackingStatus, TrainingRunStatus
from runyard_operator.cluster import Cluster, ClusterError, status_patch
from tests.support.factories import at, attempt, condition


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, as RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = merged(kept.get(key), value)
    return kept


some_statuses = st.builds(
    TrainingRunStatus,
    phase=st.none() | st.sampled_from(Phase),
    message=st.none() | st.text(max_size=3),
    conditions=st.lists(st.sampled_from([condition("Accepted"), condition("Tracked", "False")]), max_size=2),
    start_time=st.none() | st.just(at(0)),
    attempts=st.lists(st.sampled_from([attempt(), attempt("wine-2", Outcome.FAILED, exit_code=1)]), max_size=2),
    tracking=st.none() | st.builds(TrackingStatus, run_id=st.none() | st.just("r1"), url=st.none() | st.just("u")),
    metrics=st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])),
)


@given(some_statuses, some_statuses)
def test_the_patch_makes_one_status_the_other(before: TrainingRunStatus, after: TrainingRunStatus) -> None:
    assert merged(before.to_json(), status_patch(before, after)) == after.to_json()


@given(some_statuses)
def test_it_also_removes_what_somebody_else_wrote_meanwhile(after: TrainingRunStatus) -> None:
    stale = TrainingRunStatus(message="stale", image_digest="stale", duration="1s")
    assert merged(stale.to_json(), status_patch(TrainingRunStatus(), after)) == after.to_json()


LIMIT_BYTES = 1000
LINE = b"epoch 1\n"


@asynccontextmanager
async def answering(
    method: str, path: str, answer: Callable[[web.Request], Awaitable[web.Response]]
) -> AsyncIterator[Cluster]:
    """Answer what is asked at a path, as an API server."""
    app = web.Application()
    app.router.add_route(method, path, answer)
    async with TestServer(app) as server:
        host = str(server.make_url("")).rstrip("/")
        async with client.ApiClient(client.Configuration(host=host)) as api:
            yield Cluster(api)


@asynccontextmanager
async def kubelet(*answers: Callable[[int], web.Response]) -> AsyncIterator[Cluster]:
    """Answer each request for a log in turn, given how many lines it asks for."""
    waiting = iter(answers)

    async def log(request: web.Request) -> web.Response:
        return next(waiting)(int(request.query["tailLines"]))

    async with answering("GET", "/api/v1/namespaces/team/pods/wine/log", log) as cluster:
        yield cluster


def short_lines(number: int) -> web.Response:
    return web.Response(body=LINE * number)


def gone(_: int) -> web.Response:
    return web.Response(status=404)


def broken(_: int) -> web.Response:
    return web.Response(status=500, text="the kubelet does not answer")


def removed(_: int) -> web.Response:
    return web.Response(text="unable to retrieve container logs for containerd://0123")


async def test_of_short_lines_more_are_read() -> None:
    async with kubelet(short_lines, short_lines, short_lines) as cluster:
        tail = await cluster.log_tail("team", "wine", "training", LIMIT_BYTES)
    assert tail == LINE * (LIMIT_BYTES // len(LINE))


@pytest.mark.parametrize(("then", "warnings"), [(gone, 0), (removed, 0), (broken, 1)])
async def test_of_a_log_that_goes_away_between_two_reads_the_first_is_kept(
    then: Callable[[int], web.Response], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    read: list[int] = []

    def first(number: int) -> web.Response:
        read.append(number)
        return short_lines(number)

    with caplog.at_level(logging.WARNING, "runyard_operator.cluster"):
        async with kubelet(first, then) as cluster:
            tail = await cluster.log_tail("team", "wine", "training", LIMIT_BYTES)
    [lines] = read
    assert tail == LINE * lines
    assert caplog.text.count("of the log of pod wine no more than 128 bytes were read: ") == warnings


async def test_a_log_of_which_nothing_was_read_is_not_there_or_not_known() -> None:
    async with kubelet(gone, broken) as cluster:
        assert await cluster.log_tail("team", "wine", "training", LIMIT_BYTES) is None
        with pytest.raises(ClusterError, match="the kubelet does not answer"):
            await cluster.log_tail("team", "wine", "training", LIMIT_BYTES)


@asynccontextmanager
async def conflicting(reason: str, message: str) -> AsyncIterator[Cluster]:
    """Answer 409 to whatever is to be made."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "code": 409, "reason": reason, "message": message}, status=409)

    async with answering("POST", "/{path:.*}", refuse) as cluster:
        yield cluster


async def test_what_is_there_need_not_be_made() -> None:
    async with conflicting("AlreadyExists", 'services "wine" already exists') as cluster:
        await cluster.create_service("team", {})
        assert await cluster.create_job("team", {}) is None


async def test_what_others_that_write_at_a_quota_were_in_the_way_of_is_not_there() -> None:
    async with conflicting("Conflict", 'Operation cannot be fulfilled on resourcequotas "small"') as cluster:
        for create in (cluster.create_service, cluster.create_job):
            with pytest.raises(ClusterError, match="409"):
                await create("team", {})
