"""How long a person chooses: from when they opened Compare for an experiment until the promotion that came of it.

The browser keeps when that was, for as long as it is open; the dashboard keeps nothing of who looks at what.
"""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.responses import Response

COOKIE = "runyard-compared"
# What is older was begun with something else in mind.
LONGEST = timedelta(days=1)
_NOTED = re.compile(r"([0-9]{1,11})-([0-9a-f]{16})")


def noted(experiment: str, at: float) -> str:
    """Return what a browser keeps: when somebody opened Compare, at seconds since 1970, and of which experiment."""
    return f"{int(at)}-{hashlib.sha256(experiment.encode()).hexdigest()[:16]}"


def began(note: str, experiment: str, now: float) -> datetime | None:
    """Return when somebody began to choose among an experiment's runs, as their browser says; None: not yet.

    >>> note = noted("heart", 1000)
    >>> began(note, "heart", 1060.5), began(note, "wine", 1060.5), began(note, "heart", 900), began("x", "heart", 1060)
    (datetime.datetime(1970, 1, 1, 0, 16, 40, tzinfo=datetime.timezone.utc), None, None, None)
    """
    found = _NOTED.fullmatch(note)
    if not found or note != noted(experiment, int(found[1])):
        return None
    first = int(found[1])
    return datetime.fromtimestamp(first, UTC) if 0 <= now - first <= LONGEST.total_seconds() else None


def of(request: Request, experiment: str) -> datetime | None:
    """Return when whoever asks began to choose among an experiment's runs; None where they have not."""
    return began(request.cookies.get(COOKIE, ""), experiment, time.time())


def begin(request: Request, response: Response, experiment: str) -> None:
    """Have the browser remember that somebody begins to choose among an experiment's runs, unless they have begun."""
    if of(request, experiment) is None:
        _keep(request, response, noted(experiment, time.time()))


def end(request: Request, response: Response) -> None:
    """Have the browser forget it: the next choice is another one."""
    _keep(request, response, "")


def _keep(request: Request, response: Response, note: str) -> None:
    path = request.app.state.base or "/"
    response.set_cookie(COOKIE, note, path=path, httponly=True, samesite="strict", max_age=None if note else 0)
