"""What the API server did, from its audit log: who asked for what, when it came in and when it was answered.

Times are the server's own, so that nothing that watches takes part in what is measured.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["*"]},
        {"level": "Metadata", "users": ["load", "operator"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Request:
    """One answered request."""

    user: str
    verb: str
    resource: str
    """Its subresource included, as in `trainingruns/status`."""
    namespace: str
    name: str
    code: int
    received: datetime
    answered: datetime


@dataclass
class AuditLog:
    """The log of a running server, read as it grows."""

    path: Path
    requests: list[Request] = field(default_factory=list)
    _read: int = 0

    def read(self) -> list[Request]:
        """Return all requests that were answered so far."""
        with self.path.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self.requests.append(_request(json.loads(line)))
        return self.requests

    def of(self, user: str, namespace: str, since: datetime | None = None) -> Iterator[Request]:
        """Return what a user asked of a namespace."""
        for request in self.read():
            if (request.user, request.namespace) == (user, namespace) and (since is None or request.received >= since):
                yield request

    def created(self, user: str, namespace: str, resource: str) -> dict[str, Request]:
        """Return the requests that made an object, by its name."""
        wanted = ("create", resource, 201)
        return {
            found.name: found
            for found in self.of(user, namespace)
            if (found.verb, found.resource, found.code) == wanted
        }


def counted(requests: Iterable[Request]) -> dict[str, int]:
    """Count requests by verb and resource."""
    counts = Counter(f"{request.verb} {request.resource}" for request in requests)
    return dict(sorted(counts.items()))


def writes(counts: dict[str, int]) -> int:
    """Return how many of them were writes."""
    return sum(count for what, count in counts.items() if what.split()[0] in WRITES)


def _request(event: dict[str, dict[str, str]]) -> Request:
    target = event.get("objectRef", {})
    subresource = target.get("subresource")
    return Request(
        user=event["user"]["username"],
        verb=str(event["verb"]),
        resource=target.get("resource", "") + (f"/{subresource}" if subresource else ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=int(event.get("responseStatus", {}).get("code", 0)),
        received=datetime.fromisoformat(str(event["requestReceivedTimestamp"])),
        answered=datetime.fromisoformat(str(event["stageTimestamp"])),
    )
