"""Figures of SHAP values: what features did over all rows, to one row, and one feature alone. Pure.

Every number is one that shap computed and the script logged; only sums of the smallest are made here, for the rows that
stand for what is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from runyard.dashboard.answers import Cell, Column, Figure, Kind, number
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runyard.dashboard.artifacts import Cell as TableCell
    from runyard.explanation import Explanation
    from runyard.tables import Floats

_FEATURES = 12
# Points in one picture: a thousand rows of twelve features.
_MOST_POINTS = 12_000
_PIECES = 10
# Columns of the table of rows that no model was given; a feature that is called so has another name there.
_KNOWN = ("true", "predicted")
_NAMED = 3


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


def row_of(found: Explanation, asked: str | None, at: int | None = None) -> int:
    """Return the place of a row among those that were explained: the one that is named, else the first.

    Args:
        found: where.
        asked: its name, which several may have.
        at: its place in the test data, from 0, which no other has; None: the first of that name.

    Raises:
        NotExplained: it was not explained.

    """
    if not found.rows:
        raise NotExplained("no row was explained")
    if at is not None:
        if at not in found.places or (asked and found.rows[found.places.index(at)] != asked):
            called = f' called "{asked}"' if asked else ""
            raise NotExplained(f"no row{called} at place {at} of the test data was explained")
        return found.places.index(at)
    if not asked:
        return 0
    if asked not in found.rows:
        drawn = f": of the test rows {len(found.rows)} were drawn" if found.left_out else ""
        raise NotExplained(f'row "{asked}" was not explained{drawn}; there is, say, {", ".join(found.rows[:5])}')
    return found.rows.index(asked)


def alike(found: Explanation, row: int) -> str:
    """Return which row this is, in a sentence, where others are called as it is; else nothing."""
    count = found.rows.count(found.rows[row])
    if count == 1:
        return ""
    return (
        f"{count} of the rows that were explained are called {found.rows[row]}: this is the one at place "
        f"{found.places[row]} of the test data, counted from 0."
    )


@dataclass(frozen=True)
class Given:
    """A row as it was logged; both are empty where it was not.

    Attributes:
        known: what is true of it, and what was predicted.
        features: what was given to the model, before encoding and scaling.

    """

    known: Mapping[str, TableCell]
    features: Mapping[str, TableCell]


def as_given(columns: Sequence[str], row: Sequence[TableCell]) -> Given:
    """Return a row of the table of rows that were explained, what the model was given apart from the rest."""
    known = [name for name in columns[1:3] if name in _KNOWN]
    pairs = dict(zip(columns, row, strict=True))
    return Given({name: pairs[name] for name in known}, {name: pairs[name] for name in columns[1 + len(known) :]})


def same_row(found: Explanation, row: int, theirs: Explanation) -> int | None:
    """Return the place of the row of another explanation that is called as a row of this; None where none is.

    Of several, it is that at the same place in the test data, else the first.
    """
    name = found.rows[row]
    places = [place for place, other in enumerate(theirs.rows) if other == name]
    at = found.places[row]
    return min(places, key=lambda place: theirs.places[place] != at, default=None)


def not_the_same(name: str, one: Given, other: Given) -> str:
    """Say that two rows that are called alike are not the same one, or that it is not known; else nothing."""
    both = [each for each in one.features if each in other.features]
    if not both:
        return f"Whether row {name} is the same one in both runs is not known: no feature of it was logged of both."
    # As text, by which NaN is what it is.
    differing = [each for each in both if str(one.features[each]) != str(other.features[each])]
    if str(one.known.get("true")) != str(other.known.get("true")):
        differing.insert(0, "what is true of it")
    if not differing:
        return ""
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    return f"Row {name} is not the same one in both runs: it differs in {', '.join(differing[:_NAMED])}{more}."


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
    missing = int(np.isnan(found.data[:, shown]).sum())
    for place in shown:
        data, ranks = found.data[:, place], _ranks(found.data[:, place])
        values = found.shap_values[:, place, output]
        rows.extend(
            [
                name,
                found.features[place],
                number(float(value)),
                number(float(given)),
                None if np.isnan(rank) else float(rank),
            ]
            for name, value, given, rank in zip(found.rows, values, data, ranks, strict=True)
        )
    titles = {"row": "row", "feature": "feature", "shap": f"SHAP value, {found.unit}", "value": "value", "rank": "rank"}
    return Figure(
        name="shap_swarm",
        title="What features do",
        says=(
            f"A point for each of {len(found.rows)} rows: to the right the feature raises the {found.unit}; its colour "
            f"is the feature's value{_cut(len(shown), len(found.features))}."
            f"{_counted(missing, 'point', 'is grey: it has no value', 'are grey: they have no value')}"
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
            f"({found.unit} of {found.output_names[output]}). {alike(found, row)}"
        ).rstrip(),
        kind=Kind.FORCE if as_force else Kind.WATERFALL,
        columns=_columns(titles),
        rows=rows[::-1],
        x="shap",
        y="feature",
        low="from",
        high="to",
    )


def dependence(found: Explanation, output: int, feature: int, colour: int) -> Figure:
    """Draw what one feature did against its value, in the colour of another one's.

    A row in which the feature has no value has no place across; its table has it.
    """
    values = found.shap_values[:, feature, output]
    name, other = found.features[feature], found.features[colour]
    rows: list[list[Cell]] = [
        [row, number(float(x)), number(float(value)), number(float(hue))]
        for row, x, value, hue in zip(found.rows, found.data[:, feature], values, found.data[:, colour], strict=True)
    ]
    placed = np.isfinite(found.data[:, feature]) & np.isfinite(values)
    absent = int((~placed).sum())
    colourless = int((placed & ~np.isfinite(found.data[:, colour])).sum())
    return Figure(
        name="shap_dependence",
        title=f"What {name} does",
        says=(
            f"A point a row: {name}, as it reaches the model, and what it did; coloured by {other}."
            f"{_counted(absent, 'row', f'without {name} is not drawn', f'without {name} are not drawn')}"
            f"{_counted(colourless, 'row', f'without {other} is grey', f'without {other} are grey')}"
        ),
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
        strengths += np.nan_to_num(np.abs(correlation), posinf=0.0)
    strengths[feature] = -1
    return int(strengths.argmax())


def _ranks(values: Floats) -> Floats:
    """Return for each value the share of the others that are below it, of equals the middle: the colours of a swarm.

    What is missing (NaN) has no rank, and no part in the others'.
    """
    ordered = np.sort(values[~np.isnan(values)])
    if len(ordered) < 2 or ordered[0] == ordered[-1]:  # noqa: PLR2004 no order
        return np.where(np.isnan(values), np.nan, 0.5)
    middle = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2
    ranks: Floats = np.where(np.isnan(values), np.nan, middle / (len(ordered) - 1))
    return ranks


def _counted(count: int, what: str, one: str, more: str) -> str:
    return f" {count} {what} {one}." if count == 1 else f" {count} {what}s {more}." if count else ""


def _cut(shown: int, of: int) -> str:
    return f"; the {shown} of {of} features that matter most" if shown < of else ""


def _columns(titles: Mapping[str, str]) -> list[Column]:
    return [Column(name=name, title=title) for name, title in titles.items()]
