"""How commands print: tables for people, JSON and YAML for programs."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import typer
import yaml
from rich.console import Console
from rich.table import Table

# Control characters, and those that turn the direction of writing around.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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
    """Return a table as kubectl draws one, the columns of numbers aligned to the right."""
    found = Table(box=None, pad_edge=False, header_style="dim", show_header=any(headings))
    for heading in headings:
        found.add_column(
            plain(heading), justify="right" if heading in numbers else "left", no_wrap=heading not in {"MESSAGE", "WHY"}
        )
    for row in rows:
        found.add_row(*map(plain, row))
    return found


def number(value: float | None) -> str:
    """Return a metric as people read it.

    >>> number(0.83516483), number(None), number(1234567.0)
    ('0.835165', '', '1.23457e+06')
    """
    return "" if value is None else f"{value:.6g}"
