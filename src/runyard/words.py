"""Times and lists in the words that people read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago something was, as kubectl says it."""
    return span((now or datetime.now(UTC)) - moment)


def span(length: timedelta | None) -> str:
    """Return a length of time in its one or two largest units.

    >>> span(timedelta(seconds=42)), span(timedelta(minutes=3, seconds=5)), span(timedelta(days=2, hours=1)), span(None)
    ('42s', '3m5s', '2d1h', '')
    """
    if length is None:
        return ""
    seconds = max(0, round(length.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts[:2]) or "0s"


def listed(words: Sequence[str]) -> str:
    """Return words with commas and an `and`.

    >>> listed(["code"]), listed(["code", "data", "environment"])
    ('code', 'code, data and environment')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
