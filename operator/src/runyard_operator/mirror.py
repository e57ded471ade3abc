"""What watches and the operator's own writes last showed of the resources that still need work.

What is here was so a moment ago. What is not here may be there all the same: a watch can be behind, or just be
starting. That something is gone is for the API server alone to say; `reconcile` asks it before it believes that.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

from runyard.api.model import JsonObject, as_object
from runyard_operator.objects import Job, Key, Pod

# Their children are collected within minutes.
_BURIED_KEPT = 10_000


class _Settled(NamedTuple):
    """A resource for which nothing is left to do, as of a version of it."""

    version: int
    ttl_seconds: int | None
    job: Job | None = None
    """Its Job, while that does not know how long it has."""


@dataclass
class View:
    """One resource with its Job and its pods, and what cannot be read again."""

    body: JsonObject | None = None
    is_in_doubt: bool = False
    """Whether the resource has to be read before anything is decided on it."""
    is_deleted: bool = False
    is_tried: bool = False
    """Whether the API server was asked what it thinks of the Job, before anything is made for it."""
    job: Job | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    logs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Logs of pods on their way out: by the pod's UID, then by container."""
    image_waits: dict[str, datetime] = field(default_factory=dict)
    """Since when each pod, by its UID, is seen to wait for an image that cannot be had."""
    small_change_since: datetime | None = None
    """Since when the status is out of date in something small."""
    confirmed_at: datetime | None = None
    """When all this was last compared with the API server, or begun."""
    versions: dict[str, int] = field(default_factory=dict)
    """The latest version seen of each Job and pod by UID, gone or not: an answer can be older than an event."""

    def see_job(self, job: Job, *, is_gone: bool = False) -> None:
        """Take a Job as it was seen. How it ended is kept when the Job is gone."""
        if not self._is_news(job) or self._is_earlier(job):
            return
        if job.has_ended or not is_gone:
            self.job = job
        elif self.job and self.job.metadata.uid == job.metadata.uid:
            self.job = None

    def see_pod(self, pod: Pod, *, is_gone: bool = False) -> None:
        """Take a pod as it was seen. How it ended is kept when the pod is gone."""
        if not self._is_news(pod):
            return
        self.pods[pod.metadata.uid] = pod
        if is_gone and not pod.has_ended:
            del self.pods[pod.metadata.uid]

    def see_pods(self, found: tuple[Pod, ...], known: frozenset[str]) -> None:
        """Take what the API server has; of those that were known when it was asked, the others are gone."""
        for pod in found:
            self.see_pod(pod)
        for uid in known - {pod.metadata.uid for pod in found}:
            if uid in self.pods and not self.pods[uid].has_ended:
                del self.pods[uid]

    def _is_earlier(self, job: Job) -> bool:
        """Whether this is what was heard last of a Job that was deleted, and for which another was made."""
        if self.job is None or self.job.metadata.uid == job.metadata.uid:
            return False
        return job.metadata.version < self.job.metadata.version

    def _is_news(self, child: Job | Pod) -> bool:
        uid, version = child.metadata.uid, child.metadata.version
        if version < self.versions.get(uid, 0):
            return False
        self.versions[uid] = version
        return True


class Mirror:
    """Views by resource. One that is settled has none, and its children are not looked at.

    A UID alone is no key: anybody can read it, and write it on a Job in a namespace of their own.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._views: dict[Key, View] = {}
        self._settled: dict[Key, _Settled] = {}
        self._buried: dict[Key, None] = {}

    def __len__(self) -> int:
        """Return how many resources still need work."""
        return len(self._views)

    @property
    def log_bytes(self) -> int:
        """How much is kept of logs of pods that are on their way out."""
        return sum(
            len(text) for view in self._views.values() for texts in view.logs.values() for text in texts.values()
        )

    def __contains__(self, key: Key) -> bool:
        """Whether anything is remembered of a resource that may need work."""
        return key in self._views

    def is_settled(self, key: Key) -> bool:
        """Whether nothing is left to do about a resource."""
        return key in self._settled

    def view(self, key: Key) -> View:
        """Return what is known of a resource."""
        return self._views.setdefault(key, View())

    def knows(self, key: Key) -> bool:
        """Whether the resource itself was seen, and not only its children."""
        view = self._views.get(key)
        return view is not None and (view.body is not None or view.is_deleted)

    def see_resource(self, key: Key, body: JsonObject) -> bool:
        """Take a resource as it was seen; return whether it needs work. An old version is no news."""
        settled = self._settled.get(key)
        if key in self._buried:
            return False
        if settled and _version(body) <= settled.version:
            return False
        self._settled.pop(key, None)
        view = self.view(key)
        if _version(body) >= _version(view.body):
            view.body = body
        return True

    def see_departure(self, key: Key, last: JsonObject) -> bool:
        """Note that a resource was deleted; return whether anything is left to do about it."""
        if key in self._settled:
            self.bury(key)
            return False
        if key in self._buried:
            return False
        view = self.view(key)
        view.body, view.is_deleted = last, True
        return True

    def see_job(self, key: Key, job: Job, *, is_gone: bool = False) -> bool:
        """Take a Job; return whether its resource, or the Job itself, still needs work."""
        if key in self._buried:
            return False
        if key in self._settled:
            return self._see_expiring(key, job, is_gone=is_gone)
        self.view(key).see_job(job, is_gone=is_gone)
        return True

    def see_pod(self, key: Key, pod: Pod, *, is_gone: bool = False) -> bool:
        """Take a pod; return whether its resource still needs work."""
        if key in self._settled or key in self._buried:
            return False
        self.view(key).see_pod(pod, is_gone=is_gone)
        return True

    def settle(self, key: Key, version: int, ttl_seconds: int | None) -> bool:
        """Forget a resource for which nothing is left to do, and hear no more of its children.

        Returns:
            Whether its Job was seen and does not know how long it has, which is left to do.

        """
        view = self._views.pop(key, None)
        self._settled[key] = _Settled(version, ttl_seconds)
        return view is not None and view.job is not None and self._see_expiring(key, view.job, is_gone=False)

    def expiring(self, key: Key) -> tuple[Job, int | None] | None:
        """Return the Job of a settled resource that does not know how long it has, and how long that is."""
        found = self._settled[key]
        return (found.job, found.ttl_seconds) if found.job else None

    def _see_expiring(self, key: Key, job: Job, *, is_gone: bool) -> bool:
        found = self._settled[key]
        is_told = is_gone or job.spec.ttl_seconds_after_finished == found.ttl_seconds
        self._settled[key] = found._replace(job=None if is_told else job)
        return not is_told

    def bury(self, key: Key) -> None:
        """Forget a resource that is gone, and hear no more of children that are still to be collected."""
        self._views.pop(key, None)
        self._settled.pop(key, None)
        self._buried[key] = None
        if len(self._buried) > _BURIED_KEPT:
            del self._buried[next(iter(self._buried))]

    def is_buried(self, key: Key) -> bool:
        """Whether a resource is gone, and all is done about it."""
        return key in self._buried


def _version(body: JsonObject | None) -> int:
    return int(cast("str", as_object((body or {}).get("metadata")).get("resourceVersion", 0)))
