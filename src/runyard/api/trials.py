"""What each trial of a sweep is tried with, by its index alone: nothing is kept of the trials before it."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from pydantic import JsonValue

from runyard.api.trainingsweep import Algorithm, ParameterSpace, TrainingSweepSpec


@dataclass(frozen=True)
class Stepped:
    """Fractions at equal distances, as they would be written: 0.1, 0.2, 0.3, and not 0.30000000000000004."""

    least: Decimal
    step: Decimal
    count: int

    def __len__(self) -> int:
        """How many there are."""
        return self.count

    def __getitem__(self, place: int) -> float:
        """Return one of them."""
        return float(self.least + self.step * place)

    def nearest(self, value: float) -> int:
        """Return the place of the one that is nearest to a value."""
        return round((Decimal(value) - self.least) / self.step)


Choices: TypeAlias = Sequence[JsonValue] | range | Stepped


def choices(space: ParameterSpace) -> Choices | None:
    """Return what a parameter may be, in the order of a grid; None where that is any number of a range."""
    if space.values is not None:
        return space.values
    if space.least is None or space.most is None:
        return ()
    if space.is_integer:
        return range(math.ceil(space.least), math.floor(space.most) + 1, int(space.step or 1))
    if space.step is None:
        return None
    least, most, step = (Decimal(repr(found)) for found in (space.least, space.most, space.step))
    return Stepped(least, step, int((most - least) // step) + 1)


def combinations(spec: TrainingSweepSpec) -> int | None:
    """Return how many trials a grid has; None where a range has no end of numbers."""
    sizes = [None if found is None else len(found) for found in map(choices, spec.parameters.values())]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def total(spec: TrainingSweepSpec) -> int:
    """Return how many trials there are to be."""
    found = combinations(spec) if spec.algorithm is Algorithm.GRID else None
    return min(size for size in (found, spec.max_trials) if size is not None)


def parameters(spec: TrainingSweepSpec, index: int) -> dict[str, JsonValue]:
    """Return what a trial of a grid, or one that is chosen by chance, is tried with.

    Time and memory do not grow with the number of trials.

    Raises:
        ValueError: the algorithm chooses by what came of other trials.

    """
    match spec.algorithm:
        case Algorithm.GRID:
            return _of_grid(spec, index)
        case Algorithm.RANDOM:
            return {name: _by_chance(space, f"{spec.seed}/{index}/{name}") for name, space in spec.parameters.items()}
    raise ValueError(f"{spec.algorithm} chooses by what came of other trials")


def _of_grid(spec: TrainingSweepSpec, index: int) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name, space in reversed(spec.parameters.items()):
        among = choices(space) or ()
        index, place = divmod(index, len(among))
        found[name] = among[place]
    return {name: found[name] for name in spec.parameters}


def _by_chance(space: ParameterSpace, seed: str) -> JsonValue:
    # Of a text Python promises the same numbers in every version, and `random` alone of the ways to draw.
    drawn = random.Random(seed).random()  # noqa: S311 chance, not secrecy
    among = choices(space)
    if among is not None and not space.log:
        return among[int(drawn * len(among))]
    least, most = float(space.least or 0), float(space.most or 0)
    if space.is_integer:  # each whole number has its part of the range, the first and the last included
        found = math.exp(_between(math.log(least - 0.5), math.log(most + 0.5), drawn))
        return min(max(round(found), int(least)), int(most))
    if space.log:
        return min(max(math.exp(_between(math.log(least), math.log(most), drawn)), least), most)
    return _between(least, most, drawn)


def _between(least: float, most: float, part: float) -> float:
    return least + (most - least) * part
