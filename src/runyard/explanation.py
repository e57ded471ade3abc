"""SHAP values and what belongs to them, as a value and as a compact file.

A SHAP value is what a feature added to the model's output for one row, compared with the output expected over the
background; with the base value they sum to the output (Lundberg and Lee 2017).
"""

import io
import json
import sys
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from runyard.errors import EvaluationImpossible
from runyard.tables import Floats, distinct

# SHAP values in one explanation: rows by features by outputs.
MOST_VALUES = 2_000_000
FORMAT = 1
# Five arrays of so many numbers of 8 bytes, and the names; a file that says it holds more is not from here.
_MOST_BYTES = 100_000_000
# Of these, what its words may be: as objects they take some ten times as much.
_MOST_WORDS = 8_000_000
_PLACE_BYTES = 36
_ARRAYS = ("shap_values", "base_values", "outputs", "data", "about")


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
        unit: what is explained: probability, log-odds, margin (what XGBoost adds up for each of several classes),
            decision (the decision function), or value (a regressor's prediction).
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

    @property
    def nbytes(self) -> int:
        """About how much memory it takes, in bytes: its arrays, and its words."""
        arrays = self.shap_values.nbytes + self.base_values.nbytes + self.outputs.nbytes + self.data.nbytes
        words = sum(map(sys.getsizeof, (*self.features, *self.output_names, *self.rows)))
        return arrays + words + _PLACE_BYTES * len(self.places)

    def summary(self) -> pd.DataFrame:
        """Return how much each feature matters: the mean over rows of its values' size, a column an output."""
        means = np.abs(self.shap_values).mean(axis=0)
        table = pd.DataFrame(means, columns=distinct(self.output_names, {"feature"}))
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
        """Read such a file, wherever it is from: nothing in it is run, and what it takes of memory is bounded.

        Raises:
            EvaluationImpossible: it is none, or of another version of Runyard.

        """
        arrays = _arrays(content)
        about = _about(arrays.pop("about").tobytes())
        found = cls(
            **{name: _numbers(name, array) for name, array in arrays.items()},
            features=about.features,
            output_names=about.outputs,
            rows=about.rows,
            places=about.places,
            unit=about.unit,
            explainer=about.explainer,
            left_out=about.left_out,
            shap_version=about.shap,
        )
        r, f, o = len(found.rows), len(found.features), len(found.output_names)
        shapes = {"shap_values": (r, f, o), "base_values": (r, o), "outputs": (r, o), "data": (r, f)}
        for name, shape in shapes.items():
            if getattr(found, name).shape != shape:
                raise _no_such_file(f"{name} has the shape {getattr(found, name).shape}, and its words say {shape}")
        if len(found.places) != r:
            raise _no_such_file(f"it has {len(found.places)} places for {r} rows")
        return found


class _Version(BaseModel):
    """Which format a file has, whatever else it has."""

    format: int


class _About(BaseModel):
    """The words of a file."""

    model_config = ConfigDict(strict=True)

    features: list[str]
    outputs: list[str]
    rows: list[str]
    places: list[int]
    unit: str
    explainer: str
    left_out: int
    shap: str


def _arrays(content: bytes) -> dict[str, Floats]:
    try:
        return _unpacked(content)
    except EvaluationImpossible:
        raise
    # The archive, its compression, and its members' own headers, which are read as Python and may ask for more memory
    # than there is: what these raise has no end.
    except Exception as error:
        raise _no_such_file(str(error)) from error


def _unpacked(content: bytes) -> dict[str, Floats]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(archive.namelist())
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    if names != sorted(f"{name}.npy" for name in _ARRAYS):
        raise _no_such_file(f"it holds {', '.join(names[:9]) or 'nothing'}")
    # A zip file's reader stops at the size that its list states.
    if (size := sum(sizes.values())) > _MOST_BYTES:
        raise _no_such_file(f"unpacked it has {size:,} bytes, and {_MOST_BYTES:,} are the most")
    if (words := sizes["about.npy"]) > _MOST_WORDS:
        raise _no_such_file(f"its words have {words:,} bytes, and {_MOST_WORDS:,} are the most")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in _ARRAYS}


def _about(words: bytes) -> _About:
    try:
        found = _Version.model_validate_json(words).format
        if found == FORMAT:
            return _About.model_validate_json(words)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _no_such_file(f"about: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    raise EvaluationImpossible(
        f"this file of SHAP values has format {found}, and this version of Runyard reads {FORMAT}: use a newer one"
    )


def _numbers(name: str, array: Floats) -> Floats:
    if array.dtype != np.float64:
        raise _no_such_file(f"{name} are {array.dtype} and not float64")
    return array


def _no_such_file(why: str) -> EvaluationImpossible:
    return EvaluationImpossible(f"this is no file of SHAP values as Runyard writes them: {why}")
