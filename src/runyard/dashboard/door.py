"""Before all pages but the one to sign in: who looks is asked first, and each request gets the site as they see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import Request

from runyard.dashboard.accounts import NotSignedIn
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from runyard.dashboard.accounts import Accounts
    from runyard.dashboard.site import Site

COOKIE = "runyard-token"
SIGN_IN = "/sign-in"
_SCHEME = "bearer"


class Door:
    """Lets nobody in whom the API server does not know. A page that is new is behind it too."""

    def __init__(
        self, app: ASGIApp, site: Site, accounts: Accounts, base: str, refused: Callable[[Request, Exception], Response]
    ) -> None:
        """Stand before an application.

        Args:
            app: the application.
            site: what it looks at.
            accounts: ask who looks.
            base: the path below which it is.
            refused: answers with an error.

        """
        self._app = app
        self._site = site
        self._accounts = accounts
        self._static = f"{base}/static/"
        self._sign_in = f"{base}{SIGN_IN}"
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan" or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            token = token_of(request)
            if not token:
                raise NotSignedIn("sign in with a token of the cluster: this dashboard shows to each what they may see")
            looker = await to_thread.run_sync(self._accounts.look, token, limiter=request.app.state.asking)
        except RunyardError as error:
            await self._refused(request, error)(scope, receive, send)
            return
        request.state.site, request.state.name = self._site.seen_by(looker), looker.name
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return scope["type"] == "http" and (path == self._sign_in or path.startswith(self._static))


def token_of(request: Request) -> str:
    """Return the token that a request came with: what stands before the dashboard sends it, or else the browser."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == _SCHEME else request.cookies.get(COOKIE, "")
