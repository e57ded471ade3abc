"""Pages to sign in and out with a token of the cluster, which the browser then keeps as a cookie."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import HTMLResponse, RedirectResponse

from runyard.cluster import ClusterUnavailable
from runyard.dashboard import answers, api, forms
from runyard.dashboard.accounts import NotSignedIn
from runyard.dashboard.api import TheSite
from runyard.dashboard.door import COOKIE, SIGN_IN
from runyard.dashboard.forms import Fields
from runyard.dashboard.pages import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from runyard.dashboard.accounts import Accounts, Looker

router = APIRouter(responses=api.UNANSWERED)
pages = APIRouter()
# With its name and what belongs to it, a browser keeps 4,096 bytes.
_LONGEST = 3_800


class Account(answers.Answer):
    """Who looks, as the API server has it."""

    name: str
    sees_all: Annotated[bool, Field(description="whether they may list the TrainingRuns of all namespaces")]


@pages.get(SIGN_IN)
def ask(request: Request) -> HTMLResponse:
    """Ask for a token."""
    return asking(request, HTTPStatus.OK)


@pages.post(SIGN_IN)
async def enter(request: Request, fields: Fields) -> Response:
    """Have the browser keep a token that the API server knows."""
    token, where = fields.get("bearer", "").strip(), _own_place(request, fields.get("next", ""))
    if len(token) > _LONGEST:
        says = (
            f"a browser keeps no token of more than {_LONGEST:,} characters: have a proxy send it, such as oauth2-proxy"
        )
        return asking(request, HTTPStatus.UNPROCESSABLE_ENTITY, says, where)
    accounts: Accounts = request.app.state.site.accounts
    try:
        await to_thread.run_sync(accounts.look, token, limiter=request.app.state.asking)
    except NotSignedIn as error:
        return asking(request, HTTPStatus.UNAUTHORIZED, str(error), where)
    except ClusterUnavailable as error:
        return asking(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error), where)
    answer = RedirectResponse(where, HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        COOKIE, token, path=_path(request), httponly=True, samesite="strict", secure=forms.is_encrypted(request)
    )
    return answer


@pages.get("/account")
def account_page(request: Request, site: TheSite) -> HTMLResponse:
    """Show who looks, and let them sign out."""
    given = forms.token(request)
    # What a proxy sends is for the proxy to take back.
    is_kept = COOKIE in request.cookies and "authorization" not in request.headers
    answer = page(request, "account.html", state=None, found=_account(site.looker), is_kept=is_kept, token=given)
    forms.give(request, answer, given)
    return answer


@pages.post("/sign-out")
def leave(request: Request, _: Fields) -> RedirectResponse:
    """Have the browser forget the token."""
    answer = RedirectResponse(f"{request.app.state.base}{SIGN_IN}", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")
    return answer


@router.get("/account")
def account(site: TheSite) -> Account:
    """Return who looks."""
    return _account(site.looker)


def _account(looker: Looker | None) -> Account:
    if looker is None:
        raise NotSignedIn("nobody is signed in")
    return Account(name=looker.name, sees_all=looker.namespaces(()) is None)


def asking(request: Request, status: int, says: str = "", where: str = "") -> HTMLResponse:
    """Write the page that asks for a token.

    Args:
        request: which it answers.
        status: with which.
        says: why it asks.
        where: the path to go on to; empty: that of the request.

    """
    given = forms.token(request)
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    answer = page(
        request,
        "sign_in.html",
        status,
        says=says,
        next=where or _own_place(request, asked if request.method == "GET" else ""),
        # By a link from elsewhere a browser sends no cookie: the page asks for itself once more, from here.
        again=request.method == "GET"
        and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        and request.headers.get("sec-fetch-mode") == "navigate",
        token=given,
    )
    forms.give(request, answer, given)
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _own_place(request: Request, path: str) -> str:
    """Return a path of the dashboard to go on to: that which is given, if it is one; else its first page."""
    base = request.app.state.base
    is_own = path.startswith(f"{base}/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_own and not path.startswith(f"{base}{SIGN_IN}") else f"{base}/"


def _path(request: Request) -> str:
    return request.app.state.base or "/"
