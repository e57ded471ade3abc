"""Figures of runs side by side: each a table with what is drawn of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runyard.api.direction import Direction, direction_of
from runyard.comparison import has
from runyard.dashboard import noise
from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.dashboard.comparing import pareto
from runyard.dashboard.thinning import in_words
from runyard.dashboard.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runyard.dashboard.artifacts import Table
    from runyard.dashboard.comparing import Comparison
    from runyard.dashboard.courses import Course
    from runyard.history import LoggedRun

# Of how many runs artifacts are read for one picture.
MOST_DRAWN = 12
_FEATURES = 12
_FEWEST_FEATURES = 4
_AXES = 8
# More are no picture, and ten thousand cells for each run.
_MOST_CLASSES = 100
_RUN, _NAME = Column(name="run", title="run"), Column(name="name", title="Run")
_INSIDE, _BETTER, _WORSE = "inside the noise", "better by more than chance", "worse by more than chance"
_EACH = "Each value that was logged, by its step."
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
    """Draw two metrics against each other, and which runs that can be the best no other such run beats by both."""
    having = [run for run in found.runs if has(run, x) and has(run, y)]
    counting = [run for run in having if run.id not in found.left_out]
    across, up = (found.direction if name == found.metric else direction_of(name) for name in (x, y))
    front = pareto({run.id: (run.metrics[x], run.metrics[y]) for run in counting}, across, up)
    whose = f"the {len(counting)} runs shown" if found.of > len(found.runs) else f"{len(counting)} runs"
    whose += " that can be the best" if len(counting) < len(having) else ""
    titles = {"x": x, "y": y, "front": "best by both"}
    rows: list[list[Cell]] = [
        [run.id, found.labels[run.id], number(run.metrics[x]), number(run.metrics[y]), int(run.id in front)]
        for run in having
    ]
    return Figure(
        name="scatter",
        title=f"{y} against {x}",
        says=f"{len(front)} of {whose} are beaten by none in both ({across} {x}, {up} {y}): Pareto's front.",
        kind=Kind.SCATTER,
        columns=[_RUN, _NAME, *_columns(titles)],
        rows=rows,
        x="x",
        y="y",
        mark="front",
        empty="" if having else f"No run has both {x} and {y}.",
    )


def folds(found: Comparison, tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw cross-validated scores with what chance does, and say which differences are inside it.

    Each run is compared with the best of those that can be the best; runs with another score are left out.
    """
    scored = {run.id: judged for run, table in tables if (judged := _cross_validated(table))}
    counting = {run_id: judged for run_id, judged in scored.items() if run_id not in found.left_out}
    best = _best_by_folds(found, counting)
    score = scored[best][0] if best else next((name for name, _ in scored.values()), "score")
    estimates = {run_id: estimate for run_id, (name, estimate) in scored.items() if name == score}
    towards = direction_of(score)
    columns = [
        _RUN,
        _NAME,
        Column(name="mean", title=f"cross-validated {_score(score)}"),
        Column(name="low", title="from"),
        Column(name="high", title="to"),
        Column(name="folds", title="folds"),
        Column(name="noise", title="difference to the first"),
        Column(name="best", title="compared with"),
    ]
    rows: list[list[Cell]] = []
    told: dict[str, list[str]] = {_INSIDE: [], _BETTER: [], _WORSE: []}
    for run_id in sorted(estimates, key=lambda one: (one != best, *_first(estimates[one].mean, towards))):
        this = estimates[run_id]
        words = ""
        if best and run_id != best:
            is_better = towards.is_better(this.mean, estimates[best].mean)
            words = _INSIDE if noise.is_inside(this, estimates[best]) else _BETTER if is_better else _WORSE
            told[words].append(found.labels[run_id])
        cells: list[Cell] = [run_id, found.labels[run_id], this.mean, this.low, this.high, this.folds, words]
        rows.append([*cells, int(run_id == best)])
    apart = len(scored) - len(estimates)
    others = f" {apart} with another score {'is' if apart == 1 else 'are'} not drawn." if apart else ""
    return Figure(
        name="folds",
        title="Inside the noise?",
        says=_of_noise(_score(score), found.labels.get(best or "", ""), told, len(estimates)) + others,
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


def _cross_validated(table: Table | None) -> tuple[str, noise.Estimate] | None:
    """Return the score of a table of folds, and what they say of it; None where they say nothing."""
    names = [name for name in table.columns if name != "fold"] if table else []
    if table is None or not names:
        return None
    values = [value for value in table.column(names[0]) if isinstance(value, float)]
    judged = noise.estimate(values) if len(values) == len(table.rows) else None
    return (names[0], judged) if judged else None


def _best_by_folds(found: Comparison, counting: Mapping[str, tuple[str, noise.Estimate]]) -> str | None:
    """Return the best by what decides, or, where its folds say nothing, the best by them; None: none can be it."""
    if found.best and found.best.id in counting:
        return found.best.id
    names = [name for name, _ in counting.values()]
    alike = {run_id: each.mean for run_id, (name, each) in counting.items() if name == names[0]}
    return min(alike, key=lambda run_id: _first(alike[run_id], direction_of(names[0])), default=None)


def _first(value: float, towards: Direction) -> tuple[float]:
    return (-value if towards is Direction.HIGHEST else value,)


def _of_noise(score: str, best: str, told: Mapping[str, Sequence[str]], of: int) -> str:
    bars = "Bars hold 95 % of what chance does (Student's t, Nadeau and Bengio)."
    others = of - 1
    if not best or not others:
        return f"Mean {score} over the folds. {bars}"
    inside = told[_INSIDE]
    named = f" ({listed(inside)})" if inside else ""
    differing = [
        f"{len(told[words])} {'is' if len(told[words]) == 1 else 'are'} {words}" for words in (_BETTER, _WORSE)
    ]
    return (
        f"By cross-validated {score}, of {others} other run{'' if others == 1 else 's'} {len(inside)} "
        f"{'differs' if len(inside) == 1 else 'differ'} from {best} by no more than chance does: inside the noise"
        f"{'; '.join([named, *differing])}. {bars}"
    )


def _score(name: str) -> str:
    return "R²" if name == "r2" else _words(name)


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
    drawn = too_large = 0
    for run, table in tables:
        if table is None or table.columns[:1] != ("true",):
            continue
        if max(len(table.rows), len(table.columns) - 1) > _MOST_CLASSES:
            too_large += 1
            continue
        drawn += 1
        for row in table.rows:
            counts = [value if isinstance(value, float) else 0.0 for value in row[1:]]
            for predicted, count in zip(table.columns[1:], counts, strict=True):
                share = count / sum(counts) if sum(counts) else 0.0
                rows.append([run.id, labels[run.id], _as_text(row[0]), predicted, number(count), number(share)])
    large = f" {too_large} of more than {_MOST_CLASSES} classes {'is' if too_large == 1 else 'are'} not drawn."
    large = large if too_large else ""
    titles = {"true": "true class", "predicted": "predicted", "count": "rows", "share": "share of the true class"}
    return Figure(
        name="confusion_matrix",
        title="Confusion matrices",
        says=_drawn(drawn, len(tables), "How many rows of each class were predicted to be which") + large,
        kind=Kind.MATRIX,
        columns=[_RUN, _NAME, *_columns(titles)],
        rows=rows,
        x="predicted",
        y="true",
        series="name",
        colour="share",
        empty="" if rows else large.strip() or f"No run here has a confusion matrix. {_LOG}",
    )


def importance(name: str, labels: Mapping[str, str], tables: Sequence[tuple[LoggedRun, Table | None]]) -> Figure:
    """Draw how much features matter to each run's model."""
    of_kinds: dict[str, dict[str, dict[str, float]]] = {}
    for run, table in tables:
        if table and {"feature", "importance"} <= set(table.columns):
            pairs = zip(table.column("feature"), table.column("importance"), strict=True)
            values = {_as_text(feature): value for feature, value in pairs if isinstance(value, float)}
            of_kinds.setdefault(_kind(name, table), {})[run.id] = values
    most = max(_FEWEST_FEATURES, _FEATURES // max(len(of_kinds), 1))
    rows: list[list[Cell]] = []
    cut = ""
    for kind, of_runs in of_kinds.items():
        largest = _shares(of_runs.values())
        shown = sorted(largest, key=lambda feature: (-largest[feature], feature))[:most]
        if len(largest) > len(shown):
            apart = f" by {kind}" if len(of_kinds) > 1 else ""
            cut += f"; the {len(shown)} of {len(largest)} features that matter most{apart}"
        rows += [
            [run_id, labels[run_id], kind, feature, number(values[feature])]
            for run_id, values in of_runs.items()
            for feature in shown
            if feature in values
        ]
    what = "How much each feature matters"
    if len(of_kinds) > 1:
        what += f" by {len(of_kinds)} kinds of figures, each drawn by itself: {', '.join(of_kinds)}"
    return Figure(
        name=name,
        title=IMPORTANCES[name],
        says=f"{_drawn(sum(map(len, of_kinds.values())), len(tables), what)[:-1]}{cut}.",
        kind=Kind.BARS,
        columns=[
            _RUN,
            _NAME,
            *_columns({"kind": "kind", "feature": "feature", "importance": "importance"}),
        ],
        rows=rows,
        x="importance",
        y="feature",
        series="name",
        panels="kind",
        empty="" if rows else f"No run here has it. {_LOG}",
    )


def _kind(name: str, table: Table) -> str:
    if name == "permutation_importance":
        return "fall of accuracy, or R², when the feature is shuffled"
    kinds = {_as_text(kind) for kind in table.column("kind")}
    return kinds.pop() if len(kinds) == 1 else "of a kind that was not logged"


def _shares(of_runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return of each feature the largest share that it has in any run."""
    largest: dict[str, float] = {}
    for values in of_runs:
        total = sum(map(abs, values.values())) or 1.0
        for feature, value in values.items():
            largest[feature] = max(largest.get(feature, 0.0), abs(value) / total)
    return largest


def course(metric: str, labels: Mapping[str, str], courses: Sequence[tuple[LoggedRun, Course]]) -> Figure:
    """Draw how a metric went while runs trained."""
    rows: list[list[Cell]] = [
        [run.id, labels[run.id], step, number(value)]
        for run, found in courses
        for step, value in zip(found.steps, found.values, strict=True)
    ]
    longest = max((found.of for _, found in courses), default=0)
    left_out = sum(found.of for _, found in courses) - len(rows)
    return Figure(
        name="course",
        title=f"{metric} while training",
        says=f"Values that were logged, by their step. {in_words()}" if left_out else _EACH,
        kind=Kind.LINES,
        columns=[_RUN, _NAME, Column(name="step", title="step"), Column(name="value", title=metric)],
        rows=rows,
        left_out=left_out,
        x="step",
        y="value",
        series="name",
        empty=""
        if longest > 1
        else f"No run here logged {metric} more than once: `mlflow.log_metric(…, step=…)` does.",
    )


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
    return "" if cell is None else str(cell)


def _words(name: str) -> str:
    return name.replace("_", " ")
