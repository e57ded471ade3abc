"""What is known of sweeps and their trials, in whatever order events come."""

from typing import Any

from runyard.api.sweeping import TrialState
from runyard_operator.objects import Key
from runyard_operator.trainingsweeps.sight import Sights, trial_of

KEY = Key("team", "wine", "u1")


def body(version: int, **status: Any) -> dict[str, Any]:
    """Return the sweep."""
    metadata = {"namespace": "team", "name": "wine", "uid": "u1", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}, "status": status}


def child(index: int = 0, version: int = 1, phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    """Return a trial's TrainingRun."""
    conditions = {
        "Running": [],
        "Succeeded": [("Succeeded", "True"), ("Tracked", "True")],
        "Failed": [("Succeeded", "False"), ("Tracked", "True")],
    }[phase]
    return {
        "metadata": {
            "namespace": "team",
            "name": f"wine-{index}",
            "uid": f"t{index}",
            "resourceVersion": str(version),
            "labels": {"runyard.dev/sweep": "wine", "runyard.dev/trial": str(index)},
            "ownerReferences": [{"kind": "TrainingSweep", "name": "wine", "uid": "u1"}],
            **metadata,
        },
        "spec": {"parameters": {"a": 1}, "tracking": {"requireMetrics": ["f1"]}},
        "status": {
            "metrics": {"f1": "0.5"},
            "conditions": [
                {"type": kind, "status": status, "reason": "R", "lastTransitionTime": "2026-01-02T03:04:05Z"}
                for kind, status in conditions
            ],
        },
    }


def states(sights: Sights) -> dict[int, TrialState]:
    return {index: found.trial.state for index, found in sights.view(KEY).children.items()}


def test_a_trial_is_known_by_its_owner_its_name_and_its_labels() -> None:
    found = trial_of(child(7, phase="Succeeded"))
    assert found
    key, index, known = found
    assert (key, index, known.trial.state, known.trial.value, known.trial.parameters) == (
        KEY,
        7,
        TrialState.SUCCEEDED,
        0.5,
        {"a": 1},
    )
    assert trial_of(child(7, name="wine-8")) is None
    assert trial_of(child(7, ownerReferences=[])) is None
    assert trial_of(child(7, ownerReferences=[{"kind": "Deployment", "name": "wine", "uid": "u1"}])) is None
    assert trial_of(child(7, labels={"runyard.dev/sweep": "wine", "runyard.dev/trial": "x"})) is None
    assert trial_of({"metadata": {"name": "a", "namespace": "b"}}) is None


def test_an_old_event_changes_nothing() -> None:
    sights = Sights()
    sights.see_trial(child(version=5, phase="Succeeded"))
    sights.see_trial(child(version=3))
    assert states(sights) == {0: TrialState.SUCCEEDED}


def test_a_trial_that_is_deleted_has_failed_unless_it_had_ended() -> None:
    sights = Sights()
    sights.see_trial(child(0, 2))
    sights.see_trial(child(0, 3), is_gone=True)
    sights.see_trial(child(1, 2, "Succeeded"))
    sights.see_trial(child(1, 3, "Succeeded"), is_gone=True)
    assert states(sights) == {0: TrialState.FAILED, 1: TrialState.SUCCEEDED}


def test_what_a_list_does_not_have_was_deleted() -> None:
    sights = Sights()
    sights.see_trial(child(0, 2))
    sights.see_trial(child(1, 2, "Succeeded"))
    found = trial_of(child(2, 4))
    assert found
    sights.view(KEY).see_all({2: found[2]})
    assert states(sights) == {0: TrialState.FAILED, 1: TrialState.SUCCEEDED, 2: TrialState.RUNNING}


def test_a_sweep_that_is_settled_is_looked_at_again_only_when_it_is_changed() -> None:
    sights = Sights()
    assert sights.see_sweep(KEY, body(5))
    assert sights.knows(KEY)
    sights.forget(KEY, 5)
    assert KEY not in sights
    assert not sights.see_sweep(KEY, body(5))
    assert sights.see_trial(child(0, 9)) is None
    assert sights.see_sweep(KEY, body(6))
    assert len(sights) == 1


def test_trials_may_be_seen_before_their_sweep() -> None:
    sights = Sights()
    assert sights.see_trial(child(0, 2)) == KEY
    assert not sights.knows(KEY)
    assert len(sights) == 0
    assert sights.see_sweep(KEY, body(3))
    assert states(sights) == {0: TrialState.RUNNING}
