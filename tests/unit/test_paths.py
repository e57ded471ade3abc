"""A complaint about a Job is told with the path that a person wrote."""

from typing import Any

import pytest

from runyard_operator.jobs import job
from runyard_operator.paths import own_path
from tests.support.factories import training_run
from tests.support.generate import PLATFORM

TEMPLATE: dict[str, Any] = {
    "spec": {
        "volumes": [{"name": "below"}],
        "tolerations": [{"key": "below"}],
        "containers": [
            {"name": "sidecar", "image": "x"},
            {"name": "training", "env": [{"name": "BELOW"}], "resources": {}, "ports": [{"containerPort": 0}]},
            {"name": "other", "image": "x"},
        ],
    }
}
SPEC: dict[str, Any] = {
    "parameters": {"a": 1},
    "env": [{"name": "A"}, {"name": "B"}],
    "volumes": [{"name": "above"}],
    "tolerations": [{"key": "above"}],
    "volumeMounts": [{"name": "above", "mountPath": "/a"}],
    "nodeSelector": {"a": "b"},
}


def index_of(container: dict[str, Any], name: str) -> int:
    return [variable["name"] for variable in container["env"]].index(name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("spec.template.spec.containers[0].image", "spec.image"),
        ("spec.template.spec.containers[0].env[B].valueFrom", "spec.env[1].valueFrom"),
        ("spec.template.spec.containers[0].env[BELOW].name", "spec.podTemplate.spec.containers[1].env[0].name"),
        ("spec.template.spec.containers[0].volumeMounts[0].name", "spec.volumeMounts[0].name"),
        (
            "spec.template.spec.containers[0].resources.requests",
            "spec.podTemplate.spec.containers[1].resources.requests",
        ),
        (
            "spec.template.spec.containers[0].ports[0].containerPort",
            "spec.podTemplate.spec.containers[1].ports[0].containerPort",
        ),
        ("spec.template.spec.containers[1].image", "spec.podTemplate.spec.containers[0].image"),
        ("spec.template.spec.containers[2].image", "spec.podTemplate.spec.containers[2].image"),
        ("spec.template.spec.containers[2]", "spec.podTemplate.spec.containers[2]"),
        ("spec.template.spec.nodeSelector[0]", "spec.nodeSelector[0]"),
        ("spec.template.spec.volumes[0].emptyDir", "spec.podTemplate.spec.volumes[0].emptyDir"),
        ("spec.template.spec.volumes[1].emptyDir", "spec.volumes[0].emptyDir"),
        ("spec.template.spec.tolerations[0].key", "spec.podTemplate.spec.tolerations[0].key"),
        ("spec.template.spec.tolerations[1].key", "spec.tolerations[0].key"),
        ("spec.template.spec.nodeSelector", "spec.nodeSelector"),
        ("spec.template.spec.serviceAccountName", "spec.podTemplate.spec.serviceAccountName"),
        ("spec.template.metadata.labels", "spec.podTemplate.metadata.labels"),
        ("spec.activeDeadlineSeconds", "spec.activeDeadlineSeconds"),
    ],
)
def test_the_path_is_the_one_that_a_person_wrote(path: str, expected: str) -> None:
    run = training_run(**SPEC, podTemplate=TEMPLATE)
    built: Any = job(run, PLATFORM)
    container = built["spec"]["template"]["spec"]["containers"][0]
    for name in ("BELOW", "B"):
        path = path.replace(f"[{name}]", f"[{index_of(container, name)}]")
    assert own_path(path, run, built) == expected
