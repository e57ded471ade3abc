"""What `submit`, `wait` and `logs` share: they wait for a training, and say meanwhile where it is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from runyard.api.outcome import Attempt, Outcome
from runyard.api.status import TRACKED
from runyard.api.trainingrun import TrainingRun
from runyard.cli.output import plain
from runyard.cluster import Cluster, Deadline, TimedOut
from runyard.pod_logs import LogLine, NoLog, PodLogs

_ENDED = {"Succeeded", "Failed"}

# Is given the pod and the line.
Write = Callable[[str, LogLine], None]


def ended(opened: Cluster, name: str, deadline: Deadline, *, tracked: bool = False) -> TrainingRun:
    """Return a TrainingRun once it has ended and, if asked for, MLflow agrees.

    Raises:
        Refused: there is none of that name, or not any more.
        ClusterUnavailable: the API server has not answered for a minute.
        TimedOut: the time is over.

    """
    seen = None
    with _telling(name) as teller:
        try:
            for seen in opened.watch(name, deadline):
                if _has_ended(seen) and (not tracked or _is_tracked(seen)):
                    return seen
                teller.tell(seen)
        except TimedOut as error:
            if seen is None or not _has_ended(seen):
                raise
            said = f"{name} has {seen.status.phase}, and MLflow does not agree after {deadline.seconds:g} s"
            raise TimedOut(f"{said}: {_told_of_mlflow(seen)}") from error
    raise AssertionError  # a watch goes on until it raises


def followed(opened: Cluster, name: str, deadline: Deadline, write: Write) -> TrainingRun:
    """Write the log of each attempt as it comes, and return the TrainingRun once it has ended.

    Raises:
        Refused: there is none of that name, or not any more.
        ClusterUnavailable: the API server has not answered for a minute.
        TimedOut: the time is over.

    """
    logs, written = PodLogs(opened), set[str]()
    with _telling(name) as teller:
        for seen in opened.watch(name, deadline):
            for attempt in seen.status.attempts:
                if attempt.uid not in written and attempt.outcome is not Outcome.PENDING:
                    teller.tell(seen)
                    if _write_log(logs, attempt, deadline, teller, write):
                        written.add(attempt.uid)
            if _has_ended(seen):
                return seen
            teller.tell(seen)
    raise AssertionError  # a watch goes on until it raises


def described(resource: TrainingRun) -> str:
    """Say in a line where a training is: its phase, the attempt where it is not the first, and what it waits for."""
    status = resource.status
    said = str(status.phase or "new")
    if (number := status.attempt_number or 1) > 1 and not _has_ended(resource):
        said += f", attempt {number}"
    message = status.message
    if _has_ended(resource):
        said += ", and MLflow does not agree yet"
        message = _told_of_mlflow(resource)
    return plain(f"{said}: {message}" if message else said)


def _write_log(logs: PodLogs, attempt: Attempt, deadline: Deadline, teller: "_Teller", write: Write) -> bool:
    """Write an attempt's log; return whether there is nothing more to come of it."""
    is_beside = sys.stdout.isatty()
    last = b"\n"
    try:
        for line in logs.follow(attempt.pod, deadline):
            if is_beside:
                teller.hide()
            write(attempt.pod, line)
            last = line.said
    except NoLog as reason:
        if attempt.outcome is Outcome.RUNNING:
            return False  # its container has not begun
        teller.hide()
        typer.echo(f"runyard: no log of {attempt.pod}: {reason}", err=True)
    if is_beside and not last.endswith(b"\n"):
        typer.echo()  # what is drawn next would take the line's place
    return True


def _has_ended(resource: TrainingRun) -> bool:
    return resource.status.phase in _ENDED


def _is_tracked(resource: TrainingRun) -> bool:
    condition = resource.status.condition(TRACKED)
    return bool(condition and condition.status == "True")


def _told_of_mlflow(resource: TrainingRun) -> str:
    condition = resource.status.condition(TRACKED)
    return condition.message if condition else "it has not been asked"


class _Teller(Protocol):
    """Says on standard error where a training is."""

    def tell(self, resource: TrainingRun) -> None:
        """Say where it is now."""

    def hide(self) -> None:
        """Take away what would stand in the way of something else that is printed."""


@contextmanager
def _telling(name: str) -> Iterator[_Teller]:
    teller = _Drawn(name) if sys.stderr.isatty() else _Printed(name)
    try:
        yield teller
    finally:
        teller.hide()


class _Printed:
    """A line for each change, as a log keeps them."""

    def __init__(self, name: str) -> None:
        """Begin."""
        self._name, self._said = name, ""

    def tell(self, resource: TrainingRun) -> None:
        """Print where it is, unless the last line says so."""
        if (said := described(resource)) != self._said:
            self._said = said
            typer.echo(f"{self._name}: {said}", err=True)

    def hide(self) -> None:
        """Do nothing: what is printed stays."""


class _Drawn:
    """One line of a terminal, with the time that has gone by; nothing is left of it at the end."""

    def __init__(self, name: str) -> None:
        """Begin to count."""
        self._name, self._began = name, time.monotonic()
        self._shown: Progress | None = None

    def tell(self, resource: TrainingRun) -> None:
        """Draw where it is."""
        if self._shown is None:
            self._shown = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                get_time=time.monotonic,
            )
            task = self._shown.add_task("", total=None)
            self._shown.tasks[task].start_time = self._began
            self._shown.start()
        self._shown.update(self._shown.task_ids[0], description=f"{self._name}  {described(resource)}")

    def hide(self) -> None:
        """Take it away; the next that is told draws it anew."""
        if self._shown:
            self._shown.stop()
            self._shown = None
