"""The MLflow run above a sweep's trials: made once, and ended as the sweep does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runyard.api.outcome import Phase, TrackingStatus
from runyard.api.pruning import MOST_STEPS, History
from runyard.api.records import (
    BEST_RUN_TAG,
    MADE_TAG,
    SWEEP,
    SWEEP_INSTALLATION_TAG,
    SWEEP_NAMESPACE_TAG,
    SWEEP_TAG,
    SWEEP_UID_TAG,
    Run,
    RunStatus,
    primary,
)
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator.objects import Key
from runyard_operator.tracking import API, MAY_STILL_COME, MayStillCome, Tracking, TrackingError, to_tags

_NOTE_TAG = "mlflow.note.content"
_RUNS_AT_ONCE = 100
_ENDS = {Phase.SUCCEEDED: RunStatus.FINISHED, Phase.FAILED: RunStatus.FAILED}


@dataclass
class Parents:
    """The runs of sweeps. Every failure to reach MLflow is a `TrackingError`."""

    tracking: Tracking
    installation: str
    now: Callable[[], datetime]
    late_for: Callable[[], timedelta]
    """How long what an earlier operator asked MLflow for may still come."""
    _asked_at: dict[Key, datetime] = field(default_factory=dict)
    """When a run was to be made, and no answer came."""

    async def ensure(self, key: Key, sweep: TrainingSweep) -> TrackingStatus:
        """Return the sweep's run; made if it is not there."""
        found = await self._found(key, sweep)
        if found is None:
            found = await self._made(key, sweep)
        return TrackingStatus(experiment_id=found.experiment_id, run_id=found.id, url=self.tracking.url_of(found))

    async def end(self, key: Key, sweep: TrainingSweep) -> bool:
        """Have the sweep's run say how the sweep ended; without a phase it was killed. Return whether it is there."""
        found = await self._found(key, sweep)
        if found is None:
            return False
        best, phase = sweep.status.best, sweep.status.phase
        wanted = _ENDS.get(phase, RunStatus.KILLED) if phase else RunStatus.KILLED
        if best:
            metric = sweep.spec.objective.metric
            said = f"Best of {sweep.status.progress} trials by {metric}: {best.trial}"
            tags = {BEST_RUN_TAG: best.run_id or "", _NOTE_TAG: said}
            moment = int(self.now().timestamp() * 1000)
            logged = {"key": metric, "value": float(best.value), "timestamp": moment, "step": 0}
            batch = {"run_id": found.id, "tags": to_tags(tags), "metrics": [logged]}
            await self.tracking.call("POST", f"{API}/runs/log-batch", json=batch)  # type: ignore[arg-type]
        await self.close(found, wanted)
        return True

    async def close(self, run: Run, status: RunStatus) -> None:
        """End a run."""
        if run.status is status:
            return
        ended = int(self.now().timestamp() * 1000)
        body = {"run_id": run.id, "status": status.value, "end_time": ended}
        await self.tracking.call("POST", f"{API}/runs/update", json=body)  # type: ignore[arg-type]

    async def open_runs(self) -> list[Run]:
        """Find the runs of all sweeps of this operator that MLflow takes to be going on."""
        marks = {SWEEP_INSTALLATION_TAG: self.installation, MADE_TAG: SWEEP}
        return await self.tracking.search(f"{_all(marks)} AND attributes.status = '{RunStatus.RUNNING}'")

    async def histories(self, run_ids: Sequence[str], metric: str) -> dict[str, History]:
        """Return what runs logged of a metric, at no more steps than are looked at."""
        logged: dict[str, dict[int, float]] = {run_id: {} for run_id in run_ids}
        for first in range(0, len(run_ids), _RUNS_AT_ONCE):
            asked = [("run_ids", run_id) for run_id in run_ids[first : first + _RUNS_AT_ONCE]]
            asked += [("metric_key", metric), ("max_results", str(MOST_STEPS))]
            answer = await self.tracking.call("GET", f"{API}/metrics/get-history-bulk-interval", params=asked)
            for found in answer.get("metrics", []):
                logged[found["run_id"]][int(found.get("step", 0))] = float(found["value"])
        return {run_id: History.of(steps) for run_id, steps in logged.items()}

    def forget(self, key: Key) -> None:
        """Forget a sweep that has ended."""
        self._asked_at.pop(key, None)

    async def _found(self, key: Key, sweep: TrainingSweep) -> Run | None:
        known = sweep.status.tracking.run_id if sweep.status.tracking else None
        if known and (found := await self.tracking.live_run(known)):
            return found
        # By its name too: a UID is a tag that anybody can read and write.
        runs = await self.tracking.search(_all({SWEEP_UID_TAG: key.uid, MADE_TAG: SWEEP}))
        named = {SWEEP_NAMESPACE_TAG: key.namespace, SWEEP_TAG: key.name}
        return primary([run for run in runs if named.items() <= run.tags.items()])

    async def _made(self, key: Key, sweep: TrainingSweep) -> Run:
        """Make the run, unless one was asked for a moment ago that may come yet."""
        of_ours = self._asked_at[key] + MAY_STILL_COME - self.now() if key in self._asked_at else timedelta(0)
        if (pause := max(of_ours, self.late_for())) > timedelta(0):
            raise MayStillCome(pause)
        tags = {
            MADE_TAG: SWEEP,
            SWEEP_UID_TAG: key.uid,
            SWEEP_TAG: key.name,
            SWEEP_NAMESPACE_TAG: key.namespace,
            SWEEP_INSTALLATION_TAG: self.installation,
        }
        try:
            found = await self.tracking.create_run(sweep.experiment, key.name, tags, self.now())
        except TrackingError as error:
            if error.may_be_done:
                self._asked_at[key] = self.now()
            raise
        self._asked_at.pop(key, None)
        return found


def sweep_of(run: Run) -> Key | None:
    """Return the sweep that a run says it is of; None where its tags name none."""
    namespace, name, uid = (run.tags.get(tag, "") for tag in (SWEEP_NAMESPACE_TAG, SWEEP_TAG, SWEEP_UID_TAG))
    return Key(namespace, name, uid) if namespace and name and uid else None


def _all(tags: Mapping[str, str]) -> str:
    return " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())
