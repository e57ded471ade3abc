"""How commands print: tables for people, JSON and YAML for programs."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import typer
import yaml
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Control characters, ends of lines, and those that turn the direction of writing around.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Names have no limit that a table could keep: these columns give way where there is too little room.
_OF_NAMES = {"NAME", "EXPERIMENT"}
_LONGEST_CELLS = 60
# Where there is too little room, these go on in the next line.
_OF_SENTENCES = {"MESSAGE", "WHY"}


class Output(StrEnum):
    """What is printed."""

    TEXT = "text"
    YAML = "yaml"
    JSON = "json"


def emit(output: Output, body: object, text: Callable[[Console], None]) -> None:
    """Print a result: as data, or as `text` draws it."""
    match output:
        case Output.JSON:
            typer.echo(json.dumps(_as_json(body), indent=2, ensure_ascii=False, allow_nan=False))
        case Output.YAML:
            typer.echo(as_yaml(body), nl=False)
        case Output.TEXT:
            text(console())


def console() -> Console:
    """Return where people read; what goes into a file or a pipe is not cut to a terminal's width."""
    found = Console(highlight=False, markup=False, emoji=False)
    return found if found.is_terminal else Console(highlight=False, markup=False, emoji=False, width=10_000)


def plain(text: str) -> str:
    r"""Return a text in one line that no terminal takes for a command: names and messages may hold anything.

    >>> plain("run\x1b[2J\n1")
    'run\\x1b[2J\\n1'
    """
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _as_json(body: object) -> object:
    """Return what JSON can write: it has no infinity and no NaN, which MLflow's own REST API gives as texts too."""
    match body:
        case float() if not math.isfinite(body):
            return "NaN" if math.isnan(body) else "Infinity" if body > 0 else "-Infinity"
        case dict():
            return {name: _as_json(value) for name, value in body.items()}
        case list() | tuple():
            return [_as_json(value) for value in body]
        case _:
            return body


def as_yaml(body: object) -> str:
    """Return an object as YAML."""
    return yaml.safe_dump(body, sort_keys=True, allow_unicode=True, width=120)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> Table:
    """Return a table as kubectl draws one, the columns of numbers aligned to the right; long names are cut."""
    found = Table(box=None, pad_edge=False, header_style="dim", show_header=any(headings))
    for heading in headings:
        found.add_column(
            plain(heading),
            justify="right" if heading in numbers else "left",
            no_wrap=heading not in _OF_NAMES | _OF_SENTENCES,
        )
    for row in rows:
        found.add_row(*map(_cell, headings, row))
    return found


def _cell(heading: str, text: str) -> str | Text:
    # A column that may wrap is the first to be made narrower; its cells are cut instead.
    return Text(short(text), no_wrap=True, overflow="ellipsis") if heading in _OF_NAMES else plain(text)


def short(text: str) -> str:
    """Return a text in one line of at most 60 places, of which wide characters take two.

    >>> short("run"), len(short("r" * 5000)), len(short("葡" * 5000))
    ('run', 60, 30)
    """
    found = plain(text)
    if cell_len(found) <= _LONGEST_CELLS:
        return found
    return f"{set_cell_size(found, _LONGEST_CELLS - 1).rstrip()}…"


def number(value: float | None) -> str:
    """Return a metric as people read it.

    >>> number(0.83516483), number(None), number(1234567.0)
    ('0.835165', '', '1.23457e+06')
    """
    return "" if value is None else f"{value:.6g}"
