"""An HTTP server of the test's own: each path is answered by a function."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeAlias

Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]

LOOPBACK = ("127.0.0.1", 0)


def content(text: bytes) -> Answer:
    """Answer with a text."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    return answer


def refusal(code: int) -> Answer:
    """Answer with an error."""
    return lambda request: request.send_error(code)


class QuietHandler(BaseHTTPRequestHandler):
    """One that says nothing of what it is asked."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], at: tuple[str, int] = LOOPBACK) -> Iterator[str]:
    """Serve with a handler, at a host's address and port; yields the address for this machine."""
    with ThreadingHTTPServer(at, handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def web_server(answers: Mapping[str, Answer], at: tuple[str, int] = LOOPBACK) -> Iterator[str]:
    """Serve; what is not among the answers is not found."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            answers.get(self.path.partition("?")[0], refusal(404))(self)

    with serving(Handler, at) as address:
        yield address
