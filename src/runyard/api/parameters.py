"""Parameters of a training: their text, and where they are put in."""

import json
import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import TrainingRunSpec
from runyard.errors import Problem

VARIABLE_PREFIX = "PARAM_"
_REFERENCE = re.compile(r"\$\(params\.([^)]*)\)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAME_REMEDY = "a parameter's name is letters, digits and underscores, and does not begin with a digit"

# As the policy beside the definition says it (charts/runyard/files/crds/parameters-policy.yaml).
_NOT_SCALAR: dict[type, str] = {
    list: ", and not a list: write it as one string, which the script takes apart",
    dict: ", and not an object: give each of its fields a parameter of its own",
    type(None): "",
}


def text_of(value: JsonValue) -> str:
    """Return a parameter as a command line has it: strings as they are, the others as JSON writes them."""
    return value if isinstance(value, str) else json.dumps(value)


def substituted(text: str, parameters: Mapping[str, JsonValue]) -> str:
    """Replace each $(params.NAME) that there is; every other $(…) is left to Kubernetes."""
    return _REFERENCE.sub(lambda found: text_of(parameters[found[1]]) if found[1] in parameters else found[0], text)


def variables(parameters: Mapping[str, JsonValue]) -> dict[str, str]:
    """Return the PARAM_… variables."""
    return {f"{VARIABLE_PREFIX}{name}": text_of(value) for name, value in parameters.items()}


def problems(spec: TrainingRunSpec) -> list[Problem]:
    """Find what is wrong with the parameters and with their uses, which a schema cannot say."""
    return [*_bad_parameters(spec), *_bad_references(spec)]


def usable(spec: TrainingRunSpec) -> dict[str, JsonValue]:
    """Return the parameters that nothing is wrong with."""
    wrong = {problem.path for problem in _bad_parameters(spec)}
    return {name: value for name, value in spec.parameters.items() if f"spec.parameters.{name}" not in wrong}


def _bad_parameters(spec: TrainingRunSpec) -> Iterator[Problem]:
    for name, value in spec.parameters.items():
        if not NAME.fullmatch(name):
            yield Problem(
                f"spec.parameters.{name}",
                f'Invalid value: "{name}": {NAME_REMEDY}',
            )
        if (remedy := _NOT_SCALAR.get(type(value))) is not None:
            yield Problem(f"spec.parameters.{name}", f"Forbidden: must be a number, a string or a boolean{remedy}")


def _bad_references(spec: TrainingRunSpec) -> Iterator[Problem]:
    for path, text in _texts(spec):
        for name in _REFERENCE.findall(text):
            if name not in spec.parameters:
                known = ", ".join(spec.parameters) or "none"
                yield Problem(
                    path,
                    f'Invalid value: "$(params.{name})": spec.parameters has no "{name}"; it has: {known}',
                )


def _texts(spec: TrainingRunSpec) -> Iterator[tuple[str, str]]:
    """Return each text that parameters are put into, with its path."""
    index, template = spec.template_container
    given = spec.model_dump(mode="json", by_alias=True, include={"command", "args", "env"})
    yield from _texts_of(given, "spec")
    yield from _texts_of(template, f"spec.podTemplate.spec.containers[{index}]")


def _texts_of(container: JsonObject, path: str) -> Iterator[tuple[str, str]]:
    for key in ("command", "args"):
        for index, text in enumerate(as_list(container.get(key))):
            yield f"{path}.{key}[{index}]", str(text)
    for index, variable in enumerate(map(as_object, as_list(container.get("env")))):
        if isinstance(value := variable.get("value"), str):
            yield f"{path}.env[{index}].value", value
