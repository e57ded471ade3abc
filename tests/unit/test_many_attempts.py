"""Pods that are replaced again and again: each is counted once, however often it is looked at."""

from hypothesis import given
from hypothesis import strategies as st

from runyard.api.facts import JobFacts, JobState, TrackingFacts
from runyard.api.status import assemble
from runyard.api.trainingrun import TrainingRun
from runyard_operator.attempts import observed
from runyard_operator.objects import INDEX_ANNOTATION, Pod
from tests.support.factories import at, job, pod, running, terminated, training_run

# Which worker's pod fails, whether MLflow agrees with it at once, and whether the pods that ended are removed.
failures = st.tuples(st.integers(0, 5), st.booleans(), st.booleans())


def pod_of(worker: int, number: int, made: int, ended: int | None = None) -> Pod:
    """Return a worker's pod; times are seconds."""
    training = running() if ended is None else terminated(1, started=made + 1, ended=ended)
    found = pod(
        f"wine-{worker}-{number}", "Running" if ended is None else "Failed", created=at(made), containers=[training]
    )
    index = {INDEX_ANNOTATION: str(worker)}
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"annotations": index})})


def looked_at(run: TrainingRun, pods: list[Pod], told: set[str], seconds: int) -> TrainingRun:
    """Return the resource with its status after a look."""
    found = [
        each.model_copy(update={"recorded_at": at(seconds)})
        if each.outcome.is_final and not each.recorded_at and each.uid in told
        else each
        for each in observed(pods, run.status, job(), at(seconds))
    ]
    status = assemble(run, JobFacts(state=JobState.RUNNING), found, TrackingFacts(), at(seconds))
    return run.model_copy(update={"status": status})


@given(st.integers(2, 6), st.lists(failures, min_size=9, max_size=40))
def test_of_workers_each_pod_is_counted_once(workers: int, failed: list[tuple[int, bool, bool]]) -> None:
    run, now, told = training_run(workers=workers), 0, set[str]()
    pods = {worker: [pod_of(worker, 0, worker // 3)] for worker in range(workers)}
    made = {worker: worker // 3 for worker in range(workers)}
    numbers = dict.fromkeys(range(workers), 0)

    def all_pods() -> list[Pod]:
        return [each for mine in pods.values() for each in mine]

    run = looked_at(run, all_pods(), told, now)
    for which, is_told, are_gone in failed:
        now, worker = now + 20, which % workers
        pods[worker][-1] = pod_of(worker, numbers[worker], made[worker], ended=now - 5)
        if is_told:
            told |= {each.metadata.uid for each in all_pods()}
        run = looked_at(run, all_pods(), told, now)
        numbers[worker], made[worker] = numbers[worker] + 1, now
        pods[worker] = [*([] if are_gone else pods[worker]), pod_of(worker, numbers[worker], now)]
        run = looked_at(run, all_pods(), told, now + 3)
    for later in range(3):
        again = looked_at(run, all_pods(), told, now + 5)
        assert again.status.attempt_count == workers + len(failed), f"look {later}"
        assert later == 0 or again.status == run.status
        run = again
