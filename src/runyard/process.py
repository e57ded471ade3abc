"""A training's command as a process of this machine: how it ends, and the end of its output."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import IO

from runyard.api.outcome import Outcome, Reason

LOG_TAIL_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_GRACE_SECONDS = 30  # as a pod's terminationGracePeriodSeconds
_SIGNAL_BASE = 128  # what a shell, and the kubelet, add to a signal's number
_CANNOT_START = 127


@dataclass(frozen=True)
class End:
    """How a process ended, in an attempt's words."""

    outcome: Outcome
    reason: Reason
    exit_code: int | None
    message: str | None = None


def execute(
    command: list[str],
    folder: Path,
    variables: Mapping[str, str],
    ends_at: float | None,
    echo: Callable[[bytes], None],
) -> tuple[End, bytes]:
    """Run a command until it and all that it started are gone; return how it ended and its log's tail.

    Args:
        command: the program and its arguments.
        folder: where it starts.
        variables: its whole environment.
        ends_at: the moment, in seconds since the epoch, at which it is stopped; None: never.
        echo: is given its output as it comes.

    """
    tail = bytearray()
    try:
        process = subprocess.Popen(  # noqa: S603 running the user's own command is the purpose
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # a text with a zero byte in it is no argument and no variable
        why = error.strerror if isinstance(error, OSError) else error
        message = f"{command[0]} cannot be started: {why}"
        return End(Outcome.FAILED, Reason.ERROR, _CANNOT_START, message), message.encode(errors="replace")
    reader = Thread(target=_copy, args=(process.stdout, tail, echo))
    reader.start()
    end = _wait(process, ends_at)
    reader.join()
    return end, bytes(tail)


def last_line(log: bytes) -> str | None:
    """Return what a process said last."""
    lines = log.decode(errors="replace").splitlines()
    return next((line.strip()[:1024] for line in reversed(lines) if line.strip()), None)


def _wait(process: subprocess.Popen[bytes], ends_at: float | None) -> End:
    try:
        left = None if ends_at is None else max(ends_at - datetime.now(UTC).timestamp(), 0)
        code = process.wait(left)
    except subprocess.TimeoutExpired:
        message = "spec.activeDeadlineSeconds passed before the training ended"
        return End(Outcome.FAILED, Reason.DEADLINE_EXCEEDED, _stop(process), message)
    except KeyboardInterrupt:
        return End(Outcome.CANCELLED, Reason.CANCELLED, _stop(process), "interrupted")
    _stop(process)
    code = code if code >= 0 else _SIGNAL_BASE - code
    return End(Outcome.SUCCEEDED, Reason.COMPLETED, 0) if code == 0 else End(Outcome.FAILED, Reason.ERROR, code)


def _stop(process: subprocess.Popen[bytes]) -> int:
    """End the process and all that it started, as the kubelet ends a pod; return the exit code.

    Who interrupts once more does not wait for the grace period.
    """
    with _gone_already():
        os.killpg(process.pid, signal.SIGTERM)
    try:
        code = process.wait(_GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        code = None
    with _gone_already():
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait() if code is None else code
    return code if code >= 0 else _SIGNAL_BASE - code


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


@contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, so that a run is closed whichever way the command is stopped."""
    if current_thread() is not main_thread():  # signals are another's to handle
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _copy(stream: IO[bytes] | None, tail: bytearray, echo: Callable[[bytes], None]) -> None:
    """Pass output on as it comes, lines or not: a progress bar ends its line only when it is done."""
    if stream is None:
        return
    is_heard = True
    while part := os.read(stream.fileno(), _READ_BYTES):
        tail += part
        del tail[:-LOG_TAIL_BYTES]
        try:
            if is_heard:
                echo(part)
        except BrokenPipeError:
            # `runyard run … | head` has read enough; the training goes on, and so does its log.
            is_heard = False
