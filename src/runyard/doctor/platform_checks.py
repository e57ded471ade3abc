"""Checks of what Runyard is in a cluster."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from runyard.api import crd, sweep_crd
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import VERSION
from runyard.doctor.cluster import labels, name_of, operator_of, variable
from runyard.doctor.facts import Answer, Kind, Platform, Unanswered
from runyard.doctor.findings import Finding, Unseen, silent, unknown, well, wrong

_FULL = 0.9
_INSTALL = "helm upgrade --install runyard charts/runyard --namespace {release} --create-namespace"
_KINDS = {"policy": "ValidatingAdmissionPolicy", "binding": "ValidatingAdmissionPolicyBinding"}


def checks(facts: Platform, own_version: str, namespace: str) -> Iterator[Finding]:
    """Say what is well and what is wrong with a cluster, given this Runyard's version and the person's namespace."""
    yield well("cluster", f"{facts.context} answers, Kubernetes {facts.version}")
    yield _definition(facts, "definition", "TrainingRun", facts.trainings, crd.schema())
    yield _policy(facts, "policy", "trainingruns", facts.trainings)
    yield _definition(facts, "sweeps", "TrainingSweep", facts.sweeps, sweep_crd.schema())
    yield _policy(facts, "sweeps-policy", "trainingsweeps", facts.sweeps)
    yield from _operator(facts, own_version, namespace)
    yield _lease(facts)
    yield from _pods(facts)
    yield from _claims(facts)
    yield _public(facts)
    yield _same_mlflow(facts)


def unreachable(says: str) -> Finding:
    """Say that a cluster does not answer."""
    return silent(
        "cluster",
        says,
        "no training can be started or seen there",
        "kubectl config get-contexts, then runyard doctor --context NAME; kubectl cluster-info",
    )


def _install(facts: Platform) -> str:
    return _INSTALL.format(release=facts.release)


def _definition(facts: Platform, check: str, name: str, kind: Kind, schema: JsonObject) -> Finding:
    found = kind.definition
    if kind.is_served is False and not isinstance(found, dict):
        why = f"the cluster knows no {name}s"
        return wrong(check, f"the definition of {name}s is not installed", why, _install(facts))
    if not isinstance(found, dict):
        because = found.because if isinstance(found, Unseen) else "it was not found"
        return unknown(check, f"{name}s are known; whether as this Runyard knows them is not: {because}")
    conditions = {each.get("type"): each.get("status") for each in map(as_object, _of(found, "status", "conditions"))}
    if conditions.get("Established") != "True":
        why = f"the API server does not serve {name}s"
        remedy = f"kubectl describe crd {name.lower()}s.runyard.dev"
        return wrong(check, f"the definition of {name}s is not established", why, remedy)
    ours = next((each for each in map(as_object, _of(found, "spec", "versions")) if each.get("name") == VERSION), {})
    known = as_object(as_object(as_object(ours).get("schema")).get("openAPIV3Schema"))
    if known != schema:
        there, here = _fields(known), _fields(schema)
        names = sorted(there ^ here)
        differ = f"{', '.join(names)} differ{'s' * (len(names) == 1)}" if names else "rules or descriptions differ"
        says = f"the definition of {name}s is another one than this Runyard's: {differ}"
        why = "fields are refused there, or left without effect, that are right here"
        return wrong(check, says, why, _install(facts))
    return well(check, f"{name}s are defined as this Runyard knows them")


def _fields(known: JsonObject) -> set[str]:
    parts = as_object(known.get("properties"))
    return {
        f"{part}.{name}"
        for part in ("spec", "status")
        for name in as_object(as_object(parts.get(part)).get("properties"))
    }


def _of(found: JsonObject, part: str, name: str) -> list[JsonValue]:
    return as_list(as_object(found.get(part)).get(name))


def _policy(facts: Platform, check: str, plural: str, kind: Kind) -> Finding:
    missing = [_KINDS[part] for part, found in kind.policies.items() if found is False]
    if missing:
        says = f"{' and '.join(missing)} {plural}-parameters.runyard.dev: not there"
        return wrong(check, says, "parameters may be changed while it runs, without effect", _install(facts))
    for found in kind.policies.values():
        if isinstance(found, Unseen):
            return unknown(check, found.because)
    return well(check, f"parameters of {plural} are guarded by the admission policy")


def _operator(facts: Platform, own_version: str, namespace: str) -> Iterator[Finding]:
    if isinstance(facts.deployments, Unseen):
        yield unknown("operator", facts.deployments.because)
        yield unknown("watched", f"only the operator's Deployment says whether it watches {namespace}")
        return
    found = operator_of(facts.deployments)
    if found is None:
        says = f"there is no operator in the namespace {facts.release}"
        remedy = f"{_install(facts)}, or --release-namespace NAMESPACE"
        yield wrong("operator", says, "TrainingRuns stay as they are, without a phase", remedy)
        return
    ready, version = as_object(found.get("status")).get("readyReplicas"), labels(found).get("app.kubernetes.io/version")
    logs = f"kubectl -n {facts.release} logs deployment/{name_of(found)}"
    if not ready:
        yield wrong("operator", "no pod of the operator is ready", "no training is started, and no end is told", logs)
    elif version not in {None, own_version}:
        why = "one of them knows fields and tags that the other does not"
        says = f"the operator is {version}, this Runyard {own_version}"
        yield wrong("operator", says, why, f"pip install {shlex.quote(f'runyard=={version}')}, or {_install(facts)}")
    else:
        yield well("operator", f"{ready} ready, version {version or 'unknown'}")
    watched = [name.strip() for name in (variable(found, "RUNYARD_NAMESPACES") or "").split(",") if name.strip()]
    if watched and namespace not in watched:
        both = shlex.quote(f"{{{','.join([*watched, namespace])}}}")
        remedy = f"-n {shlex.quote(watched[0])}, or {_install(facts)} --set operator.watchNamespaces={both}"
        says = f"the operator watches {', '.join(watched)}, not {namespace}"
        yield wrong("watched", says, "TrainingRuns there stay as they are, without a phase", remedy)
    else:
        yield well("watched", f"the operator watches {namespace}")


def _lease(facts: Platform) -> Finding:
    lease = facts.lease
    if isinstance(lease, Unseen):
        return unknown("lease", lease.because)
    why, remedy = "no training is started, and no end is told", f"kubectl -n {facts.release} get pods,leases"
    if lease is None:
        return wrong("lease", "there is no Lease of the operator: none has ever led", why, remedy)
    spec = as_object(lease.get("spec"))
    holder = spec.get("holderIdentity")
    if not holder:
        return wrong("lease", f"nobody holds the Lease {name_of(lease)}", why, remedy)
    if not facts.lease_moved:
        says = (
            f"{holder} holds the Lease {name_of(lease)}, and did not renew it in {spec.get('leaseDurationSeconds')} s"
        )
        return wrong("lease", says, f"the operator is gone or frozen: {why}", remedy)
    return well("lease", f"{holder} leads")


def _pods(facts: Platform) -> Iterator[Finding]:
    if isinstance(facts.pods, Unseen):
        yield unknown("platform", facts.pods.because)
        return
    troubles = [(pod, trouble) for pod in facts.pods if (trouble := trouble_of(pod))]
    for pod, trouble in troubles:
        component = str(labels(pod).get("app.kubernetes.io/component", ""))
        yield wrong(
            "platform",
            f"the pod {name_of(pod)} is not ready: {trouble}",
            {
                "postgres": "MLflow cannot read or write runs",
                "minio": "no artifact can be written or read",
                "mlflow": "no run can be logged",
            }.get(component, "a part of the platform is missing"),
            f"kubectl -n {facts.release} describe pod {name_of(pod)}",
        )
    if not facts.pods:
        says = f"there are no pods of Runyard in the namespace {facts.release}"
        yield wrong("platform", says, "nothing is there that could run or record a training", _install(facts))
    elif not troubles:
        yield well("platform", f"the pods of the release are ready: {_components(facts.pods)}")


def _components(pods: Sequence[JsonObject]) -> str:
    return ", ".join(sorted({str(labels(pod).get("app.kubernetes.io/component", name_of(pod))) for pod in pods}))


def trouble_of(pod: JsonObject) -> str:
    """Return why a pod is not ready; empty where it is, or where it has ended or is to: another has its place then."""
    status = as_object(pod.get("status"))
    if status.get("phase") in {"Succeeded", "Failed"} or as_object(pod.get("metadata")).get("deletionTimestamp"):
        return ""
    conditions = {str(each.get("type")): each for each in map(as_object, as_list(status.get("conditions")))}
    if as_object(conditions.get("Ready")).get("status") == "True":
        return ""
    for container in [*as_list(status.get("initContainerStatuses")), *as_list(status.get("containerStatuses"))]:
        waiting = as_object(as_object(as_object(container).get("state")).get("waiting"))
        if waiting.get("reason") not in {None, "PodInitializing", "ContainerCreating"}:
            return ": ".join(str(waiting[key]) for key in ("reason", "message") if waiting.get(key))
    scheduled = as_object(conditions.get("PodScheduled"))
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    return f"its phase is {status.get('phase', 'unknown')}"


def _claims(facts: Platform) -> Iterator[Finding]:
    if isinstance(facts.claims, Unseen):
        yield unknown("volumes", facts.claims.because)
        return
    unbound = [(claim, phase) for claim in facts.claims if (phase := _phase(claim)) != "Bound"]
    for claim, phase in unbound:
        why = "the pod that keeps its data there cannot start"
        remedy = f"kubectl -n {facts.release} describe pvc {name_of(claim)}; kubectl get storageclass"
        yield wrong("volumes", f"the volume claim {name_of(claim)} is {phase}", why, remedy)
    if isinstance(facts.fullness, Unseen):
        yield unknown("fullness", f"how full volumes are is not known: {facts.fullness.because}")
    else:
        yield from _fullness(facts.release, facts.fullness)
    if not unbound:
        yield well("volumes", f"{len(facts.claims)} volume claims are bound")


def _fullness(release: str, full: Mapping[str, float]) -> Iterator[Finding]:
    for claim, part in full.items():
        if part >= _FULL:
            why = "when it is full, no run and no artifact can be written"
            remedy = f"kubectl -n {release} edit pvc {claim}, for more storage; or mlflow gc, for what was deleted"
            yield wrong("fullness", f"the volume of {claim} is {part:.0%} full", why, remedy)
    if full and all(part < _FULL for part in full.values()):
        yield well("fullness", ", ".join(f"{claim} {part:.0%}" for claim, part in sorted(full.items())))
    if not full:
        yield unknown("fullness", "no kubelet tells how full volumes are")


def _phase(claim: JsonObject) -> str:
    return str(as_object(claim.get("status")).get("phase", "Pending"))


def _public(facts: Platform) -> Finding:
    address = variable(_known_operator(facts), "RUNYARD_PUBLIC_TRACKING_URL") or ""
    match facts.public:
        case None:
            return unknown("ingress", "only the operator's Deployment says under which address people reach MLflow")
        case Answer(200, text) if text.strip() == "OK":
            return well("ingress", f"MLflow answers at {address}, which trainings' statuses name")
        case Answer(status):
            says = f"{address}, which trainings' statuses name, answers {status}, not as MLflow does"
        case Unanswered(silence, text):
            says = f"{address}, which trainings' statuses name, does not answer from here: {silence} ({text})"
    remedy = f"kubectl -n {facts.release} get ingress; ingress.host and ingress.publicUrl in the chart's values"
    return wrong("ingress", says, "people cannot open the runs that kubectl shows them", remedy)


def _known_operator(facts: Platform) -> JsonObject | None:
    return operator_of(facts.deployments)


def _same_mlflow(facts: Platform) -> Finding:
    here, there = facts.experiments_here, facts.experiments_there
    if here is None or there is None:
        if facts.public is None:
            return unknown("same-mlflow", "which MLflow the operator writes to is not known")
        return well("same-mlflow", "there is no other MLflow than the operator's in question")
    for each in (here, there):
        if isinstance(each, Unseen):
            return unknown("same-mlflow", each.because)
    if here != there:
        address = variable(_known_operator(facts), "RUNYARD_PUBLIC_TRACKING_URL")
        why = "trainings in the cluster log elsewhere: `runyard list` and `promote` do not see them"
        return wrong(
            "same-mlflow",
            "this MLflow is not the operator's",
            why,
            f"export MLFLOW_TRACKING_URI={shlex.quote(str(address))}",
        )
    return well("same-mlflow", "this MLflow is the operator's, under another address")
