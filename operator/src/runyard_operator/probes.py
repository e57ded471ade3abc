"""What the kubelet and Prometheus ask: /healthz, /readyz and /metrics, on one port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from runyard_operator import metrics


@asynccontextmanager
async def serving(
    port: int, health_problems: Callable[[], list[str]], readiness_problems: Callable[[], list[str]]
) -> AsyncIterator[None]:
    """Answer for the length of a with block. They are answered by the event loop: one that is stuck answers nothing."""
    app = web.Application()
    app.router.add_get("/healthz", _verdict(health_problems))
    app.router.add_get("/readyz", _verdict(readiness_problems))
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def _verdict(problems: Callable[[], list[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        if found := problems():
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="\n".join(found) + "\n")
        return web.Response(text="ok\n")

    return answer


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
