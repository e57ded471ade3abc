"""Waiting for a condition, with a deadline and a reason when it passes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], timeout_seconds: float = 60, poll_seconds: float = 0.1) -> T:
    """Return the first value of `condition` that is neither None nor False.

    Raises:
        TimeoutError: no such value came in time; the last value seen is in the message.

    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value is not None and value is not False:
            return value
        if time.monotonic() > deadline:
            message = f"{what}: not within {timeout_seconds} s; last seen: {value!r}"
            raise TimeoutError(message)
        time.sleep(poll_seconds)
