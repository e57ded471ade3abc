"""Which values of a metric are better."""

import re
from enum import StrEnum

# Words of metrics of which less is better. Anything else is taken to be a score.
# fmt: off
_COSTS = frozenset({
    # differences from what is right
    "err", "error", "errors", "mae", "mape", "mase", "medae", "mse", "msle", "rmse", "rmsle", "smape", "pinball",
    "wape", "misclassification", "false", "fpr", "fnr", "eer", "wer", "cer", "ece", "brier", "crps", "difference",
    "distance", "fid",
    # what is minimised in training
    "loss", "logloss", "losses", "crossentropy", "entropy", "nll", "deviance", "divergence", "kl", "hinge", "inertia",
    "perplexity", "ppl", "regret",
    # how well a model or a clustering describes what there is
    "aic", "aicc", "bic", "bouldin",
    # what it takes, and how it varies
    "cost", "duration", "latency", "seconds", "time", "std", "stddev", "variance",
})
# fmt: on
_NEGATED = frozenset({"neg", "negative", "minus"})
# Shares of such a cost that a model explains, as scikit-learn's explained_variance_score and d2_pinball_score.
_SHARE = re.compile(r"(?<![a-z])d2(?![a-z0-9])|explained", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


class Direction(StrEnum):
    """Which values of a metric are better."""

    HIGHEST = "highest"
    LOWEST = "lowest"

    def is_better(self, one: float, other: float) -> bool:
        """Whether a value is better than another; what is equal is not, nor is what is no number.

        >>> Direction.LOWEST.is_better(0.1, 0.2), Direction.LOWEST.is_better(0.1, 0.1)
        (True, False)
        """
        return one > other if self is Direction.HIGHEST else one < other


def direction_of(metric: str) -> Direction:
    """Guess from a metric's name whether more or less of it is better.

    >>> direction_of("val_loss").value, direction_of("f1_score").value, direction_of("neg_log_loss").value
    ('lowest', 'highest', 'highest')
    """
    words = [word.lower() for word in _WORD.findall(metric)]
    is_turned = sum(word in _NEGATED for word in words) % 2 == 1
    if "likelihood" in words:
        return Direction.LOWEST if is_turned else Direction.HIGHEST
    is_cost = any(word in _COSTS or word.endswith("loss") for word in words) and not _SHARE.search(metric)
    # Libraries that know only scores, as scikit-learn's scorers, turn costs around; a "false negative" is still a cost.
    return Direction.LOWEST if is_cost and (not is_turned or "false" in words) else Direction.HIGHEST
