"""Pods as the kubelet, the scheduler and the Job controller leave them, and what each means."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.outcome import Attempt, Outcome, Reason, TrainingRunStatus
from runyard_operator import attempts
from runyard_operator.attempts import image_wait
from runyard_operator.objects import INDEX_ANNOTATION, Job, Pod
from tests.support.factories import at, attempt, container, job, pod, running, terminated, waiting

PENDING, RUNNING, SUCCEEDED = Outcome.PENDING, Outcome.RUNNING, Outcome.SUCCEEDED
FAILED, CANCELLED = Outcome.FAILED, Outcome.CANCELLED


def disrupted(reason: str) -> list[dict[str, str]]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "told to go"}]


def unscheduled(message: str) -> list[dict[str, str]]:
    return [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]


def observed(
    pods: Iterable[Pod], before: Sequence[Attempt], of: Job | None, now: datetime, count: int | None = None
) -> list[Attempt]:
    """Return what is seen of pods, given the attempts that a status lists, and how many there were."""
    status = TrainingRunStatus(attempts=list(before), attempt_count=len(before) if count is None else count)
    return attempts.observed(pods, status, of, now)


def seen(found: Pod, of: Job | None = None, *before: Attempt, seconds: float = 120) -> Attempt:
    """Return the one attempt that there is."""
    [only] = observed([found], before, of or job(), at(seconds))
    return only


# What Kubernetes says of a disrupted pod (kubernetes.io/docs/concepts/workloads/pods/disruptions), and what it means.
DISRUPTIONS = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "NodeLost",
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByPodGC": "NodeLost",
    "TerminationByKubelet": "Evicted",
    "DeletionByDeviceTaintManager": "Evicted",
}


@pytest.mark.parametrize(("disruption", "reason"), DISRUPTIONS.items())
@pytest.mark.parametrize("containers", [[terminated(143, message="epoch 3")], [running()], []])
def test_a_disruption_is_the_reason_of_an_end(disruption: str, reason: str, containers: list[dict[str, Any]]) -> None:
    found = seen(
        pod(phase="Failed", containers=containers, conditions=disrupted(disruption), deleted=at(9)), job(), attempt()
    )
    assert (found.outcome, found.reason, found.message) == (CANCELLED, reason, "told to go")
    assert found.exit_code == (143 if containers and "terminated" in containers[0]["state"] else None)


@pytest.mark.parametrize(("disruption", "reason"), DISRUPTIONS.items())
def test_a_pod_that_is_gone_after_a_disruption_went_for_that(disruption: str, reason: str) -> None:
    """As of a node that does not answer: its pod runs on for all that is known, until somebody removes it."""
    going = seen(pod(phase="Running", containers=[running()], conditions=disrupted(disruption), deleted=at(9)))
    assert (going.outcome, going.reason, going.message) == (RUNNING, reason, "told to go")
    [gone] = observed([], [going], job(), at(120))
    assert (gone.outcome, gone.reason, gone.message) == (CANCELLED, reason, "told to go")


def test_a_grace_period_longer_than_history_is_no_matter() -> None:
    leaving = pod(phase="Failed", containers=[terminated(143)], deleted=at(60))
    metadata = leaving.metadata.model_copy(update={"deletion_grace_period_seconds": 2**63 - 1})
    assert seen(leaving.model_copy(update={"metadata": metadata})).reason == "PodDeleted"


def test_a_disruption_that_came_to_nothing_is_forgotten() -> None:
    going = seen(pod(phase="Running", containers=[running()], conditions=disrupted("PreemptionByScheduler")))
    again = seen(pod(phase="Running", containers=[running()]), job(), going)
    assert (again.outcome, again.reason, again.message) == (RUNNING, None, None)


def test_a_training_that_ends_well_though_its_pod_was_told_to_go_succeeded() -> None:
    found = seen(pod(phase="Succeeded", containers=[terminated(0)], conditions=disrupted("DeletionByTaintManager")))
    assert (found.outcome, found.reason, found.message) == (SUCCEEDED, "Completed", None)


@pytest.mark.parametrize(
    ("found", "outcome", "reason", "exit_code", "message"),
    [
        pytest.param(
            pod(phase="Succeeded", containers=[terminated(0, message="all done")]),
            *(SUCCEEDED, "Completed", 0, None),
            id="completed",
        ),
        pytest.param(
            pod(phase="Failed", containers=[terminated(3, message="Traceback\n  File x\nValueError: no\n\n")]),
            *(FAILED, "Error", 3, "ValueError: no"),
            id="exit code 3, with the log's last line",
        ),
        pytest.param(
            pod(phase="Failed", containers=[terminated(1, message="x" * 5000)]),
            *(FAILED, "Error", 1, "x" * 1024),
            id="a last line that is very long",
        ),
        pytest.param(
            pod(phase="Failed", containers=[terminated(137)]),
            *(FAILED, "Error", 137, None),
            id="SIGKILL that no memory limit explains",
        ),
        pytest.param(
            pod(phase="Failed", containers=[terminated(137, "OOMKilled")]),
            *(FAILED, "OOMKilled", 137, None),
            id="out of memory",
        ),
        pytest.param(
            pod(
                phase="Failed", containers=[terminated(137, "OOMKilled")], conditions=disrupted("TerminationByKubelet")
            ),
            *(FAILED, "OOMKilled", 137, None),
            id="out of memory, while being evicted",
        ),
        pytest.param(
            pod(
                phase="Failed",
                containers=[terminated(137)],
                conditions=disrupted("TerminationByKubelet"),
                reason="Evicted",
                message="The node was low on resource: memory.",
            ),
            *(CANCELLED, "Evicted", 137, "The node was low on resource: memory."),
            id="evicted by the kubelet",
        ),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="Pod was rejected: The node had condition: [DiskPressure]."),
            *(CANCELLED, "Evicted", None, "Pod was rejected: The node had condition: [DiskPressure]."),
            id="not taken in by a node in need",
        ),
        pytest.param(
            pod(
                phase="Failed",
                containers=[terminated(137)],
                reason="Evicted",
                message='Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". ',
            ),
            *(FAILED, "Evicted", 137, 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '),
            id="evicted for what it wrote to the disk itself",
        ),
        pytest.param(
            pod(
                phase="Failed",
                containers=[waiting("ContainerCreating")],
                reason="Evicted",
                message="Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
            ),
            *(FAILED, "Evicted", None, "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "),
            id="evicted for what it wrote, before the kubelet had found its container again",
        ),
        pytest.param(
            pod(phase="Failed", containers=[terminated(143)], deleted=at(60)),
            *(CANCELLED, "PodDeleted", 143, None),
            id="deleted by hand",
        ),
        pytest.param(
            pod(phase="Succeeded", containers=[terminated(0)], deleted=at(60)),
            *(SUCCEEDED, "Completed", 0, None),
            id="deleted by hand, but it came to its end",
        ),
        pytest.param(
            pod(phase="Failed", containers=[container("sidecar", terminated={"exitCode": 1}), terminated(2)]),
            *(FAILED, "Error", 2, None),
            id="the training container's code counts, whatever stands before it",
        ),
    ],
)
def test_an_end_has_a_cause(
    found: Pod, outcome: Outcome, reason: str, exit_code: int | None, message: str | None
) -> None:
    ended = seen(found)
    assert (ended.outcome, ended.reason, ended.exit_code, ended.message) == (outcome, reason, exit_code, message)


def test_an_attempt_keeps_the_image_that_it_ran_in() -> None:
    image = "example/wine@sha256:0123"
    assert seen(pod()).image_digest is None
    ran = seen(pod(phase="Running", containers=[running()]))
    assert ran.image_digest == image
    # An eviction may take the containers out of the status.
    evicted = pod(phase="Failed", reason="Evicted")
    assert seen(evicted, None, ran).image_digest == image


@pytest.mark.parametrize(
    ("of", "outcome", "reason"),
    [
        pytest.param(
            job(conditions={"FailureTarget": "DeadlineExceeded"}),
            FAILED,
            "DeadlineExceeded",
            id="the Job is about to fail",
        ),
        pytest.param(
            job(conditions={"Failed": "DeadlineExceeded"}), FAILED, "DeadlineExceeded", id="the Job has failed"
        ),
        pytest.param(
            job(activeDeadlineSeconds=60),
            FAILED,
            "DeadlineExceeded",
            id="the deadline passed, the Job says nothing yet",
        ),
        pytest.param(job(activeDeadlineSeconds=120), FAILED, "DeadlineExceeded", id="the deadline is now"),
        pytest.param(job(activeDeadlineSeconds=600), CANCELLED, "PodDeleted", id="long before its deadline"),
        pytest.param(
            job(activeDeadlineSeconds=1, annotations={"runyard.dev/failed-because": "ImagePull"}),
            *(FAILED, "ImagePull"),
            id="ended by Runyard for want of an image",
        ),
        pytest.param(job(suspend=True), CANCELLED, "Suspended", id="suspended"),
        pytest.param(job(deleted=at(50)), CANCELLED, "Cancelled", id="the Job is being deleted"),
        pytest.param(None, CANCELLED, "Cancelled", id="the Job is gone"),
    ],
)
@pytest.mark.parametrize("sight", ["pod", "vanished"])
def test_a_deleted_pod_ended_for_the_jobs_reason(of: Job | None, outcome: Outcome, reason: str, sight: str) -> None:
    pods = [pod(phase="Failed", containers=[terminated(143, ended=130)], deleted=at(150))] if sight == "pod" else []
    [ended] = observed(pods, [attempt("wine-1")], of, at(120))
    assert (ended.outcome, ended.reason) == (outcome, reason)


def test_a_pod_deleted_by_hand_and_seen_after_the_deadline_did_not_exceed_it() -> None:
    found = pod(phase="Failed", containers=[terminated(143, ended=61)], deleted=at(90))
    assert seen(found, job(activeDeadlineSeconds=100), seconds=200).reason == "PodDeleted"


def test_a_pod_that_failed_before_its_deletion_failed() -> None:
    found = pod(phase="Failed", containers=[terminated(1, ended=50)], deleted=at(90))
    [ended] = observed([found], [attempt("wine-1")], None, at(120))
    assert (ended.outcome, ended.reason) == (FAILED, "Error")


def test_an_attempt_that_another_followed_was_not_ended_by_the_job() -> None:
    following = pod("wine-2", "Running", created=at(50), containers=[running(51)])
    first, _ = observed([following], [attempt("wine-1")], job(activeDeadlineSeconds=100), at(200))
    assert (first.outcome, first.reason) == (CANCELLED, "PodDeleted")


def test_a_pod_past_its_own_deadline() -> None:
    found = pod(phase="Failed", reason="DeadlineExceeded", message="Pod was active on the node longer than allowed")
    ended = seen(found, job(conditions={"FailureTarget": "DeadlineExceeded"}))
    assert (ended.outcome, ended.reason) == (FAILED, "DeadlineExceeded")


def test_a_pod_that_vanished_says_that_its_end_was_not_seen() -> None:
    [ended] = observed([], [attempt("wine-1", run_id="r1", node="node-1")], job(), at(120))
    assert (ended.outcome, ended.reason, ended.finished_at) == (CANCELLED, "PodDeleted", at(120))
    assert ended.message == "the pod is gone, and its end was not seen"
    assert (ended.run_id, ended.node) == ("r1", "node-1")


def test_a_pod_that_vanished_while_it_waited_says_for_what() -> None:
    [ended] = observed([], [attempt("wine-1", PENDING, message="Unschedulable: no node")], job(), at(120))
    assert ended.message == "Unschedulable: no node; the pod is gone, and its end was not seen"


@pytest.mark.parametrize(
    ("found", "outcome", "message"),
    [
        pytest.param(pod(), PENDING, None, id="just made"),
        pytest.param(
            pod(conditions=unscheduled("0/1 nodes are available: 1 Insufficient cpu.")),
            *(PENDING, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."),
            id="no node has room",
        ),
        pytest.param(pod(containers=[waiting("ContainerCreating")]), PENDING, None, id="being made"),
        pytest.param(
            pod(containers=[waiting("ImagePullBackOff", 'Back-off pulling image "nope"')]),
            *(PENDING, 'ImagePullBackOff: Back-off pulling image "nope"'),
            id="its image cannot be had",
        ),
        pytest.param(pod(containers=[waiting("ErrImagePull")]), PENDING, "ErrImagePull", id="without a message"),
        pytest.param(
            pod(containers=[waiting("CreateContainerConfigError", 'secret "s" not found')]),
            *(PENDING, 'CreateContainerConfigError: secret "s" not found'),
            id="a secret is missing",
        ),
        pytest.param(
            pod(
                containers=[waiting("PodInitializing")],
                initContainerStatuses=[waiting("ErrImagePull", "no such image", "fetch")],
            ),
            *(PENDING, "ErrImagePull: no such image"),
            id="an init container's image cannot be had",
        ),
        pytest.param(pod(phase="Running", containers=[running()]), RUNNING, None, id="running"),
        pytest.param(
            pod(phase="Running", containers=[container("sidecar", running={}), waiting("ImagePullBackOff", "none")]),
            *(PENDING, "ImagePullBackOff: none"),
            id="only a sidecar runs",
        ),
    ],
)
def test_an_attempt_that_goes_on(found: Pod, outcome: Outcome, message: str | None) -> None:
    now = seen(found)
    assert (now.outcome, now.message, now.reason, now.finished_at) == (outcome, message, None, None)


@pytest.mark.parametrize(
    ("reason", "is_image"),
    [
        ("ErrImagePull", True),
        ("ImagePullBackOff", True),
        ("InvalidImageName", True),
        ("ErrImageNeverPull", True),
        ("ContainerCreating", False),
        ("CreateContainerConfigError", False),
    ],
)
def test_which_waits_are_for_an_image(reason: str, is_image: bool) -> None:  # noqa: FBT001
    assert (image_wait(pod(containers=[waiting(reason, "m")])) is not None) is is_image


def test_times_are_the_containers() -> None:
    ended = seen(pod(phase="Failed", containers=[terminated(1, started=5, ended=65)]))
    assert (ended.started_at, ended.finished_at) == (at(5), at(65))


def test_times_without_a_container_are_the_pods_and_now() -> None:
    ended = seen(pod(phase="Failed", reason="Evicted", created=at(3)), seconds=120)
    assert (ended.started_at, ended.finished_at) == (at(3), at(120))


def test_what_it_waited_for_stays_on_record_if_it_ends_waiting() -> None:
    before = seen(pod(containers=[waiting("ImagePullBackOff", "no such image")]))
    of = job(activeDeadlineSeconds=1, annotations={"runyard.dev/failed-because": "ImagePull"})
    ended = seen(pod(phase="Failed", deleted=at(60)), of, before)
    assert (ended.reason, ended.message) == ("ImagePull", "ImagePullBackOff: no such image")


def test_an_end_that_the_kubelet_only_supposes_has_no_exit_code() -> None:
    supposed = {
        "exitCode": 137,
        "finishedAt": None,
        "message": "The container could not be located when the pod was terminated",
        "reason": "ContainerStatusUnknown",
        "startedAt": None,
    }
    before = seen(pod(containers=[waiting("ImagePullBackOff", "no such image")]))
    of = job(activeDeadlineSeconds=1, annotations={"runyard.dev/failed-because": "ImagePull"})
    ended = seen(pod(phase="Failed", deleted=at(60), containers=[container(terminated=supposed)]), of, before)
    assert (ended.reason, ended.exit_code, ended.message) == ("ImagePull", None, "ImagePullBackOff: no such image")


def test_what_it_no_longer_waits_for_is_forgotten() -> None:
    before = seen(pod(conditions=unscheduled("no room")))
    scheduled = pod(containers=[waiting("ContainerCreating")], conditions=[{"type": "PodScheduled", "status": "True"}])
    assert seen(scheduled, None, before).message is None


def test_a_failure_is_not_explained_by_what_was_waited_for_before() -> None:
    before = seen(pod(conditions=unscheduled("no room")))
    assert seen(pod(phase="Failed", containers=[terminated(1)]), None, before).message is None


def test_the_run_that_was_found_is_kept() -> None:
    ended = seen(pod(phase="Failed", containers=[terminated(1)]), None, attempt("wine-1", run_id="r1"))
    assert ended.run_id == "r1"


def test_attempts_are_in_the_order_of_their_pods() -> None:
    pods = [
        pod("wine-b", "Running", created=at(20), containers=[running(21)]),
        pod("wine-c", "Failed", created=at(10), containers=[terminated(1)]),
    ]
    assert [found.pod for found in observed(pods, [], job(), at(120))] == ["wine-c", "wine-b"]


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([], id="all pods are gone"),
        pytest.param(["wine-1"], id="the second is gone"),
        pytest.param(["wine-2"], id="the first is gone"),
        pytest.param(["wine-1", "wine-3"], id="the second is gone, and there is a third"),
        pytest.param(["wine-3"], id="only a third is there"),
    ],
)
def test_attempts_stay_in_order_whichever_pods_are_gone(pods: list[str]) -> None:
    before = [attempt(name, FAILED, reason="Error", finished_at=at(60)) for name in ("wine-1", "wine-2")]
    there = [pod(name, "Failed", created=at(10 * int(name[-1])), containers=[terminated(1)]) for name in pods]
    expected = ["wine-1", "wine-2"] + (["wine-3"] if "wine-3" in pods else [])
    assert [found.pod for found in observed(there, before, job(), at(120))] == expected


def test_attempts_that_the_status_has_dropped_do_not_come_back() -> None:
    pods = [
        pod(
            f"wine-{n:02}",
            "Failed",
            created=at(n * 20),
            containers=[terminated(1, started=n * 20 + 1, ended=n * 20 + 9)],
        )
        for n in range(13)
    ]
    remembered = observed(pods[:12], [], job(), at(400))[-10:]
    assert observed(pods[:12], remembered, job(), at(400), count=12) == remembered
    assert [found.pod for found in observed(pods, remembered, job(), at(400), count=12)][-2:] == ["wine-11", "wine-12"]


final_attempts = st.builds(
    attempt,
    st.just("wine-1"),
    st.sampled_from([found for found in Outcome if found.is_final]),
    reason=st.sampled_from(Reason),
    exit_code=st.none() | st.integers(0, 255),
    finished_at=st.just(at(60)),
    message=st.none() | st.text(max_size=5),
)
pods_of_any_kind = st.builds(
    pod,
    st.just("wine-1"),
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    deleted=st.none() | st.just(at(50)),
    containers=st.lists(
        st.sampled_from([running(), terminated(0), terminated(137, "OOMKilled"), waiting("ErrImagePull", "x")]),
        max_size=1,
    ),
    reason=st.sampled_from(["", "Evicted", "DeadlineExceeded"]),
)
jobs_of_any_kind = st.none() | st.builds(
    job,
    conditions=st.dictionaries(
        st.sampled_from(["Failed", "Complete", "FailureTarget"]), st.just("DeadlineExceeded"), max_size=2
    ),
    deleted=st.none() | st.just(at(50)),
    suspend=st.booleans(),
)


@given(final_attempts, st.none() | pods_of_any_kind, jobs_of_any_kind)
def test_what_has_ended_never_changes(ended: Attempt, now: Pod | None, of: Job | None) -> None:
    assert observed([now] if now else [], [ended], of, at(500)) == [ended]


@given(pods_of_any_kind, jobs_of_any_kind, st.none() | pods_of_any_kind, jobs_of_any_kind)
def test_looking_again_changes_nothing(
    first: Pod, job_first: Job | None, later: Pod | None, job_later: Job | None
) -> None:
    before = observed([first], [], job_first, at(100))
    pods = [later] if later else []
    once: list[Any] = observed(pods, before, job_later, at(200))
    assert observed(pods, once, job_later, at(200)) == once


def test_the_last_pod_of_a_job_that_completed_succeeded_though_nobody_saw_it() -> None:
    complete = job(conditions={"Complete": ""})
    first, last = observed([], [attempt("wine-1"), attempt("wine-2", started_at=at(60))], complete, at(120))
    assert (first.outcome, first.reason) == (CANCELLED, "PodDeleted")
    assert (last.outcome, last.reason) == (SUCCEEDED, "Completed")


@pytest.mark.parametrize(("worker", "outcome"), [(0, SUCCEEDED), (3, SUCCEEDED), (4, CANCELLED)])
def test_which_workers_have_succeeded_is_for_the_job_to_say(worker: int, outcome: Outcome) -> None:
    status = job().status.model_copy(update={"completed_indexes": "0,2-3"})
    indexed = job().model_copy(update={"status": status})
    [found] = observed([], [attempt(worker=worker)], indexed, at(120))
    assert found.outcome is outcome


@pytest.mark.parametrize("gone", [{"phase": "Failed"}, {"deleted": at(9)}])
def test_a_pod_that_is_gone_waits_for_no_image(gone: dict[str, Any]) -> None:
    assert image_wait(pod(containers=[waiting("ImagePullBackOff", "no such image")], **gone)) is None


def test_a_training_whose_pod_goes_on_without_it_has_not_ended_and_says_why() -> None:
    found = seen(pod(phase="Running", containers=[terminated(3), container("proxy", running={})]), job(), attempt())
    assert (found.outcome, found.exit_code) == (RUNNING, None)
    assert found.message == (
        "the training has ended with exit code 3, and its pod waits for proxy: "
        "make that an init container with restartPolicy Always, which ends with it"
    )


def test_a_training_whose_sidecar_takes_its_time_to_end_is_not_waiting_to_begin() -> None:
    ended = pod(phase="Running", containers=[terminated(0)])
    found = seen(ended, job(), attempt())
    assert (found.outcome, found.message) == (
        RUNNING,
        "the training has ended with exit code 0, and its pod is about to end",
    )


@pytest.mark.parametrize(
    ("code", "ended", "cause"),
    [
        pytest.param(143, 55, (CANCELLED, "Suspended"), id="told to end, by a clock that is behind"),
        pytest.param(137, 55, (CANCELLED, "Suspended"), id="killed, by a clock that is behind"),
        pytest.param(3, 55, (FAILED, "Error"), id="ended by itself before"),
        pytest.param(143, 40, (FAILED, "Error"), id="by a signal long before"),
    ],
)
def test_who_ended_it_does_not_hang_on_a_nodes_clock(code: int, ended: int, cause: tuple[Outcome, str]) -> None:
    # Deletion was asked for at 60: its time less the grace period.
    found = seen(pod(phase="Failed", containers=[terminated(code, ended=ended)], deleted=at(90)), job(suspend=True))
    assert (found.outcome, found.reason) == cause


def test_a_deadline_of_the_pods_own_is_a_deadline() -> None:
    found = seen(pod(phase="Failed", reason="DeadlineExceeded", containers=[terminated(137)]))
    assert (found.outcome, found.reason) == (FAILED, "DeadlineExceeded")


def test_nothing_begins_before_it_is_made_whatever_a_node_says() -> None:
    before = [attempt("wine-1", FAILED, reason="Error", started_at=at(5), finished_at=at(30))]
    retry = pod("wine-2", "Running", created=at(60), containers=[running(-100)])
    found = observed([retry], before, job(), at(120))
    assert [(each.pod, each.started_at) for each in found] == [("wine-1", at(5)), ("wine-2", at(60))]


def other(name: str, exit_code: int, reason: str = "Error", *, ended: float = 50, message: str = "") -> dict[str, Any]:
    return {**terminated(exit_code, reason, message, ended=ended), "name": name}


def test_a_container_that_fails_beside_a_training_that_succeeded_is_named() -> None:
    found = seen(pod(phase="Failed", containers=[terminated(0), other("proxy", 7, message="no route")]))
    assert (found.outcome, found.reason, found.exit_code, found.container) == (FAILED, "Error", 7, "proxy")
    assert found.message == "no route"


def test_memory_that_another_container_lacked_is_told_of_it() -> None:
    found = seen(pod(phase="Failed", containers=[terminated(0), other("proxy", 137, "OOMKilled")]))
    assert (found.reason, found.exit_code, found.container) == ("OOMKilled", 137, "proxy")


def test_an_init_container_that_fails_is_why_nothing_was_trained() -> None:
    init = [other("fetch", 0, "Completed", ended=10), other("unpack", 2, ended=20)]
    found = seen(pod(phase="Failed", containers=[waiting("PodInitializing")], initContainerStatuses=init))
    assert (found.outcome, found.reason, found.exit_code, found.container) == (FAILED, "Error", 2, "unpack")
    assert found.finished_at == at(20)


def test_of_several_containers_the_first_that_failed_is_named() -> None:
    later = [other("a", 1, ended=70), other("b", 3, ended=65)]
    assert seen(pod(phase="Failed", containers=[terminated(0), *later])).container == "b"


def test_a_training_that_failed_is_the_cause_whatever_failed_besides() -> None:
    found = seen(pod(phase="Failed", containers=[terminated(5, ended=90), other("proxy", 1, ended=10)]))
    assert (found.exit_code, found.container) == (5, None)


def test_a_pod_that_was_taken_away_does_not_blame_a_container() -> None:
    containers = [running(), other("proxy", 143)]
    found = seen(pod(phase="Failed", containers=containers, conditions=disrupted("EvictionByEvictionAPI")))
    assert (found.outcome, found.reason, found.container) == (CANCELLED, "Evicted", None)


def test_a_pod_that_was_suspended_stays_so_when_it_is_resumed_before_its_end() -> None:
    leaving = pod(phase="Running", containers=[running()], deleted=at(130))
    first = seen(leaving, job(suspend=True))
    assert (first.outcome, first.reason) == (RUNNING, "Suspended")
    still = seen(leaving, job(), first)
    assert still.reason == "Suspended"
    ended = pod(phase="Failed", containers=[terminated(143, ended=125)], deleted=at(130))
    found = seen(ended, job(), still)
    assert (found.outcome, found.reason) == (CANCELLED, "Suspended")


def test_a_training_that_fails_by_itself_while_it_is_suspended_has_failed() -> None:
    earlier = attempt(reason="Suspended")
    found = seen(pod(phase="Failed", containers=[terminated(1, ended=60)], deleted=at(130)), job(), earlier)
    assert (found.outcome, found.reason) == (FAILED, "Error")


GOING, ASKED = at(130), at(100)  # told to go 30 s before it is to be gone


def overdue(condition: str | None = None, succeeded: int = 0) -> Job:
    conditions = {condition: "DeadlineExceeded"} if condition else None
    found = job(activeDeadlineSeconds=100, conditions=conditions)
    return found.model_copy(update={"status": found.status.model_copy(update={"succeeded": succeeded})})


@pytest.mark.parametrize(
    ("of", "ended", "outcome", "reason"),
    [
        pytest.param(job(suspend=True), 110, CANCELLED, "Suspended", id="suspended"),
        pytest.param(job(deleted=ASKED), 110, CANCELLED, "Cancelled", id="its Job is deleted"),
        pytest.param(None, 110, CANCELLED, "Cancelled", id="its Job is gone"),
        pytest.param(job(), 110, SUCCEEDED, "Completed", id="deleted by hand"),
        pytest.param(job(suspend=True), 100, CANCELLED, "Suspended", id="ended in that second"),
        pytest.param(job(suspend=True), 99, SUCCEEDED, "Completed", id="ended in the second before"),
        pytest.param(job(deleted=ASKED, conditions={"Complete": ""}), 110, SUCCEEDED, "Completed", id="it was counted"),
        pytest.param(None, 60, SUCCEEDED, "Completed", id="ended before"),
        pytest.param(overdue(), 110, FAILED, "DeadlineExceeded", id="the deadline had passed"),
        pytest.param(overdue(succeeded=1), 110, FAILED, "DeadlineExceeded", id="and its Job counted it"),
        pytest.param(overdue("FailureTarget", succeeded=1), 110, FAILED, "DeadlineExceeded", id="and its Job says so"),
        pytest.param(overdue("Failed", succeeded=1), 110, FAILED, "DeadlineExceeded", id="and its Job has failed"),
        pytest.param(overdue("Failed"), 99, SUCCEEDED, "Completed", id="it ended before the deadline"),
        pytest.param(overdue("Complete"), 110, SUCCEEDED, "Completed", id="its Job is complete all the same"),
    ],
)
def test_a_training_that_stops_well_because_it_was_told_to_has_not_succeeded(
    of: Job | None, ended: float, outcome: Outcome, reason: str
) -> None:
    stopped = pod(phase="Succeeded", containers=[terminated(0, ended=ended)], deleted=GOING)
    [found] = observed([stopped], [], of, at(140))
    assert (found.outcome, found.reason, found.exit_code) == (outcome, reason, 0)


def _of_worker(worker: int, ended: float) -> Pod:
    stopped = pod(f"wine-{worker}", "Succeeded", deleted=GOING, containers=[terminated(0, ended=ended)])
    index = {INDEX_ANNOTATION: str(worker)}
    return stopped.model_copy(update={"metadata": stopped.metadata.model_copy(update={"annotations": index})})


def test_of_several_workers_one_that_stops_well_because_another_failed_has_not_succeeded() -> None:
    of = job(conditions={"FailureTarget": "BackoffLimitExceeded"})
    of = of.model_copy(update={"status": of.status.model_copy(update={"completed_indexes": "0-1"})})
    done, told = (_of_worker(worker, ended) for worker, ended in ((0, 60), (1, 110)))
    found = observed([done, told], [], of, at(140))
    assert [(each.outcome, each.reason) for each in found] == [(SUCCEEDED, "Completed"), (CANCELLED, "Cancelled")]


def test_a_pod_that_went_unseen_with_a_job_that_failed_has_not_succeeded_though_it_was_counted() -> None:
    running_before = attempt(outcome=RUNNING)
    [found] = observed([], [running_before], overdue("Failed", succeeded=1), at(140))
    assert (found.outcome, found.reason) == (FAILED, "DeadlineExceeded")


def test_one_that_was_suspended_and_stops_well_after_it_was_resumed_has_not_succeeded() -> None:
    stopped = pod(phase="Succeeded", containers=[terminated(0, ended=110)], deleted=GOING)
    found = seen(stopped, job(), attempt(reason="Suspended"))
    assert (found.outcome, found.reason) == (CANCELLED, "Suspended")


def test_an_exit_code_that_a_kubelet_made_up_blames_no_container() -> None:
    lost = [terminated(137, "ContainerStatusUnknown"), other("proxy", 137, "ContainerStatusUnknown")]
    found = seen(pod(phase="Failed", containers=lost))
    assert (found.outcome, found.exit_code, found.container) == (FAILED, None, None)


def test_a_pod_that_was_evicted_succeeded_and_vanished_has_succeeded_if_the_job_counts_it() -> None:
    evicted = attempt(reason="Evicted")
    [found] = observed([], [evicted], job(conditions={"Complete": ""}), at(140))
    assert (found.outcome, found.reason) == (SUCCEEDED, "Completed")
