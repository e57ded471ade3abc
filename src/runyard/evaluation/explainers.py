"""Why a model says what it says: SHAP values, from shap's own explainers."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from runyard.evaluation.draws import drawn, global_generator
from runyard.evaluation.examples import taken
from runyard.evaluation.importance import names_after
from runyard.evaluation.subject import LeftOut, Subject, Task, in_one_line, unwrapped
from runyard.explanation import MOST_VALUES, Explanation
from runyard.tables import Floats

if TYPE_CHECKING:
    import shap

# What bounds time and memory, whatever the data: rows are drawn before anything is computed of them.
MOST_ROWS = 1_000
MOST_ROWS_OF_ANY_MODEL = 100
BACKGROUND_ROWS = 100
MOST_COLUMNS = 10_000
MOST_COLUMNS_OF_ANY_MODEL = 1_000
# Fewer are no picture of a model.
_FEWEST_ROWS = 10
# Of a row TreeSHAP visits each leaf, in the square of its depth (Lundberg et al. 2020), 2 to 6 ns each: two minutes.
_MOST_WORK_IN_TREES = 20_000_000_000
# The PermutationExplainer evaluates a row so often, and makes all those rows, of the background, at once.
_EVALUATIONS = 500
_MOST_NUMBERS_AT_ONCE = 20_000_000
_ROWS_AT_ONCE = 20
# Forests of deep trees are added up in another order than the model does.
_TOLERANCE = 1e-6
# Of numbers of 32 bits, to which XGBoost adds up the leaves of its trees: of the largest that it says.
_SINGLE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Explainer:
    """One of shap's explainers, and how many rows it may be given.

    Attributes:
        name: of its class.
        most_rows: how many it explains in reasonable time.
        explain: from rows (r, f) as they reach the step that predicts to shap's explanation.

    """

    name: str
    most_rows: int
    explain: Callable[[Floats], "shap.Explanation"]


def explain(subject: Subject, background: pd.DataFrame | Floats, seed: int) -> Explanation:
    """Explain what a model says of its test rows.

    The first of these whose values sum to what the model says: TreeExplainer for trees (exact, path-dependent: no
    background), LinearExplainer for linear models (exact for independent features), PermutationExplainer for any. At
    most 1,000 rows are explained, drawn at random: fewer where trees have very many leaves, where columns and outputs
    are very many, and 100 with the PermutationExplainer, which for each predicts 500 times the background, or twice
    the columns and once more. The background is at most 100 rows. Of a pipeline the last step is explained, on the
    columns that reach it.

    Args:
        subject: the model and its test rows.
        background: rows that stand for what is usual: the training data, where there is any.
        seed: of the draws.

    Raises:
        LeftOut: there is nothing to explain, it would take too long, or no explainer explains it.

    """
    if not _sayings(subject, taken(subject.given, [0])):
        raise LeftOut("the model has neither predict_proba nor a decision_function with a value for each class")
    with global_generator(seed):
        usual = _reaching(subject, taken(background, drawn(len(background), BACKGROUND_ROWS, seed)))
        reason = ""
        for make in (_of_trees, _of_linear_model, _of_any_model):
            try:
                return _explained(subject, make(subject, usual, seed), seed)
            except LeftOut:
                raise
            except _NotOfThisModel as refusal:
                reason = str(refusal)
            except Exception as error:  # noqa: BLE001 whatever shap or the model raises, there are no values
                reason = f"{type(error).__name__}: {in_one_line(error)}"
    raise LeftOut(f"shap does not explain this model: {reason}")


class _NotOfThisModel(Exception):
    """An explainer's values would not be of what this model says; the text says why."""


def _of_trees(subject: Subject, usual: Floats, seed: int) -> _Explainer:  # noqa: ARG001
    # It takes seconds to import.
    import shap

    estimator = unwrapped(subject.model)[1]
    # shap reads their splits on categories as if they were on numbers, and their columns in another order.
    if getattr(estimator, "is_categorical_", None) is not None:
        raise _NotOfThisModel("its trees split on categories")
    explainer = shap.TreeExplainer(estimator)
    work = sum(_work(tree.children_left, tree.children_right) for tree in explainer.model.trees or [])
    most = min(MOST_ROWS, _MOST_WORK_IN_TREES // max(work, 1))
    if most < _FEWEST_ROWS:
        raise LeftOut(
            "the trees have so many leaves, so deep, that SHAP values of ten rows would take minutes: "
            "train with a max_depth or a larger min_samples_leaf"
        )
    # What the values sum to is looked at here, and more closely.
    return _Explainer("TreeExplainer", most, _in_parts(lambda rows: explainer(rows, check_additivity=False)))


def _work(left: Floats, right: Floats) -> int:
    """Return the sum over a tree's leaves of their depth squared, from each node's children (-1: none)."""
    nodes, depth, work = np.array([0]), 0, 0
    while len(nodes):
        is_leaf = left[nodes] < 0
        work += int(is_leaf.sum()) * depth**2
        nodes = np.concatenate([left[nodes[~is_leaf]], right[nodes[~is_leaf]]])
        depth += 1
    return work


def _of_linear_model(subject: Subject, usual: Floats, seed: int) -> _Explainer:  # noqa: ARG001
    import shap

    estimator = unwrapped(subject.model)[1]
    masker = shap.maskers.Independent(usual, max_samples=BACKGROUND_ROWS)
    if not shap.explainers.Linear.supports_model_with_masker(estimator, masker):
        raise _NotOfThisModel("it is not linear")
    explainer = shap.LinearExplainer(estimator, masker)
    return _Explainer("LinearExplainer", MOST_ROWS, _in_parts(lambda rows: explainer(rows, silent=True)))


def _of_any_model(subject: Subject, usual: Floats, seed: int) -> _Explainer:
    import shap

    columns = usual.shape[1]
    if columns > MOST_COLUMNS_OF_ANY_MODEL:
        raise LeftOut(
            f"{columns:,} columns reach the step that predicts, and {MOST_COLUMNS_OF_ANY_MODEL:,} are the most that "
            "shap's PermutationExplainer can do in reasonable time"
        )
    evaluations = max(_EVALUATIONS, 2 * columns + 1)
    few = usual[drawn(len(usual), _MOST_NUMBERS_AT_ONCE // ((2 * columns + 1) * columns), seed)]
    output = _output(subject)

    def explain(rows: Floats) -> "shap.Explanation":
        # shap takes values for equal that differ by a hundred-thousandth, as moments of a day in seconds since 1970:
        # it is given the places of values among all there are of a column, and the model the values themselves.
        values = np.sort(np.vstack([few, rows]), axis=0)
        masker = shap.maskers.Independent(_places(values, few), max_samples=BACKGROUND_ROWS)
        every_column = np.arange(columns)
        explainer = shap.PermutationExplainer(
            lambda at: output(values[at.astype(int), every_column]), masker, seed=seed
        )
        each = _in_parts(lambda at: explainer(at, max_evals=evaluations, silent=True))
        return each(_places(values, rows))

    return _Explainer("PermutationExplainer", MOST_ROWS_OF_ANY_MODEL, explain)


def _in_parts(explain: Callable[[Floats], "shap.Explanation"]) -> Callable[[Floats], "shap.Explanation"]:
    """Explain rows some at a time, which changes nothing, and say at a terminal how far it is."""

    def each(rows: Floats) -> "shap.Explanation":
        import shap

        values, base_values = [], []
        hidden = not sys.stderr.isatty()
        # Each part is drawn, the last one too: there are few.
        with tqdm(total=len(rows), desc="SHAP values", leave=False, mininterval=0, miniters=1, disable=hidden) as bar:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                found = explain(rows[start : start + _ROWS_AT_ONCE])
                values.append(np.asarray(found.values))
                base_values.append(np.asarray(found.base_values))
                bar.update(len(values[-1]))
        return shap.Explanation(np.concatenate(values), np.concatenate(base_values))

    return each


def _places(values: Floats, rows: Floats) -> Floats:
    """Return where each of the rows' values is among its column's, which are sorted; NaN is the last of them."""
    found = [np.searchsorted(ordered, column) for ordered, column in zip(values.T, rows.T, strict=True)]
    return np.column_stack(found).astype(float)


def _output(subject: Subject) -> Callable[[Floats], Floats]:
    """Return what the step that predicts says of rows, as a function of an array."""
    estimator = unwrapped(subject.model)[1]
    methods = ["predict"] if subject.task is Task.REGRESSION else ["predict_proba", "decision_function"]
    output = next(getattr(estimator, method) for method in methods if hasattr(estimator, method))
    columns = getattr(estimator, "feature_names_in_", None)

    def said(rows: Floats) -> Floats:
        return np.asarray(output(rows if columns is None else pd.DataFrame(rows, columns=columns)), dtype=float)

    return said


def _explained(subject: Subject, explainer: _Explainer, seed: int) -> Explanation:
    names = names_after(unwrapped(subject.model)[0], subject)
    most = min(explainer.most_rows, MOST_VALUES // (len(names) * max(len(subject.classes), 1)))
    if most < min(_FEWEST_ROWS, len(subject.features)):
        raise LeftOut(f"{len(names):,} columns and {len(subject.classes):,} classes are too many for SHAP values")
    places = drawn(len(subject.features), most, seed)
    rows = taken(subject.given, places)
    data = _reaching(subject, rows)
    values, base_values = _wanted_outputs(subject, explainer.explain(data))
    unit, outputs = _meant(subject, rows, values.sum(axis=1) + base_values)
    return Explanation(
        values,
        base_values,
        outputs,
        data,
        features=names,
        output_names=_output_names(subject),
        rows=[str(name) for name in subject.features.index[places]],
        places=places,
        unit=unit,
        explainer=explainer.name,
        left_out=len(subject.features) - len(places),
    )


def _reaching(subject: Subject, rows: pd.DataFrame | Floats) -> Floats:
    """Return rows as they reach the step that predicts, as numbers."""
    reaching = rows
    for step in unwrapped(subject.model)[0]:
        reaching = step.transform(reaching)
    if reaching.shape[1] > MOST_COLUMNS:
        raise LeftOut(
            f"{reaching.shape[1]:,} columns reach the step that predicts, and {MOST_COLUMNS:,} are the most for SHAP "
            "values"
        )
    dense = reaching.toarray() if hasattr(reaching, "toarray") else reaching
    try:
        return np.asarray(dense, dtype=float)
    except (TypeError, ValueError) as error:
        raise LeftOut(
            f"SHAP values need numbers, and a column is none ({in_one_line(error)}): put the encoding into the model, "
            "as a Pipeline"
        ) from error


def _wanted_outputs(subject: Subject, found: "shap.Explanation") -> tuple[Floats, Floats]:
    """Return values of shape (r, f, o) and base values of (r, o), of the positive class where there are two."""
    values = np.asarray(found.values, dtype=float)
    base = np.asarray(found.base_values, dtype=float)
    if values.ndim == 2:  # noqa: PLR2004 rows by features: one output
        values, base = values[:, :, np.newaxis], np.broadcast_to(base.reshape(-1, 1), (len(values), 1))
        # Of two classes it is the second's; what speaks for one speaks against the other.
        if subject.task is Task.BINARY and subject.positive_column == 0:
            return -values, -base
        return values, base.copy()
    base = np.broadcast_to(base, (len(values), values.shape[2]))
    if subject.task is Task.BINARY:
        column = slice(subject.positive_column, subject.positive_column + 1)
        return values[:, :, column], base[:, column].copy()
    return values, base.copy()


def _meant(subject: Subject, rows: pd.DataFrame | Floats, sums: Floats) -> tuple[str, Floats]:
    """Return which of the model's outputs the values add up to, and that output."""
    for said in _sayings(subject, rows):
        if said.outputs.shape == sums.shape and said.is_near(sums):
            return said.unit, said.outputs
    raise _NotOfThisModel("the values do not sum to what the model says")


@dataclass(frozen=True)
class _Saying:
    """What a model says of rows, shape (r, o), and whether it has it in 32 bits."""

    unit: str
    outputs: Floats
    is_single: bool = False

    def is_near(self, sums: Floats) -> bool:
        if not self.is_single:
            return np.allclose(self.outputs, sums, rtol=_TOLERANCE, atol=_TOLERANCE)
        largest = float(np.abs(self.outputs).max(initial=1))
        return np.allclose(self.outputs, sums, rtol=0, atol=_SINGLE_TOLERANCE * largest)


def _sayings(subject: Subject, rows: pd.DataFrame | Floats) -> list[_Saying]:
    """Return each thing that the model says of rows, by its unit: of the positive class where there are two."""
    if subject.task is Task.REGRESSION:
        said = np.asarray(subject.model.predict(rows))
        return [_Saying("value", said.astype(float).reshape(-1, 1), is_single=said.dtype == np.float32)]
    found: list[_Saying] = []
    is_binary = subject.task is Task.BINARY
    probabilities = subject.said_by("predict_proba", rows)
    if probabilities is not None and is_binary:
        positive, other = subject.positive_column, 1 - subject.positive_column
        # Each from its own column: near 1, the difference from 1 has lost its digits.
        with np.errstate(divide="ignore"):
            odds = np.log(probabilities[:, [positive]]) - np.log(probabilities[:, [other]])
        probabilities = probabilities[:, [positive]]
        found += [_Saying("probability", probabilities), _Saying("log-odds", odds)]
    elif probabilities is not None:
        found.append(_Saying("probability", probabilities))
    if (margin := _margin(subject, rows)) is not None:
        found.append(_Saying(_unit_of(margin, probabilities), margin, is_single=True))
    decision = subject.said_by("decision_function", rows)
    if decision is not None:
        found.append(_Saying("decision", -decision if is_binary and subject.positive_column == 0 else decision))
    return found


def _margin(subject: Subject, rows: pd.DataFrame | Floats) -> Floats | None:
    """Return what the trees of XGBoost's classifiers add up to, before it is made a probability; None of others.

    Its probabilities have 32 bits: their logarithms have lost the digits by which values are known to be of this model.
    """
    estimator = unwrapped(subject.model)[1]
    try:
        is_offered = "output_margin" in signature(estimator.predict).parameters
    except ValueError:  # what is compiled need not say what it takes
        return None
    if not is_offered:
        return None
    said = np.asarray(estimator.predict(_reaching(subject, rows), output_margin=True), dtype=float)
    if subject.task is Task.MULTICLASS:
        return said if said.shape == (len(rows), len(subject.classes)) else None
    # Of two classes it is the second's.
    return (said if subject.positive_column else -said).reshape(-1, 1)


def _unit_of(margin: Floats, probabilities: Floats | None) -> str:
    with np.errstate(over="ignore"):
        logistic = 1 / (1 + np.exp(-margin))
    is_odds = margin.shape[1] == 1 and probabilities is not None and np.allclose(logistic, probabilities, atol=1e-5)
    return "log-odds" if is_odds else "margin"


def _output_names(subject: Subject) -> list[str]:
    if subject.task is Task.MULTICLASS:
        return [str(name) for name in subject.classes]
    return [str(subject.truth.name if subject.task is Task.REGRESSION else subject.positive)]
