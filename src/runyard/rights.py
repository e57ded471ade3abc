"""Who somebody is to an API server, and what they may do with TrainingRuns there, as it says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runyard.api.model import JsonObject, as_object
from runyard.api.trainingrun import GROUP, PLURAL
from runyard.cluster import ClusterUnavailable, NotThere, Unknown

if TYPE_CHECKING:
    from runyard.cluster import Cluster

_NOBODY = "system:anonymous"


def may(cluster: Cluster, verb: str, namespace: str, name: str = "") -> bool:
    """Whether whoever asks may do something with TrainingRuns.

    Args:
        cluster: asked as its client may.
        verb: what is done: list, say.
        namespace: of which namespace; empty: of all of them.
        name: of which TrainingRun; empty: of any.

    Raises:
        Unknown: the API server does not know who asks.
        ClusterUnavailable: it does not answer.

    """
    asked: JsonObject = {"namespace": namespace, "verb": verb, "group": GROUP, "resource": PLURAL, "name": name}
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    review: JsonObject = {**kind, "spec": {"resourceAttributes": asked}}
    answer = cluster.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return as_object(answer.get("status")).get("allowed") is True


def who(cluster: Cluster) -> str:
    """Return the name of whoever asks, as the API server has it.

    Raises:
        Unknown: it does not know.
        ClusterUnavailable: it does not answer, or is older than Kubernetes 1.28 and cannot tell.

    """
    review: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = cluster.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    except NotThere as error:
        raise ClusterUnavailable("the API server cannot say who asks: Kubernetes 1.28 and later can") from error
    name = as_object(as_object(answer.get("status")).get("userInfo")).get("username")
    if not name or name == _NOBODY:
        raise Unknown("the API server does not know who this is")
    return str(name)
