"""Where the programs built for tests lie."""

import os
from pathlib import Path

CACHE = Path(
    os.environ.get("RUNYARD_CACHE", Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "runyard")
)


def program(name: str) -> str:
    """Return the path of a program that `make tools` built.

    Raises:
        FileNotFoundError: it is not there; the message says what builds it.

    """
    found = sorted(CACHE.glob(f"bin/*/{name}"))
    if not found:
        message = f"{name} is not in {CACHE / 'bin'}: run `make tools`"
        raise FileNotFoundError(message)
    return str(found[-1])
