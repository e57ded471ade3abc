"""An MLflow behind something that keeps a request, and passes it on though nobody waits for it any more."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LateMlflow:
    """Passes requests on; the first that makes a run is held up until `let_through`."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self._through = threading.Event()
        self._first = threading.Lock()
        self.is_holding = False
        self.made: list[int] = []
        """With which status each making of a run was answered."""

    def let_through(self) -> None:
        """Pass on what is held up."""
        self._through.set()

    def answer(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        is_making = path.endswith("/runs/create")
        if is_making and self._first.acquire(blocking=False):
            self.is_holding = True
            self._through.wait(120)
        request = urllib.request.Request(  # noqa: S310 an address of the test's own
            self._behind + path, data=body or None, headers={"Content-Type": content_type}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                status, found = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, found = error.code, error.read()
        self.made += [status] if is_making else []
        return status, found


@contextmanager
def late_mlflow(behind: str) -> Iterator[tuple[LateMlflow, str]]:
    """Run one before a server for the length of a with block; give it and its address."""
    late = LateMlflow(behind)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "application/json")
            status, found = late.answer(self.command, self.path, body, kind)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)
            except OSError:
                return  # nobody waits for it any more

        do_POST = do_PUT = do_GET  # noqa: N815 the server's own names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield late, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        late.let_through()
        server.shutdown()
        server.server_close()
