"""Which rights the platform takes."""

from typing import Any

import pytest

from tests.chart.rendered import Rendered, render

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
    [binding] = default.of_kind("ClusterRoleBinding")
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
    assert names == {"runyard-runyard-operator"}


def test_with_namespaces_named_it_may_do_so_in_them_alone(everything: Rendered) -> None:
    assert not everything.of_kind("ClusterRole", "ClusterRoleBinding")
    roles = [role for role in everything.of_kind("Role") if role["metadata"]["name"] == "runyard-operator"]
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b"}
    assert all(rights(role) == OPERATOR for role in roles)
    bindings = [found for found in everything.of_kind("RoleBinding") if found["metadata"]["name"] == "runyard-operator"]
    assert {found["metadata"]["namespace"] for found in bindings} == {"team-a", "team-b"}
    assert all(found["subjects"][0]["namespace"] == "runyard" for found in bindings)


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
