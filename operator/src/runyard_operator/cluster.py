"""Everything the operator says to the Kubernetes API server.

The official client is used for what is hard (credentials, TLS, token rotation); objects stay the JSON that they
are, since its models would be built only to be taken apart again.
"""

import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeAlias, cast
from uuid import uuid4

import aiohttp
from kubernetes.aio import client
from pydantic import BaseModel, ConfigDict, JsonValue

from runyard.api.model import JsonObject, Model, as_list, as_object
from runyard.api.trainingrun import API_VERSION, GROUP, KIND, PLURAL, TrainingRun
from runyard.api.trainingsweep import KIND as SWEEP
from runyard.api.trainingsweep import PLURAL as SWEEPS
from runyard.api.trainingsweep import TrainingSweep
from runyard.errors import Problem
from runyard_operator.events import Event
from runyard_operator.objects import UID_LABEL, Job, Key, Pod

log = logging.getLogger(__name__)

REPORTER = "runyard-operator"
REQUEST_SECONDS = 30.0
_READ_BYTES = 1 << 16
_LINE_BYTES, _MORE_LINES, _MOST_LINES = 64, 4, 1 << 18
_PAGE = 500
Resource: TypeAlias = TrainingRun | TrainingSweep
# What a kubelet answers, as if it were the log, where it has just removed the file.
_NO_LOG = (b'failed to try resolving symlinks in path "/var/log/pods/', b"unable to retrieve container logs for ")
_NOTE_BYTES = 1024
_SECOND = "%Y-%m-%dT%H:%M:%S"
_GENERATED_NAME = re.compile(r'(pods "[^"]*)-[a-z0-9]{5}"')


class ClusterError(Exception):
    """The API server refused or did not answer; the text says which call and its words."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Keep the HTTP status, where there is one, beside the text."""
        self.status = status
        super().__init__(message)


class Refused(Exception):
    """The API server will not have an object as it stands: the spec asks for something impossible."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep what was said, path by path in the object."""
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Cause(_Lenient):
    message: str = ""
    field: str = ""


class _Details(_Lenient):
    causes: list[_Cause] = []


class _Refusal(_Lenient):
    """A metav1.Status."""

    message: str = ""
    details: _Details | None = None


class Cluster:
    """The API server, seen as the few things that are asked of it.

    Whatever it refuses or does not answer is a `ClusterError`.
    """

    def __init__(self, api: client.ApiClient) -> None:
        """Use an authenticated client; it is the caller's to close."""
        self._api = api

    async def serves(self, plural: str) -> bool:
        """Whether the cluster has a definition of ours."""
        found = await self._read(f"/apis/{API_VERSION}") or {}
        return any(as_object(item).get("name") == plural for item in as_list(found.get("resources")))

    async def training_sweep(self, namespace: str, name: str) -> JsonObject | None:
        """Read a sweep; None where there is none."""
        return await self._read(_path(namespace, SWEEPS, name))

    async def create_training_run(self, namespace: str, manifest: JsonObject) -> JsonObject | None:
        """Create a TrainingRun and return it; None where there is one of that name already.

        Raises:
            Refused: the API server says that it is invalid.

        """
        async with self._send("POST", _path(namespace, PLURAL), body=manifest) as answer:
            if await _is_there(answer):
                return None
            if answer.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}:
                raise Refused(_problems(await answer.text()))
            await _raise_for_status(answer)
            return cast("JsonObject", await answer.json())

    async def annotate_training_run(self, namespace: str, name: str, annotations: JsonObject) -> None:
        """Write annotations on a TrainingRun; one that is gone needs none."""
        await self._patch(_path(namespace, PLURAL, name), {"metadata": {"annotations": annotations}})

    async def training_run(self, namespace: str, name: str) -> JsonObject | None:
        """Read the resource; None where there is none."""
        return await self._read(_path(namespace, PLURAL, name))

    async def training_runs(self, namespace: str, labels: str = "") -> AsyncIterator[list[JsonObject]]:
        """List the resources of a namespace, or of all where it is empty, page by page."""
        where = f"namespaces/{namespace}/" if namespace else ""
        query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
        while True:
            found = await self._read(f"/apis/{API_VERSION}/{where}{PLURAL}", query) or {}
            yield cast("list[JsonObject]", found.get("items", []))
            token = as_object(found.get("metadata")).get("continue")
            if not token:
                return
            query["continue"] = str(token)

    async def job(self, namespace: str, name: str) -> Job | None:
        """Read a Job; None where there is none."""
        found = await self._read(f"{_jobs_path(namespace)}/{name}")
        return Job.model_validate(found) if found else None

    async def pods(self, key: Key) -> tuple[Pod, ...]:
        """List the pods of a resource."""
        selector = {"labelSelector": f"{UID_LABEL}={key.uid}"}
        found = await self._read(f"/api/v1/namespaces/{key.namespace}/pods", selector) or {}
        pods = map(Pod.model_validate, cast("list[JsonObject]", found.get("items", [])))
        return tuple(pod for pod in pods if pod.is_of(key))

    async def create_job(self, namespace: str, manifest: JsonObject, *, dry_run: bool = False) -> Job | None:
        """Create a Job and return it; None where there is one of that name already. A dry run only checks it.

        Raises:
            Refused: the API server says that it is invalid.

        """
        query = {"dryRun": "All"} if dry_run else None
        async with self._send("POST", _jobs_path(namespace), query, body=manifest) as answer:
            if await _is_there(answer):
                return None
            if answer.status in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST}:
                raise Refused(_problems(await answer.text()))
            await _raise_for_status(answer)
            return Job.model_validate(await answer.json())

    async def create_service(self, namespace: str, manifest: JsonObject) -> None:
        """Create a service, unless it is there already."""
        path = f"/api/v1/namespaces/{namespace}/services"
        async with self._send("POST", path, body=manifest) as answer:
            if not await _is_there(answer):
                await _raise_for_status(answer)

    async def patch_job(self, namespace: str, name: str, patch: JsonObject) -> Job | None:
        """Merge a patch into a Job and return it; one that is gone needs none."""
        found = await self._patch(f"{_jobs_path(namespace)}/{name}", patch)
        return Job.model_validate(found) if found else None

    async def patch_status(self, resource: Resource, status: Model) -> JsonObject | None:
        """Write the status over the one that was read, and return the resource; None where it is gone.

        Raises:
            ClusterError: with status 409 where the resource has changed since it was read, or is another now.

        """
        # The version makes the server refuse what was decided on an old one, the UID a namesake created since.
        given = resource.metadata
        metadata: JsonObject = {"uid": given.uid, "resourceVersion": given.resource_version}
        patch: JsonObject = {"metadata": metadata, "status": status_patch(resource.status, status)}
        plural = SWEEPS if isinstance(resource, TrainingSweep) else PLURAL
        return await self._patch(f"{_path(given.namespace, plural, given.name)}/status", patch)

    async def log_tail(self, namespace: str, pod: str, container: str, limit_bytes: int) -> bytes | None:
        """Read the last bytes of a container's log; None where the kubelet has no log of it.

        Fewer bytes where the log goes away while it is read: what has come of it is kept.
        """
        # A log can be cut at its beginning by bytes, or at its end by lines alone, and a kubelet gives no more than
        # 20,000 lines a second: ask for lines of a common length, and for more where they are shorter.
        lines = min(limit_bytes // _LINE_BYTES + 1, _MOST_LINES)
        tail: bytes | None = None
        while True:
            try:
                found = await self._last_lines(namespace, pod, container, lines, limit_bytes)
            except ClusterError as error:
                if tail is None:
                    raise
                log.warning("of the log of pod %s no more than %d bytes were read: %s", pod, len(tail), error)
                return tail
            if found is None:
                return tail
            tail, count = found
            if len(tail) >= limit_bytes or count < lines or lines >= _MOST_LINES:
                return tail
            lines = min(lines * _MORE_LINES, _MOST_LINES)

    async def _last_lines(
        self, namespace: str, pod: str, container: str, lines: int, limit_bytes: int
    ) -> tuple[bytes, int] | None:
        """Read the last lines; return the end of them, and how many came."""
        query = {"container": container, "tailLines": str(lines)}
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        async with self._send("GET", path, query) as answer:
            # The pod is gone, or the container has not begun. A kubelet that does not answer may do so later.
            if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
                return None
            await _raise_for_status(answer)
            found, count = bytearray(), 0
            async for chunk in answer.content.iter_chunked(_READ_BYTES):
                found += chunk
                count += chunk.count(b"\n")
                del found[: max(0, len(found) - limit_bytes)]
            tail = bytes(found)
            is_log = count > 1 or not tail.startswith(_NO_LOG)
            return (tail, count) if is_log else None

    async def last_warning(self, namespace: str, uid: str, since: datetime) -> str | None:
        """Return what the last warning about an object says, if it is not from before."""
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning"}
        found = await self._read(f"/api/v1/namespaces/{namespace}/events", query) or {}
        events = [as_object(item) for item in cast("list[JsonObject]", found.get("items", []))]
        # Times are UTC, and in whole seconds or with a fraction: compared as text, to the second.
        last = max((event for event in events if event.get("message")), key=_told_at, default=None)
        is_news = last is not None and _told_at(last) >= since.astimezone(UTC).strftime(_SECOND)
        return _plain(str(last["message"])) if last and is_news else None

    async def record_event(self, resource: Resource, event: Event, now: datetime) -> None:
        """Write an event on the resource."""
        namespace = resource.metadata.namespace
        # A name must not end in a dot or a dash before the next dot.
        name = f"{resource.metadata.name[:200].rstrip('.-')}.{uuid4().hex[:16]}"
        body: JsonObject = {
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/{REPORTER}",
            "reportingInstance": REPORTER,
            "action": event.action,
            "reason": event.reason,
            "note": event.note.encode()[:_NOTE_BYTES].decode(errors="ignore"),
            "type": event.kind,
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": SWEEP if isinstance(resource, TrainingSweep) else KIND,
                "name": resource.metadata.name,
                "namespace": namespace,
                "uid": resource.metadata.uid,
            },
        }
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        async with self._send("POST", path, body=body) as answer:
            await _raise_for_status(answer)

    async def lease(self, namespace: str, name: str) -> JsonObject | None:
        """Read a Lease; None where there is none."""
        return await self._read(f"{_leases_path(namespace)}/{name}")

    async def write_lease(self, namespace: str, name: str, body: JsonObject, *, is_new: bool) -> JsonObject | None:
        """Create or replace a Lease and return it; None where somebody else has changed it meanwhile."""
        path = _leases_path(namespace)
        method, where = ("POST", path) if is_new else ("PUT", f"{path}/{name}")
        async with self._send(method, where, body=body) as answer:
            if answer.status == HTTPStatus.CONFLICT or (answer.status == HTTPStatus.NOT_FOUND and not is_new):
                return None
            await _raise_for_status(answer)
            return cast("JsonObject", await answer.json())

    async def _read(self, path: str, query: dict[str, str] | None = None) -> JsonObject | None:
        async with self._send("GET", path, query) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            await _raise_for_status(answer)
            return cast("JsonObject", await answer.json())

    async def _patch(self, path: str, patch: JsonObject) -> JsonObject | None:
        content_type = "application/merge-patch+json"
        async with self._send("PATCH", path, body=patch, content_type=content_type) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            await _raise_for_status(answer)
            return cast("JsonObject", await answer.json())

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        *,
        body: JsonObject | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "*/*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            found = await self._api.call_api(*request, _request_timeout=REQUEST_SECONDS)
            async with cast("aiohttp.ClientResponse", found.response) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise ClusterError(f"the API server did not answer {method} {path}: {what}") from error


def _path(namespace: str, plural: str, name: str = "") -> str:
    return "/".join(filter(None, (f"/apis/{API_VERSION}/namespaces", namespace, plural, name)))


def _jobs_path(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _leases_path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


async def _is_there(answer: aiohttp.ClientResponse) -> bool:
    """Whether nothing was made because there is one of that name; a quota that others write at has the same number."""
    return answer.status == HTTPStatus.CONFLICT and '"AlreadyExists"' in await answer.text()


async def _raise_for_status(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        text = await answer.text()
        message = f"the API server answered {answer.status} to {answer.method} {answer.url.path}: {text[:500]}"
        raise ClusterError(message, answer.status)


def status_patch(before: Model, after: Model) -> JsonObject:
    """Return the merge patch that makes one status the other; a null takes a field away."""
    every_field: JsonObject = dict.fromkeys(after.model_dump(by_alias=True))
    return _merge_patch(every_field | before.to_json(), after.to_json())


def _merge_patch(before: JsonObject, after: JsonObject) -> JsonObject:
    def change(key: str) -> JsonValue:
        old, new = before.get(key), after.get(key)
        # A patch lays one object over another: what the old one has and the new one has not must be named.
        return _merge_patch(old, new) if isinstance(old, dict) and isinstance(new, dict) else new

    return {key: change(key) for key in before | after}


def _problems(text: str) -> list[Problem]:
    """Return the API server's complaints, with their paths in what it was given."""
    refusal = _Refusal.model_validate_json(text)
    causes = refusal.details.causes if refusal.details else []
    return [Problem(cause.field, cause.message) for cause in causes] or [Problem("spec", refusal.message)]


def _plain(warning: str) -> str:
    """Leave out what is another at each try: a status that says so would be written for each."""
    return _GENERATED_NAME.sub(r'\1"', warning.removeprefix("(combined from similar events): "))


def _told_at(event: JsonObject) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
