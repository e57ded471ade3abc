"""Which rights the platform takes."""

from typing import Any

from tests.chart.rendered import Rendered

# What the operator does, and nothing besides; tests/operator/operations/test_rights.py takes each right away.
OPERATOR = {
    ("runyard.dev", "trainingruns"): {"get", "list", "watch"},
    ("runyard.dev", "trainingruns/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "patch"},
    ("", "pods"): {"list", "watch"},
    ("", "pods/log"): {"get"},
    ("events.k8s.io", "events"): {"create"},
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
    [role] = default.of_kind("ClusterRole")
    assert rights(role) == OPERATOR
    [binding] = default.of_kind("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "runyard-operator", "namespace": "runyard"}]


def test_with_namespaces_named_it_may_do_so_in_them_alone(everything: Rendered) -> None:
    assert not everything.of_kind("ClusterRole", "ClusterRoleBinding")
    roles = [role for role in everything.of_kind("Role") if role["metadata"]["name"] == "runyard-operator"]
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b"}
    assert all(rights(role) == OPERATOR for role in roles)
    bindings = [found for found in everything.of_kind("RoleBinding") if found["metadata"]["name"] == "runyard-operator"]
    assert {found["metadata"]["namespace"] for found in bindings} == {"team-a", "team-b"}
    assert all(found["subjects"][0]["namespace"] == "runyard" for found in bindings)


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
