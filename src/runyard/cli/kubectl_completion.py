"""`kubectl_complete-runyard`: what may come next in `kubectl runyard …`, which kubectl asks a program of this name."""

import io
import os
import shlex
import sys
from contextlib import redirect_stdout, suppress

# Of what kubectl's completion is told in the last line: names of files are among what may come next, or are not.
_OR_FILES, _AND_NO_FILES = ":0", ":4"


def main() -> None:
    """Print what the last argument may become, one a line with a tab and its description, and whether files may be.

    The arguments are the words after `kubectl runyard`; the last is the one that is being written, and may be empty.
    """
    found = candidates(sys.argv[1:] or [""])
    sys.stdout.write("\n".join([*found, _AND_NO_FILES if found else _OR_FILES, ""]))


def candidates(words: list[str]) -> list[str]:
    """Return what the last of several words may become."""
    from runyard.cli import app

    *before, last = words
    # As Typer's own script for the fish shell asks: the only one to which it gives descriptions line by line.
    asked = {
        "_RUNYARD_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(['runyard', *before])} {shlex.quote(last) if last else ''}",
    }
    os.environ.update(asked)
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        app(prog_name="runyard")
    return [line for line in said.getvalue().splitlines() if line]
