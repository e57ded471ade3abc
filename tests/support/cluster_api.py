"""The API server over HTTP, by a kubeconfig: kubectl takes a process for each question, and tests ask many."""

import base64
import http.client
import io
import json
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import local
from typing import Any

import yaml

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
_TIMEOUT_SECONDS = 120
_GROUPS = {
    "trainingruns": "apis/runyard.dev/v1alpha1",
    "trainingsweeps": "apis/runyard.dev/v1alpha1",
    "jobs": "apis/batch/v1",
    "deployments": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "leases": "apis/coordination.k8s.io/v1",
    **dict.fromkeys(
        ("clusterrolebindings", "clusterroles", "rolebindings", "roles"), "apis/rbac.authorization.k8s.io/v1"
    ),
    **dict.fromkeys(
        (
            *("configmaps", "events", "nodes", "persistentvolumeclaims", "pods", "resourcequotas", "secrets"),
            *("serviceaccounts", "services"),
        ),
        "api/v1",
    ),
}
_CLUSTER_SCOPED = {"clusterrolebindings", "clusterroles", "nodes"}


def path_of(kind: str, namespace: str, name: str = "", sub: str = "") -> str:
    """Return where the API server has objects of a kind, said as one would to kubectl."""
    word, _, group = {"pvc": "persistentvolumeclaims"}.get(kind, kind).lower().partition(".")
    plural = word.removesuffix("s") + "s"
    place = "apis/events.k8s.io/v1" if group == "events.k8s.io" else _GROUPS[plural]
    inside = () if plural in _CLUSTER_SCOPED else ("namespaces", namespace)
    return "/" + "/".join(part for part in (place, *inside, plural, name, sub) if part)


@dataclass(frozen=True)
class ClusterApi:
    """An API server and who asks, on one connection a thread, that is kept."""

    kubeconfig: Path

    def call(self, method: str, path: str, body: Any = None, content_type: str = "") -> Object:
        """Send one request; return the answer. A patch is a merge where nothing else is said.

        Raises:
            urllib.error.HTTPError: the server refused.
            OSError: it is not there.

        """
        kind = content_type or (MERGE if method == "PATCH" else "application/json")
        found: Object = json.loads(self._ask(method, path, None if body is None else json.dumps(body).encode(), kind))
        return found

    def read(self, path: str) -> str:
        """Read what is no JSON.

        Raises:
            OSError: the server refused, or is not there.

        """
        return self._ask("GET", path, None, "text/plain").decode()

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Read an object."""
        return self.call("GET", path_of(kind, namespace, name))

    def items(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """List objects, each with its kind, as kubectl does."""
        found = self.call("GET", f"{path_of(kind, namespace)}?labelSelector={urllib.parse.quote(selector)}")
        common = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [{**common, **body} for body in found["items"]]

    def apply(self, namespace: str, manifest: Object) -> Object:
        """Create an object, or give one that is there another spec; return it as stored."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        try:
            return self.create(namespace, manifest)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.CONFLICT:
                raise
        changed = {**self.get(kind, namespace, name), "spec": manifest["spec"]}
        return self.call("PUT", f"{path_of(kind, namespace, name)}?fieldValidation=Strict", changed)

    def create(self, namespace: str, manifest: Object) -> Object:
        """Create an object; return it as stored."""
        return self.call("POST", f"{path_of(manifest['kind'], namespace)}?fieldValidation=Strict", manifest)

    def patch(self, kind: str, namespace: str, name: str, body: Object, sub: str = "") -> Object:
        """Change an object, or a subresource of it; return it as stored."""
        return self.call("PATCH", path_of(kind, namespace, name, sub), body)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object at once, and have what it owns deleted after it."""
        now = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        self.call("DELETE", path_of(kind, namespace, name), now)

    def lines(self, path: str, silence_seconds: float) -> Iterator[Object]:
        """Follow a watch until it ends, or brings nothing for so long."""
        server, headers, context = self._access
        request = urllib.request.Request(server + path, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=silence_seconds, context=context) as answer:  # noqa: S310
            for line in answer:
                yield json.loads(line)

    def _ask(self, method: str, path: str, body: bytes | None, content_type: str) -> bytes:
        server, headers, context = self._access
        address = urllib.parse.urlsplit(server).netloc
        while True:
            kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
            connection = kept or http.client.HTTPSConnection(address, timeout=_TIMEOUT_SECONDS, context=context)
            self._kept.connection = None
            try:
                connection.request(method, path, body, {**headers, "Content-Type": content_type})
                answer = connection.getresponse()
                found = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A server that was away since, or asked nothing for a minute, has closed it; nothing was asked then.
                if not kept or not isinstance(error, ConnectionError | ssl.SSLEOFError):
                    raise
                continue
            self._kept.connection = connection
            if answer.status >= http.HTTPStatus.BAD_REQUEST:
                said = f"{method} {path}: {found.decode(errors='replace')}"
                raise urllib.error.HTTPError(path, answer.status, said, answer.headers, io.BytesIO(found))
            return found

    @cached_property
    def _kept(self) -> local:
        return local()

    @cached_property
    def _access(self) -> tuple[str, dict[str, str], ssl.SSLContext]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        if "token" in user:
            return cluster["server"], {"Authorization": f"Bearer {user['token']}"}, unverified()
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile(suffix=".pem") as both:
            for part in ("client-certificate-data", "client-key-data"):
                both.write(base64.b64decode(user[part]) + b"\n")
            both.flush()
            context.load_cert_chain(both.name)
        return cluster["server"], {}, context


def unverified() -> ssl.SSLContext:
    """Return what takes any certificate, as a server of a test's own has made itself one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
