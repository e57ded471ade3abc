"""Why a model says what it says: SHAP values, from shap's own explainers, in a compact file.

A SHAP value is what a feature added to the model's output for one row, compared with the output expected over the
background; with the base value they sum to the output (Lundberg and Lee 2017).
"""

import io
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from runyard.errors import EvaluationImpossible
from runyard.evaluation.importance import last_step
from runyard.evaluation.subject import Floats, Subject, Task, taken

if TYPE_CHECKING:
    import shap

# What bounds time and memory, whatever the data: rows are drawn before anything is computed of them.
MOST_ROWS = 1_000
MOST_ROWS_OF_ANY_MODEL = 100
BACKGROUND_ROWS = 100
FORMAT = 1
# Forests of deep trees are added up in another order than the model does.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Explanation:
    """SHAP values of r rows by f features for o outputs.

    Attributes:
        shap_values: shape (r, f, o), in the unit of `unit`.
        base_values: shape (r, o): the output expected without knowing any feature.
        outputs: shape (r, o): what the model says; base plus the row's values.
        data: shape (r, f): the features as they reach the step that predicts.
        features: f names.
        output_names: o names: the positive class, each of more than two classes, or the regressor's target.
        rows: r names: the rows' index in the test data, as text.
        places: r numbers: the rows' places in the test data, from 0.
        unit: what is explained: probability, log-odds, decision (the decision function), value (a regressor's
            prediction), or raw where it is none of these, as the margins of some boosted trees.
        explainer: the name of shap's explainer.
        left_out: how many test rows were not drawn.

    """

    shap_values: Floats
    base_values: Floats
    outputs: Floats
    data: Floats
    features: list[str]
    output_names: list[str]
    rows: list[str]
    places: list[int]
    unit: str
    explainer: str
    left_out: int = 0
    shap_version: str = field(default_factory=lambda: version("shap"))

    def summary(self) -> pd.DataFrame:
        """Return how much each feature matters: the mean over rows of its values' size, a column an output."""
        means = np.abs(self.shap_values).mean(axis=0)
        table = pd.DataFrame(means, columns=self.output_names)
        table.insert(0, "feature", self.features)
        order = np.argsort(-means.mean(axis=1), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def to_bytes(self) -> bytes:
        """Return the file's content: a compressed NumPy archive without pickles, its words as JSON in `about`."""
        about = {
            "format": FORMAT,
            "features": self.features,
            "outputs": self.output_names,
            "rows": self.rows,
            "places": self.places,
            "unit": self.unit,
            "explainer": self.explainer,
            "left_out": self.left_out,
            "shap": self.shap_version,
        }
        file = io.BytesIO()
        np.savez_compressed(
            file,
            shap_values=self.shap_values,
            base_values=self.base_values,
            outputs=self.outputs,
            data=self.data,
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Explanation":
        """Read such a file.

        Raises:
            EvaluationImpossible: it is none.

        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                about = json.loads(archive["about"].tobytes())
                arrays = {name: archive[name] for name in ("shap_values", "base_values", "outputs", "data")}
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise EvaluationImpossible(f"this is no file of SHAP values as Runyard writes them: {error}") from error
        if about["format"] != FORMAT:
            raise EvaluationImpossible(
                f"this file of SHAP values has format {about['format']}, and this version of Runyard reads {FORMAT}"
            )
        return cls(
            **arrays,
            features=about["features"],
            output_names=about["outputs"],
            rows=about["rows"],
            places=about["places"],
            unit=about["unit"],
            explainer=about["explainer"],
            left_out=about["left_out"],
            shap_version=about["shap"],
        )


def explain(subject: Subject, background: pd.DataFrame | Floats, seed: int) -> Explanation:
    """Explain what a model says of its test rows.

    shap's TreeExplainer for trees (exact, path-dependent: no background), LinearExplainer for linear models (exact
    for independent features), PermutationExplainer for any other. At most 1,000 rows are explained, drawn at random;
    100 with the PermutationExplainer, which for each predicts about 10 times features times background rows. The
    background is at most 100 rows. Of a pipeline the last step is explained, on the columns that reach it.

    Args:
        subject: the model and its test rows.
        background: rows that stand for what is usual: the training data, where there is any.
        seed: of the draws.

    Raises:
        EvaluationImpossible: the columns that reach the step that predicts are not numbers.

    """
    # It takes seconds to import.
    import shap

    names, estimator = last_step(subject.model, subject.features)
    usual = _numbers(subject, taken(background, _drawn(len(background), BACKGROUND_ROWS, seed)))
    masker = shap.maskers.Independent(usual, max_samples=BACKGROUND_ROWS)
    explainer = _explainer(estimator, masker, seed)
    is_any = isinstance(explainer, shap.PermutationExplainer)
    places = _drawn(len(subject.features), MOST_ROWS_OF_ANY_MODEL if is_any else MOST_ROWS, seed)
    drawn = taken(subject.given, places)
    data = _numbers(subject, drawn)
    values, base_values = _wanted_outputs(subject, explainer(data, **({"silent": True} if is_any else {})))
    unit, outputs = _meant(subject, drawn, values.sum(axis=1) + base_values)
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
        explainer=type(explainer).__name__,
        left_out=len(subject.features) - len(places),
    )


def _explainer(estimator: BaseEstimator, masker: "shap.maskers.Independent", seed: int) -> "shap.Explainer":
    import shap

    try:
        return shap.TreeExplainer(estimator)
    except (ValueError, NotImplementedError):  # no trees, or trees that shap does not read
        pass
    if shap.explainers.Linear.supports_model_with_masker(estimator, masker):
        return shap.LinearExplainer(estimator, masker)
    names = ("predict_proba", "decision_function", "predict")
    output = next(getattr(estimator, name) for name in names if hasattr(estimator, name))
    columns = getattr(estimator, "feature_names_in_", None)

    def named(rows: Floats) -> Floats:
        return np.asarray(output(rows if columns is None else pd.DataFrame(rows, columns=columns)), dtype=float)

    return shap.PermutationExplainer(named, masker, seed=seed)


def _drawn(rows: int, most: int, seed: int) -> list[int]:
    """Return the places of at most so many rows, in their order."""
    if rows <= most:
        return list(range(rows))
    kept: list[int] = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False)).tolist()
    return kept


def _numbers(subject: Subject, rows: pd.DataFrame | Floats) -> Floats:
    """Return rows as they reach the step that predicts."""
    reaching = subject.model[:-1].transform(rows) if isinstance(subject.model, Pipeline) else rows
    dense = reaching.toarray() if hasattr(reaching, "toarray") else reaching
    try:
        return np.asarray(dense, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvaluationImpossible(
            f"SHAP values need numbers, and a column is none ({error}): put the encoding into the model, as a Pipeline"
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
    for unit, outputs in _sayings(subject, rows):
        if outputs.shape == sums.shape and np.allclose(outputs, sums, rtol=_TOLERANCE, atol=_TOLERANCE):
            return unit, outputs
    return "raw", sums


def _sayings(subject: Subject, rows: pd.DataFrame | Floats) -> list[tuple[str, Floats]]:
    model = subject.model
    if subject.task is Task.REGRESSION:
        return [("value", _columns(model.predict(rows)))]
    found: list[tuple[str, Floats]] = []
    is_binary = subject.task is Task.BINARY
    sign = -1.0 if is_binary and subject.positive_column == 0 else 1.0
    if hasattr(model, "predict_proba"):
        probabilities = np.asarray(model.predict_proba(rows), dtype=float)
        if is_binary:
            positive, other = subject.positive_column, 1 - subject.positive_column
            # Each from its own column: near 1, the difference from 1 has lost its digits.
            with np.errstate(divide="ignore"):
                odds = np.log(probabilities[:, [positive]]) - np.log(probabilities[:, [other]])
            found.append(("log-odds", odds))
            probabilities = probabilities[:, [positive]]
        found.insert(0, ("probability", probabilities))
    if hasattr(model, "decision_function"):
        found.append(("decision", sign * _columns(model.decision_function(rows))))
    return found


def _columns(values: Floats) -> Floats:
    array = np.asarray(values, dtype=float)
    return array[:, np.newaxis] if array.ndim == 1 else array


def _output_names(subject: Subject) -> list[str]:
    if subject.task is Task.MULTICLASS:
        return [str(name) for name in subject.classes]
    return [str(subject.truth.name if subject.task is Task.REGRESSION else subject.positive)]
