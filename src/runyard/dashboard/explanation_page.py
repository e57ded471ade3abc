"""The page of explanations: what a model looks at, and why it says what it says of a row; two runs side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse

from runyard.dashboard import api, explaining
from runyard.dashboard.api import RunId, TheSite
from runyard.dashboard.comparing import labels
from runyard.dashboard.explaining import NotExplained
from runyard.dashboard.explanation_api import ROWS_OF_A_PAGE, Name, Picture, Place, read, rows_of
from runyard.dashboard.pages import link, page
from runyard.errors import EvaluationImpossible
from runyard.history import UnreadableArtifact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runyard.dashboard.site import View
    from runyard.explanation import Explanation
    from runyard.history import LoggedRun

router = APIRouter()
_COLUMNS = 14
_MOST_OTHERS = 200


@dataclass(frozen=True)
class _Side:
    """One of the runs whose explanations are beside each other."""

    run: LoggedRun
    found: Explanation
    output: int
    query: Mapping[str, str]
    base: str

    def figure(self, picture: Picture) -> str:
        return link(f"{self.base}/runs/{self.run.id}/explanation/figures/{picture.value}", self.query)


@router.get("/runs/{run_id}/explain")
def explain(  # noqa: PLR0913, PLR0917 a query's parts
    request: Request,
    site: TheSite,
    run_id: RunId,
    output: Name = None,
    row: Name = None,
    at: Annotated[Place, Query(alias="place")] = None,
    feature: Name = None,
    colour: Name = None,
    beside: Annotated[str, Query(pattern="^([0-9a-f]{32})?$")] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """Show what a model looks at, and why it says what it says of a row."""
    view = site.look_and_ask()
    try:
        run, found = read(site, run_id)
    except (NotExplained, EvaluationImpossible, UnreadableArtifact) as refusal:
        return page(request, "explain_not.html", run=site.run(run_id), why=str(refusal), state=api.state(view))
    wrong: list[str] = []
    asked = {"output": output, "row": row, "feature": feature, "colour": colour}
    place = _or_first(wrong, lambda: explaining.output_of(found, output), lambda: explaining.output_of(found, None))
    # The place was that of the row shown before, where another is asked for by name.
    is_its = at in found.places and row in {None, "", found.rows[found.places.index(at)]}
    chosen = _or_first(wrong, lambda: explaining.row_of(found, row, at if is_its else None), lambda: 0)
    one = _or_first(
        wrong,
        lambda: explaining.feature_of(found, feature, place),
        lambda: explaining.feature_of(found, None, place),
    )
    query = {name: value for name, value in asked.items() if value} if not wrong else {}
    base = f"{request.app.state.base}{api.PREFIX}"
    if beside and not wrong:
        # Both are of the same row and feature: what matters most to one need not to the other.
        query |= {"row": found.rows[chosen], "feature": found.features[one]}
    table = rows_of(site, run, found)
    given = explaining.as_given(table.columns, table.rows[chosen])
    which = explaining.alike(found, chosen)
    if which:
        query["place"] = str(found.places[chosen])
    sides = [_Side(run, found, place, query, base)]
    doubt = ""
    if beside:
        try:
            other, theirs = read(site, beside)
            counterpart = explaining.same_row(found, chosen, theirs)
            sides.append(_Side(other, theirs, place, _of_both(query, theirs, counterpart), base))
            if counterpart is not None:
                its = rows_of(site, other, theirs)
                as_theirs = explaining.as_given(its.columns, its.rows[counterpart])
                doubt = explaining.not_the_same(found.rows[chosen], given, as_theirs)
        except (NotExplained, EvaluationImpossible, UnreadableArtifact) as refusal:
            wrong.append(str(refusal))
    counts = Counter(found.rows)
    kept = [
        (name, str(found.places[each]) if counts[name] > 1 else "", each == chosen, table.rows[each][:_COLUMNS])
        for each, name in enumerate(found.rows)
        if name.startswith(q)
    ]
    return page(
        request,
        "explain.html",
        state=api.state(view),
        run=run,
        found=found,
        sides=sides,
        names=labels([side.run for side in sides]),
        pictures=Picture,
        wrong=wrong,
        place=place,
        row=found.rows[chosen],
        feature=found.features[one],
        colour=colour,
        features=[found.features[each] for each in explaining.by_size(found, place)],
        beside=beside,
        others=_others(view, run),
        q=q,
        columns=list(table.columns[:_COLUMNS]),
        given=given,
        which=which,
        at=query.get("place", ""),
        doubt=doubt,
        rows=kept[(number - 1) * ROWS_OF_A_PAGE :][:ROWS_OF_A_PAGE],
        total=len(kept),
        number=number,
        last=max(1, -(-len(kept) // ROWS_OF_A_PAGE)),
        query={**asked, "place": query.get("place", ""), "beside": beside, "q": q},
    )


def _or_first(wrong: list[str], asked: Callable[[], int], otherwise: Callable[[], int]) -> int:
    """Return what is asked for; where there is no such thing say so, and return the first."""
    try:
        return asked()
    except NotExplained as refusal:
        wrong.append(str(refusal))
        return otherwise()


def _of_both(query: Mapping[str, str], theirs: Explanation, row: int | None) -> dict[str, str]:
    """Return what is asked of the other run too: what colours need not be among its features; its row's place."""
    names = {"colour": theirs.features, "output": theirs.output_names, "place": ()}
    kept = {name: value for name, value in query.items() if value in names.get(name, [value])}
    return kept if row is None else {**kept, "place": str(theirs.places[row])}


def _others(view: View, run: LoggedRun) -> list[tuple[str, str]]:
    """Return IDs and names of the runs that may be put beside it: those of its experiment."""
    there = [each for each in view.runs.by_experiment.get(run.experiment, []) if each.id != run.id][:_MOST_OTHERS]
    return list(labels(there).items())
