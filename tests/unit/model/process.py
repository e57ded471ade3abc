"""One operator process: its real parts, on lines to the model's servers, and its watches."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import kopf
from kubernetes.aio import client

from runyard.api.environment import Platform
from runyard_operator import handlers
from runyard_operator.cluster import REQUEST_SECONDS, Cluster, ClusterError
from runyard_operator.container_logs import ContainerLogs
from runyard_operator.launching import Launcher
from runyard_operator.mirror import Mirror
from runyard_operator.objects import Key
from runyard_operator.queue import ReconcileQueue
from runyard_operator.reconcile import Reconciler
from runyard_operator.recording import Recorder
from runyard_operator.settings import from_environment
from runyard_operator.sweep import Sweeper
from runyard_operator.tracking import MAY_STILL_COME, Tracking, TrackingError
from tests.unit.model.apiserver import KINDS, NAMESPACE, ApiServer, Object
from tests.unit.model.clock import Clock
from tests.unit.model.mlflow import Mlflow
from tests.unit.model.wire import Answer, Line

SETTINGS = from_environment(
    {
        "RUNYARD_TRACKING_URI": "http://mlflow",
        "RUNYARD_PUBLIC_TRACKING_URL": "http://mlflow.example",
        "RUNYARD_IMAGE_PULL_GRACE_SECONDS": "60",
        "RUNYARD_LOG_TAIL_BYTES": "1000",
    }
)
INSTALLATION = "this-one"
_EXPECTED = (ClusterError, TrackingError, aiohttp.ClientError, TimeoutError)
_WORKERS = 4
_SWEEP_PAUSE = timedelta(seconds=100)
# The operator gives up a request to MLflow after so long.
_GIVEN_UP_SECONDS = 10


class Operator:
    """A process that has just been started. `surprises` are errors that no fault explains."""

    def __init__(
        self, clock: Clock, api: ApiServer, mlflow: Mlflow, has_lease: Callable[[], bool], *, is_first: bool
    ) -> None:
        begun = clock.now()
        alone_from = begun + timedelta(seconds=REQUEST_SECONDS)
        late_until = begun if is_first else begun + MAY_STILL_COME  # none of these hands its Lease over
        self.is_dead = False
        self.surprises: list[str] = []
        self._clock, self._api = clock, api
        self.to_api = Line(self.die, lambda: self.is_dead)
        self.to_mlflow = Line(self.die, lambda: self.is_dead)
        cluster = Cluster(cast("client.ApiClient", _ApiClient(self.to_api, api)))
        session = cast("aiohttp.ClientSession", _Session(self.to_mlflow, mlflow))
        tracking = Tracking(session, SETTINGS.tracking_uri, SETTINGS.public_tracking_url)
        self.mirror = Mirror()
        # The queue is made of the reconciler, which is made of this.
        changed: Callable[[Key], None] = lambda key: self.queue.add(key)  # noqa: E731, PLW0108
        container_logs = ContainerLogs(cluster, self.mirror, SETTINGS.log_tail_bytes, clock.now)
        self.recorder = Recorder(
            *(tracking, container_logs, INSTALLATION, clock.now, changed),
            late_for=lambda: max(late_until - clock.now(), timedelta(0)),
        )
        platform = Platform(SETTINGS.tracking_uri, INSTALLATION)
        launcher = Launcher(cluster, platform, self.recorder, clock.now)
        reconciler = Reconciler(
            *(cluster, SETTINGS, launcher, self.mirror, self.recorder, clock.now),
            is_alone=lambda: has_lease() and clock.now() >= alone_from,
        )
        self.queue: ReconcileQueue[Key] = ReconcileQueue(reconciler.reconcile, self._report)
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self.queue, self.mirror)
        found = {str(it.selector.any_name): it.fn for it in registry._watching.get_all_handlers() if it.selector}  # noqa: SLF001 kopf's way to call them is to run all of it
        self.watches = {kind: Watch(cast("Handler", found[kind])) for kind in KINDS}
        for kind in KINDS:
            self.list_anew(kind)
        api.watchers.append(self._see)
        self._log = _Surprises(self.surprises)
        logging.getLogger("runyard_operator.recording").addHandler(self._log)
        self._work = clock.create_task(self.queue.run(_WORKERS))
        sweeper = Sweeper(
            *(cluster, tracking, self.mirror, INSTALLATION, [NAMESPACE], clock.now), look_at=self.queue.add
        )
        self._sweeping = clock.create_task(sweeper.run(_SWEEP_PAUSE))
        self._sweeping.add_done_callback(self._see_end)

    def die(self) -> None:
        """Do nothing from now on, and forget everything."""
        if not self.is_dead:
            self.is_dead = True
            self._api.watchers.remove(self._see)
            logging.getLogger("runyard_operator.recording").removeHandler(self._log)

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way."""
        return self.is_dead or self.to_api.in_flight + self.to_mlflow.in_flight == 0

    @property
    def recordings(self) -> int:
        """How many resources the recorder remembers."""
        return len(self.recorder._recordings)  # noqa: SLF001 what is leaked is seen nowhere else

    def list_anew(self, kind: str) -> None:
        """Lose what was not delivered and list all that is there, as kopf does at its start and after a 410."""
        watch = self.watches[kind]
        watch.waiting.clear()
        watch.waiting.extend({"type": None, "object": found} for found in self._api.all(kind))

    def deliver(self, kind: str, limit: int | None = None) -> int:
        """Hand over waiting events, in order; return how many."""
        watch = self.watches[kind]
        number = len(watch.waiting) if limit is None else min(limit, len(watch.waiting))
        for _ in range(number):
            watch.latest = watch.waiting.popleft()
            self._clock.run(watch.handler(event=watch.latest))
        self._clock.run_for(0)
        return number

    def repeat(self, kind: str) -> None:
        """Hand over the latest event once more."""
        if latest := self.watches[kind].latest:
            self._clock.run(self.watches[kind].handler(event=latest))
            self._clock.run_for(0)

    def _see_end(self, sweeping: "asyncio.Task[None]") -> None:
        if not sweeping.cancelled() and (error := sweeping.exception()):
            self.surprises.append(f"the sweep: {error!r}")

    def _see(self, change: str, kind: str, found: Object) -> None:
        self.watches[kind].waiting.append({"type": change, "object": found})

    def _report(self, key: Key, error: Exception) -> None:
        if not isinstance(error, _EXPECTED):
            self.surprises.append(f"{key.name}: {error!r}")


Handler = Callable[..., Any]


class Watch:
    """A handler, and events that it has not seen yet."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.waiting: deque[Object] = deque()
        self.latest: Object | None = None


class _Surprises(logging.Handler):
    """Takes what a recording reports with a traceback, which is what it did not expect."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self._found.append(repr(record.exc_info[1]))


class _ApiClient:
    """The Kubernetes client, as far as `Cluster` uses it."""

    def __init__(self, line: Line, api: ApiServer) -> None:
        self._line, self._api = line, api

    async def param_serialize(self, method: str, path: str, **given: Any) -> tuple[str, str, Object | None]:
        query = f"?{urlencode(given['query_params'])}" if given["query_params"] else ""
        return method, path + query, given["body"]

    async def call_api(
        self, method: str, path: str, body: Object | None, _request_timeout: float
    ) -> "aiohttp.ClientResponse":
        answer = await self._line.call(method, lambda: self._api.serve(method, path, body))
        return cast("aiohttp.ClientResponse", _Response(answer))


class _Response:
    def __init__(self, answer: Answer) -> None:
        self.response = answer


class _Session:
    """aiohttp's session, as far as `Tracking` uses it."""

    def __init__(self, line: Line, mlflow: Mlflow) -> None:
        self._line, self._mlflow = line, mlflow

    def request(self, method: str, url: str, **given: Any) -> "_Request":
        asked = given["json"] or given["params"] or {}
        is_silent = self._mlflow.is_store_silent and given["data"] is not None
        return _Request(self._line, method, lambda: self._mlflow.serve(url, asked, given["data"]), is_silent=is_silent)


class _Request:
    def __init__(self, line: Line, method: str, serve: Callable[[], Answer], *, is_silent: bool) -> None:
        self._line, self._method, self._serve, self._is_silent = line, method, serve, is_silent

    async def __aenter__(self) -> Answer:
        if self._is_silent:
            await asyncio.sleep(_GIVEN_UP_SECONDS)
            raise aiohttp.ServerTimeoutError("no answer")
        return await self._line.call(self._method, self._serve)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
