"""What a request to the API server asks for, in the words of its access rules."""

import pytest
from yarl import URL

from runyard_operator.requests import ApiCall, api_call

RUNS = "/apis/runyard.dev/v1alpha1/namespaces/team/trainingruns"


@pytest.mark.parametrize(
    ("method", "url", "call"),
    [
        ("GET", "/api/v1/namespaces/team/pods", ApiCall("list", "pods", "team")),
        ("GET", "/api/v1/pods?labelSelector=a", ApiCall("list", "pods")),
        ("GET", "/api/v1/pods?watch=true", ApiCall("watch", "pods")),
        ("GET", "/api/v1/namespaces/team/pods?watch=true&timeoutSeconds=60", ApiCall("watch", "pods", "team")),
        ("GET", "/api/v1/namespaces/team/pods/p/log?container=c", ApiCall("get", "pods/log", "team")),
        ("GET", f"{RUNS}/wine", ApiCall("get", "trainingruns", "team")),
        ("PATCH", f"{RUNS}/wine/status", ApiCall("patch", "trainingruns/status", "team")),
        ("POST", "/apis/batch/v1/namespaces/team/jobs", ApiCall("create", "jobs", "team")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/r/leases/l", ApiCall("update", "leases", "r")),
        ("DELETE", "/apis/batch/v1/namespaces/team/jobs/j", ApiCall("delete", "jobs", "team")),
        ("GET", "/api/v1/namespaces/team", ApiCall("get", "namespaces")),
        ("GET", "/apis/batch/v1", ApiCall("get", "discovery")),
        ("GET", "/version", ApiCall("get", "discovery")),
        ("GET", "/k8s/clusters/c-1/api/v1/namespaces/team/pods", ApiCall("list", "pods", "team")),
    ],
)
def test_a_request_in_words(method: str, url: str, call: ApiCall) -> None:
    assert api_call(method, URL(f"https://server{url}")) == call
