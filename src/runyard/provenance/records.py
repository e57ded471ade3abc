"""What `log` wrote to a run, read back: anybody may have written it, so nothing of it is taken on trust."""

import json
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from runyard.api.model import JsonObject
from runyard.errors import ProvenanceUnavailable

if TYPE_CHECKING:
    import mlflow

ARTIFACT = "runyard/provenance.json"
# A thousand packages take 50 kB.
LARGEST_BYTES = 4 * 1024 * 1024


class _Code(BaseModel):
    commit: str | None = None
    branch: str | None = None
    address: str | None = None
    diff: str | None = None


class _Hardware(BaseModel):
    machine: str | None = None
    processor: str | None = None
    cpus: float | None = None
    gpus: list[str] = []


class _About(BaseModel):
    """The types of what others rely on; what is not there is not known, and what is unknown stays as it is."""

    fingerprint: str | None = None
    code: _Code | None = None
    script: str | None = None
    image: str | None = None
    python: str | None = None
    packages: dict[str, str] = {}
    hardware: _Hardware | None = None
    command: list[str] = []
    workers: int | None = None
    parameters: dict[str, str] = {}
    seeds: dict[str, str] = {}
    datasets: dict[str, str] = {}


def read(client: "mlflow.MlflowClient", run_id: str) -> JsonObject:
    """Return a run's provenance.json, with members of the types that docs/provenance.md gives; empty without one.

    One listing of its folder and that one file are asked for, whatever else the run has.

    Raises:
        ProvenanceUnavailable: it is too large, or nothing that `log` would write.
        mlflow.exceptions.MlflowException: the server does not answer.

    """
    folder = str(PurePosixPath(ARTIFACT).parent)
    entry = next((found for found in client.list_artifacts(run_id, folder) if found.path == ARTIFACT), None)
    if entry is None:
        return {}
    if entry.is_dir or (entry.file_size or 0) > LARGEST_BYTES:
        raise _unreadable(run_id, f"no file of at most {LARGEST_BYTES} bytes")
    with tempfile.TemporaryDirectory() as scratch:
        content = Path(client.download_artifacts(run_id, ARTIFACT, scratch)).read_bytes()
    return parsed(content, run_id)


def parsed(content: bytes, run_id: str) -> JsonObject:
    """Return what the content of a run's provenance.json says.

    Raises:
        ProvenanceUnavailable: it is nothing that `log` would write.

    """
    try:
        found = json.loads(content, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise _unreadable(run_id, "not JSON") from error
    try:
        _About.model_validate(found, strict=True)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "it"
        raise _unreadable(run_id, f"not what runyard.provenance writes ({where})") from error
    return dict(found)


def _refused(name: str) -> None:
    raise ValueError(name)


def _unreadable(run_id: str, what: str) -> ProvenanceUnavailable:
    return ProvenanceUnavailable(
        f"{ARTIFACT} of run {run_id} is {what}: look at it in MLflow, and delete it there if it is not your training's"
    )
