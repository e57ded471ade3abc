"""Something between the operator and the API server that can stop passing things on, or say that they are too old."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.support.apiserver import ApiServer, free_port
from tests.support.waiting import wait_for


class Proxy:
    """Passes requests on; either watches or everything can be frozen, and watches can expire.

    A connection that is frozen stays open.
    """

    def __init__(self, server: ApiServer, home: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._home, self._loop = server, home, loop
        self.port = free_port()
        self.frozen = ""
        """Nothing, "watches" (answers begin, and nothing follows), "writes" (but of Leases) or "everything".

        "broken" answers writes with nonsense.
        """
        self.watches_begun = 0
        self.expired: list[str] = []
        """The plural of what each watch showed that was answered with 410 Gone."""
        self._oldest_version = 0
        self._thawed = asyncio.Event()

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with every right, by way of the proxy."""
        found = json.loads(self._server.kubeconfig.read_text())
        found["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        file = self._home / "kubeconfig-of-proxy"
        file.write_text(json.dumps(found))
        return file

    def thaw(self) -> None:
        """Pass on what was held up, and all that follows."""
        self.frozen = ""
        self._loop.call_soon_threadsafe(self._thawed.set)

    def expire(self, version: int) -> None:
        """End the watches that are frozen; what came before that version can only be had by a list."""
        self._oldest_version = version
        self.thaw()

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            started.set()
            await stop.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        is_watch = request.query.get("watch") == "true"
        self.watches_begun += is_watch
        is_write = request.method != "GET" and "leases" not in request.path
        await self._hold("everything", "writes" if is_write else "everything")
        if is_watch and self._is_too_old(request):
            return self._gone(request)
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        if is_write and self.frozen == "broken":
            return web.json_response([])
        async with self._session.request(
            request.method,
            self._server.url + request.path_qs,
            headers=headers,
            data=await request.read() or None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            kept = {
                name: answer.headers[name] for name in ("Content-Type", "Content-Encoding") if name in answer.headers
            }
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await self._hold("everything", "watches" if is_watch else "everything")
                if is_watch and self._is_too_old(request):
                    break
                await response.write(chunk)
            await self._hold("everything", "watches" if is_watch else "everything")
            return response

    def _is_too_old(self, request: web.Request) -> bool:
        return int(request.query.get("resourceVersion", "0")) < self._oldest_version

    def _gone(self, request: web.Request) -> web.Response:
        """Answer as the API server does: the request is in order, and what follows is an error."""
        self.expired.append(request.path.rpartition("/")[2])
        asked = request.query.get("resourceVersion")
        message = f"too old resource version: {asked} ({self._oldest_version})"
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        event = {"type": "ERROR", "object": {**status, "message": message, "reason": "Expired", "code": 410}}
        return web.Response(text=json.dumps(event) + "\n", content_type="application/json")

    async def _hold(self, *when: str) -> None:
        if self.frozen in when:
            await self._thawed.wait()


@contextmanager
def proxy_of(server: ApiServer, home: Path) -> Iterator[Proxy]:
    """Run a proxy for the length of a with block."""
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    proxy = Proxy(server, home, loop)
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(started, stop),), daemon=True)
    thread.start()
    try:
        wait_for("the proxy listens", started.is_set)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
