"""What is drawn at random: rows, from a generator of their own, and what shap draws from NumPy's global one."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def drawn(rows: int, most: int, seed: int) -> list[int]:
    """Return the places of at most so many of the rows, in their order."""
    if rows <= most:
        return list(range(rows))
    kept: list[int] = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False)).tolist()
    return kept


@contextmanager
def global_generator(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator for shap, which draws from it, and give it back as it was.

    The training that goes on after an evaluation draws what it would have drawn without.
    """
    state = np.random.get_state()  # noqa: NPY002 it is shap that uses it
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
