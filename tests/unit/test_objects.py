"""Which Jobs and pods are a resource's own, whatever labels others have."""

from typing import Any

import pytest

from runyard_operator.objects import Job, Key, Pod
from tests.support.factories import UID, job, pod

KEY = Key("team", "wine", UID)
OWN = {"kind": "TrainingRun", "name": "wine", "uid": UID}
OF_JOB = {"kind": "Job", "name": KEY.job_name, "uid": "uid-of-job"}


def changed(found: Job | Pod, **metadata: Any) -> Any:
    body = found.model_dump(by_alias=True)
    return type(found).model_validate({**body, "metadata": {**body["metadata"], **metadata}})


@pytest.mark.parametrize(
    ("name", "owners", "is_own"),
    [
        pytest.param(KEY.job_name, [OWN], True, id="its own"),
        pytest.param("copy", [OWN], False, id="a copy with its owner"),
        pytest.param(KEY.job_name, [], False, id="one of its name without an owner"),
        pytest.param(KEY.job_name, [{**OWN, "uid": "another"}], False, id="of a namesake before it"),
    ],
)
def test_a_job_is_its_own(name: str, owners: list[dict[str, str]], is_own: bool) -> None:  # noqa: FBT001
    assert changed(job(), name=name, ownerReferences=owners).is_of(KEY) is is_own


@pytest.mark.parametrize(
    ("name", "owners", "is_own"),
    [
        pytest.param(f"{KEY.job_name}-x", [OF_JOB], True, id="its own"),
        pytest.param(f"{KEY.job_name}-x", [], True, id="left behind by a Job that was deleted alone"),
        pytest.param("debug", [], False, id="with its labels alone"),
        pytest.param("debug", [{**OF_JOB, "name": "copy"}], False, id="of a copy of its Job"),
        pytest.param("debug", [{**OF_JOB, "kind": "ReplicaSet"}], False, id="of something else"),
    ],
)
def test_a_pod_is_its_own(name: str, owners: list[dict[str, str]], is_own: bool) -> None:  # noqa: FBT001
    assert changed(pod(), name=name, ownerReferences=owners).is_of(KEY) is is_own


@pytest.mark.parametrize(("index", "worker"), [("3", 3), ("", None), ("x", None), ("-1", None)])
def test_an_index_is_a_number(index: str, worker: int | None) -> None:
    found = changed(pod(), annotations={"batch.kubernetes.io/job-completion-index": index})
    assert found.worker == worker
