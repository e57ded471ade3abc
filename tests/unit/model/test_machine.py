"""Any order of deeds and faults: the operator never contradicts itself, and in the end says what happened."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.model.apiserver import JOBS, KINDS, PODS, RUNS, Object, verdict_of
from tests.unit.model.process import Operator
from tests.unit.model.truths import check_always, check_at_rest, check_finished
from tests.unit.model.wire import Fault, Line
from tests.unit.model.workloads import Script, is_leaving
from tests.unit.model.world import World

T = TypeVar("T")

EXAMPLES = os.environ.get("RUNYARD_MODEL_EXAMPLES")

numbers = st.integers(0, 7)
faults = st.sampled_from(Fault)


def consistent(spec: Object) -> Object:
    """Return a spec as the API server lets it through."""
    return {**spec, "suspend": spec["suspend"] and not spec["queueName"]}


specs = st.fixed_dictionaries(
    {
        "backoffLimit": st.integers(0, 2),
        "activeDeadlineSeconds": st.sampled_from([None, None, 100]),
        "ttlSecondsAfterFinished": st.sampled_from([None, None, 0, 60]),
        "suspend": st.sampled_from([False, False, False, True]),
        "tracking": st.sampled_from([{}, {}, {"run": "Assigned"}, {"requireMetrics": ["loss"]}]),
        "queueName": st.sampled_from([None, None, None, "team"]),
        "parameters": st.sampled_from([{}, {"rate": 0.1}]),
    }
).map(consistent)
FIXED = {"tracking", "queueName"}  # as the API server has it
DISRUPTIONS = ("EvictionByEvictionAPI", "PreemptionByScheduler", "DeletionByTaintManager")
scripts = st.sampled_from(Script)
ends = st.sampled_from([(0, ""), (0, ""), (1, ""), (3, ""), (137, "OOMKilled")])


class Machine(RuleBasedStateMachine):
    """Rules take numbers and choose by them from what there is, so that every one of them can nearly always be used."""

    done: ClassVar[Counter[str]] = Counter()
    """What was done in all lives so far."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.most_operators = 1
        self.endings: list[tuple[Script, tuple[int, str]]] = []
        self.deleted_last: int | None = None

    @initialize(
        most_operators=st.sampled_from([1, 1, 1, 2]),
        endings=st.lists(st.tuples(scripts, ends), max_size=8),
        spec=specs,
        planned=st.lists(st.tuples(st.booleans(), st.integers(0, 12), faults), max_size=2),
        deleted_last=st.one_of(st.none(), numbers),
    )
    def begin(
        self,
        most_operators: int,
        endings: list[tuple[Script, tuple[int, str]]],
        spec: Object,
        planned: list[tuple[bool, int, Fault]],
        deleted_last: int | None,
    ) -> None:
        self.most_operators, self.endings, self.deleted_last = most_operators, endings, deleted_last
        self.world.start_foreign_runs()
        operator = self.world.start_operator()
        for to_mlflow, after_calls, fault in planned:
            self._line(operator, to_mlflow=to_mlflow).expect(after_calls, fault)
        self.world.apply("a", **spec)

    # What goes on by itself

    @rule(seconds=st.sampled_from([0.6, 2.5, 11.0]), times=st.integers(1, 3))
    def flow(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.world.flow(seconds)

    @rule(seconds=st.sampled_from([0.6, 11.0]), script=scripts, end=ends)
    def flow_with_pods(self, seconds: float, script: Script, end: tuple[int, str]) -> None:
        self._flow_with_pods(seconds, script, end)

    def _flow_with_pods(self, seconds: float, script: Script, end: tuple[int, str]) -> None:
        self.world.admit()
        self.world.flow(seconds)
        for name in self.names(PODS):
            self._go_on(name, script, end)
        self.world.flow(seconds)

    @precondition(lambda self: self.names(JOBS))
    @rule(which=numbers, times=st.integers(1, 3))
    def sync_job(self, which: int, times: int) -> None:
        name = pick(self.names(JOBS), which)
        for _ in range(times):
            self.world.controller.sync(name)

    @precondition(lambda self: self.names(PODS))
    @rule(which=numbers, script=scripts, end=ends)
    def go_on(self, which: int, script: Script, end: tuple[int, str]) -> None:
        self._go_on(pick(self.names(PODS), which), script, end)

    def _go_on(self, name: str, script: Script, end: tuple[int, str]) -> None:
        """Take the next step of a pod's life."""
        pod = self.world.api.objects[PODS, name]
        if pod["status"]["phase"] == "Pending" and not is_leaving(pod):
            self.world.kubelet.start(name, script)
        elif pod["status"]["phase"] == "Running" and (not is_leaving(pod) or end[1] == "OOMKilled"):
            self.world.kubelet.end(name, *end)
        else:
            self.world.kubelet.go_on_deleting(name, end[0])

    @rule(seconds=st.sampled_from([0.6, 2.5, 11.0, 45.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.clock.run_for(seconds)

    # What people do

    @rule(name=st.sampled_from(["a", "b"]), spec=specs)
    def apply(self, name: str, spec: Object) -> None:
        if name in self.names(RUNS):
            spec = {key: value for key, value in spec.items() if key not in FIXED}
            spec |= {"suspend": spec["suspend"] and not self._is_queued(name)}
        self.world.apply(name, **spec)

    @precondition(lambda self: self.names(RUNS))
    @rule(which=numbers, suspend=st.booleans())
    def suspend(self, which: int, suspend: bool) -> None:  # noqa: FBT001
        name = pick(self.names(RUNS), which)
        self.world.apply(name, suspend=suspend and not self._is_queued(name))

    def _is_queued(self, name: str) -> bool:
        return bool(self.world.api.objects[RUNS, name]["spec"].get("queueName"))

    @precondition(lambda self: self._runs())
    @rule(which=numbers, is_deleted=st.booleans())
    def delete_run(self, which: int, is_deleted: bool) -> None:  # noqa: FBT001
        self.world.mlflow.set_deleted(pick(self._runs(), which), is_deleted=is_deleted)

    def _runs(self) -> list[str]:
        """Return the runs that somebody may delete: what is in a deleted experiment comes back with it."""
        mlflow = self.world.mlflow
        gone = {mlflow.experiments[name] for name in mlflow.deleted_experiments}
        mine = mlflow.runs.keys() - self.world.foreign.keys()
        return sorted(run_id for run_id in mine if mlflow.runs[run_id]["info"]["experiment_id"] not in gone)

    @rule(which=numbers, is_deleted=st.booleans())
    def delete_experiment(self, which: int, is_deleted: bool) -> None:  # noqa: FBT001
        names = [name for name in self.world.mlflow.experiments if name != "foreign"]
        if names:
            self.world.mlflow.set_experiment_deleted(pick(names, which), is_deleted=is_deleted)

    @precondition(lambda self: self.names(RUNS))
    @rule(which=numbers, collect=st.booleans())
    def delete_resource(self, which: int, collect: bool) -> None:  # noqa: FBT001
        self.world.api.remove(RUNS, pick(self.names(RUNS), which))
        if collect:
            self.world.api.collect_garbage()

    # Two operators that do not know of each other can be caught between a read and a write; a Lease keeps them apart.
    @precondition(lambda self: self.names(JOBS) and (len(self.operators) < 2 or all(o.is_idle for o in self.operators)))
    @rule(which=numbers, collect=st.booleans())
    def delete_job(self, which: int, collect: bool) -> None:  # noqa: FBT001
        self.world.api.remove(JOBS, pick(self.names(JOBS), which))
        if collect:
            self.world.api.collect_garbage()

    # What the cluster does to pods

    @precondition(lambda self: self.names(PODS))
    @rule(which=numbers, how=st.sampled_from(["image", "image", "no node", "delete", "evict", "lose", *DISRUPTIONS]))
    def disturb_pod(self, which: int, how: str) -> None:
        name = pick(self.names(PODS), which)
        phase = self.world.api.objects[PODS, name]["status"]["phase"]
        if how == "image" and phase == "Pending":
            self.world.kubelet.wait_for_image(name)
        elif how == "delete":
            self.world.api.ask_to_delete(name)
        elif how == "no node" and phase == "Pending":
            self.world.kubelet.find_no_node(name)
        elif how in DISRUPTIONS:
            self.world.kubelet.disrupt(name, how)
        elif how == "evict" and phase == "Running":
            self.world.kubelet.end(name, 137, evicted=True)
        elif how == "lose":
            self.world.kubelet.lose(name)

    # What the operator sees, and when

    @precondition(lambda self: self.operators)
    @rule(which=numbers, kind=st.sampled_from(KINDS), limit=st.sampled_from([None, None, 1]))
    def deliver(self, which: int, kind: str, limit: int | None) -> None:
        pick(self.operators, which).deliver(kind, limit)

    @precondition(lambda self: self.operators)
    @rule(which=numbers, kind=st.sampled_from(KINDS), how=st.sampled_from(["repeat", "lose"]))
    def spoil_watch(self, which: int, kind: str, how: str) -> None:
        operator = pick(self.operators, which)
        if how == "repeat":
            operator.repeat(kind)
        else:
            self.world.lose_watch(operator, kind)

    # What goes wrong

    @precondition(lambda self: self.operators)
    @rule(which=numbers, to_mlflow=st.booleans(), after_calls=numbers, fault=faults)
    def expect_fault(self, which: int, to_mlflow: bool, after_calls: int, fault: Fault) -> None:  # noqa: FBT001
        self._line(pick(self.operators, which), to_mlflow=to_mlflow).expect(after_calls, fault)

    @rule(is_down=st.booleans())
    def mlflow_outage(self, is_down: bool) -> None:  # noqa: FBT001
        self.world.set_mlflow_down(is_down)

    @rule(is_down=st.booleans())
    def artifact_outage(self, is_down: bool) -> None:  # noqa: FBT001
        self.world.mlflow.is_store_down = is_down

    @precondition(lambda self: self.operators)
    @rule(which=numbers, restart=st.booleans())
    def kill_operator(self, which: int, restart: bool) -> None:  # noqa: FBT001
        pick(self.operators, which).die()
        if restart:
            self.world.start_operator()

    @precondition(lambda self: len(self.operators) < self.most_operators)
    @rule()
    def start_operator(self) -> None:
        self.world.start_operator()

    # What is true

    @invariant()
    def nothing_is_broken(self) -> None:
        self._check()

    def _check(self) -> None:
        check_always(self.world)

    def teardown(self) -> None:
        with self.world as world:
            # Few orders of rules bring trainings to their ends; the faults that are still to come meet these.
            for script, end in self.endings:
                if not self.operators:
                    world.start_operator()
                self._flow_with_pods(2.5, script, end)
                self._check()
            world.end_faults()
            world.rest()
            check_at_rest(world)
            world.finish()
            if self.deleted_last is not None and self._runs():
                self.delete_run(self.deleted_last, is_deleted=True)
                world.rest()
            check_finished(world)
            self.done.update(done(world))

    def names(self, kind: str) -> list[str]:
        return self.world.names(kind)

    @property
    def operators(self) -> list[Operator]:
        return self.world.living

    def _line(self, operator: Operator, *, to_mlflow: bool) -> Line:
        return operator.to_mlflow if to_mlflow else operator.to_api


def done(world: World) -> Counter[str]:
    """Count what happened in a life that was seen to its end."""
    found = Counter({"lives": 1, "operators": len(world.operators)})
    for operator in world.operators:
        found.update(f"fault: {fault.name}" for line in (operator.to_api, operator.to_mlflow) for fault in line.struck)
    for body in world.api.last.values():
        if body["kind"] == RUNS:
            outcome, reason, _ = verdict_of(body.get("status") or {})
            is_gone = world.api.of_uid(body["metadata"]["uid"]) is None
            found[f"training: {'deleted, ' if is_gone else ''}Succeeded={outcome}, {reason or 'not begun'}"] += 1
    found["Jobs"] = sum(world.api.jobs_created.values())
    found["MLflow runs"] = len(world.mlflow.runs) - len(world.foreign)
    found["MLflow runs that somebody deleted"] = len(world.mlflow.once_deleted)
    return found


def pick(items: Sequence[T], number: int) -> T:
    """Return one of a list."""
    return items[number % len(items)]


class TestMachine(Machine.TestCase):  # type: ignore[valid-type,misc]
    """The same lives each time, or as many by chance as `make model` asks for."""

    @classmethod
    def tearDownClass(cls) -> None:
        """Say what was done, to whoever looks."""
        print("\n".join(f"{what}: {number}" for what, number in sorted(Machine.done.items())))  # noqa: T201


TestMachine.settings = settings(
    max_examples=int(EXAMPLES or 200),
    stateful_step_count=40,
    deadline=None,
    derandomize=not EXAMPLES,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
