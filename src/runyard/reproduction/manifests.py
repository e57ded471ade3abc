"""The manifest that repeats a training: what it was made of, pinned. No I/O."""

import copy
import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.parameters import text_of
from runyard.api.repetition import annotations
from runyard.errors import RunyardError
from runyard.reproduction.receipts import Receipt, Where
from runyard.reproduction.verdicts import varies

# As the API server has it.
LONGEST_NAME = 253
SUFFIX_LENGTH = 5
_DERIVED = re.compile(r"-again-[a-z0-9]{5}$")


class WrongChange(RunyardError):
    """What is to be changed is no parameter of the training."""

    exit_code = 2


def derived_name(name: str, suffix: str) -> str:
    """Return the name of a repetition; of a repetition's repetition no longer one.

    >>> derived_name("wine-forest", "x7k2p"), derived_name("wine-forest-again-x7k2p", "9bqd4")
    ('wine-forest-again-x7k2p', 'wine-forest-again-9bqd4')
    """
    end = f"-again-{suffix}"
    return _DERIVED.sub("", name)[: LONGEST_NAME - len(end)].rstrip("-.") + end


def changes_of(words: list[str]) -> dict[str, str]:
    """Read NAME=VALUE, each.

    Raises:
        WrongChange: one of them is something else, or a name stands there twice.

    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise WrongChange(f'--set is "{word}": give NAME=VALUE')
        if name in found:
            raise WrongChange(f'--set gives "{name}" twice')
        found[name] = value
    return found


def changed_parameters(receipt: Receipt, changes: Mapping[str, str]) -> JsonObject:
    """Return the training's parameters with changes, each of the type that it was, as far as the value can be that.

    Raises:
        WrongChange: the training has no parameter of that name.

    """
    found = dict(as_object(receipt.spec.get("parameters")))
    for name, text in changes.items():
        if name not in found:
            there = ", ".join(found) or "none"
            raise WrongChange(f'--set: {receipt.name} has no parameter "{name}"; it has: {there}')
        if text != text_of(found[name]):
            found[name] = text if isinstance(found[name], str) else _scalar(text)
    return found


def _scalar(text: str) -> JsonValue:
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


def again(
    receipt: Receipt,
    name: str,
    where: Where,
    *,
    changes: Mapping[str, str] | None = None,
    is_other_code: bool = False,
    namespace: str | None = None,
) -> JsonObject:
    """Return the manifest that repeats a training: code, data and image pinned to what they were.

    Args:
        receipt: what is known of it; it has a manifest.
        name: the new resource's.
        where: where it is to run. A machine does without the image.
        changes: other values of parameters, as text.
        is_other_code: whether it will train other code, as was asked for; no field of a manifest says so.
        namespace: the new resource's; None: the one that it was in, if that was in a cluster.

    Raises:
        WrongChange: the training has no parameter of that name.

    """
    spec = copy.deepcopy(receipt.spec)
    before = as_object(receipt.manifest.get("metadata")).get("namespace")
    # The experiment is the namespace's where none is named; this one may be another.
    if not spec.get("experiment") and before:
        spec["experiment"] = before
    # Whoever suspended that one did not suspend this. A result that is there already is what is to be trained again,
    # and who asks whether it comes again asks for no other champion.
    for gone in ("suspend", "onDuplicate", "promote"):
        spec.pop(gone, None)
    if spec.get("parameters"):
        spec["parameters"] = changed_parameters(receipt, changes or {})
    elif changes:
        changed_parameters(receipt, changes)
    if (source := as_object(spec.get("source"))) and receipt.commit:
        source["revision"] = receipt.commit
    for dataset in map(as_object, as_list(spec.get("datasets"))):
        if digest := receipt.datasets.get(str(dataset.get("name"))):
            dataset["digest"] = digest
    if where is Where.CLUSTER and receipt.image:
        spec["image"] = receipt.image
    # Labels and annotations say by whom a resource is managed, and nobody but a person manages this one.
    different = varies(_changed(receipt, spec), is_other_code=is_other_code)
    metadata: JsonObject = {"name": name, "annotations": {**annotations(receipt.run.id, different)}}
    kept = namespace or (before if receipt.ran is Where.CLUSTER else None)
    if kept:
        metadata["namespace"] = kept
    return {**{key: receipt.manifest[key] for key in ("apiVersion", "kind")}, "metadata": metadata, "spec": spec}


def changed(receipt: Receipt, document: JsonObject) -> dict[str, tuple[str, str]]:
    """Return the parameters that a manifest has otherwise, as text: before and now."""
    return _changed(receipt, as_object(document.get("spec")))


def _changed(receipt: Receipt, spec: JsonObject) -> dict[str, tuple[str, str]]:
    now = as_object(spec.get("parameters"))
    return {
        name: (value, text_of(now[name]))
        for name, value in receipt.parameters.items()
        if name in now and text_of(now[name]) != value
    }
