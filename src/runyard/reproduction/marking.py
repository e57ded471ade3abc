"""What MLflow is told of a repetition, for whoever looks at it later: tags of its topmost runs."""

from dataclasses import replace

from runyard.api.outcome import Reason
from runyard.api.repetition import (
    COMPARED_TAG,
    DIFFERENCE_TAG,
    TOLERANCE_TAG,
    VERDICT_TAG,
    Verdict,
    annotations,
    in_words,
)
from runyard.errors import TrackingUnavailable
from runyard.history import History, LoggedRun
from runyard.reproduction.verdicts import Reproduction


def marks(ended: Reproduction) -> dict[str, str]:
    """Return the tags that say what was repeated, with what changed, what came of it, and what counted as the same."""
    found = annotations(ended.receipt.run.id, ended.varies)
    if ended.verdict is Verdict.FAILED and ended.reason == Reason.CANCELLED:
        return found  # what somebody stopped says nothing of the result
    found[VERDICT_TAG] = ended.verdict.value
    if (difference := ended.greatest_difference) is not None:
        found[DIFFERENCE_TAG] = repr(difference)
    if ended.tolerance:
        found[TOLERANCE_TAG] = repr(ended.tolerance)
    if ended.only:
        found[COMPARED_TAG] = in_words(ended.only)
    return found


def topmost(ended: Reproduction) -> list[LoggedRun]:
    """Return the repetition's runs that are no part of another one of it."""
    runs = [pair.now for pair in ended.pairs if pair.now] or ([ended.run] if ended.run else [])
    ids = {run.id for run in runs}
    return [run for run in runs if run.parent_id not in ids]


def marked(history: History, ended: Reproduction) -> Reproduction:
    """Tell MLflow what came of a repetition; where it does not answer, say so in what is returned.

    What was found out is not lost with it.
    """
    try:
        for run in topmost(ended):
            history.tag(run, marks(ended))
    except TrackingUnavailable as error:
        return replace(ended, untold=str(error))
    return ended
