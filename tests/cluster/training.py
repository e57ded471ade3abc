"""Training scripts as TrainingRuns, and what is known of them afterwards on every side."""

from dataclasses import dataclass
from typing import Any

from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

RUNTIME = "runyard/runtime:0.1.0"
NO_LOG = "There is no log of pod"
_SCRIPTS = "/scripts"


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status."""
    return next(
        (found for found in status.get("conditions", []) if found["type"] == kind), {"status": "", "reason": ""}
    )


@dataclass(frozen=True)
class Trainings:
    """A namespace in which scripts are trained."""

    kubectl: Kubectl
    mlflow: MlflowRest

    def start(self, name: str, script: str, *arguments: str, **spec: Any) -> str:
        """Apply a TrainingRun of a script; return its UID."""
        volumes = [{"name": "scripts", "configMap": {"name": "scripts"}}, *spec.pop("volumes", [])]
        mounts = [{"name": "scripts", "mountPath": _SCRIPTS}, *spec.pop("volumeMounts", [])]
        self.kubectl.apply(
            {
                "apiVersion": "runyard.dev/v1alpha1",
                "kind": "TrainingRun",
                "metadata": {"name": name},
                "spec": {
                    "image": RUNTIME,
                    "command": ["python", f"{_SCRIPTS}/{script}"],
                    "args": list(arguments),
                    "volumes": volumes,
                    "volumeMounts": mounts,
                    **spec,
                },
            }
        )
        uid: str = self.kubectl.get("trainingrun", name)["metadata"]["uid"]
        return uid

    def status(self, name: str) -> dict[str, Any]:
        """Return the status as it is now."""
        found: dict[str, Any] = self.kubectl.get("trainingrun", name).get("status", {})
        return found

    def wait_until_running(self, name: str, *, in_mlflow: bool = True) -> dict[str, Any]:
        """Wait until a pod runs and, unless told otherwise, its MLflow run is known."""

        def reached() -> dict[str, Any] | None:
            status = self.status(name)
            known = not in_mlflow or status.get("tracking", {}).get("runId")
            return status if status.get("phase") == "Running" and known else None

        return wait_for(f"{name} is running", reached, timeout_seconds=120)

    def finish(self, name: str, timeout_seconds: float = 180) -> "Finished":
        """Wait until the outcome is known and MLflow agrees; return what every side says."""

        def settled() -> dict[str, Any] | None:
            status = self.status(name)
            is_final = status.get("phase") in {"Succeeded", "Failed"}
            return status if is_final and condition(status, "Tracked")["status"] == "True" else None

        status = wait_for(f"{name} is settled", settled, timeout_seconds)
        resource = self.kubectl.get("trainingrun", name)
        uid = resource["metadata"]["uid"]
        jobs = self.kubectl.items("jobs", f"runyard.dev/uid={uid}")
        return Finished(uid, status, jobs, self.runs(uid), self.mlflow)

    def runs(self, uid: str) -> list[dict[str, Any]]:
        """Return all MLflow runs of a TrainingRun, oldest first."""
        found = self.mlflow.runs(f"tags.`runyard.dev/uid` = '{uid}'")
        return sorted(found, key=lambda run: int(run["info"]["start_time"]))


@dataclass(frozen=True)
class Finished:
    """A TrainingRun at its end: the resource's status, its Jobs, its runs."""

    uid: str
    status: dict[str, Any]
    jobs: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    mlflow: MlflowRest

    @property
    def job_condition(self) -> str:
        """How the one Job ended."""
        [job] = self.jobs
        [ended] = [c["type"] for c in job["status"]["conditions"] if c["type"] in {"Complete", "Failed"}]
        return str(ended)

    def log(self, attempt: dict[str, Any]) -> str:
        """Return the log artifact of an attempt."""
        run = self.mlflow.run(attempt["runId"])
        return self.mlflow.artifact(run, f"runyard/log-{attempt['pod']}.txt").decode()

    def assert_agreement(
        self, phase: str, reason: str, attempts: list[tuple[str, str, int | None]], *printed: str
    ) -> None:
        """Assert that resource, Job, runs, tags and logs tell one story.

        `printed` is a part of what each attempt printed; NO_LOG of one whose container never ran.
        """
        assert (self.status["phase"], condition(self.status, "Succeeded")["reason"]) == (phase, reason)
        assert self.job_condition == {"Succeeded": "Complete", "Failed": "Failed"}[phase]
        found = [(a["outcome"], a["reason"], a.get("exitCode")) for a in self.status["attempts"]]
        assert found == attempts
        assert self.status["tracking"]["runId"] == self.status["attempts"][-1]["runId"]
        for attempt in self.status["attempts"]:
            self._assert_recorded(attempt)
        for attempt, text in zip(self.status["attempts"], printed, strict=True):
            log = self.log(attempt)
            assert text in log
            # Where there is none the operator writes a sentence, in which the text might be too.
            assert log.startswith(NO_LOG) == (text == NO_LOG), log
        assert not [run for run in self.runs if run["info"]["status"] in {"RUNNING", "SCHEDULED"}]

    def _assert_recorded(self, attempt: dict[str, Any]) -> None:
        run = self.mlflow.run(attempt["runId"])
        wanted = {"Succeeded": "FINISHED", "Failed": "FAILED", "Cancelled": "KILLED"}[attempt["outcome"]]
        assert run["info"]["status"] == wanted
        expected = {
            "runyard.dev/uid": self.uid,
            "runyard.dev/pod": attempt["uid"],
            "runyard.dev/outcome": attempt["outcome"],
            "runyard.dev/reason": attempt["reason"],
        }
        if "exitCode" in attempt:
            expected["runyard.dev/exit-code"] = str(attempt["exitCode"])
        assert expected.items() <= tags_of(run).items()
        assert "kind: TrainingRun" in self.mlflow.artifact(run, "runyard/trainingrun.yaml").decode()
