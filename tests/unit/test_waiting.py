"""What is said of a training while one waits for it."""

import pytest

from runyard.api.outcome import Phase, TrainingRunStatus
from runyard.api.trainingrun import TrainingRun
from runyard.cli.waiting import described
from tests.support.factories import condition, manifest


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "new"),
        ({"phase": Phase.PENDING, "message": "its image cannot be pulled"}, "Pending: its image cannot be pulled"),
        ({"phase": Phase.RUNNING, "attempt_number": 1}, "Running"),
        ({"phase": Phase.RUNNING, "attempt_number": 2, "message": "a\x1b[2J\nb"}, "Running, attempt 2: a\\x1b[2J\\nb"),
        (
            {"phase": Phase.SUCCEEDED, "attempt_number": 2, "conditions": [condition("Tracked", "False")]},
            "Succeeded, and MLflow does not agree yet",
        ),
        ({"phase": Phase.FAILED}, "Failed, and MLflow does not agree yet: it has not been asked"),
    ],
)
def test_where_a_training_is_stands_in_one_line(status: dict[str, object], said: str) -> None:
    resource = TrainingRun.model_validate(manifest()).model_copy(
        update={"status": TrainingRunStatus.model_validate(status)}
    )
    assert described(resource).removesuffix(": ") == said
