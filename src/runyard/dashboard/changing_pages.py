"""Pages that change something, each of which asks first. Without `--allow-changes` there are none of them."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse

from runyard.cluster import Forbidden
from runyard.dashboard import changes, forms
from runyard.dashboard.api import TheSite
from runyard.dashboard.changes import Change, NotPossible
from runyard.dashboard.forms import Fields
from runyard.dashboard.pages import page
from runyard.dashboard.trainings_pages import Name, Namespace, one, the_trainings

pages = APIRouter()


@pages.get("/trainings/{namespace}/{name}/{change}")
def ask(request: Request, site: TheSite, namespace: Namespace, name: Name, change: Change) -> HTMLResponse:
    """Ask whether a training is to be changed."""
    found = the_trainings(site)
    training = one(found.look_for(namespace, name), namespace, name)
    refusal = ""
    if change not in changes.possible(training):
        refusal = f"It is {training.status.phase or 'new'}: that cannot be done now."
    elif change not in found.possible(training):
        verb = changes.verb(training, change)
        refusal = f"{'You' if site.looker else 'The dashboard'} may not {verb} TrainingRuns in namespace {namespace}."
    given = forms.token(request)
    response = page(
        request,
        "change.html",
        HTTPStatus.FORBIDDEN if refusal else HTTPStatus.OK,
        state=None,
        training=training,
        change=change,
        says=changes.says(training, change),
        refusal=refusal,
        token=given,
    )
    forms.give(request, response, given)
    return response


@pages.post("/trainings/{namespace}/{name}/{change}")
def make(
    request: Request, site: TheSite, namespace: Namespace, name: Name, change: Change, fields: Fields
) -> RedirectResponse:
    """Change a training, and show what became of it."""
    found = the_trainings(site)
    training = one(found.look_for(namespace, name), namespace, name)
    if fields.get("uid") != training.metadata.uid:
        raise NotPossible(f'another TrainingRun is called "{name}" by now: nothing was changed')
    if change in changes.possible(training) and change not in found.possible(training):
        whose = "you" if site.looker else "the dashboard"
        raise Forbidden(f"{whose} may not {changes.verb(training, change)} TrainingRuns in namespace {namespace}")
    made = found.change(training, change)
    where = f"/trainings/{namespace}/{made}" if made else "/trainings"
    return RedirectResponse(f"{request.app.state.base}{where}", HTTPStatus.SEE_OTHER)
