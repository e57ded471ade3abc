"""What becomes of a training's model: `spec.promote`, at a real API server and in a real registry."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import aiohttp
import pytest

from runyard.api.alias_history import Change, Entry
from runyard.api.facts import PromotionOutcome
from runyard.api.promote import Promote
from runyard.api.promotion_of_training import promote
from runyard.errors import InvalidManifest
from runyard.promotion import Registry
from runyard.validation import parse
from runyard_operator.registry import Models
from runyard_operator.tracking import Tracking, TrackingError
from tests.operator.actors import Actors, condition, log_model, start_run
from tests.support.mlflow_server import MlflowRest, tags_of
from tests.support.waiting import wait_for

BETTER = {"when": "metrics.f1 > 0.7", "betterThan": "champion"}


def train(actors: Actors, mlflow: MlflowRest, name: str, model: str, f1: float, **asked: Any) -> str:
    """Have a training succeed with a model; return its run."""
    actors.apply(name, promote={"model": model, **asked})
    job = actors.wait_for_job(name)
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod)
    log_model(mlflow, run_id, f1=f1)
    actors.end_pod(pod, 0)
    actors.end_job(job, "Complete")
    return run_id


def promoted(actors: Actors, name: str) -> dict[str, Any]:
    """Wait until a training says what became of its model."""

    def told() -> dict[str, Any] | None:
        found = condition(actors.get("trainingrun", name).get("status", {}), "Promoted")
        return found if found["status"] in {"True", "False"} else None

    return wait_for(f"{name} says whether it is promoted", told)


def events(actors: Actors, reason: str) -> list[str]:
    return [found["message"] for found in actors.items("events") if found["reason"] == reason]


def test_the_better_model_is_the_champion_and_both_say_why(actors: Actors, mlflow: MlflowRest) -> None:
    model = actors.namespace
    first = train(actors, mlflow, "a", model, 0.8, **BETTER)
    assert (said := promoted(actors, "a"))["status"] == "True"
    assert said["reason"] == "Promoted"
    because = f"metrics.f1 > 0.7 holds: f1 is 0.8; {model} has no champion yet"
    assert said["message"] == f"version 1 of {model} is the champion: {because}"
    train(actors, mlflow, "b", model, 0.8, **BETTER)
    kept = promoted(actors, "b")
    assert (kept["status"], kept["reason"]) == ("False", "ConditionNotMet")
    assert kept["message"] == (
        f"version 1 of {model} stays the champion: f1 0.8 is not more than 0.8 of version 1, the champion"
    )
    third = train(actors, mlflow, "c", model, 0.9, **BETTER, because="as agreed")
    assert promoted(actors, "c")["message"].startswith(
        f"version 2 of {model} is the champion, instead of version 1: as agreed; metrics.f1 > 0.7 holds"
    )
    assert promoted(actors, "a") == said
    registry = Registry(mlflow.url)
    assert registry.aliases(model) == {"champion": 2}
    moves = [(each.record.run_id, each.record.by, each.record.settled) for each in registry.history(model)]
    namespace = actors.namespace
    assert moves == [(first, f"TrainingRun {namespace}/a", True), (third, f"TrainingRun {namespace}/c", True)]
    tags = tags_of(mlflow.run(first))
    assert (tags["runyard.dev/promoted-to"], tags["runyard.dev/promoted-because"]) == (f"{model}@champion", because)
    wait_for("both are events", lambda: len(events(actors, "Promoted")) == 2 and events(actors, "NotPromoted"))
    # Who deserves no alias is not registered.
    assert len(mlflow.call(f"mlflow/model-versions/search?filter=name%3D'{model}'")["model_versions"]) == 2


@pytest.mark.parametrize("exit_code", [0, 3])
def test_what_has_no_model_or_did_not_succeed_is_not_promoted(
    actors: Actors, mlflow: MlflowRest, exit_code: int
) -> None:
    actors.apply("a", promote={"model": actors.namespace})
    job = actors.wait_for_job("a")
    pod = actors.create_pod(job, "one")
    run_id = start_run(mlflow, pod)
    if exit_code:
        log_model(mlflow, run_id)
    actors.end_pod(pod, exit_code)
    actors.end_job(job, "Failed" if exit_code else "Complete", "BackoffLimitExceeded" if exit_code else "")

    said = promoted(actors, "a")

    if exit_code:
        assert (said["reason"], said["message"]) == ("TrainingFailed", "the training did not succeed: Error")
    else:
        assert said["reason"] == "ModelMissing"
        assert said["message"] == f"run {run_id} logged no model: there is nothing to promote"
    assert not Registry(mlflow.url).aliases(actors.namespace)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"promote": {"model": "m", "when": "metrics.f1 >"}}, "spec.promote.when"),
        ({"promote": {"model": "m", "when": 'tags.x == "metrics"', "betterThan": "champion"}}, "spec.promote"),
        (
            {
                "onDuplicate": "Reuse",
                "image": f"x@sha256:{'0' * 64}",
                "podTemplate": {"spec": {"containers": [{"name": "beside", "image": "y:1"}]}},
            },
            "spec.podTemplate.spec.containers[0].image",
        ),
    ],
)
def test_what_only_the_operator_can_refuse_a_laptop_refuses_with_the_same_words(
    actors: Actors, spec: dict[str, Any], path: str
) -> None:
    stored = actors.apply("a", **spec)
    status = actors.wait_for_phase("a", "Failed")
    body = {**stored, "metadata": {"name": "a"}}
    body.pop("status", None)
    with pytest.raises(InvalidManifest) as refused:
        parse(body)
    assert condition(status, "Accepted")["message"] == str(refused.value.problems[0])
    assert refused.value.problems[0].path == path
    assert condition(status, "Promoted")["status"] in {"", "False"}
    assert not actors.items("jobs")


class Cut:
    """A session whose nth request is done, and its answer lost."""

    def __init__(self, session: aiohttp.ClientSession, nth: int) -> None:
        self._session, self._nth = session, nth
        self.requests = 0

    def request(self, *given: Any, **named: Any) -> Any:
        self.requests += 1
        return (
            _Lost(self._session.request(*given, **named))
            if self.requests == self._nth
            else self._session.request(*given, **named)
        )


class _Lost:
    def __init__(self, request: Any) -> None:
        self._request = request

    async def __aenter__(self) -> None:
        async with self._request as answer:
            await answer.read()
        raise aiohttp.ServerDisconnectedError

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


async def promote_run(
    session: aiohttp.ClientSession, mlflow: MlflowRest, model: str, run_id: str, nth: int = 0
) -> tuple[PromotionOutcome, int]:
    """Promote a run that is better; return what came of it, and how many requests it took."""
    cut = Cut(session, nth)
    tracking = Tracking(cast("aiohttp.ClientSession", cut), mlflow.url, mlflow.url)
    asked = Promote(model=model, better_than="champion", metric="f1")
    run = await tracking.live_run(run_id)
    return await promote(Models(tracking), asked, run, None, "TrainingRun team/a"), cut.requests


def finished(mlflow: MlflowRest, f1: float) -> str:
    run_id: str = mlflow.call("mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    log_model(mlflow, run_id, f1=f1)
    mlflow.call("mlflow/runs/update", {"run_id": run_id, "status": "FINISHED"})
    return run_id


def without_time(entry: Entry, model: str) -> tuple[object, ...]:
    record = entry.record.model_dump(exclude={"at"})
    return (entry.alias, entry.number, {**record, "because": entry.record.because.replace(model, "MODEL")})


async def test_a_promotion_that_is_cut_short_after_any_request_is_one_promotion(
    session: aiohttp.ClientSession, mlflow: MlflowRest, request: pytest.FixtureRequest
) -> None:
    better = finished(mlflow, 0.9)
    registry = Registry(mlflow.url)
    nth, cut_short, wanted = 0, True, None
    while cut_short:
        model = f"{request.node.name} {nth}"
        cut_short = nth == 0
        try:
            await promote_run(session, mlflow, model, better, nth)
        except TrackingError:
            cut_short = True
        said, _ = await promote_run(session, mlflow, model, better)
        said = replace(said, message=said.message.replace(model, "MODEL"))
        history = registry.history(model)
        versions = mlflow.call(f"mlflow/model-versions/search?filter=name%3D'{model.replace(' ', '%20')}'")
        tags: Mapping[str, str] = tags_of(mlflow.run(better))
        found = (
            said,
            [without_time(each, model) for each in history],
            len(versions["model_versions"]),
            registry.aliases(model),
        )
        assert tags["runyard.dev/promoted-to"] == f"{model}@champion", f"at request {nth}"
        assert {each.record.change for each in history} == {Change.PROMOTED}
        wanted = wanted or found
        assert found == wanted, f"at request {nth}"
        nth += 1
    assert nth > 12
    assert wanted is not None
    assert wanted[0].is_promoted
    assert (len(wanted[1]), wanted[2], wanted[3]) == (1, 1, {"champion": 1})
