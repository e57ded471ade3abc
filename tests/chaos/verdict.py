"""Whether resources, Jobs and MLflow tell one story after all that happened."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.chaos.load import POD_METRIC, pod_number
from tests.cluster.timeline import second_jobs
from tests.cluster.training import condition, is_stand_in
from tests.support.mlflow_server import tags_of

Objects: TypeAlias = list[dict[str, Any]]

_DEADLINE = "DeadlineExceeded"
_OPEN = {"RUNNING", "SCHEDULED"}
_ENDS = {"Succeeded": "FINISHED", "Failed": "FAILED", "Cancelled": "KILLED"}
# Of a run that all attempts share: it ends as the resource does.
_SHARED_ENDS = {"Succeeded": {"FINISHED"}, "Failed": {"FAILED", "KILLED"}}
# How many of all trainings may have been spared, having begun only when no more harm was done.
_SPARED_SHARE = 1 / 3


@dataclass(frozen=True)
class _Story:
    """A resource, and what everybody else says of it."""

    body: dict[str, Any]
    jobs: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    seen: dict[str, str]
    """The pods that a watch saw, those that are gone too: by UID, the phase that each was in last."""

    @property
    def gone(self) -> dict[str, str]:
        """The pods that nobody else saw: those that are gone, and no attempt."""
        told = {uid_of(pod) for pod in self.pods} | {attempt["uid"] for attempt in self.attempts}
        return {uid: phase for uid, phase in self.seen.items() if uid not in told}

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body.get("status", {})
        return found

    @property
    def phase(self) -> str:
        return str(self.status.get("phase"))

    @property
    def attempts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status.get("attempts", [])
        return found

    @property
    def workers(self) -> int:
        return int(self.body["spec"].get("workers", 1))

    @property
    def is_one_run(self) -> bool:
        return self.workers > 1 or self.body["spec"].get("tracking", {}).get("run") == "Assigned"

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {run["info"]["run_id"]: run for run in self.runs}


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
    seen: dict[str, dict[str, str]]
    """The pods that were seen, those that are gone too: by TrainingRun and UID, the phase that each was in last."""
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
        uids = {body["metadata"]["uid"] for body in self.resources}
        return [
            *self.unsettled(),
            *(offence for story in self._stories() for offence in _offences(story, self.mlflow)),
            *(f"a Job of no TrainingRun: {_name(job)}" for job in self.jobs if _owner(job) not in uids),
            *self._unseen(),
            *second_jobs(self.made),
            *self._duplicates(),
            *self._lost_pods(uids),
            *self._finished_of_deleted(uids),
        ]

    def _stories(self) -> list[_Story]:
        jobs, pods, runs = (defaultdict[str, Objects](list) for _ in range(3))
        for job in self.jobs:
            jobs[_owner(job)].append(job)
        for pod in self.pods:
            pods[_owner(pod)].append(pod)
        for run in self.runs:
            runs[tags_of(run)["runyard.dev/uid"]].append(run)
        uids = [(uid_of(body), body) for body in self.resources]
        return [_Story(body, jobs[uid], pods[uid], runs[uid], self.seen.get(uid, {})) for uid, body in uids]

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
        return [f"pod {_name(pod)} of no TrainingRun" for pod in self.pods if _owner(pod) not in uids]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how much of what there is."""
        attempts = [found for body in self.resources for found in body.get("status", {}).get("attempts", [])]
        verdicts = [condition(body.get("status", {}), "Succeeded")["reason"] for body in self.resources]
        return {
            "resources": dict(Counter(body.get("status", {}).get("phase", "") for body in self.resources)),
            "reasons": dict(Counter(verdicts)),
            "attempts": dict(Counter(f"{found['outcome']}, {found.get('reason')}" for found in attempts)),
            "pods nobody saw": dict(Counter(word for story in self._stories() for word in _unseen_pods(story))),
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


def spared(began_last: int, trainings: int) -> list[str]:
    """Return a sentence where more trainings than may have met no fault, as they began after the last one."""
    if began_last <= trainings * _SPARED_SHARE:
        return []
    return [f"{began_last} of {trainings} trainings began only after the last fault: a third may, at most"]


def uid_of(body: dict[str, Any]) -> str:
    """Return an object's UID."""
    return str(body["metadata"]["uid"])


def _name(body: dict[str, Any]) -> str:
    return str(body["metadata"]["name"])


def _owner(body: dict[str, Any]) -> str:
    """Return the UID of the TrainingRun that a Job or a pod is of."""
    return str(body["metadata"]["labels"]["runyard.dev/uid"])


def _offences(story: _Story, mlflow: str) -> Iterator[str]:
    yield from _untrue(story)
    yield from _unlike_pods(story)
    yield from _unlike_run(story, mlflow)


def _untrue(story: _Story) -> Iterator[str]:
    """Compare a resource with its Job, and its attempts with their runs."""
    name, phase = story.name, story.phase
    if len(story.jobs) != 1:
        yield f"{name} has {len(story.jobs)} Jobs"
        return
    [job] = story.jobs
    ended = [found["type"] for found in job["status"].get("conditions", []) if found["status"] == "True"]
    if {"Succeeded": "Complete", "Failed": "Failed"}.get(phase, "") not in ended:
        yield f"{name} is {phase}, its Job {ended}"
    yield from _unlike_job(story, job)
    for attempt in story.attempts:
        run = story.by_id.get(attempt.get("runId", ""))
        if run is None:
            yield f"{name}: attempt {attempt['pod']} has no record"
        elif not story.is_one_run and run["info"]["status"] != _ENDS.get(attempt["outcome"]):
            yield f"{name}: attempt {attempt['pod']} {attempt['outcome']}, its run {run['info']['status']}"
    yield from _unlike_the_seen(story)
    if story.is_one_run and story.attempts and len(story.runs) != 1:
        yield f"{name}: {len(story.runs)} runs, where one was assigned"
    for run in story.runs if story.is_one_run else []:
        if run["info"]["status"] not in _SHARED_ENDS.get(phase, set()):
            yield f"{name} is {phase}, the run of all its attempts {run['info']['status']}"


def _unlike_job(story: _Story, job: dict[str, Any]) -> Iterator[str]:
    """Compare why a resource ended with why its Job did, and its attempts with the pods that its Job has counted."""
    name, phase, reason = story.name, story.phase, condition(story.status, "Succeeded")["reason"]
    failed = condition(job["status"], "Failed")
    yield from _unlike_counts(story, job["status"])
    if failed["status"] != "True":
        if phase == "Succeeded" and reason != "Completed":
            yield f"{name} is Succeeded because of {reason}"
    elif (reason == _DEADLINE) != (failed["reason"] == _DEADLINE):
        yield f"{name} failed because of {reason}, its Job because of {failed['reason']}"
    elif reason != _DEADLINE:
        # Of the causes that there are a Job knows only its deadline.
        causes = {found.get("reason") for found in story.attempts if found["outcome"] != "Succeeded"}
        if not causes and not story.gone:
            yield f"{name} is Failed, and none of its attempts"
        elif reason not in (causes or {"Error"}):  # of pods that nobody saw nothing more is known
            yield f"{name} failed because of {reason}, its attempts because of {sorted(map(str, causes))}"


def _unlike_counts(story: _Story, counted: dict[str, Any]) -> Iterator[str]:
    """Compare attempts with a Job's numbers: it counts each pod once that has ended, but those that were evicted."""
    name, told = story.name, Counter(found["outcome"] for found in story.attempts)
    succeeded, others = told.pop("Succeeded", 0), told.total()
    unseen = sum(phase == "Succeeded" for phase in story.gone.values())
    if going_on := sorted(told.keys() - _ENDS.keys()):
        yield f"{name} is {story.phase}, with an attempt that is {', '.join(going_on)}"
    if succeeded > counted.get("succeeded", 0):
        yield f"{name}: {succeeded} attempts Succeeded, where its Job counts {counted.get('succeeded', 0)}"
    if story.phase == "Succeeded" and succeeded + unseen < story.workers:
        yield f"{name} is Succeeded, and {succeeded} of the {story.workers} attempts that it takes"
    if others + len(story.gone) - unseen < counted.get("failed", 0):
        yield f"{name}: {others} attempts Failed or Cancelled, where its Job counts {counted['failed']}"


def _unlike_the_seen(story: _Story) -> Iterator[str]:
    """Compare attempts and runs with the pods that there were: of one that nobody saw only its run may tell."""
    for attempt in story.attempts:
        phase = story.seen.get(attempt["uid"])
        if phase is None or (attempt["outcome"] == "Succeeded" and phase != "Succeeded"):
            last = f"its pod was {phase} when it was last seen" if phase else "and no such pod was ever seen"
            yield f"{story.name}: attempt {attempt['pod']} {attempt['outcome']}, {last}"
    of_pod = [(tags_of(run).get("runyard.dev/pod"), run) for run in story.runs]
    if unlisted := {pod for pod, _ in of_pod} - {None, *story.gone, *(found["uid"] for found in story.attempts)}:
        yield f"{story.name}: runs of pods that are no attempts of it: {unlisted}"
    for pod, run in of_pod:
        has_finished = run["info"]["status"] == "FINISHED"
        if pod in story.gone and has_finished != (story.gone[pod] == "Succeeded"):
            yield f"{story.name}: pod {pod}, which nobody saw, {story.gone[pod]}, its run {run['info']['status']}"


def _unseen_pods(story: _Story) -> Iterator[str]:
    """Return a word for each pod that came and went while no operator looked: of some only their runs tell."""
    yield from (f"no attempt, {phase}" for phase in story.gone.values())
    yield from (f"known by a run, {found['outcome']}" for found in story.attempts if found["pod"] == found["uid"])


def _unlike_run(story: _Story, mlflow: str) -> Iterator[str]:
    """Compare what a resource says of its result with the run in MLflow, and each run with the pod that logged it."""
    name, told = story.name, story.status.get("tracking", {})
    for attempt in story.attempts:
        if (found := story.by_id.get(attempt.get("runId", ""))) and _is_of_another(found, attempt["uid"]):
            yield f"{name}: attempt {attempt['pod']} has the run of another pod"
    run = story.by_id.get(told.get("runId", ""))
    is_of_unseen = run is not None and tags_of(run).get("runyard.dev/pod") in story.gone
    if story.attempts and not is_of_unseen and told.get("runId") != story.attempts[-1].get("runId"):
        yield f"{name}: its run is {told.get('runId')}, its last attempt's {story.attempts[-1].get('runId')}"
    if run is None:
        if told.get("runId"):
            yield f"{name}: its run {told['runId']} is none of its runs in MLflow"
        elif story.phase == "Succeeded":
            yield f"{name} is Succeeded without a run"
        return
    if story.phase == "Succeeded" and run["info"]["status"] != "FINISHED":
        yield f"{name} is Succeeded, its run {run['info']['status']}"
    page = f"{mlflow}/#/experiments/{run['info']['experiment_id']}/runs/{told['runId']}"
    if told.get("url") != page:
        yield f"{name}: its address is {told.get('url')}, its run's {page}"
    said = {metric: float(value) for metric, value in story.status.get("metrics", {}).items()}
    if said != (logged := _metrics_of(run)):
        yield f"{name} has the metrics {said}, its run {logged}"


def _is_of_another(run: dict[str, Any], pod: str) -> bool:
    """Whether a run's tags or what it has logged name another pod; the run of all attempts names none."""
    by_tag, by_metric = tags_of(run).get("runyard.dev/pod", pod), _metrics_of(run).get(POD_METRIC, pod_number(pod))
    return by_tag != pod or by_metric != pod_number(pod)


def _metrics_of(run: dict[str, Any]) -> dict[str, float]:
    return {metric["key"]: float(metric["value"]) for metric in run["data"].get("metrics", [])}


def _unlike_pods(story: _Story) -> Iterator[str]:
    """Compare attempts with those of their pods that are still there: what a kubelet said, and not the operator."""
    name, status = story.name, story.status
    attempts = {found["uid"]: found for found in story.attempts}
    for pod in story.pods:
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
