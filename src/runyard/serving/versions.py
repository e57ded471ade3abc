"""Which version of a registered model is meant, where it lies, and what it is asked with."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from runyard.api.model import as_list, as_object
from runyard.errors import RunyardError, TrackingUnavailable
from runyard.registry import Models, done
from runyard.tracking import answering, client

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ALIAS = "champion"
_ASKED = re.compile(
    r"(?:models:/)?(?P<model>[^/:@]+|[^/:]+(?=@[\w-]+$))(?:@(?P<alias>[\w-]+)|/(?P<version>[1-9]\d{0,17}))?"
)
_EXAMPLE = "serving_input_example.json"
_LARGEST_EXAMPLE_BYTES = 1024 * 1024
_LOGGED_MODEL, _RUN = "models:/", "runs:/"


class NoSuchModel(RunyardError):
    """There is no such model, version or alias."""

    exit_code = 2


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        model: the registered model.
        number: the version.
        alias: by which it was found, if by one.
        run_id: the run that logged it, if MLflow knows.
        location: where its files are, as the store says.

    """

    model: str
    number: int
    alias: str | None = None
    run_id: str | None = None
    location: str = ""

    @property
    def uri(self) -> str:
        """The address by which MLflow loads this version, and no other."""
        return f"models:/{self.model}/{self.number}"


def read(asked: str) -> tuple[str, str | None, int | None]:
    """Return the model, the alias and the version that a person asks for.

    Raises:
        NoSuchModel: that is none of the ways to name one.

    >>> read("heart"), read("heart@challenger"), read("models:/heart/3")
    (('heart', 'champion', None), ('heart', 'challenger', None), ('heart', None, 3))
    """
    found = _ASKED.fullmatch(asked)
    if not found:
        raise NoSuchModel(f"{asked} names no model: give MODEL, MODEL@ALIAS or MODEL/VERSION")
    if found["version"]:
        return found["model"], None, int(found["version"])
    return found["model"], found["alias"] or DEFAULT_ALIAS, None


def find(uri: str, asked: str) -> Version:
    """Find a version: by its number or by the alias that it has now.

    Args:
        uri: MLflow's.
        asked: MODEL, which is MODEL@champion, or MODEL@ALIAS, or MODEL/VERSION.

    Raises:
        NoSuchModel: there is none, or no version has that alias.
        TrackingUnavailable: MLflow does not answer.

    """
    model, alias, number = read(asked)
    models = Models(uri)
    registered = done(models.read(model))
    if not registered.is_there:
        raise NoSuchModel(f"there is no registered model {model}: `runyard promote RUN --model {model}` makes it")
    if number is None:
        number = registered.aliases.get(str(alias))
    if number is None:
        raise NoSuchModel(
            f"no version of {model} has the alias {alias}{_others(registered.aliases)}: give MODEL@ALIAS or "
            f"MODEL/VERSION, or `runyard promote RUN --model {model}` first"
        )
    found = done(models.version(model, number))
    if found is None:
        raise NoSuchModel(f"there is no version {number} of {model}")
    return Version(model, number, alias, found.run_id or None, _location(uri, str(found.source)))


def _others(aliases: Mapping[str, int]) -> str:
    listed = ", ".join(f"{alias} (version {number})" for alias, number in sorted(aliases.items()))
    return f", though it has {listed}" if listed else ""


def _location(uri: str, source: str) -> str:
    """Return where files lie that a registry names by a logged model or a run."""
    opened = client(uri)
    with answering(uri, "say where a model lies"):
        if source.startswith(_LOGGED_MODEL):
            return str(opened.get_logged_model(source.removeprefix(_LOGGED_MODEL)).artifact_location)
        if source.startswith(_RUN):
            run_id, _, path = source.removeprefix(_RUN).partition("/")
            return f"{opened.get_run(run_id).info.artifact_uri}/{path}"
    return source


def example(uri: str, version: Version) -> JsonValue:
    """Return the model's input example as the scoring server takes it, its first row alone; None where it has none.

    Raises:
        TrackingUnavailable: MLflow does not answer.

    """
    from mlflow import artifacts

    with answering(uri, "list a model's files"):
        listed = artifacts.list_artifacts(artifact_uri=version.location, tracking_uri=uri)
    size = next((each.file_size or 0 for each in listed if Path(each.path).name == _EXAMPLE), None)
    if size is None or size > _LARGEST_EXAMPLE_BYTES:
        return None
    with answering(uri, "read a model's input example"), tempfile.TemporaryDirectory() as scratch:
        address = f"{version.location}/{_EXAMPLE}"
        file = artifacts.download_artifacts(artifact_uri=address, dst_path=scratch, tracking_uri=uri)
        text = Path(file).read_text(encoding="utf-8")
    try:
        return first_row(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise TrackingUnavailable(f"the input example of {version.uri} is not JSON: {error}") from error


def first_row(given: JsonValue) -> JsonValue:
    """Return a request with the first of its rows alone.

    >>> first_row({"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}})
    {'dataframe_split': {'columns': ['a'], 'data': [[1]]}}
    >>> first_row({"inputs": [[1, 2], [3, 4]]})
    {'inputs': [[1, 2]]}
    """
    request = as_object(given)
    for key in ("inputs", "instances", "dataframe_records"):
        if rows := as_list(request.get(key)):
            return {**request, key: rows[:1]}
    split = as_object(request.get("dataframe_split"))
    if rows := as_list(split.get("data")):
        kept = {key: value for key, value in split.items() if key != "index"}
        return {**request, "dataframe_split": {**kept, "data": rows[:1]}}
    return given
