"""For training scripts that want more than MLflow: a run that ends as the training does."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from runyard.api.records import RunStatus

if TYPE_CHECKING:
    import mlflow

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_log = logging.getLogger(__name__)


class Terminated(SystemExit):
    """The process was told to end; it does so with 128 and the signal's number, as shells put it."""

    def __init__(self, signal_number: int) -> None:
        """Take the signal's number."""
        super().__init__(128 + signal_number)


@contextmanager
def start_run(**options: "str | bool | dict[str, str] | None") -> "Iterator[mlflow.ActiveRun]":
    """Start an MLflow run that ends as this block does.

    `mlflow.start_run` leaves a run RUNNING when the process is told to end, and calls FAILED what left by
    `sys.exit(0)`. Here the run is KILLED where SIGTERM, SIGHUP or an interruption from the keyboard came in the block,
    else FINISHED at the block's end or at an exit with 0, and FAILED at any other exception or exit. What is still to
    be logged is logged first, and runs that were started in the block and left open end alike.

    SIGTERM and SIGHUP are raised in the block once, as `Terminated`, unless the script hears them itself. One that
    comes while MLflow is told of the run's begin or end is raised after that, and a block that catches `Terminated`
    and goes on to its end is left with it all the same. Python hears of a signal between two of its own steps, in its
    main thread: not within one long call of compiled code, and not in a block of another thread. A process forked in
    the block has none of this: signals end it as if they were not heard here, and the run is not its to end.

    Args:
        options: as `mlflow.start_run` takes them.

    Yields:
        The run.

    Raises:
        Terminated: the process was told to end.
        mlflow.exceptions.MlflowException: the run cannot be started, or the end of a block that went well cannot be
            recorded, which is tried twice. Where the block did not go well, that is logged, and the block's own
            exception goes on.

    """
    import mlflow

    process = os.getpid()
    outer = mlflow.active_run()
    with _hearing() as ear:
        run = mlflow.start_run(**options)
        status = RunStatus.FAILED
        try:
            with ear.raising():
                yield run
            status = RunStatus.FINISHED
        except KeyboardInterrupt:
            status = RunStatus.KILLED
            raise
        except SystemExit as leaving:
            status = RunStatus.FINISHED if _is_success(leaving.code) else RunStatus.FAILED
            raise
        finally:
            if os.getpid() == process:
                _end(RunStatus.KILLED if ear.heard else status, outer)


def _is_success(code: str | int | None) -> bool:
    """Whether Python makes 0 of what `sys.exit` was given: text is printed, and makes it 1, be it empty."""
    return code is None or (isinstance(code, int) and code == 0)


def _end(status: RunStatus, outer: "mlflow.ActiveRun | None") -> None:
    """Log what is left, and end what is on MLflow's stack above the run that was active before the block.

    MLflow calls FINISHED what is on its stack when the interpreter ends: whatever fails, nothing of ours stays there.
    """
    import mlflow

    went_well = status is RunStatus.FINISHED
    failures = _failures(mlflow.flush_async_logging)
    if failures and went_well:
        status = RunStatus.KILLED if isinstance(failures[0], KeyboardInterrupt) else RunStatus.FAILED
    while (active := mlflow.active_run()) and not (outer and active.info.run_id == outer.info.run_id):
        failures += _end_active(active.info.run_id, status)
    for failure in failures:
        if went_well or isinstance(failure, KeyboardInterrupt):
            raise failure
        _log.error("MLflow could not be told that a run is %s", status, exc_info=failure)


def _end_active(run_id: str, status: RunStatus) -> list[BaseException]:
    """End the run on top of MLflow's stack; one that was given an end elsewhere keeps it. Return what failed."""
    import mlflow

    told: list[RunStatus] = []
    unknown = _failures(lambda: told.append(RunStatus(mlflow.get_run(run_id).info.status)))
    wanted = told[0] if told and not told[0].is_open else status
    failures = _failures(lambda: mlflow.end_run(wanted.value))
    if failures and told:
        # It is off the stack, whether or not the server heard; a server that was there a moment ago is asked again.
        failures = _failures(lambda: mlflow.MlflowClient().set_terminated(run_id, wanted.value))
    # How the run stood is not worth a failure, where it could be told its end.
    return [found for found in unknown if failures or isinstance(found, KeyboardInterrupt)] + failures


def _failures(step: Callable[[], None]) -> list[BaseException]:
    """Take a step, and return what it failed with; an interruption from the keyboard skips a step, and no more."""
    try:
        step()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 raised or logged once all is done
        return [error]
    return []


class _Ear:
    """A signal handler that remembers what it heard, and raises it in a block that may be cut short."""

    def __init__(self) -> None:
        self.heard: int | None = None
        self._raises = False
        # A fork takes handlers along, and its end is not its parent's.
        self._process = os.getpid()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        self.heard = number
        if self._raises:
            # Once: a second would cut short what the first one brought about, such as the end of the run.
            self._raises = False
            raise Terminated(number)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise at once what is heard in this block, and what was heard before it."""
        try:
            self._raises = True
            if self.heard:
                raise Terminated(self.heard)
            yield
        finally:
            self._raises = False


@contextmanager
def _hearing() -> Iterator[_Ear]:
    """Hear signals that would end the process, or that a block around this one hears; at last raise what is owed.

    Each block hears for itself, so that its signals are raised where it is, and the block around it gets its own back.
    """
    ear = _Ear()
    before = {number: signal.getsignal(number) for number in _SIGNALS} if _is_main_thread() else {}
    taken = {number: was for number, was in before.items() if was is signal.SIG_DFL or isinstance(was, _Ear)}
    try:
        for number in taken:
            signal.signal(number, ear)
        yield ear
    finally:
        for number, was in taken.items():
            if signal.getsignal(number) is ear:
                signal.signal(number, was)
        leaving = sys.exc_info()[1]
        if ear.heard and (leaving is None or isinstance(leaving, Exception)):
            if leaving:
                _log.error("the process was told to end, and meanwhile this failed", exc_info=leaving)
            raise Terminated(ear.heard)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
