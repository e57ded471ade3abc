"""Whether the difference of two cross-validated scores is more than chance: pure.

The folds of a cross-validation share most of their training rows, so that the spread of their scores alone would make
any difference look certain. Nadeau and Bengio (Machine Learning 52, 2003) correct for it: the variance of the mean over
k folds is taken to be s² (1/k + 1/(k - 1)), with s² the folds' sample variance, since each fold judges a share of 1/k
of the rows and is trained on the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

_FEWEST = 2
# About 95 % of what chance does.
_WIDTH = 2.0


@dataclass(frozen=True)
class Estimate:
    """A mean over folds, and how far chance may have moved it.

    Attributes:
        mean: over the folds.
        error: its standard error.
        folds: how many.

    """

    mean: float
    error: float
    folds: int

    @property
    def low(self) -> float:
        """The lower end of what it may be."""
        return self.mean - _WIDTH * self.error

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + _WIDTH * self.error


def estimate(scores: Sequence[float]) -> Estimate | None:
    """Return what folds say; None of fewer than two, or where one has no score.

    >>> estimate([0.8, 0.9])
    Estimate(mean=0.8500000000000001, error=0.08660254037844385, folds=2)
    """
    folds = len(scores)
    if folds < _FEWEST or not all(map(math.isfinite, scores)):
        return None
    return Estimate(fmean(scores), math.sqrt(variance(scores) * (1 / folds + 1 / (folds - 1))), folds)


def is_inside(one: Estimate, other: Estimate) -> bool:
    """Whether a difference is no larger than chance may make it, the two taken to be independent of each other."""
    return abs(one.mean - other.mean) <= _WIDTH * math.hypot(one.error, other.error)
