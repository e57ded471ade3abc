"""Explains models of some number of rows, and says as JSON how much memory the process has had at most, in bytes."""

import json
import resource
import sys

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from runyard.evaluation import evaluate

_COLUMNS = 30
_TRAINED_ON = 500


def main(rows: int) -> None:
    """Explain one model for each of shap's explainers."""
    # Drawn in one go, so that no copies of them are part of the peak.
    features = np.random.default_rng(0).normal(size=(rows, _COLUMNS))
    truth = (features[:, 0] + features[:, 1] > 0).astype(int)
    train = features[:_TRAINED_ON], truth[:_TRAINED_ON]
    explained = {}
    for model in (RandomForestClassifier(20, max_depth=6, random_state=0), LogisticRegression(), GaussianNB()):
        found = evaluate(model.fit(*train), (features, truth), train=train, folds=2).explanation
        assert found is not None
        explained[found.explainer] = found.shap_values.shape
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump({"peak": peak, "data": features.nbytes, "explained": explained}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
