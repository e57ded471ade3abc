"""What MLflow is told of a training on this machine: attempt by attempt, and at its end."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import yaml

from runyard.api import datasets, promotion_of_training, reuse
from runyard.api.environment import AssignedRun, identity_tags
from runyard.api.facts import TrackingFacts
from runyard.api.outcome import Attempt, Outcome, ReusedFrom
from runyard.api.records import (
    ASSIGNED,
    FOLDER_TAG,
    INSTALLATION_TAG,
    MACHINE_TAG,
    MADE_TAG,
    MANIFEST_ARTIFACT,
    STAND_IN,
    SURROUNDINGS_TAG,
    Run,
    corrections,
    log_artifact,
    primary,
)
from runyard.api.requirements import missing, needs_closing
from runyard.api.status import lacking
from runyard.api.trainingrun import RunMode, TrainingRun
from runyard.errors import TrackingUnavailable
from runyard.registry import Models, done, user
from runyard.tracking import Store


@dataclass
class Ledger:
    """The attempts of one training; what MLflow could not be told of them is kept, and told with the next."""

    store: Store
    resource: TrainingRun
    folder: Path
    attempts: list[Attempt] = field(default_factory=list)
    facts: TrackingFacts = field(default_factory=TrackingFacts)
    surroundings: str | None = None
    """The fingerprint of what it depends on here besides its manifest, where that is known."""
    _logs: dict[str, Mapping[str, bytes]] = field(default_factory=dict)

    @property
    def assigned(self) -> AssignedRun | None:
        """The run that all attempts log into, if there is to be one."""
        run_id, experiment_id = self.facts.run_id, self.facts.experiment_id
        return AssignedRun(run_id, experiment_id) if run_id and experiment_id else None

    def open(self) -> None:
        """Make the experiment, and the run that all attempts log into where there is to be one.

        Raises:
            TrackingUnavailable: MLflow does not answer; there is no use in training.

        """
        experiment_id = self.store.ensure_experiment(self.resource.experiment)
        self.facts = TrackingFacts(experiment_id=experiment_id, is_closed=not needs_closing(self.resource))
        if self.resource.spec.run_mode is RunMode.ASSIGNED:
            self._assigned()

    def earlier(self) -> ReusedFrom | None:
        """Return the run that is the result already, if there is one; then the facts are its.

        That is one that an operator trained, in the image, or one of this machine's with the same surroundings.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        listed = [
            found
            for found in self.store.results(reuse.expression(self.resource))
            if INSTALLATION_TAG in found.tags
            or (self.surroundings and found.tags.get(SURROUNDINGS_TAG) == self.surroundings)
        ]
        found = reuse.earliest(listed, self.resource.spec.tracking)
        if found is None:
            return None
        self.facts = TrackingFacts().with_results(found, None, self.resource.spec.tracking)
        return reuse.reused_from(found, None)

    def promote(self, run_id: str | None) -> None:
        """Promote the model of a training that succeeded, once MLflow agrees with all of it; say in the facts why not.

        Args:
            run_id: the run that stands for the training.

        """
        is_recorded = all(found.recorded_at for found in self.attempts) and self.facts.is_closed
        has_succeeded = not self.attempts or self.attempts[-1].outcome is Outcome.SUCCEEDED
        if run_id and is_recorded and has_succeeded and self.resource.spec.promote:
            self._try(partial(self._promote, run_id))

    def _promote(self, run_id: str) -> None:
        if self.facts.promotion or self.resource.spec.promote is None:
            return
        chief = self.store.live_run(run_id)
        lacks = lacking(self.resource, self.facts)
        models, asked = Models(self.store.uri), self.resource.spec.promote
        found = done(promotion_of_training.promote(models, asked, chief, lacks, user()))
        self.facts = replace(self.facts, promotion=found)

    def _of_result(self) -> dict[str, str]:
        tags = reuse.result_tags(self.resource)
        return {**tags, SURROUNDINGS_TAG: self.surroundings} if self.surroundings else tags

    def add(self, attempt: Attempt, logs: Mapping[str, bytes]) -> None:
        """Take down an attempt that has ended, with its logs by container."""
        self.attempts.append(attempt)
        self._logs[attempt.uid] = logs
        self.facts = replace(self.facts, metrics=None)

    def record(self) -> None:
        """Bring MLflow to agree with every attempt; where it cannot be used, say so in the facts."""
        self._try(partial(self._record, len(self.attempts) - 1))
        # A server that does not answer is not waited for once more for each attempt that it has missed.
        if not self.facts.problem:
            self._try(*self._recordings())

    def close(self) -> None:
        """Look at what the training should have logged, and end the run assigned to it."""
        self._try(*self._recordings(), self._close)

    def _try(self, *steps: Callable[[], None]) -> None:
        """Take each step, whatever becomes of the others; say in the facts what stood in the way of the first."""
        problems = []
        for step in steps:
            try:
                step()
            except TrackingUnavailable as error:
                problems.append(str(error))
        self.facts = replace(self.facts, problem=problems[0] if problems else None)

    def _recordings(self) -> list[Callable[[], None]]:
        return [partial(self._record, index) for index, found in enumerate(self.attempts) if not found.recorded_at]

    def _record(self, index: int) -> None:
        attempt = self.attempts[index]
        runs = self.store.runs_of_pod(attempt.uid)
        is_assigned = self.resource.spec.run_mode is RunMode.ASSIGNED
        chief = self._assigned() if is_assigned else primary(runs)
        if chief is None:
            tags = {**identity_tags(self.resource, attempt.uid), MADE_TAG: STAND_IN}
            chief = self._created(attempt.pod, tags, attempt.started_at)
            runs = [chief]
        # An assigned run goes on with the next attempt, and ends as the training does. What is true comes before what
        # is stored: a run must not stay open because an artifact cannot be kept.
        self.store.apply(corrections(runs, attempt, None if is_assigned else chief, self._of_result()))
        told = self.attempts[index] = attempt.model_copy(update={"run_id": chief.id})
        if told is self.attempts[-1]:
            self.facts = self.facts.with_results(chief, None, self.resource.spec.tracking)
        self.store.log_inputs(chief, datasets.inputs(self.resource.spec.datasets or [], attempt.datasets or []))
        if self.resource.spec.source is None:
            # Where the code was: nothing else says it to those who repeat the run.
            self.store.tag(chief, FOLDER_TAG, str(self.folder.absolute()))
            self.store.tag(chief, MACHINE_TAG, platform.node())
        for container, log in self._logs[attempt.uid].items():
            self.store.upload(chief, log_artifact(attempt.pod, container), log)
        self.store.upload(chief, MANIFEST_ARTIFACT, _as_applied(self.resource))
        self.attempts[index] = told.model_copy(update={"recorded_at": datetime.now(UTC)})

    def _close(self) -> None:
        if self.facts.is_closed:
            return
        last = self.attempts[-1]
        runs: Sequence[Run] = self.store.runs_of_pod(last.uid)
        if self.resource.spec.run_mode is RunMode.ASSIGNED:
            chief = self._assigned()
            self.store.apply(corrections([chief], last, chief, self._of_result()))
            self.facts = self.facts.with_results(chief, None, self.resource.spec.tracking)
            runs = [*runs, chief]
        self.facts = replace(self.facts, missing=missing(self.resource.spec.tracking, runs), is_closed=True)

    def _assigned(self) -> Run:
        """Return the run of the whole training; one that was deleted, or is not there yet, is made."""
        found = self.store.live_run(self.facts.run_id) if self.facts.run_id else None
        if found is None:
            tags = {**identity_tags(self.resource), MADE_TAG: ASSIGNED}
            found = self._created(self.resource.metadata.name, tags)
            self.store.schedule(found)
        self.facts = replace(self.facts, run_id=found.id, experiment_id=found.experiment_id)
        return found

    def _created(self, name: str, tags: dict[str, str], started_at: datetime | None = None) -> Run:
        experiment_id = self.store.ensure_experiment(self.resource.experiment)
        return self.store.create_run(experiment_id, name, tags, started_at or datetime.now(UTC))


def _as_applied(resource: TrainingRun) -> bytes:
    body = resource.to_json()
    manifest = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": resource.metadata.name, "namespace": resource.metadata.namespace},
        "spec": body["spec"],
    }
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()
