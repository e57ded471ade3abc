"""The Job that a TrainingRun becomes, whole: each tests/data/jobs/NAME.in.yaml gives NAME.out.yaml."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.trainingrun import TrainingRun
from runyard_operator.jobs import drift, failure, job_name
from runyard_operator.jobs import job as job_of
from runyard_operator.objects import Job
from tests.support.factories import UID, job, training_run
from tests.support.generate import PLATFORM

DATA = Path(__file__).parents[1] / "data" / "jobs"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in DATA.glob("*.in.yaml"))


def container_of(**spec: Any) -> dict[str, Any]:
    """Return the training container of a TrainingRun's Job."""
    found: Any = job_of(training_run(**spec), PLATFORM)
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("image", "digest"), [(f"example/wine:1@sha256:{'0' * 64}", f"sha256:{'0' * 64}"), ("example/wine:1", None)]
)
def test_a_training_is_told_the_digest_that_its_manifest_gives_its_image(image: str, digest: str | None) -> None:
    _, variables = as_in_the_container(container_of(image=image))
    assert variables.get("RUNYARD_IMAGE_DIGEST") == digest


def expanded(text: str, variables: dict[str, str]) -> str:
    """Expand $(NAME) and $$ as Kubernetes does: what is not defined stays as it is."""

    def one(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


def as_in_the_container(container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment that the program sees."""
    variables: dict[str, str] = {}
    for variable in container["env"]:
        text = "uid-of-the-pod" if "valueFrom" in variable else variable["value"]
        variables[variable["name"]] = expanded(text, variables)
    return [expanded(text, variables) for text in container.get("args", [])], variables


@pytest.mark.parametrize("case", CASES)
def test_the_job_is_the_golden_one(case: str) -> None:
    run = TrainingRun.model_validate(yaml.safe_load((DATA / f"{case}.in.yaml").read_text(encoding="utf-8")))
    expected = yaml.safe_load((DATA / f"{case}.out.yaml").read_text(encoding="utf-8"))
    assert job_of(run, PLATFORM) == expected


@pytest.mark.parametrize("case", CASES)
def test_building_a_job_leaves_the_resource_as_it_was(case: str) -> None:
    run = TrainingRun.model_validate(yaml.safe_load((DATA / f"{case}.in.yaml").read_text(encoding="utf-8")))
    before = run.to_json()
    job_of(run, PLATFORM)
    assert run.to_json() == before


@given(
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,3}", fullmatch=True),
    st.uuids(),
)
def test_a_jobs_name_is_also_a_labels_value_and_a_hosts_name(name: str, uid: object) -> None:
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", job_name(training_run(name, uid=str(uid))))


def test_namesakes_have_jobs_of_their_own() -> None:
    assert job_name(training_run()) == job_name(training_run())
    assert job_name(training_run()) != job_name(training_run(uid="another"))
    assert job_name(training_run("a.b")).startswith("a-b-")


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    | st.sampled_from(["$", "$$(A)", "$(HOME)"])
)
def test_a_parameters_text_reaches_the_program_as_it_is(text: str) -> None:
    container = container_of(parameters={"p": text}, args=["--p=$(params.p)", "$(PARAM_p)"], experiment=text or None)
    arguments, variables = as_in_the_container(container)
    assert arguments == [f"--p={text}", text]
    assert variables["PARAM_p"] == text
    assert variables["MLFLOW_EXPERIMENT_NAME"] == (text or "team")


def test_the_pods_identity_is_in_every_run_it_starts() -> None:
    _, variables = as_in_the_container(container_of())
    assert yaml.safe_load(variables["MLFLOW_RUN_CONTEXT"]) == {
        "runyard.dev/uid": UID,
        "runyard.dev/name": "wine",
        "runyard.dev/namespace": "team",
        "runyard.dev/pod": "uid-of-the-pod",
    }


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"suspend": True}, {}, {"suspend": True}, id="suspended"),
        pytest.param({}, {"suspend": True}, {"suspend": False}, id="resumed"),
        pytest.param({"backoffLimit": 2}, {}, {"backoffLimit": 2}, id="more retries"),
        pytest.param(
            {"activeDeadlineSeconds": 9}, {"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 9}, id="more time"
        ),
        pytest.param({}, {"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": None}, id="all the time"),
        pytest.param({"ttlSecondsAfterFinished": 0}, {}, {}, id="how long it is kept is told at its end"),
        pytest.param({"queueName": "team"}, {"suspend": True}, {}, id="a queue says when it runs"),
        pytest.param(
            {"suspend": True, "backoffLimit": 1},
            {"activeDeadlineSeconds": 5},
            {"suspend": True, "backoffLimit": 1, "activeDeadlineSeconds": None},
            id="several",
        ),
        pytest.param({"image": "example/other:2", "args": ["x"]}, {}, {}, id="what cannot change in a Job"),
    ],
)
def test_drift(spec: dict[str, Any], found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert drift(training_run(**spec), job(**found)) == expected


def test_a_deadline_that_ends_a_job_is_no_drift() -> None:
    patch: Any = failure("ImagePull")
    ending = job(annotations=patch["metadata"]["annotations"], **patch["spec"])
    assert drift(training_run(activeDeadlineSeconds=600), ending) == {}


@pytest.mark.parametrize("case", CASES)
def test_a_job_as_built_has_no_drift(case: str) -> None:
    run = TrainingRun.model_validate(yaml.safe_load((DATA / f"{case}.in.yaml").read_text(encoding="utf-8")))
    built: Any = job_of(run, PLATFORM)
    built["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
    assert drift(run, Job.model_validate(built)) == {}


def test_every_container_is_restricted_unless_it_says_otherwise() -> None:
    template: dict[str, Any] = {
        "spec": {
            "initContainers": [{"name": "fetch", "image": "x"}],
            "containers": [{"name": "proxy", "image": "x", "securityContext": {"allowPrivilegeEscalation": True}}],
        }
    }
    found: Any = job_of(training_run(podTemplate=template), PLATFORM)
    pod = found["spec"]["template"]["spec"]
    security = {c["name"]: c["securityContext"] for c in [*pod["initContainers"], *pod["containers"]]}
    default = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert security == {"fetch": default, "training": default, "proxy": {**default, "allowPrivilegeEscalation": True}}


@pytest.mark.parametrize(
    ("pod", "shares"),
    [
        pytest.param({}, True, id="the training alone"),
        pytest.param({"containers": [{"name": "training"}]}, True, id="its container named"),
        pytest.param({"initContainers": [{"name": "warm", "image": "x"}]}, True, id="beside what ends before it"),
        pytest.param({"containers": [{"name": "proxy", "image": "x"}]}, None, id="beside a container"),
        pytest.param(
            {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
            None,
            id="beside a sidecar",
        ),
        pytest.param({"hostPID": True}, None, id="in the node's namespace"),
        pytest.param({"shareProcessNamespace": False}, False, id="told otherwise"),
    ],
)
def test_only_a_training_that_is_alone_in_its_pod_shares_its_processes(pod: Any, shares: bool | None) -> None:  # noqa: FBT001
    built: Any = job_of(training_run(podTemplate={"spec": pod}), PLATFORM)
    found = built["spec"]["template"]["spec"]
    assert found.get("shareProcessNamespace") is shares


def test_an_index_that_a_template_makes_up_is_left_out() -> None:
    index = "batch.kubernetes.io/job-completion-index"
    found: Any = job_of(training_run(podTemplate={"metadata": {"annotations": {index: "x", "a": "b"}}}), PLATFORM)
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["a"], index in annotations) == ("b", False)
