"""A training's command as a process of this machine: how it ends, and the end of its output."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread, current_thread, main_thread
from types import FrameType
from typing import IO, cast

from runyard.api.container import CANNOT_START
from runyard.api.outcome import Outcome, Reason

LOG_TAIL_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_GRACE_SECONDS = 30  # as a pod's terminationGracePeriodSeconds
_LAST_WORDS_SECONDS = 2
_LOOK_SECONDS = 0.2
_SIGNAL_BASE = 128  # what a shell, and the kubelet, add to a signal's number


@dataclass(frozen=True)
class End:
    """How a process ended, in an attempt's words."""

    outcome: Outcome
    reason: Reason
    exit_code: int | None
    message: str | None = None


class Stopper:
    """Ends a training from another thread, which has no signals of its own."""

    def __init__(self) -> None:
        """Begin with nothing asked for."""
        self._asked, self._is_urgent = Event(), Event()
        self._end = (Reason.CANCELLED, "interrupted")

    def stop(self, reason: Reason, message: str) -> None:
        """Have the training end as a pod would; asked once more, at once."""
        if self._asked.is_set():
            self._is_urgent.set()
        else:
            self._end = (reason, message)
            self._asked.set()

    @property
    def asked(self) -> tuple[Reason, str] | None:
        """Why it is to end, if it is."""
        return self._end if self._asked.is_set() else None

    @property
    def is_urgent(self) -> bool:
        """Whether it is to end at once."""
        return self._is_urgent.is_set()


def execute(
    command: list[str],
    folder: Path,
    variables: Mapping[str, str],
    ends_at: float | None,
    echo: Callable[[bytes], None],
    *,
    stopper: Stopper | None = None,
) -> tuple[End, bytes]:
    """Run a command until it and its process group are gone; return how it ended and its log's tail.

    Args:
        command: the program and its arguments.
        folder: where it starts.
        variables: its whole environment.
        ends_at: the moment, in seconds since the epoch, at which it is stopped; None: never.
        echo: is given its output as it comes.
        stopper: may end it from another thread.

    """
    if stopper and (asked := stopper.asked):
        return End(Outcome.CANCELLED, asked[0], None, asked[1]), b""
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
        return End(Outcome.FAILED, Reason.ERROR, CANNOT_START, message), message.encode(errors="replace")
    output = _Output(cast("IO[bytes]", process.stdout), echo)
    end = _wait(process, ends_at, stopper)
    return end, output.end()


def last_line(log: bytes) -> str | None:
    """Return what a process said last."""
    lines = log.decode(errors="replace").splitlines()
    return next((line.strip()[:1024] for line in reversed(lines) if line.strip()), None)


def _wait(process: subprocess.Popen[bytes], ends_at: float | None, stopper: Stopper | None) -> End:
    try:
        left = None if ends_at is None else max(ends_at - datetime.now(UTC).timestamp(), 0)
        with interruptible():
            code = process.wait(left) if stopper is None else _code_unless_stopped(process, left, stopper)
    except _Stopped as stopped:
        return End(Outcome.CANCELLED, stopped.reason, _stop(process, stopper), stopped.message)
    except subprocess.TimeoutExpired:
        message = "spec.activeDeadlineSeconds passed before the training ended"
        _say_that_it_is_awaited(f"{message}: it was told to end", "Ctrl-C")
        return End(Outcome.FAILED, Reason.DEADLINE_EXCEEDED, _stop(process), message)
    except KeyboardInterrupt:
        _say_that_it_is_awaited("interrupted: it was told to end", "Ctrl-C once more")
        return End(Outcome.CANCELLED, Reason.CANCELLED, _stop(process), "interrupted")
    _tell(process, signal.SIGKILL)
    code = code if code >= 0 else _SIGNAL_BASE - code
    return End(Outcome.SUCCEEDED, Reason.COMPLETED, 0) if code == 0 else End(Outcome.FAILED, Reason.ERROR, code)


class _Stopped(Exception):
    """Another thread wants the training to end."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


def _code_unless_stopped(process: subprocess.Popen[bytes], seconds: float | None, stopper: Stopper) -> int:
    """Wait for the end.

    Raises:
        _Stopped: it is to end first.
        subprocess.TimeoutExpired: neither came in time.

    """
    ends_at = None if seconds is None else time.monotonic() + seconds
    while True:
        if asked := stopper.asked:
            raise _Stopped(*asked)
        try:
            left = _LOOK_SECONDS if ends_at is None else min(_LOOK_SECONDS, max(ends_at - time.monotonic(), 0))
            return process.wait(left)
        except subprocess.TimeoutExpired:
            if ends_at is not None and time.monotonic() >= ends_at:
                raise


def _say_that_it_is_awaited(why: str, ends_it_now: str) -> None:
    """Say to a person what is waited for and how long, beside the output, and without waiting for who reads that."""
    said = f"runyard: {why}, and has {_GRACE_SECONDS} s for it; {ends_it_now} ends it now\n"

    def say() -> None:
        with suppress(OSError, ValueError):  # a terminal that was closed
            print(said, end="", file=sys.stderr, flush=True)  # noqa: T201 whoever interrupts is there to read it

    Thread(target=say, daemon=True).start()


def _stop(process: subprocess.Popen[bytes], stopper: Stopper | None = None) -> int:
    """End the process and its group, as the kubelet ends a pod; return the exit code.

    Who interrupts once more does not wait for the grace period.
    """
    _tell(process, signal.SIGTERM)
    code = _code(process, stopper)
    _tell(process, signal.SIGKILL)
    if code is None:
        code = _code(process)
    code = -signal.SIGKILL if code is None else code
    return code if code >= 0 else _SIGNAL_BASE - code


def _code(process: subprocess.Popen[bytes], stopper: Stopper | None = None) -> int | None:
    """Wait for the end, though not for ever; None: it goes on."""
    ends_at = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < ends_at and not (stopper and stopper.is_urgent):
        try:
            with interruptible():
                return process.wait(_GRACE_SECONDS if stopper is None else _LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            return None
    return None


def _tell(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to all that is left of the process's group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _Output:
    """What a process writes: passed on as it comes, and the end of it kept."""

    def __init__(self, stream: IO[bytes], echo: Callable[[bytes], None]) -> None:
        self._stream, self._echo = stream, echo
        self._tail = bytearray()
        self._reading = Lock()
        self._is_over = False
        # A reader that waits for ever must not hold up the end of the program.
        self._reader = Thread(target=self._copy, daemon=True)
        self._reader.start()

    def end(self) -> bytes:
        """Return the end of it, once the process and its group are gone."""
        try:
            with interruptible():
                self._reader.join(_LAST_WORDS_SECONDS)
                # What has left the group may hold the pipe for ever; who only listens slowly is waited for.
                while self._reader.is_alive() and not self._reading.locked():
                    self._reader.join(_LAST_WORDS_SECONDS)
        except KeyboardInterrupt:
            _interruptions.put_off()
        self._is_over = True
        if self._reading.acquire(blocking=False):
            with suppress(BlockingIOError):
                os.set_blocking(self._stream.fileno(), False)
                while self._read():
                    pass
            self._reading.release()
        if not self._reader.is_alive():
            self._stream.close()
        return bytes(self._tail)

    def _copy(self) -> None:
        """Pass output on, lines or not: a progress bar ends its line only when it is done."""
        is_heard = True
        while part := self._next():
            try:
                if is_heard:
                    self._echo(part)
            except (OSError, ValueError):
                # `runyard run … | head` has read enough, a disk is full, a terminal or a file was closed: the training
                # goes on, and so does its log.
                is_heard = False

    def _next(self) -> bytes:
        with self._reading:
            return b"" if self._is_over else self._read()

    def _read(self) -> bytes:
        part = os.read(self._stream.fileno(), _READ_BYTES)
        self._tail += part
        del self._tail[:-LOG_TAIL_BYTES]
        return part


class _Interruptions:
    """Interruptions of this program; who comes while none can be used is heard at the next occasion."""

    def __init__(self) -> None:
        self._is_one_waiting = self._are_heard = False

    def arrive(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        if number == signal.SIGHUP:
            # The kernel and the shell both tell that a terminal was closed, and nobody is left to insist.
            signal.signal(number, signal.SIG_IGN)
        if not self._are_heard:
            self.put_off()
            return
        self._are_heard = False  # whoever hears one can make an end of it before the next
        raise KeyboardInterrupt

    def put_off(self) -> None:
        """Keep one for later."""
        self._is_one_waiting = True

    def begin(self) -> None:
        """Let one in."""
        self._are_heard = True
        if self._is_one_waiting:
            self._is_one_waiting = self._are_heard = False
            raise KeyboardInterrupt

    def end(self) -> None:
        """Let none in."""
        self._are_heard = False


_interruptions = _Interruptions()


@contextmanager
def interruptions_held() -> Iterator[None]:
    """Take SIGTERM and a closed terminal as Ctrl-C, and all three only where the code is `interruptible`.

    A run is so closed whichever way the command is stopped, and nothing is lost of a process between its start and
    its record.
    """
    if current_thread() is not main_thread():  # signals are another's to handle
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # What is ignored stays so: `nohup` means it.
    before = {number: found for number in numbers if (found := signal.getsignal(number)) not in {signal.SIG_IGN, None}}
    try:
        for number in before:
            signal.signal(number, _interruptions.arrive)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an interruption in, also one that came before.

    Raises:
        KeyboardInterrupt: there is one.

    """
    if current_thread() is not main_thread():
        yield
        return
    try:
        _interruptions.begin()
        yield
    finally:
        _interruptions.end()
