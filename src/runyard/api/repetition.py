"""What is on record of a training that repeats an earlier one: annotations of its TrainingRun, tags of its runs."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

REPRODUCES_TAG = "runyard.dev/reproduces"
# What was changed on purpose: `code`, `parameters.NAME`. Such a repetition is another training.
VARIES_TAG = "runyard.dev/varies"
# The others are written at the end, by whoever compared.
VERDICT_TAG = "runyard.dev/verdict"
DIFFERENCE_TAG = "runyard.dev/greatest-difference"
TOLERANCE_TAG = "runyard.dev/tolerance"
COMPARED_TAG = "runyard.dev/compared"

CODE = "code"
_LONGEST, _MORE = 1_000, ", more"
_RUN_ID = re.compile("[0-9a-f]{32}")
_VARIES = re.compile(rf"[A-Za-z0-9_., ]{{1,{_LONGEST}}}")


class Verdict(StrEnum):
    """What came of a repetition."""

    REPRODUCED = "Reproduced"
    DIFFERS = "Differs"
    # With another parameter, or with other code, it was another training: nothing was reproduced or not.
    CHANGED = "Changed"
    FAILED = "Failed"
    CANNOT = "Cannot"


def annotations(run_id: str, varies: Sequence[str]) -> dict[str, str]:
    """Return what a TrainingRun says that repeats a run.

    Args:
        run_id: the run that it repeats.
        varies: what was changed on purpose.

    """
    return {REPRODUCES_TAG: run_id, **({VARIES_TAG: in_words(varies)} if varies else {})}


def in_words(names: Sequence[str]) -> str:
    """Return names as one tag has them, of very many the first.

    >>> in_words(["code", "parameters.power"])
    'code, parameters.power'
    """
    text = ", ".join(names)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - len(_MORE)].rpartition(', ')[0]}{_MORE}"


def marks(annotated: Mapping[str, str] | None) -> dict[str, str]:
    """Return the tags that the runs of a TrainingRun have from its annotations.

    Anybody may write an annotation, and a kubelet would put variables in for $(NAME): what `annotations` never wrote is
    left out.
    """
    found = annotated or {}
    if not _RUN_ID.fullmatch(found.get(REPRODUCES_TAG, "")):
        return {}
    varies = found.get(VARIES_TAG, "")
    return {REPRODUCES_TAG: found[REPRODUCES_TAG], **({VARIES_TAG: varies} if _VARIES.fullmatch(varies) else {})}


def is_faithful(tags: Mapping[str, str]) -> bool:
    """Whether a run repeats another one as it was: one with something changed is a training of its own."""
    return bool(tags.get(REPRODUCES_TAG)) and not tags.get(VARIES_TAG)
