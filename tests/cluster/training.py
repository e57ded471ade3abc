"""Training scripts as TrainingRuns, and what is known of them afterwards on every side."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.cluster import matrix
from tests.cluster.timeline import Seen, Timeline
from tests.support.kubectl import Kubectl
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

RUNTIME = "runyard/runtime:0.1.0"
NO_LOG = "There is no log of pod"
_SCRIPTS = "/scripts"
# How an attempt ended: outcome, reason, and exit code where the kubelet said one.
End = tuple[str, str, int | None]


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a condition of a status."""
    return next(
        (found for found in status.get("conditions", []) if found["type"] == kind), {"status": "", "reason": ""}
    )


def is_stand_in(run: dict[str, Any]) -> bool:
    """Whether a run was made by the operator for a script that made none."""
    return tags_of(run).get("runyard.dev/made") == "stand-in"


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    """Return a TrainingRun in the runtime image."""
    return {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": name},
        "spec": {"image": RUNTIME, **spec},
    }


def of_script(name: str, script: str, *arguments: str, **spec: Any) -> dict[str, Any]:
    """Return a TrainingRun of one of the scripts beside this file."""
    volumes = [{"name": "scripts", "configMap": {"name": "scripts"}}, *spec.pop("volumes", [])]
    mounts = [{"name": "scripts", "mountPath": _SCRIPTS}, *spec.pop("volumeMounts", [])]
    command = ["python", f"{_SCRIPTS}/{script}"]
    return manifest(name, command=command, args=list(arguments), volumes=volumes, volumeMounts=mounts, **spec)


def of_shell(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """Return a TrainingRun of lines for a shell, which costs a hundredth of what Python does."""
    return manifest(name, command=["sh", "-c", script], **spec)


def runs_of(mlflow: MlflowRest, uid: str) -> list[dict[str, Any]]:
    """Return all MLflow runs of a TrainingRun, oldest first."""
    found = mlflow.runs(f"tags.`runyard.dev/uid` = '{uid}'")
    return sorted(found, key=lambda run: int(run["info"]["start_time"]))


def finished(kubectl: Kubectl, mlflow: MlflowRest, uid: str, status: dict[str, Any]) -> "Finished":
    """Return what every side says of a TrainingRun that has ended."""
    label = f"runyard.dev/uid={uid}"
    jobs, pods = kubectl.items("jobs", label), kubectl.items("pods", label)
    return Finished(uid, status, jobs, pods, runs_of(mlflow, uid), mlflow)


def assert_one_job(seen: Seen) -> None:
    """Assert that one Job was made for a TrainingRun in all its life, whether it is still there or not."""
    assert len(seen.jobs) == 1, f"Jobs were made for it: {sorted(seen.jobs)}"


def note_truth(seen: Seen, *, has_job: bool) -> None:
    """Keep how long the truth took, once; where there is a Job, it must have been seen."""
    assert seen.truth_seconds is not None or not has_job, "the Job's end or the outcome was not seen to come"
    if seen.truth_seconds is not None and not seen.is_noted:
        matrix.note(matrix.JOB_END, seen.truth_seconds)
        seen.is_noted = True


@dataclass(frozen=True)
class Trainings:
    """A namespace in which scripts are trained."""

    kubectl: Kubectl
    mlflow: MlflowRest
    timeline: Timeline

    def start(self, name: str, script: str, *arguments: str, **spec: Any) -> str:
        """Apply a TrainingRun of a script; return its UID."""
        self.kubectl.apply(of_script(name, script, *arguments, **spec))
        return self.uid(name)

    def start_shell(self, name: str, script: str, **spec: Any) -> str:
        """Apply a TrainingRun of lines for a shell; return its UID."""
        self.kubectl.apply(of_shell(name, script, **spec))
        return self.uid(name)

    def uid(self, name: str) -> str:
        """Return the UID of a TrainingRun."""
        found: str = self.kubectl.get("trainingrun", name)["metadata"]["uid"]
        return found

    def elsewhere(self, namespace: str) -> "Trainings":
        """Return the same in another namespace."""
        return replace(self, kubectl=self.kubectl.within(namespace))

    def status(self, name: str) -> dict[str, Any]:
        """Return the status as it is now."""
        found: dict[str, Any] = self.kubectl.get("trainingrun", name).get("status", {})
        return found

    def wait_until_running(self, name: str, timeout_seconds: float = 120, *, in_mlflow: bool = True) -> dict[str, Any]:
        """Wait until a pod runs and, unless told otherwise, its MLflow run is known."""

        def reached() -> dict[str, Any] | None:
            status = self.status(name)
            known = not in_mlflow or status.get("tracking", {}).get("runId")
            return status if status.get("phase") == "Running" and known else None

        return wait_for(f"{name} is running", reached, timeout_seconds)

    def finish(self, name: str, timeout_seconds: float = 180, *, tracked: str = "Recorded") -> "Finished":
        """Wait until the outcome is known and MLflow agrees; return what every side says, and note how long it took.

        `tracked` is the reason of the last word on MLflow.
        """

        def settled() -> dict[str, Any] | None:
            status = self.status(name)
            is_final = status.get("phase") in {"Succeeded", "Failed"}
            return status if is_final and condition(status, "Tracked")["reason"] == tracked else None

        status = wait_for(f"{name} is settled", settled, timeout_seconds)
        done = finished(self.kubectl, self.mlflow, self.uid(name), status)
        seen = self.timeline.wait_for_outcome(done.uid, 10 if done.jobs else 0)
        note_truth(seen, has_job=bool(done.jobs))
        assert_one_job(seen)
        return done

    def finish_after(self, name: str, obstacle: str, gone: float) -> "Finished":
        """Wait for the end of a training that could not begin before a moment; note how long it took from then on."""
        done = self.finish(name)
        told = self.timeline.of(done.uid).told
        assert told is not None
        matrix.note(f"{obstacle}{matrix.TO_OUTCOME}", max(0.0, told - gone))
        return done

    def runs(self, uid: str) -> list[dict[str, Any]]:
        """Return all MLflow runs of a TrainingRun, oldest first."""
        return runs_of(self.mlflow, uid)

    def assert_kept(self, records: dict[str, dict[str, Any]], seconds: float = 15) -> None:
        """Assert that what MLflow has of TrainingRuns, by UID, stays as it was for a while.

        For longer than the operator waits for the resource of a pod whose resource it does not know.
        """
        end = time.monotonic() + seconds

        def is_over() -> bool:
            for uid, before in records.items():
                after = self.mlflow.record(uid)
                assert after.keys() == before.keys(), f"no run more of {uid}, and none less"
                assert after == before
            return time.monotonic() > end

        wait_for("it was looked at for long enough", is_over, seconds + 30, poll_seconds=1)


@dataclass(frozen=True)
class Finished:
    """A TrainingRun at its end: the resource's status, its Jobs and pods, its runs."""

    uid: str
    status: dict[str, Any]
    jobs: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    mlflow: MlflowRest

    @property
    def _decisive_attempt(self) -> dict[str, Any]:
        """The last attempt that ended as the resource did."""
        return next(a for a in reversed(self.status["attempts"]) if a["outcome"] == self.status["phase"])

    @property
    def job_condition(self) -> str:
        """How the one Job ended."""
        [job] = self.jobs
        [ended] = [c["type"] for c in job["status"]["conditions"] if c["type"] in {"Complete", "Failed"}]
        return str(ended)

    def assert_out_of_memory(self, exit_code: int, printed: str) -> None:
        """Assert that memory was the cause, as far as the kubelet knows, and that the message says as much.

        On a busy node with version 1 of cgroups containerd misses the kernel's word now and then, and says Error: then
        there is nobody to ask. That it does not miss it each time is for all rounds together to show.
        """
        [pod] = self.pods
        [container] = pod["status"]["containerStatuses"]
        reason = container["state"]["terminated"]["reason"]
        assert reason in {"OOMKilled", "Error"}
        matrix.note_memory_kill(reason)
        self.assert_agreement("Failed", reason, [("Failed", reason, exit_code)], printed)
        [attempt] = self.status["attempts"]
        *_, last = [line.strip() for line in self.log(attempt).splitlines() if line.strip()]
        hint = " (killed: from outside, or out of memory)" if exit_code == 137 else ""
        assert self.status["message"] == {
            "OOMKilled": f"out of memory: raise resources.limits.memory. Last line: {last}",
            "Error": f"exit code {exit_code}{hint}: {last}",
        }.get(reason)

    def log(self, attempt: dict[str, Any], container: str = "") -> str:
        """Return the log artifact of an attempt's training, or of another container, as far as it is text."""
        run = self.mlflow.run(attempt["runId"])
        name = "-".join(filter(None, (attempt["pod"], container)))
        return self.mlflow.artifact(run, f"runyard/log-{name}.txt").decode(errors="replace")

    def assert_agreement(self, phase: str, reason: str, attempts: Sequence[End], *printed: str) -> None:
        """Assert that resource, Job, runs, tags and logs tell one story.

        `printed` is a part of what each attempt printed; NO_LOG of one whose container never ran.
        """
        assert (self.status["phase"], condition(self.status, "Succeeded")["reason"]) == (phase, reason)
        assert self.job_condition == {"Succeeded": "Complete", "Failed": "Failed"}[phase]
        self.assert_attempts(attempts, *printed)

    def assert_attempts(self, attempts: Sequence[End], *printed: str) -> None:
        """Assert the part of `assert_agreement` that does not need a Job: it may have been deleted."""
        found = [(a["outcome"], a["reason"], a.get("exitCode")) for a in self.status["attempts"]]
        assert found == list(attempts)
        assert self.status["tracking"]["runId"] == self.status["attempts"][-1]["runId"]
        for attempt in self.status["attempts"]:
            self._assert_recorded(attempt)
        for attempt, text in zip(self.status["attempts"], printed, strict=True):
            log = self.log(attempt)
            assert text in log
            # Where there is none the operator writes a sentence, in which the text might be too.
            assert log.startswith(NO_LOG) == (text == NO_LOG), log
        self._assert_nothing_more()

    def _assert_nothing_more(self) -> None:
        """Assert that no pod was left out, none goes on, and each attempt has a record of its own."""
        listed = {attempt["uid"] for attempt in self.status["attempts"]}
        assert {pod["metadata"]["uid"] for pod in self.pods} <= listed
        assert {pod["status"]["phase"] for pod in self.pods} <= {"Succeeded", "Failed"}
        recorded = [tags_of(run).get("runyard.dev/pod") for run in self.runs]
        assert set(recorded) == listed or recorded == [None], "one record of each attempt, or one run of all"
        stand_ins = [tags_of(run)["runyard.dev/pod"] for run in self.runs if is_stand_in(run)]
        assert len(stand_ins) == len(set(stand_ins))
        assert len({run["info"]["run_id"] for run in self.runs}) == len(self.runs)
        assert not [run for run in self.runs if run["info"]["status"] in {"RUNNING", "SCHEDULED"}]

    def _assert_recorded(self, attempt: dict[str, Any]) -> None:
        run = self.mlflow.run(attempt["runId"])
        # A run that all attempts share is of no one pod, and says what the resource does.
        is_shared = tags_of(run).get("runyard.dev/made") == "assigned"
        own = {} if is_shared else {"runyard.dev/pod": attempt["uid"]}
        told = self._decisive_attempt if is_shared else attempt
        wanted = {"Succeeded": "FINISHED", "Failed": "FAILED", "Cancelled": "KILLED"}[told["outcome"]]
        assert run["info"]["status"] == wanted
        expected = own | {
            "runyard.dev/uid": self.uid,
            "runyard.dev/outcome": told["outcome"],
            "runyard.dev/reason": told["reason"],
        }
        if "exitCode" in told:
            expected["runyard.dev/exit-code"] = str(told["exitCode"])
        assert expected.items() <= tags_of(run).items()
        assert "kind: TrainingRun" in self.mlflow.artifact(run, "runyard/trainingrun.yaml").decode()
