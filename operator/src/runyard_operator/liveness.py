"""Whether the watches are alive: a connection that says nothing looks just like a cluster in which nothing happens.

The API server is asked to end each watch after a while, so that one that is well shows a sign of life at least that
often: an event, a bookmark, or its end. That a watch could be opened is none: what lies between may go on accepting
connections and bring nothing.

What may not be read (403) is not silent: its rights are gone, with its namespace perhaps, and a process that is started
anew would not have them either. It is asked for again and again, and each refusal is a sign of life.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from runyard_operator.requests import ApiCall

log = logging.getLogger(__name__)


@dataclass
class _Watch:
    sign_at: float
    is_listed: bool = False
    is_refused: bool = False
    response: aiohttp.ClientResponse | None = None
    seen_bytes: int = 0

    def look(self, now: float) -> None:
        if self.response is None:
            return
        content = self.response.content
        if content.total_bytes > self.seen_bytes or content.is_eof():
            self.sign_at, self.seen_bytes = now, content.total_bytes
        if content.is_eof():
            self.response = None


class Watches:
    """The signs of life of each watch that there should be."""

    def __init__(self, resources: Iterable[str], namespaces: Iterable[str], clock: Callable[[], float]) -> None:
        """Expect a watch of each resource in each namespace, or in all of them where none is named."""
        self._clock, self._places = clock, list(namespaces) or [""]
        self._watches: dict[tuple[str, str], _Watch] = {}
        self.expect(resources)

    def expect(self, resources: Iterable[str]) -> None:
        """Expect watches of further resources."""
        self._watches |= {(each, place): _Watch(self._clock()) for each in resources for place in self._places}

    def begin(self) -> None:
        """Begin to expect signs."""
        for watch in self._watches.values():
            watch.sign_at = self._clock()

    def answered(self, call: ApiCall, response: aiohttp.ClientResponse) -> None:
        """Take an answer of the API server's, as its headers arrive."""
        watch = self._watches.get((call.resource, call.namespace))
        if watch is None or call.verb not in {"list", "watch"}:
            return
        watch.look(self._clock())
        self._say(watch, call, is_refused=response.status == HTTPStatus.FORBIDDEN)
        if watch.is_refused:
            watch.sign_at, watch.response = self._clock(), None
            return
        # Watching begins when the list has been read to its end.
        watch.is_listed = watch.is_listed or call.verb == "watch"
        watch.response, watch.seen_bytes = response, 0

    @property
    def refused(self) -> list[str]:
        """What the API server refuses to have read, each in words."""
        return [_words(key) for key, watch in self._watches.items() if watch.is_refused]

    def silent(self, limit_seconds: float) -> list[str]:
        """Return a sentence for each watch that has shown no sign of life for longer than a limit."""
        now = self._clock()
        for watch in self._watches.values():
            watch.look(now)
        return [
            f"the watch of {_words(key)} has shown no sign of life for {now - watch.sign_at:.0f} s"
            for key, watch in self._watches.items()
            if now - watch.sign_at > limit_seconds
        ]

    def unlisted(self) -> list[str]:
        """Return a sentence for each kind of object whose first list is not there yet.

        A namespace in which something may not be read is out of service, and waited for only where none is left.
        """
        out_of_service = {place for (_, place), watch in self._watches.items() if watch.is_refused}
        if out_of_service.issuperset(self._places):
            return [f"{refused} may not be read" for refused in self.refused]
        return [
            f"{_words(key)} are not listed yet"
            for key, watch in self._watches.items()
            if not watch.is_listed and key[1] not in out_of_service
        ]

    def _say(self, watch: _Watch, call: ApiCall, *, is_refused: bool) -> None:
        if is_refused and not watch.is_refused:
            log.warning("%s may not be read (403): left alone until they may", _words((call.resource, call.namespace)))
        elif watch.is_refused and not is_refused:
            log.info("%s may be read again", _words((call.resource, call.namespace)))
        watch.is_refused = is_refused


def _words(key: tuple[str, str]) -> str:
    resource, namespace = key
    return f"{resource} in namespace {namespace}" if namespace else resource
