"""The patch that writes a status, applied as an API server applies it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runyard.api.outcome import Outcome, Phase, TrackingStatus, TrainingRunStatus
from runyard_operator.cluster import status_patch
from tests.support.factories import at, attempt, condition


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, as RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    kept = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = merged(kept.get(key), value)
    return kept


some_statuses = st.builds(
    TrainingRunStatus,
    phase=st.none() | st.sampled_from(Phase),
    message=st.none() | st.text(max_size=3),
    conditions=st.lists(st.sampled_from([condition("Accepted"), condition("Tracked", "False")]), max_size=2),
    start_time=st.none() | st.just(at(0)),
    attempts=st.lists(st.sampled_from([attempt(), attempt("wine-2", Outcome.FAILED, exit_code=1)]), max_size=2),
    tracking=st.none() | st.builds(TrackingStatus, run_id=st.none() | st.just("r1"), url=st.none() | st.just("u")),
    metrics=st.none() | st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])),
)


@given(some_statuses, some_statuses)
def test_the_patch_makes_one_status_the_other(before: TrainingRunStatus, after: TrainingRunStatus) -> None:
    assert merged(before.to_json(), status_patch(before, after)) == after.to_json()


@given(some_statuses)
def test_it_also_removes_what_somebody_else_wrote_meanwhile(after: TrainingRunStatus) -> None:
    stale = TrainingRunStatus(message="stale", image_digest="stale", duration="1s")
    assert merged(stale.to_json(), status_patch(TrainingRunStatus(), after)) == after.to_json()
