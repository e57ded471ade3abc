"""A sweep: one training, tried with many values of its parameters, and what came of it.

As with the TrainingRun, these types are the source of the CustomResourceDefinition and of the checks that `runyard
sweep` makes.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field, WithJsonSchema

from runyard.api.direction import Direction, direction_of
from runyard.api.model import Model
from runyard.api.promote import LONGEST_METRIC
from runyard.api.rules import REQUIRED, rule
from runyard.api.sweep_status import TrainingSweepStatus
from runyard.api.trainingrun import API_VERSION, ObjectMeta, Parameter, TrainingRunSpec

KIND = "TrainingSweep"
PLURAL = "trainingsweeps"

# Each trial is a TrainingRun, which the API server keeps: more would be a burden to it.
MOST_TRIALS = 10_000
MOST_VALUES = 1_000
# A trial is called NAME-INDEX, and carries NAME as a label.
LONGEST_NAME = 50

# A range's ends stay what they were written as: whole or not.
Number: TypeAlias = Annotated[int | float, WithJsonSchema({"type": "number"})]


class Algorithm(StrEnum):
    """How the trials' parameters are chosen."""

    GRID = "Grid"
    RANDOM = "Random"
    OPTUNA = "Optuna"


class Sampler(StrEnum):
    """Optuna's ways to choose."""

    TPE = "TPE"
    MULTIVARIATE_TPE = "MultivariateTPE"
    RANDOM = "Random"


class NumberType(StrEnum):
    """Which numbers a range holds."""

    INTEGER = "Integer"
    FLOAT = "Float"


class ParameterSpace(Model):
    """What a parameter may be: one of some values, or a number of a range."""

    values: list[Parameter] | None = Field(
        None, min_length=1, max_length=MOST_VALUES, description="What to try: numbers, strings, booleans."
    )
    least: Number | None = Field(None, alias="min", description="The least number of a range, itself included.")
    most: Number | None = Field(None, alias="max", description="The greatest number of a range, itself included.")
    step: Number | None = Field(
        None, description="From one number to the next; default: 1 between integers, else any number."
    )
    log: bool = Field(default=False, description="true: as many trials between 0.001 and 0.01 as between 0.01 and 0.1.")
    type: NumberType | None = Field(
        None, description="Which numbers; default: Integer where min, max and step are whole, else Float."
    )

    @property
    def is_integer(self) -> bool:
        """Whether a range holds whole numbers alone."""
        if self.type is not None:
            return self.type is NumberType.INTEGER
        return all(float(found).is_integer() for found in (self.least, self.most, self.step) if found is not None)


_RANGE_RULES = (
    rule("has(self.max) || !has(self.min)", "a range has two ends: give both", ".max", reason=REQUIRED),
    rule("has(self.min) || !has(self.max)", "a range has two ends: give both", ".min", reason=REQUIRED),
    rule("!has(self.min) || !has(self.max) || self.min < self.max", "must be less than max", ".min"),
    rule("!has(self.step) || self.step > 0.0", "must be greater than 0", ".step"),
    rule("!self.log || !has(self.min) || self.min > 0.0", "a logarithmic range begins above 0", ".min"),
    rule("!self.log || !has(self.step)", "a logarithmic range has no steps: leave step or log out", ".step"),
    rule(
        "has(self.min) || has(self.max) || !(self.log || has(self.step) || has(self.type))",
        "step, log and type are about a range: give min and max",
        ".min",
        reason=REQUIRED,
    ),
)


Space: TypeAlias = Annotated[ParameterSpace, Field(json_schema_extra={"x-kubernetes-validations": [*_RANGE_RULES]})]


class Objective(Model):
    """Which trial is the best."""

    metric: str = Field(
        min_length=1,
        max_length=LONGEST_METRIC,
        description="The metric that trials are judged by. A trial that succeeds without it counts as failed.",
    )
    direction: Direction | None = Field(
        None, description="Which values are better; default: lowest for losses and errors, else highest."
    )

    @property
    def wanted(self) -> Direction:
        """Which values are better."""
        return self.direction or direction_of(self.metric)


class Pruning(Model):
    """Which trials are ended early: those that are worse than the median of those that ended well, at the same step."""

    after_steps: int = Field(
        1, ge=0, le=1_000_000_000, description="The first step of the metric at which a trial may be ended."
    )
    min_trials: int = Field(
        4, ge=1, le=500, description="How many trials that ended well must have come as far before one is ended."
    )


class TrainingSweepSpec(Model):
    """What to try, how to choose, and which is best."""

    template: TrainingRunSpec = Field(description="What each trial is: the spec of a TrainingRun.")
    parameters: dict[str, Space] = Field(
        min_length=1,
        max_length=32,
        description="What is tried, by name: a trial's TrainingRun has one value of each among its parameters.",
    )
    algorithm: Algorithm = Field(
        Algorithm.GRID,
        description="Grid (default): every combination; the last parameter changes from trial to trial. Random: "
        "any, each by itself. Optuna: by what earlier trials came to.",
    )
    sampler: Sampler | None = Field(
        None,
        description="Which of Optuna's samplers; default: TPE, which looks at each parameter by itself. "
        "MultivariateTPE looks at them together.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Random: with the same seed trial 7 tries the same again. Optuna: it does where the results "
        "before it are the same.",
    )
    max_trials: int | None = Field(
        None, ge=1, le=MOST_TRIALS, description="How many trials; default with Grid: every combination."
    )
    parallelism: int = Field(1, ge=1, le=256, description="How many trials may go on at the same time.")
    objective: Objective = Field(description="Which trial is the best.")
    pruning: Pruning | None = Field(
        None,
        description="End trials early that are worse than the median of those that ended well. The script logs the "
        "objective's metric with a step.",
    )
    max_failed_trials: int | None = Field(
        None,
        ge=0,
        le=MOST_TRIALS,
        description="After more failed trials than this no other begins, and the sweep has failed; default: no limit.",
    )
    suspend: bool = Field(
        default=False, description="true: no further trial begins until it is set to false; those that run go on."
    )


SWEEP_RULES = (
    rule(
        "self.algorithm == 'Grid' || has(self.maxTrials)",
        "Random and Optuna find no end by themselves: say how many trials",
        ".maxTrials",
        reason=REQUIRED,
    ),
    rule(
        "self.algorithm == 'Optuna' || !has(self.sampler)",
        "is one of Optuna's: say algorithm: Optuna, or leave it out",
        ".sampler",
    ),
    rule(
        "!self.template.suspend",
        "suspends each trial by itself: suspend the sweep, by spec.suspend",
        ".template.suspend",
    ),
)

# What may be changed while a sweep goes on; everything else decides what its trials are.
SWEEP_MUTABLE = ("maxTrials", "parallelism", "maxFailedTrials", "suspend")
# Values of any type, which the definition's rules cannot see: an admission policy beside it guards them.
SWEEP_UNSEEN = ("parameters",)
SWEEP_IMMUTABLE_MESSAGE = "cannot be changed: create a new TrainingSweep"


class TrainingSweep(Model):
    """Many trainings, asked for at once."""

    api_version: str = API_VERSION
    kind: str = KIND
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: TrainingSweepSpec
    status: TrainingSweepStatus = Field(default_factory=TrainingSweepStatus)

    @property
    def experiment(self) -> str:
        """The MLflow experiment of the parent run, and of the trials' unless the script says otherwise."""
        return self.spec.template.experiment or self.metadata.namespace
