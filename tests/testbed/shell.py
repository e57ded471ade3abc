"""Running other programs, saying what goes on, and one test bed command at a time."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE = Path(
    os.environ.get("RUNYARD_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "runyard")
)
HEARTBEAT_SECONDS = 30
TAIL_LINES = 20


class TestbedError(Exception):
    """Something that the test bed cannot do; the message says what to do about it."""

    __test__ = False


def say(text: str) -> None:
    """Print a line of progress; standard output is kept for results."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def duration(seconds: float) -> str:
    """Return seconds in a form to read.

    >>> duration(83.4)
    '1 min 23 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def estimate(minutes: float) -> str:
    """Return about how long something takes.

    >>> estimate(7), estimate(0.3)
    ('about 7 min', 'about 20 s')
    """
    return f"about {minutes:.0f} min" if minutes >= 1 else f"about {max(1, round(minutes * 6)) * 10} s"


@contextmanager
def step(title: str, number: int, total: int, minutes: float) -> Iterator[None]:
    """Say that a step begins, that it still goes on, and how long it took."""
    place = f"[{number}/{total}]"
    say(f"{place} {title} ({estimate(minutes)}) …")
    start = time.monotonic()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            say(f"{place} … still {title}, {duration(time.monotonic() - start)}")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
    say(f"{place} done in {duration(time.monotonic() - start)}")


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> None:
    """Run a program that must succeed; its output is shown only if it fails.

    Raises:
        TestbedError: it is not there, or failed; the message then ends with the last lines it printed.

    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{words[0]} is not installed") from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
        raise TestbedError(f"{' '.join(words[:4])} … ended with {done.returncode}:\n{tail}")


def run_piped(source: Sequence[str], sink: Sequence[str]) -> None:
    """Run two programs that must succeed, the first one's output going into the second.

    Raises:
        TestbedError: one failed; the message ends with what the second printed.

    """
    with subprocess.Popen(source, stdout=subprocess.PIPE) as first:
        done = subprocess.run(sink, stdin=first.stdout, capture_output=True, text=True, errors="replace", check=False)
    if first.returncode or done.returncode:
        codes = f"{first.returncode} and {done.returncode}"
        raise TestbedError(f"{' '.join(source)} | {' '.join(sink[:4])} … ended with {codes}:\n{done.stderr[-2000:]}")


def answer(command: Sequence[str | Path], timeout_seconds: float = 30) -> str | None:
    """Return what a program prints, or None if it is not there, fails, or takes too long."""
    try:
        return demand(command, timeout_seconds)
    except TestbedError:
        return None


def demand(command: Sequence[str | Path], timeout_seconds: float = 30) -> str:
    """Return what a program prints.

    Raises:
        TestbedError: it is not there, failed, or took too long; the message says which, in its own last words.

    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{' '.join(words[:4])} … did not end in {timeout_seconds:.0f} s") from error
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-TAIL_LINES:])
        raise TestbedError(f"{' '.join(words[:4])} … ended with {done.returncode}:\n{tail}")
    return done.stdout


def read_json(command: Sequence[str]) -> dict[str, Any]:
    """Return the object that a program prints.

    Raises:
        TestbedError: it failed.

    """
    found: dict[str, Any] = json.loads(demand(command))
    return found


@contextmanager
def alone() -> Iterator[None]:
    """Hold the cache's lock: a second command waits until the first has ended, however it ends."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another test bed command to end …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # What a killed command left half done.
        shutil.rmtree(CACHE / "tmp", ignore_errors=True)
        yield
