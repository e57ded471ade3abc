"""What is wrong with a sweep that its schema cannot say, the same for the operator and for `runyard sweep`."""

import json
from collections.abc import Iterator

from runyard.api import checks, trials
from runyard.api.parameters import NAME, NAME_REMEDY
from runyard.api.trainingsweep import MOST_TRIALS, Algorithm, NumberType, ParameterSpace, TrainingSweepSpec
from runyard.errors import Problem


def problems(spec: TrainingSweepSpec) -> list[Problem]:
    """Return all of it, each with the field's path."""
    found = [problem for name, space in spec.parameters.items() for problem in _of_space(spec, name, space)]
    return [*found, *([] if found else _of_size(spec)), *_of_template(spec)]


def _of_space(spec: TrainingSweepSpec, name: str, space: ParameterSpace) -> Iterator[Problem]:
    path = f"spec.parameters[{name}]"
    if not NAME.fullmatch(name):
        yield Problem(path, f'Invalid value: "{name}": {NAME_REMEDY}')
    if name in spec.template.parameters:
        yield Problem(f"spec.template.parameters.{name}", f"Forbidden: {path} says what is tried: leave it out here")
    has_range = space.least is not None or space.most is not None
    if space.values is None and not has_range:
        yield Problem(path, "Required value: say what to try: values, or min and max")
    if space.values is not None:
        if has_range:
            yield Problem(f"{path}.values", "Forbidden: give values, or min and max, and not both")
        yield from _of_values(f"{path}.values", space)
    elif has_range:
        yield from _of_range(spec, path, space)


def _of_values(path: str, space: ParameterSpace) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, value in enumerate(space.values or []):
        if not isinstance(value, bool | int | float | str):
            message = "must be numbers, strings or booleans: write a list or an object as one string, which the script"
            yield Problem(path, f"Forbidden: {message} takes apart")
            return
        text = json.dumps(value)
        if text in seen:
            yield Problem(f"{path}[{place}]", f"Duplicate value: {text}")
        seen.add(text)


def _of_range(spec: TrainingSweepSpec, path: str, space: ParameterSpace) -> Iterator[Problem]:
    ends = {"min": space.least, "max": space.most, "step": space.step}
    if space.type is NumberType.INTEGER:
        for name, value in ends.items():
            if value is not None and not float(value).is_integer():
                yield Problem(f"{path}.{name}", f"Invalid value: {value}: must be whole, as type says")
    if spec.algorithm is not Algorithm.GRID:
        return
    if space.log:
        yield Problem(f"{path}.log", "Forbidden: a grid has equal steps: list values, or say algorithm: Random")
    elif not space.is_integer and space.step is None:
        yield Problem(f"{path}.step", "Required value: a grid needs steps, or values: between two fractions lie others")


def _of_size(spec: TrainingSweepSpec) -> Iterator[Problem]:
    if spec.algorithm is not Algorithm.GRID or spec.max_trials is not None:
        return
    found = trials.combinations(spec)
    if found is not None and found > MOST_TRIALS:
        message = f"the grid has {found:,} combinations: say how many to try, up to {MOST_TRIALS:,}"
        yield Problem("spec.maxTrials", f"Required value: {message}")


def _of_template(spec: TrainingSweepSpec) -> Iterator[Problem]:
    """Return what is wrong with the trials, of which the first stands for all."""
    # Whatever is wrong with a parameter's name was said where it stands.
    tried = {name: 0 for name in spec.parameters if NAME.fullmatch(name)}
    trial = spec.template.model_copy(update={"parameters": {**spec.template.parameters, **tried}})
    for problem in checks.problems(trial):
        yield Problem(problem.path.replace("spec", "spec.template", 1), problem.message)
