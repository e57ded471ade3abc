"""What kopf is told to watch. Every event is shown to the mirror and leads to one key in one queue."""

from datetime import timedelta
from typing import Any, cast

import kopf

from runyard.api.model import JsonObject, as_object
from runyard.api.status import is_settled
from runyard.api.trainingrun import GROUP, PLURAL, VERSION, TrainingRun
from runyard_operator.mirror import Key, Mirror
from runyard_operator.objects import NAME_ANNOTATION, UID_LABEL, Job, Pod
from runyard_operator.queue import ReconcileQueue

# At the start, children may be seen before their resource, which may be one that is settled: wait for it, and read it
# only where it does not come.
_RESOURCE_FOLLOWS = timedelta(seconds=10)


def register(registry: kopf.OperatorRegistry, queue: ReconcileQueue[Key], mirror: Mirror) -> None:
    """Register all handlers; none of them does more than note what happened."""

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def training_run_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        body = cast("JsonObject", event["object"])
        metadata = as_object(body["metadata"])
        key = Key(str(metadata["namespace"]), str(metadata["name"]), str(metadata["uid"]))
        if event["type"] == "DELETED":
            if mirror.see_departure(key, body):
                queue.add(key)
        elif _is_settled(body):
            # A restart with thousands of finished resources looks at none of them again.
            mirror.settle(key)
            queue.drop(key)
        else:
            mirror.see_resource(key, body)
            queue.add(key)

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


def _key(child: Job | Pod) -> Key | None:
    """Return the resource that a Job or pod says that it belongs to."""
    name = child.metadata.annotations.get(NAME_ANNOTATION)
    return Key(child.metadata.namespace, name, child.metadata.labels[UID_LABEL]) if name else None


def _is_settled(body: JsonObject) -> bool:
    return is_settled(TrainingRun.model_validate({"spec": {}, "status": body.get("status") or {}}))
