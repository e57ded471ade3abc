"""What readers of the code found, each shown by the fewest steps."""

from collections.abc import Iterator

import pytest

from runyard_operator.mirror import View
from runyard_operator.objects import Job, Key
from tests.unit.model.apiserver import JOBS, PODS, RUNS, condition_of, verdict_of
from tests.unit.model.test_regressions import conclude, end_job, with_pod
from tests.unit.model.truths import check_always
from tests.unit.model.wire import Fault
from tests.unit.model.workloads import Script
from tests.unit.model.world import World

ASSIGNED = {"tracking": {"run": "Assigned"}}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as found:
        found.start_operator()
        yield found


def statuses(world: World) -> list[str]:
    return [run["info"]["status"] for run in world.mlflow.runs.values()]


@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_a_success_that_mlflow_has_not_heard_of_is_one_though_its_resource_is_deleted(world: World, mode: str) -> None:
    job, pod = with_pod(world, tracking={"run": mode})
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.set_mlflow_down(True)
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.flow(5)
    assert verdict_of(world.status("a"))[0] == "True"
    world.api.remove(RUNS, "a")
    for _ in range(3):
        world.flow(20)
    world.set_mlflow_down(False)
    world.rest()
    assert statuses(world) == ["FINISHED"]
    check_always(world)


def test_a_run_that_all_pods_share_ends_though_no_artifact_can_be_stored(world: World) -> None:
    job, pod = with_pod(world, **ASSIGNED)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.mlflow.is_store_down = True
    world.kubelet.end(pod, 1)
    end_job(world, job)
    for _ in range(3):
        world.flow(5)
    assert statuses(world) == ["FAILED"]
    assert condition_of(world.api.objects[RUNS, "a"], "Tracked")["reason"] == "TrackingUnavailable"
    conclude(world)
    assert any(path.endswith(f"log-{pod}.txt") for path in world.mlflow.artifacts)


def test_a_shared_run_of_a_resource_deleted_unseen_says_what_the_last_attempt_does(world: World) -> None:
    job, pod = with_pod(world, backoffLimit=1, **ASSIGNED)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.operator.die()
    world.kubelet.end(pod, 1)
    world.controller.sync(job)
    world.clock.run_for(30)
    world.controller.sync(job)
    [second] = [name for name in world.names(PODS) if name != pod]
    world.kubelet.start(second, Script.SILENT)
    world.kubelet.end(second, 0)
    world.api.remove(RUNS, "a")
    restarted = world.start_operator()
    for kind in (PODS, JOBS, RUNS):
        restarted.deliver(kind)
    world.clock.run_for(5)
    world.rest()
    assert statuses(world) == ["FINISHED"]


def test_a_pod_that_waited_for_a_node_has_its_whole_time_to_wait_for_its_image(world: World) -> None:
    _, pod = with_pod(world)
    for _ in range(10):
        world.flow(60)
    world.kubelet.wait_for_image(pod)
    world.flow(5)
    world.flow(20)
    assert verdict_of(world.status("a"))[0] == "Unknown"
    for _ in range(4):
        world.flow(30)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("False", "ImagePull")


def test_a_log_that_was_kept_is_there_when_mlflow_is_though_its_pod_vanished_meanwhile(world: World) -> None:
    _, pod = with_pod(world, backoffLimit=3)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.set_mlflow_down(True)
    world.api.ask_to_delete(pod)
    world.deliver()
    world.clock.run_for(2)
    world.api.remove(PODS, pod)
    for _ in range(5):
        world.deliver()
        world.clock.run_for(10)
    conclude(world)
    [kept] = [found for path, found in world.mlflow.artifacts.items() if path.endswith(f"log-{pod}.txt")]
    assert kept == f"log of {pod}".encode()


def test_a_resource_with_somebodys_finalizer_is_followed_to_its_end(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.api.update(RUNS, "a", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}})
    world.flow()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    for _ in range(3):
        world.flow(5)
    assert statuses(world) == ["FINISHED"]
    assert verdict_of(world.status("a"))[0] == "True"


def test_of_the_longest_log_that_may_be_kept_no_more_lines_are_asked_for_than_a_request_gives(world: World) -> None:
    _, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.clock.run(world.operator.recorder.logs.cluster.log_tail("team", pod, "training", 16 << 20))
    assert max(world.api.lines_read) <= 262_144


def test_a_training_that_failed_is_told_of_artifacts_that_can_never_be_stored(world: World) -> None:
    job, pod = with_pod(world, tracking={"requireMetrics": ["loss"]})
    world.mlflow.artifact_root = "s3://a-bucket-that-only-scripts-reach"
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.set_mlflow_down(True)
    world.kubelet.end(pod, 1)
    end_job(world, job)
    world.flow(5)
    world.set_mlflow_down(False)
    for _ in range(5):
        world.flow(20)
    assert condition_of(world.api.objects[RUNS, "a"], "Tracked")["reason"] == "ArtifactsUnreachable"


def test_a_pod_that_succeeded_and_vanished_before_its_job_said_so_has_succeeded(world: World) -> None:
    job, pod = with_pod(world, backoffLimit=2)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.kubelet.end(pod, 0)
    world.api.ask_to_delete(pod)
    world.kubelet.go_on_deleting(pod, 0)
    world.operator.list_anew(PODS)
    world.clock.run_for(400)
    assert verdict_of(world.status("a"))[0] == "Unknown"
    end_job(world, job)
    conclude(world)
    assert [found["outcome"] for found in world.status("a")["attempts"]] == ["Succeeded"]


def test_for_a_resource_that_is_gone_no_second_job_is_made_though_its_deletion_was_not_heard_of(world: World) -> None:
    world.apply("a", backoffLimit=0, **ASSIGNED)
    line = world.operator.to_mlflow
    line.expect(2, Fault.TIMED_OUT)
    world.clock.run_for(45)
    world.operator.deliver(RUNS)
    world.api.remove(RUNS, "a")
    world.api.collect_garbage()
    world.lose_watch(world.operator, RUNS)
    for _ in range(5):
        world.flow(20)
    check_always(world)


def test_what_comes_late_of_a_job_that_was_deleted_is_not_taken_for_its_successor(world: World) -> None:
    job, pod = with_pod(world)
    earlier = world.api.last[world.api.get(JOBS, job)["metadata"]["uid"]]  # type: ignore[index]
    world.kubelet.start(pod, Script.SILENT)
    world.kubelet.end(pod, 0)
    end_job(world, job)
    ended = Job.model_validate(world.api.get(JOBS, job))
    view = View()
    later = {**earlier, "metadata": {**earlier["metadata"], "uid": "another", "resourceVersion": "9999"}}
    view.see_job(Job.model_validate(later))
    view.see_job(ended)
    view.see_job(ended, is_gone=True)
    assert view.job
    assert (view.job.metadata.uid, view.job.has_ended) == ("another", False)


@pytest.mark.parametrize("has_begun", [True, False])
@pytest.mark.parametrize(
    ("disruption", "reason"),
    [
        ("EvictionByEvictionAPI", "Evicted"),
        ("PreemptionByScheduler", "Preempted"),
        ("DeletionByTaintManager", "NodeLost"),
    ],
)
def test_who_takes_a_pod_away_is_told_and_it_is_not_counted(
    world: World,
    disruption: str,
    reason: str,
    has_begun: bool,  # noqa: FBT001
) -> None:
    _, pod = with_pod(world)
    if has_begun:
        world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.kubelet.disrupt(pod, disruption)
    conclude(world)
    found = [(attempt["outcome"], attempt["reason"]) for attempt in world.status("a")["attempts"]]
    assert found == [("Cancelled", reason), ("Succeeded", "Completed")]


def test_what_waits_for_a_node_or_in_a_queue_leaves_nothing_when_its_resource_is_deleted(world: World) -> None:
    _, pod = with_pod(world, **ASSIGNED)
    world.kubelet.find_no_node(pod)
    world.apply("queued", queueName="team", **ASSIGNED)
    for _ in range(3):
        world.flow(5)
    assert world.status("queued")["phase"] == "Queued"
    assert "Unschedulable" in world.status("a")["message"]
    for name in ("a", "queued"):
        world.api.remove(RUNS, name)
    world.rest()
    assert (world.names(JOBS), world.names(PODS), statuses(world)) == ([], [], ["KILLED", "KILLED"])
    conclude(world)


def test_a_run_that_is_back_has_no_artifacts_that_never_came(world: World) -> None:
    job, pod = with_pod(world)
    world.mlflow.artifact_root = "s3://a-bucket-that-only-scripts-reach"
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.rest()
    [run_id] = world.mlflow.runs
    for is_deleted, reason in ((True, "RunDeleted"), (False, "ArtifactsUnreachable")):
        world.mlflow.set_deleted(run_id, is_deleted=is_deleted)
        world.flow(200)
        tracked = condition_of(world.api.objects[RUNS, "a"], "Tracked")
        assert (tracked["status"], tracked["reason"]) == ("False", reason)


def test_what_is_wrong_with_parameters_is_told_though_a_webhook_is_down(world: World) -> None:
    world.api.is_webhook_down = True
    world.apply("a", args=["--rate=$(params.rate)"])
    world.flow(3)
    assert verdict_of(world.status("a"))[0] == "Unknown", "what else is wrong may be told in a moment"
    for _ in range(5):
        world.flow(10)
    assert verdict_of(world.status("a"))[:2] == ("False", "InvalidSpec")
    assert "rate" in world.status("a")["message"]
    assert world.names(JOBS) == []


def test_a_job_is_told_its_ttl_once() -> None:
    """Though its own event, by which the operator would see that it was, comes later."""
    writes = []
    for ttl in ({}, {"ttlSecondsAfterFinished": 60}):
        with World() as world:
            world.start_operator()
            job, pod = with_pod(world, **ttl)
            world.kubelet.start(pod, Script.SILENT)
            world.flow()
            world.kubelet.end(pod, 0)
            end_job(world, job)
            for kind in (RUNS, JOBS, PODS):
                world.operator.deliver(kind)
            world.clock.run_for(10)
            # Whatever came meanwhile has it looked at once more.
            world.operator.queue.add(Key("team", "a", world.api.objects[RUNS, "a"]["metadata"]["uid"]))
            world.clock.run_for(1)
            conclude(world)
            writes.append(world.operators[0].to_api.writes)
    assert writes[1] == writes[0] + 1


@pytest.mark.parametrize(("seconds", "more"), [(5, 0), (9, 1)])
def test_that_a_pod_waits_is_written_where_it_goes_on(world: World, seconds: int, more: int) -> None:
    """Of most that wait for some seconds, their start is the first that is told."""
    world.apply("a", backoffLimit=0, suspend=False)
    while not world.names(PODS):
        world.flow(0.1)
    [pod], before = world.names(PODS), world.operator.to_api.writes
    world.flow(0.1)
    world.flow(seconds)
    assert world.operator.to_api.writes == before + more
    assert [found["outcome"] for found in world.status("a")["attempts"]] == ["Pending"] * more
    world.kubelet.start(pod, Script.HONEST)
    world.flow(3)
    assert [found["outcome"] for found in world.status("a")["attempts"]] == ["Running"]
