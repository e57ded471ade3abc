"""Artifacts, one at a time, as files to keep: whatever is in them, no browser shows or runs it here."""

from __future__ import annotations

import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from runyard.dashboard import api
from runyard.dashboard.api import RunId, TheSite
from runyard.errors import RunyardError
from runyard.history import UnreadableArtifact
from runyard.history.artifacts import size_of
from runyard.tracking import answering

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from starlette.types import Receive, Scope, Send

    from runyard.dashboard.site import Site
    from runyard.history import LoggedRun

router = APIRouter(responses=api.UNANSWERED)
pages = APIRouter()
LARGEST_BYTES = 64 * 1024 * 1024
_LONGEST_PATH = 1_000
# Each has a file of this size on the disk until who asked has it.
_AT_ONCE = 4
_TEXTS = frozenset({".txt", ".log", ".csv", ".json", ".yaml", ".yml", ".md", ".py", ".patch", ".toml"})
_going_on = BoundedSemaphore(_AT_ONCE)


class NoSuchArtifact(RunyardError):
    """A run has no artifact of that name."""

    exit_code = 2


class TooManyDownloads(RunyardError):
    """More artifacts are being fetched than there is room for."""

    exit_code = 4


class _Passing(FileResponse):
    """A file that is gone once it was sent, or nobody waits for it any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(_end, Path(self.path).parent)


def _end(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    _going_on.release()


def is_inside(path: str) -> bool:
    r"""Whether a path is one of a file below the place that it is looked for in, written in the one way there is.

    >>> [is_inside(path) for path in ("a/b.txt", "../a", "a/../../b", "/etc/passwd", "a//b", "a/", ".", "a\0")]
    [True, False, False, False, False, False, False, False]
    """
    found = PurePosixPath(path)
    return (
        path == str(found) and path != "." and not found.is_absolute() and ".." not in found.parts and "\0" not in path
    )


def name_of(path: str) -> str:
    r"""Return what a browser is to call a file: no path of any system, and neither hidden nor a device.

    >>> name_of("a/model.pkl"), name_of("a/..\\evil.exe"), name_of("<b>.html"), name_of(".bashrc"), name_of("a:b")
    ('model.pkl', '_evil.exe', '_b_.html', 'bashrc', 'a_b')
    """
    kept = "".join("_" if each in '\\/:*?"<>|' or not each.isprintable() else each for each in path.rpartition("/")[2])
    return kept.lstrip(". ") or "artifact"


def kind_of(path: str) -> str:
    """Return a type by which nothing is shown as a page.

    >>> kind_of("log.txt"), kind_of("report.html"), kind_of("figure.svg")
    ('text/plain; charset=utf-8', 'application/octet-stream', 'application/octet-stream')
    """
    return "text/plain; charset=utf-8" if PurePosixPath(path).suffix.lower() in _TEXTS else "application/octet-stream"


@pages.get("/runs/{run_id}/artifact", response_model=None)
@router.get(
    "/runs/{run_id}/artifact",
    response_class=Response,
    response_model=None,
    responses={
        200: {"description": "The file.", "content": {"application/octet-stream": {}, "text/plain": {}}},
        413: api.UNANSWERED[404] | {"description": "It is too large."},
    },
)
def artifact(
    site: TheSite,
    run_id: RunId,
    path: Annotated[str, Query(min_length=1, max_length=_LONGEST_PATH, description="as the run's artifacts have it")],
) -> Response:
    """Return an artifact, as a file to keep."""
    if not is_inside(path):
        raise NoSuchArtifact(f"{path!r} is no path among a run's artifacts: write it as the run's page does")
    site.look_and_ask()
    run = site.run(run_id)
    if not _going_on.acquire(blocking=False):
        raise TooManyDownloads(f"{_AT_ONCE} artifacts are being fetched, which is all that is done at once: try again")
    scratch = Path(tempfile.mkdtemp(prefix="artifact-"))
    try:
        found = _fetched(site, run, path, scratch)
    except BaseException:
        _end(scratch)
        raise
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name_of(path), safe='')}"}
    return _Passing(found, headers=headers, media_type=kind_of(path))


def _fetched(site: Site, run: LoggedRun, path: str, scratch: Path) -> Path:
    """Put an artifact into a folder, under a name that is none of anybody's.

    Raises:
        NoSuchArtifact: there is none.
        HTTPException: it is too large.
        UnreadableArtifact: MLflow gives another file than it lists, or does not take a name beside it.
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """

    def look() -> tuple[ArtifactRepository, int | None]:
        with answering(site.address, "list artifacts"):
            place = site.history.artifacts(run)
        return place, size_of(place, site.address, path)

    artifacts, size = site.reads.one(("size", run.id, path), look)
    if size is None:
        raise NoSuchArtifact(f"run {run.id} has no artifact {path!r}")
    if size > LARGEST_BYTES:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{path} has {size:,} bytes, and {LARGEST_BYTES:,} are the most that come this way: "
            f"mlflow artifacts download --run-id {run.id} --artifact-path {path}",
        )
    with answering(site.address, f"read {path}"):
        given = Path(artifacts.download_artifacts(path, scratch))
        # A name with a question mark is another one to MLflow's client: no file is given for another.
        if not given.is_file() or given.stat().st_size != size:
            raise UnreadableArtifact(f"MLflow gives another file for {path!r} of run {run.id} than it lists")
        return given.rename(scratch / "file")
