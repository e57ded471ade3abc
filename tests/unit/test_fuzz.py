"""Whatever the schema lets through: the operator's functions have a Job of it, or say what is wrong with it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings

from runyard.api import parameters
from runyard.api.environment import AssignedRun
from runyard.api.facts import TrackingFacts
from runyard.api.status import assemble, refused
from runyard.api.trainingrun import TrainingRun
from runyard.errors import RunyardError
from runyard.validation import parse
from runyard_operator import jobs
from runyard_operator.decide import Earlier, Observed, decide
from runyard_operator.objects import Job
from runyard_operator.paths import own_path
from runyard_operator.storing import as_applied
from tests.support.factories import NOW, UID, stamp
from tests.support.fuzz import cases, manifest, specs
from tests.support.generate import PLATFORM


@settings(max_examples=cases(100), derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_any_spec_becomes_a_job_or_is_refused_in_words(spec: dict[str, Any]) -> None:
    body = manifest("wine", spec)
    problems = _problems_found_locally(body)
    # The operator meets what the API server let through, whose rules may be of another version than its own.
    stored = json.loads(json.dumps(_without_nulls(body)))
    stored["metadata"] |= {"namespace": "team", "uid": UID, "generation": 1, "resourceVersion": "7"}
    run = TrainingRun.model_validate(stored)
    told = parameters.problems(run.spec)
    assert all(problem.path.startswith("spec.") and problem.message for problem in told)
    if told:
        assert problems, "`runyard run` would have taken it"
        assert all(found.message for found in refused(run, told, NOW).conditions[:1])
        run = run.model_copy(update={"spec": run.spec.model_copy(update={"parameters": parameters.usable(run.spec)})})
    _check_job(run)


def _check_job(run: TrainingRun) -> None:
    assigned = AssignedRun("r", "1")
    built = jobs.job(run, PLATFORM, assigned)
    assert json.loads(json.dumps(built)) == json.loads(json.dumps(jobs.job(run, PLATFORM, assigned)))
    for path in _paths(built["spec"], "spec"):
        assert own_path(path, run, built).startswith("spec"), path
    waiting = decide(Observed(run, None, (), NOW, earlier=Earlier()), timedelta(0))
    assert waiting.create_job
    metadata = {"name": jobs.job_name(run), "uid": "job", "creationTimestamp": stamp(NOW)}
    made = Job.model_validate({**built, "metadata": {**built["metadata"], **metadata}})  # type: ignore[dict-item]
    decision = decide(Observed(run, made, (), NOW), timedelta(0))
    assert decision.patch_job is None, "a Job is made as it should be"
    assemble(run, decision.job, [], TrackingFacts(), NOW).to_json()
    assert as_applied(run.to_json())


def _paths(value: Any, path: str) -> Iterator[str]:
    """Return every path of an object, as the API server writes it."""
    yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _paths(child, f"{path}.{key}" if key.isidentifier() else f"{path}[{key}]")
    if isinstance(value, list):
        for index, child in enumerate(value):
            yield from _paths(child, f"{path}[{index}]")


def _problems_found_locally(body: dict[str, Any]) -> str:
    try:
        parse(body)
    except RunyardError as error:
        return str(error)
    return ""


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value
