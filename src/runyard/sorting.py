"""The order of runs: MLflow's own as far as it has one, else worked out once all are read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runyard.errors import RunyardError
from runyard.history import LoggedRun

_NEWEST_FIRST = "attributes.start_time DESC"
# What MLflow calls the attributes that it sorts by.
_ATTRIBUTES = {"started": "attributes.start_time", "name": "attributes.run_name"}
_TOOK, _METRICS, _PARAMS = "took", "metrics", "params"

# Numbers by their size, and after them what is none, by its letters.
_Place = tuple[bool, float, str]


class WrongOrder(RunyardError):
    """There is nothing of that name to sort runs by."""

    exit_code = 2


@dataclass(frozen=True)
class Order:
    """By what runs are sorted.

    Attributes:
        kind: started, name, took, metrics or params.
        name: of the metric or the parameter; else empty.
        is_descending: the largest, or the latest, first.

    """

    kind: str
    name: str = ""
    is_descending: bool = False

    @property
    def in_mlflow(self) -> tuple[str, ...] | None:
        """As MLflow takes it; None where it has no such order: to it parameters are texts, and 10 comes before 9."""
        key = f"metrics.`{self.name}`" if self.kind == _METRICS else _ATTRIBUTES.get(self.kind)
        if key is None:
            return None
        first = f"{key} {'DESC' if self.is_descending else 'ASC'}"
        # MLflow refuses to be given the same key twice.
        return (first,) if self.kind == "started" else (first, _NEWEST_FIRST)

    def arranged(self, runs: Sequence[LoggedRun]) -> list[LoggedRun]:
        """Return runs in this order: of equals as they came, and those without a value last in either direction."""
        placed = [(self._place(run), run) for run in runs]
        known = sorted(
            ((place, run) for place, run in placed if place), key=lambda found: found[0], reverse=self.is_descending
        )
        return [run for _, run in known] + [run for place, run in placed if not place]

    def _place(self, run: LoggedRun) -> _Place | None:
        if self.kind == _TOOK:
            return None if run.duration is None else (False, run.duration.total_seconds(), "")
        value = run.params.get(self.name)
        return None if value is None else _place(value)


NEWEST = Order("started", is_descending=True)


def read_order(text: str) -> Order:
    """Return the order that a text asks for: a key, and a hyphen before it for the largest first.

    >>> read_order("-metrics.f1_score")
    Order(kind='metrics', name='f1_score', is_descending=True)

    Raises:
        WrongOrder: there is no such key.

    """
    kind, _, name = text.removeprefix("-").partition(".")
    is_known = bool(name) if kind in {_METRICS, _PARAMS} else text.removeprefix("-") in {*_ATTRIBUTES, _TOOK}
    if not is_known or "`" in name:
        raise WrongOrder(
            f'runs have no order "{text}": give started, name, took, metrics.NAME or params.NAME, with a hyphen before '
            "it for the largest or latest first"
        )
    return Order(kind, name, is_descending=text.startswith("-"))


def _place(text: str) -> _Place:
    """Return a text's place.

    >>> sorted(["b", "10", "nan", "9", "1e-3"], key=_place)
    ['1e-3', '9', '10', 'b', 'nan']
    """
    try:
        number = float(text)
    except ValueError:
        return (True, 0.0, text)
    return (True, 0.0, text) if math.isnan(number) else (False, number, text)
