"""Data that everybody knows, small enough for a model in a fraction of a second."""

from typing import Any, NamedTuple

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame
    train_truth: pd.Series
    truth: pd.Series


def _split(load: Any, columns: int, *, is_stratified: bool = True) -> Split:
    features, truth = load(return_X_y=True, as_frame=True)
    stratify = truth if is_stratified else None
    return Split(
        *train_test_split(
            features.iloc[:, :columns], truth, train_size=120, test_size=40, random_state=0, stratify=stratify
        )
    )


CANCER = _split(load_breast_cancer, 5)
WINE = _split(load_wine, 5)
DIABETES = _split(load_diabetes, 5, is_stratified=False)


def fitted(model: Any, data: Split) -> Any:
    return model.fit(data.train, data.train_truth)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(8, random_state=0)
