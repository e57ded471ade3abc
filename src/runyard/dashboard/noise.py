"""Whether the difference of two cross-validated scores is more than chance: pure.

The folds of a cross-validation share most of their training rows, so that the spread of their scores alone would make
any difference look certain. Nadeau and Bengio (Machine Learning 52, 2003) correct for it: the variance of the mean over
k folds is taken to be s² (1/k + 1/(k - 1)), with s² the folds' sample variance, since each fold judges a share of 1/k
of the rows and is trained on the others.

A variance that is taken from a handful of folds is itself uncertain: what chance does is Student's t with one degree of
freedom fewer than folds, of a difference as many as Welch and Satterthwaite's formula says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import stdtrit  # type: ignore[import-untyped]

_FEWEST = 2
# Of 100 differences that are chance alone, 95 lie inside, half of the others on each side.
_BELOW = 0.975


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
        """The lower end of what it may be: of 95 %."""
        return self.mean - _width(self.folds - 1) * self.error

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + _width(self.folds - 1) * self.error


def estimate(scores: Sequence[float]) -> Estimate | None:
    """Return what folds say; None of fewer than two, or where one has no score.

    >>> found = estimate([0.8, 0.9])
    >>> round(found.mean, 6), round(found.error, 6), found.folds
    (0.85, 0.086603, 2)
    """
    folds = len(scores)
    if folds < _FEWEST or not all(map(math.isfinite, scores)):
        return None
    return Estimate(fmean(scores), math.sqrt(variance(scores) * (1 / folds + 1 / (folds - 1))), folds)


def is_inside(one: Estimate, other: Estimate) -> bool:
    """Whether a difference is no larger than chance may make it, the two taken to be independent of each other."""
    variances = [(each.error**2, each.folds - 1) for each in (one, other)]
    uncertain = sum(square**2 / freedom for square, freedom in variances)
    error = math.hypot(one.error, other.error)
    # Errors that vanish, or nearly so, leave nothing to divide by, and nothing to chance.
    width = _width(error**4 / uncertain) * error if uncertain else 0.0
    return abs(one.mean - other.mean) <= width


def _width(freedom: float) -> float:
    """Return how many standard errors chance may make of a difference, by degrees of freedom."""
    return float(stdtrit(freedom, _BELOW))
