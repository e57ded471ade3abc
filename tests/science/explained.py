"""Explains models of more and more rows, and says as JSON how much memory the process has had at most by then."""

import json
import resource
import sys
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from runyard.evaluation import evaluate

_COLUMNS = 30
_TRAINED_ON = 500


def explained(rows: int) -> dict[str, Any]:
    """Explain one model for each of shap's explainers; return their values' shapes, and sizes in bytes."""
    # Drawn in one go, so that no copies of them are part of the peak.
    features = np.random.default_rng(0).normal(size=(rows, _COLUMNS))
    truth = (features[:, 0] + features[:, 1] > 0).astype(int)
    train = features[:_TRAINED_ON], truth[:_TRAINED_ON]
    shapes = {}
    for model in (RandomForestClassifier(20, max_depth=6, random_state=0), LogisticRegression(), GaussianNB()):
        found = evaluate(model.fit(*train), (features, truth), train=train, folds=2).explanation
        assert found is not None
        shapes[found.explainer] = found.shap_values.shape
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak": peak, "data": features.nbytes, "explained": shapes}


if __name__ == "__main__":
    json.dump([explained(int(rows)) for rows in sys.argv[1:]], sys.stdout)
