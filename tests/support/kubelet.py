"""A kubelet that has logs and nothing else, for an API server that passes requests for logs on to it."""

import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Kubelet:
    """The logs of training containers by their pods, which grow while the test says more."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lines: dict[str, list[str]] = {}
        self._closed: set[str] = set()
        self._changed = threading.Condition()

    def says(self, pod: str, *lines: str) -> None:
        """Write lines to a log, as many seconds after the hour as there are before them."""
        with self._changed:
            self._lines.setdefault(pod, []).extend(lines)
            self._changed.notify_all()

    def closes(self, pod: str) -> None:
        """Write no more to a log: who follows it comes to its end."""
        with self._changed:
            self._closed.add(pod)
            self._changed.notify_all()

    def removes(self, pod: str) -> None:
        """Forget a log, as with its pod."""
        with self._changed:
            self._lines.pop(pod)

    def node(self, name: str) -> dict[str, Any]:
        """Return the Node that this kubelet is of."""
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}

    def read(self, pod: str, *, follow: bool, last: int | None = None) -> Iterator[tuple[int, str]]:
        """Yield a log's lines with their places, the last ones alone if told so; a KeyError where there is none."""
        place = 0 if last is None else max(0, len(self._lines[pod]) - last)
        while True:
            with self._changed:
                lines = self._lines[pod]
                if follow and place == len(lines) and pod not in self._closed:
                    self._changed.wait(1)
                new, place_before = lines[place:], place
                place = len(lines)
                is_over = not new and (not follow or pod in self._closed)
            yield from enumerate(new, place_before)
            if is_over:
                return


@contextmanager
def kubelet(folder: Path) -> Iterator[Kubelet]:
    """Serve logs as a kubelet does, with a certificate of its own."""
    key, certificate = folder / "kubelet.key", folder / "kubelet.crt"
    request = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=kubelet")
    subprocess.run([*request, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            _, what, _namespace, pod, _container = address.path.split("/")
            query = dict(urllib.parse.parse_qsl(address.query))
            last = int(query["tailLines"]) if "tailLines" in query else None
            lines = found.read(pod, follow=query.get("follow") == "true", last=last)
            self._left = int(query.get("limitBytes", 1 << 40))
            try:
                first = next(lines, None)
            except KeyError:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            assert what == "containerLogs"
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            with suppress(OSError):  # whoever asked has gone
                for place, line in [first] if first else []:
                    self._say(place, line, query)
                for place, line in lines:
                    self._say(place, line, query)

        def _say(self, place: int, line: str, query: dict[str, str]) -> None:
            stamp = f"2026-01-02T03:{place // 60:02}:{place % 60:02}.000000001Z " if "timestamps" in query else ""
            said = f"{stamp}{line}\n".encode()[: self._left]
            self._left -= len(said)
            self.wfile.write(said)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found = Kubelet(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
