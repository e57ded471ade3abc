"""The operator's process."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import aiohttp
from kubernetes.aio import client, config

from runyard.api.environment import Platform
from runyard_operator import handlers, logs, metrics, probes, requests, settings, watching
from runyard_operator.cluster import REQUEST_SECONDS, Cluster
from runyard_operator.container_logs import ContainerLogs
from runyard_operator.launching import Launcher
from runyard_operator.lease import Elector, LeaseLost
from runyard_operator.liveness import Watches
from runyard_operator.mirror import Mirror
from runyard_operator.objects import Key
from runyard_operator.queue import ReconcileQueue
from runyard_operator.reconcile import Reconciler
from runyard_operator.recording import Recorder
from runyard_operator.sweep import Sweeper
from runyard_operator.tracking import MAY_STILL_COME, Tracking, TrackingError
from runyard_operator.trainingsweeps.parents import Parents
from runyard_operator.trainingsweeps.work import Sweeps

log = logging.getLogger("runyard_operator")

_WORKERS, _SWEEP_WORKERS = 64, 8
# What is in work may end when the process is told to; shorter than the pod's grace period.
SHUTDOWN_SECONDS = 20
_LEASE_LOST_CODE = 3


def main() -> None:
    """Run until told to stop."""
    found = settings.from_environment()
    logs.configure(found.log_format)
    try:
        asyncio.run(_run(found))
    except Exception:
        # As a record like any other; the interpreter would write lines of its own.
        log.critical("this process ends by an error", exc_info=True)
        sys.exit(1)


async def _run(found: settings.Settings) -> None:
    stop = asyncio.Event()
    watching.stop_at_signals(stop)
    await _load_credentials()
    watches = Watches(handlers.WATCHED, found.namespaces, time.monotonic)
    # The requests know who leads, which is learned by requests; which installation this is, its Lease tells.
    elector: Elector
    reconciler: Reconciler
    of_api_server = partial(requests.of_api_server, lambda: elector.require())  # noqa: PLW0108
    of_mlflow = requests.of_mlflow(lambda: elector.require())  # noqa: PLW0108
    configuration = client.Configuration.get_default_copy()
    # A list that was asked for is no sign of life of a watch.
    configuration.trace_configs = [of_api_server(lambda _call, _answer: None)]
    # The client would read ~/.netrc, in a thread, and the proxies of the environment at each request. The API server
    # is reached directly, as kopf does, or by the proxy that the kubeconfig names.
    configuration.client_session_kwargs = {"trust_env": False}
    async with (
        client.ApiClient(configuration) as api,
        aiohttp.ClientSession(trace_configs=[of_mlflow]) as session,
    ):
        cluster, mirror, now = Cluster(api), Mirror(), partial(datetime.now, UTC)
        identity = found.identity or f"{socket.gethostname()}-{uuid4().hex[:8]}"
        elector = Elector(cluster, found.lease_namespace, found.lease_name, identity, found.lease_seconds)
        tracking = Tracking(session, found.tracking_uri, found.public_tracking_url)
        queue = ReconcileQueue(lambda key: _attend(reconciler, key), _report)
        sweeps = Sweeps(cluster, found, _report)
        registry = watching.new_registry(partial(of_api_server, watches.answered))
        handlers.register(registry, queue, mirror)
        _measure(queue, mirror, elector, watches)

        health_problems = partial(_health_problems, elector, watches, (queue, sweeps.queue), found)
        readiness_problems = partial(_readiness_problems, elector, watches, stop)
        async with probes.serving(found.health_port, health_problems, readiness_problems):
            if not await _unless(stop, elector.acquire()):
                return
            installation = elector.installation
            platform = Platform(found.tracking_uri, installation, found.prepare_image)
            container_logs = ContainerLogs(cluster, mirror, found.log_tail_bytes, now)
            late_for = partial(elector.late_for, MAY_STILL_COME)
            recorder = Recorder(tracking, container_logs, installation, now, queue.add, late_for)
            launcher = Launcher(cluster, platform, recorder, now)
            is_alone = partial(elector.has_led_for, REQUEST_SECONDS)
            reconciler = Reconciler(cluster, found, launcher, mirror, recorder, now, is_alone)
            sweeper = Sweeper(cluster, tracking, mirror, installation, found.namespaces, now, queue.add)
            await sweeps.prepare(registry, watches, Parents(tracking, installation, now, late_for), now)
            watches.begin()
            async with asyncio.TaskGroup() as group:
                holding = group.create_task(_hold(elector))
                working = group.create_task(queue.run(_WORKERS))
                of_sweeps_working = group.create_task(sweeps.queue.run(_SWEEP_WORKERS))
                others = (sweeper.run(found.sweep_pause), sweeps.look(found.sweep_pause, stop))
                looking = [group.create_task(other) for other in others]
                await watching.watch(registry, found.namespaces, found.watch_silence_seconds, stop)
                for task in looking:
                    task.cancel()
                works = {queue: working, sweeps.queue: of_sweeps_working}
                is_all_done = await _finish(works, recorder)
                holding.cancel()
            await elector.release(is_all_done=is_all_done)


def _health_problems(
    elector: Elector, watches: Watches, queues: Iterable[ReconcileQueue[Key]], found: settings.Settings
) -> list[str]:
    if not elector.is_leading:
        return []
    stuck = [each for queue in queues for each in queue.stuck(found.stuck_seconds)]
    return [*watches.silent(found.watch_silence_seconds), *stuck]


def _readiness_problems(elector: Elector, watches: Watches, stop: asyncio.Event) -> list[str]:
    if stop.is_set():
        return ["stopping"]
    if elector.is_leading:
        return watches.unlisted()
    return [] if elector.is_standing_by else ["the Lease is neither held nor known to be another's"]


async def _attend(reconciler: Reconciler, key: Key) -> timedelta | None:
    with logs.about(key.namespace, key.name), metrics.reconcile():
        return await reconciler.reconcile(key)


def _report(key: Key, error: Exception) -> None:
    with logs.about(key.namespace, key.name):
        if isinstance(error, TrackingError):
            log.warning("not recorded yet: %s", error)
        elif isinstance(error, LeaseLost):
            log.warning("left to whoever holds the Lease: %s", error)
        else:
            log.error("%s: %s", type(error).__name__, error, exc_info=error)


def _measure(queue: ReconcileQueue[Key], mirror: Mirror, elector: Elector, watches: Watches) -> None:
    metrics.QUEUE_DEPTH.set_function(lambda: queue.depth)
    metrics.IN_WORK.set_function(lambda: queue.in_work)
    metrics.UNSETTLED.set_function(lambda: len(mirror))
    metrics.REFUSED.set_function(lambda: len(watches.refused))
    metrics.LEADER.set_function(lambda: elector.is_leading)


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Return whether work ended before the process was told to stop."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        doing.cancel()
        stopping.cancel()


async def _hold(elector: Elector) -> None:
    try:
        await elector.keep()
    except LeaseLost as error:
        log.critical("%s: this process ends", error)
        logging.shutdown()
        # Somebody else works now, or soon will: nothing may be tidied up.
        os._exit(_LEASE_LOST_CODE)


async def _finish(works: Mapping[ReconcileQueue[Key], asyncio.Task[None]], recorder: Recorder) -> bool:
    """Let what is in work end, and begin nothing; return whether all has ended."""
    log.info("stopping: %d resources are in work", sum(queue.in_work for queue in works))
    for queue in works:
        queue.stop()
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            for working in works.values():
                await asyncio.shield(working)
            await recorder.finish()
    except TimeoutError:
        left = [each for queue in works for each in queue.stuck(0)]
        log.warning("left in work after %d s: %s", SHUTDOWN_SECONDS, "; ".join(left) or "records")
        for working in works.values():
            working.cancel()
        return False
    return True


async def _load_credentials() -> None:
    try:
        config.load_incluster_config()
    except config.ConfigException:
        await config.load_kube_config()
