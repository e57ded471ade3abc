"""The tables of an evaluation, drawn."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from runyard.evaluation.draws import global_generator
from runyard.explanation import Explanation

_MOST_FEATURES = 20
# A picture has 65,536 pixels at most in each direction, and people look at fewer.
_MOST_OUTPUTS = 6
_SIZE = (6.4, 4.8)
_BESIDE = 2
_BY_THRESHOLD = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def of(table_name: str, table: pd.DataFrame) -> Figure | None:
    """Return the picture of a table, or None where a table says it better."""
    of_groups = {"fairness": _fairness, "thresholds": _thresholds}
    draw = _DRAWN.get(table_name) or of_groups.get(table_name.partition("_")[0])
    if draw is None:
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    draw(figure, table)
    return figure


def _confusion_matrix(figure: Figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    counts = table.drop(columns="true").to_numpy()
    names = [_text(name) for name in table["true"]]
    ConfusionMatrixDisplay(counts, display_labels=names).plot(ax=axes, cmap="Blues", colorbar=False)
    axes.set_title("Confusion matrix")


def _roc(figure: Figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="chance")
    _lines(figure, table, "false_positive_rate", "true_positive_rate")
    axes.set(title="ROC curve", xlabel="false positive rate", ylabel="true positive rate", aspect="equal")


def _precision_recall(figure: Figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    _lines(figure, table, "recall", "precision")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.05))


def _calibration(figure: Figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="perfect")
    _lines(figure, table, "predicted_probability", "share_of_positives", marker="o")
    axes.set(title="Calibration", xlabel="mean predicted probability", ylabel="share of positives", aspect="equal")


def _lines(figure: Figure, table: pd.DataFrame, across: str, up: str, marker: str | None = None) -> None:
    axes = figure.axes[0]
    for name, curve in table.groupby("class", sort=False):
        axes.plot(curve[across], curve[up], marker=marker, label=_text(name))
    axes.legend(title="class")


def _residuals(figure: Figure, table: pd.DataFrame) -> None:
    axes = figure.subplots()
    axes.axhline(0, color="0.7", linestyle="--")
    axes.scatter(table["predicted"], table["residual"], s=12, alpha=0.6)
    axes.set(title="Residuals", xlabel="predicted", ylabel="true - predicted")


def _importance(title: str, label: str) -> Callable[[Figure, pd.DataFrame], None]:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        shown = table.head(_MOST_FEATURES).iloc[::-1]
        axes.barh([_text(name) for name in shown["feature"]], shown["importance"], xerr=shown.get("std"))
        more = f", {_MOST_FEATURES} of {len(table)}" if len(table) > _MOST_FEATURES else ""
        kind = shown.get("kind")
        axes.set(title=f"{title}{more}", xlabel=label if kind is None else kind.iloc[0])

    return draw


def _fairness(figure: Figure, table: pd.DataFrame) -> None:
    measures = [name for name in table.columns if name not in {"group", "count"}]
    places = np.arange(len(measures))
    width = 0.8 / len(table)
    axes = figure.subplots()
    for number, row in enumerate(table.itertuples(index=False)):
        heights = [getattr(row, name) for name in measures]
        axes.bar(places + (number + 0.5) * width - 0.4, heights, width, label=f"{_text(row.group)} (n = {row.count})")
    axes.set_xticks(places, [name.replace("_", "\n") for name in measures])
    axes.set_title("By group")
    _name_below(figure, len(table))


def _thresholds(figure: Figure, table: pd.DataFrame) -> None:
    groups = list(table.groupby("group", sort=False))
    for place, (axes, measure) in enumerate(
        zip(figure.subplots(2, _BESIDE, sharex=True).flat, _BY_THRESHOLD, strict=True)
    ):
        for own in table.loc[table["own"] == 1, "threshold"].unique():
            axes.axvline(own, color="0.7", linestyle="--", label="" if place else "the model's own")
        for name, rates in groups:
            label = "" if place else f"{_text(name)} (n = {rates['count'].iloc[0]})"
            axes.plot(rates["threshold"], rates[measure], label=label)
        across = "" if place < _BESIDE else f"threshold of the {table['score'].iloc[0]}"
        axes.set(title=measure.replace("_", " "), xlabel=across, ylim=(-0.02, 1.02))
    _name_below(figure, len(groups) + 1)


def _name_below(figure: Figure, names: int) -> None:
    """Name groups below what is drawn, which the names would hide: as much higher as they have lines."""
    columns = 3
    figure.set_size_inches(_SIZE[0], _SIZE[1] + 0.25 * math.ceil(names / columns))
    figure.legend(loc="outside lower center", ncols=columns)


_DRAWN: dict[str, Callable[[Figure, pd.DataFrame], None]] = {
    "confusion_matrix": _confusion_matrix,
    "roc_curve": _roc,
    "pr_curve": _precision_recall,
    "calibration": _calibration,
    "residuals": _residuals,
    "feature_importance": _importance("Feature importance", "as the model says"),
    "permutation_importance": _importance("Permutation importance", "fall of the score when the feature is shuffled"),
}


def of_explanation(explanation: Explanation) -> Figure:
    """Return a beeswarm for each output, of the first six: a point a row, its colour the feature's value."""
    import shap

    outputs = explanation.output_names[:_MOST_OUTPUTS]
    shown = min(len(explanation.features), _MOST_FEATURES)
    figure = Figure(figsize=(9 * len(outputs), 1.5 + 0.4 * shown), layout="constrained")
    for number, (axes, output) in enumerate(zip(np.atleast_1d(figure.subplots(1, len(outputs))), outputs, strict=True)):
        found = shap.Explanation(
            explanation.shap_values[:, :, number],
            base_values=explanation.base_values[:, number],
            data=explanation.data,
            feature_names=[_text(name) for name in explanation.features],
        )
        # Points that would hide each other are spread at random.
        with global_generator(seed=0):
            shap.plots.beeswarm(found, max_display=shown, ax=axes, plot_size=None, show=False)
        axes.set(title=f"SHAP values: {_text(output)}", xlabel=f"effect on {explanation.unit}")
    if len(explanation.output_names) > len(outputs):
        figure.suptitle(f"{len(outputs)} of {len(explanation.output_names)} classes")
    return figure


def _text(name: object) -> str:
    """Return a name as Matplotlib writes it: between dollars it reads formulas."""
    return str(name).replace("$", r"\$")
