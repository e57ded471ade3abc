"""What the API server refuses of a sweep, and in which words: one row a mistake, as tests/support/refusals.py.

What is below `spec.template` is a TrainingRun's, and in its rows.
"""

from typing import Any

from tests.support.refusals import Refusal

RIGHT: dict[str, Any] = {
    "template": {"image": "x"},
    "parameters": {"a": {"values": [1, 2]}},
    "objective": {"metric": "f1"},
}
_A = "spec.parameters[a]"


def _row(about: str, spec: Any, *said: str, **metadata: Any) -> Refusal:
    return Refusal(about, spec, said, metadata, "TrainingSweep", RIGHT)


def _space(**space: Any) -> dict[str, Any]:
    return {"parameters": {"a": space}}


def _range(**space: Any) -> dict[str, Any]:
    return _space(**{"min": 1, "max": 2, **space})


def _type(path: str, found: str, wanted: str) -> str:
    return f'{path}: Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'


def _no_choice(path: str, found: str, *choices: str) -> str:
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return f"{path}: Unsupported value: {found}: supported values: {listed}"


def _bound(path: str, value: int, words: str, limit: int) -> str:
    return f"{path}: Invalid value: {value}: {path} in body should be {words} than or equal to {limit}"


def _bounds(name: str, field: str, least: int, most: int) -> tuple[Refusal, ...]:
    """Return the rows of a whole number: `field` is where it stands."""
    path = f"spec.{field}"
    return (
        _row(f"a text for {name}", _at(field, "x"), _type(path, "string", "integer")),
        _row(f"{name} below its bounds", _at(field, least - 1), _bound(path, least - 1, "greater", least)),
        _row(f"{name} above its bounds", _at(field, most + 1), _bound(path, most + 1, "less", most)),
    )


def _at(field: str, value: Any) -> dict[str, Any]:
    first, _, rest = field.partition(".")
    return {first: _at(rest, value) if rest else value}


_ALGORITHMS, _SAMPLERS = ("Grid", "Random", "Optuna"), ("TPE", "MultivariateTPE", "Random")
_TWO_ENDS = "Required value: a range has two ends: give both"
_SCALARS = (
    "Forbidden: must be numbers, strings or booleans: write a list or an object as one string, which the script takes "
    "apart"
)

SWEEP_REFUSALS = (
    # The whole
    _row("no spec", None, "spec: Required value"),
    _row("a list for a spec", [], _type("spec", "array", "object")),
    _row("no template", {"template": None}, "spec.template: Required value"),
    _row("no parameters", {"parameters": None}, "spec.parameters: Required value"),
    _row("no objective", {"objective": None}, "spec.objective: Required value"),
    _row(
        "a name that trials cannot be named after",
        {},
        "metadata.name: Too long: may not be more than 50 bytes",
        name="x" * 51,
    ),
    # template
    _row(
        "a template without an image",
        {"template": {}},
        "spec.template.image: Required value: say which image to train in, here or in podTemplate for its container "
        'named "training"',
    ),
    _row(
        "a suspended template",
        {"template": {"image": "x", "suspend": True}},
        "spec.template.suspend: Forbidden: suspends each trial by itself: suspend the sweep, by spec.suspend",
    ),
    _row(
        "a list for a parameter of the template",
        {"template": {"image": "x", "parameters": {"b": [1]}}},
        "spec.template.parameters.b: Forbidden: must be a number, a string or a boolean, and not a list: write it as "
        "one string, which the script takes apart",
    ),
    _row(
        "an object for a parameter of the template",
        {"template": {"image": "x", "parameters": {"b": {"c": 1}}}},
        "spec.template.parameters.b: Forbidden: must be a number, a string or a boolean, and not an object: give each "
        "of its fields a parameter of its own",
    ),
    # parameters
    _row("a list for parameters", {"parameters": []}, _type("spec.parameters", "array", "object")),
    _row(
        "nothing to try",
        {"parameters": {}},
        "spec.parameters: Invalid value: 0: spec.parameters in body should have at least 1 properties",
    ),
    _row(
        "too many parameters",
        {"parameters": {f"p{index}": {"values": [1]} for index in range(33)}},
        "spec.parameters: Too many: 33: must have at most 32 items",
    ),
    _row("a number for what to try", {"parameters": {"a": 3}}, _type("spec.parameters.a", "integer", "object")),
    _row("a parameter without values", _space(), f"{_A}: Required value: say what to try: values, or min and max"),
    _row(
        "values and a range", _range(values=[1]), f"{_A}.values: Forbidden: give values, or min and max, and not both"
    ),
    _row("a number for values", _space(values=3), _type("spec.parameters.a.values", "integer", "array")),
    _row(
        "no values",
        _space(values=[]),
        "spec.parameters.a.values: Invalid value: 0: spec.parameters.a.values in body should have at least 1 items",
    ),
    _row(
        "too many values",
        _space(values=list(range(1001))),
        "spec.parameters.a.values: Too many: 1001: must have at most 1000 items",
    ),
    _row("a list among values", _space(values=[1, [2]]), f"{_A}.values: {_SCALARS}"),
    _row("an object among values", _space(values=[{"b": 2}]), f"{_A}.values: {_SCALARS}"),
    _row("a text for a range's beginning", _range(min="x"), _type("spec.parameters.a.min", "string", "number")),
    _row("a text for a range's end", _range(max="x"), _type("spec.parameters.a.max", "string", "number")),
    _row("a text for a step", _range(step="x"), _type("spec.parameters.a.step", "string", "number")),
    _row("a text for log", _range(log="x"), _type("spec.parameters.a.log", "string", "boolean")),
    _row(
        "a number for a type",
        _range(type=3),
        _type("spec.parameters.a.type", "integer", "string"),
        _no_choice("spec.parameters.a.type", "3", "Integer", "Float"),
    ),
    _row("a type that is none", _range(type="int"), _no_choice("spec.parameters.a.type", '"int"', "Integer", "Float")),
    _row("a range without an end", _space(min=1), f"{_A}.max: {_TWO_ENDS}"),
    _row("a range without a beginning", _space(max=1), f"{_A}.min: {_TWO_ENDS}"),
    _row("a range that ends before it begins", _range(min=2, max=1.5), f"{_A}.min: Forbidden: must be less than max"),
    _row("a range of one number", _range(min=2), f"{_A}.min: Forbidden: must be less than max"),
    _row("no step forward", _range(step=0), f"{_A}.step: Forbidden: must be greater than 0"),
    _row("a logarithm of 0", _range(min=0, log=True), f"{_A}.min: Forbidden: a logarithmic range begins above 0"),
    _row(
        "steps in a logarithmic range",
        _range(log=True, step=1),
        f"{_A}.step: Forbidden: a logarithmic range has no steps: leave step or log out",
    ),
    _row(
        "a step between values",
        _space(values=[1], step=2),
        f"{_A}.min: Required value: step, log and type are about a range: give min and max",
    ),
    # algorithm
    _row(
        "a number for an algorithm",
        {"algorithm": 3},
        _type("spec.algorithm", "integer", "string"),
        _no_choice("spec.algorithm", "3", *_ALGORITHMS),
    ),
    _row("an algorithm that is none", {"algorithm": "Tree"}, _no_choice("spec.algorithm", '"Tree"', *_ALGORITHMS)),
    _row(
        "a number for a sampler",
        {"algorithm": "Optuna", "maxTrials": 3, "sampler": 3},
        _type("spec.sampler", "integer", "string"),
        _no_choice("spec.sampler", "3", *_SAMPLERS),
    ),
    _row(
        "a sampler that is none",
        {"algorithm": "Optuna", "maxTrials": 3, "sampler": "tpe"},
        _no_choice("spec.sampler", '"tpe"', *_SAMPLERS),
    ),
    _row(
        "a sampler without Optuna",
        {"sampler": "TPE"},
        "spec.sampler: Forbidden: is one of Optuna's: say algorithm: Optuna, or leave it out",
    ),
    _row(
        "chance without an end",
        {"algorithm": "Random"},
        "spec.maxTrials: Required value: Random and Optuna find no end by themselves: say how many trials",
    ),
    # numbers
    *_bounds("a seed", "seed", 0, 2**31 - 1),
    *_bounds("the number of trials", "maxTrials", 1, 10_000),
    *_bounds("parallelism", "parallelism", 1, 256),
    *_bounds("failed trials", "maxFailedTrials", 0, 10_000),
    *_bounds("steps before pruning", "pruning.afterSteps", 0, 1_000_000_000),
    *_bounds("trials before pruning", "pruning.minTrials", 1, 500),
    # objective, pruning, suspend
    _row("a text for an objective", {"objective": "f1"}, _type("spec.objective", "string", "object")),
    _row("an objective without a metric", {"objective": {}}, "spec.objective.metric: Required value"),
    _row("a number for a metric", _at("objective.metric", 3), _type("spec.objective.metric", "integer", "string")),
    _row(
        "an empty metric",
        _at("objective.metric", ""),
        'spec.objective.metric: Invalid value: "": spec.objective.metric in body should be at least 1 chars long',
    ),
    _row(
        "a metric too long",
        _at("objective.metric", "x" * 251),
        "spec.objective.metric: Too long: may not be more than 250 bytes",
    ),
    _row(
        "a number for a direction",
        {"objective": {"metric": "f1", "direction": 3}},
        _type("spec.objective.direction", "integer", "string"),
        _no_choice("spec.objective.direction", "3", "highest", "lowest"),
    ),
    _row(
        "a direction that is none",
        {"objective": {"metric": "f1", "direction": "up"}},
        _no_choice("spec.objective.direction", '"up"', "highest", "lowest"),
    ),
    _row("a number for pruning", {"pruning": 3}, _type("spec.pruning", "integer", "object")),
    _row("a text for suspend", {"suspend": "yes"}, _type("spec.suspend", "string", "boolean")),
)

# Taken by the API server, which cannot see it; the operator says it, and `runyard sweep` does.
UNSEEN_REFUSALS = (
    _row(
        "a grid of fractions without steps",
        _range(max=1.5),
        f"{_A}.step: Required value: a grid needs steps, or values: between two fractions lie others",
    ),
    _row(
        "a logarithmic grid",
        _range(log=True),
        f"{_A}.log: Forbidden: a grid has equal steps: list values, or say algorithm: Random",
    ),
    _row(
        "fractions of whole numbers",
        _range(min=0.5, step=1.5, type="Integer"),
        f"{_A}.min: Invalid value: 0.5: must be whole, as type says",
        f"{_A}.step: Invalid value: 1.5: must be whole, as type says",
    ),
    _row("a value twice", _space(values=[1, "1", 1]), f"{_A}.values[2]: Duplicate value: 1"),
    _row(
        "a name that no variable can have",
        {"parameters": {"a-b": {"values": [1]}}},
        'spec.parameters[a-b]: Invalid value: "a-b": a parameter\'s name is letters, digits and underscores, and does '
        "not begin with a digit",
    ),
    _row(
        "a parameter that is tried and set",
        {"template": {"image": "x", "parameters": {"a": 1}}},
        "spec.template.parameters.a: Forbidden: spec.parameters[a] says what is tried: leave it out here",
    ),
    _row(
        "a reference to no parameter",
        {"template": {"image": "x", "args": ["$(params.b)"], "parameters": {"c": 1}}},
        'spec.template.args[0]: Invalid value: "$(params.b)": spec.parameters has no "b"; it has: c, a',
    ),
    _row(
        "a grid without an end",
        {"parameters": {name: {"min": 0, "max": 99} for name in ("a", "b", "c")}},
        "spec.maxTrials: Required value: the grid has 1,000,000 combinations: say how many to try, up to 10,000",
    ),
)

# Fields that are not there at all.
UNKNOWN_IN_SWEEP = {
    "foo": {"foo": 1},
    "parameters.a.choices": _space(choices=[1]),
    "template.epochs": {"template": {"image": "x", "epochs": 3}},
}
