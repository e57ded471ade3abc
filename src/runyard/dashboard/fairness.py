"""How models treat groups of people: rates by group, gaps, which are wider than they may be, and other thresholds."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, Field
from starlette.responses import HTMLResponse, Response

from runyard.dashboard import answers, api, thresholds
from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.dashboard.api import Format, TheSite
from runyard.dashboard.comparing import MOST_COMPARED, labels
from runyard.dashboard.comparison_api import Names, RunIds, asked
from runyard.dashboard.figures import MOST_DRAWN
from runyard.dashboard.pages import link, page
from runyard.dashboard.site import Site
from runyard.dashboard.thresholds import Rate
from runyard.errors import TrackingUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.dashboard.artifacts import Table
    from runyard.history import LoggedRun

router = APIRouter(prefix="/fairness", responses=api.UNANSWERED)
pages = APIRouter()
_PREFIX = "fairness."
_MOST = 0.1
# Of what is measured in the unit of what is predicted: how wide a gap of it may be, no rate says.
_ERRORS = frozenset({"mae", "medae", "mse", "rmse", "mape", "error", "errors", "loss", "deviance", "residual"})

Most = Annotated[float, Query(ge=0, le=1e9, allow_inf_nan=False, description="how wide a gap may be")]
Grouping = Annotated[str, Query(pattern=r"^[\w.\- ]{1,100}$", description="by what rows are grouped, such as sex")]
Compared = Annotated[Rate, Query(description="what is compared between groups")]
# A form without scripts sends a field that is empty.
Threshold = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | None,
    BeforeValidator(lambda given: None if given == "" else given),
    Query(description="of those logged the nearest is taken; none: each model's own"),
]
_OF_TWO_CLASSES = "demographic_parity_difference"


class AtThresholds(StrEnum):
    """A figure of groups at other thresholds than the model's own."""

    RATES = "rates"
    GAPS = "gaps"
    CHOSEN = "chosen"


def gaps_of(runs: Sequence[LoggedRun]) -> list[str]:
    """Return the names of the gaps that runs logged."""
    return sorted({name for run in runs for name in run.metrics if name.startswith(_PREFIX) and name.count(".") > 1})


def groupings(gaps: Sequence[str]) -> list[str]:
    """Return by what rows were grouped.

    >>> groupings(["fairness.sex.accuracy_difference", "fairness.age.band.mae_difference"])
    ['age.band', 'sex']
    """
    return sorted({name.removeprefix(_PREFIX).rpartition(".")[0] for name in gaps})


def is_of_rates(gap: str) -> bool:
    """Whether a gap is the difference of rates, which are from 0 to 1, and not in the unit of what is predicted.

    >>> is_of_rates("fairness.sex.accuracy_difference"), is_of_rates("fairness.sex.error_rate_difference")
    (True, True)
    >>> is_of_rates("fairness.sex.mae_difference"), is_of_rates("fairness.sex.selection_rate_ratio")
    (False, False)
    """
    words = gap.rpartition(".")[2].split("_")
    return words[-1] == "difference" and ("rate" in words or not _ERRORS & set(words))


def gaps(runs: Sequence[LoggedRun], most: float) -> Figure:
    """Draw each run's gaps between the groups that are furthest apart; those of rates are judged."""
    names = gaps_of(runs)
    called = labels(runs)
    rows: list[list[Cell]] = [
        [
            run.id,
            called[run.id],
            name.removeprefix(_PREFIX),
            number(run.metrics[name]),
            int(run.metrics[name] > most) if is_of_rates(name) else None,
        ]
        for name in names
        for run in runs
        if name in run.metrics
    ]
    wide = sum(row[4] == 1 for row in rows)
    judged = sum(row[4] is not None for row in rows)
    apart = len(rows) - judged
    others = f" {apart} {'is' if apart == 1 else 'are'} not judged: no difference of rates." if apart else ""
    titles = {"run": "run", "name": "Run", "gap": "gap", "difference": "difference", "wide": f"wider than {most:g}"}
    return Figure(
        name="fairness_gaps",
        title="Gaps",
        says=f"{wide} of {judged} gaps of rates are wider than {most:g}; 0 is no difference between groups.{others}",
        kind=Kind.BARS,
        columns=[Column(name=name, title=title) for name, title in titles.items()],
        rows=rows,
        x="difference",
        y="gap",
        series="name",
        empty="" if rows else "No run here compared groups.",
    )


def by_group(name: str, called: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw each group's rates."""
    rows: list[list[Cell]] = []
    sizes: list[tuple[float, str]] = []
    for run, table in tables:
        if table is None or "group" not in table.columns:
            continue
        groups = [str(cell) for cell in table.column("group")]
        counts = table.column("count") or [None] * len(groups)
        sizes += [(size, group) for size, group in zip(counts, groups, strict=True) if isinstance(size, float)]
        for measure in [each for each in table.columns if each not in {"group", "count"}]:
            for group, count, value in zip(groups, counts, table.column(measure), strict=True):
                title = group if len(tables) == 1 else f"{called[run.id]}: {group}"
                rate = number(value) if isinstance(value, float) and not math.isnan(value) else None
                rows.append([run.id, title, group, _as_number(count), measure.replace("_", " "), rate])
    smallest = f" The smallest group is {min(sizes)[1]}, of {min(sizes)[0]:,.0f} rows." if sizes else ""
    titles = {"run": "run", "name": "Group", "group": "group", "count": "rows", "measure": "measure", "rate": "value"}
    return Figure(
        name=f"fairness_{name}",
        title=f"By {name}",
        says=(
            f"What the model does to each group by {name}; a rate that is not defined for a group is left out."
            f"{smallest}"
        ),
        kind=Kind.BARS,
        columns=[Column(name=each, title=title) for each, title in titles.items()],
        rows=rows,
        x="rate",
        y="measure",
        series="name",
        empty="" if rows else f"No run here has the table fairness_{name}.csv, or none that can be read.",
    )


def _as_number(cell: Cell) -> Cell:
    return number(cell) if isinstance(cell, float) else cell


@router.get("/gaps", response_model=answers.Figure, responses=api.AS_CSV)
def how_wide(
    site: TheSite,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    most: Most = _MOST,
    form: Format = "json",
) -> Response:
    """Return the gaps between groups of runs' models."""
    runs = asked(site, site.look(), run_ids, experiments)[0][:MOST_COMPARED]
    return api.drawn(gaps(runs, most), form)


@router.get("/groups", response_model=answers.Figure, responses=api.AS_CSV)
def of_groups(
    site: TheSite,
    by: Grouping,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    form: Format = "json",
) -> Response:
    """Return each group's rates."""
    runs = _with_groups(asked(site, site.look(), run_ids, experiments)[0])[:MOST_DRAWN]
    tables = site.artifacts.tables(runs, f"fairness_{by}")
    return api.drawn(by_group(by, labels(runs), list(zip(runs, tables, strict=True))), form)


@router.get("/thresholds/{picture}", response_model=answers.Figure, responses=api.AS_CSV)
def at_other_thresholds(  # noqa: PLR0913, PLR0917 a query's parts
    site: TheSite,
    picture: AtThresholds,
    by: Grouping,
    rate: Compared = Rate.SELECTION,
    threshold: Threshold = None,
    most: Most = _MOST,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    form: Format = "json",
) -> Response:
    """Return groups' rates by threshold, the gaps by threshold, or the gaps of all rates at the one that is chosen."""
    found = _beside(site, by, _with_groups(asked(site, site.look(), run_ids, experiments)[0]))
    match picture:
        case AtThresholds.RATES:
            most_lines = None if form == "csv" else thresholds.MOST_LINES
            return api.drawn(thresholds.rates(found, rate, threshold, most_lines), form)
        case AtThresholds.GAPS:
            return api.drawn(thresholds.gaps(found, rate, threshold), form)
        case AtThresholds.CHOSEN:
            return api.drawn(thresholds.at_threshold(found, threshold, most), form)


def _beside(site: Site, by: str, runs: Sequence[LoggedRun]) -> thresholds.Sides:
    compared = runs[:MOST_DRAWN]
    tables = site.artifacts.tables(compared, f"thresholds_{by}")
    return thresholds.beside(by, labels(compared), list(zip(compared, tables, strict=True)))


def _with_groups(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    return [run for run in runs if gaps_of([run])]


@pages.get("/fairness")
def fairness(  # noqa: PLR0913, PLR0917 a query's parts
    request: Request,
    site: TheSite,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    most: Most = _MOST,
    by: Annotated[str, Query(max_length=100)] = "",
    rate: Compared = Rate.SELECTION,
    threshold: Threshold = None,
) -> HTMLResponse:
    """Show how models treat groups of people."""
    view = site.look()
    found, missing = asked(site, view, run_ids, experiments)
    runs = _with_groups(found)[:MOST_COMPARED]
    names = gaps_of(runs)
    query = {"run": run_ids, "experiment": experiments}
    decided = [each for each in groupings(names) if f"{_PREFIX}{each}.{_OF_TWO_CLASSES}" in names]
    by = by if by in decided else next(iter(decided), "")
    unread, sides = "", None
    try:
        sides = _beside(site, by, runs) if by else None
    except TrackingUnavailable as silence:
        unread = str(silence)
    moved = {**query, "by": by, "rate": rate.value, "threshold": threshold}
    base = f"{request.app.state.base}{api.PREFIX}/fairness"
    figures = [(link(f"{base}/gaps", {**query, "most": most}), "Gaps", len(groupings(names)) != 1)]
    figures += [(link(f"{base}/groups", {**query, "by": by}), f"By {by}", False) for by in groupings(names)]
    return page(
        request,
        "fairness.html",
        state=api.state(view),
        runs=runs,
        of=len(found),
        missing=missing,
        labels=labels(runs),
        gaps=names,
        most=most,
        is_of_rates=is_of_rates,
        query=query,
        figures=figures,
        by=by,
        decided=decided,
        rate=rate,
        rates=Rate,
        threshold=threshold,
        unread=unread,
        sides=sides,
        drawn=MOST_DRAWN,
        by_threshold=[
            (link(f"{base}/thresholds/{AtThresholds.RATES}", moved), f"{rate.words.capitalize()} by threshold"),
            (link(f"{base}/thresholds/{AtThresholds.GAPS}", moved), f"Gap of the {rate.words} by threshold"),
        ],
        at_threshold=link(f"{base}/thresholds/{AtThresholds.CHOSEN}", {**moved, "rate": "", "most": most}),
        experiments=sorted(
            name for name, of_it in view.runs.by_experiment.items() if _with_groups(of_it[:MOST_COMPARED])
        ),
    )
