"""A sweep in a namespace, and its trials played to their ends."""

from dataclasses import dataclass
from typing import Any

from tests.operator.actors import Actors, condition, start_run
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

RUNNING = {"running": {"startedAt": "2026-01-02T03:04:05Z"}}


@dataclass(frozen=True)
class Sweep:
    """The sweep `wine`."""

    actors: Actors
    mlflow: MlflowRest

    def apply(self, **spec: Any) -> dict[str, Any]:
        """Apply it; return it as stored."""
        manifest = {
            "apiVersion": "runyard.dev/v1alpha1",
            "kind": "TrainingSweep",
            "metadata": {"name": "wine"},
            "spec": {
                "template": {"image": "example/image:1", "command": ["python", "train.py"], "args": ["$(params.x)"]},
                "parameters": {"x": {"values": [1, 3, 2]}},
                "objective": {"metric": "f1"},
                "parallelism": 2,
                **spec,
            },
        }
        self.actors.create(manifest)
        return self.actors.get("trainingsweep", "wine")

    @property
    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.actors.get("trainingsweep", "wine").get("status", {})
        return found

    @property
    def trials(self) -> dict[str, dict[str, Any]]:
        """The TrainingRuns of its trials, by name."""
        return {run["metadata"]["name"]: run for run in self.actors.items("trainingruns")}

    def wait_for_trials(self, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until there are these trials and no others."""
        wait_for(f"there are {names}", lambda: set(self.trials) == set(names))
        return self.trials

    def wait_for_phase(self, phase: str) -> dict[str, Any]:
        """Wait until it is in a phase, and MLflow was told where that is final; return its status."""

        def reached() -> dict[str, Any] | None:
            status = self.status
            is_told = phase not in {"Succeeded", "Failed"} or condition(status, "Tracked")["status"] != "Unknown"
            return status if status.get("phase") == phase and is_told else None

        return wait_for(f"the sweep is {phase}", reached)

    def wait_for_message(self, words: str) -> str:
        """Wait until its message has some words; return it."""

        def said() -> str | None:
            message = str(self.status.get("message", ""))
            return message if words in message else None

        return wait_for(f"it says {words}", said)

    def run(self, name: str, *values: float) -> tuple[dict[str, Any], str]:
        """Have a trial run, and log values of the metric step by step; return its pod and its run."""
        pod = self.actors.create_pod(self.actors.wait_for_job(name), "one")
        self.actors.set_pod(pod, "Running", RUNNING)
        run_id = start_run(self.mlflow, pod)
        for step, value in enumerate(values, 1):
            body = {"run_id": run_id, "key": "f1", "value": value, "timestamp": step, "step": step}
            self.mlflow.call("mlflow/runs/log-metric", body)
        return pod, run_id

    def end(self, name: str, *values: float, exit_code: int = 0) -> str:
        """Have a trial run to its end; return its run."""
        pod, run_id = self.run(name, *values)
        self.actors.end_pod(pod, exit_code)
        self.actors.end_job(self.actors.wait_for_job(name), "Failed" if exit_code else "Complete")
        return run_id

    def parents(self) -> list[dict[str, Any]]:
        """The runs above its trials', in MLflow."""
        uid = self.actors.get("trainingsweep", "wine")["metadata"]["uid"]
        return self.mlflow.runs(f"tags.`runyard.dev/sweep-uid` = '{uid}'")
