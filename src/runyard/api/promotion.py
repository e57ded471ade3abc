"""Whether a run's model is promoted, and why: decisions only, for the library and the operator alike.

A model is promoted when it is given an alias of a registered model in MLflow, `champion` say.
"""

import re
from dataclasses import dataclass

from runyard.api import when as conditions
from runyard.api.direction import Direction, direction_of
from runyard.api.promote import (
    ALIAS,
    CHAMPION,
    LONGEST_ALIAS,
    LONGEST_MODEL,
    NO_MODEL,
    NOT_IN_MODEL,
    RESERVED_ALIAS,
    Promote,
)
from runyard.api.records import RunStatus
from runyard.api.trainingrun import TrainingRunSpec
from runyard.api.when import Condition, Facts, Kind, Verdict, WrongCondition, judge
from runyard.errors import Problem, RunyardError

# On the model's version and on the run, for people and for audits; of several promotions they tell the last.
PROMOTED_TO_TAG = "runyard.dev/promoted-to"
PROMOTED_AT_TAG = "runyard.dev/promoted-at"
PROMOTED_BECAUSE_TAG = "runyard.dev/promoted-because"
PROMOTED_FROM_TAG = "runyard.dev/promoted-from"
PROMOTED_BY_TAG = "runyard.dev/promoted-by"
# From when somebody began to compare until they promoted it, an interval of ISO 8601; it counts for the promotion at
# whose time it ends.
SELECTED_DURING_TAG = "runyard.dev/selected-during"
ROLLED_BACK_AT_TAG = "runyard.dev/rolled-back-at"
ROLLED_BACK_BECAUSE_TAG = "runyard.dev/rolled-back-because"
ROLLED_BACK_BY_TAG = "runyard.dev/rolled-back-by"


class WrongPromotion(RunyardError):
    """What is asked cannot be done, whatever the run logged."""

    exit_code = 2


@dataclass(frozen=True)
class Promotion:
    """What is asked: made by `asked`, which checks it.

    Attributes:
        model: the registered model.
        alias: which of its aliases the run's version is to have.
        when: what must hold for the run; None: anything does.
        better_than: the alias whose version it must be better than; None: it need not be.
        metric: by which metric.
        direction: which values of it are better.

    """

    model: str
    alias: str = CHAMPION
    when: Condition | None = None
    better_than: str | None = None
    metric: str | None = None
    direction: Direction = Direction.HIGHEST


@dataclass(frozen=True)
class Holder:
    """Who has the alias that a run must be better than.

    Attributes:
        version: of the registered model.
        run: what is known of the run that it came from; None where that was deleted, or where there is none.

    """

    version: int
    run: Facts | None


def asked(
    model: str,
    alias: str = CHAMPION,
    when: Condition | None = None,
    better_than: str | None = None,
    metric: str | None = None,
    direction: Direction | None = None,
) -> Promotion:
    """Check what is asked, and fill in what follows from it.

    Args:
        model: the registered model's name.
        alias: the alias that is to be moved.
        when: what must hold for the run.
        better_than: an alias, usually the same.
        metric: by which metric it must be better; None: the one that `when` names first.
        direction: which values of it are better; None: those that `when` asks for, else guessed from its name.

    Raises:
        WrongPromotion: something is no name, or missing.

    """
    if len(model) > LONGEST_MODEL or re.search(NOT_IN_MODEL, model) or re.fullmatch(NO_MODEL, model):
        raise WrongPromotion(f'"{model}" is no name of a registered model: 1 to 200 characters without / and :')
    for found in (alias, better_than):
        if found is not None and not _is_alias(found):
            raise WrongPromotion(
                f'"{found}" is no alias: 1 to 100 letters, digits, - and _, and neither "latest" nor a version as "v1"'
            )
    if better_than is None:
        if metric is not None or direction is not None:
            raise WrongPromotion("metric and direction say how a run is better than another: name the other's alias")
        return Promotion(model, alias, when)
    metric = metric or (when.first_metric if when else None)
    if metric is None:
        raise WrongPromotion(f"better than {better_than} by which metric? `when` names none: give one")
    towards = direction or (when.direction(metric) if when else None) or direction_of(metric)
    return Promotion(model, alias, when, better_than, metric, towards)


def _is_alias(text: str) -> bool:
    is_name = re.fullmatch(ALIAS, text) and not re.fullmatch(RESERVED_ALIAS, text)
    return bool(is_name) and len(text) <= LONGEST_ALIAS


def of_training(promote: Promote) -> Promotion:
    """Return what a TrainingRun asks for.

    Raises:
        WrongCondition: `when` is none.
        WrongPromotion: something is no name, or missing.

    """
    condition = conditions.read(promote.when) if promote.when else None
    return asked(promote.model, promote.alias, condition, promote.better_than, promote.metric, promote.direction)


def problems(spec: TrainingRunSpec) -> list[Problem]:
    """Find what is wrong with `promote` that a schema cannot say."""
    if spec.promote is None:
        return []
    try:
        of_training(spec.promote)
    except WrongCondition as error:
        return [Problem("spec.promote.when", f"Invalid value: {error}")]
    except WrongPromotion as error:
        return [Problem("spec.promote", f"Invalid value: {error}")]
    return []


def decide(wanted: Promotion, run: Facts, holder: Holder | None) -> Verdict:
    """Say whether a run is promoted, with the numbers that were compared.

    Args:
        wanted: what is asked.
        run: what is known of the run.
        holder: who has the alias `wanted.better_than`; None: nobody.

    """
    if run.status is not RunStatus.FINISHED:
        return Verdict(holds=False, because=f"run {run.id[:8]} is {run.status}, and only one that FINISHED is promoted")
    verdicts = []
    if wanted.when is not None:
        verdicts.append(judge(wanted.when, run))
    if wanted.better_than is not None and wanted.metric is not None:
        verdicts.append(_better(wanted, wanted.metric, run, holder))
    if not verdicts:
        return Verdict(holds=True, because="no condition was set")
    # Of what fails nothing else matters.
    failed = [verdict for verdict in verdicts if not verdict.holds]
    because = "; ".join(verdict.because for verdict in failed or verdicts)
    return Verdict(not failed, because)


def _better(wanted: Promotion, metric: str, run: Facts, holder: Holder | None) -> Verdict:
    if lacking := run.lacks(Kind.METRICS, metric):
        return Verdict(holds=False, because=lacking)
    if holder is None:
        return Verdict(holds=True, because=f"{wanted.model} has no {wanted.better_than} yet")
    called = f"version {holder.version}, the {wanted.better_than}"
    if holder.run is None:
        return Verdict(holds=False, because=f"{called}, cannot be compared: the run that it came from is not there")
    if lacking := holder.run.lacks(Kind.METRICS, metric):
        return Verdict(holds=False, because=f"{called}, cannot be compared: {lacking}")
    return compared(metric, wanted.direction, run.metrics[metric], holder.run.metrics[metric], called)


def compared(metric: str, direction: Direction, value: float, other: float, called: str) -> Verdict:
    """Say whether a value is better than another's.

    >>> compared("f1", Direction.HIGHEST, 0.9, 0.9, "version 2").because
    'f1 0.9 is not more than 0.9 of version 2'
    """
    holds = direction.is_better(value, other)
    word = "more" if direction is Direction.HIGHEST else "less"
    return Verdict(holds, f"{metric} {value!r} is {'' if holds else 'not '}{word} than {other!r} of {called}")
