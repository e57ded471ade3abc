"""Which secrets are generated, and by whom."""

import pytest

from tests.chart.rendered import Rendered, render


@pytest.mark.parametrize(
    ("settings", "generated"),
    [
        ([], ["runyard-postgres:password", "runyard-minio:accessKey,secretKey"]),
        (["postgres.existingSecret=mine"], ["runyard-minio:accessKey,secretKey"]),
        (["minio.existingSecret=mine"], ["runyard-postgres:password"]),
        (
            ["postgres.external.host=db", "postgres.external.existingSecret=mine"],
            ["runyard-minio:accessKey,secretKey"],
        ),
    ],
)
def test_what_nobody_else_brings_is_generated(settings: list[str], generated: list[str]) -> None:
    [container] = [c for where, c in render(settings=settings).containers() if where.endswith("/secrets")]
    assert container["args"] == ["runyard", *generated]


@pytest.mark.parametrize("values", ["external", "secrets"])
def test_with_every_secret_brought_there_is_nobody_who_could_make_one(values: str) -> None:
    chart = render(values)
    assert {found["kind"] for found in chart.objects if "secrets" in found["metadata"]["name"]} == {"NetworkPolicy"}


def test_it_is_done_before_anything_that_needs_them_and_leaves_no_right_behind(default: Rendered) -> None:
    made = [found for found in default.objects if found["metadata"]["name"] == "runyard-secrets"]
    hooks = [found for found in made if found["kind"] != "NetworkPolicy"]
    assert {found["kind"] for found in hooks} == {"Job", "ConfigMap", "ServiceAccount", "Role", "RoleBinding"}
    for found in hooks:
        annotations = found["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    weights = {found["kind"]: int(found["metadata"]["annotations"]["helm.sh/hook-weight"]) for found in hooks}
    assert weights.pop("Job") > max(weights.values())
