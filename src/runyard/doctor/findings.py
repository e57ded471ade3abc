"""What a check says of what was observed."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is."""

    WELL = "Well"
    WRONG = "Wrong"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Attributes:
        check: the check's name.
        verdict: how it is; unknown where it could not be looked at.
        says: what is so, or why it is not known.
        why: of what is wrong, what comes of it.
        remedy: of what is wrong, what to do; a command where one does it.
        is_silence: whether it is that a server does not answer.

    """

    check: str
    verdict: Verdict
    says: str
    why: str = ""
    remedy: str = ""
    is_silence: bool = False


@dataclass(frozen=True)
class Unseen:
    """What could not be observed, and why."""

    because: str


def well(check: str, says: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(check, Verdict.WELL, says)


def wrong(check: str, says: str, why: str, remedy: str) -> Finding:
    """Say that something is not as it should be, what comes of it, and what to do."""
    return Finding(check, Verdict.WRONG, says, why, remedy)


def silent(check: str, says: str, why: str, remedy: str) -> Finding:
    """Say that a server does not answer."""
    return Finding(check, Verdict.WRONG, says, why, remedy, is_silence=True)


def unknown(check: str, says: str) -> Finding:
    """Say that something could not be looked at."""
    return Finding(check, Verdict.UNKNOWN, says)
