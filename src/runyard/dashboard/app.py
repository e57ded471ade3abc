"""The application: pages, API and files put together, and what all of their answers have in common."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.staticfiles import StaticFiles

from runyard.cluster import ClusterUnavailable, Forbidden, NotThere
from runyard.dashboard import (
    api,
    changing_pages,
    comparison_api,
    comparison_page,
    downloads,
    explanation_api,
    explanation_page,
    fairness,
    lacking,
    models,
    pages,
    promoting_page,
    signing_in,
    trainings_pages,
    trust,
)
from runyard.dashboard.accounts import ASKED_AT_ONCE, NotSignedIn
from runyard.dashboard.auditing import TooManyAudits
from runyard.dashboard.door import Door, token_of
from runyard.dashboard.forms import Foreign
from runyard.dashboard.headers import Headers
from runyard.errors import RunyardError, TrackingUnavailable
from runyard.history import NoSuchExperiment, NoSuchRun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.responses import Response

    from runyard.dashboard.site import Site

STATIC = Path(__file__).parent / "static"
# Whoever can make a browser believe that another name is this machine could read everything otherwise.
LOCAL_HOSTS = ("localhost", "*.localhost", "127.0.0.1")
# For the API's document: who asks is found out before.
_bearer = HTTPBearer(auto_error=False, description="a token of the cluster")
_NOT_THERE = (
    NoSuchRun,
    NoSuchExperiment,
    models.NoSuchModel,
    downloads.NoSuchArtifact,
    trainings_pages.NoSuchTraining,
    trainings_pages.NoCluster,
    NotThere,
)


def application(site: Site, base: str = "", hosts: Sequence[str] = LOCAL_HOSTS) -> FastAPI:
    """Make the application.

    Args:
        site: what it looks at; it is closed with the application.
        base: the path below which it is, such as /runs; empty: the root.
        hosts: the names under which it may be called; *.example.org is all below one.

    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.turns = CapacityLimiter(trainings_pages.ASKED_AT_ONCE)
        app.state.asking = CapacityLimiter(ASKED_AT_ONCE)
        yield
        site.close()

    app = FastAPI(
        title="Runyard's dashboard",
        version=version("runyard"),
        openapi_url=f"{base}{api.PREFIX}/openapi.json",
        # Their pages would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # Its addresses would have the host and the scheme that a proxy called it by.
        redirect_slashes=False,
        dependencies=[Security(_bearer)] if site.accounts else [],
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.base = base
    app.state.listening = set()
    app.state.words = pages.templates(base)
    for answering in (
        api,
        comparison_api,
        explanation_api,
        fairness,
        models,
        trust,
        trainings_pages,
        lacking,
        downloads,
        *((signing_in,) if site.accounts else ()),
    ):
        app.include_router(answering.router, prefix=f"{base}{api.PREFIX}")
    for showing in (
        pages.router,
        comparison_page.router,
        explanation_page.router,
        fairness.pages,
        models.pages,
        trust.pages,
        trainings_pages.pages,
        downloads.pages,
        *((signing_in.pages,) if site.accounts else ()),
        *((changing_pages.pages, promoting_page.pages) if site.may_change else ()),
    ):
        app.include_router(showing, prefix=base, include_in_schema=False)
    if base:
        app.add_api_route(base, lambda: RedirectResponse(f"{base}/"), include_in_schema=False)
    app.mount(f"{base}/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(RunyardError, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(HTTPException, _refused)
    if site.accounts:
        app.add_middleware(Door, site=site, accounts=site.accounts, base=base, refused=_refused)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=4)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    # What one person sees is kept for nobody else, nor for who comes after they have signed out.
    app.add_middleware(Headers, static=f"{base}/static/", caching="no-store" if site.accounts else "no-cache")
    return app


def _refused(request: Request, error: Exception) -> Response:
    """Answer with an error in words: as JSON below the API, else as a page."""
    status, says = _said(error)
    if request.url.path.startswith(f"{request.app.state.base}{api.PREFIX}"):
        challenge = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotSignedIn) else None
        return JSONResponse({"detail": says}, status, challenge)
    if isinstance(error, NotSignedIn):
        # Who has not tried yet has done nothing wrong.
        return signing_in.asking(request, status, says if token_of(request) else "")
    return pages.error(request, status, says, is_cluster=isinstance(error, ClusterUnavailable))


def _said(error: Exception) -> tuple[int, str]:
    match error:
        case NotSignedIn():
            return HTTPStatus.UNAUTHORIZED, str(error)
        case Foreign() | Forbidden():
            return HTTPStatus.FORBIDDEN, str(error)
        case (
            TrackingUnavailable()
            | ClusterUnavailable()
            | trainings_pages.TooMany()
            | TooManyAudits()
            | downloads.TooManyDownloads()
        ):
            return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
        case RunyardError():
            found = HTTPStatus.NOT_FOUND if isinstance(error, _NOT_THERE) else HTTPStatus.UNPROCESSABLE_ENTITY
            return found, str(error)
        case RequestValidationError():
            first = error.errors()[0]
            return HTTPStatus.UNPROCESSABLE_ENTITY, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"
        case HTTPException():
            words = "there is no such page" if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
            return error.status_code, words
        case _:
            raise error
