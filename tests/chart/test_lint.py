"""What helm itself has to say."""

import re

import pytest

from tests.chart.rendered import CHART, VALUES, Rendered, helm


@pytest.mark.parametrize("values", ["all", "external", "secrets", None])
def test_helm_finds_nothing_to_complain_of(values: str | None) -> None:
    files = [f"--values={VALUES / values}.yaml"] if values else []
    done = helm("lint", "--strict", str(CHART), *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {"[WARNING]", "[ERROR]"} & set(done.stdout.split())


def test_each_template_holds_one_resource_and_is_named_for_its_kind() -> None:
    for template in (CHART / "templates").rglob("*.yaml"):
        kinds = [line.split(":")[1].strip() for line in template.read_text().splitlines() if line.startswith("kind:")]
        if template.parent.name in {"crds", "network-policies", "roles"}:
            # These hold one kind alone, and are named for whom they are about.
            assert len(kinds) <= 1, template
        else:
            [kind] = kinds
            # A right is the namespaces' or the cluster's, by the values.
            assert kind.lower() in {template.stem, "{{ $kind }}", "{{ $kind }}binding"}, template


POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def test_no_object_is_there_twice(chart: Rendered) -> None:
    names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in chart.objects]
    assert len(names) == len(set(names))


def test_the_definitions_are_installed_and_kept_as_told(
    default: Rendered, everything: Rendered, external: Rendered
) -> None:
    for kind in ("CustomResourceDefinition", *POLICIES):
        kept, not_kept = (found.of_kind(kind) for found in (default, everything))
        plurals = ("trainingruns", "trainingsweeps")
        assert {found["metadata"]["name"].split(".")[0].split("-")[0] for found in kept} == {*plurals}
        assert len(not_kept) == len(plurals)
        for found in kept:
            assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        for found in not_kept:
            assert "annotations" not in found["metadata"]
        assert not external.of_kind(kind)


def test_a_long_release_name_still_gives_names_that_kubernetes_takes() -> None:
    done = helm("template", "r" * 53, str(CHART))
    assert done.returncode == 0, done.stderr
    names = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("  name: ")]
    assert names
    assert max(map(len, names)) <= 63


# What is where trainings are, if their namespaces are named.
IN_WATCHED_NAMESPACES = {"runyard-operator", "runyard-dashboard"}


def test_objects_name_the_namespace_of_the_release(chart: Rendered) -> None:
    cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", *POLICIES}
    for found in chart.objects:
        namespace = found["metadata"].get("namespace")
        if found["kind"] in cluster_wide:
            assert namespace is None
        elif found["kind"] in {"Role", "RoleBinding"} and found["metadata"]["name"] in IN_WATCHED_NAMESPACES:
            assert namespace in {"team-a", "team-b"}
        else:
            assert namespace == "runyard", found["metadata"]["name"]


def test_what_the_documents_take_from_the_chart_is_there() -> None:
    texts = [path.read_text() for path in [CHART.parents[1] / "README.md", *(CHART.parents[1] / "docs").glob("*.md")]]
    named = sorted({name for text in texts for name in re.findall(r"--show-only (\S+)", text)})
    assert named
    done = helm("template", "runyard", str(CHART), *(f"--show-only={name}" for name in named))
    assert done.returncode == 0, done.stderr
