"""For training scripts that want more than MLflow: a run that ends as the training does."""

import logging
import signal
import threading
from collections.abc import Iterator
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
    `sys.exit(0)`. Here the run is FINISHED at the block's end or at an exit with 0, KILLED at SIGTERM, SIGHUP or an
    interruption from the keyboard, FAILED at any other exception or exit; what is still to be logged is logged first,
    and runs that were started in the block and left open end alike. Python hears of a signal between two of its own
    steps: not within one long call of compiled code, nor in a thread that is not the main one.

    Args:
        options: as `mlflow.start_run` takes them.

    Yields:
        The run.

    Raises:
        Terminated: the process was told to end.
        mlflow.exceptions.MlflowException: the run cannot be started, or the end of a block that went well cannot be
            recorded. Where the block did not go well, that is logged, and the block's own exception goes on.

    """
    import mlflow

    run: mlflow.ActiveRun | None = None
    status = RunStatus.FAILED
    with _hearing() as ear:
        try:
            with ear.later():
                run = mlflow.start_run(**options)
            yield run
            status = RunStatus.FINISHED
        except (Terminated, KeyboardInterrupt):
            status = RunStatus.KILLED
            raise
        except SystemExit as leaving:
            status = RunStatus.FAILED if leaving.code else RunStatus.FINISHED
            raise
        finally:
            if run:
                with ear.later():
                    _end(run, status)


def _end(run: "mlflow.ActiveRun", status: RunStatus) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.flush_async_logging()
        if not RunStatus(mlflow.get_run(run.info.run_id).info.status).is_open:
            return  # the script ended it itself
        while active := mlflow.active_run():
            mlflow.end_run(status.value)
            if active.info.run_id == run.info.run_id:
                break
    except MlflowException:
        if status is RunStatus.FINISHED:
            raise
        _log.exception("MLflow could not be told that run %s is %s", run.info.run_id, status)


class _Ear:
    """A signal handler that ends the block, at once or, where something must not be cut in two, after that."""

    def __init__(self) -> None:
        self._waits = False
        self._heard: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if not self._waits:
            raise Terminated(number)
        self._heard = number

    @contextmanager
    def later(self) -> Iterator[None]:
        """Put off what is heard until the end of this block."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
        if self._heard is not None:
            raise Terminated(self._heard)


@contextmanager
def _hearing() -> Iterator[_Ear]:
    """Hear signals that would end the process, but for those that the script hears itself."""
    outer = signal.getsignal(signal.SIGTERM)
    if isinstance(outer, _Ear):
        yield outer
        return
    ear = _Ear()
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _SIGNALS if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, ear)
    try:
        yield ear
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
