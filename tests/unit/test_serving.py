"""What serves a model: which version is meant, the objects, and how far a rollout is."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runyard.serving.objects import NotForKServe, Serving, inference_service, manifests, object_name
from runyard.serving.rollout import Progress, Step, progress
from runyard.serving.versions import NoSuchModel, Version, first_row, read

GOLDEN = Path(__file__).parents[1] / "data" / "serving"
LOCATION = "mlflow-artifacts:/1/models/m-0123/artifacts"
VERSION = Version("heart", 3, "champion", "0123456789abcdef0123456789abcdef", LOCATION)
WANTED = Serving(VERSION, "runyard/runtime:0.1.0")


@pytest.mark.parametrize("name", ["cluster", "kserve"])
def test_the_objects_are_as_they_were(name: str) -> None:
    objects = {"cluster": manifests(WANTED), "kserve": [inference_service(WANTED)]}[name]
    assert objects == list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()))


@pytest.mark.parametrize(
    ("location", "store", "found"),
    [
        (LOCATION, "s3://bucket/below/", "s3://bucket/below/1/models/m-0123/artifacts"),
        ("mlflow-artifacts://mlflow:5000/1/m/artifacts", "gs://bucket", "gs://bucket/1/m/artifacts"),
        ("s3://elsewhere/1/m", "s3://mlflow", "s3://elsewhere/1/m"),
    ],
)
def test_kserve_reads_from_where_the_server_keeps_it(location: str, store: str, found: str) -> None:
    service = inference_service(Serving(Version("heart", 3, location=location), "image"), store)
    assert service["spec"]["predictor"]["model"]["storageUri"] == found  # type: ignore[index, call-overload]


@pytest.mark.parametrize("location", ["/models/m", "file:///models/m", "models:/m-1"])
def test_kserve_reads_no_folder(location: str) -> None:
    with pytest.raises(NotForKServe, match=f"lies in {location}: KServe reads s3://"):
        inference_service(Serving(Version("heart", 3, location=location), "image"))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("heart", ("heart", "champion", None)),
        ("heart@blue", ("heart", "blue", None)),
        ("heart/12", ("heart", None, 12)),
        ("models:/heart@blue", ("heart", "blue", None)),
        ("Heart disease", ("Heart disease", "champion", None)),
        ("a@b@blue", ("a@b", "blue", None)),
    ],
)
def test_a_version_is_named_as_mlflow_names_it(asked: str, found: tuple[Any, ...]) -> None:
    assert read(asked) == found


@pytest.mark.parametrize(
    "asked", ["", "@champion", "heart/", "heart/0", "heart/latest", "heart@", "a/b@c", "runs:/1/m"]
)
def test_what_names_no_model_is_refused(asked: str) -> None:
    with pytest.raises(NoSuchModel, match="give MODEL, MODEL@ALIAS or MODEL/VERSION"):
        read(asked)


@given(st.text(min_size=1), st.text(min_size=1))
def test_each_model_has_a_name_of_its_own_that_a_service_may_have(one: str, other: str) -> None:
    names = [object_name(one), object_name(other)]
    assert (names[0] == names[1]) == (one == other)
    for name in names:
        assert len(name) <= 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert name[0].isalpha()
        assert not name.endswith("-")


@pytest.mark.parametrize("given", [None, 1, [], {"inputs": []}, {"inputs": {"a": 1}}, {"dataframe_split": {"data": 1}}])
def test_an_example_without_rows_stays_as_it_is(given: Any) -> None:
    assert first_row(given) == given


def deployment(**status: Any) -> dict[str, Any]:
    counts = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2, "observedGeneration": 4}
    return {"metadata": {"generation": 4}, "spec": {"replicas": 2}, "status": {**counts, **status}}


def pod(waiting: str, message: str = "", last: str = "", **metadata: Any) -> dict[str, Any]:
    state = {"state": {"waiting": {"reason": waiting, "message": message}}}
    ended = {"lastState": {"terminated": {"message": last}}} if last else {}
    return {"metadata": metadata, "status": {"containerStatuses": [{**state, **ended}]}}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
PENDING = {"status": {"conditions": [UNSCHEDULABLE]}}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"}


@pytest.mark.parametrize(
    ("found", "pods", "expected"),
    [
        (deployment(), [], Progress(Step.DONE)),
        (deployment(observedGeneration=3), [], Progress(Step.WAITING, "no controller has looked at it")),
        (deployment(availableReplicas=1), [], Progress(Step.WAITING, "1 of 2 pods answer")),
        (deployment(updatedReplicas=1), [], Progress(Step.WAITING, "2 of 2 pods answer")),
        (deployment(replicas=3), [], Progress(Step.WAITING, "2 of 2 pods answer")),
        (deployment(availableReplicas=0, conditions=[LATE]), [], Progress(Step.FAILED, "timed out")),
        (deployment(availableReplicas=0, conditions=[REFUSED]), [], Progress(Step.FAILED, "exceeded quota: small")),
        (deployment(availableReplicas=0), [PENDING], Progress(Step.WAITING, UNSCHEDULABLE["message"])),
        (deployment(availableReplicas=0), [pod("ErrImagePull")], Progress(Step.WAITING, "0 of 2 pods answer")),
        (
            deployment(availableReplicas=0),
            [PENDING, pod("ImagePullBackOff", "no such tag")],
            Progress(Step.FAILED, "ImagePullBackOff: no such tag"),
        ),
        (
            deployment(availableReplicas=0),
            [pod("CrashLoopBackOff", "back-off 10s", "Traceback\nNo module named 'lightgbm'\n")],
            Progress(Step.FAILED, "CrashLoopBackOff: No module named 'lightgbm'"),
        ),
        (
            deployment(availableReplicas=0),
            [pod("CrashLoopBackOff", deletionTimestamp="2026-01-01T00:00:00Z")],
            Progress(Step.WAITING, "0 of 2 pods answer"),
        ),
    ],
)
def test_how_far_a_rollout_is(found: dict[str, Any], pods: list[Any], expected: Progress) -> None:
    assert progress(found, pods) == expected
