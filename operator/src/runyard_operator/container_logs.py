"""The ends of containers' logs: read while a kubelet has them, and a sentence where nobody has."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from runyard.api.outcome import Attempt, Reason, TrainingRunStatus
from runyard.api.trainingrun import TRAINING_CONTAINER
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.mirror import Mirror, View
from runyard_operator.objects import Key, Pod

log = logging.getLogger(__name__)

# A kubelet that restarts answers soon.
_PATIENCE = timedelta(minutes=2)
# A kubelet whose machine is gone is waited for to the end of a request; meanwhile others' logs are to be read.
_READS_AT_ONCE, _OF_A_NODE = 16, 4
# What is in memory at any time of logs of pods that are leaving, and of logs that are being stored; at least one, and
# a little of each, however long they may be.
_KEPT_BYTES, _STORED_BYTES, _LEAST_BYTES = 32 << 20, 16 << 20, 16 << 10
_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Tail:
    """The end of a container's log, or a sentence that says why there is none."""

    container: str
    text: bytes | None
    is_log: bool = True

    def or_reason(self, attempt: Attempt, last_lines: str) -> "Tail":
        """Return it, or in its place a sentence and the last lines that the kubelet told of."""
        # Of a pod without a node, the API server gives an empty log.
        if self.text is None or (not self.text and attempt.node is None):
            why = attempt.message or "the pod was gone before it could be read"
            if attempt.container:
                why = f"the container {attempt.container} failed"
            sentence = f"There is no log of {self._whose(attempt)} ({attempt.reason}): {why}\n"
            # A kubelet removes the containers of a pod that it evicts at once, and has read these before.
            sentence += f"Its last lines were:\n{last_lines}\n" if last_lines else ""
        elif not self.text:
            sentence = f"The log of {self._whose(attempt)} is empty.\n"
        else:
            return self
        return Tail(self.container, sentence.encode(), is_log=False)

    def _whose(self, attempt: Attempt) -> str:
        pod = f"pod {attempt.pod}"
        return pod if self.container == TRAINING_CONTAINER else f"the container {self.container} of {pod}"


class _Turns:
    """A semaphore for each node, for as long as anybody waits for it."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def node(self, name: str | None) -> AsyncIterator[None]:
        turn = self._of.setdefault(name or "", asyncio.Semaphore(self._at_once))
        async with turn:
            yield


@dataclass
class ContainerLogs:
    """Reads logs, so many at a time; what of them is in memory has a limit."""

    cluster: Cluster
    mirror: Mirror
    limit_bytes: int
    now: Callable[[], datetime]
    _reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_READS_AT_ONCE))
    _reads_of: _Turns = field(default_factory=lambda: _Turns(_OF_A_NODE))
    _stores_of: _Turns = field(default_factory=lambda: _Turns(_OF_A_NODE))
    _being_read: int = 0
    _stores: asyncio.Semaphore = field(init=False)
    _keeping: dict[tuple[Key, str], asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See how many logs may be in memory at once."""
        self._stores = asyncio.Semaphore(max(1, min(_MOST_AT_ONCE, _STORED_BYTES // max(self.limit_bytes, 1))))

    def keep(self, key: Key, view: View, status: TrainingRunStatus) -> None:
        """Begin to read the logs of each pod that is about to go, while there is something to read."""
        recorded = {attempt.uid for attempt in status.attempts if attempt.recorded_at}
        leaving = {uid for uid, pod in view.pods.items() if pod.metadata.deletion_timestamp} - recorded
        # What was kept of a pod that is gone by now is all that there is, until it is on record.
        unrecorded = {attempt.uid for attempt in status.attempts} - recorded
        for uid in view.logs.keys() - leaving - unrecorded:
            del view.logs[uid]
        for which in ((key, uid) for uid in leaving if (key, uid) not in self._keeping):
            task = self._keeping[which] = asyncio.create_task(self._keep(key, view, view.pods[which[1]]))
            task.add_done_callback(lambda _, which=which: self._keeping.pop(which))  # type: ignore[misc]

    async def _keep(self, key: Key, view: View, pod: Pod) -> None:
        await asyncio.gather(*(self._keep_one(key, view, pod, container) for container in pod.container_names))

    async def _keep_one(self, key: Key, view: View, pod: Pod, container: str) -> None:
        try:
            async with self._turn(pod.spec.node_name):
                # Only now is it known what the others have taken.
                limit = min(self.limit_bytes, max(_KEPT_BYTES - self.mirror.log_bytes - self._being_read, _LEAST_BYTES))
                self._being_read += limit
                try:
                    tail = await self.cluster.log_tail(key.namespace, pod.metadata.name, container, limit)
                finally:
                    self._being_read -= limit
        except ClusterError as error:
            log.warning("%s: no log of %s: %s", key, pod.metadata.name, error)
            return
        kept = view.logs.setdefault(pod.metadata.uid, {})
        if tail is not None and len(tail) >= len(kept.get(container, b"")):
            kept[container] = tail

    @asynccontextmanager
    async def of_attempt(self, namespace: str, view: View, attempt: Attempt) -> AsyncIterator[AsyncIterator[Tail]]:
        """Give each container's log in turn, and a sentence where there is none."""
        async with self._stores_of.node(attempt.node), self._stores:
            yield self._each(namespace, view, attempt)

    async def _each(self, namespace: str, view: View, attempt: Attempt) -> AsyncIterator[Tail]:
        kept = view.logs.get(attempt.uid, {})
        pod = view.pods.get(attempt.uid)
        # Of a pod that is gone, its Job knows which containers it had.
        begun = pod.container_names if pod else view.job.container_names if view.job else [TRAINING_CONTAINER]
        for container in dict.fromkeys([*begun, *kept]):
            before = kept.get(container)
            found = Tail(container, before)
            if container in begun:
                found = await self._end(namespace, attempt, container, before)
            if container == TRAINING_CONTAINER or (container in begun and found.text is None):
                end = pod.end_of_training if pod and container == TRAINING_CONTAINER else None
                found = found.or_reason(attempt, end.message.strip() if end and end.exit_code else "")
            if found.text is not None:
                yield found

    async def _end(self, namespace: str, attempt: Attempt, container: str, kept: bytes | None) -> Tail:
        """Return the longer of what was kept and what is there now; what was kept, where nobody answers."""
        if attempt.reason == Reason.NODE_LOST and attempt.exit_code is None:  # nobody will: its kubelet told no end
            return Tail(container, kept)
        try:
            async with self._turn(attempt.node):
                read = await self.cluster.log_tail(namespace, attempt.pod, container, self.limit_bytes)
        except ClusterError as error:
            if kept is not None:
                return Tail(container, kept)
            is_recent = attempt.finished_at and self.now() - attempt.finished_at < _PATIENCE
            if is_recent:
                raise
            log.warning("the log of pod %s is given up: %s", attempt.pod, error)
            return Tail(
                container, f"There is no log of pod {attempt.pod} ({attempt.reason}): {error}\n".encode(), is_log=False
            )
        return Tail(container, max((text for text in (read, kept) if text is not None), key=len, default=None))

    @asynccontextmanager
    async def _turn(self, node: str | None) -> AsyncIterator[None]:
        """Wait for a kubelet's turn: one that does not answer takes no more than its share of all reads."""
        async with self._reads_of.node(node), self._reads:
            yield
