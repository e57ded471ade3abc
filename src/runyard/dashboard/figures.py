"""Figures of runs side by side: each a table with what is drawn of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runyard.api.direction import direction_of
from runyard.comparison import has
from runyard.dashboard import noise
from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.dashboard.comparing import pareto

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runyard.dashboard.artifacts import Table
    from runyard.dashboard.comparing import Comparison
    from runyard.history import LoggedRun, Point

# Of how many runs artifacts are read for one picture.
MOST_DRAWN = 12
MOST_POINTS = 500
_FEATURES = 12
_AXES = 8
_RUN, _NAME = Column(name="run", title="run"), Column(name="name", title="Run")
_BARS = "Bars are two standard errors (Nadeau and Bengio)."
_LOG = "`runyard.evaluation.log(model, (X_test, y_test), train=(X_train, y_train))` in the script logs it."

# The tables of evaluations that are curves: title, columns across and up, what is to be seen.
CURVES = {
    "roc_curve": (
        "ROC curve",
        "false_positive_rate",
        "true_positive_rate",
        "The nearer to the upper left, the better; the dashed line is chance",
    ),
    "pr_curve": (
        "Precision and recall",
        "recall",
        "precision",
        "What share of what is found is right, for each share that is found; the higher, the better",
    ),
    "calibration": (
        "Calibration",
        "predicted_probability",
        "share_of_positives",
        "On the dashed line what is called 70 % likely happens in 70 of 100 cases",
    ),
}
IMPORTANCES = {"permutation_importance": "Permutation importance", "feature_importance": "The model's own importance"}


def parallel(found: Comparison) -> Figure:
    """Draw a line a run through what varies, to the metric."""
    params = list(found.params[: min(found.varying, _AXES - 2)])
    others = [name for name in found.metrics if name != found.metric][:2]
    measured = [*others, *([found.metric] if found.metric else [])]
    columns = [_RUN, _NAME, Column(name="best", title="best")]
    columns += [Column(name=f"params.{name}", title=name) for name in params]
    columns += [Column(name=f"metrics.{name}", title=name) for name in measured]
    rows: list[list[Cell]] = [
        [
            run.id,
            found.labels[run.id],
            int(found.best is not None and run.id == found.best.id),
            *(_quantity(run.params.get(name)) for name in params),
            *(_metric(run, name) for name in measured),
        ]
        for run in found.runs
    ]
    return Figure(
        name="parallel",
        title="What leads where",
        says=f"A line a run, from its parameters to {found.metric}; the best is drawn bold."
        if found.best
        else "A line a run, from its parameters to its metrics.",
        kind=Kind.PARALLEL,
        columns=columns,
        rows=rows,
        y=f"metrics.{found.metric}",
        empty="" if params and measured else "No parameter is different between these runs.",
    )


def scatter(found: Comparison, x: str, y: str) -> Figure:
    """Draw two metrics against each other, and which runs no other beats by both."""
    having = [run for run in found.runs if has(run, x) and has(run, y)]
    across, up = (found.direction if name == found.metric else direction_of(name) for name in (x, y))
    front = pareto({run.id: (run.metrics[x], run.metrics[y]) for run in having}, across, up)
    titles = {"x": x, "y": y, "front": "best by both"}
    rows: list[list[Cell]] = [
        [run.id, found.labels[run.id], number(run.metrics[x]), number(run.metrics[y]), int(run.id in front)]
        for run in having
    ]
    return Figure(
        name="scatter",
        title=f"{y} against {x}",
        says=f"{len(front)} of {len(having)} runs are beaten by none in both ({across} {x}, {up} {y}): Pareto's front.",
        kind=Kind.SCATTER,
        columns=[_RUN, _NAME, *_columns(titles)],
        rows=rows,
        x="x",
        y="y",
        mark="front",
        empty="" if having else f"No run has both {x} and {y}.",
    )


def folds(found: Comparison, tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw cross-validated scores with what chance does, and say which differences are inside it."""
    estimates: dict[str, noise.Estimate] = {}
    score = "score"
    for run, table in tables:
        scored = [name for name in table.columns if name != "fold"] if table else []
        values = [value for value in table.column(scored[0]) if isinstance(value, float)] if table and scored else []
        if scored and table and len(values) == len(table.rows) and (judged := noise.estimate(values)):
            estimates[run.id], score = judged, scored[0]
    best = found.best.id if found.best and found.best.id in estimates else None
    best = best or max(estimates, key=lambda run_id: estimates[run_id].mean, default=None)
    columns = [
        _RUN,
        _NAME,
        Column(name="mean", title=f"cross-validated {score}"),
        Column(name="low", title="from"),
        Column(name="high", title="to"),
        Column(name="folds", title="folds"),
        Column(name="noise", title="difference to the first"),
        Column(name="best", title="compared with"),
    ]
    rows: list[list[Cell]] = []
    alike = []
    for run_id in sorted(estimates, key=lambda one: (one != best, -estimates[one].mean)):
        this = estimates[run_id]
        inside = run_id != best and best is not None and noise.is_inside(this, estimates[best])
        words = "" if run_id == best else "inside the noise" if inside else "more than noise"
        if inside:
            alike.append(found.labels[run_id])
        cells: list[Cell] = [run_id, found.labels[run_id], this.mean, this.low, this.high, this.folds, words]
        rows.append([*cells, int(run_id == best)])
    return Figure(
        name="folds",
        title="Inside the noise?",
        says=_of_noise(found.labels.get(best or "", ""), alike, len(estimates)),
        kind=Kind.INTERVALS,
        columns=columns,
        rows=rows,
        x="mean",
        y="name",
        low="low",
        high="high",
        mark="best",
        empty="" if estimates else f"No run here has a cross-validation. {_LOG}",
    )


def _of_noise(best: str, alike: Sequence[str], of: int) -> str:
    if of <= 1:
        return "The mean over the folds, and twice its standard error (Nadeau and Bengio)."
    if not alike:
        return f"Every other run differs from {best} by more than chance does. {_BARS}"
    listed = ", ".join(alike[:3]) + (f" and {len(alike) - 3} more" if len(alike) > 3 else "")  # noqa: PLR2004
    return f"{best} differs from {listed} by no more than chance does: inside the noise. {_BARS}"


def curve(name: str, labels: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw a curve of each run over each other."""
    title, x, y, meaning = CURVES[name]
    rows: list[list[Cell]] = []
    drawn = set()
    for run, table in tables:
        if table is None or not {"class", x, y} <= set(table.columns):
            continue
        classes = len(set(table.column("class")))
        for kind, left, top in zip(table.column("class"), table.column(x), table.column(y), strict=True):
            if isinstance(left, float) and isinstance(top, float):
                label = labels[run.id] if classes == 1 else f"{labels[run.id]}, {_as_text(kind)}"
                rows.append([run.id, label, _as_text(kind), number(left), number(top)])
                drawn.add(run.id)
    return Figure(
        name=name,
        title=title,
        says=_drawn(len(drawn), len(tables), meaning),
        kind=Kind.LINES,
        columns=[
            _RUN,
            _NAME,
            Column(name="class", title="class"),
            *(Column(name=each, title=_words(each)) for each in (x, y)),
        ],
        rows=rows,
        x=x,
        y=y,
        series="name",
        diagonal=name != "pr_curve",
        x_limits=(0, 1),
        y_limits=(0, 1),
        empty="" if rows else f"No run here has this curve. {_LOG}",
    )


def confusion(labels: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Count, for each run, how rows of each class were predicted."""
    rows: list[list[Cell]] = []
    drawn = 0
    for run, table in tables:
        if table is None or table.columns[:1] != ("true",):
            continue
        drawn += 1
        for row in table.rows:
            counts = [value if isinstance(value, float) else 0.0 for value in row[1:]]
            for predicted, count in zip(table.columns[1:], counts, strict=True):
                share = count / sum(counts) if sum(counts) else 0.0
                rows.append([run.id, labels[run.id], _as_text(row[0]), predicted, number(count), number(share)])
    titles = {"true": "true class", "predicted": "predicted", "count": "rows", "share": "share of the true class"}
    return Figure(
        name="confusion_matrix",
        title="Confusion matrices",
        says=_drawn(drawn, len(tables), "How many rows of each class were predicted to be which"),
        kind=Kind.MATRIX,
        columns=[_RUN, _NAME, *_columns(titles)],
        rows=rows,
        x="predicted",
        y="true",
        series="name",
        colour="share",
        empty="" if rows else f"No run here has a confusion matrix. {_LOG}",
    )


def importance(name: str, labels: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw how much features matter to each run's model."""
    of_runs: dict[str, dict[str, float]] = {}
    for run, table in tables:
        if table and {"feature", "importance"} <= set(table.columns):
            pairs = zip(table.column("feature"), table.column("importance"), strict=True)
            of_runs[run.id] = {_as_text(feature): value for feature, value in pairs if isinstance(value, float)}
    largest: dict[str, float] = {}
    for values in of_runs.values():
        total = sum(map(abs, values.values())) or 1.0
        for feature, value in values.items():
            largest[feature] = max(largest.get(feature, 0.0), abs(value) / total)
    shown = sorted(largest, key=lambda feature: (-largest[feature], feature))[:_FEATURES]
    rows: list[list[Cell]] = [
        [run_id, labels[run_id], feature, number(values[feature])]
        for run_id, values in of_runs.items()
        for feature in shown
        if feature in values
    ]
    more = f"; the {len(shown)} of {len(largest)} features that matter most" if len(largest) > len(shown) else ""
    return Figure(
        name=name,
        title=IMPORTANCES[name],
        says=f"{_drawn(len(of_runs), len(tables), 'How much each feature matters')[:-1]}{more}.",
        kind=Kind.BARS,
        columns=[_RUN, _NAME, Column(name="feature", title="feature"), Column(name="importance", title="importance")],
        rows=rows,
        x="importance",
        y="feature",
        series="name",
        empty="" if rows else f"No run here has it. {_LOG}",
    )


def course(metric: str, labels: Mapping[str, str], courses: Sequence[tuple[LoggedRun, Sequence[Point]]]) -> Figure:
    """Draw how a metric went while runs trained."""
    rows: list[list[Cell]] = [
        [run.id, labels[run.id], point.step, number(point.value)]
        for run, points in courses
        for point in thinned(points)
    ]
    longest = max((len(points) for _, points in courses), default=0)
    cut = f"; of {longest:,} values at most {MOST_POINTS} are drawn" if longest > MOST_POINTS else ""
    return Figure(
        name="course",
        title=f"{metric} while training",
        says=f"Each value that was logged, by its step{cut}.",
        kind=Kind.LINES,
        columns=[_RUN, _NAME, Column(name="step", title="step"), Column(name="value", title=metric)],
        rows=rows,
        x="step",
        y="value",
        series="name",
        empty=""
        if longest > 1
        else f"No run here logged {metric} more than once: `mlflow.log_metric(…, step=…)` does.",
    )


def thinned(points: Sequence[Point]) -> Iterable[Point]:
    """Return at most 500 points, evenly spread, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return points
    places = sorted({round(place * (len(points) - 1) / (MOST_POINTS - 1)) for place in range(MOST_POINTS)})
    return [points[place] for place in places]


def _columns(titles: Mapping[str, str]) -> list[Column]:
    return [Column(name=name, title=title) for name, title in titles.items()]


def _drawn(drawn: int, of: int, what: str) -> str:
    return f"{what}{'.' if drawn == of else f'; {drawn} of {of} runs have it.'}"


def _metric(run: LoggedRun, name: str) -> Cell:
    return number(run.metrics[name]) if name in run.metrics else None


def _quantity(text: str | None) -> Cell:
    """Return a parameter as a number where it is one."""
    if text is None:
        return None
    try:
        return number(float(text))
    except ValueError:
        return text


def _as_text(cell: Cell) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell if cell is not None else "")


def _words(name: str) -> str:
    return name.replace("_", " ")
