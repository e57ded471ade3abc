"""All of the model together, the moves that a test makes in it, and how it comes to rest."""

import copy
from types import TracebackType
from typing import Any, Self

from runyard.api.records import INSTALLATION_TAG, NAME_TAG, NAMESPACE_TAG, POD_TAG, UID_TAG
from runyard_operator.jobs import QUEUE_LABEL
from tests.unit.model.apiserver import JOBS, KINDS, NAMESPACE, PODS, RUNS, ApiServer, Object, training_run
from tests.unit.model.clock import Clock
from tests.unit.model.mlflow import Mlflow
from tests.unit.model.process import Operator
from tests.unit.model.workloads import JobController, Kubelet, Script, is_finished, is_leaving

_ROUNDS = 60
_ROUND_SECONDS = 160.0
# What is quiet is so for longer than any pause of the operator's: what went without a word it finds after five minutes,
# in its next look, which is two minutes later at most.
_QUIET_ROUNDS = 3
_TERMINATED = 143


class World:
    """A cluster, MLflow, and any number of operator processes; none at first."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.api = ApiServer(self.clock)
        self.mlflow = Mlflow(self.clock)
        self.controller = JobController(self.api, self.clock)
        self.kubelet = Kubelet(self.api, self.clock, self.mlflow, self.controller)
        self.operators: list[Operator] = []
        self.two_at_once = False
        self.foreign: dict[str, Object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for operator in self.operators:
            operator.die()
        self.clock.end()

    @property
    def living(self) -> list[Operator]:
        return [operator for operator in self.operators if not operator.is_dead]

    @property
    def operator(self) -> Operator:
        """The one that was started last and lives."""
        return self.living[-1]

    def names(self, kind: str) -> list[str]:
        return [name for of, name in sorted(self.api.objects) if of == kind]

    def start_operator(self) -> Operator:
        self.two_at_once = self.two_at_once or bool(self.living)
        has_lease, is_first = lambda: not self.two_at_once, not self.operators
        self.operators.append(Operator(self.clock, self.api, self.mlflow, has_lease, is_first=is_first))
        self.clock.run_for(0)
        return self.operator

    def apply(self, name: str, **spec: Any) -> Object:
        """Create a TrainingRun, or change its spec."""
        found = self.api.update(RUNS, name, {"spec": spec}) or self.api.create(RUNS, training_run(name, spec))
        self.clock.run_for(0)
        return found

    def status(self, name: str) -> Object:
        found: Object = self.api.objects[RUNS, name].get("status", {})
        return found

    def set_mlflow_down(self, is_down: bool) -> None:  # noqa: FBT001 a switch
        self.kubelet.mlflow_is_down = is_down
        for operator in self.operators:  # also of what the dead have asked for
            operator.to_mlflow.is_down = is_down

    def start_foreign_runs(self) -> None:
        """Have runs in MLflow that are nobody's here, and never end: another installation's, and one without tags."""
        another = {INSTALLATION_TAG: "another", NAMESPACE_TAG: NAMESPACE, NAME_TAG: "a", UID_TAG: "x", POD_TAG: "x"}
        for tags in (another, {}):
            run_id = self.mlflow.start("foreign", tags)
            self.foreign[run_id] = copy.deepcopy(self.mlflow.runs[run_id])

    def admit(self) -> None:
        """Let in what waits in a queue, as Kueue does."""
        for name in self.names(JOBS):
            if QUEUE_LABEL in self.api.objects[JOBS, name]["metadata"]["labels"]:
                self.api.update(JOBS, name, {"spec": {"suspend": False}})

    def lose_watch(self, operator: Operator, kind: str) -> None:
        """Have a watch expire: what it had not delivered is lost, deletions for good."""
        operator.list_anew(kind)

    def deliver(self) -> int:
        """Hand every waiting event to its operator."""
        return sum(operator.deliver(kind) for operator in self.living for kind in KINDS)

    def flow(self, seconds: float = 1) -> None:
        """Let everything go on for a moment as it should: events come, controllers look."""
        self.deliver()
        self.api.collect_garbage()
        for name in self.names(JOBS):
            self.controller.sync(name)
        for name in self.names(PODS):
            self.kubelet.go_on_deleting(name, _TERMINATED)
        self.deliver()
        self.clock.run_for(seconds)

    def end_faults(self) -> None:
        """Leave one operator, a line without faults, and an MLflow that answers."""
        for operator in self.living[:-1]:
            operator.die()
        if not self.living:
            self.start_operator()
        self.set_mlflow_down(False)
        self.mlflow.is_store_down = False
        for name in [*self.mlflow.deleted_experiments]:
            self.mlflow.set_experiment_deleted(name, is_deleted=False)
        for line in (self.operator.to_api, self.operator.to_mlflow):
            line.plan.clear()
            line.is_down = False

    def rest(self) -> None:
        """Let everything go on until nothing changes any more.

        Raises:
            AssertionError: it does not come to rest.

        """
        quiet, marks = 0, self._marks()
        for _ in range(_ROUNDS):
            self.flow(_ROUND_SECONDS)
            before, marks = marks, self._marks()
            quiet = quiet + 1 if before == marks else 0
            if quiet == _QUIET_ROUNDS:
                return
        raise AssertionError(f"no rest: {before} became {marks}")

    def finish(self) -> None:
        """Have every training end well that has not ended, and come to rest."""
        for _ in range(_ROUNDS):
            self.admit()
            for name in self.names(RUNS):
                self.apply(name, suspend=False)
            going = [name for name in self.names(PODS) if not is_leaving(self.api.objects[PODS, name])]
            for name in going:
                phase = self.api.objects[PODS, name]["status"]["phase"]
                if phase == "Pending":
                    self.kubelet.start(name, Script.SILENT)
                elif phase == "Running":
                    self.kubelet.end(name, 0)
            self.flow(5)
            if all(is_finished(self.api.objects[JOBS, name]) for name in self.names(JOBS)):
                break
        self.rest()

    def _marks(self) -> tuple[object, ...]:
        writes = [operator.to_api.writes for operator in self.operators]
        return self.api.version, self.mlflow.changes, writes
