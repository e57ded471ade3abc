"""The fingerprint: one hash of all that decides a result."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

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
    return f"sha256:{sha256(canonical(recipe)).hexdigest()}"


def canonical(recipe: Recipe) -> bytes:
    """Return the recipe as RFC 8785 writes JSON.

    All values are text but `workers` and `fingerprint`, small whole numbers; Python then differs from RFC 8785 in one
    thing alone, the order of names with characters beyond U+FFFF, which sorting by their UTF-16 form mends.
    """
    given: dict[str, object] = {
        "fingerprint": VERSION,
        "commit": recipe.commit,
        "diff": recipe.diff,
        "script": recipe.script,
        "image": recipe.image,
        "python": recipe.python,
        "packages": _sorted(recipe.packages),
        "command": list(recipe.command),
        "parameters": _sorted(recipe.parameters),
        "seeds": _sorted(recipe.seeds),
        "datasets": _sorted(recipe.datasets),
        "workers": recipe.workers,
        "left_out": sorted(recipe.left_out, key=_order),
    }
    known = {name: given[name] for name in sorted(given) if given[name]}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(values: Mapping[str, str]) -> dict[str, str]:
    return {name: values[name] for name in sorted(values, key=_order)}


def _order(name: str) -> bytes:
    return name.encode("utf-16-be")
