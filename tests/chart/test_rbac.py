"""Which rights the platform takes."""

from typing import Any

import pytest

from tests.chart.rendered import Rendered, render
from tests.chart.test_network_policies import outward

# What the operator does, and nothing besides; tests/operator/operations/test_rights.py takes each right away.
OPERATOR = {
    ("runyard.dev", "trainingruns"): {"get", "list", "watch", "create", "patch"},
    ("runyard.dev", "trainingsweeps"): {"get", "list", "watch"},
    ("runyard.dev", "trainingruns/status"): {"patch"},
    ("runyard.dev", "trainingsweeps/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch"},
    ("", "pods"): {"list", "watch"},
    ("", "pods/log"): {"get"},
    ("", "services"): {"create"},
    ("", "events"): {"list"},
    ("events.k8s.io", "events"): {"create"},
}

# What the dashboard does unless more is asked for; tests/dashboard shows that it is enough, and what each value adds.
DASHBOARD = {("runyard.dev", "trainingruns"): {"get", "list"}}
LOGS = {("", "pods/log"): {"get"}}
CHANGES = {"create", "patch", "delete"}

# What a namespace can hold of what the chart has.
NAMESPACED = {
    "ConfigMap",
    "Deployment",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
    "StatefulSet",
}


def rights(role: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_no_right_is_a_wildcard(chart: Rendered) -> None:
    roles = chart.of_kind("Role", "ClusterRole")
    assert roles
    for role in roles:
        for rule in role["rules"]:
            assert not any("*" in word for words in rule.values() for word in words), role["metadata"]["name"]


def test_the_operator_may_do_what_it_does_in_every_namespace(default: Rendered) -> None:
    [role] = [role for role in default.of_kind("ClusterRole") if role["metadata"]["name"] == "runyard-runyard-operator"]
    assert rights(role) == OPERATOR
    binding = default.one("ClusterRoleBinding", role["metadata"]["name"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "runyard-operator", "namespace": "runyard"}]


def test_who_may_create_pods_may_create_trainings(default: Rendered) -> None:
    edit, view = (default.one("ClusterRole", f"runyard-runyard-{kind}") for kind in ("edit", "view"))
    changes = {"create", "delete", "deletecollection", "patch", "update"}
    kinds = [("runyard.dev", plural) for plural in ("trainingruns", "trainingsweeps")]
    assert rights(edit) == dict.fromkeys(kinds, changes)
    assert rights(view) == {kind: {"get", "list", "watch"} for kind in kinds}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {k.removeprefix(prefix) for k in edit["metadata"]["labels"] if k.startswith(prefix)} == {"edit", "admin"}
    assert f"{prefix}view" in view["metadata"]["labels"]


def test_the_clusters_roles_can_be_left_alone() -> None:
    names = {found["metadata"]["name"] for found in render(settings=["roles.aggregate=false"]).of_kind("ClusterRole")}
    assert names == {"runyard-runyard-operator", "runyard-runyard-dashboard"}


def test_with_namespaces_named_it_may_do_so_in_them_alone(everything: Rendered) -> None:
    assert not everything.of_kind("ClusterRole", "ClusterRoleBinding")
    roles = [role for role in everything.of_kind("Role") if role["metadata"]["name"] == "runyard-operator"]
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b"}
    assert all(rights(role) == OPERATOR for role in roles)
    bindings = [found for found in everything.of_kind("RoleBinding") if found["metadata"]["name"] == "runyard-operator"]
    assert {found["metadata"]["namespace"] for found in bindings} == {"team-a", "team-b"}
    assert all(found["subjects"][0]["namespace"] == "runyard" for found in bindings)


def test_the_dashboard_may_list_trainings_in_every_namespace_and_read_no_log(default: Rendered) -> None:
    name = "runyard-runyard-dashboard"
    assert rights(default.one("ClusterRole", name)) == DASHBOARD
    binding = default.one("ClusterRoleBinding", name)
    assert binding["roleRef"]["name"] == name
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "runyard-dashboard", "namespace": "runyard"}]


def test_the_dashboard_sees_what_the_operator_watches_and_logs_where_told(everything: Rendered) -> None:
    for kind in ("Role", "RoleBinding"):
        found = [each for each in everything.of_kind(kind) if each["metadata"]["name"] == "runyard-dashboard"]
        assert {each["metadata"]["namespace"] for each in found} == {"team-a", "team-b"}
        if kind == "Role":
            assert all(rights(each) == with_changes() | LOGS for each in found)


def with_changes() -> dict[tuple[str, str], set[str]]:
    return {kind: verbs | CHANGES for kind, verbs in DASHBOARD.items()}


@pytest.mark.parametrize("allowed", [False, True])
def test_the_dashboard_may_change_what_it_may_where_told(allowed: bool) -> None:  # noqa: FBT001
    chart = render(settings=[f"dashboard.allowChanges={str(allowed).lower()}"])
    found = rights(chart.one("ClusterRole", "runyard-runyard-dashboard"))
    assert found == (with_changes() if allowed else DASHBOARD)
    [container] = chart.one("Deployment", "runyard-dashboard")["spec"]["template"]["spec"]["containers"]
    assert ("--allow-changes" in container["args"]) is allowed


def test_a_dashboard_without_trainings_has_no_right_and_no_way_to_the_api_server() -> None:
    without = render(settings=["dashboard.trainings=false", "dashboard.logs=true"])
    assert not [
        found["metadata"]["name"]
        for found in without.of_kind("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
        if "dashboard" in found["metadata"]["name"]
    ]
    pod = without.one("Deployment", "runyard-dashboard")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "--cluster" not in pod["containers"][0]["args"]
    assert outward(without, "dashboard") == [(["mlflow"], {("TCP", 5000)})]


@pytest.mark.parametrize("names", [(), ("all",), ("external",), ("secrets",)])
def test_with_namespaces_named_and_no_definition_nothing_is_of_the_cluster(names: tuple[str, ...]) -> None:
    found = render(*names, settings=["operator.watchNamespaces={team-a,team-b}", "crds.enabled=false"])
    assert {body["kind"] for body in found.objects} <= NAMESPACED
    assert {body["metadata"].get("namespace", "runyard") for body in found.objects} <= {"runyard", "team-a", "team-b"}


def test_wherever_it_works_its_lease_is_in_the_namespace_of_the_release(chart: Rendered) -> None:
    [create, use] = chart.one("Role", "runyard-leader-election")["rules"]
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    assert create == {**lease, "verbs": ["create"]}
    assert use == {**lease, "resourceNames": ["runyard-operator"], "verbs": ["get", "update"]}
    binding = chart.one("RoleBinding", "runyard-leader-election")
    assert binding["metadata"]["namespace"] == "runyard"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "runyard-operator", "namespace": "runyard"}]


def test_who_makes_secrets_can_neither_read_nor_change_one(default: Rendered) -> None:
    assert rights(default.one("Role", "runyard-secrets")) == {("", "secrets"): {"create"}}
