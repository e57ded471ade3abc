"""Whether resources, Jobs and MLflow tell one story after all that happened."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.load import POD_METRIC, pod_number
from tests.cluster.timeline import second_jobs
from tests.cluster.training import condition, is_stand_in
from tests.support.mlflow_server import tags_of

_DEADLINE = "DeadlineExceeded"
_OPEN = {"RUNNING", "SCHEDULED"}
_ENDS = {"Succeeded": "FINISHED", "Failed": "FAILED", "Cancelled": "KILLED"}
# Of a run that all attempts share: it ends as the resource does.
_SHARED_ENDS = {"Succeeded": {"FINISHED"}, "Failed": {"FAILED", "KILLED"}}


@dataclass(frozen=True)
class Afterwards:
    """All that is there when chaos is over."""

    resources: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    """All runs of the installation in the chaos' namespace, those of deleted resources included."""
    made: dict[str, set[str]]
    """The UIDs of the Jobs that were seen to be made, by TrainingRun; a second one has the first one's name."""
    mlflow: str
    """MLflow's address for people."""

    def unsettled(self) -> list[str]:
        """Return what is still going on."""
        waiting = [
            f"{body['metadata']['name']} is {body.get('status', {}).get('phase')}, its record "
            f"{condition(body.get('status', {}), 'Tracked')['reason'] or 'not begun'}"
            for body in self.resources
            if condition(body.get("status", {}), "Succeeded")["status"] not in {"True", "False"}
            or condition(body["status"], "Tracked")["status"] != "True"
        ]
        return [*waiting, *self._open_runs()]

    def offenders(self) -> list[str]:
        """Return a sentence for each thing that is not true."""
        jobs = defaultdict(list)
        for job in self.jobs:
            jobs[job["metadata"]["labels"]["runyard.dev/uid"]].append(job)
        runs = defaultdict(list)
        for run in self.runs:
            runs[tags_of(run)["runyard.dev/uid"]].append(run)
        pods = defaultdict(list)
        for pod in self.pods:
            pods[pod["metadata"]["labels"]["runyard.dev/uid"]].append(pod)
        uids = {body["metadata"]["uid"] for body in self.resources}
        return [
            *self.unsettled(),
            *(offence for body in self.resources for offence in _untrue(body, jobs[uid_of(body)], runs[uid_of(body)])),
            *(offence for body in self.resources for offence in _unlike_pods(body, pods[uid_of(body)])),
            *(offence for body in self.resources for offence in _unlike_run(body, runs[uid_of(body)], self.mlflow)),
            *(f"a Job of no TrainingRun: {job['metadata']['name']}" for uid in jobs.keys() - uids for job in jobs[uid]),
            *self._unseen(),
            *second_jobs(self.made),
            *self._duplicates(),
            *self._lost_pods(uids),
            *self._finished_of_deleted(uids),
        ]

    def _unseen(self) -> list[str]:
        """Return the resources of which nobody can say how many Jobs were made for them."""
        return [
            f"{body['metadata']['name']}: its Job was not seen to be made"
            for body in self.resources
            if not self.made.get(uid_of(body))
        ]

    def _open_runs(self) -> list[str]:
        return [
            f"run {run['info']['run_id']} of {tags_of(run)['runyard.dev/name']} is {run['info']['status']}"
            for run in self.runs
            if run["info"]["status"] in _OPEN
        ]

    def _duplicates(self) -> list[str]:
        """Return the attempts with two records, one of them of the operator's making; a script's own are its own."""
        made = Counter(tags_of(run)["runyard.dev/pod"] for run in self.runs if is_stand_in(run))
        of_pod = Counter(tags_of(run).get("runyard.dev/pod") for run in self.runs)
        assigned = Counter(
            tags_of(run)["runyard.dev/uid"] for run in self.runs if tags_of(run).get("runyard.dev/made") == "assigned"
        )
        return [
            *(f"{of_pod[uid]} records of pod {uid}" for uid in made if of_pod[uid] > 1),
            *(f"{count} runs assigned to TrainingRun {uid}" for uid, count in assigned.items() if count > 1),
        ]

    def _finished_of_deleted(self, uids: set[str]) -> list[str]:
        """Return the runs that say that they finished, of trainings that go on until they are deleted."""
        return [
            f"run {run['info']['run_id']} of {tags_of(run)['runyard.dev/name']}, which was deleted, has finished"
            for run in self.runs
            if tags_of(run)["runyard.dev/uid"] not in uids and run["info"]["status"] == "FINISHED"
        ]

    def _lost_pods(self, uids: set[str]) -> list[str]:
        return [
            f"pod {pod['metadata']['name']} of no TrainingRun"
            for pod in self.pods
            if pod["metadata"]["labels"]["runyard.dev/uid"] not in uids
        ]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how much of what there is."""
        attempts = [found for body in self.resources for found in body.get("status", {}).get("attempts", [])]
        verdicts = [condition(body.get("status", {}), "Succeeded")["reason"] for body in self.resources]
        return {
            "resources": dict(Counter(body.get("status", {}).get("phase", "") for body in self.resources)),
            "reasons": dict(Counter(verdicts)),
            "attempts": dict(Counter(f"{found['outcome']}, {found.get('reason')}" for found in attempts)),
            "runs": dict(Counter(run["info"]["status"] for run in self.runs)),
            "with a metric": {"runs": sum(POD_METRIC in _metrics_of(run) for run in self.runs)},
            "made by": dict(Counter(tags_of(run).get("runyard.dev/made", "the script") for run in self.runs)),
        }


def late(settled_after_seconds: float, allowed_seconds: float) -> list[str]:
    """Return a sentence where it took longer than it may from the last fault until all was at rest and true."""
    if settled_after_seconds <= allowed_seconds:
        return []
    return [
        f"at rest {settled_after_seconds:.0f} s after the last fault, if at all: {allowed_seconds:.0f} s were given"
    ]


def uid_of(body: dict[str, Any]) -> str:
    """Return an object's UID."""
    return str(body["metadata"]["uid"])


def _untrue(body: dict[str, Any], jobs: list[dict[str, Any]], runs: list[dict[str, Any]]) -> Iterator[str]:
    name, status = body["metadata"]["name"], body.get("status", {})
    if len(jobs) != 1:
        yield f"{name} has {len(jobs)} Jobs"
        return
    ended = [found["type"] for found in jobs[0]["status"].get("conditions", []) if found["status"] == "True"]
    said = {"Succeeded": "Complete", "Failed": "Failed"}.get(status.get("phase", ""))
    if said not in ended:
        yield f"{name} is {status.get('phase')}, its Job {ended}"
    yield from _unlike_job(body, jobs[0])
    by_id = {run["info"]["run_id"]: run for run in runs}
    attempts = status.get("attempts", [])
    is_one_run = body["spec"].get("workers", 1) > 1 or body["spec"].get("tracking", {}).get("run") == "Assigned"
    for attempt in attempts:
        run = by_id.get(attempt.get("runId", ""))
        if run is None:
            yield f"{name}: attempt {attempt['pod']} has no record"
        elif not is_one_run and run["info"]["status"] != _ENDS.get(attempt["outcome"]):
            yield f"{name}: attempt {attempt['pod']} {attempt['outcome']}, its run {run['info']['status']}"
    pods = {tags_of(run).get("runyard.dev/pod") for run in runs} - {None}
    if unlisted := pods - {attempt["uid"] for attempt in attempts}:
        yield f"{name}: runs of pods that are no attempts of it: {unlisted}"
    if is_one_run and attempts and len(by_id) != 1:
        yield f"{name}: {len(by_id)} runs, where one was assigned"
    for run in runs if is_one_run else []:
        if run["info"]["status"] not in _SHARED_ENDS.get(status.get("phase", ""), set()):
            yield f"{name} is {status.get('phase')}, the run of all its attempts {run['info']['status']}"


def _unlike_job(body: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    """Compare why a resource ended with why its Job did, which knows of a cause of its own only its deadline."""
    name, status = body["metadata"]["name"], body.get("status", {})
    reason, failed = condition(status, "Succeeded")["reason"], condition(job["status"], "Failed")
    if failed["status"] != "True":
        if status.get("phase") == "Succeeded" and reason != "Completed":
            yield f"{name} is Succeeded because of {reason}"
    elif (reason == _DEADLINE) != (failed["reason"] == _DEADLINE):
        yield f"{name} failed because of {reason}, its Job because of {failed['reason']}"
    elif reason != _DEADLINE:
        # Of pods that nobody saw there is no attempt, and nothing is known.
        causes = {found.get("reason") for found in status.get("attempts", []) if found["outcome"] != "Succeeded"}
        if reason not in (causes or {"Error"}):
            yield f"{name} failed because of {reason}, its attempts because of {sorted(map(str, causes))}"


def _unlike_run(body: dict[str, Any], runs: list[dict[str, Any]], mlflow: str) -> Iterator[str]:
    """Compare what a resource says of its result with the run in MLflow, and each run with the pod that logged it."""
    name, status = body["metadata"]["name"], body.get("status", {})
    by_id = {run["info"]["run_id"]: run for run in runs}
    attempts, told = status.get("attempts", []), status.get("tracking", {})
    for attempt in attempts:
        said = _metrics_of(by_id[attempt["runId"]]).get(POD_METRIC) if attempt.get("runId") in by_id else None
        if said is not None and said != pod_number(attempt["uid"]):
            yield f"{name}: attempt {attempt['pod']} has the run of another pod"
    if attempts and told.get("runId") != attempts[-1].get("runId"):
        yield f"{name}: its run is {told.get('runId')}, its last attempt's {attempts[-1].get('runId')}"
    run = by_id.get(told.get("runId", ""))
    if run is None:
        if told.get("runId"):
            yield f"{name}: its run {told['runId']} is none of its runs in MLflow"
        return
    page = f"{mlflow}/#/experiments/{run['info']['experiment_id']}/runs/{told['runId']}"
    if told.get("url") != page:
        yield f"{name}: its address is {told.get('url')}, its run's {page}"
    found = {metric: float(value) for metric, value in status.get("metrics", {}).items()}
    if found != (logged := _metrics_of(run)):
        yield f"{name} has the metrics {found}, its run {logged}"


def _metrics_of(run: dict[str, Any]) -> dict[str, float]:
    return {metric["key"]: float(metric["value"]) for metric in run["data"].get("metrics", [])}


def _unlike_pods(body: dict[str, Any], pods: list[dict[str, Any]]) -> Iterator[str]:
    """Compare attempts with those of their pods that are still there: what a kubelet said, and not the operator."""
    name, status = body["metadata"]["name"], body.get("status", {})
    attempts = {found["uid"]: found for found in status.get("attempts", [])}
    for pod in pods:
        attempt = attempts.get(uid_of(pod))
        if "deletionTimestamp" in pod["metadata"]:
            continue  # it is about to be gone, and what the kubelet says of it then is not its last word
        if attempt is None:
            if status.get("attemptCount", 0) <= len(attempts):  # else it may be one that is no longer listed
                yield f"{name}: pod {pod['metadata']['name']} is no attempt"
        elif pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            if status.get("phase") in {"Succeeded", "Failed"}:
                yield f"{name} is {status['phase']}, its pod {pod['metadata']['name']} {pod['status']['phase']}"
        elif (said := _said_of(attempt)) != (seen := _end_of(pod)):
            yield f"{name}: attempt {attempt['pod']} says {said}, its pod {seen}"


def _said_of(attempt: dict[str, Any]) -> tuple[str, str | None, int | None]:
    # Of what disrupts a pod there are many words, which the operator shortens to few.
    reason = attempt.get("reason") if attempt["outcome"] != "Cancelled" else None
    return attempt["outcome"], reason, attempt.get("exitCode")


def _end_of(pod: dict[str, Any]) -> tuple[str, str | None, int | None]:
    """Return outcome, reason and exit code of a pod that ended by itself, as its kubelet has them."""
    found = {
        entry["name"]: entry["state"].get("terminated", {}) for entry in pod["status"].get("containerStatuses", [])
    }
    end = found.get("training", {})
    if pod["status"]["phase"] == "Succeeded":
        return "Succeeded", "Completed", end.get("exitCode")
    if end.get("reason") == "OOMKilled":
        return "Failed", "OOMKilled", end.get("exitCode")
    if condition(pod["status"], "DisruptionTarget")["status"] == "True":
        return "Cancelled", None, end.get("exitCode")
    return "Failed", "Error", end.get("exitCode")
