"""Wrong values are refused by the field's name; values, comments and schema stay together."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.rendered import CHART, VALUES, helm

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEXT = (CHART / "values.yaml").read_text()
# Helm adds it to the values of every chart that another one depends on.
GIVEN_BY_HELM = {"global"}

WRONG = [
    ({"operater": {}}, "additional properties 'operater' not allowed"),
    ({"ingress": None}, "missing property 'ingress'"),
    ({"crds": {"enabled": "yes"}}, "/crds/enabled': got string, want boolean"),
    ({"roles": {"aggregate": "edit"}}, "/roles/aggregate': got string, want boolean"),
    ({"imagePullSecrets": [{"name": "x"}]}, "/imagePullSecrets/0': got object, want string"),
    ({"operator": {"workers": 2}}, "/operator': additional properties 'workers' not allowed"),
    ({"operator": {"replicas": -1}}, "/operator/replicas': minimum"),
    ({"operator": {"logFormat": "xml"}}, "/operator/logFormat': value must be one of"),
    ({"operator": {"leaseSeconds": 1}}, "/operator/leaseSeconds': minimum"),
    ({"operator": {"watchSilenceSeconds": 1}}, "/operator/watchSilenceSeconds': minimum"),
    ({"operator": {"stuckSeconds": "10m"}}, "/operator/stuckSeconds': got string, want integer"),
    ({"operator": {"sweeps": {"optuna": {"enabled": "yes"}}}}, "/operator/sweeps/optuna/enabled': got string, want"),
    ({"operator": {"image": "x"}}, "/operator/image': got string, want object"),
    ({"operator": {"image": {"tag": 1.0}}}, "/operator/image/tag': got number, want string"),
    ({"operator": {"image": {"pullPolicy": "Sometimes"}}}, "/operator/image/pullPolicy': value must be one of"),
    ({"operator": {"watchNamespaces": "team-a"}}, "/operator/watchNamespaces': got string, want array"),
    ({"operator": {"watchNamespaces": ["a", "a"]}}, "/operator/watchNamespaces': items at 0 and 1 are equal"),
    ({"operator": {"imagePullGraceSeconds": -1}}, "/operator/imagePullGraceSeconds': minimum"),
    ({"operator": {"logTailBytes": "1Mi"}}, "/operator/logTailBytes': got string, want integer"),
    ({"operator": {"resources": {"limits": {"memory": "a lot"}}}}, "/operator/resources/limits/memory': 'a lot'"),
    ({"operator": {"resources": {"limit": {}}}}, "/operator/resources': additional properties 'limit'"),
    ({"operator": {"nodeSelector": {"a": 1}}}, "/operator/nodeSelector/a': got number, want string"),
    ({"operator": {"tolerations": [{"effect": "Never"}]}}, "/operator/tolerations/0/effect': value must be one of"),
    ({"mlflow": {"replicas": "3"}}, "/mlflow/replicas': got string, want integer"),
    ({"mlflow": {"workers": 0}}, "/mlflow/workers': minimum"),
    ({"mlflow": {"allowedHosts": ["http://a"]}}, "/mlflow/allowedHosts/0': 'http://a' does not match"),
    ({"mlflow": {"allowedHosts": ["*"]}}, "/mlflow/allowedHosts/0': '*' does not match"),
    ({"mlflow": {"extraEnv": [{"name": "A", "value": 1}]}}, "/mlflow/extraEnv/0/value': got number, want string"),
    ({"mlflow": {"extraEnv": [{"name": "PGHOST", "value": "x"}]}}, "/mlflow/extraEnv/0/name': 'not' failed"),
    ({"dashboard": {"path": "/runs/"}}, "/dashboard/path': '/runs/' does not match"),
    ({"dashboard": {"path": "/"}}, "/dashboard/path': '/' does not match"),
    ({"dashboard": {"trainings": "yes"}}, "/dashboard/trainings': got string, want boolean"),
    ({"dashboard": {"allowChanges": "retry"}}, "/dashboard/allowChanges': got string, want boolean"),
    ({"dashboard": {"logs": ["team-a"]}}, "/dashboard/logs': got array, want boolean"),
    ({"dashboard": {"enabled": "no"}}, "/dashboard/enabled': got string, want boolean"),
    ({"postgres": {"image": {"tag": ""}}}, "/postgres/image/tag': minLength"),
    ({"postgres": {"runAsUser": 0}}, "/postgres/runAsUser': minimum"),
    ({"postgres": {"storage": {"size": "8 GB"}}}, "/postgres/storage/size': '8 GB' does not match"),
    ({"postgres": {"existingSecret": "My Secret"}}, "/postgres/existingSecret': 'My Secret' does not match"),
    ({"postgres": {"external": {"host": "db"}}}, "/postgres/external/existingSecret': minLength"),
    ({"postgres": {"external": {"port": 70000}}}, "/postgres/external/port': maximum"),
    ({"objectStore": {"bucket": "Artifacts"}}, "/objectStore/bucket': 'Artifacts' does not match"),
    (
        {"objectStore": {"external": {"endpoint": "s3.example.com"}}},
        "/objectStore/external/endpoint': 's3.example.com'",
    ),
    ({"objectStore": {"external": {"endpoint": "http://s3"}}}, "/objectStore/external/existingSecret': minLength"),
    ({"minio": {"storage": {"class": "fast"}}}, "/minio/storage': additional properties 'class' not allowed"),
    ({"ingress": {"host": ""}}, "/ingress/host': '' does not match"),
    ({"ingress": {"annotations": {"a": True}}}, "/ingress/annotations/a': got boolean, want string"),
    ({"ingress": {"tls": True}}, "/ingress/tls': got boolean, want object"),
    ({"ingress": {"publicUrl": "mlflow.example.com"}}, "/ingress/publicUrl': 'mlflow.example.com' does not match"),
    (
        {"networkPolicies": {"ingressControllerNamespaces": "edge"}},
        "/networkPolicies/ingressControllerNamespaces': got string, want array",
    ),
    (
        {"networkPolicies": {"apiServerCidrs": ["10.0.0.1"]}},
        "/networkPolicies/apiServerCidrs/0': '10.0.0.1' does not match",
    ),
    ({"networkPolicies": {"mlflowFrom": [{}]}}, "/networkPolicies/mlflowFrom/0': minProperties"),
    ({"networkPolicies": {"metricsFrom": [{"pod": {}}]}}, "/networkPolicies/metricsFrom/0': additional properties"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_value_is_refused_by_its_name(values: dict[str, Any], message: str) -> None:
    done = helm("template", "runyard", str(CHART), values=values)
    assert done.returncode != 0
    assert message in done.stderr


def test_a_chart_may_depend_on_this_one() -> None:
    assert helm("template", "runyard", str(CHART), values={"global": {"registry": "x"}}).returncode == 0


def in_schema(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield every value that the schema knows: what has no properties of its own is one value."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    for part in schema.get("allOf", []):
        yield from (found for found in in_schema(part, path) if found != path)
    properties = schema.get("properties", {})
    if path.endswith(".resources") or (not properties and "allOf" not in schema):
        yield path
        return
    for name, child in properties.items():
        yield from in_schema(child, f"{path}.{name}".lstrip("."))


def in_values(node: yaml.Node, path: str = "") -> Iterator[tuple[str, int]]:
    """Yield every value of values.yaml with the line (from 0) of its key."""
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        name = f"{path}.{key.value}".lstrip(".")
        if isinstance(value, yaml.MappingNode) and value.value and key.value != "resources":
            yield from in_values(value, name)
        else:
            yield name, key.start_mark.line


def commented() -> dict[str, int]:
    root = yaml.compose(TEXT, Loader=yaml.SafeLoader)
    assert root is not None
    return dict(in_values(root))


COMMENTED = commented()


def test_the_schema_knows_every_value_and_none_besides() -> None:
    assert set(in_schema(SCHEMA)) - GIVEN_BY_HELM == set(COMMENTED)


@pytest.mark.parametrize("value", COMMENTED)
def test_a_value_is_explained_above_it(value: str) -> None:
    above = TEXT.splitlines()[COMMENTED[value] - 1].strip()
    assert above.startswith("# ")
    assert above.endswith(".")


def test_no_object_of_the_schema_takes_unknown_keys() -> None:
    def objects(schema: Any) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("type") == "object":
                yield schema
            for child in schema.values():
                yield from objects(child)

    found = list(objects(SCHEMA))
    assert found
    assert all(schema["additionalProperties"] is False for schema in found)


def test_between_them_the_values_files_of_the_tests_set_every_value() -> None:
    def keys(node: dict[str, Any], path: str = "") -> Iterator[str]:
        for key, value in node.items():
            name = f"{path}.{key}".lstrip(".")
            yield name
            if isinstance(value, dict):
                yield from keys(value, name)

    files = [yaml.safe_load(file.read_text()) for file in VALUES.glob("*.yaml")]
    assert set(COMMENTED) - {name for values in files for name in keys(values)} == set()
