"""What trainings print in a cluster, line by line, with the kubelet's times."""

from __future__ import annotations

import math
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from runyard.api.trainingrun import TRAINING_CONTAINER
from runyard.cluster import Cluster, ClusterUnavailable, Deadline, answering
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import HTTPResponse

_CONNECT_SECONDS = 10
_READ_SECONDS = 30
# As long as an API server takes to restart.
_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 1.0
# How long a log that is followed may say nothing before it is asked for anew: a connection may die unheard.
_SILENCE_SECONDS = 60
# What is asked for again of a log that broke off, beyond the time that has gone by.
_OVERLAP_SECONDS = 60
# Of a log's end: a kubelet cuts what is longer at its end, not at its beginning.
_LONGEST_END_BYTES = 1024 * 1024


class NoLog(RunyardError):
    """A pod has no log: it is gone, or its container has not begun."""


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        time: when it was written, as the kubelet says it (RFC 3339, to the nanosecond); None where nobody knows.
        said: its bytes, the newline included where it has one.

    """

    time: str | None
    said: bytes


def end(cluster: Cluster, namespace: str, pod: str, lines: int) -> bytes:
    """Return the last lines of a training container's log: fewer, where they are longer than 1 MiB together.

    Args:
        cluster: asked as its client may.
        namespace: the pod's.
        pod: whose.
        lines: how many.

    Raises:
        NoLog: the pod is gone, or its container has not begun.
        Forbidden: one may not read it.
        ClusterUnavailable: the API server does not answer, or the kubelet does not.

    """
    while True:
        with answering(missing=NoLog):
            answer = cluster.core.read_namespaced_pod_log(
                pod,
                namespace,
                container=TRAINING_CONTAINER,
                tail_lines=lines,
                limit_bytes=_LONGEST_END_BYTES,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        with answering(), closing(answer):
            found = cast("bytes", answer.read(_LONGEST_END_BYTES, decode_content=False))
        if len(found) < _LONGEST_END_BYTES or lines == 1:
            return found
        lines = max(1, lines // 10)


class PodLogs:
    """The logs of training containers in a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        """Read them as the cluster's client may."""
        self._cluster = cluster

    def whole(self, pod: str) -> Iterator[LogLine]:
        """Yield what there is of a log.

        Raises:
            NoLog: the pod is gone, or its container has not begun.
            ClusterUnavailable: the API server does not answer, or the kubelet does not.

        """
        with answering(missing=NoLog):
            answer = self._open(pod, _READ_SECONDS, timestamps=True)
        rest = b""
        with answering(), closing(answer):
            for part in answer.stream(decode_content=False):
                *lines, rest = (rest + part).split(b"\n")
                yield from (_read(line + b"\n")[1] for line in lines)
        if rest:
            yield _read(rest)[1]

    def follow(self, pod: str, deadline: Deadline) -> Iterator[LogLine]:
        """Yield a log's lines as they come, each once, until the container or the time ends.

        A connection that breaks, or is silent for a minute, is begun anew where it stopped.

        Raises:
            NoLog: the pod is gone before anything was read of it, or its container has not begun.
            ClusterUnavailable: the API server has not answered for a minute.

        """
        last = heard_at = gives_up_at = None
        while deadline.left > 0:
            try:
                ended = self._has_ended(pod)
                for line in self._stamped(pod, heard_at, deadline, whole=ended):
                    order, read = _read(line)
                    if order is None or last is None or order > last:
                        last, heard_at = order or last, time.monotonic()
                        yield read
                if ended:
                    return
                gives_up_at = None
            except NoLog:
                if heard_at is None:
                    raise
                return
            except ClusterUnavailable:
                now = time.monotonic()
                gives_up_at = gives_up_at or now + _PATIENCE_SECONDS
                if now > gives_up_at:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _stamped(self, pod: str, since: float | None, deadline: Deadline, *, whole: bool) -> Iterator[bytes]:
        """Yield a log's lines with their times, until it ends or is silent; a last one without end only of a whole."""
        from urllib3.exceptions import ReadTimeoutError

        # The client has no `sinceTime`.
        again = {} if since is None else {"since_seconds": math.ceil(time.monotonic() - since) + _OVERLAP_SECONDS}
        silence = max(0.1, min(_SILENCE_SECONDS, deadline.left))
        with answering(missing=NoLog):
            answer = self._open(pod, silence, follow=True, timestamps=True, **again)
        rest = b""
        with answering(), closing(answer), suppress(ReadTimeoutError):
            for part in answer.stream(decode_content=False):
                *lines, rest = (rest + part).split(b"\n")
                yield from (line + b"\n" for line in lines)
                if deadline.left <= 0:
                    return
            if rest and whole:
                yield rest

    def _open(self, pod: str, silence: float, **more: int) -> HTTPResponse:
        return cast(
            "HTTPResponse",
            self._cluster.core.read_namespaced_pod_log(
                pod,
                self._cluster.namespace,
                container=TRAINING_CONTAINER,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, silence),
                **more,
            ),
        )

    def _has_ended(self, pod: str) -> bool:
        with answering(missing=NoLog):
            found = self._cluster.core.read_namespaced_pod(
                pod, self._cluster.namespace, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
        listed = found.status.container_statuses or []
        return any(each.name == TRAINING_CONTAINER and each.state.terminated for each in listed)


def _read(line: bytes) -> tuple[tuple[datetime, bytes] | None, LogLine]:
    r"""Return a line's place in time, and the line; what the kubelet says itself has no time.

    >>> _read(b"2026-01-02T03:04:05.123456789Z epoch 1\n")[1]
    LogLine(time='2026-01-02T03:04:05.123456789Z', said=b'epoch 1\n')
    >>> _read(b"unable to read the log")
    (None, LogLine(time=None, said=b'unable to read the log'))
    """
    stamp, _, said = line.partition(b" ")
    try:
        # Digits beyond the microseconds are only in the text.
        return (datetime.fromisoformat(stamp.decode()), stamp), LogLine(stamp.decode(), said)
    except ValueError:
        return None, LogLine(None, line)
