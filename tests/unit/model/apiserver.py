"""The API server: objects with versions, owners and watches, and the few requests that the operator makes."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from runyard.api.trainingrun import API_VERSION, KIND
from tests.support.factories import stamp
from tests.unit.model.clock import Clock
from tests.unit.model.wire import Answer

NAMESPACE = "team"
RUNS, JOBS, PODS = KINDS = ("trainingruns", "jobs", "pods")

Object = dict[str, Any]
Seen = Callable[[str, str, Object], None]
_Json = TypeVar("_Json")


class ApiServer:
    """Objects of one namespace. `watchers` are told of each change; `last` keeps what is no more as it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.version = 0
        self._made = 0
        self.objects: dict[tuple[str, str], Object] = {}
        self.last: dict[str, Object] = {}
        self.watchers: list[Seen] = []
        self.jobs_created: Counter[str] = Counter()
        self.broken: list[str] = []
        self.events: list[Object] = []
        self.logs: dict[str, bytes] = {}
        self.is_webhook_down = False
        self.lines_read: list[int] = []

    def all(self, kind: str) -> list[Object]:
        """Return copies of all objects of a kind by name, as a list request does."""
        return [copied(found) for (of, _), found in sorted(self.objects.items()) if of == kind]

    def get(self, kind: str, name: str) -> Object | None:
        found = self.objects.get((kind, name))
        return copied(found) if found else None

    def of_uid(self, uid: str) -> Object | None:
        """Return an object that is there."""
        return next((found for found in self.objects.values() if found["metadata"]["uid"] == uid), None)

    def owned(self, kind: str, uid: str) -> list[Object]:
        """Return all objects that ever had that owner, oldest first, as they are or were last."""
        found = [item for item in self.last.values() if item["kind"] == kind and owner_of(item) == uid]
        return sorted(found, key=lambda item: int(item["metadata"]["uid"].rsplit("-", 1)[1]))

    def create(self, kind: str, body: Object) -> Object:
        self._made += 1
        made = copied(body)
        made["kind"] = kind
        made["metadata"] |= {
            "namespace": NAMESPACE,
            "uid": f"uid-{kind}-{self._made}",
            "generation": 1,
            "creationTimestamp": stamp(self._clock.now()),
        }
        self._store("ADDED", made)
        return copied(made)

    def update(self, kind: str, name: str, patch: Object) -> Object | None:
        """Merge a patch into an object; one that changes nothing makes no version and no event."""
        old = self.objects.get((kind, name))
        if old is None:
            return None
        new: Object = merged(copied(old), patch)
        if new == old:
            return copied(old)
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] += 1
        self._store("MODIFIED", new)
        return copied(new)

    def remove(self, kind: str, name: str) -> None:
        gone = self.objects.pop((kind, name), None)
        if gone is not None:
            self._tell("DELETED", self._versioned(gone))

    def ask_to_delete(self, pod: str, grace_seconds: int = 30) -> None:
        """Begin the deletion of a pod: the kubelet ends it."""
        found = self.objects.get((PODS, pod))
        if found and "deletionTimestamp" not in found["metadata"]:
            gone_at = stamp(self._clock.now() + timedelta(seconds=grace_seconds))
            marks = {"deletionTimestamp": gone_at, "deletionGracePeriodSeconds": grace_seconds}
            self.update(PODS, pod, {"metadata": marks})

    def collect_garbage(self) -> None:
        """Delete what has lost its owner: Jobs at once, pods with their grace period."""
        present = {found["metadata"]["uid"] for found in self.objects.values()}
        for (kind, name), found in list(self.objects.items()):
            if owner_of(found) not in {None, *present}:
                if kind == PODS:
                    self.ask_to_delete(name)
                else:
                    self.remove(kind, name)

    def serve(self, method: str, path: str, body: Object | None) -> Answer:
        """Answer a request."""
        parts = urlsplit(path).path.split("/")
        kind, name, *below = parts[parts.index(NAMESPACE) + 1 :] + [""] * 2
        if kind == "events":
            self.events += [body] if body else []
            return Answer(201, body) if body else Answer(200, {"items": []})
        if kind == PODS and below[0] == "log":
            return self._log(name, int(parse_qs(urlsplit(path).query)["tailLines"][0]))
        if method == "POST":
            return self._create_job(body or {}, is_trial="dryRun" in parse_qs(urlsplit(path).query))
        if method == "PATCH":
            return self._patch(kind, name, body or {}, is_status=below[0] == "status")
        if name:
            found = self.get(kind, name)
            return Answer(200, found) if found else Answer(404, {})
        selector = parse_qs(urlsplit(path).query).get("labelSelector", [""])[0]
        label, _, value = selector.partition("=")
        items = [it for it in self.all(kind) if not label or it["metadata"]["labels"].get(label) == value]
        return Answer(200, {"items": items, "metadata": {}})

    def _log(self, name: str, lines: int) -> Answer:
        self.lines_read.append(lines)
        found = self.get(PODS, name)
        if found and not found.get("spec", {}).get("nodeName"):
            return Answer(200, b"")
        if found is None or all("waiting" in state["state"] for state in containers(found)):
            return Answer(404, {})
        log = self.logs.get(name, f"log of {name}".encode())
        return Answer(200, b"".join(log.splitlines(keepends=True)[-lines:]))

    def _create_job(self, body: Object, *, is_trial: bool) -> Answer:
        if (JOBS, body["metadata"]["name"]) in self.objects:
            return Answer(409, {"reason": "AlreadyExists"})
        if self.is_webhook_down:
            return Answer(500, {"message": "failed calling webhook"})
        if is_trial:
            now = {"uid": "of-a-trial", "creationTimestamp": stamp(self._clock.now())}
            return Answer(201, {**body, "metadata": {**body["metadata"], **now}})
        owner = owner_of(body) or ""
        run = self.of_uid(owner)
        self.jobs_created[owner] += 1
        if self.jobs_created[owner] > 1 and (run is None or run.get("status", {}).get("job")):
            self.broken.append(f"a second Job of {owner} was created after its first was written down")
        return Answer(201, self.create(JOBS, body))

    def _patch(self, kind: str, name: str, patch: Object, *, is_status: bool) -> Answer:
        old = self.objects.get((kind, name))
        if old is None:
            return Answer(404, {})
        wanted = patch.get("metadata", {})
        for precondition in ("uid", "resourceVersion"):
            if wanted.get(precondition, old["metadata"][precondition]) != old["metadata"][precondition]:
                return Answer(409, {"message": f"{precondition} has changed"})
        part = {"status": patch["status"]} if is_status else patch
        return Answer(200, self.update(kind, name, json.loads(json.dumps(part))))

    def _store(self, change: str, body: Object) -> None:
        self._versioned(body)
        key = (body["kind"], body["metadata"]["name"])
        before = self.objects.get(key, {})
        self.objects[key] = body
        if body["kind"] == RUNS and change == "MODIFIED":
            self.broken += moved(before.get("status") or {}, body.get("status") or {})
        self._tell(change, body)

    def _versioned(self, body: Object) -> Object:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        return body

    def _tell(self, change: str, body: Object) -> None:
        self.last[body["metadata"]["uid"]] = body
        for see in self.watchers:
            see(change, body["kind"], copied(body))


def merged(old: Any, patch: Any) -> Any:
    """Return a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return copied(patch)
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def moved(before: Object, after: Object) -> Iterator[str]:
    """Return what changed of a status that never may."""
    old, new = verdict_of(before), verdict_of(after)
    if old[0] in {"True", "False"} and old != new:
        yield f"an outcome moved: {old} to {new}"
    attempts = {found["uid"]: found for found in after.get("attempts", [])}
    for attempt in before.get("attempts", []):
        now = attempts.get(attempt["uid"], attempt)
        is_open = attempt["outcome"] in {"Pending", "Running"}
        if not is_open and any(attempt.get(key) != now.get(key) for key in ("outcome", "reason", "exitCode")):
            yield f"an attempt moved: {attempt} to {now}"
    if (after.get("attemptCount") or 0) < (before.get("attemptCount") or 0):
        yield f"attempts were lost: {before['attemptCount']} to {after.get('attemptCount')}"
    if before.get("job") and before["job"] != after.get("job"):
        yield f"the Job changed from {before['job']} to {after.get('job')}"


def verdict_of(status: Object) -> tuple[str, str, str | None]:
    """Return the outcome, its reason and its time."""
    found = condition_of({"status": status}, "Succeeded")
    return found.get("status", "Unknown"), found.get("reason", ""), status.get("completionTime")


def condition_of(found: Object, kind: str) -> Object:
    """Return a condition of an object; an empty one where it has none."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


def owner_of(found: Object) -> str | None:
    """Return the owner's UID."""
    owners = found["metadata"].get("ownerReferences", [])
    return str(owners[0]["uid"]) if owners else None


def containers(pod: Object) -> list[Object]:
    """Return what the kubelet says of a pod's containers."""
    found: list[Object] = pod.get("status", {}).get("containerStatuses", [])
    return found


def training_run(name: str, spec: Object) -> Object:
    """Return a TrainingRun as a person applies it."""
    metadata = {"name": name}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"image": "wine:1", **spec}}


def copied(value: _Json) -> _Json:
    """Return JSON of one's own: the standard library's copy of anything takes five times as long."""
    own: Any = value
    if isinstance(value, dict):
        own = {name: copied(each) for name, each in value.items()}
    elif isinstance(value, list):
        own = [copied(each) for each in value]
    return own  # type: ignore[no-any-return]
