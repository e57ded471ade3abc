"""What a TrainingRun asks for once it has succeeded: its model's registration, and an alias for it.

docs/promotion.md tells what must hold, and `runyard.api.promotion` decides it.
"""

from pydantic import Field

from runyard.api.direction import Direction
from runyard.api.model import Model
from runyard.api.rules import REQUIRED, Rule, rule

CHAMPION = "champion"
LONGEST_MODEL, LONGEST_ALIAS, LONGEST_METRIC = 200, 100, 250
LONGEST_CONDITION = 1_000

# As MLflow has them; shorter, since an alias is a part of tags' names here.
ALIAS = "^[A-Za-z0-9_-]+$"
RESERVED_ALIAS = "^(latest|[vV][0-9]+)$"
NOT_IN_MODEL = r"[/:\x00-\x1f\x7f]"
NO_MODEL = "^[ .]*$"

_ALIAS_RULE: Rule = rule(
    f"self.matches('{ALIAS}') && !self.matches('{RESERVED_ALIAS}')",
    'must be letters, digits, - and _, and neither "latest" nor a version as "v1"',
)


class Promote(Model):
    """Which alias the training's model is to have, and what must hold for it."""

    model: str = Field(
        min_length=1,
        max_length=LONGEST_MODEL,
        description="Registered model that the training's model becomes a version of; it is made if it is not there.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"!self.matches('{NOT_IN_MODEL.replace(chr(92), chr(92) * 2)}') && !self.matches('{NO_MODEL}')",
                    "must be a name without / and : and control characters, and not only of dots and spaces",
                )
            ]
        },
    )
    alias: str = Field(
        CHAMPION,
        min_length=1,
        max_length=LONGEST_ALIAS,
        description="Which of the model's aliases the version gets.",
        json_schema_extra={"x-kubernetes-validations": [_ALIAS_RULE]},
    )
    when: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_CONDITION,
        description="Only if this holds for the training's run, such as metrics.f1_score >= 0.9 && "
        'params.solver == "lbfgs".',
    )
    better_than: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_ALIAS,
        description="Only if it is better than the version with this alias; met where no version has it.",
        json_schema_extra={"x-kubernetes-validations": [_ALIAS_RULE]},
    )
    metric: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_METRIC,
        description="Better by which metric; default: the one that `when` names first.",
    )
    direction: Direction | None = Field(
        None,
        description="Which values are better; default: those that `when` asks for, else lowest for "
        "losses and errors, highest for all else.",
    )
    because: str | None = Field(
        None, min_length=1, max_length=1024, description="A reason in your words, kept with what was compared."
    )


PROMOTE_RULES = (
    rule(
        "has(self.betterThan) || (!has(self.metric) && !has(self.direction))",
        "metric and direction say how a run is better than another: name the other's alias",
        ".betterThan",
        reason=REQUIRED,
    ),
    rule(
        "!has(self.betterThan) || has(self.metric) || (has(self.when) && self.when.contains('metrics'))",
        "better than another by which metric? `when` names none: give one",
        ".metric",
        reason=REQUIRED,
    ),
)
