"""The fingerprint: one hash of all that decides a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runyard.api import canonical as rfc8785

VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """All that decides a result, as far as it is known.

    Attributes:
        commit: whole name of the git commit.
        diff: digest of what was changed since, sha256:….
        script: digest of the program, sha256:…, where no commit is known.
        image: digest of the image, sha256:….
        python: Python's version.
        packages: by normalised name the version, and the address of what came from elsewhere than an index.
        command: what Python was started with.
        parameters: parameters by name, as text.
        seeds: seeds by name, as text.
        datasets: digests by name, sha256:….
        workers: how many processes train together.
        left_out: what is not known, such as `diff/data.csv`.

    """

    commit: str | None = None
    diff: str | None = None
    script: str | None = None
    image: str | None = None
    python: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    left_out: tuple[str, ...] = ()


def fingerprint(recipe: Recipe) -> str:
    """Return sha256: and the digest of the recipe as canonical JSON (RFC 8785), what is unknown or empty left out."""
    return rfc8785.digest(_members(recipe))


def canonical(recipe: Recipe) -> bytes:
    """Return the recipe as RFC 8785 writes JSON: all values are text but `workers` and `fingerprint`, whole numbers."""
    return rfc8785.canonical(_members(recipe))


def _members(recipe: Recipe) -> dict[str, object]:
    given: dict[str, object] = {
        "fingerprint": VERSION,
        "commit": recipe.commit,
        "diff": recipe.diff,
        "script": recipe.script,
        "image": recipe.image,
        "python": recipe.python,
        "packages": recipe.packages,
        "command": recipe.command,
        "parameters": recipe.parameters,
        "seeds": recipe.seeds,
        "datasets": recipe.datasets,
        "workers": recipe.workers,
        "left_out": sorted(recipe.left_out, key=rfc8785.order),
    }
    return {name: value for name, value in given.items() if value}
