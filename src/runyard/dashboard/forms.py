"""Forms that change something: whether a page of this dashboard sent them, whoever it is that looks.

A form counts if the browser says that a page of this very place sent it, by `Sec-Fetch-Site` or `Origin`, and if it has
the token that the browser was given with the page, as a cookie that no other place can read.
"""

from __future__ import annotations

import hmac
import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

COOKIE, FIELD = "runyard-form", "token"
_KIND = "application/x-www-form-urlencoded"
_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 30
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Foreign(RunyardError):
    """What is to be changed was not asked for by a page of this dashboard."""

    exit_code = 2


def is_own(headers: Mapping[str, str]) -> bool:
    """Whether a page of the same place sent a request, as its browser says; one that says nothing is not believed.

    >>> is_own({"host": "a.example:80", "origin": "https://a.example:80"}), is_own({"sec-fetch-site": "cross-site"})
    (True, False)
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return False
    # Whatever ends the encryption stands before the dashboard: the scheme is not known here. "null" has no place.
    place = None if origin is None else urlsplit(origin).netloc.lower()
    is_here = place is None or (place != "" and place == headers.get("host", "").lower())
    return is_here and site in {None, "same-origin"}


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of this dashboard sent.

    Raises:
        Foreign: another page sent it, or nobody knows which.
        HTTPException: it is too large.

    """
    if not is_own(request.headers) or request.headers.get("content-type", "").partition(";")[0] != _KIND:
        raise Foreign("this was not asked for by a page of the dashboard: nothing was changed")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form has {_MOST_BYTES:,} bytes at most")
    try:
        found = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise Foreign(f"this is no form of the dashboard ({error}): nothing was changed") from error
    given = request.cookies.get(COOKIE, "")
    if not given or not hmac.compare_digest(given.encode(), found.pop(FIELD, "").encode()):
        raise Foreign("the page is too old, or cookies are not kept: nothing was changed; open the page once more")
    return found


Fields: TypeAlias = Annotated[dict[str, str], Depends(fields)]


def token(request: Request) -> str:
    """Return the token for the forms of a page: the one that the browser has, or a new one."""
    given = request.cookies.get(COOKIE, "")
    return given if _TOKEN.fullmatch(given) else secrets.token_urlsafe(32)


def give(request: Request, response: Response, given: str) -> None:
    """Give the browser the token of a page with forms."""
    path = request.app.state.base or "/"
    response.set_cookie(COOKIE, given, path=path, httponly=True, samesite="strict", secure=is_encrypted(request))


def is_encrypted(request: Request) -> bool:
    """Whether the browser calls by https, as far as it or what stands between says so.

    Anybody can say so: then a cookie is kept from plain HTTP, which harms nobody but them.
    """
    told = {request.url.scheme, request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()}
    return "https" in told or request.headers.get("origin", "").startswith("https://")
