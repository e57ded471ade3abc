"""Trainings and faults side by side for a while, then the verdict: exit code 1 where anything is not true."""

import argparse
import json
import random
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import load
from tests.chaos.faults import Faults
from tests.chaos.verdict import Afterwards, late, spared
from tests.cluster.installation import Installation
from tests.cluster.timeline import Timeline
from tests.cluster.training import condition
from tests.support.cluster_api import ClusterApi
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest
from tests.support.programs import CACHE

_FAULT_PAUSES = (4, 14)
_ACTIVE_AT_ONCE = 40
_POLL_SECONDS = 3


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    seed: int
    trainings: int
    chaos_seconds: float
    settle_seconds: float


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--chaos-seconds", type=float, default=360)
    parser.add_argument("--settle-seconds", type=float, default=240)
    parser.add_argument("--kubeconfig", type=Path, default=CACHE / "kubeconfig")
    parser.add_argument("--mlflow", default="http://mlflow.localhost:8080")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    given = parser.parse_args()
    plan = Plan(given.seed, given.trainings, given.chaos_seconds, given.settle_seconds)
    kubectl, mlflow = Kubectl(given.kubeconfig), MlflowRest(given.mlflow)
    _say(f"seed {plan.seed}: {plan.trainings} trainings, {plan.chaos_seconds:.0f} s of faults")
    timeline = Timeline(ClusterApi(given.kubeconfig))
    namespace = f"chaos-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", namespace)
    try:
        found = _run(plan, kubectl.within(namespace), Installation(kubectl.within("runyard"), mlflow), timeline)
    finally:
        timeline.close()
        kubectl("delete", "namespace", namespace, "--wait=false")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=2) + "\n")
    _say(json.dumps(found, indent=2))
    return 1 if found["offenders"] else 0


def _run(plan: Plan, kubectl: Kubectl, installation: Installation, timeline: Timeline) -> dict[str, Any]:
    chance = random.Random(plan.seed)  # noqa: S311 chance that can be had again, not secrecy
    waiting = [load.training(number, chance) for number in range(plan.trainings)]
    faults = Faults(installation, kubectl, chance)
    deleted: set[str] = set()
    begun = time.monotonic()
    next_fault = begun
    met_a_fault = 0
    while time.monotonic() - begun < plan.chaos_seconds:
        _intervene(kubectl, deleted)
        room = _ACTIVE_AT_ONCE - len(_active(kubectl))
        due = _due(plan, time.monotonic() - begun, plan.trainings - len(waiting))
        if some := waiting[: max(0, min(room, due))]:
            del waiting[: len(some)]
            kubectl.apply(*some)
        if time.monotonic() >= next_fault:
            before = faults.done.total()
            _say(f"{time.monotonic() - begun:4.0f} s: {faults.strike()}")
            if faults.done.total() > before:
                met_a_fault = plan.trainings - len(waiting)
            next_fault = time.monotonic() + chance.uniform(*_FAULT_PAUSES)
        time.sleep(1)
    if waiting:
        kubectl.apply(*waiting)
    ended = time.monotonic()
    began_last = plan.trainings - met_a_fault
    _say(f"{ended - begun:.0f} s: no more faults; {began_last} trainings began after the last")
    afterwards = _settle(ended + plan.settle_seconds, kubectl, installation, timeline, deleted)
    settled_after = time.monotonic() - ended
    return {
        "seed": plan.seed,
        "trainings": plan.trainings,
        "chaos_seconds": round(ended - begun),
        "settled_after_seconds": round(settled_after, 1),
        "faults": dict(faults.done),
        "began_after_last_fault": began_last,
        "deleted": len(deleted),
        **afterwards.counts(),
        "offenders": [
            *late(settled_after, plan.settle_seconds),
            *spared(began_last, plan.trainings),
            *afterwards.offenders(),
            *_undeleted(afterwards, deleted),
        ],
    }


def _due(plan: Plan, elapsed: float, begun: int) -> int:
    """Return how many trainings should begin now for all to have begun when nine tenths of the time are over."""
    return int(plan.trainings * min(1, elapsed / (0.9 * plan.chaos_seconds)) + 1) - begun


def _active(kubectl: Kubectl) -> list[dict[str, Any]]:
    return [
        body
        for body in kubectl.items("trainingruns.runyard.dev")
        if condition(body.get("status", {}), "Succeeded")["status"] not in {"True", "False"}
    ]


def _intervene(kubectl: Kubectl, deleted: set[str]) -> None:
    """Do what a person would: resume what is suspended, delete what runs for ever."""
    for body in _active(kubectl):
        name, phase = body["metadata"]["name"], body.get("status", {}).get("phase")
        if phase == "Suspended" and body["spec"].get("suspend"):
            kubectl("patch", "trainingrun", name, "--type=merge", "-p", '{"spec": {"suspend": false}}')
        if phase == "Running" and name.startswith("deleted-"):
            deleted.add(body["metadata"]["uid"])
            kubectl("delete", "trainingrun", name, "--wait=false")


def _settle(
    deadline: float, kubectl: Kubectl, installation: Installation, timeline: Timeline, deleted: set[str]
) -> Afterwards:
    """Wait until nothing is going on, or the time for that, which began with the last fault's end, is over."""
    installation.wait_until_all_ready(deadline)
    while True:
        _intervene(kubectl, deleted)
        found = _look(kubectl, installation, timeline)
        if not found.unsettled() and not found.offenders():
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(_POLL_SECONDS)


def _look(kubectl: Kubectl, installation: Installation, timeline: Timeline) -> Afterwards:
    mine = f"tags.`runyard.dev/installation` = '{installation.identity}'"
    runs = installation.mlflow.runs(f"{mine} AND tags.`runyard.dev/namespace` = '{kubectl.namespace}'")
    return Afterwards(
        resources=kubectl.items("trainingruns.runyard.dev"),
        jobs=kubectl.items("jobs"),
        pods=kubectl.items("pods", "runyard.dev/uid"),
        runs=runs,
        made=timeline.jobs(),
        seen=timeline.pods(),
        mlflow=installation.mlflow.url,
    )


def _undeleted(found: Afterwards, deleted: set[str]) -> list[str]:
    return [
        f"{body['metadata']['name']} was deleted and is still there"
        for body in found.resources
        if body["metadata"]["uid"] in deleted
    ]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 the report is what this is for


if __name__ == "__main__":
    sys.exit(main())
