"""What the machine found, each reduced to the fewest steps, and what a look at those led to."""

from collections.abc import Iterator

import pytest

from runyard.api.records import POD_TAG
from tests.unit.model.apiserver import JOBS, PODS, RUNS, Object, condition_of, verdict_of
from tests.unit.model.process import SETTINGS
from tests.unit.model.truths import check_always, check_at_rest, check_finished
from tests.unit.model.wire import Fault
from tests.unit.model.workloads import Script
from tests.unit.model.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as found:
        found.start_operator()
        yield found


def with_pod(world: World, **spec: object) -> tuple[str, str]:
    """Bring a training to its first pod; return the names of Job and pod."""
    world.apply("a", **{"backoffLimit": 0, "suspend": False, **spec})
    for _ in range(4):
        world.flow()
    [job], [pod] = world.names(JOBS), world.names(PODS)
    return job, pod


def end_job(world: World, job: str) -> None:
    for _ in range(3):
        world.controller.sync(job)


def conclude(world: World) -> None:
    world.end_faults()
    world.rest()
    check_at_rest(world)
    world.finish()
    check_finished(world)


def test_an_operator_that_is_behind_makes_no_second_job(world: World) -> None:
    world.apply("a", backoffLimit=0)
    behind, other = world.operator, world.start_operator()
    behind.list_anew(RUNS)
    other.deliver(RUNS)
    world.clock.run_for(1)
    world.api.remove(JOBS, *world.names(JOBS))
    behind.deliver(RUNS)
    world.clock.run_for(1)
    check_always(world)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("False", "JobDeleted")


def test_the_job_is_seen_to_end_before_its_pods_are_seen_at_all(world: World) -> None:
    world.apply("a", backoffLimit=0)
    world.flow()
    world.operator.die()
    [job] = world.names(JOBS)
    for _ in range(2):
        world.controller.sync(job)
    [pod] = world.names(PODS)
    world.kubelet.start(pod, Script.SILENT)
    world.kubelet.end(pod, 137, "OOMKilled")
    end_job(world, job)
    restarted = world.start_operator()
    restarted.deliver(RUNS)
    restarted.deliver(JOBS)
    world.clock.run_for(3)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("False", "OOMKilled")
    assert [found["outcome"] for found in world.status("a")["attempts"]] == ["Failed"]


def test_a_restart_after_the_verdict_does_not_take_unseen_pods_for_gone(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.set_mlflow_down(True)
    world.api.remove(JOBS, job)
    world.operator.deliver(JOBS)
    world.clock.run_for(3)
    assert verdict_of(world.status("a"))[1] == "JobDeleted"
    world.operator.die()
    world.kubelet.end(pod, 0)
    restarted = world.start_operator()
    restarted.deliver(RUNS)
    world.clock.run_for(5)
    restarted.deliver(PODS)
    conclude(world)
    assert world.status("a")["attempts"][0]["outcome"] == "Succeeded"


def test_a_late_event_of_an_earlier_write_opens_nothing_again(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.SILENT)
    world.operator.deliver(PODS)
    world.clock.run_for(3)  # written as Running; the event of that is not delivered yet
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.operator.deliver(PODS)
    world.operator.deliver(JOBS)
    world.clock.run_for(3)
    world.api.remove(JOBS, job)
    world.api.remove(PODS, pod)
    world.operator.deliver(RUNS)
    world.clock.run_for(3)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["FINISHED"]
    conclude(world)


def test_the_end_of_a_job_counts_though_it_is_gone_when_it_is_looked_at(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.api.remove(JOBS, job)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("True", "Completed")


def test_a_deletion_that_the_watch_lost_is_found_out(world: World) -> None:
    job, _ = with_pod(world)
    world.api.remove(JOBS, job)
    world.lose_watch(world.operator, JOBS)
    conclude(world)
    assert verdict_of(world.status("a"))[:2] == ("False", "JobDeleted")


def test_a_run_that_is_being_made_while_its_resource_is_deleted_is_closed(world: World) -> None:
    _, pod = with_pod(world)
    world.mlflow.start("team", {"runyard.dev/pod": "another", "runyard.dev/uid": "another"})
    world.mlflow.end("run-0001", "FINISHED")
    world.kubelet.start(pod, Script.NO_RUN)
    world.kubelet.end(pod, 1)
    world.operator.to_mlflow.expect(3, Fault.SLOW_THERE)  # two searches, the experiment, the making of the run
    world.operator.deliver(PODS)
    world.api.remove(RUNS, "a")
    for _ in range(4):
        world.flow(1)
    world.rest()
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["FINISHED", "FAILED"]
    conclude(world)


def test_a_resource_that_is_deleted_while_no_operator_lives_leaves_no_run_open(world: World) -> None:
    _, pod = with_pod(world)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    world.operator.die()
    world.api.remove(RUNS, "a")
    for _ in range(4):
        world.api.collect_garbage()
        for name in world.names(PODS):
            world.kubelet.go_on_deleting(name, 143)
    world.start_operator()
    conclude(world)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["KILLED"]


def test_a_run_of_a_pod_that_no_operator_saw_is_not_left_open(world: World) -> None:
    world.apply("a", backoffLimit=0, suspend=False)
    world.flow()
    [job] = world.names(JOBS)
    world.operator.die()
    for _ in range(2):
        world.controller.sync(job)
    [pod] = world.names(PODS)
    world.kubelet.start(pod, Script.SILENT)
    world.kubelet.lose(pod)
    world.start_operator()
    conclude(world)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["KILLED", "FINISHED"]


def test_a_long_log_is_not_asked_for_by_a_million_lines(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.api.logs[pod] = b"a line of a common length, as most of those that trainings print have it\n" * 100_000
    world.kubelet.end(pod, 0)
    end_job(world, job)
    conclude(world)
    assert max(world.api.lines_read) <= SETTINGS.log_tail_bytes // 64 + 1


def test_what_a_kubelet_says_in_place_of_a_log_is_not_the_log(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.api.ask_to_delete(pod)
    world.deliver()
    world.clock.run_for(1)
    world.api.logs[pod] = (
        b'failed to try resolving symlinks in path "/var/log/pods/team_a/training/0.log": lstat: no such file'
    )
    world.kubelet.go_on_deleting(pod, 137)
    end_job(world, job)
    conclude(world)
    [kept] = [found for path, found in world.mlflow.artifacts.items() if path.endswith(f"log-{pod}.txt")]
    assert kept == f"log of {pod}".encode()


def test_a_log_of_short_lines_is_kept_as_far_as_any_other(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.api.logs[pod] = b"epoch 1\n" * (2 * SETTINGS.log_tail_bytes // 8)
    world.kubelet.end(pod, 0)
    end_job(world, job)
    conclude(world)
    [kept] = [found for path, found in world.mlflow.artifacts.items() if path.endswith(f"log-{pod}.txt")]
    assert len(kept) == SETTINGS.log_tail_bytes


def test_the_event_of_a_name_that_is_cut_at_a_dot_has_a_good_name(world: World) -> None:
    name = "a" * 199 + "." + "b" * 53
    world.apply(name, backoffLimit=0)
    for _ in range(4):
        world.flow()
    [job], [pod] = world.names(JOBS), world.names(PODS)
    world.kubelet.start(pod, Script.SILENT)
    world.kubelet.end(pod, 0)
    end_job(world, job)
    conclude(world)
    named = [event["metadata"]["name"] for event in world.api.events]
    assert named
    assert not [found for found in named if ".." in found]


def test_a_pod_that_never_had_a_node_has_no_log_rather_than_an_empty_one(world: World) -> None:
    job, pod = with_pod(world)
    world.api.ask_to_delete(pod)
    world.flow()
    world.kubelet.go_on_deleting(pod, 137)
    end_job(world, job)
    conclude(world)
    [kept] = [found for path, found in world.mlflow.artifacts.items() if path.endswith(f"log-{pod}.txt")]
    assert kept.startswith(f"There is no log of pod {pod}".encode())


def finished(world: World, **spec: object) -> dict[str, bytes]:
    """Bring a training to its end; return the artifacts of its run."""
    job, pod = with_pod(world, **spec)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.rest()
    assert condition_of(world.api.objects[RUNS, "a"], "Tracked")["status"] == "True"
    return dict(world.mlflow.artifacts)


def delete(world: World) -> None:
    world.api.remove(RUNS, "a")
    for _ in range(3):
        world.flow(20)
    world.rest()


@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("mode", ["Discover", "Assigned"])
def test_deleting_what_has_ended_leaves_its_record_alone(world: World, mode: str, is_seen: bool) -> None:  # noqa: FBT001
    kept = finished(world, tracking={"run": mode})
    runs = {run_id: dict(run["info"]) for run_id, run in world.mlflow.runs.items()}
    if not is_seen:
        world.operator.die()
        world.api.remove(RUNS, "a")
        world.start_operator()
    delete(world)
    assert world.mlflow.artifacts == kept
    assert {run_id: run["info"] for run_id, run in world.mlflow.runs.items()} == runs


def test_a_success_that_nobody_saw_is_a_success(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.operator.die()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    world.api.remove(PODS, pod)
    world.start_operator()
    conclude(world)
    assert [found["outcome"] for found in world.status("a")["attempts"]] == ["Succeeded"]
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["FINISHED"]


def test_a_pod_that_waited_for_its_image_does_not_end_the_one_that_trains(world: World) -> None:
    _, pod = with_pod(world, backoffLimit=2)
    world.kubelet.wait_for_image(pod)
    world.flow()
    world.kubelet.disrupt(pod)
    for _ in range(3):
        world.flow(20)
    [second] = [name for name in world.names(PODS) if name != pod]
    world.kubelet.start(second, Script.HONEST)
    for _ in range(20):
        world.flow(60)
    assert world.status("a")["phase"] == "Running"
    conclude(world)


@pytest.mark.parametrize("tag", ["runyard.dev/name", "runyard.dev/namespace", "runyard.dev/uid"])
def test_a_run_without_an_identity_keeps_no_sweep_from_its_work(world: World, tag: str) -> None:
    _, pod = with_pod(world)
    world.kubelet.start(pod, Script.SILENT)
    world.flow()
    [run] = world.mlflow.runs.values()
    odd = world.mlflow.start("team", {key: value for key, value in run["tags"].items() if key != tag})
    world.mlflow.start("team", {**run["tags"], "runyard.dev/name": "../../x", "runyard.dev/pod": "p"})
    late = world.mlflow.start("team", {**run["tags"], "runyard.dev/pod": "gone"})
    world.clock.run_for(400)
    assert world.mlflow.runs[late]["info"]["status"] == "KILLED"
    assert world.mlflow.runs[odd]["info"]["status"] == "RUNNING"
    check_always(world)


def test_an_edit_after_the_end_changes_nothing_of_what_was_told(world: World) -> None:
    finished(world)
    world.mlflow.runs.clear()
    before = world.status("a")
    world.api.update(RUNS, "a", {"status": {"conditions": _told_deleted(before)}})
    world.apply("a", backoffLimit=3)
    world.rest()
    assert condition_of(world.api.objects[RUNS, "a"], "Tracked")["reason"] == "RunDeleted"
    status = world.status("a")
    assert {status["observedGeneration"], *(found["observedGeneration"] for found in status["conditions"])} == {2}


def _told_deleted(status: Object) -> list[Object]:
    others = [found for found in status["conditions"] if found["type"] != "Tracked"]
    [tracked] = [found for found in status["conditions"] if found["type"] == "Tracked"]
    return [*others, {**tracked, "status": "False", "reason": "RunDeleted"}]


def test_a_log_that_was_stored_before_a_crash_is_not_replaced_by_a_sentence(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.HONEST)
    world.flow()
    world.kubelet.end(pod, 1)
    end_job(world, job)
    world.operator.to_api.expect(2, Fault.CRASH_BEFORE)  # pods are listed, the log is read; the status is not written
    world.deliver()
    world.clock.run_for(3)
    assert world.mlflow.artifacts
    world.api.remove(PODS, pod)
    world.start_operator()
    conclude(world)
    [kept] = [found for path, found in world.mlflow.artifacts.items() if path.endswith(f"log-{pod}.txt")]
    assert kept == f"log of {pod}".encode()


def test_a_run_that_was_assigned_to_what_never_began_is_killed_with_its_resource(world: World) -> None:
    world.apply("a", suspend=True, tracking={"run": "Assigned"})
    world.flow(5)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["SCHEDULED"]
    delete(world)
    assert [run["info"]["status"] for run in world.mlflow.runs.values()] == ["KILLED"]


def kill_at_the_making_of_a_run(world: World) -> None:
    """Have the next run asked for by an operator that dies then; another is there at once. The request comes late."""
    # Experiments are searched, this one is looked up and made, and then the run.
    world.operator.to_mlflow.expect(3, Fault.CRASH_LATE)
    world.deliver()
    world.clock.run_for(1)
    assert (world.living, world.mlflow.runs) == ([], {})
    world.start_operator()


def test_a_run_that_a_killed_operator_asked_for_is_waited_for(world: World) -> None:
    job, pod = with_pod(world)
    world.kubelet.start(pod, Script.NO_RUN)
    world.flow()
    world.kubelet.end(pod, 0)
    end_job(world, job)
    kill_at_the_making_of_a_run(world)
    world.flow(3)
    assert world.mlflow.runs == {}
    assert verdict_of(world.status("a"))[:2] == ("True", "Completed"), "the outcome waits for no run"
    world.flow(20)
    assert condition_of(world.api.objects[RUNS, "a"], "Tracked")["reason"] == "Recorded"
    assert len(world.mlflow.runs) == 1
    conclude(world)


def test_an_assigned_run_that_a_killed_operator_asked_for_is_waited_for(world: World) -> None:
    world.apply("a", backoffLimit=0, suspend=False, tracking={"run": "Assigned"})
    kill_at_the_making_of_a_run(world)
    world.flow(3)
    assert (world.mlflow.runs, world.names(JOBS)) == ({}, [])
    world.flow(30)
    assert len(world.mlflow.runs) == len(world.names(JOBS)) == 1
    conclude(world)


@pytest.mark.parametrize("lost", range(8))
def test_after_an_outage_the_metrics_are_the_last_attempts_whatever_request_is_lost(world: World, lost: int) -> None:
    """An earlier attempt is then recorded after the last one, whose run the status goes on telling of."""
    job, first = with_pod(world, backoffLimit=1)
    world.kubelet.start(first, Script.HONEST)
    world.flow()
    world.kubelet.end(first, 1)
    world.operator.to_mlflow.is_down = True
    for _ in range(20):
        world.flow(3)
    [second] = set(world.names(PODS)) - {first}
    world.kubelet.start(second, Script.HONEST)
    world.flow()
    world.kubelet.end(second, 0)
    end_job(world, job)
    for _ in range(6):
        world.flow(3)
    world.operator.to_mlflow.is_down = False
    world.operator.to_mlflow.expect(lost, Fault.TIMED_OUT)
    world.rest()
    check_at_rest(world)
    status = world.status("a")
    [run] = world.mlflow.tagged(POD_TAG, status["attempts"][-1]["uid"])
    assert status["tracking"]["runId"] == run["info"]["run_id"]
    assert status["tracking"]["url"].endswith(run["info"]["run_id"])
    assert float(status["metrics"]["loss"]) == run["metrics"]["loss"]
