"""How pages write numbers, times and names."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from runyard.words import ago, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.history import LoggedRun

_LARGEST_PLAIN = 1e5
# Whole numbers are counts, of rows or bytes or steps, which people read digit by digit.
_LARGEST_WHOLE = 1e9
_SMALLEST_PLAIN = 1e-3


def shown(value: float | str | None) -> str:
    """Return a number as tables show it; its cell has all digits as its title.

    >>> shown(0.83516483), shown(200.0), shown(1234567.0), shown(1234567.8), shown(0.00001), shown(None)
    ('0.8352', '200', '1234567', '1.235e+06', '1.000e-05', '')
    >>> shown(float("nan")), shown(2e9)
    ('NaN', '2.000e+09')
    """
    if value is None or isinstance(value, str):
        return value or ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < _LARGEST_WHOLE:
        return f"{value:.0f}"
    if _SMALLEST_PLAIN <= abs(value) < _LARGEST_PLAIN:
        return f"{value:.4f}"
    return f"{value:.3e}"


def listed(names: Sequence[str]) -> str:
    """Return names as text: the first three, and how many more there are.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    most = 3
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def code(text: str) -> Markup:
    """Return a text for a page, what stands between backticks as code.

    >>> str(code("`a < b` is so"))
    '<code>a &lt; b</code> is so'
    """
    parts = [str(escape(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts)))  # noqa: S704 its parts are escaped


def moment(at: datetime | None) -> str:
    """Return a moment, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def took(run: LoggedRun) -> str:
    """Return how long a run took, or how long it has gone on."""
    if run.status.is_open:
        return f"{ago(run.started_at)} so far"
    return span(run.duration)


def since(at: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was."""
    if at is None:
        return ""
    now = now or datetime.now(UTC)
    return "just now" if now - at < timedelta(seconds=1) else f"{ago(at, now)} ago"
