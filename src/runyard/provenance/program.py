"""The program that runs, and what it was started with."""

import os
import re
import sys
from pathlib import Path

from runyard.api.environment import IMAGE_DIGEST_VARIABLE
from runyard.api.parameters import VARIABLE_PREFIX
from runyard.errors import ProvenanceUnavailable

_DATASET = re.compile("RUNYARD_DATASET_.+")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_WORKERS_VARIABLE = "WORLD_SIZE"


def program() -> Path | None:
    """Return the program's file; None in a notebook, a console, or where the program is not a file."""
    name = getattr(sys.modules["__main__"], "__file__", None)
    return Path(name).absolute() if name and Path(name).is_file() else None


def command(root: Path | None) -> tuple[str, ...]:
    """Return what Python was started with, such that it is the same wherever the code lies; empty in a notebook.

    The interpreter's own name is left out, the program is named from the repository's root, and the place of a dataset
    that Runyard fetched is written as in a manifest: $(RUNYARD_DATASET_NAME).

    Args:
        root: the repository's folder; None: a program is named without its folder.

    """
    file = program()
    if file is None and sys.argv[:1] != ["-c"]:
        return ()
    words = list(sys.orig_argv[1:])
    for place, word in enumerate(words):
        if file and (word == sys.argv[0] or Path(word).absolute() == file):
            is_inside = root is not None and file.resolve().is_relative_to(root.resolve())
            words[place] = file.resolve().relative_to(root.resolve()).as_posix() if root and is_inside else file.name
            break
    fetched = {value: name for name, value in os.environ.items() if _DATASET.fullmatch(name) and value}
    for value in sorted(fetched, key=len, reverse=True):
        words = [word.replace(value, f"$({fetched[value]})") for word in words]
    return tuple(as_text(word) for word in words)


def image() -> str | None:
    """Return the image's digest, sha256:…, where the manifest says it.

    Raises:
        ProvenanceUnavailable: the variable holds something else.

    """
    found = os.environ.get(IMAGE_DIGEST_VARIABLE)
    if found and not _DIGEST.fullmatch(found):
        raise ProvenanceUnavailable(
            f"{IMAGE_DIGEST_VARIABLE} is {found!r}, which is no digest of an image: give sha256: and 64 digits, or "
            "leave it out"
        )
    return found or None


def workers() -> int | None:
    """Return how many processes train together, as torchrun and Runyard tell them; None where nobody does."""
    found = os.environ.get(_WORKERS_VARIABLE, "")
    return int(found) if re.fullmatch("[0-9]{1,9}", found) else None


def parameters() -> dict[str, str]:
    """Return the parameters that the manifest gives, by name: the variables PARAM_NAME, which Runyard sets."""
    return {
        as_text(name.removeprefix(VARIABLE_PREFIX)): as_text(value)
        for name, value in os.environ.items()
        if name.startswith(VARIABLE_PREFIX) and name != VARIABLE_PREFIX
    }


def as_text(value: object) -> str:
    r"""Return a value as Python writes it, and what no UTF-8 can be made of as \udcXX, which JSON can hold.

    >>> as_text(0.1), as_text(1e-05), as_text(True)
    ('0.1', '1e-05', 'True')
    """
    return str(value).encode(errors="backslashreplace").decode()
