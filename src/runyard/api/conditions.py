"""What the statuses of all resources have in common: conditions, and texts for people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runyard.api.outcome import Condition, Status
from runyard.errors import Problem

MOST_OF_A_MESSAGE = 32768  # as the API server has it
_MOST_OF_A_PROBLEM = 2048


class _Metadata(Protocol):
    @property
    def generation(self) -> int: ...


class _Resource(Protocol):
    @property
    def metadata(self) -> _Metadata: ...

    @property
    def status(self) -> Status: ...


class Conditions:
    """The conditions being written: a transition time moves only when the status does."""

    def __init__(self, resource: _Resource, now: datetime) -> None:
        """Begin with none; the resource has those that were written before."""
        self._resource, self._now = resource, now
        self.found: list[Condition] = []

    def set(self, kind: str, status: str, reason: str, message: str = "") -> None:
        """Add one."""
        before = self._resource.status.condition(kind)
        since = before.last_transition_time if before and before.status == status else self._now
        self.found.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=cut(message, MOST_OF_A_MESSAGE),
                last_transition_time=since,
                observed_generation=self._resource.metadata.generation,
            )
        )


def listed_problems(problems: Sequence[Problem]) -> str:
    """Return all problems as one text, or as many as a condition's message has room for."""
    texts = [cut(str(found), _MOST_OF_A_PROBLEM) for found in problems]
    shown, room = [], MOST_OF_A_MESSAGE - len("; and 99999 more")
    for text in texts:
        if (room := room - len(text) - len("; ")) < 0:
            break
        shown.append(text)
    left = len(texts) - len(shown)
    return "; ".join([*shown, f"and {left} more"] if left else shown)


def cut(text: str, length: int) -> str:
    """Return a text that is no longer than a length."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def duration(start: datetime | None, end: datetime | None) -> str | None:
    """Return a duration as kubectl writes ages: its two largest units."""
    if start is None or end is None:
        return None
    seconds = int((end - start).total_seconds())
    units = [
        ("d", seconds // 86400),
        ("h", seconds // 3600 % 24),
        ("m", seconds // 60 % 60),
        ("s", seconds % 60),
    ]
    first = next((index for index, (_, count) in enumerate(units) if count), len(units) - 1)
    return "".join(f"{count}{unit}" for unit, count in units[first : first + 2] if count) or "0s"
