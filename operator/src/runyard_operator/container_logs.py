"""The ends of containers' logs: read while a kubelet has them, and a sentence where nobody has."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runyard.api.outcome import Attempt, Reason, TrainingRunStatus
from runyard.api.trainingrun import TRAINING_CONTAINER
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.mirror import Mirror, View
from runyard_operator.objects import Key, Pod

log = logging.getLogger(__name__)

# A kubelet that restarts answers soon.
_PATIENCE = timedelta(minutes=2)
# A kubelet whose machine is gone is waited for to the end of a request; meanwhile others' logs are to be read.
_READS_AT_ONCE = 16
# Of logs that are being stored, in memory at any time; at least one, however long it may be.
_BYTES_AT_ONCE = 32 << 20
_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Tail:
    """The end of a container's log, or a sentence that says why there is none."""

    container: str
    text: bytes | None
    is_log: bool = True

    def or_reason(self, attempt: Attempt) -> "Tail":
        """Return it, or a sentence in its place."""
        # Of a pod without a node, the API server gives an empty log.
        if self.text is None or (not self.text and attempt.node is None):
            why = attempt.message or "the pod was gone before it could be read"
            sentence = f"There is no log of pod {attempt.pod} ({attempt.reason}): {why}\n"
        elif not self.text:
            sentence = f"The log of pod {attempt.pod} is empty.\n"
        else:
            return self
        return Tail(self.container, sentence.encode(), is_log=False)


@dataclass
class ContainerLogs:
    """Reads logs, so many at a time; what of them is in memory has a limit."""

    cluster: Cluster
    mirror: Mirror
    limit_bytes: int
    now: Callable[[], datetime]
    _reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_READS_AT_ONCE))
    _stores: asyncio.Semaphore = field(init=False)
    _keeping: dict[Key, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See how many logs may be in memory at once."""
        self._stores = asyncio.Semaphore(max(1, min(_MOST_AT_ONCE, _BYTES_AT_ONCE // max(self.limit_bytes, 1))))

    def keep(self, key: Key, view: View, status: TrainingRunStatus) -> None:
        """Begin to read the logs of each pod that is about to go, while there is something to read."""
        recorded = {attempt.uid for attempt in status.attempts if attempt.recorded_at}
        leaving = {uid for uid, pod in view.pods.items() if pod.metadata.deletion_timestamp} - recorded
        for uid in view.logs.keys() - leaving:
            del view.logs[uid]
        if leaving and key not in self._keeping:
            task = asyncio.create_task(self._keep(key, view, leaving))
            self._keeping[key] = task
            task.add_done_callback(lambda _: self._keeping.pop(key))

    async def _keep(self, key: Key, view: View, uids: set[str]) -> None:
        pods = [view.pods[uid] for uid in uids if uid in view.pods]
        reads = [self._keep_one(key, view, pod, container) for pod in pods for container in pod.container_names]
        await asyncio.gather(*reads)

    async def _keep_one(self, key: Key, view: View, pod: Pod, container: str) -> None:
        limit = min(self.limit_bytes, self.mirror.room_for_logs)
        try:
            tail = await self._read(key.namespace, pod.metadata.name, container, limit)
        except ClusterError as error:
            log.warning("%s: no log of %s: %s", key, pod.metadata.name, error)
            return
        kept = view.logs.setdefault(pod.metadata.uid, {})
        if tail is not None and len(tail) >= len(kept.get(container, b"")):
            kept[container] = tail

    @asynccontextmanager
    async def of_attempt(self, namespace: str, view: View, attempt: Attempt) -> AsyncIterator[AsyncIterator[Tail]]:
        """Give each container's log in turn, and for the training a sentence where there is none."""
        async with self._stores:
            yield self._each(namespace, view, attempt)

    async def _each(self, namespace: str, view: View, attempt: Attempt) -> AsyncIterator[Tail]:
        kept = view.logs.get(attempt.uid, {})
        pod = view.pods.get(attempt.uid)
        begun = pod.container_names if pod else [TRAINING_CONTAINER]
        for container in dict.fromkeys([*begun, *kept]):
            before = kept.get(container)
            found = Tail(container, before)
            if container in begun:
                found = await self._end(namespace, attempt, container, before)
            if container == TRAINING_CONTAINER:
                found = found.or_reason(attempt)
            if found.text is not None:
                yield found

    async def _end(self, namespace: str, attempt: Attempt, container: str, kept: bytes | None) -> Tail:
        """Return the longer of what was kept and what is there now; what was kept, where nobody answers."""
        try:
            read = await self._read(namespace, attempt.pod, container, self.limit_bytes)
        except ClusterError as error:
            if kept is not None:
                return Tail(container, kept)
            is_recent = attempt.finished_at and self.now() - attempt.finished_at < _PATIENCE
            if is_recent and attempt.reason != Reason.NODE_LOST:
                raise
            log.warning("the log of pod %s is given up: %s", attempt.pod, error)
            return Tail(
                container, f"There is no log of pod {attempt.pod} ({attempt.reason}): {error}\n".encode(), is_log=False
            )
        return Tail(container, max((text for text in (read, kept) if text is not None), key=len, default=None))

    async def _read(self, namespace: str, pod: str, container: str, limit_bytes: int) -> bytes | None:
        async with self._reads:
            return await self.cluster.log_tail(namespace, pod, container, limit_bytes)
