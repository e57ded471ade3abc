"""What watches and the operator's own writes last showed of the resources that still need work.

What is here was so a moment ago. What is not here may be there all the same: a watch can be behind, or just be
starting. That something is gone is for the API server alone to say; `reconcile` asks it before it believes that.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

from runyard.api.model import JsonObject, as_object
from runyard_operator.objects import Job, Pod


class Key(NamedTuple):
    """A resource, and not its later namesake."""

    namespace: str
    name: str
    uid: str


@dataclass
class View:
    """One resource with its Job and its pods, and what cannot be read again."""

    body: JsonObject | None = None
    is_deleted: bool = False
    job: Job | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    logs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Logs of pods on their way out: by the pod's UID, then by container."""
    small_change_since: datetime | None = None
    """Since when the status is out of date in something small."""

    def see_pods(self, found: tuple[Pod, ...]) -> None:
        """Take what the API server has now, and keep the ends of pods that it has no longer."""
        ended = {uid: pod for uid, pod in self.pods.items() if pod.has_ended}
        self.pods = {**ended, **{pod.metadata.uid: pod for pod in found}}


class Mirror:
    """Views by the UIDs of their resources. A resource that is settled has none, and its children are not looked at."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._views: dict[str, View] = {}
        self._settled: set[str] = set()

    def __len__(self) -> int:
        """Return how many resources still need work."""
        return len(self._views)

    def view(self, key: Key) -> View:
        """Return what is known of a resource."""
        return self._views.setdefault(key.uid, View())

    def knows(self, key: Key) -> bool:
        """Whether the resource itself was seen, and not only its children."""
        view = self._views.get(key.uid)
        return view is not None and (view.body is not None or view.is_deleted)

    def see_resource(self, key: Key, body: JsonObject) -> None:
        """Take a resource as it was seen, unless a later version of it was seen before."""
        view = self.view(key)
        if _version(body) >= _version(view.body):
            view.body = body

    def see_departure(self, key: Key, last: JsonObject) -> bool:
        """Note that a resource was deleted; return whether anything is left to do about it."""
        if key.uid in self._settled:
            self._settled.discard(key.uid)
            return False
        view = self.view(key)
        view.body, view.is_deleted = last, True
        return True

    def see_job(self, key: Key, job: Job, *, is_gone: bool = False) -> bool:
        """Take a Job; return whether its resource still needs work."""
        if key.uid in self._settled:
            return False
        view = self.view(key)
        if is_gone:
            if view.job and view.job.metadata.uid == job.metadata.uid:
                view.job = None
        elif view.job is None or job.metadata.version >= view.job.metadata.version:
            view.job = job
        return True

    def see_pod(self, key: Key, pod: Pod, *, is_gone: bool = False) -> bool:
        """Take a pod; return whether its resource still needs work. How a pod ended is kept when the pod is gone."""
        if key.uid in self._settled:
            return False
        pods, uid = self.view(key).pods, pod.metadata.uid
        if uid not in pods or pod.metadata.version >= pods[uid].metadata.version:
            pods[uid] = pod
        if is_gone and not pods[uid].has_ended:
            del pods[uid]
        return True

    def settle(self, key: Key) -> None:
        """Forget a resource for which nothing is left to do, and hear no more of its children."""
        self._views.pop(key.uid, None)
        self._settled.add(key.uid)

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._views.pop(key.uid, None)


def _version(body: JsonObject | None) -> int:
    return int(cast("str", as_object((body or {}).get("metadata")).get("resourceVersion", 0)))
