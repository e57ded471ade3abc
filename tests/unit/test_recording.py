"""Recording beside the reconciling: how long it waits, what it tries again and when, and what it takes as told."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from runyard.api.facts import JobFacts, JobState, TrackingFacts
from runyard.api.outcome import Attempt, Outcome
from runyard.api.records import OUTCOME_TAG, POD_TAG
from runyard_operator.decide import Decision
from runyard_operator.mirror import View
from runyard_operator.objects import Key
from runyard_operator.recording import Recorder
from runyard_operator.told import Recording
from runyard_operator.tracking import refusal
from tests.support.factories import UID, at, attempt, training_run
from tests.unit.model.apiserver import Object
from tests.unit.model.wire import SLOW_SECONDS, Fault
from tests.unit.model.world import World

KEY = Key("team", "wine", UID)
RUNNING = attempt()
SUCCEEDED = attempt(outcome=Outcome.SUCCEEDED, reason="Completed", exit_code=0)
CANCELLED = attempt(outcome=Outcome.CANCELLED, reason="PodDeleted")


class Bench:
    """A recorder on a model of MLflow. `changed` holds the keys that it asked to have looked at again."""

    def __init__(self, world: World) -> None:
        self.world = world
        operator = world.start_operator()
        self.mlflow, self.line, self.api = world.mlflow, operator.to_mlflow, operator.to_api
        self.changed: list[Key] = []
        self.late_for = timedelta(0)
        parts = operator.recorder
        self.recorder = Recorder(
            parts.tracking, parts.logs, "here", world.clock.now, self.changed.append, lambda: self.late_for
        )

    def record(self, *attempts: Attempt) -> tuple[list[Attempt], TrackingFacts, timedelta | None]:
        """Ask once; no more time passes than the recorder takes."""
        decision = Decision(JobFacts(state=JobState.RUNNING), attempts)
        return self.world.clock.run(self.recorder.record(KEY, training_run(), View(body={}), decision))

    def searches_within(self, seconds: float, *attempts: Attempt) -> list[float]:
        """Keep asking for a while, as soon as the recorder wants; return at which seconds it searched."""
        found, begun = [], self.world.clock.time()
        while self.world.clock.time() < begun + seconds:
            before, moment = self.line.calls, self.world.clock.time() - begun
            _, _, pause = self.record(*attempts)
            if self.line.calls > before:
                found.append(moment)
            assert pause is not None, "a search that found nothing wants another"
            self.world.clock.run_for(pause.total_seconds())
        return found

    def run_of(self, of: Attempt) -> Object:
        [found] = self.mlflow.tagged(POD_TAG, of.uid)
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    with World() as world:
        yield Bench(world)


def test_what_is_recorded_is_said_at_once(bench: Bench) -> None:
    [told], facts, again = bench.record(SUCCEEDED)
    assert told.recorded_at
    assert told.run_id == bench.run_of(SUCCEEDED)["info"]["run_id"]
    assert (facts.problem, again) == (None, None)
    assert bench.changed == [], "who asked knows it already"


def test_what_is_recorded_is_not_recorded_again(bench: Bench) -> None:
    bench.record(SUCCEEDED)
    calls = bench.line.calls
    bench.record(SUCCEEDED)
    assert bench.line.calls == calls


def test_what_the_status_says_of_a_recording_stays_as_it_is(bench: Bench) -> None:
    # In memory a moment has more digits than on the resource: taking it again would be a write that says nothing.
    [told], _, _ = bench.record(SUCCEEDED)
    assert told.recorded_at
    stored = told.model_copy(update={"recorded_at": told.recorded_at.replace(microsecond=0)})
    [again], _, _ = bench.record(stored)
    assert again == stored


def test_an_end_that_is_seen_anew_before_it_was_written_down_is_recorded_anew(bench: Bench) -> None:
    bench.record(CANCELLED)
    assert bench.run_of(CANCELLED)["info"]["status"] == "KILLED"
    [told], _, _ = bench.record(SUCCEEDED)
    found = bench.run_of(SUCCEEDED)
    assert (found["info"]["status"], found["tags"][OUTCOME_TAG]) == ("FINISHED", "Succeeded")
    assert told.recorded_at


def test_a_slow_server_holds_up_nothing(bench: Bench) -> None:
    bench.line.expect(0, Fault.SLOW_BACK)
    [told], _, _ = bench.record(SUCCEEDED)
    assert (told.recorded_at, bench.recorder.is_busy(KEY), bench.changed) == (None, True, [])
    bench.world.clock.run_for(SLOW_SECONDS)
    assert (bench.recorder.is_busy(KEY), bench.changed) == (False, [KEY])
    assert bench.record(SUCCEEDED)[0][0].recorded_at


def test_one_task_at_a_time_is_at_work_on_a_resource(bench: Bench) -> None:
    bench.line.expect(0, Fault.SLOW_BACK)
    for _ in range(3):
        bench.record(SUCCEEDED)
    assert bench.line.calls == 1


def test_a_run_that_a_script_has_not_started_yet_is_searched_for_less_and_less(bench: Bench) -> None:
    bench.mlflow.start("team", {})  # without an experiment there is nothing to search in
    moments = bench.searches_within(400, RUNNING)
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 120, 120], abs=0.1)


def test_a_run_that_was_found_is_not_searched_for_again(bench: Bench) -> None:
    run_id = bench.mlflow.start("team", {POD_TAG: RUNNING.uid})
    [told], facts, again = bench.record(RUNNING)
    assert (told.run_id, again) == (run_id, None)
    assert facts.url == f"http://mlflow.example/#/experiments/1/runs/{run_id}"


def test_an_end_does_not_wait_for_the_next_search(bench: Bench) -> None:
    bench.searches_within(40, RUNNING)
    assert bench.record(SUCCEEDED)[0][0].recorded_at


def test_a_server_that_is_down_is_tried_again_after_pauses_that_grow(bench: Bench) -> None:
    bench.line.is_down = True
    moments = bench.searches_within(120, SUCCEEDED)
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert all(
        limit / 2 <= pause <= limit for pause, limit in zip(pauses, [0.5, 1, 2, 4, 8, 10, 10, 10], strict=False)
    ), pauses
    assert len(pauses) > 8


def test_a_server_that_is_down_is_told_of_until_it_is_back(bench: Bench) -> None:
    bench.line.is_down = True
    _, facts, again = bench.record(SUCCEEDED)
    assert "did not answer" in (facts.problem or "")
    assert again is not None
    bench.line.is_down = False
    bench.world.clock.run_for(1)
    [told], facts, _ = bench.record(SUCCEEDED)
    assert (bool(told.recorded_at), facts.problem) == (True, None)


def test_a_run_whose_making_was_not_confirmed_is_not_made_twice(bench: Bench) -> None:
    bench.mlflow.start("team", {})
    # Experiments and runs are searched, the experiment is looked up, the run is made.
    bench.line.expect(3, Fault.ANSWER_LOST)
    assert bench.record(SUCCEEDED)[1].problem
    bench.world.clock.run_for(1)
    assert bench.record(SUCCEEDED)[0][0].recorded_at
    assert len(bench.mlflow.tagged(POD_TAG, SUCCEEDED.uid)) == 1


def test_what_is_forgotten_is_not_gone_on_with(bench: Bench) -> None:
    bench.line.expect(0, Fault.SLOW_THERE)
    bench.record(SUCCEEDED)
    bench.recorder.forget(KEY)
    calls = bench.line.calls
    bench.world.clock.run_for(SLOW_SECONDS)
    assert (bench.line.calls, bench.recorder.is_busy(KEY)) == (calls, False)


def test_while_it_is_being_recorded_nobody_is_told_to_ask_again(bench: Bench) -> None:
    bench.line.is_down = True
    bench.record(SUCCEEDED)
    bench.line.is_down = False
    bench.world.clock.run_for(1)
    bench.line.expect(0, Fault.SLOW_BACK)
    begun = bench.world.clock.time()
    assert [bench.record(SUCCEEDED)[2] for _ in range(3)] == [None] * 3
    assert bench.world.clock.time() - begun < 1.5, "only who began it waits for it"


def test_an_assigned_run_holds_nobody_up(bench: Bench) -> None:
    run = training_run(tracking={"run": "Assigned"})
    bench.line.expect(0, Fault.SLOW_BACK)
    assert bench.world.clock.run(bench.recorder.assign(KEY, run)) is None
    assert bench.changed == []
    bench.world.clock.run_for(SLOW_SECONDS + 1)
    assert bench.changed == [KEY]
    found = bench.world.clock.run(bench.recorder.assign(KEY, run))
    assert found
    [made] = bench.mlflow.runs.values()
    assert (made["info"]["run_id"], made["info"]["status"]) == (found.run_id, "SCHEDULED")


def test_a_run_that_may_come_yet_is_waited_for(bench: Bench) -> None:
    bench.mlflow.start("team", {})
    bench.line.expect(3, Fault.TIMED_OUT)  # the making: searches and the experiment come before it
    bench.record(SUCCEEDED)
    bench.world.clock.run_for(10)
    _, facts, again = bench.record(SUCCEEDED)
    assert "did not answer POST api/2.0/mlflow/runs/create" in (facts.problem or "")
    assert again
    assert 4 <= again.total_seconds() <= 5, "fifteen since it was given up"
    bench.mlflow.start("team", {POD_TAG: SUCCEEDED.uid})  # there it is
    bench.world.clock.run_for(20)
    assert bench.record(SUCCEEDED)[0][0].recorded_at
    assert len(bench.mlflow.tagged(POD_TAG, SUCCEEDED.uid)) == 1


def test_a_run_that_an_earlier_operator_may_have_asked_for_is_made_when_that_cannot_come_any_more(bench: Bench) -> None:
    bench.late_for = timedelta(seconds=9)
    _, facts, again = bench.record(SUCCEEDED)
    assert (facts.problem, again, bench.mlflow.runs) == (None, timedelta(seconds=9), {})
    calls = bench.line.calls
    bench.record(SUCCEEDED)
    assert bench.line.calls == calls, "no event is a reason to look earlier"
    bench.late_for = timedelta(0)
    bench.world.clock.run_for(9)
    [told], _, again = bench.record(SUCCEEDED)
    assert (told.run_id, again) == (bench.run_of(SUCCEEDED)["info"]["run_id"], None)


def test_a_run_that_is_there_is_corrected_though_an_earlier_operator_may_have_asked_for_others(bench: Bench) -> None:
    bench.late_for = timedelta(seconds=9)
    bench.mlflow.start("team", {POD_TAG: SUCCEEDED.uid})
    assert bench.record(SUCCEEDED)[0][0].recorded_at
    assert bench.run_of(SUCCEEDED)["info"]["status"] == "FINISHED"


def test_artifacts_that_can_never_be_stored_are_told_once(bench: Bench) -> None:
    run_id = bench.mlflow.start("team", {POD_TAG: SUCCEEDED.uid})
    bench.mlflow.runs[run_id]["info"]["artifact_uri"] = "s3://elsewhere/0"
    [told], facts, again = bench.record(SUCCEEDED)
    assert told.recorded_at
    assert (facts.problem, again) == (None, None)
    assert facts.missing
    assert "s3://elsewhere/0" in facts.missing.message
    assert bench.run_of(SUCCEEDED)["info"]["status"] == "FINISHED"


def test_what_was_told_stays_as_it_was_told_until_it_is_written_down() -> None:
    told = CANCELLED.model_copy(update={"finished_at": at(60), "recorded_at": at(61)})
    recording = Recording(recorded={told.uid: told}, run_ids={told.uid: "r1"})
    [again] = recording.applied_to([CANCELLED.model_copy(update={"finished_at": at(63)})])
    assert (again.finished_at, again.recorded_at, again.run_id) == (at(60), at(61), "r1")
    [other] = recording.applied_to([SUCCEEDED.model_copy(update={"finished_at": at(63)})])
    assert (other.outcome, other.finished_at, other.recorded_at) == (Outcome.SUCCEEDED, at(63), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!doctype html>\n<title>Oops</title>", "Internal Server Error"),
        ("no room", "no room"),
        ('{"message": "no such run"}', "no such run"),
    ],
)
def test_a_page_for_a_browser_is_not_quoted(text: str, said: str) -> None:
    assert str(refusal("GET", "runs", 500, text)) == f"MLflow answered 500 to GET runs: {said}"


def test_a_code_that_no_standard_knows_is_told_as_any_other() -> None:
    assert str(refusal("GET", "runs", 520, "<html>")) == "MLflow answered 520 to GET runs: a page"
