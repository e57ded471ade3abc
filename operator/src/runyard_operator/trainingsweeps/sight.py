"""What watches and the operator's own writes last showed of sweeps and their trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.records import PRUNED_ANNOTATION, SWEEP_TAG, TRIAL_TAG
from runyard.api.sweeping import Trial, TrialState
from runyard.api.trainingsweep import KIND
from runyard.api.trial_states import state_of
from runyard_operator.objects import Key, lenient

_FORGOTTEN_KEPT = 10_000


class Child(NamedTuple):
    """A trial's TrainingRun, as far as its sweep goes by it."""

    uid: str
    version: int
    trial: Trial
    is_told_to_end: bool = False


@dataclass
class View:
    """One sweep."""

    body: JsonObject | None = None
    is_deleted: bool = False
    is_in_doubt: bool = False
    """Whether the sweep has to be read before anything is decided on it."""
    children: dict[int, Child] = field(default_factory=dict)
    """Trials by index; one that has ended stays, whatever becomes of its TrainingRun."""
    listed_at: datetime | None = None
    """When the trials were last compared with the API server."""
    is_study_open: bool = False
    """Whether the sweep has ended, and what chose its trials could not be told of the last."""
    small_change_since: datetime | None = None
    """Since when the status is out of date in something small."""

    def see(self, index: int, child: Child, *, is_gone: bool = False) -> None:
        """Take a trial as it was seen."""
        known = self.children.get(index)
        if known and known.version > child.version:
            return
        if is_gone and child.trial.state is TrialState.RUNNING:
            child = child._replace(trial=deleted(child.trial))
        self.children[index] = child

    def see_all(self, found: Mapping[int, Child]) -> None:
        """Take what the API server has; of those that were going on, the others were deleted."""
        for index, child in found.items():
            self.see(index, child)
        for index in self.children.keys() - found.keys():
            child = self.children[index]
            if child.trial.state is TrialState.RUNNING:
                self.children[index] = child._replace(trial=deleted(child.trial))


class Sights:
    """Views by sweep. One that is settled, or gone, has none."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._views: dict[Key, View] = {}
        self._forgotten: dict[Key, int] = {}

    def __len__(self) -> int:
        """Return how many sweeps still need work."""
        return len([view for view in self._views.values() if view.body is not None])

    def __contains__(self, key: Key) -> bool:
        """Whether a sweep may need work."""
        return key in self._views

    def view(self, key: Key) -> View:
        """Return what is known of a sweep."""
        return self._views.setdefault(key, View())

    def knows(self, key: Key) -> bool:
        """Whether the sweep itself was seen, and not only trials of it."""
        view = self._views.get(key)
        return view is not None and (view.body is not None or view.is_deleted)

    def see_sweep(self, key: Key, body: JsonObject, *, is_gone: bool = False) -> bool:
        """Take a sweep; return whether it needs work."""
        if not is_gone and version_of(body) <= self._forgotten.get(key, -1):
            return False
        view = self.view(key)
        view.is_deleted = view.is_deleted or is_gone
        if version_of(body) >= version_of(view.body or {}):
            view.body = body
        return True

    def see_trial(self, body: JsonObject, *, is_gone: bool = False) -> Key | None:
        """Take a TrainingRun; return the sweep that has to be looked at, if it is a trial of one."""
        found = trial_of(body)
        if found is None or found[0] in self._forgotten:
            return None
        key, index, child = found
        self.view(key).see(index, child, is_gone=is_gone)
        return key

    def forget(self, key: Key, version: int) -> None:
        """Look at a sweep no more, unless it is changed after a version of it."""
        self._views.pop(key, None)
        self._forgotten[key] = version
        if len(self._forgotten) > _FORGOTTEN_KEPT:
            del self._forgotten[next(iter(self._forgotten))]


def trial_of(body: JsonObject) -> tuple[Key, int, Child] | None:
    """Return the sweep, the index and the state of a TrainingRun; None where no sweep owns it.

    Labels are anybody's to write; an owner's UID leads to nothing that its namespace has not got.
    """
    metadata = as_object(body.get("metadata"))
    labels = as_object(metadata.get("labels"))
    name, index = str(labels.get(SWEEP_TAG, "")), str(labels.get(TRIAL_TAG, ""))
    owners = [as_object(owner) for owner in as_list(metadata.get("ownerReferences"))]
    owner = next((owner for owner in owners if (owner.get("kind"), owner.get("name")) == (KIND, name)), None)
    if owner is None or not index.isdecimal() or metadata.get("name") != f"{name}-{int(index)}":
        return None
    spec = as_object(body.get("spec"))
    metrics = as_list(as_object(spec.get("tracking")).get("requireMetrics"))
    if not metrics:
        return None
    trial = state_of(int(index), lenient(body), str(metrics[0]), as_object(spec.get("parameters")))
    is_told_to_end = PRUNED_ANNOTATION in as_object(metadata.get("annotations"))
    child = Child(str(metadata.get("uid")), version_of(body), trial, is_told_to_end)
    return Key(str(metadata["namespace"]), name, str(owner.get("uid"))), int(index), child


def deleted(trial: Trial) -> Trial:
    """Return a trial whose TrainingRun was deleted before it ended."""
    message = "its TrainingRun was deleted"
    return Trial(trial.index, TrialState.FAILED, None, trial.run_id, trial.parameters, message)


def version_of(body: JsonObject) -> int:
    """Return an object's age among its own versions."""
    return int(cast("str", as_object(body.get("metadata")).get("resourceVersion") or 0))
