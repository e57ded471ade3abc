"""Bars for what takes long: on standard error, and only where a person looks at it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

# Is told how many are done, and of how many; None: nobody knows yet.
Told = Callable[[int, int | None], None]


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """Draw a bar while something is done, and leave nothing of it behind."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
