"""How models treat groups of people: rates by group, gaps, and which gaps are wider than they may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from runyard.dashboard import answers, api
from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.dashboard.api import Format, TheSite
from runyard.dashboard.comparing import MOST_COMPARED, labels
from runyard.dashboard.comparison_api import Names, RunIds, asked
from runyard.dashboard.figures import MOST_DRAWN
from runyard.dashboard.pages import link, page

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


def _with_groups(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    return [run for run in runs if gaps_of([run])]


@pages.get("/fairness")
def fairness(
    request: Request,
    site: TheSite,
    run_ids: RunIds = [],  # noqa: B006 FastAPI copies it
    experiments: Names = [],  # noqa: B006
    most: Most = _MOST,
) -> HTMLResponse:
    """Show how models treat groups of people."""
    view = site.look()
    found, missing = asked(site, view, run_ids, experiments)
    runs = _with_groups(found)[:MOST_COMPARED]
    names = gaps_of(runs)
    query = {"run": run_ids, "experiment": experiments}
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
        experiments=sorted(
            name for name, of_it in view.runs.by_experiment.items() if _with_groups(of_it[:MOST_COMPARED])
        ),
    )
