"""kopf, as it is used here: for watching alone."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import aiohttp
import kopf
from kopf._core.engines.peering import Identity

from runyard_operator.cluster import REPORTER
from runyard_operator.objects import UID_LABEL

_STOP_SECONDS = 5
# kopf's own pauses between tries. It would give a watch up for good after them, and the process with it.
_PAUSES = (1, 1, 2, 3, 5, 8, 13, 21)


async def watch(
    registry: kopf.OperatorRegistry, namespaces: tuple[str, ...], silence_seconds: int, stop: asyncio.Event
) -> None:
    """Watch until told to stop, or until a signal tells to.

    kopf's own `operator` would also cancel, when it stops, every task that is not its own.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(silence_seconds),
        standalone=True,
        # kopf would ask the system for the user's name, and a container's user need not have one.
        identity=Identity(REPORTER),
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )
    stop_at_signals(stop)  # in place of kopf's own handlers
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_STOP_SECONDS)
    for task in ended:
        task.result()


def stop_at_signals(stop: asyncio.Event) -> None:
    """Have the signals that ask a process to end set an event."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def new_registry(trace: Callable[[], aiohttp.TraceConfig]) -> kopf.OperatorRegistry:
    """Return a registry in which kopf is told to use a session of ours, so that requests can be seen."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:  # noqa: ANN401
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        if found is None:
            return None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
            headers=found.as_http_headers(),
            proxy=found.proxy_url,
            trust_env=found.trust_env,
            trace_configs=[trace()],
        )
        return kopf.AiohttpSession(
            server=found.server,
            default_namespace=found.default_namespace,
            priority=found.priority,
            expiration=found.expiration,
            aiohttp_session=session,
        )

    return registry


def _settings(silence_seconds: int) -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    # A watch that the network dropped says nothing for ever. So the server is asked to end each after a third of the
    # silence that is borne, and one that is not ended is given up and opened anew, before that is counted as a failure.
    chosen.watching.server_timeout = max(silence_seconds // 3, 1)
    chosen.watching.inactivity_timeout = max(silence_seconds / 2, 2)
    chosen.watching.client_timeout = None
    chosen.watching.connect_timeout = 10
    # A namespace that may not be read is asked for until it may: nothing else would take its watches up again.
    chosen.networking.error_backoffs = _Endless(longest_seconds=chosen.watching.server_timeout)
    # A handler's own filter is applied to what has already come over the wire.
    chosen.watching.label_selectors["batch", "v1", "jobs"] = UID_LABEL
    chosen.watching.label_selectors["", "v1", "pods"] = UID_LABEL
    # The resources are known by name; watching the cluster's namespaces and definitions would want rights to both.
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = _NoDiffBase()
    # A start with thousands of objects: read them in parts, and keep no task of each for longer than it has work.
    chosen.watching.chunk_size = 500
    chosen.queueing.idle_timeout = 0.5
    # Our own events tell the story; kopf's would tell of handlers.
    chosen.posting.enabled = False
    return chosen


@dataclass(frozen=True)
class _Endless:
    """Pauses without an end, begun anew by each request; a longer one would be taken for a watch's silence."""

    longest_seconds: float

    def __iter__(self) -> Iterator[float]:
        return (min(pause, self.longest_seconds) for pause in cycle(_PAUSES))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing to tell changes by: only events are handled, and kopf would copy each object for it in vain."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        """Store nothing."""
