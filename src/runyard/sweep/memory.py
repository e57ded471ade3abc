"""What MLflow knows of a sweep: the run above all trials, and what became of each trial.

Nothing else is kept: a sweep that was killed at any moment goes on from this.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from pydantic import JsonValue

from runyard.api.container import USAGE_ERRORS
from runyard.api.model import JsonObject
from runyard.api.outcome import Attempt, Outcome, Phase, Reason
from runyard.api.pruning import History
from runyard.api.records import (
    BEST_RUN_TAG,
    EXIT_CODE_TAG,
    MADE_TAG,
    OUTCOME_TAG,
    PARENT_TAG,
    POD_TAG,
    REASON_TAG,
    SWEEP,
    SWEEP_NAMESPACE_TAG,
    SWEEP_TAG,
    SWEEP_UID_TAG,
    TRIAL_TAG,
    Run,
    RunStatus,
    corrections,
    final_status,
    primary,
)
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import SWEEP_MUTABLE, TrainingSweep
from runyard.tracking import Store

_NOTE_TAG = "mlflow.note.content"


@dataclass
class Memory:
    """One sweep in one MLflow."""

    store: Store
    sweep: TrainingSweep
    parent: Run

    def trials(self, tried: Callable[[int], Mapping[str, JsonValue]]) -> dict[int, Trial]:
        """Return the trials that have ended, by index, and close the runs of those that were interrupted.

        Args:
            tried: what a trial is tried with, by its index.

        """
        by_trial: dict[int, list[Run]] = defaultdict(list)
        for found in self._children():
            if (label := found.tags.get(TRIAL_TAG, "")).isdecimal():
                by_trial[int(label)].append(found)
        # Also of those that were interrupted: what is begun anew is begun with the same.
        ended = {index: self._ended(index, runs, tried(index)) for index, runs in by_trial.items()}
        for index, runs in by_trial.items():
            self._close(runs, is_over=ended[index] is not None)
        return {index: trial for index, trial in ended.items() if trial}

    def begin_again(self) -> None:
        """Say of the parent that it goes on."""
        if not self.parent.status.is_open:
            self.store.reopen(self.parent)

    def end(self, sweep: TrainingSweep) -> None:
        """Say how the sweep ended, and which trial is its best; without an end it was interrupted."""
        best, metric = sweep.status.best, sweep.spec.objective.metric
        if best:
            self.store.log_metric(self.parent, metric, float(best.value))
            said = f"Best of {sweep.status.progress} trials by {metric}: {best.trial}"
            self.store.tag(self.parent, _NOTE_TAG, said)
            self.store.tag(self.parent, BEST_RUN_TAG, best.run_id or "")
        ends = {Phase.SUCCEEDED: RunStatus.FINISHED, Phase.FAILED: RunStatus.FAILED}
        phase = sweep.status.phase
        self.store.terminate(self.parent, ends.get(phase, RunStatus.KILLED) if phase else RunStatus.KILLED)

    def running(self) -> dict[int, Run]:
        """Return the run of each trial that goes on, as far as its script has begun one."""
        by_trial: dict[int, list[Run]] = defaultdict(list)
        for found in self._children():
            if found.status.is_open and (label := found.tags.get(TRIAL_TAG, "")).isdecimal():
                by_trial[int(label)].append(found)
        chiefs = {index: primary(runs) for index, runs in by_trial.items()}
        return {index: chief for index, chief in chiefs.items() if chief}

    def history(self, run_id: str) -> History:
        """Return what a run logged of the objective's metric."""
        return History.of(self.store.history(run_id, self.sweep.spec.objective.metric))

    def _children(self) -> list[Run]:
        # Runs that a script nests below its own have another parent.
        return self.store.results(f"tags.`{PARENT_TAG}` = '{self.parent.id}'")

    def _ended(self, index: int, runs: Sequence[Run], tried: Mapping[str, JsonValue]) -> Trial | None:
        """Return how a trial ended; None where it was interrupted, and is to be begun anew."""
        chiefs = [chief for attempt in _attempts(runs) if (chief := primary(attempt))]
        told = [chief for chief in chiefs if OUTCOME_TAG in chief.tags]
        for chief in told:
            outcome, reason = chief.tags[OUTCOME_TAG], chief.tags.get(REASON_TAG, "")
            if outcome == Outcome.SUCCEEDED:
                metric = self.sweep.spec.objective.metric
                value = chief.metrics.get(metric)
                if value is None:
                    return Trial(index, TrialState.FAILED, None, chief.id, tried, f"without {metric}")
                return Trial(index, TrialState.SUCCEEDED, value, chief.id, tried)
            if outcome == Outcome.CANCELLED and reason == Reason.PRUNED:
                return Trial(index, TrialState.PRUNED, None, chief.id, tried, "pruned before")
        failed = [chief for chief in told if chief.tags[OUTCOME_TAG] == Outcome.FAILED]
        if any(map(_is_for_good, failed)) or len(failed) > self.sweep.spec.template.backoff_limit:
            last = failed[-1]
            said = f"{last.tags.get(REASON_TAG)}, exit code {last.tags.get(EXIT_CODE_TAG)}"
            return Trial(index, TrialState.FAILED, None, last.id, tried, said)
        return None

    def _close(self, runs: Sequence[Run], *, is_over: bool) -> None:
        """Close what is open, and say of an attempt whose end nobody saw that it was interrupted."""
        for attempt in _attempts(runs):
            is_seen = is_over or any(OUTCOME_TAG in run.tags for run in attempt)
            for run in attempt:
                if run.status.is_open and OUTCOME_TAG in run.tags:
                    self.store.terminate(run, final_status(Outcome(run.tags[OUTCOME_TAG])))
            unseen = [run for run in attempt if OUTCOME_TAG not in run.tags and (run.status.is_open or not is_seen)]
            end = Attempt(
                pod="", uid="", outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, finished_at=datetime.now(UTC)
            )
            self.store.apply(corrections(unseen, end, primary(unseen)))


def opened(store: Store, sweep: TrainingSweep, *, anew: bool) -> Memory:
    """Return what MLflow knows of a sweep, whose run is made if it is not there.

    Args:
        store: MLflow.
        sweep: the sweep, by its UID.
        anew: whether what there is of an earlier one is left alone.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    experiment_id = store.ensure_experiment(sweep.experiment)
    marks = {SWEEP_UID_TAG: sweep.metadata.uid, MADE_TAG: SWEEP}
    known = [] if anew else store.results(" AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in marks.items()))
    if known:
        return Memory(store, sweep, max(known, key=lambda run: (run.start_time_ms, run.id)))
    tags = {**marks, SWEEP_TAG: sweep.metadata.name, SWEEP_NAMESPACE_TAG: sweep.metadata.namespace}
    return Memory(store, sweep, store.create_run(experiment_id, sweep.metadata.name, tags, datetime.now(UTC)))


def identity(sweep: TrainingSweep, *where: str) -> str:
    """Return what a sweep is known by: all that decides its trials, and where it is."""
    spec: JsonObject = sweep.spec.to_json()
    decisive = {name: value for name, value in spec.items() if name not in SWEEP_MUTABLE}
    text = json.dumps([sweep.metadata.namespace, sweep.metadata.name, decisive, where], sort_keys=True)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def _attempts(runs: Sequence[Run]) -> list[list[Run]]:
    """Return a trial's runs by attempt, the first first; a run that all attempts share is one of its own."""
    found: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.start_time_ms, run.id)):
        found[run.tags.get(POD_TAG, "")].append(run)
    return list(found.values())


def _is_for_good(failed: Run) -> bool:
    """Whether a failure is not tried again."""
    code = failed.tags.get(EXIT_CODE_TAG, "")
    return failed.tags.get(REASON_TAG) != Reason.ERROR or (code.isdecimal() and int(code) in USAGE_ERRORS)
