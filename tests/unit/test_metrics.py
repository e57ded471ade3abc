"""What is counted, and that the documentation knows all of it."""

import re
from pathlib import Path

import pytest

from runyard.api.outcome import Condition, TrainingRunStatus
from runyard_operator import metrics
from tests.support.factories import condition

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


def names() -> set[str]:
    found = re.findall(r"# TYPE (runyard_\w+) \w+", metrics.text().decode())
    return {name for name in found if not name.endswith("_created")}


def value(sample: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(sample, labels) or 0


def status(*conditions: Condition) -> TrainingRunStatus:
    return TrainingRunStatus(conditions=list(conditions))


def test_every_metric_is_documented_and_no_other() -> None:
    assert set(re.findall(r"`(runyard_\w+)`", DOCUMENT.read_text())) == names()


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        (status(), status(condition("Succeeded", "False", reason="OOMKilled")), 1),
        (status(condition("Succeeded", "Unknown")), status(condition("Succeeded", "False", reason="OOMKilled")), 1),
        (status(), status(condition("Succeeded", "Unknown", reason="OOMKilled")), 0),
        (
            status(condition("Succeeded", "False", reason="OOMKilled")),
            status(condition("Succeeded", "False", reason="OOMKilled"), condition("Tracked")),
            0,
        ),
    ],
    ids=["at once", "later", "not over", "only tracked"],
)
def test_an_end_is_counted_once(before: TrainingRunStatus, after: TrainingRunStatus, counted: int) -> None:
    labels = {"outcome": "Failed", "reason": "OOMKilled"}
    earlier = value("runyard_training_outcomes_total", **labels)
    metrics.count_outcome(before, after)
    assert value("runyard_training_outcomes_total", **labels) - earlier == counted


@pytest.mark.parametrize(
    ("status_code", "kind"),
    [(200, None), (404, None), (400, "refused"), (401, "refused"), (500, "failed"), (503, "failed")],
)
def test_an_answer_of_mlflow_is_an_error_unless_it_says_that_nothing_is_there(
    status_code: int, kind: str | None
) -> None:
    def errors() -> dict[str, float]:
        return {
            kind: value("runyard_mlflow_errors_total", kind=kind)
            for kind in ("failed", "refused", "timeout", "unreachable")
        }

    before = errors()
    metrics.count_mlflow_answer(status_code)
    assert {kind for kind, count in errors().items() if count != before[kind]} == ({kind} if kind else set())


def test_a_failure_is_counted_as_such_and_passed_on() -> None:
    before = value("runyard_reconciles_total", result="error"), value("runyard_reconciles_total", result="success")
    with pytest.raises(ValueError, match="no"), metrics.reconcile():
        raise ValueError("no")
    after = value("runyard_reconciles_total", result="error"), value("runyard_reconciles_total", result="success")
    assert after == (before[0] + 1, before[1])
