"""Storing an attempt's logs and manifest with its run."""

import asyncio
import logging
from collections.abc import Collection

import yaml

from runyard.api.model import JsonObject, as_object
from runyard.api.outcome import Attempt
from runyard.api.records import ASSIGNED, MADE_TAG, MANIFEST_ARTIFACT, Run, log_artifact
from runyard_operator.cluster import ClusterError
from runyard_operator.container_logs import ContainerLogs
from runyard_operator.mirror import View
from runyard_operator.tracking import Tracking, TrackingError

log = logging.getLogger(__name__)

_SOON_SECONDS = 2.0
_FOLDER, _, _ = MANIFEST_ARTIFACT.partition("/")


async def store(
    tracking: Tracking, logs: ContainerLogs, namespace: str, view: View, attempt: Attempt, chief: Run
) -> None:
    """Store the manifest, if it is known, and the logs of an attempt's containers.

    Args:
        tracking: where.
        logs: where logs are read.
        namespace: of the pod.
        view: what is known of the resource and its pods.
        attempt: which has ended.
        chief: the run that stands for it.

    Raises:
        TrackingError: MLflow did not take it.
        ClusterError: the log cannot be read now.

    """
    # First, for of a resource that is gone nobody else will have it; why there is no log can be said at any time.
    if view.body is not None:
        await tracking.upload(chief, MANIFEST_ARTIFACT, as_applied(view.body))
    async with logs.of_attempt(namespace, view, attempt) as found:
        async for tail in found:
            where = log_artifact(attempt.pod, tail.container)
            # What was stored before a crash is better than why there is nothing any more.
            if tail.is_log or not _is_stored(where, attempt, chief, await tracking.artifacts(chief, _FOLDER)):
                await tracking.upload(chief, where, tail.text or b"")


async def store_soon(
    tracking: Tracking, logs: ContainerLogs, namespace: str, view: View, attempt: Attempt, chief: Run
) -> bool:
    """Return whether what `store` stores could be stored at once: what is true waits no longer for it."""
    try:
        async with asyncio.timeout(_SOON_SECONDS):
            await store(tracking, logs, namespace, view, attempt, chief)
    except (TrackingError, ClusterError, TimeoutError) as error:  # it is stored once it can be
        log.info("not stored yet: %s", error or "it took too long")
        return False
    return True


async def has_no_log(tracking: Tracking, attempt: Attempt, chief: Run) -> bool:
    """Whether a run has neither an attempt's log nor why there is none, as far as MLflow can tell."""
    try:
        return not _is_stored(log_artifact(attempt.pod), attempt, chief, await tracking.artifacts(chief, _FOLDER))
    except TrackingError as error:  # all may be on record: nobody is to wait for an artifact store because of it
        log.info("whether run %s has a log is not known: %s", chief.id, error)
        return False


def _is_stored(where: str, attempt: Attempt, chief: Run, stored: Collection[str]) -> bool:
    """Whether a container's log is there; of a pod that nobody saw, whose name is not known, any in its own run."""
    is_any = attempt.pod == attempt.uid and chief.tags.get(MADE_TAG) != ASSIGNED
    return where in stored or (is_any and any(path.startswith(f"{_FOLDER}/log-") for path in stored))


def as_applied(body: JsonObject) -> bytes:
    """Return the manifest as a person would apply it again."""
    metadata = as_object(body.get("metadata"))
    kept: JsonObject = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations") if key in metadata}
    if annotations := as_object(kept.get("annotations")):
        ours = "kubectl.kubernetes.io/last-applied-configuration"
        kept["annotations"] = {key: value for key, value in annotations.items() if key != ours}
    manifest = {**{key: body.get(key) for key in ("apiVersion", "kind")}, "metadata": kept, "spec": body.get("spec")}
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()
