"""What a status says of a promotion and of a result that is reused, when, and what is done about it."""

from datetime import timedelta
from typing import Any

import pytest

from runyard.api import reuse
from runyard.api.facts import JobFacts, JobState, Missing, PromotionOutcome, TrackingFacts
from runyard.api.outcome import Outcome, Reason, ReusedFrom, TrainingRunStatus
from runyard.api.status import assemble, is_told, is_urgent, lacking, refused
from runyard.api.trainingrun import TrainingRun
from runyard.errors import Problem
from runyard_operator.decide import Decision, Earlier, Observed, decide, remembered
from runyard_operator.events import between
from runyard_operator.objects import Job
from tests.support.factories import at, attempt, job, mlflow_run, training_run

GRACE = timedelta(seconds=300)
PINNED: dict[str, Any] = {"image": f"example/wine@sha256:{'0' * 64}", "onDuplicate": "Reuse"}
DONE = attempt(outcome=Outcome.SUCCEEDED, reason="Completed", run_id="r1", recorded_at=at(9))
UNRECORDED = DONE.model_copy(update={"recorded_at": None})
YES = PromotionOutcome(is_promoted=True, reason=Reason.PROMOTED, message="version 1")
NO = PromotionOutcome(is_promoted=False, reason=Reason.CONDITION_NOT_MET, message="f1 is 0.1")
COMPLETE, FAILED = JobFacts(state=JobState.COMPLETE), JobFacts(state=JobState.FAILED, reason="OOMKilled")
RUNNING = JobFacts(state=JobState.RUNNING)
FROM = ReusedFrom(run_id="r0", namespace="team", name="first", url="http://mlflow/r0")


def promoting(status: TrainingRunStatus | None = None) -> TrainingRun:
    return training_run(status=status, promote={"model": "heart"})


def said(status: TrainingRunStatus, kind: str = "Promoted") -> tuple[str, str, str]:
    found = status.condition(kind)
    assert found is not None
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("of", "attempts", "facts", "expected", "tracked", "told"),
    [
        (RUNNING, [], {}, ("Unknown", "InProgress", ""), "Unknown", False),
        (COMPLETE, [DONE], {}, ("Unknown", "InProgress", ""), "True", False),
        (COMPLETE, [DONE], {"promotion": YES}, ("True", "Promoted", "version 1"), "True", True),
        (COMPLETE, [DONE], {"promotion": NO}, ("False", "ConditionNotMet", "f1 is 0.1"), "True", True),
        # What MLflow has no answer to is the promotion alone, once all else is recorded.
        (COMPLETE, [DONE], {"problem": "no answer"}, ("Unknown", "TrackingUnavailable", "no answer"), "True", False),
        (COMPLETE, [UNRECORDED], {"problem": "no answer"}, ("Unknown", "InProgress", ""), "False", False),
        (
            FAILED,
            [DONE.model_copy(update={"outcome": Outcome.FAILED, "reason": "OOMKilled"})],
            {},
            ("False", "TrainingFailed", "the training did not succeed: OOMKilled"),
            "True",
            True,
        ),
    ],
)
def test_what_became_of_a_promotion(
    of: JobFacts,
    attempts: list[Any],
    facts: dict[str, Any],
    expected: tuple[str, str, str],
    tracked: str,
    *,
    told: bool,
) -> None:
    status = assemble(promoting(), of, attempts, TrackingFacts(**facts), at(10))
    assert said(status) == expected
    assert said(status, "Tracked")[0] == tracked
    assert is_told(status) is told


def test_nothing_is_said_of_what_nobody_asked_for() -> None:
    assert assemble(training_run(), COMPLETE, [DONE], TrackingFacts(), at(10)).condition("Promoted") is None
    assert said(refused(promoting(), [Problem("spec.promote.when", "no")], at(1)))[:2] == ("False", "InvalidSpec")
    assert refused(training_run(), [Problem("spec", "no")], at(1)).condition("Promoted") is None


def test_what_is_said_is_never_said_otherwise() -> None:
    first = assemble(promoting(), COMPLETE, [DONE], TrackingFacts(promotion=YES), at(10))
    later = assemble(promoting(first), COMPLETE, [DONE], TrackingFacts(promotion=NO, problem="down"), at(20))
    assert (said(later), said(later, "Tracked")) == (said(first), said(first, "Tracked"))
    # Nor does an operator that was started anew, and has not closed it yet, take back that MLflow agrees.
    waiting = assemble(promoting(), COMPLETE, [DONE], TrackingFacts(), at(10))
    anew = assemble(promoting(waiting), COMPLETE, [DONE], TrackingFacts(is_closed=False, problem="down"), at(20))
    assert said(anew, "Tracked")[0] == "True"


def test_a_promotion_is_urgent_and_one_event() -> None:
    before = assemble(promoting(), COMPLETE, [DONE], TrackingFacts(), at(10))
    for found, line in ((YES, "Normal Promoted: version 1"), (NO, "Normal NotPromoted: ConditionNotMet: f1 is 0.1")):
        after = assemble(promoting(before), COMPLETE, [DONE], TrackingFacts(promotion=found), at(20))
        assert is_urgent(before, after)
        assert [f"{it.kind} {it.reason}: {it.note}" for it in between(before, after, retries=0)] == [line]
        assert not list(between(after, after, retries=0))
    failed = assemble(promoting(), FAILED, [], TrackingFacts(), at(20))
    assert [event.reason for event in between(TrainingRunStatus(), failed, retries=0)] == ["Failed"]


def test_what_a_training_lacks_is_remembered_by_its_status() -> None:
    lacks = Missing(Reason.METRICS_MISSING, "no auc")
    status = assemble(promoting(), COMPLETE, [DONE], TrackingFacts(missing=lacks), at(10))
    assert lacking(promoting(status), TrackingFacts()) == lacks
    assert lacking(promoting(), TrackingFacts(missing=lacks)) == lacks
    unreachable = Missing(Reason.ARTIFACTS_UNREACHABLE, "no proxy", is_of_success=False)
    assert lacking(promoting(), TrackingFacts(missing=unreachable)) is None


def look(run: TrainingRun, earlier: Earlier | None, of: Job | None = None) -> Decision:
    return decide(Observed(run, of, (), at(5), earlier=earlier), GRACE)


FOUND = Earlier(mlflow_run("r0"), FROM)


def test_a_training_waits_until_mlflow_says_what_there_is() -> None:
    waits = look(training_run(**PINNED), None)
    assert (waits.create_job, waits.job.name) == (False, None)
    assert waits.job.message == "waits for MLflow, where an earlier result is looked for"
    assert waits.look_again_after
    assert look(training_run(**PINNED), Earlier()).create_job
    assert look(training_run(), FOUND).create_job, "nobody asked for it"


def test_what_has_begun_is_not_taken_from_another() -> None:
    run = training_run(status=TrainingRunStatus(job="wine-0123"), **PINNED)
    assert look(run, FOUND).reused is None
    assert look(training_run(**PINNED), FOUND, job()).reused is None


def test_a_result_that_is_there_is_the_result_for_good() -> None:
    run = training_run(**PINNED)
    decision = look(run, FOUND)
    assert (decision.create_job, decision.reused) == (False, FOUND.run)
    facts = TrackingFacts(url="http://mlflow/r0", experiment_id="7", metrics={"f1": "0.9"})
    status = assemble(run, decision.job, [], facts, at(5))
    message = "nothing was trained: run r0 of team/first is the result, by a manifest with the same fingerprint"
    assert said(status, "Succeeded") == ("True", "Reused", message)
    assert said(status, "Tracked") == ("True", "Recorded", "MLflow has the result already")
    assert (status.reused_from, status.job, status.duration) == (FROM, None, None)
    assert status.tracking is not None
    assert (status.tracking.run_id, status.tracking.url, status.metric) == ("r0", "http://mlflow/r0", "f1=0.9")
    assert [event.reason for event in between(TrainingRunStatus(), status, retries=0)] == ["Reused"]
    again = run.model_copy(update={"status": status})
    assert assemble(again, remembered(again), [], TrackingFacts(), at(50)) == status
    assert not look(again, None).create_job
    assert reuse.job_facts(FROM, at(5)) == decision.job
