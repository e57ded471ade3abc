"""The command line, called in this process: what it says, and its exit code."""

import sys
from typing import NamedTuple

import pytest

from runyard.cli import main


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    error: str

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]

    @property
    def sentence(self) -> str:
        """The error in one line: usage errors are drawn in a box."""
        return " ".join(self.error.replace("│", " ").split())


def call(capsys: pytest.CaptureFixture[str], *words: object) -> Said:
    """Call `runyard` as a shell would."""
    with pytest.MonkeyPatch.context() as context:
        context.setattr(sys, "argv", ["runyard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    said = capsys.readouterr()
    return Said(code if isinstance(code, int) else 0 if code is None else 1, said.out, said.err)
