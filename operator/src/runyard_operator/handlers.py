"""What kopf is told to watch. Every event, whatever it is, leads to one key in one queue."""

from typing import Any, cast

import kopf

from runyard.api.model import JsonObject
from runyard.api.status import is_settled
from runyard.api.trainingrun import GROUP, PLURAL, VERSION, TrainingRun
from runyard_operator.objects import NAME_ANNOTATION, UID_LABEL
from runyard_operator.queue import ReconcileQueue
from runyard_operator.reconcile import Key, Reconciler


def register(registry: kopf.OperatorRegistry, queue: ReconcileQueue[Key], reconciler: Reconciler) -> None:
    """Register all handlers; none of them does more than note that something happened."""

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def training_run_event(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401
        key = Key(str(body.metadata.namespace), str(body.metadata.name), str(body.metadata.uid))
        if event["type"] == "DELETED":
            reconciler.depart(key, cast("JsonObject", dict(body)))
        elif _is_settled(body):
            return  # a restart with thousands of finished resources reads none of them again
        queue.add(key)

    @kopf.on.event("batch", "v1", "jobs", labels={UID_LABEL: kopf.PRESENT}, registry=registry)
    @kopf.on.event("", "v1", "pods", labels={UID_LABEL: kopf.PRESENT}, registry=registry)
    async def child_event(body: kopf.Body, **_: Any) -> None:  # noqa: ANN401
        name = body.metadata.annotations.get(NAME_ANNOTATION)
        if name is not None:
            queue.add(Key(str(body.metadata.namespace), name, body.metadata.labels[UID_LABEL]))


def _is_settled(body: kopf.Body) -> bool:
    status = dict(body).get("status") or {}
    return is_settled(TrainingRun.model_validate({"spec": {}, "status": status}))
