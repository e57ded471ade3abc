"""What is wrong with a spec that its schema cannot say, the same for the operator and for `runyard run`."""

from runyard.api import datasets, duplicates, parameters, promotion
from runyard.api.trainingrun import TrainingRunSpec
from runyard.errors import Problem


def problems(spec: TrainingRunSpec) -> list[Problem]:
    """Return all of it, each with the field's path."""
    return [
        *parameters.problems(spec),
        *datasets.problems(spec.datasets or []),
        *duplicates.problems(spec),
        *promotion.problems(spec),
    ]
