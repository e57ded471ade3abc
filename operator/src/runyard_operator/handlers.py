"""What kopf is told to watch. Every event is shown to the mirror and leads to one key in one queue."""

from datetime import timedelta
from typing import Any, cast

import kopf

from runyard.api.model import JsonObject, as_object
from runyard.api.status import is_settled
from runyard.api.trainingrun import GROUP, PLURAL, VERSION
from runyard_operator.mirror import Mirror
from runyard_operator.objects import NAME_ANNOTATION, UID_LABEL, Job, Key, Pod, lenient
from runyard_operator.queue import ReconcileQueue

# The plurals of what is watched, each of which must show signs of life.
WATCHED = (PLURAL, "jobs", "pods")
# At the start, children may be seen before their resource, which may be one that is settled: wait for it, and read it
# only where it does not come.
_RESOURCE_FOLLOWS = timedelta(seconds=10)


def register(registry: kopf.OperatorRegistry, queue: ReconcileQueue[Key], mirror: Mirror) -> None:
    """Register all handlers; none of them does more than note what happened."""

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def training_run_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        body = cast("JsonObject", event["object"])
        metadata = as_object(body["metadata"])
        key = Key(str(metadata["namespace"]), str(metadata["name"]), str(metadata["uid"]))
        if _show(mirror, key, body, is_gone=event["type"] == "DELETED"):
            queue.add(key)
        else:
            queue.drop(key)

    @kopf.on.event("batch", "v1", "jobs", labels={UID_LABEL: kopf.PRESENT}, registry=registry)
    async def job_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        job = Job.model_validate(event["object"])
        key = _key(job)
        if key and mirror.see_job(key, job, is_gone=event["type"] == "DELETED"):
            _add(key, queue, mirror)

    @kopf.on.event("", "v1", "pods", labels={UID_LABEL: kopf.PRESENT}, registry=registry)
    async def pod_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        pod = Pod.model_validate(event["object"])
        key = _key(pod)
        if key and mirror.see_pod(key, pod, is_gone=event["type"] == "DELETED"):
            _add(key, queue, mirror)


def _add(key: Key, queue: ReconcileQueue[Key], mirror: Mirror) -> None:
    if mirror.knows(key):
        queue.add(key)
    else:
        queue.add_after(key, _RESOURCE_FOLLOWS)


def _show(mirror: Mirror, key: Key, body: JsonObject, *, is_gone: bool) -> bool:
    """Show a resource to the mirror; return whether there is something to do about it."""
    if is_gone:
        return mirror.see_departure(key, body)
    run = lenient(body)
    # A restart with thousands of finished resources looks at none of them again. One that is being worked on is
    # settled by that work, which has things of its own to forget.
    if is_settled(run) and not mirror.knows(key):
        return mirror.settle(key, run.metadata.version, run.spec.ttl_seconds_after_finished)
    return mirror.see_resource(key, body)


def _key(child: Job | Pod) -> Key | None:
    """Return the resource that a Job or pod belongs to; None where it only has the labels of one."""
    name = child.metadata.annotations.get(NAME_ANNOTATION)
    key = Key(child.metadata.namespace, name, child.metadata.labels[UID_LABEL]) if name else None
    return key if key and child.is_of(key) else None
