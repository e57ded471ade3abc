"""The API server over HTTP, by a kubeconfig: for requests too many for a process each, and for watching."""

import base64
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
from typing import Any

import yaml


@dataclass(frozen=True)
class ClusterApi:
    """An API server and the certificate that says who asks."""

    kubeconfig: Path

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> dict[str, Any]:
        """Send one request; return the answer."""
        with self._open(method, path, body, content_type, timeout_seconds=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def lines(self, path: str, silence_seconds: float) -> Iterator[dict[str, Any]]:
        """Follow a watch until it ends, or brings nothing for so long."""
        with self._open("GET", path, None, "application/json", silence_seconds) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, method: str, path: str, body: Any, content_type: str, timeout_seconds: float) -> Any:
        server, context = self._access
        request = urllib.request.Request(  # noqa: S310
            server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content_type},
        )
        return urllib.request.urlopen(request, timeout=timeout_seconds, context=context)  # noqa: S310

    @cached_property
    def _access(self) -> tuple[str, ssl.SSLContext]:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile(suffix=".pem") as both:
            for part in ("client-certificate-data", "client-key-data"):
                both.write(base64.b64decode(user[part]) + b"\n")
            both.flush()
            context.load_cert_chain(both.name)
        return cluster["server"], context
