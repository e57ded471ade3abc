"""What tables of results have in common: their numbers, and the names of their columns."""

from collections.abc import Collection, Hashable, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def distinct(names: Iterable[Hashable], own: Collection[str]) -> list[str]:
    """Return names as text, an underscore behind each that is one of a table's own columns."""
    kept = dict.fromkeys(own)
    found = []
    for name in map(str, names):
        free = name
        while free in kept:
            free += "_"
        kept[free] = None
        found.append(free)
    return found
