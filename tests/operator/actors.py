"""The parts of a cluster that a bare API server lacks, played by a test: the Job controller and the kubelet."""

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest
from tests.support.waiting import wait_for

_LATER = itertools.count()


@dataclass(frozen=True)
class Actors:
    """A namespace, and what can be done in it."""

    server: ApiServer
    namespace: str

    def apply(self, name: str, **spec: Any) -> dict[str, Any]:
        """Apply a TrainingRun; return it as stored."""
        manifest = {
            "apiVersion": "runyard.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name},
            "spec": {"image": "example/image:1", "command": ["python", "train.py"], **spec},
        }
        return self.server.api.apply(self.namespace, manifest)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read an object."""
        return self.server.api.get(kind, self.namespace, name)

    def items(self, kind: str) -> list[dict[str, Any]]:
        """List objects."""
        return self.server.api.items(kind, self.namespace)

    def columns(self, name: str) -> dict[str, str]:
        """Return what a person sees of a TrainingRun, by the columns' headings; empty ones included."""
        done = self.server.kubectl("-n", self.namespace, "get", "trainingrun", name, "-o", "wide")
        assert done.returncode == 0, done.stderr
        heading, row = done.stdout.splitlines()
        begins = [found.start() for found in re.finditer(r"\S+", heading)]
        cells = zip(begins, [*begins[1:], None], strict=True)
        return {heading[begin:end].strip(): row[begin:end].strip() for begin, end in cells}

    def delete(self, kind: str, name: str) -> None:
        """Delete an object at once."""
        self.server.api.delete(kind, self.namespace, name)

    def wait_for_job(self, name: str, timeout_seconds: float = 30) -> dict[str, Any]:
        """Wait for the Job of a TrainingRun."""

        def found() -> dict[str, Any] | None:
            jobs = [job for job in self.items("jobs") if job["metadata"]["annotations"]["runyard.dev/name"] == name]
            assert len(jobs) < 2, "more than one Job of one TrainingRun"
            return jobs[0] if jobs else None

        return wait_for(f"the Job of {name}", found, timeout_seconds)

    def wait_for_phase(self, name: str, phase: str, timeout_seconds: float = 30) -> dict[str, Any]:
        """Wait until a TrainingRun is in a phase and MLflow has been told where that is final; return its status."""

        def reached() -> dict[str, Any] | None:
            status: dict[str, Any] = self.get("trainingrun", name).get("status", {})
            final = phase in {"Succeeded", "Failed"}
            settled = not final or condition(status, "Tracked")["status"] == "True"
            return status if status.get("phase") == phase and settled else None

        return wait_for(f"{name} is {phase}", reached, timeout_seconds)

    def create_pod(self, job: dict[str, Any], suffix: str, worker: int | None = None) -> dict[str, Any]:
        """Create a pod of a Job, as the Job controller would."""
        template = json.loads(json.dumps(job["spec"]["template"]))
        if worker is not None:
            template["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = str(worker)
        name = f"{job['metadata']['name']}-{suffix}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template["metadata"],
                "name": name,
                "ownerReferences": [
                    {
                        "apiVersion": "batch/v1",
                        "kind": "Job",
                        "name": job["metadata"]["name"],
                        "uid": job["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": template["spec"],
        }
        return self.server.api.create(self.namespace, pod)

    def set_pod(self, pod: dict[str, Any], phase: str, state: dict[str, Any], **status: Any) -> None:
        """Write a pod's status, as the kubelet would."""
        container = {
            "name": "training",
            "state": state,
            "image": "example/image:1",
            # Known once it runs.
            "imageID": "" if "waiting" in state else "example/image@sha256:0123",
            "ready": False,
            "restartCount": 0,
        }
        body = {"status": {"phase": phase, "containerStatuses": [container], **status}}
        self.server.api.patch("pod", self.namespace, pod["metadata"]["name"], body, "status")

    def end_pod(self, pod: dict[str, Any], exit_code: int, reason: str = "", message: str = "") -> None:
        """End a pod's training container."""
        terminated = {
            "exitCode": exit_code,
            "reason": reason or ("Completed" if exit_code == 0 else "Error"),
            "message": message,
            "startedAt": "2026-01-02T03:04:05Z",
            "finishedAt": "2026-01-02T03:05:05Z",
        }
        self.set_pod(pod, "Succeeded" if exit_code == 0 else "Failed", {"terminated": terminated})

    def end_job(self, job: dict[str, Any], kind: str, reason: str = "") -> None:
        """Write a Job's end, as the Job controller would: in two steps, which the API server checks."""
        now = "2026-01-02T03:06:00Z"
        first = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        entries = [
            {"type": name, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now}
            for name in (first, kind)
        ]
        status: dict[str, Any] = {"startTime": "2026-01-02T03:04:00Z", "conditions": entries}
        if kind == "Complete":
            pods = job["spec"]["completions"]
            status |= {"completionTime": now, "succeeded": pods}
            if job["spec"].get("completionMode") == "Indexed":
                status |= {"completedIndexes": f"0-{pods - 1}"}
        self.set_status("job", job["metadata"]["name"], status)

    def create(self, manifest: dict[str, Any]) -> None:
        """Create an object."""
        self.server.api.create(self.namespace, manifest)

    def set_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Write an object's status, as its controller would."""
        self.server.api.patch(kind, self.namespace, name, {"status": status}, "status")

    def patch_spec(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Change an object's spec, as another controller would."""
        self.server.api.patch(kind, self.namespace, name, {"spec": spec})


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status; an empty one where there is none."""
    return next(
        (found for found in status.get("conditions", []) if found["type"] == kind), {"status": "", "reason": ""}
    )


def installation_of(job: dict[str, Any]) -> str:
    """Return what runs carry of the operator that made the Job."""
    [container] = job["spec"]["template"]["spec"]["containers"]
    [context] = [variable["value"] for variable in container["env"] if variable["name"] == "MLFLOW_RUN_CONTEXT"]
    return str(json.loads(context)["runyard.dev/installation"])


def start_run(
    mlflow: MlflowRest, pod: dict[str, Any], *, parent: str | None = None, installation: str | None = None
) -> str:
    """Start a run as a script in that pod would."""
    tags = {
        "runyard.dev/uid": pod["metadata"]["labels"]["runyard.dev/uid"],
        "runyard.dev/pod": pod["metadata"]["uid"],
        "runyard.dev/name": pod["metadata"]["annotations"]["runyard.dev/name"],
        "runyard.dev/namespace": pod["metadata"]["namespace"],
        **({"mlflow.parentRunId": parent} if parent else {}),
        **({"runyard.dev/installation": installation} if installation else {}),
    }
    body = {
        "experiment_id": "0",
        "start_time": 1767323045000 + next(_LATER),  # as the pods of these tests, one after the other
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    found: str = mlflow.call("mlflow/runs/create", body)["run"]["info"]["run_id"]
    return found


def log_model(mlflow: MlflowRest, run_id: str, **metrics: float) -> str:
    """Log a model and metrics to a run, as a script would; return the model's ID."""
    experiment = mlflow.run(run_id)["info"]["experiment_id"]
    for key, value in metrics.items():
        body = {"run_id": run_id, "key": key, "value": value, "timestamp": 1, "step": 0}
        mlflow.call("mlflow/runs/log-metric", body)
    asked = {"experiment_id": experiment, "name": "model", "source_run_id": run_id}
    model: str = mlflow.call("mlflow/logged-models", asked)["model"]["info"]["model_id"]
    mlflow.call("mlflow/runs/outputs", {"run_id": run_id, "models": [{"model_id": model, "step": 0}]})
    return model
