"""Which trials are ended early: those that are worse than the median of those that ended well.

The rule is that of Optuna's MedianPruner, after Golovin et al., "Google Vizier: A Service for Black-Box Optimization"
(KDD 2017), section 3.2.2: a trial's best value so far is compared with what the trials that ended well had at the same
step. Those that go on are compared with nobody: each look would halve them again, until hardly one is left.

One that has come further than they did is compared with them at the last step that enough of them reached: a look may
come after it has passed them all, and to be worse with more steps is no better.
"""

import math
import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runyard.api.direction import Direction
from runyard.api.trainingsweep import Pruning

# What is looked at in one go, so that a sweep of long trainings costs no more than one of short ones.
MOST_STEPS, MOST_HISTORIES = 200, 500


@dataclass(frozen=True)
class History:
    """A metric step by step, oldest first; of a step that was logged twice the last value, be it a number or not."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, logged: Mapping[int, float]) -> "History":
        """Return what was logged, thinned to what is looked at; its last step stays."""
        steps = sorted(logged)
        if len(steps) > MOST_STEPS:
            last = len(steps) - 1
            steps = [steps[last * place // (MOST_STEPS - 1)] for place in range(MOST_STEPS)]
        return cls(tuple(steps), tuple(logged[step] for step in steps))

    def at(self, step: int) -> float | None:
        """Return the value at a step, or the last before it; None where it had none yet, or has not come as far."""
        if not self.steps or self.steps[-1] < step:
            return None
        place = bisect_right(self.steps, step)
        return self.values[place - 1] if place else None


def to_prune(
    running: Mapping[int, History], ended: Sequence[History], asked: Pruning, direction: Direction
) -> dict[int, str]:
    """Return the trials to end, by index, with why.

    Args:
        running: the histories of trials that go on, by index.
        ended: those of trials that ended well; of more than are looked at, the last.
        asked: which trials may be ended, and when.
        direction: which values are better.

    """
    others = [history for history in ended[-MOST_HISTORIES:] if history.steps]
    if len(others) < asked.min_trials:
        return {}
    # As far as enough of them came.
    furthest = sorted((history.steps[-1] for history in others), reverse=True)[asked.min_trials - 1]
    found = {}
    for index, history in running.items():
        step = min(history.steps[-1], furthest) if history.steps else -1
        if step >= asked.after_steps and (why := _why(history, step, others, asked, direction)):
            found[index] = why
    return found


def _why(history: History, step: int, others: Sequence[History], asked: Pruning, direction: Direction) -> str | None:
    """Return why a trial is ended, judged at a step."""
    theirs = [value for value in (other.at(step) for other in others) if value is not None and math.isfinite(value)]
    if len(theirs) < asked.min_trials:
        return None
    median = statistics.median(theirs)
    of_theirs = f"{median:.6g}, the median of {len(theirs)} other trials"
    numbers = [value for value in history.values if math.isfinite(value)]
    if not numbers:
        return f"it had no number until step {step}, where {of_theirs} is"
    own = max(numbers) if direction is Direction.HIGHEST else min(numbers)
    return f"{own:.6g} at step {step} is worse than {of_theirs}" if direction.is_better(median, own) else None
