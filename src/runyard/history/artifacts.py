"""What lies among a run's artifacts, in a store that anybody who logs may have named and written to."""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runyard.api.addresses import without_logins
from runyard.errors import RunyardError
from runyard.tracking import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_PORTS = {"http": 80, "https": 443}


class UnreadableArtifact(RunyardError):
    """An artifact is not what its name says, or more than can be read."""


def is_elsewhere(place: str, tracking_uri: str) -> bool:
    """Whether artifacts are where nobody who trusts an MLflow need be led.

    Who makes an experiment says where its artifacts are. MLflow's client sends its password and token there, and reads
    any path of the machine that it runs on.

    >>> is_elsewhere("mlflow-artifacts:/1/2", "http://mlflow:5000"), is_elsewhere("s3://bucket/1", "http://mlflow:5000")
    (False, False)
    >>> is_elsewhere("http://metadata/", "http://mlflow:5000"), is_elsewhere("file:///etc", "http://mlflow:5000")
    (True, True)
    """
    server, found = urlsplit(tracking_uri), urlsplit(place)
    if server.scheme not in _PORTS:
        return False
    if found.scheme in {"", "file"}:
        return server.hostname not in {"localhost", "127.0.0.1", "::1"}
    if found.scheme in {"mlflow-artifacts", *_PORTS} and found.hostname:
        port = _PORTS.get(found.scheme, _PORTS[server.scheme])
        return (found.hostname, found.port or port) != (server.hostname, server.port or _PORTS[server.scheme])
    return False


def opened(run_id: str, place: str, tracking_uri: str) -> ArtifactRepository:
    """Open the place of a run's artifacts.

    Raises:
        UnreadableArtifact: it is at another server than MLflow's, or on this machine while MLflow is not.

    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if is_elsewhere(place, tracking_uri):
        raise UnreadableArtifact(
            f"the artifacts of run {run_id} are at {without_logins(place)}, which is not of "
            f"{without_logins(tracking_uri)}: nothing is read there"
        )
    return get_artifact_repository(place, tracking_uri)


def entries(
    artifacts: ArtifactRepository, tracking_uri: str, folder: str, most_folders: int | None = None
) -> Iterator[tuple[str, int]]:
    """Yield the paths and sizes in bytes of what is in a folder and below, the nearest first.

    Raises:
        UnreadableArtifact: MLflow's client does not take the names in it.
        TrackingUnavailable: the store does not answer.

    """
    waiting = deque([folder])
    looked = 0
    while waiting:
        place = waiting.popleft()
        if most_folders is not None and looked >= most_folders:
            yield f"{place}/", 0
            continue
        looked += 1
        for entry in _listed(artifacts, tracking_uri, place):
            # What a store names is to be in the folder that was asked for, and not in, say, ../../etc.
            if not _is_in(entry.path, place):
                continue
            if entry.is_dir:
                waiting.append(entry.path)
            else:
                yield entry.path, entry.file_size or 0


def _listed(artifacts: ArtifactRepository, tracking_uri: str, folder: str) -> list[FileInfo]:
    from mlflow.exceptions import MlflowException

    with answering(tracking_uri, "list artifacts"):
        try:
            found: list[FileInfo] = artifacts.list_artifacts(folder or None)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            # One such name, and its client tells none: asking again would not help.
            raise UnreadableArtifact(
                f"among the artifacts{f' in {folder}' if folder else ''} is a name that MLflow's client does not take, "
                "such as one with # or ../ in it: rename that file to see the others"
            ) from error
    return found


def _is_in(path: str, folder: str) -> bool:
    found = PurePosixPath(path)
    return found.parent == PurePosixPath(folder) and found.name not in {"", ".."}


def size_of(artifacts: ArtifactRepository, tracking_uri: str, path: str) -> int | None:
    """Return how many bytes an artifact has, as the store says; None where there is none.

    Raises:
        UnreadableArtifact: MLflow's client does not take the names in its folder.
        TrackingUnavailable: the store does not answer.

    """
    parent = str(PurePosixPath(path).parent)
    listed = _listed(artifacts, tracking_uri, "" if parent == "." else parent)
    return next((entry.file_size or 0 for entry in listed if entry.path == path and not entry.is_dir), None)


def content(artifacts: ArtifactRepository, tracking_uri: str, run_id: str, path: str, most_bytes: int) -> bytes | None:
    """Return an artifact; None where there is none.

    Raises:
        UnreadableArtifact: it is larger than it may be.
        TrackingUnavailable: the store does not answer.

    """
    size = size_of(artifacts, tracking_uri, path)
    if size is None:
        return None
    if size > most_bytes:
        raise _too_large(run_id, path, size, most_bytes)
    with answering(tracking_uri, f"read {path}"), tempfile.TemporaryDirectory() as scratch:
        found = Path(artifacts.download_artifacts(path, scratch))
        # A store may have said another size.
        if found.stat().st_size <= most_bytes:
            return found.read_bytes()
        size = found.stat().st_size
    raise _too_large(run_id, path, size, most_bytes)


def _too_large(run_id: str, path: str, size: int, most_bytes: int) -> UnreadableArtifact:
    return UnreadableArtifact(f"{path} of run {run_id} has {size:,} bytes, and {most_bytes:,} are the most read")
