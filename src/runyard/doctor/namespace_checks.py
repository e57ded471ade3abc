"""Checks of the namespace that a person trains in, and of a manifest for it."""

import shlex
from collections.abc import Iterator, Mapping

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.quantities import quantity
from runyard.doctor.cluster import labels, name_of
from runyard.doctor.facts import Manifest, Namespace
from runyard.doctor.findings import Finding, Unseen, unknown, well, wrong

_PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_TRAININGS_TAKE = {"pods", "count/pods", "count/jobs.batch", "count/trainingruns.runyard.dev", "cpu", "memory"}
_LEVEL = "pod-security.kubernetes.io/enforce"
_ENDED = {"Succeeded", "Failed"}


def checks(facts: Namespace) -> Iterator[Finding]:
    """Say what is well and what is wrong with a namespace."""
    name = facts.name
    if facts.found is None:
        why, remedy = "nothing can be created there", f"kubectl create namespace {name}, or -n NAMESPACE"
        yield wrong("namespace", f"there is no namespace {name}", why, remedy)
        return
    if isinstance(facts.found, Unseen):
        yield unknown("namespace", facts.found.because)
    else:
        level = labels(facts.found).get(_LEVEL)
        yield well("namespace", f"{name}, " + (f'pods are held to "{level}"' if level else "pods are held to nothing"))
    yield _rights(facts)
    yield _quota(facts)
    yield _images(facts)
    yield _queues(facts)


def _rights(facts: Namespace) -> Finding:
    lacking = [right for right, may in facts.rights.items() if may is False]
    if lacking:
        return wrong(
            "rights",
            f"one may not {', '.join(lacking)} in {facts.name}",
            "`runyard submit`, `wait` and `logs` are refused",
            f"kubectl -n {facts.name} create rolebinding YOU-edit --clusterrole=edit --user=YOU, by an administrator",
        )
    for may in facts.rights.values():
        if isinstance(may, Unseen):
            return unknown("rights", may.because)
    return well("rights", f"trainings may be created, read and followed in {facts.name}")


def _quota(facts: Namespace) -> Finding:
    if isinstance(facts.quotas, Unseen):
        return unknown("quota", facts.quotas.because)
    for found in facts.quotas:
        status = as_object(found.get("status"))
        for resource in _used_up(as_object(status.get("hard")), as_object(status.get("used"))):
            return wrong(
                "quota",
                f"the quota {name_of(found)} is used up: {resource}",
                "the next training has no pod, and waits",
                f"kubectl -n {facts.name} describe quota {name_of(found)}; delete what has ended, or raise it",
            )
    return well("quota", f"{len(facts.quotas)} quotas have room" if facts.quotas else "there is none")


def _used_up(hard: JsonObject, used: JsonObject) -> Iterator[str]:
    for resource, limit in hard.items():
        most, now = quantity(str(limit)), quantity(str(used.get(resource, "0")))
        takes = resource in _TRAININGS_TAKE or resource.startswith(("requests.", "limits."))
        if takes and most is not None and now is not None and now >= most:
            yield f"{resource} {used.get(resource)} of {limit}"


def _images(facts: Namespace) -> Finding:
    if isinstance(facts.pods, Unseen):
        return unknown("images", facts.pods.because)
    for pod in facts.pods:
        for container in map(as_object, _statuses(pod)):
            waiting = as_object(as_object(container.get("state")).get("waiting"))
            if waiting.get("reason") in _PULLING:
                return wrong(
                    "images",
                    f"{container.get('image')} cannot be pulled: {waiting.get('message') or waiting['reason']}",
                    f"the training of the pod {name_of(pod)} does not begin, and fails after a while",
                    "the image's name and tag; imagePullSecrets of the service account; kind load docker-image",
                )
    return well("images", "no training waits for an image")


def _statuses(pod: JsonObject) -> list[JsonObject]:
    status = as_object(pod.get("status"))
    listed = [*as_list(status.get("initContainerStatuses")), *as_list(status.get("containerStatuses"))]
    return [as_object(each) for each in listed]


def _queues(facts: Namespace) -> Finding:
    if isinstance(facts.trainings, Unseen):
        return unknown("queues", facts.trainings.because)
    waiting: Mapping[str, str] = {
        name_of(each): queue
        for each in facts.trainings
        if (queue := as_object(each.get("spec")).get("queueName"))
        and isinstance(queue, str)
        and as_object(each.get("status")).get("phase") not in _ENDED
    }
    for training, queue in waiting.items():
        if found := _queue_trouble(facts, training, queue):
            return found
    return well("queues", f"{len(waiting)} trainings are in queues that are there" if waiting else "none is waited for")


def _queue_trouble(facts: Namespace, whose: str, queue: str) -> Finding | None:
    if isinstance(facts.queues, Unseen):
        return unknown("queues", facts.queues.because)
    if facts.queues is not None and queue in facts.queues:
        return None
    says = (
        f"{whose} names the queue {queue}, and the cluster has no Kueue"
        if facts.queues is None
        else f"{whose} names the queue {queue}, and {facts.name} has {', '.join(facts.queues) or 'none'}"
    )
    remedy = "leave out spec.queueName" if facts.queues is None else f"kubectl -n {facts.name} get localqueues"
    return wrong("queues", says, "it waits for ever", remedy)


def manifest_checks(facts: Manifest, namespace: Namespace | None) -> Iterator[Finding]:
    """Say what is well and what is wrong with a manifest, for a namespace where there is one."""
    quoted = shlex.quote(facts.name)
    if facts.problem:
        why = "`kubectl apply`, `runyard submit` and `runyard run` refuse it"
        yield wrong("manifest", facts.problem, why, f"mend {quoted}; kubectl explain trainingrun.spec")
        return
    yield well("manifest", f"{facts.name} is a {facts.kind}")
    if namespace is None:
        yield unknown("admission", "no cluster was asked about the manifest")
        return
    yield _admission(facts, namespace)
    if isinstance(facts.missing, Unseen):
        yield unknown("references", facts.missing.because)
    elif facts.missing:
        says = f"{facts.name} names what {namespace.name} has not: {', '.join(facts.missing)}"
        remedy = f"kubectl -n {namespace.name} create … {facts.missing[0].lower()}"
        yield wrong("references", says, "its pod is not made, or waits", remedy)
    else:
        yield well("references", "what it names is there")
    if facts.queue and (found := _queue_trouble(namespace, facts.name, facts.queue)):
        yield found
    yield (
        unknown("image", f"whether nodes can pull {facts.image}, only a pod can tell")
        if facts.image
        else well("image", "podTemplate names it")
    )


def _admission(facts: Manifest, namespace: Namespace) -> Finding:
    for whose, said in (("it", facts.admitted), ("its pod", facts.pod_admitted)):
        if isinstance(said, Unseen):
            return unknown("admission", said.because)
        if said:
            why = "it is not created" if whose == "it" else "it is created, and has no pod"
            says = f"{namespace.name} does not take {whose if whose != 'it' else facts.name}: {said}"
            return wrong("admission", says, why, "mend what is named; for a securityContext: spec.podTemplate")
    return well("admission", f"{namespace.name} takes it and its pod")
