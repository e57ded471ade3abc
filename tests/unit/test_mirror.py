"""What is known of resources: nothing older than what was seen counts, ends are kept, what is settled is forgotten."""

from typing import Any

from runyard_operator.mirror import Mirror, View
from runyard_operator.objects import Job, Key, Pod
from tests.support.factories import UID, at, job, pod, running, terminated

KEY = Key("team", "wine", UID)


def versioned(found: Any, version: int) -> Any:
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"resource_version": str(version)})})


def job_at(version: int, **fields: Any) -> Job:
    found: Job = versioned(job(**fields), version)
    return found


def pod_at(version: int, phase: str = "Running", name: str = "wine-1") -> Pod:
    containers = [terminated(0)] if phase == "Succeeded" else [running()]
    found: Pod = versioned(pod(name, phase, containers=containers), version)
    return found


def body(version: int, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "wine", "uid": UID, "resourceVersion": str(version)}, "status": status}


def phases(view: View) -> dict[str, str]:
    return {found.metadata.name: found.status.phase for found in view.pods.values()}


def test_an_older_look_at_a_resource_does_not_count() -> None:
    mirror = Mirror()
    mirror.see_resource(KEY, body(10, phase="Running"))
    mirror.see_resource(KEY, body(9))
    assert mirror.view(KEY).body == body(10, phase="Running")
    mirror.see_resource(KEY, body(11))
    assert mirror.view(KEY).body == body(11)


def test_versions_are_numbers_not_text() -> None:
    view = View()
    view.see_job(job_at(9))
    view.see_job(job_at(10, suspend=True))
    assert view.job
    assert view.job.spec.suspend


def test_an_answer_that_is_older_than_an_event_does_not_count() -> None:
    view = View()
    view.see_job(job_at(5, conditions={"Complete": ""}))
    view.see_job(job_at(4))
    assert view.job
    assert view.job.has_ended


def test_a_job_that_is_gone_does_not_come_back_with_a_late_answer() -> None:
    view = View()
    view.see_job(job_at(4))
    view.see_job(job_at(6), is_gone=True)
    view.see_job(job_at(4))
    assert view.job is None


def test_a_job_that_ended_is_kept_when_it_is_gone() -> None:
    view = View()
    view.see_job(job_at(4))
    view.see_job(job_at(6, conditions={"Complete": ""}), is_gone=True)
    assert view.job
    assert view.job.has_ended


def test_the_departure_of_another_job_changes_nothing() -> None:
    view = View()
    view.see_job(job_at(4))
    other = job_at(6)
    metadata = other.metadata.model_copy(update={"uid": "uid-of-another"})
    view.see_job(other.model_copy(update={"metadata": metadata}), is_gone=True)
    assert view.job == job_at(4)


def test_the_end_of_a_pod_is_kept_when_it_is_gone() -> None:
    view = View()
    view.see_pod(pod_at(3))
    view.see_pod(pod_at(5, "Succeeded"), is_gone=True)
    assert phases(view) == {"wine-1": "Succeeded"}


def test_a_pod_that_is_gone_without_an_end_is_not_there() -> None:
    view = View()
    view.see_pod(pod_at(3))
    view.see_pod(pod_at(5), is_gone=True)
    view.see_pod(pod_at(3))
    assert phases(view) == {}


def test_a_list_takes_away_what_was_known_and_is_gone() -> None:
    view = View()
    view.see_pod(pod_at(3, name="wine-1"))
    view.see_pod(pod_at(4, "Succeeded", name="wine-2"))
    view.see_pods((pod_at(7, name="wine-3"),), frozenset(view.pods))
    assert phases(view) == {"wine-2": "Succeeded", "wine-3": "Running"}


def test_a_list_that_was_asked_for_before_an_event_takes_nothing_of_it_away() -> None:
    view = View()
    view.see_pod(pod_at(3, name="wine-1"))
    known = frozenset(view.pods)
    view.see_pod(pod_at(6, "Succeeded", name="wine-1"))
    view.see_pod(pod_at(7, name="wine-2"))
    view.see_pods((pod_at(3, name="wine-1"),), known)
    assert phases(view) == {"wine-1": "Succeeded", "wine-2": "Running"}


def test_what_is_settled_is_forgotten_and_its_children_are_not_looked_at() -> None:
    mirror = Mirror()
    mirror.see_resource(KEY, body(1))
    assert KEY in mirror
    mirror.settle(KEY, 1, None)
    assert KEY not in mirror
    assert not mirror.see_resource(KEY, body(1)), "the event of an earlier write can come late"
    assert not mirror.see_job(KEY, job_at(2))
    assert not mirror.see_pod(KEY, pod_at(3))
    assert not mirror.see_departure(KEY, body(4))
    assert len(mirror) == 0


def test_the_departure_of_what_still_needs_work_is_work() -> None:
    mirror = Mirror()
    mirror.see_resource(KEY, body(1))
    assert mirror.see_departure(KEY, body(2))
    assert mirror.view(KEY).is_deleted
    mirror.bury(KEY)
    assert len(mirror) == 0


def test_children_may_be_seen_first() -> None:
    mirror = Mirror()
    assert mirror.see_pod(KEY, pod_at(3))
    assert mirror.see_job(KEY, job_at(2, started=at(1)))
    assert mirror.view(KEY).body is None
    assert phases(mirror.view(KEY)) == {"wine-1": "Running"}


def test_a_resource_is_known_once_it_was_seen_itself() -> None:
    mirror = Mirror()
    assert mirror.see_job(KEY, job_at(2))
    assert not mirror.knows(KEY)
    mirror.see_resource(KEY, body(7))
    assert mirror.knows(KEY)


def test_a_resource_that_has_gone_is_known_until_it_is_buried() -> None:
    mirror = Mirror()
    assert mirror.see_departure(KEY, body(1))
    assert mirror.knows(KEY)
    mirror.bury(KEY)
    assert not mirror.knows(KEY)
    assert not mirror.see_job(KEY, job_at(2)), "it is still to be collected"
    assert not mirror.see_departure(KEY, body(3)), "an event that comes late"


def test_the_job_of_a_settled_resource_is_told_how_long_it_has() -> None:
    mirror = Mirror()
    assert mirror.see_job(KEY, job_at(2))
    assert mirror.settle(KEY, 3, 100)
    assert mirror.expiring(KEY) == (job_at(2), 100)
    assert not mirror.see_job(KEY, job_at(4, ttlSecondsAfterFinished=100))
    assert mirror.expiring(KEY) is None


def test_the_children_of_a_settled_resource_that_is_deleted_open_nothing_again() -> None:
    mirror = Mirror()
    mirror.settle(KEY, 10, None)
    assert not mirror.see_departure(KEY, body(11))
    assert not mirror.see_pod(KEY, pod_at(12, "Succeeded"))
    assert not mirror.see_job(KEY, job_at(12), is_gone=True)
    assert KEY not in mirror


def test_a_uid_is_no_key_in_another_namespace() -> None:
    mirror, other = Mirror(), Key("another", "wine", UID)
    mirror.see_resource(KEY, body(10))
    mirror.see_job(other, job_at(11))
    assert mirror.view(KEY).job is None
    mirror.bury(other)
    assert mirror.see_resource(KEY, body(12))
