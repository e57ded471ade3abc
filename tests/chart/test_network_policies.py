"""Which pods may talk to which, as the policies say; tests/chart/test_install.py shows that they are enforced."""

from typing import Any

import pytest
import yaml

from runyard.serving.objects import SERVES_LABEL
from tests.chart.rendered import CHART, Object, Rendered, render

DNS = {("UDP", 53), ("TCP", 53)}
API_SERVER = {("TCP", 443), ("TCP", 6443)}


def policy(chart: Rendered, component: str) -> Object:
    found: Object = chart.one("NetworkPolicy", f"runyard-{component}")["spec"]
    return found


def selects(found: Object, labels: dict[str, str]) -> bool:
    chosen: dict[str, str] = found["spec"]["podSelector"]["matchLabels"]
    return chosen.items() <= labels.items()


def component(peer: dict[str, Any]) -> str | None:
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    return None if "namespaceSelector" in peer else labels.get("app.kubernetes.io/component")


def ports(rule: dict[str, Any]) -> set[tuple[str, int]]:
    return {(port["protocol"], port["port"]) for port in rule["ports"]}


def outward(chart: Rendered, name: str) -> list[tuple[list[str | None], set[tuple[str, int]]]]:
    """Return whom a component may call: components, or nothing for anybody, and on which ports."""
    rules = policy(chart, name).get("egress", [])
    return [([component(peer) for peer in rule.get("to", [])], ports(rule)) for rule in rules if ports(rule) != DNS]


def test_every_pod_is_denied_everything_first(chart: Rendered) -> None:
    spec = policy(chart, "default-deny")
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & spec.keys()
    for where, pod in chart.pods():
        assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), where


def test_every_policy_selects_a_pod(chart: Rendered) -> None:
    labels = [pod["metadata"]["labels"] for _, pod in chart.pods()]
    for found in chart.of_kind("NetworkPolicy"):
        if found["metadata"]["name"] != "runyard-secrets":  # for a pod that the next upgrade may bring
            assert any(selects(found, candidate) for candidate in labels), found["metadata"]["name"]


@pytest.mark.parametrize("before", [[], ["all"], ["external"], ["secrets"]], ids=str)
def test_an_upgrades_hooks_may_do_their_work_under_the_policies_of_before(before: list[str]) -> None:
    hooks = [job for job in render().of_kind("Job") if "helm.sh/hook" in job["metadata"]["annotations"]]
    assert hooks
    for job in hooks:
        labels = job["spec"]["template"]["metadata"]["labels"]
        policies = [found for found in render(*before).of_kind("NetworkPolicy") if selects(found, labels)]
        allowed = {port for found in policies for rule in found["spec"].get("egress", []) for port in ports(rule)}
        assert policies, "a policy that denies everything selects it"
        assert allowed >= API_SERVER | DNS


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("operator", [([], API_SERVER), (["mlflow"], {("TCP", 5000)}), (["postgres"], {("TCP", 5432)})]),
        ("secrets", [([], API_SERVER)]),
        ("dashboard", [([], API_SERVER), (["mlflow"], {("TCP", 5000)})]),
        ("mlflow", [(["postgres"], {("TCP", 5432)}), (["minio"], {("TCP", 9000)})]),
        ("postgres", []),
        ("minio", []),
    ],
)
def test_a_component_may_call_whom_it_needs(
    name: str, paths: list[tuple[list[str], set[tuple[str, int]]]], default: Rendered
) -> None:
    assert outward(default, name) == paths


def test_a_database_and_a_store_of_ones_own_can_be_called(external: Rendered) -> None:
    assert outward(external, "mlflow") == [([], {("TCP", 6432)}), ([], {("TCP", 9001)})]


@pytest.mark.parametrize(("endpoint", "port"), [("https://s3.example.com", 443), ("http://s3.example.com", 80)])
def test_an_address_without_a_port_has_its_schemes(endpoint: str, port: int) -> None:
    settings = [f"objectStore.external.endpoint={endpoint}", "objectStore.external.existingSecret=store"]
    assert ([], {("TCP", port)}) in outward(render(settings=settings), "mlflow")


@pytest.mark.parametrize(
    ("name", "port", "callers"), [("postgres", 5432, ["mlflow", "operator"]), ("minio", 9000, ["mlflow"])]
)
def test_only_mlflow_and_what_asks_optuna_may_call_the_stores(
    name: str, port: int, callers: list[str], default: Rendered
) -> None:
    [rule] = policy(default, name)["ingress"]
    assert [component(peer) for peer in rule["from"]] == callers
    assert ports(rule) == {("TCP", port)}


def test_without_optuna_the_operator_may_not_call_the_database() -> None:
    [rule] = policy(render(settings=["operator.sweeps.optuna.enabled=false"]), "postgres")["ingress"]
    assert [component(peer) for peer in rule["from"]] == ["mlflow"]


def test_nobody_may_call_who_makes_secrets(default: Rendered) -> None:
    assert "ingress" not in policy(default, "secrets")


@pytest.mark.parametrize(
    ("values", "peers"),
    [
        ({}, [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]),
        ({"networkPolicies": {"metricsFrom": [{"podSelector": {}}]}}, [{"podSelector": {}}]),
    ],
)
def test_the_operators_metrics_may_be_read_by_who_is_named(values: Object, peers: list[Object]) -> None:
    [rule] = policy(render(values=values), "operator")["ingress"]
    assert rule["from"] == peers
    assert ports(rule) == {("TCP", 8080)}


def test_without_one_who_is_named_nobody_may_call_the_operator() -> None:
    assert "ingress" not in policy(render(values={"networkPolicies": {"metricsFrom": []}}), "operator")


def test_mlflow_may_be_called_by_the_platform_trainings_what_serves_models_and_the_ingress_controller_alone(
    default: Rendered,
) -> None:
    [rule] = policy(default, "mlflow")["ingress"]
    operator, dashboard, trainings, models, controller = rule["from"]
    assert (component(operator), component(dashboard)) == ("operator", "dashboard")
    for peer, label in ((trainings, "runyard.dev/uid"), (models, SERVES_LABEL)):
        assert peer == {
            "namespaceSelector": {},  # in whichever namespace
            "podSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]},
        }
    [named] = controller["namespaceSelector"]["matchExpressions"]
    assert (named["key"], named["operator"]) == ("kubernetes.io/metadata.name", "In")
    assert "kube-system" not in named["values"], "half of a cluster runs there"
    assert ports(rule) == {("TCP", 5000)}


def test_trainings_of_namespaces_that_nobody_watches_may_not_call_mlflow(everything: Rendered) -> None:
    [rule] = policy(everything, "mlflow")["ingress"]
    for peer, label in zip(rule["from"][2:4], ("runyard.dev/uid", SERVES_LABEL), strict=True):
        assert peer["podSelector"] == {"matchExpressions": [{"key": label, "operator": "Exists"}]}
        [named] = peer["namespaceSelector"]["matchExpressions"]
        assert named == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}


@pytest.mark.parametrize("name", ["operator", "dashboard", "secrets"])
def test_the_api_servers_addresses_can_be_named(name: str, everything: Rendered) -> None:
    rules = [rule for rule in policy(everything, name)["egress"] if ports(rule) == API_SERVER]
    cidrs = [{"ipBlock": {"cidr": cidr}} for cidr in ("10.96.0.1/32", "192.0.2.10/32")]
    assert [rule["to"] for rule in rules] == [cidrs]


def test_the_test_bed_names_the_namespace_of_its_own_controller() -> None:
    testbed = CHART.parents[1] / "tests" / "testbed"
    traefik = [found for found in yaml.safe_load_all((testbed / "manifests" / "traefik.yaml").read_text()) if found]
    [where] = {found["metadata"]["namespace"] for found in traefik if found["kind"] == "Deployment"}
    for file in ("values.yaml", "values-registry.yaml"):
        values = yaml.safe_load((testbed / file).read_text())
        assert values["networkPolicies"]["ingressControllerNamespaces"] == [where]


def test_the_ingress_controllers_namespace_and_further_peers_are_as_told(everything: Rendered) -> None:
    [rule] = policy(everything, "mlflow")["ingress"]
    _, _, _, _, controller, further = rule["from"]
    assert controller["namespaceSelector"]["matchExpressions"][0]["values"] == ["edge"]
    assert further == {"ipBlock": {"cidr": "192.0.2.0/24"}}


@pytest.mark.parametrize(
    "values", [{"ingress": {"enabled": False}}, {"networkPolicies": {"ingressControllerNamespaces": []}}]
)
def test_without_a_controller_nobody_comes_in_from_outside(values: Object) -> None:
    [rule] = policy(render(values=values), "mlflow")["ingress"]
    assert len(rule["from"]) == 4


def test_policies_can_be_left_out() -> None:
    assert not render(settings=["networkPolicies.enabled=false"]).of_kind("NetworkPolicy")
