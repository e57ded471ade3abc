"""The Job controller and the kubelet, as far as an outcome depends on them. Each method is one step of theirs."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tests.support.factories import stamp
from tests.unit.model.apiserver import JOBS, PODS, ApiServer, Object, condition_of, containers, owner_of
from tests.unit.model.clock import Clock
from tests.unit.model.mlflow import Mlflow

_RETRY_PAUSE = timedelta(seconds=10)


def has_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_finished(job: Object) -> bool:
    return bool(condition_of(job, "Complete") or condition_of(job, "Failed"))


@dataclass
class JobController:
    """Makes and replaces pods, and ends Jobs in two steps."""

    api: ApiServer
    clock: Clock
    counted: dict[str, dict[str, str]] = field(default_factory=dict)
    """How pods ended, by the Job's UID and the pod's. A pod has a finalizer: it does not go before it is counted."""

    def count(self, pod: Object) -> None:
        if has_ended(pod):
            how = "ignored" if condition_of(pod, "DisruptionTarget") else pod["status"]["phase"]
            before = self.counted.setdefault(str(owner_of(pod)), {})
            job = self.api.of_uid(str(owner_of(pod)))
            if how == "Succeeded" and pod["metadata"]["uid"] not in before and job:
                # As in uncountedTerminatedPods, before the finalizer is taken away.
                self.api.update(JOBS, job["metadata"]["name"], {"status": {"succeeded": 1}})
            before[pod["metadata"]["uid"]] = how
            failed = sum(end == "Failed" for end in before.values())
            if job and failed > job.get("status", {}).get("failed", 0):
                self.api.update(JOBS, job["metadata"]["name"], {"status": {"failed": failed}})

    def sync(self, name: str) -> None:
        """Take one look at a Job, and do at most one thing about it."""
        job = self.api.get(JOBS, name)
        if job is None:
            return
        uid = job["metadata"]["uid"]
        pods = [pod for pod in self.api.all(PODS) if owner_of(pod) == uid]
        for pod in pods:
            self.count(pod)
        ends = list(self.counted.get(uid, {}).values())
        going = [pod for pod in pods if not has_ended(pod)]
        if is_finished(job):
            self._expire(job)
        elif condition_of(job, "SuccessCriteriaMet") or condition_of(job, "FailureTarget"):
            self._finish(job, going)
        elif job["spec"].get("suspend"):
            self._delete(going)
            self._suspended(job, "True")
        elif condition_of(job, "Suspended").get("status") == "True" or "startTime" not in job.get("status", {}):
            self._suspended(job, "False", startTime=stamp(self.clock.now()))
        elif target := self._end_reached(job, ends):
            self._delete(going)
            self._add_condition(job, *target)
        elif not going and self._may_retry(pods):
            self._create_pod(job)

    def _end_reached(self, job: Object, ends: list[str]) -> tuple[str, str] | None:
        """Return the first of the two conditions that end a Job, and its reason."""
        if self._is_overdue(job):
            return "FailureTarget", "DeadlineExceeded"
        if "Succeeded" in ends:
            return "SuccessCriteriaMet", "CompletionsReached"
        if ends.count("Failed") > job["spec"]["backoffLimit"]:
            return "FailureTarget", "BackoffLimitExceeded"
        return None

    def _is_overdue(self, job: Object) -> bool:
        limit = job["spec"].get("activeDeadlineSeconds")
        started = datetime.fromisoformat(job["status"]["startTime"])
        return limit is not None and self.clock.now() >= started + timedelta(seconds=limit)

    def _may_retry(self, pods: list[Object]) -> bool:
        failed = [_finished_at(pod) for pod in pods if pod["status"]["phase"] == "Failed"]
        return all(self.clock.now() >= moment + _RETRY_PAUSE for moment in failed)

    def _create_pod(self, job: Object) -> None:
        number = len(self.api.owned(PODS, job["metadata"]["uid"])) + 1
        name = f"{job['metadata']['name']}-{number * 379 % 1000:03}"  # like real names, in no order
        owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        metadata = {**job["spec"]["template"]["metadata"], "name": name, "ownerReferences": [owner]}
        spec = job["spec"]["template"]["spec"]
        self.api.create(PODS, {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

    def _finish(self, job: Object, going: list[Object]) -> None:
        self._delete(going)
        if going:
            return  # the last step waits for all pods
        if first := condition_of(job, "FailureTarget"):
            self._add_condition(job, "Failed", first["reason"])
        else:
            self._add_condition(job, "Complete", "CompletionsReached", completionTime=stamp(self.clock.now()))

    def _expire(self, job: Object) -> None:
        ended = condition_of(job, "Complete") or condition_of(job, "Failed")
        limit = job["spec"].get("ttlSecondsAfterFinished")
        moment = datetime.fromisoformat(ended["lastTransitionTime"])
        if limit is not None and self.clock.now() >= moment + timedelta(seconds=limit):
            self.api.remove(JOBS, job["metadata"]["name"])

    def _delete(self, pods: list[Object]) -> None:
        for pod in pods:
            self.api.ask_to_delete(pod["metadata"]["name"])

    def _suspended(self, job: Object, status: str, **more: Any) -> None:
        if condition_of(job, "Suspended").get("status") != status or more:
            self._add_condition(job, "Suspended", "JobSuspended", status, **more)

    def _add_condition(self, job: Object, kind: str, reason: str, status: str = "True", **more: Any) -> None:
        others = [found for found in job.get("status", {}).get("conditions", []) if found["type"] != kind]
        new = {"type": kind, "status": status, "reason": reason, "lastTransitionTime": stamp(self.clock.now())}
        self.api.update(JOBS, job["metadata"]["name"], {"status": {"conditions": [*others, new], **more}})


class Script(StrEnum):
    """How a training script treats MLflow."""

    NO_RUN = "starts no run"
    HONEST = "ends its run as it ends itself"
    LIAR = "ends its run FINISHED, whatever comes then"
    GLOOMY = "ends its run FAILED, whatever comes then"
    SILENT = "never ends its run"
    NESTED = "leaves a child and its parent open, and another child FINISHED"
    TWO_RUNS = "ends one run, starts another in another experiment, and leaves it open"


@dataclass
class Kubelet:
    """Runs pods, and their scripts."""

    api: ApiServer
    clock: Clock
    mlflow: Mlflow
    controller: JobController
    mlflow_is_down: bool = False
    _honest: dict[str, str] = field(default_factory=dict)

    def wait_for_image(self, name: str) -> None:
        self._report(name, "Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})

    def start(self, name: str, script: Script) -> None:
        pod = self._report(name, "Running", {"running": {"startedAt": stamp(self.clock.now())}})
        if not self.mlflow_is_down:
            self._run_script(pod, script)

    def end(self, name: str, exit_code: int, reason: str = "", *, evicted: bool = False) -> None:
        """End the training, and so the pod."""
        pod = self.api.get(PODS, name)
        assert pod is not None
        run_id = self._honest.pop(pod["metadata"]["uid"], None)
        if run_id and not self.mlflow_is_down and exit_code in {0, 1}:
            self.mlflow.end(run_id, "FAILED" if exit_code else "FINISHED")
        ended = {"exitCode": exit_code, "reason": reason or ("Error" if exit_code else "Completed")}
        times = {"startedAt": pod["status"]["startTime"], "finishedAt": stamp(self.clock.now())}
        more: Object = {}
        if evicted:
            disruption = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
            more = {"reason": "Evicted", "message": "the node was low on memory", "conditions": [disruption]}
        phase = "Failed" if exit_code or evicted else "Succeeded"
        self._report(name, phase, {"terminated": {**ended, **times}}, **more)

    def disrupt(self, name: str, reason: str = "EvictionByEvictionAPI") -> None:
        """Evict, preempt or taint: a mark on what goes on, and a deletion."""
        mark = {"type": "DisruptionTarget", "status": "True", "reason": reason}
        if not has_ended(self.api.objects[PODS, name]):
            self.api.update(PODS, name, {"status": {"conditions": [mark]}})
        self.api.ask_to_delete(name)

    def find_no_node(self, name: str) -> None:
        """Say as the scheduler that there is no room."""
        mark = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
        self.api.update(PODS, name, {"status": {"conditions": [mark]}})

    def go_on_deleting(self, name: str, exit_code: int) -> None:
        """Take the next step with a pod that is being deleted: end it, then remove it."""
        pod = self.api.get(PODS, name)
        if pod is None or not is_leaving(pod):
            return
        if pod["status"]["phase"] == "Running":
            self.end(name, exit_code)
        elif not has_ended(pod):
            # What never started is failed by the pod garbage collector.
            self.api.update(PODS, name, {"status": {"phase": "Failed"}})
        else:
            self.controller.count(pod)
            self.api.remove(PODS, name)

    def lose(self, name: str) -> None:
        """Have a pod gone without an end, as when its node is gone and somebody forces the deletion."""
        self.api.remove(PODS, name)

    def _report(self, name: str, phase: str, state: Object, **more: Any) -> Object:
        pod = self.api.get(PODS, name)
        assert pod is not None
        status = {
            "phase": phase,
            "startTime": pod["status"].get("startTime") or stamp(self.clock.now()),
            "containerStatuses": [{"name": "training", "state": state, "imageID": "wine@sha256:01"}],
        }
        self.api.update(PODS, name, {"status": {**status, **more}, "spec": {"nodeName": "node-1"}})
        return pod

    def _run_script(self, pod: Object, script: Script) -> None:
        variables = {item["name"]: item.get("value", "") for item in pod["spec"]["containers"][0]["env"]}
        uid = pod["metadata"]["uid"]
        context = json.loads(variables["MLFLOW_RUN_CONTEXT"].replace("$(RUNYARD_POD_UID)", uid))
        experiment = variables["MLFLOW_EXPERIMENT_NAME"]
        if script is Script.NO_RUN or self.mlflow.deleted_experiments:
            return  # what asks for a run in a deleted experiment is refused; it might also not ask at all
        first = variables.get("MLFLOW_RUN_ID") or self.mlflow.start(experiment, context)
        self.mlflow.end(first, "RUNNING")  # as one that was assigned is resumed
        if script is Script.HONEST:
            self._honest[uid] = first
            self.mlflow.runs[first]["metrics"] = {"loss": float(len(self.mlflow.runs))}  # no two runs log the same
        if script is Script.LIAR or script is Script.TWO_RUNS:
            self.mlflow.end(first, "FINISHED")
        if script is Script.GLOOMY:
            self.mlflow.end(first, "FAILED")
        if script is Script.TWO_RUNS:
            self.mlflow.start("other", context)
        if script is Script.NESTED:
            child = {**context, "mlflow.parentRunId": first}
            self.mlflow.end(self.mlflow.start(experiment, child), "FINISHED")
            self.mlflow.start(experiment, child)


def _finished_at(pod: Object) -> datetime:
    ends = [state["state"].get("terminated", {}).get("finishedAt") for state in containers(pod)]
    return datetime.fromisoformat(next(filter(None, ends), pod["metadata"]["creationTimestamp"]))
