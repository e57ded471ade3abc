"""Observing this machine: its packages, variables, store and repository."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runyard.doctor.facts import Machine, Repository
from runyard.doctor.findings import Unseen
from runyard.errors import TrackingUnavailable
from runyard.provenance.git import Git, GitFailed
from runyard.tracking import answering, client

_GIT_SECONDS = 10.0
_SQLITE = "sqlite:///"


def observe(tracking_uri: str, told_by: str, folder: Path) -> Machine:
    """Look at this machine, from a folder. Nothing is changed."""
    return Machine(
        python=platform.python_version(),
        runyard=version("runyard"),
        mlflow=mlflow_version(),
        folder=str(folder),
        environment=dict(os.environ),
        tracking_uri=tracking_uri,
        told_by=told_by,
        store=_store(tracking_uri),
        repository=_repository(folder),
    )


def mlflow_version() -> str | None:
    """Return the version of MLflow that is installed here, if one is."""
    for package in ("mlflow", "mlflow-skinny"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _store(uri: str) -> str | Unseen | None:
    if not uri.startswith(_SQLITE):
        return Unseen("only stores in SQLite files are opened: `runyard list` tries any")
    if not Path(uri.removeprefix(_SQLITE)).is_file():
        return None  # opening it would make it
    if mlflow_version() is None:
        return Unseen("without MLflow it cannot be opened")
    try:
        opened = client(uri)
        with answering(uri):
            opened.search_experiments(max_results=1)
    except TrackingUnavailable as error:
        return str(error)
    return ""


def _repository(folder: Path) -> Repository | None:
    git = Git(folder, time.monotonic() + _GIT_SECONDS)
    try:
        git("rev-parse", "--show-toplevel")
    except GitFailed as error:
        return None if "not a git repository" in str(error) else Repository(trouble=str(error))
    return Repository(has_commit=_says(git, "rev-parse", "--verify", "HEAD") != "", author=_author(git))


def _author(git: Git) -> str:
    given = os.environ.get("GIT_AUTHOR_EMAIL") or os.environ.get("EMAIL")
    return given or _says(git, "config", "user.email")


def _says(git: Git, *words: str) -> str:
    try:
        return git(*words).decode(errors="replace").strip()
    except GitFailed:
        return ""
