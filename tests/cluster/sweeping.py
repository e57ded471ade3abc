"""A TrainingSweep that goes on while parts of the platform are killed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from tests.cluster.installation import Installation
from tests.cluster.training import Trainings, condition
from tests.support.waiting import wait_for


def sweep_through(
    kills: Sequence[tuple[int, str]], trainings: Trainings, installation: Installation, name: str, spec: dict[str, Any]
) -> dict[str, Any]:
    """Apply a sweep, kill each component when so many of its trials are done, and return the status of its end."""
    kind = {"apiVersion": "runyard.dev/v1alpha1", "kind": "TrainingSweep"}
    trainings.kubectl.apply({**kind, "metadata": {"name": name}, "spec": spec})

    def status() -> dict[str, Any]:
        found: dict[str, Any] = trainings.kubectl.get("trainingsweep", name).get("status", {})
        return found

    def has_done(count: int) -> bool:
        return bool(status().get("trials", {}).get("succeeded", 0) >= count)

    for count, component in kills:
        wait_for(f"{count} trials are done", partial(has_done, count), timeout_seconds=300)
        installation.kill(component)
    wait_for(
        "MLflow agrees with its end",
        lambda: "conditions" in status() and condition(status(), "Tracked")["status"] == "True",
        timeout_seconds=300,
    )
    return status()
