"""The end of a training's log, as a page shows it. What a program prints may be anything."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_LINES = 200
MOST_BYTES = 64 * 1024
# As terminals are told to colour what follows, to move, to change their title.
_TO_A_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Besides controls, what turns the direction of the text around it.
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Log:
    """The end of an attempt's log.

    Attributes:
        pod: of which pod; empty where there is none yet.
        text: its last lines; empty where none can be read.
        says: where it is from, or why there is none.
        is_final: whether no more of it comes.

    """

    pod: str = ""
    text: str = ""
    says: str = ""
    is_final: bool = False


def last_lines(content: bytes) -> str:
    r"""Return the last lines of a log as text: 200 at most, of 64 KiB at most, each as a terminal shows it at last.

    >>> last_lines(b"\x1b[31mred\x1b[0m\n10 %\r50 %\r100 %\nlast")
    'red\n100 %\nlast'
    """
    is_cut = len(content) > MOST_BYTES
    text = content[-MOST_BYTES:].decode(errors="replace")
    lines = text.replace("\r\n", "\n").split("\n")
    # The first one's beginning is not there; a line that is all that there is, is shown without it.
    if is_cut and len(lines) > 1:
        del lines[0]
    is_ended = lines[-1] == ""
    kept = lines[-(MOST_LINES + is_ended) :]
    return "\n".join(_shown(line) for line in kept)


def _shown(line: str) -> str:
    """Return what a terminal shows of a line: a progress bar is drawn over itself."""
    line = _TO_A_TERMINAL.sub("", line)
    drawn = [part for part in line.split("\r") if part]
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", drawn[-1]) if drawn else ""
