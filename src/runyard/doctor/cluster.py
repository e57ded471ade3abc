"""Observing a cluster with the rights of whoever asks; each thing that may not be seen is so for itself."""

import time
from collections.abc import Iterator, Sequence

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import GROUP, PLURAL, VERSION
from runyard.api.trainingsweep import PLURAL as SWEEPS
from runyard.cluster import Cluster, ClusterUnavailable, Forbidden, NotThere, Refused
from runyard.doctor import mlflow
from runyard.doctor.facts import Kind, Namespace, Platform
from runyard.doctor.findings import Unseen

# What a person needs for `runyard submit`, `wait` and `logs`.
RIGHTS = (
    ("create", GROUP, PLURAL, ""),
    ("get", GROUP, PLURAL, ""),
    ("watch", GROUP, PLURAL, ""),
    ("get", "", "pods", "log"),
)
_POLICY = "parameters.runyard.dev"
_POLICIES = {"policy": "validatingadmissionpolicies", "binding": "validatingadmissionpolicybindings"}
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_PAUSE_SECONDS = 0.3
_LONGEST_LEASE_SECONDS = 60
_MOST = 500
_OPERATOR, _UID_LABEL = "app.kubernetes.io/component=operator", "runyard.dev/uid"
_KUEUE = "/apis/kueue.x-k8s.io"


class Lens:
    """A cluster, looked at: what is not allowed, or not there, is a value."""

    def __init__(self, cluster: Cluster) -> None:
        """Look at a cluster."""
        self._cluster = cluster

    def object(self, path: str) -> JsonObject | Unseen | None:
        """Return an object; None where there is none."""
        try:
            return self._cluster.call("GET", path)
        except NotThere:
            return None
        except Forbidden as error:
            return Unseen(str(error))
        except (Refused, ClusterUnavailable) as error:
            return Unseen(f"the API server does not tell: {error}")

    def items(self, path: str, selector: str = "") -> list[JsonObject] | Unseen | None:
        """Return the objects of a list, 500 at most; None where there is no such kind."""
        try:
            found = self._cluster.call("GET", path, limit=_MOST, labelSelector=selector)
        except NotThere:
            return None
        except Forbidden as error:
            return Unseen(str(error))
        except (Refused, ClusterUnavailable) as error:
            return Unseen(f"the API server does not tell: {error}")
        return [as_object(each) for each in as_list(found.get("items"))]

    def tried(self, path: str, body: JsonObject) -> str | Unseen:
        """Try to create an object, without effect; return why it is refused: empty where it is not."""
        try:
            self._cluster.call("POST", path, body, dryRun="All", fieldValidation="Strict", fieldManager="runyard")
        except ClusterUnavailable as error:
            return Unseen(str(error))
        except Refused as error:
            return str(error)
        return ""


def observe_platform(opened: Cluster, context: str, release: str, tracking_uri: str | None) -> Platform:
    """Look at what Runyard is in a cluster that answers. Nothing is changed.

    Args:
        opened: the cluster.
        context: what it is called.
        release: the namespace of the release.
        tracking_uri: the person's MLflow, where that is a server.

    """
    lens = Lens(opened)
    told = lens.object("/version")
    version = str(told.get("gitVersion", "")) if isinstance(told, dict) else "unknown"
    inside = f"/namespaces/{release}"
    deployments = _or_none(lens.items(f"/apis/apps/v1{inside}/deployments"))
    operator = operator_of(deployments)
    lease_name = variable(operator, "RUNYARD_LEASE_NAME") or f"{release}-operator"
    lease_path = f"/apis/coordination.k8s.io/v1{inside}/leases/{lease_name}"
    lease, seen_at = lens.object(lease_path), time.monotonic()
    served = lens.object(f"/apis/{GROUP}/{VERSION}")
    pods = _or_none(lens.items(f"/api/v1{inside}/pods", "app.kubernetes.io/name=runyard"))
    claims = _or_none(lens.items(f"/api/v1{inside}/persistentvolumeclaims"))
    public = variable(operator, "RUNYARD_PUBLIC_TRACKING_URL")
    compared = public is not None and tracking_uri is not None and public.rstrip("/") != tracking_uri.rstrip("/")
    return Platform(
        context=context,
        version=version,
        release=release,
        trainings=_kind(lens, served, PLURAL),
        sweeps=_kind(lens, served, SWEEPS),
        deployments=deployments,
        pods=pods,
        claims=claims,
        fullness=_fullness(lens, release, pods, claims),
        public=mlflow.health(public) if public else None,
        experiments_here=mlflow.identity(tracking_uri) if compared and tracking_uri else None,
        experiments_there=mlflow.identity(public) if compared and public else None,
        # Last, since it takes time where nobody renews it.
        lease=lease,
        lease_moved=_moves(lens, lease_path, lease, seen_at),
    )


def observe_namespace(opened: Cluster, name: str) -> Namespace:
    """Look at the namespace that a person trains in. Nothing is changed."""
    lens, inside = Lens(opened), f"/namespaces/{name}"
    return Namespace(
        name=name,
        found=lens.object(f"/api/v1{inside}"),
        rights={_named(*right): _may(opened, name, *right) for right in RIGHTS},
        quotas=_or_none(lens.items(f"/api/v1{inside}/resourcequotas")),
        pods=_or_none(lens.items(f"/api/v1{inside}/pods", _UID_LABEL)),
        trainings=_or_none(lens.items(f"/apis/{GROUP}/{VERSION}{inside}/{PLURAL}")),
        queues=_queues(lens, inside),
    )


def operator_of(deployments: Sequence[JsonObject] | Unseen) -> JsonObject | None:
    """Return the operator's Deployment."""
    if isinstance(deployments, Unseen):
        return None
    key, _, value = _OPERATOR.partition("=")
    return next((each for each in deployments if labels(each).get(key) == value), None)


def labels(found: JsonObject) -> JsonObject:
    """Return an object's labels."""
    return as_object(as_object(found.get("metadata")).get("labels"))


def name_of(found: JsonObject) -> str:
    """Return an object's name."""
    return str(as_object(found.get("metadata")).get("name", ""))


def variable(deployment: JsonObject | None, name: str) -> str | None:
    """Return a variable of the first container of a Deployment."""
    template = as_object(as_object(as_object(deployment).get("spec")).get("template"))
    containers = as_list(as_object(template.get("spec")).get("containers"))
    env = as_list(as_object(containers[0]).get("env")) if containers else []
    return next((str(each.get("value", "")) for each in map(as_object, env) if each.get("name") == name), None)


def _or_none(found: list[JsonObject] | Unseen | None) -> list[JsonObject] | Unseen:
    return [] if found is None else found


def _kind(lens: Lens, group: JsonObject | Unseen | None, plural: str) -> Kind:
    """Look at one of Runyard's kinds, given the group as the API server serves it."""
    kinds = [] if isinstance(group, Unseen) else as_list((group or {}).get("resources"))
    return Kind(
        is_served=group if isinstance(group, Unseen) else plural in [as_object(kind).get("name") for kind in kinds],
        definition=lens.object(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}"),
        policies={part: _is_there(lens, f"{of_part}/{plural}-{_POLICY}") for part, of_part in _POLICIES.items()},
    )


def _is_there(lens: Lens, path: str) -> bool | Unseen:
    found = lens.object(f"{_ADMISSION}/{path}")
    return found if isinstance(found, Unseen) else found is not None


def _moves(lens: Lens, path: str, lease: JsonObject | Unseen | None, seen_at: float) -> bool:
    """Return whether a Lease is renewed before it is over: by this machine's clock alone, as client-go judges it."""
    spec = as_object(lease.get("spec")) if isinstance(lease, dict) else {}
    if not spec.get("holderIdentity"):
        return False
    seconds = spec.get("leaseDurationSeconds")
    lasts = min(seconds, _LONGEST_LEASE_SECONDS) if isinstance(seconds, int) else 0
    while True:
        is_over = time.monotonic() > seen_at + lasts
        now = lens.object(path)
        if isinstance(now, dict) and as_object(now.get("spec")) != spec:
            return True
        if is_over:
            return False
        time.sleep(_PAUSE_SECONDS)


def _named(verb: str, group: str, plural: str, sub: str) -> str:
    return f"{verb} {plural}{f'.{group}' if group else ''}{f'/{sub}' if sub else ''}"


def _may(opened: Cluster, namespace: str, verb: str, group: str, plural: str, sub: str) -> bool | Unseen:
    """Ask what one may do; this is a question, though it is written as a creation."""
    asked: JsonObject = {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "subresource": sub}
    body: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    try:
        found = opened.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    except (Refused, ClusterUnavailable) as error:
        return Unseen(str(error))
    return as_object(found.get("status")).get("allowed") is True


def _queues(lens: Lens, inside: str) -> list[str] | Unseen | None:
    group = lens.object(_KUEUE)
    if not isinstance(group, dict):
        return group
    version = str(as_object(group.get("preferredVersion")).get("version", "v1beta1"))
    found = lens.items(f"{_KUEUE}/{version}{inside}/localqueues")
    return found if isinstance(found, Unseen) else [name_of(each) for each in found or []]


def _fullness(
    lens: Lens, release: str, pods: Sequence[JsonObject] | Unseen, claims: Sequence[JsonObject] | Unseen
) -> dict[str, float] | Unseen:
    """Return how full volumes are, as the kubelets of their pods say; few may ask those."""
    if isinstance(pods, Unseen) or isinstance(claims, Unseen):
        return Unseen("pods or volume claims may not be seen")
    names = {name_of(each) for each in claims}
    full: dict[str, float] = {}
    trouble: Unseen | None = None
    for node in sorted({str(as_object(pod.get("spec")).get("nodeName") or "") for pod in pods} - {""}):
        found = lens.object(f"/api/v1/nodes/{node}/proxy/stats/summary")
        if not isinstance(found, dict):
            trouble = found or Unseen(f"there is no node {node}")
            continue
        full |= {claim: part for claim, part in _volumes(found, release) if claim in names}
    return full or trouble or full


def _volumes(summary: JsonObject, namespace: str) -> Iterator[tuple[str, float]]:
    for pod in map(as_object, as_list(summary.get("pods"))):
        for volume in map(as_object, as_list(pod.get("volume"))):
            claim = as_object(volume.get("pvcRef"))
            used, whole = volume.get("usedBytes"), volume.get("capacityBytes")
            if claim.get("namespace") == namespace and isinstance(used, int) and isinstance(whole, int) and whole > 0:
                yield str(claim.get("name", "")), used / whole
