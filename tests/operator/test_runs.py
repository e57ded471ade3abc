"""Runs that are left open, deleted or nobody's: MLflow is brought to say what is so."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.operator.actors import Actors, condition, installation_of, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for


def succeed(actors: Actors, pod: dict[str, Any]) -> None:
    """Bring the TrainingRun `a` to its end."""
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    actors.wait_for_phase("a", "Succeeded")


def has_finished(run: Callable[[], dict[str, Any]]) -> bool:
    return bool(run()["info"]["status"] == "FINISHED")


def test_a_run_that_is_left_open_after_all_is_closed_by_a_sweep(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    run_id = start_run(mlflow, pod)
    succeed(actors, pod)
    late = start_run(mlflow, pod, installation=installation_of(actors.wait_for_job("a")))

    wait_for("the late run is closed", lambda: mlflow.run(late)["info"]["status"] == "FINISHED")

    assert mlflow.run(run_id)["info"]["status"] == "FINISHED"


def test_a_run_of_a_pod_that_nobody_saw_is_closed_by_a_sweep(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    succeed(actors, pod)
    unseen = {**pod, "metadata": {**pod["metadata"], "uid": "came-and-went"}}
    run_id = start_run(mlflow, unseen, installation=installation_of(actors.wait_for_job("a")))

    wait_for("the run is closed", lambda: mlflow.run(run_id)["info"]["status"] == "KILLED")

    assert tags_of(mlflow.run(run_id))["runyard.dev/reason"] == "PodDeleted"


def test_a_sweep_leaves_runs_alone_that_are_not_its_installations(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    succeed(actors, pod)
    mine = installation_of(actors.wait_for_job("a"))
    labels = {**pod["metadata"]["labels"], "runyard.dev/uid": "of-another"}
    others = {**pod, "metadata": {**pod["metadata"], "uid": "pod-of-another", "labels": labels}}
    foreign = [
        start_run(mlflow, others, installation="another"),
        start_run(mlflow, others),  # of a laptop, or of somebody who copied tags
        mlflow.call("mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"],
    ]
    before = [mlflow.run(run_id) for run_id in foreign]

    # The second is begun after the first was closed: one whole sweep lies between.
    for _ in range(2):
        late = partial(mlflow.run, start_run(mlflow, pod, installation=mine))
        wait_for("a sweep closes what is its own", partial(has_finished, late))

    assert [mlflow.run(run_id) for run_id in foreign] == before
    assert {run["info"]["status"] for run in before} == {"RUNNING"}


def test_a_run_that_is_deleted_in_mlflow_is_told_and_so_is_its_return(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    run_id = start_run(mlflow, pod)
    succeed(actors, pod)

    def tracked() -> str:
        found: str = condition(actors.get("trainingrun", "a")["status"], "Tracked")["reason"]
        return found

    mlflow.call("mlflow/runs/delete", {"run_id": run_id})
    wait_for("the resource says so", lambda: tracked() == "RunDeleted")
    mlflow.call("mlflow/runs/restore", {"run_id": run_id})
    wait_for("the resource says that it is back", lambda: tracked() == "Recorded")


def test_an_experiment_that_is_deleted_is_told_until_it_is_restored(
    actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]
) -> None:
    experiment = mlflow.call("mlflow/experiments/create", {"name": f"deleted {actors.namespace}"})["experiment_id"]
    mlflow.call("mlflow/experiments/delete", {"experiment_id": experiment})
    actors.apply("b", experiment=f"deleted {actors.namespace}")
    job = actors.wait_for_job("b")
    second = actors.create_pod(job, "one")
    actors.end_pod(second, 0)
    actors.end_job(job, "Complete")

    def tracked() -> dict[str, str] | None:
        found = condition(actors.get("trainingrun", "b").get("status", {}), "Tracked")
        return found if found["status"] == "False" else None

    found = wait_for("the resource says so", tracked)
    actors.end_pod(pod, 0)
    actors.end_job(actors.wait_for_job("a"), "Complete")
    actors.wait_for_phase("a", "Succeeded")  # another training is not held up

    assert tracked() == found
    assert found["reason"] == "ExperimentDeleted"
    assert found["message"] == (
        f'the experiment "deleted {actors.namespace}" is deleted in MLflow, and the run of this training is still to '
        f"be made there: restore it (mlflow experiments restore --experiment-id {experiment})"
    )
    assert condition(actors.get("trainingrun", "b")["status"], "Succeeded")["status"] == "True"
    mlflow.call("mlflow/experiments/restore", {"experiment_id": experiment})
    status = actors.wait_for_phase("b", "Succeeded")
    assert mlflow.run(status["tracking"]["runId"])["info"]["experiment_id"] == experiment


def test_deleting_the_resource_kills_its_open_runs(actors: Actors, mlflow: MlflowRest, pod: dict[str, Any]) -> None:
    run_id = start_run(mlflow, pod)
    actors.delete("trainingrun", "a")
    # The garbage collector's part.
    actors.delete("job", actors.items("jobs")[0]["metadata"]["name"])
    actors.delete("pod", pod["metadata"]["name"])

    wait_for("the run is killed", lambda: mlflow.run(run_id)["info"]["status"] == "KILLED")

    tags = tags_of(mlflow.run(run_id))
    assert (tags["runyard.dev/outcome"], tags["runyard.dev/reason"]) == ("Cancelled", "Cancelled")
