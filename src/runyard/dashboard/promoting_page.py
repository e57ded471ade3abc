"""The page that promotes a run's model: what would be done is said first, and done when that is confirmed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from runyard.api import promotion as rules
from runyard.api import when as conditions
from runyard.api.direction import Direction
from runyard.api.promote import CHAMPION
from runyard.api.promotion import Promotion, WrongPromotion
from runyard.api.when import WrongCondition
from runyard.cluster import Forbidden
from runyard.dashboard import forms, selection
from runyard.dashboard.api import RunId, TheSite
from runyard.dashboard.comparing import usual_metric
from runyard.dashboard.forms import Fields
from runyard.dashboard.pages import link, page
from runyard.dashboard.reads import Reads
from runyard.promotion import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from runyard.dashboard.site import Site
    from runyard.history import LoggedRun
    from runyard.promotion import Promoted

T = TypeVar("T")
pages = APIRouter()
# A promotion takes some tens of requests. One that is given up half-way is gone on with when it is asked for again.
_SECONDS = 30.0
_LONGEST = 500
_LONGEST_BY = 200


@dataclass(frozen=True)
class Wish:
    """What a person asks for, as they wrote it.

    Attributes:
        model: the registered model.
        alias: which of its aliases.
        when: a condition; empty: none.
        better_than: an alias whose version it must be better than; empty: none.
        metric: by which metric; empty: by the one that the condition names first.
        direction: which values of it are better; empty: as its name says.
        because: why.
        by: who, which nobody checks.
        compared: not empty: it was chosen in a comparison.

    """

    model: str = ""
    alias: str = CHAMPION
    when: str = ""
    better_than: str = ""
    metric: str = ""
    direction: str = ""
    because: str = ""
    by: str = ""
    compared: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Wish:
        """Return it of a form's fields."""
        given = {name: fields.get(name, "").strip()[:_LONGEST] for name in cls.__dataclass_fields__}
        return cls(**{**given, "alias": given["alias"] or CHAMPION})

    def promotion(self) -> Promotion:
        """Return what is asked of the registry.

        Raises:
            WrongPromotion: something is no name, or missing.
            WrongCondition: the condition is none.

        """
        if not self.because or not self.by:
            raise WrongPromotion("say why, and who you are: both are kept with the model")
        if len(self.by) > _LONGEST_BY:
            raise WrongPromotion(f"a name has {_LONGEST_BY} characters at most")
        return rules.asked(
            self.model,
            self.alias,
            conditions.read(self.when) if self.when else None,
            self.better_than or None,
            self.metric or None,
            Direction(self.direction) if self.direction in set(Direction) else None,
        )


@pages.get("/runs/{run_id}/promote")
def ask(
    request: Request,
    site: TheSite,
    run_id: RunId,
    model: Annotated[str, Query(max_length=_LONGEST)] = "",
    compared: Annotated[bool, Query(description="whether it was chosen in a comparison")] = False,  # noqa: FBT002
) -> Response:
    """Ask how a run's model is to be promoted."""
    known, run = _models(site), _promotable(site, run_id)
    model = model or (known[0] if len(known) == 1 else "")
    metric = usual_metric([run]) or ""
    wish = Wish(model, better_than=CHAMPION, metric=metric) if model in known and metric else Wish(model)
    wish = replace(wish, compared="true" if compared else "")
    return _page(request, run, known, wish)


@pages.post("/runs/{run_id}/promote")
def answer(request: Request, site: TheSite, run_id: RunId, fields: Fields) -> Response:
    """Say what a promotion would do; or do it, if that was confirmed."""
    run, wish = _promotable(site, run_id), Wish.of(fields)
    if site.looker:
        wish = replace(wish, by=site.looker.name[:_LONGEST_BY])
    try:
        wanted = wish.promotion()
        is_confirmed = fields.get("step") == "promote"
        came = _promote(site, run, wanted, wish, dry_run=not is_confirmed)
    except (WrongPromotion, WrongCondition) as refusal:
        return _page(request, run, _models(site), wish, refusal=str(refusal))
    if not (is_confirmed and came.promoted):
        return _page(request, run, _models(site), wish, came=came)
    where = link(f"{request.app.state.base}/model", {"name": wanted.model})
    response = RedirectResponse(where, HTTPStatus.SEE_OTHER)
    began = selection.of(request, run.experiment) if wish.compared and not came.was_so else None
    if began and came.version:
        _by_deadline(site, partial(Registry(site.address).selected, wanted.model, came.version, began))
        selection.end(request, response)
    return response


def _promotable(site: Site, run_id: str) -> LoggedRun:
    """Read a run that who looks may promote.

    Raises:
        Forbidden: they may not.

    """
    run = site.run(run_id)
    if not site.may_promote(run):
        raise Forbidden(
            "you may not promote it: that takes the right to update its TrainingRun, or, of a run that is of no "
            "namespace, the TrainingRuns of all of them"
        )
    return run


def _promote(site: Site, run: LoggedRun, wanted: Promotion, wish: Wish, *, dry_run: bool) -> Promoted:
    # What is compared is told, and the alias would be taken from what somebody else promoted.
    if site.has_hidden_versions(wanted.model):
        raise WrongPromotion(
            f"{wanted.model} has versions of runs that you may not see: choose another name, or ask somebody who does"
        )
    # Whoever reads it later is to know that nobody checked a name that was typed in.
    by = wish.by if site.looker else f"{wish.by} (by the dashboard, which knows nobody)"
    promote = Registry(site.address).promote
    return _by_deadline(site, partial(promote, run, wanted, because=wish.because, by=by, dry_run=dry_run))


def _by_deadline(site: Site, write: Callable[[], T]) -> T:
    reads = Reads(f"MLflow at {site.uri}", _SECONDS, at_once=1)
    try:
        return reads.one(None, write)
    finally:
        reads.close()


def _models(site: Site) -> list[str]:
    return [found.name for found in site.models()]


def _page(
    request: Request, run: LoggedRun, known: list[str], wish: Wish, refusal: str = "", came: Promoted | None = None
) -> HTMLResponse:
    given = forms.token(request)
    response = page(
        request,
        "promote.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if refusal else HTTPStatus.OK,
        state=None,
        run=run,
        known=known,
        wish=wish,
        refusal=refusal,
        came=came,
        token=given,
    )
    forms.give(request, response, given)
    return response
