"""Figures of SHAP values: what features did over all rows, to one row, and one feature alone. Pure.

Every number is one that shap computed and the script logged; only sums of the smallest are made here, for the rows that
stand for what is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runyard.explanation import Explanation
    from runyard.tables import Floats

_FEATURES = 12
# Points in one picture: a thousand rows of twelve features.
_MOST_POINTS = 12_000
_PIECES = 10


class NotExplained(RunyardError):
    """There are no SHAP values of what is asked for."""

    exit_code = 2


def output_of(found: Explanation, asked: str | None) -> int:
    """Return the place of an output: the one that is named, else the last, which of two classes is the second.

    Raises:
        NotExplained: there is none of that name.

    """
    if not asked:
        return len(found.output_names) - 1
    if asked not in found.output_names:
        raise NotExplained(f'there is no output "{asked}"; there are: {", ".join(found.output_names[:20])}')
    return found.output_names.index(asked)


def row_of(found: Explanation, asked: str | None) -> int:
    """Return the place of a row: the one that is named, else the first.

    Raises:
        NotExplained: it was not explained.

    """
    if not found.rows:
        raise NotExplained("no row was explained")
    if not asked:
        return 0
    if asked not in found.rows:
        drawn = f": of the test rows {len(found.rows)} were drawn" if found.left_out else ""
        raise NotExplained(f'row "{asked}" was not explained{drawn}; there is, say, {", ".join(found.rows[:5])}')
    return found.rows.index(asked)


def feature_of(found: Explanation, asked: str | None, output: int) -> int:
    """Return the place of a feature: the one that is named, else the one that matters most.

    Raises:
        NotExplained: there is none of that name.

    """
    if not asked:
        return int(by_size(found, output)[0])
    if asked not in found.features:
        raise NotExplained(f'there is no feature "{asked}"; there are: {", ".join(found.features[:20])}')
    return found.features.index(asked)


def by_size(found: Explanation, output: int) -> list[int]:
    """Return the places of features, that which matters most first."""
    return [int(place) for place in np.argsort(-sizes(found, output), kind="stable")]


def sizes(found: Explanation, output: int) -> Floats:
    """Return the mean size of each feature's values: shape (features,), in the unit of the explanation."""
    means: Floats = np.abs(found.shap_values[:, :, output]).mean(axis=0)
    return means


def importance(found: Explanation, output: int) -> Figure:
    """Draw how much each feature matters."""
    shown = by_size(found, output)[:_FEATURES]
    means = sizes(found, output)
    return Figure(
        name="shap_importance",
        title="What matters",
        says=f"How far each feature moves the {found.unit} on average{_cut(len(shown), len(found.features))}.",
        kind=Kind.BARS,
        columns=_columns({"feature": "feature", "size": f"mean |SHAP value|, {found.unit}"}),
        rows=[[found.features[place], number(float(means[place]))] for place in shown],
        x="size",
        y="feature",
    )


def swarm(found: Explanation, output: int) -> Figure:
    """Draw a point for each row and feature: what the feature did there, in the colour of its value."""
    shown = by_size(found, output)[: min(_FEATURES, max(1, _MOST_POINTS // max(len(found.rows), 1)))]
    rows: list[list[Cell]] = []
    for place in shown:
        data, ranks = found.data[:, place], _ranks(found.data[:, place])
        values = found.shap_values[:, place, output]
        rows.extend(
            [name, found.features[place], number(float(value)), number(float(given)), float(rank)]
            for name, value, given, rank in zip(found.rows, values, data, ranks, strict=True)
        )
    titles = {"row": "row", "feature": "feature", "shap": f"SHAP value, {found.unit}", "value": "value", "rank": "rank"}
    return Figure(
        name="shap_swarm",
        title="What features do",
        says=(
            f"A point for each of {len(found.rows)} rows: to the right the feature raises the {found.unit}; its colour "
            f"is the feature's value{_cut(len(shown), len(found.features))}."
        ),
        kind=Kind.SWARM,
        columns=_columns(titles),
        rows=rows,
        x="shap",
        y="feature",
        colour="rank",
    )


def waterfall(found: Explanation, output: int, row: int, *, as_force: bool = False) -> Figure:
    """Draw how one row came from what is expected to what the model says."""
    values, data = found.shap_values[row, :, output], found.data[row]
    base, says = float(found.base_values[row, output]), float(found.outputs[row, output])
    order = [int(place) for place in np.argsort(-np.abs(values), kind="stable")]
    shown, rest = order[:_PIECES], order[_PIECES:]
    pieces: list[tuple[str, Cell, float]] = [
        (found.features[place], number(float(data[place])), float(values[place])) for place in shown
    ]
    if rest:
        pieces.append((f"{len(rest)} other features", None, float(values[rest].sum())))
    rows: list[list[Cell]] = []
    at = base
    # From the smallest to the largest: the last step is the one that is read first.
    for name, given, value in reversed(pieces):
        rows.append([name, given, number(value), number(at), number(at + value)])
        at += value
    ends = {"from": f"{found.unit} before", "to": f"{found.unit} after"}
    titles = {"feature": "feature", "value": "value", "shap": "SHAP value", **ends}
    return Figure(
        name="shap_force" if as_force else "shap_waterfall",
        title=f"{'What pulls' if as_force else 'Why'}: row {found.rows[row]}",
        says=(
            f"{base:.4g} is expected of any row; of this one the model says {says:.4g} "
            f"({found.unit} of {found.output_names[output]})."
        ),
        kind=Kind.FORCE if as_force else Kind.WATERFALL,
        columns=_columns(titles),
        rows=rows[::-1],
        x="shap",
        y="feature",
        low="from",
        high="to",
    )


def dependence(found: Explanation, output: int, feature: int, colour: int) -> Figure:
    """Draw what one feature did against its value, in the colour of another one's."""
    values = found.shap_values[:, feature, output]
    name, other = found.features[feature], found.features[colour]
    rows: list[list[Cell]] = [
        [row, number(float(x)), number(float(value)), number(float(hue))]
        for row, x, value, hue in zip(found.rows, found.data[:, feature], values, found.data[:, colour], strict=True)
    ]
    return Figure(
        name="shap_dependence",
        title=f"What {name} does",
        says=f"A point a row: {name}, as it reaches the model, and what it did; coloured by {other}.",
        kind=Kind.SCATTER,
        columns=_columns({"row": "row", "x": name, "shap": f"SHAP value, {found.unit}", "colour": other}),
        rows=rows,
        x="x",
        y="shap",
        colour="colour",
    )


def companion(found: Explanation, output: int, feature: int) -> int:
    """Return the feature by whose value another one's effect changes most, where nobody names one.

    It is that whose values go along most with what is left of the effect when rows are in order of the feature itself:
    the correlation within ten neighbourhoods of its values, as shap's own plots look for it.
    """
    order = np.argsort(found.data[:, feature], kind="stable")
    effect = found.shap_values[order, feature, output]
    size = max(3, min(50, len(order) // 10))
    strengths = np.zeros(len(found.features))
    for begin in range(0, len(order) - size + 1, size):
        part = slice(begin, begin + size)
        y = effect[part] - effect[part].mean()
        x = found.data[order][part] - found.data[order][part].mean(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = (x * y[:, None]).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum())
        strengths += np.nan_to_num(np.abs(correlation))
    strengths[feature] = -1
    return int(strengths.argmax())


def _ranks(values: Floats) -> Floats:
    """Return for each value the share of the others that are below it, of equals the middle: the colours of a swarm."""
    ordered = np.sort(values)
    if len(ordered) < 2 or ordered[0] == ordered[-1]:  # noqa: PLR2004 no order
        return np.full(len(values), 0.5)
    middle = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2
    ranks: Floats = middle / (len(ordered) - 1)
    return ranks


def _cut(shown: int, of: int) -> str:
    return f"; the {shown} of {of} features that matter most" if shown < of else ""


def _columns(titles: Mapping[str, str]) -> list[Column]:
    return [Column(name=name, title=title) for name, title in titles.items()]
