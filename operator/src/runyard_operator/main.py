"""The operator's process."""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from functools import partial

import aiohttp
import kopf
from kopf._core.engines.peering import Identity
from kubernetes.aio import client, config

from runyard_operator import handlers, settings
from runyard_operator.cluster import REPORTER, Cluster
from runyard_operator.mirror import Key, Mirror
from runyard_operator.objects import UID_LABEL
from runyard_operator.queue import ReconcileQueue
from runyard_operator.reconcile import Reconciler
from runyard_operator.recording import Recorder
from runyard_operator.tracking import Tracking, TrackingError

log = logging.getLogger("runyard_operator")

_WORKERS = 64
_MLFLOW_CONNECTIONS = 16


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    for chatty in ("kopf", "aiohttp.access"):  # they tell of every event and of every probe
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(_run(settings.from_environment()))


async def _run(found: settings.Settings) -> None:
    await _load_credentials()
    connector = aiohttp.TCPConnector(limit=_MLFLOW_CONNECTIONS)
    async with client.ApiClient(_client_settings()) as api, aiohttp.ClientSession(connector=connector) as session:
        tracking = Tracking(session, found.tracking_uri, found.public_tracking_url)
        cluster, mirror, now = Cluster(api), Mirror(), partial(datetime.now, UTC)
        # The queue is made of the reconciler, which is made of this.
        recorder = Recorder(cluster, tracking, found.log_tail_bytes, now, lambda key: queue.add(key))  # noqa: PLW0108
        reconciler = Reconciler(cluster, tracking, found, mirror, recorder, now)
        queue = ReconcileQueue(reconciler.reconcile, _report)
        registry = kopf.OperatorRegistry()
        handlers.register(registry, queue, mirror)
        async with asyncio.TaskGroup() as group:
            workers = group.create_task(queue.run(_WORKERS))
            await kopf.operator(
                registry=registry,
                settings=_kopf_settings(),
                standalone=True,
                # kopf would ask the system for the user's name, and a container's user need not have one.
                identity=Identity(REPORTER),
                clusterwide=not found.namespaces,
                namespaces=found.namespaces,
                liveness_endpoint=f"http://0.0.0.0:{found.health_port}/healthz",
            )
            workers.cancel()


def _client_settings() -> client.Configuration:
    chosen = client.Configuration.get_default_copy()
    # The client would read ~/.netrc, in a thread, and the proxies of the environment at each request. The API server
    # is reached directly, as kopf does, or by the proxy that the kubeconfig names.
    chosen.client_session_kwargs = {"trust_env": False}
    return chosen


def _kopf_settings() -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    # A watch that the network dropped says nothing for ever: have the server end it, and read all anew.
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 330
    chosen.watching.connect_timeout = 10
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


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing to tell changes by: only events are handled, and kopf would copy each object for it in vain."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        """Store nothing."""


def _report(key: Key, error: Exception) -> None:
    if isinstance(error, TrackingError):
        log.warning("%s/%s: not recorded yet: %s", key.namespace, key.name, error)
    else:
        log.error("%s/%s: %s: %s", key.namespace, key.name, type(error).__name__, error, exc_info=error)


async def _load_credentials() -> None:
    try:
        config.load_incluster_config()
    except config.ConfigException:
        await config.load_kube_config()
