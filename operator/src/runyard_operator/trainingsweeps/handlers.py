"""What kopf is told to watch of sweeps. Every event is shown to `Sights` and leads to one key in one queue."""

from datetime import timedelta
from typing import Any, cast

import kopf

from runyard.api.model import JsonObject, as_object
from runyard.api.trainingrun import GROUP, VERSION
from runyard.api.trainingrun import PLURAL as TRAININGS
from runyard.api.trainingsweep import PLURAL
from runyard_operator.objects import Key
from runyard_operator.queue import ReconcileQueue
from runyard_operator.trainingsweeps.sight import Sights

WATCHED = (PLURAL,)
# At the start, trials may be seen before their sweep: wait for it, and read it only where it does not come.
_SWEEP_FOLLOWS = timedelta(seconds=10)


def register(registry: kopf.OperatorRegistry, queue: ReconcileQueue[Key], sights: Sights) -> None:
    """Register all handlers; none of them does more than note what happened."""

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def training_sweep_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        body = cast("JsonObject", event["object"])
        metadata = as_object(body["metadata"])
        key = Key(str(metadata["namespace"]), str(metadata["name"]), str(metadata["uid"]))
        if sights.see_sweep(key, body, is_gone=event["type"] == "DELETED"):
            queue.add(key)

    @kopf.on.event(GROUP, VERSION, TRAININGS, registry=registry)
    async def trial_event(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        body = cast("JsonObject", event["object"])
        key = sights.see_trial(body, is_gone=event["type"] == "DELETED")
        if key and sights.knows(key):
            queue.add(key)
        elif key:
            queue.add_after(key, _SWEEP_FOLLOWS)
