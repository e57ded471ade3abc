"""Asking MLflow how trials are doing, and which of them are to end: beside the event loop where it is work."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from runyard.api.pruning import MOST_HISTORIES, History, to_prune
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import TrainingSweep
from runyard_operator.objects import Key
from runyard_operator.trainingsweeps.parents import Parents
from runyard_operator.trainingsweeps.sight import Child


@dataclass
class Pruner:
    """Keeps what ended trials logged, of each sweep no more than is looked at."""

    parents: Parents
    _ended: dict[Key, dict[str, History]] = field(default_factory=dict)

    async def chosen(self, key: Key, sweep: TrainingSweep, children: Mapping[int, Child]) -> dict[int, str]:
        """Return the trials to end, by index, with why.

        Raises:
            TrackingError: MLflow does not answer.

        """
        asked = sweep.spec.pruning
        going_on = {
            child.trial.run_id: index
            for index, child in children.items()
            if child.trial.state is TrialState.RUNNING and child.trial.run_id and not child.is_told_to_end
        }
        if asked is None or not going_on:
            return {}
        metric, direction = sweep.spec.objective.metric, sweep.spec.objective.wanted
        ended = await self._of_ended(key, metric, [child.trial for child in children.values()])
        logged = await self.parents.histories([*going_on], metric)
        running = {going_on[run_id]: history for run_id, history in logged.items()}
        return await asyncio.to_thread(to_prune, running, ended, asked, direction)

    def forget(self, key: Key) -> None:
        """Forget a sweep that has ended."""
        self._ended.pop(key, None)

    async def _of_ended(self, key: Key, metric: str, trials: list[Trial]) -> list[History]:
        succeeded = [trial.run_id for trial in trials if trial.state is TrialState.SUCCEEDED and trial.run_id]
        known, wanted = self._ended.get(key, {}), succeeded[-MOST_HISTORIES:]
        missing = [run_id for run_id in wanted if run_id not in known]
        new = await self.parents.histories(missing, metric) if missing else {}
        self._ended[key] = kept = {run_id: known[run_id] if run_id in known else new[run_id] for run_id in wanted}
        return [*kept.values()]
