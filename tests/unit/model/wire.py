"""Calls of a process to a server, and what can become of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

import aiohttp
from yarl import URL

SLOW_SECONDS = 7.0


class Fault(Enum):
    """What happens to one call."""

    REFUSED = auto()  # the server answers 500 and does nothing
    CONFLICT = auto()  # the server answers 409 and does nothing
    TIMED_OUT = auto()  # it never comes to the server
    ANSWER_LOST = auto()  # the server does it, and the connection breaks
    SLOW_THERE = auto()  # it comes to the server late
    SLOW_BACK = auto()  # the server does it at once, and the answer is late
    CRASH_BEFORE = auto()  # the process dies before the server does it
    CRASH_AFTER = auto()  # the process dies before it has the answer
    CRASH_LATE = auto()  # the process dies, and what it asked for comes to the server late


@dataclass
class Answer:
    """An HTTP answer, as far as aiohttp's is used."""

    status: int
    body: Any = None
    method: str = ""
    url: URL = field(default_factory=URL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def text(self) -> str:
        return json.dumps(self.body)

    async def json(self, content_type: str | None = None) -> Any:  # noqa: ARG002 aiohttp's signature
        return self.body

    @property
    def content(self) -> Self:
        return self

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        yield self.body


@dataclass
class Line:
    """What connects one process with one server. `plan` says what happens to the calls to come, by their number."""

    die: Callable[[], None]
    is_dead: Callable[[], bool]
    is_down: bool = False
    plan: dict[int, Fault] = field(default_factory=dict)
    calls: int = 0
    writes: int = 0
    in_flight: int = 0
    struck: list[Fault] = field(default_factory=list)

    def expect(self, after_calls: int, fault: Fault) -> None:
        """Have something happen to a later call."""
        self.plan[self.calls + 1 + after_calls] = fault

    async def call(self, method: str, serve: Callable[[], Answer]) -> Answer:
        """Make a call; `serve` is what the server does."""
        self.calls += 1
        self.writes += method != "GET"
        fault = self.plan.pop(self.calls, None)
        if fault is Fault.CONFLICT and method != "PATCH":
            fault = Fault.REFUSED  # a conflict without a cause is an answer to a patch only
        self.struck += [fault] if fault else []
        self.in_flight += 1
        try:
            return await self._called(fault, serve)
        finally:
            self.in_flight -= 1

    async def _called(self, fault: Fault | None, serve: Callable[[], Answer]) -> Answer:
        await self._travel(dying=fault is Fault.CRASH_BEFORE)
        if fault is Fault.TIMED_OUT:
            raise aiohttp.ServerTimeoutError("no answer")
        if fault is Fault.REFUSED:
            return Answer(500, {"message": "refused"})
        if fault is Fault.CONFLICT:
            return Answer(409, {"message": "conflict"})
        if fault is Fault.CRASH_LATE:
            self.die()
        is_late = fault in {Fault.SLOW_THERE, Fault.CRASH_LATE}
        answer = await self._arrival(serve, SLOW_SECONDS if is_late else 0)
        await self._travel(late=fault is Fault.SLOW_BACK, dying=fault is Fault.CRASH_AFTER)
        if fault is Fault.ANSWER_LOST:
            raise aiohttp.ServerDisconnectedError("connection reset")
        return answer

    async def _arrival(self, serve: Callable[[], Answer], seconds: float) -> Answer:
        """Come to the server; a request that is on its way does so though its process has given it up, or is dead."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer | None] = loop.create_future()

        def arrive() -> None:
            answer = None if self.is_down else serve()
            if not answered.done():
                answered.set_result(answer)

        if seconds:
            loop.call_later(seconds, arrive)
        else:
            arrive()
        answer = await answered
        if answer is None:
            raise aiohttp.ServerTimeoutError("no answer")
        return answer

    async def _travel(self, *, late: bool = False, dying: bool = False) -> None:
        await asyncio.sleep(SLOW_SECONDS if late else 0)
        if dying:
            self.die()
        if self.is_dead():
            # A process can do nothing but by calls: one that stops at its next call is as good as killed.
            await asyncio.Event().wait()
